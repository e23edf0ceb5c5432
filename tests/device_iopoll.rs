//! Reads and writes whose completions are polled for.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Fsync, FsyncFlags, Operation, Read, ReadFixed, Readv, Write, WriteFixed, Writev,
};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, SubmissionQueue};

#[path = "support/device.rs"]
mod device;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/rings.rs"]
mod rings;

use device::{Pages, REGION, pattern};

const PAGE: usize = 4096;
const LEN: u32 = 4096;

fn polled() -> IoUringParams {
    IoUringParams::default().entries(8).iopoll()
}

fn read(fd: RawFd, memory: &mut Pages, offset: u64) -> Read {
    let memory = memory.bytes_mut();
    Read {
        fd,
        ptr: memory.as_mut_ptr().cast(),
        len: memory.len().try_into().expect("little memory"),
        offset,
    }
}

fn write(fd: RawFd, memory: &Pages, offset: u64) -> Write {
    let memory = memory.bytes();
    Write {
        fd,
        ptr: memory.as_ptr().cast(),
        len: memory.len().try_into().expect("little memory"),
        offset,
    }
}

/// Runs an operation that transfers as many bytes as it says.
///
/// # Safety
///
/// That of the operation, until this returns.
#[track_caller]
unsafe fn transfer<T: Threads>(
    (cq, sq): (&mut CompletionQueue<T>, &mut SubmissionQueue<T>),
    operation: &impl Operation,
    len: usize,
) {
    // SAFETY: the caller's promise.
    let done = unsafe { rings::run(cq, sq, operation, |_| ()) };
    assert_eq!(usize::try_from(done.raw_result()), Ok(len));
}

/// Whether a disk keeps what is written to it.
fn keeps(name: &str) -> bool {
    let parameter = "/sys/module/null_blk/parameters/memory_backed";
    let keeps = name == "nvme" || std::fs::exists(parameter).expect("a look");
    assert!(keeps || kernel::older_than(6, 1));
    keeps
}

/// Writes and reads many blocks at a time, and compares them with what the disk holds.
#[track_caller]
fn moves_blocks<T: Threads>(
    (cq, sq): (&mut CompletionQueue<T>, &mut SubmissionQueue<T>),
    name: &str,
    region: u64,
) {
    let disk = device::open_direct(&device::disk(name));
    let fd = disk.as_raw_fd();
    for round in 0..5_u8 {
        let at = |i: u8| region * REGION + u64::from(i) * 4 * PAGE as u64;
        let sources =
            [0, 1, 2, 3, 4, 5].map(|i| Pages::of(&pattern(10 * round + i, PAGE << (i % 3))));
        for (i, source) in (0..).zip(&sources) {
            // SAFETY: the memory is left alone until all is done, and the region is this test's.
            unsafe { sq.push(&write(fd, source, at(i)), i.into()) }.expect("room");
        }
        all_done(cq, sq, sources.iter().map(|source| source.bytes().len()));
        let mut targets = [0, 1, 2, 3, 4, 5].map(|i| Pages::new(PAGE << (i % 3)));
        for (i, target) in (0..).zip(&mut targets) {
            // SAFETY: the memory is left alone until all is done.
            unsafe { sq.push(&read(fd, target, at(i)), i.into()) }.expect("room");
        }
        all_done(cq, sq, sources.iter().map(|source| source.bytes().len()));
        if keeps(name) {
            for (i, (source, target)) in (0..).zip(sources.iter().zip(&targets)) {
                assert_eq!(source.bytes(), target.bytes(), "block {i} of round {round}");
                let held = Pages::read_from(&disk, at(i), source.bytes().len());
                assert_eq!(source.bytes(), held);
            }
        }
    }
}

/// Waits for all, each of which transfers so many bytes.
#[track_caller]
fn all_done<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    lens: impl Iterator<Item = usize>,
) {
    let wanted: BTreeSet<_> = (0..).zip(lens).collect();
    let mut done = BTreeSet::new();
    // Without a limit in time, which would end a wait that nothing else ends.
    while done.len() < wanted.len() {
        let missing = wanted.len() - done.len();
        sq.submit_and_wait(missing.try_into().expect("few"))
            .expect("a submission");
        assert_ne!(cq.ready(), 0);
        done.extend(cq.completions().map(|done| {
            let len = done.result().expect("a transfer");
            (done.user_data(), usize::try_from(len).expect("a count"))
        }));
    }
    assert_eq!(done, wanted);
}

/// Moves blocks on rings of all kinds that poll.
#[track_caller]
fn moves_blocks_on_all_rings(name: &str) {
    let (mut cq, mut sq) = IoUring::with_params(polled()).expect("a ring");
    moves_blocks((&mut cq, &mut sq), name, 0);
    let (mut cq, mut sq) = IoUring::with_params(polled().sqpoll(50)).expect("a ring");
    moves_blocks((&mut cq, &mut sq), name, 0);
    let mut one = IoUring::builder()
        .entries(8)
        .iopoll()
        .build()
        .expect("a ring");
    moves_blocks(one.queues(), name, 0);
    if !kernel::older_than(6, 1) {
        let (mut cq, mut sq) = IoUring::with_params(polled().defer_taskrun()).expect("a ring");
        moves_blocks((&mut cq, &mut sq), name, 0);
    }
}

#[test]
fn blocks_of_an_nvme_disk_are_polled_for() {
    if device::is_there("nvme") {
        moves_blocks_on_all_rings("nvme");
    }
}

#[test]
fn blocks_of_a_null_disk_are_polled_for() {
    if device::is_there("null_blk") {
        moves_blocks_on_all_rings("null_blk");
    }
}

