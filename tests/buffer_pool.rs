//! Pools of buffers: what is handed out, to whom, and what it is good for.
#![cfg(target_os = "linux")]

#[path = "support/files.rs"]
mod files;

use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;

use lio_uring::operation::{ReadFixed, WriteFixed};
use lio_uring::{BufferPool, IoUring, PoolBuffer};

const PAGE: usize = 4096;

#[test]
fn buffers_are_zero_apart_and_aligned() {
    for (bytes, alignment) in [
        (1, 64),
        (64, 64),
        (65, 128),
        (4095, 4096),
        (4096, 4096),
        (4097, 4096),
        (1 << 20, 4096),
    ] {
        let pool = BufferPool::new(5, bytes).expect("a pool");
        let buffers: Vec<_> = (0..5).map(|_| pool.take().expect("a buffer")).collect();
        let places: HashSet<_> = buffers.iter().map(PoolBuffer::as_ptr).collect();
        assert_eq!(places.len(), 5);
        for buffer in &buffers {
            assert_eq!(buffer.as_ptr().align_offset(alignment), 0, "{bytes} bytes");
            assert_eq!(buffer.len(), bytes as usize);
            assert!(buffer.iter().all(|&byte| byte == 0));
        }
        let mut starts: Vec<_> = places.iter().map(|place| place.addr()).collect();
        starts.sort_unstable();
        for pair in starts.windows(2) {
            assert!(pair[1] - pair[0] >= bytes as usize, "buffers overlap");
        }
    }
}

#[test]
fn buffer_that_is_dropped_is_taken_again() {
    let pool = BufferPool::new(3, 64).expect("a pool");
    assert_eq!((pool.count(), pool.buffer_len()), (3, 64));
    let mut taken: Vec<_> = (0..3).map(|_| pool.take().expect("a buffer")).collect();
    assert!(pool.take().is_none(), "all are taken");
    let indices: HashSet<_> = taken.iter().map(PoolBuffer::index).collect();
    assert_eq!(indices, HashSet::from([0, 1, 2]));

    taken[1].fill(7);
    let index = taken[1].index();
    drop(taken.remove(1));
    let again = pool.clone().take().expect("one came back");
    assert_eq!(again.index(), index);
    assert!(
        again.iter().all(|&byte| byte == 7),
        "left from its last use"
    );
    assert!(pool.take().is_none());
}

#[test]
fn buffer_outlives_its_pool() {
    let pool = BufferPool::new(2, 100).expect("a pool");
    let mut buffer = pool.take().expect("a buffer");
    drop(pool);
    buffer.fill(3);
    let place = buffer.as_ptr();
    let moved = Box::new(buffer);
    assert_eq!(moved.as_ptr(), place);
    assert!(moved.iter().all(|&byte| byte == 3));
}

#[test]
fn impossible_pools_are_refused() {
    for (count, bytes, errno) in [
        (0, 64, libc::EINVAL),
        (1, 0, libc::EINVAL),
        (u32::MAX, u32::MAX, libc::ENOMEM),
    ] {
        let error = BufferPool::new(count, bytes).expect_err("no such pool");
        assert_eq!(error.raw_os_error(), Some(errno), "{count} of {bytes}");
    }
}

#[test]
fn memory_is_there_before_it_is_touched() {
    let pool = BufferPool::new(64, 4096).expect("a pool");
    let memory = pool.memory();
    let mut resident = vec![0_u8; memory.iov_len / PAGE];
    // SAFETY: a byte for each page.
    let asked = unsafe {
        libc::mincore(
            memory.iov_base,
            memory.iov_len,
            resident.as_mut_ptr().cast(),
        )
    };
    assert_eq!(asked, 0);
    assert!(resident.iter().all(|&page| page & 1 == 1));
}

#[test]
fn buffers_on_many_threads_are_nobody_elses() {
    let pool = BufferPool::new(6, 64).expect("a pool");
    thread::scope(|scope| {
        for mark in 1..=4_u8 {
            let pool = pool.clone();
            scope.spawn(move || {
                for _ in 0..50_000 {
                    let Some(mut buffer) = pool.take() else {
                        continue;
                    };
                    let other = pool.take();
                    buffer.fill(mark);
                    drop(other);
                    assert!(buffer.iter().all(|&byte| byte == mark), "it is shared");
                }
            });
        }
    });
    let all: Vec<_> = (0..6).map_while(|_| pool.take()).collect();
    assert_eq!(all.len(), 6, "all have come back");
}

#[test]
fn buffer_taken_here_is_given_back_there() {
    let pool = BufferPool::new(1, 64).expect("a pool");
    let buffer = pool.take().expect("a buffer");
    thread::spawn(move || drop(buffer))
        .join()
        .expect("no panic");
    assert!(pool.take().is_some());
}

#[test]
fn pool_is_registered_as_one_buffer() {
    let pool = BufferPool::new(4, 8192).expect("a pool");
    let mut ring = IoUring::new(4).expect("a ring");
    // SAFETY: the pool outlives the ring's operations.
    unsafe { ring.submission().register_buffers(&[pool.memory()]) }.expect("registered");
    let file = tempfile::tempfile().expect("a file");
    let text = files::bytes(8192);
    let mut source = pool.take().expect("a buffer");
    let mut target = pool.take().expect("a buffer");
    source.copy_from_slice(&text);
    let write = WriteFixed {
        fd: file.as_raw_fd(),
        buf: source.as_ptr().cast(),
        nbytes: 8192,
        offset: 0,
        buf_index: 0,
    };
    let read = ReadFixed {
        fd: file.as_raw_fd(),
        buf: target.as_mut_ptr().cast(),
        nbytes: 8192,
        offset: 0,
        buf_index: 0,
    };
    // SAFETY: the buffers are not touched until the completion has been taken.
    unsafe { ring.push(&write, 0) }.expect("room");
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(
        ring.next().expect("it ended").result().expect("it worked"),
        8192
    );
    // SAFETY: as above.
    unsafe { ring.push(&read, 1) }.expect("room");
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(
        ring.next().expect("it ended").result().expect("it worked"),
        8192
    );
    assert_eq!(target[..], text[..]);

    let beyond = ReadFixed {
        buf: ptr::without_provenance_mut(pool.memory().iov_base.addr() + pool.memory().iov_len),
        ..read
    };
    // SAFETY: the kernel refuses memory outside of the registered.
    unsafe { ring.push(&beyond, 2) }.expect("room");
    ring.submit_and_wait(1).expect("a submission");
    let refused = ring
        .next()
        .expect("it ended")
        .result()
        .expect_err("outside");
    assert_eq!(refused.raw_os_error(), Some(libc::EFAULT));
}

#[test]
fn huge_pages_are_used_or_their_lack_is_said() {
    match BufferPool::huge(2, 4096) {
        Ok(pool) => {
            let mut buffer = pool.take().expect("a buffer");
            buffer.fill(1);
            assert_eq!(pool.memory().iov_len, 2 << 20);
        }
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}"),
    }
}