/// Moves blocks on a ring that sleeps before it polls.
#[track_caller]
fn moves_blocks_after_a_sleep(name: &str) {
    if !device::is_there(name) {
        return;
    }
    let made = IoUring::with_params(polled().hybrid_iopoll());
    if let Some((mut cq, mut sq)) = kernel::since(6, 13, made) {
        moves_blocks((&mut cq, &mut sq), name, 1);
    }
}

#[test]
fn blocks_of_an_nvme_disk_are_polled_for_after_a_sleep() {
    moves_blocks_after_a_sleep("nvme");
}

#[test]
fn blocks_of_a_null_disk_are_polled_for_after_a_sleep() {
    moves_blocks_after_a_sleep("null_blk");
}

/// Moves blocks through a registered buffer, and through several pieces of memory.
#[track_caller]
fn moves_pieces(name: &str) {
    if !device::is_there(name) {
        return;
    }
    let disk = device::open_direct(&device::disk(name));
    let (fd, offset) = (disk.as_raw_fd(), 2 * REGION);
    let (mut cq, mut sq) = IoUring::with_params(polled()).expect("a ring");
    let mut memory = Pages::of(&pattern(1, 4 * PAGE));
    // SAFETY: the memory outlives the ring's use of it.
    unsafe { sq.register_buffers(&[IoSliceMut::new(memory.bytes_mut())]) }.expect("a buffer");
    let second = memory.bytes_mut()[PAGE..].as_mut_ptr();
    let write = WriteFixed {
        fd,
        buf: second.cast_const().cast(),
        nbytes: LEN,
        offset,
        buf_index: 0,
    };
    // SAFETY: the memory is in the registered buffer, and left alone until the completion.
    unsafe { transfer((&mut cq, &mut sq), &write, PAGE) };
    memory.bytes_mut().fill(0);
    let read = ReadFixed {
        fd,
        buf: second.cast(),
        nbytes: LEN,
        offset,
        buf_index: 0,
    };
    // SAFETY: as above.
    unsafe { transfer((&mut cq, &mut sq), &read, PAGE) };
    if keeps(name) {
        assert_eq!(
            memory.bytes()[PAGE..2 * PAGE],
            pattern(1, 4 * PAGE)[PAGE..2 * PAGE]
        );
    }
    assert!(memory.bytes()[2 * PAGE..].iter().all(|byte| *byte == 0));

    let (mut a, mut b) = (
        Pages::of(&pattern(2, PAGE)),
        Pages::of(&pattern(3, 2 * PAGE)),
    );
    let parts = [
        IoSliceMut::new(a.bytes_mut()),
        IoSliceMut::new(b.bytes_mut()),
    ];
    let iovecs = parts.as_ptr().cast();
    let write = Writev {
        fd,
        iovecs,
        nr_vecs: 2,
        offset,
    };
    // SAFETY: the parts and their memory are left alone until the completion.
    unsafe { transfer((&mut cq, &mut sq), &write, 3 * PAGE) };
    let (mut c, mut d) = (Pages::new(2 * PAGE), Pages::new(PAGE));
    let parts = [
        IoSliceMut::new(c.bytes_mut()),
        IoSliceMut::new(d.bytes_mut()),
    ];
    let iovecs = parts.as_ptr().cast();
    let read = Readv {
        fd,
        iovecs,
        nr_vecs: 2,
        offset,
    };
    // SAFETY: as above.
    unsafe { transfer((&mut cq, &mut sq), &read, 3 * PAGE) };
    if keeps(name) {
        let written = [a.bytes(), b.bytes()].concat();
        assert_eq!([c.bytes(), d.bytes()].concat(), written);
    }
}

#[test]
fn blocks_of_an_nvme_disk_are_moved_in_pieces() {
    moves_pieces("nvme");
}

#[test]
fn blocks_of_a_null_disk_are_moved_in_pieces() {
    moves_pieces("null_blk");
}

#[test]
fn transfers_that_cannot_be_polled_for_are_refused() {
    let (mut cq, mut sq) = IoUring::with_params(polled()).unwrap();
    let (buffered, mut memory) = (tempfile::tempfile().unwrap(), Pages::new(PAGE));
    let command = read(buffered.as_raw_fd(), &mut memory, 0);
    // SAFETY: the memory is left alone until the completion.
    let done = unsafe { rings::run(&mut cq, &mut sq, &command, |_| ()) };
    assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
    let fsync = Fsync {
        fd: buffered.as_raw_fd(),
        fsync_flags: FsyncFlags::empty(),
    };
    // SAFETY: it points to nothing.
    let done = unsafe { rings::run(&mut cq, &mut sq, &fsync, |_| ()) };
    assert_eq!(done.raw_result(), -libc::EINVAL);
}

#[test]
fn reads_that_a_disk_cannot_do_fail_when_polled_for_too() {
    if !device::is_there("nvme") {
        return;
    }
    let (mut cq, mut sq) = IoUring::with_params(polled()).unwrap();
    let disk = device::open_direct(&device::disk("nvme"));
    let mut memory = Pages::new(4 * PAGE);
    let end = 64 << 20;
    for (offset, len, result) in [
        (0, 100, -libc::EINVAL),
        (7, LEN, -libc::EINVAL),
        (end, LEN, 0),
    ] {
        let mut command = read(disk.as_raw_fd(), &mut memory, offset);
        command.len = len;
        // SAFETY: the memory is left alone until the completion.
        let done = unsafe { rings::run(&mut cq, &mut sq, &command, |_| ()) };
        assert_eq!(done.raw_result(), result, "{len} bytes at {offset}");
        assert!(memory.bytes().iter().all(|byte| *byte == 0));
    }
}
