//! Queues that change their size with work in flight, and when there is no memory for that.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use lio_uring::operation::{Nop, Read};
use lio_uring::{IoUring, SqeFlags};

#[path = "support/child.rs"]
mod child;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/resizable.rs"]
mod resizable;
#[path = "support/rings.rs"]
mod rings;

use resizable::resizable;
use rings::next;

fn push_nop(ring: &mut IoUring, user_data: u64, flags: SqeFlags) {
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push_with_flags(&Nop, user_data, flags) }.expect("room");
}

#[test]
fn queues_are_resized_while_reads_and_workers_complete() {
    const READS: u64 = 400;
    let Some(mut ring) = resizable(8, 64) else {
        return;
    };
    let (reader, mut writer) = io::pipe().unwrap();
    let mut bytes = vec![0_u8; usize::try_from(READS).unwrap()];
    let (go, told) = mpsc::channel();
    let mut seen = BTreeSet::new();
    thread::scope(|scope| {
        // Dropped when this ends, so that the other thread ends.
        let go = go;
        // Data arrive from another thread while the queues change.
        scope.spawn(move || {
            for () in told {
                writer.write_all(b"x").expect("the pipe has a reader");
            }
        });
        let (mut pushed, mut refused) = (0, 0);
        for round in 0..READS / 4 {
            for _ in 0..4 {
                let read = Read {
                    fd: reader.as_raw_fd(),
                    ptr: (&raw mut bytes[usize::try_from(pushed).unwrap()]).cast(),
                    len: 1,
                    offset: 0,
                };
                // SAFETY: the bytes are looked at when all reads have ended.
                unsafe { ring.push(&read, pushed) }.unwrap();
                push_nop(&mut ring, READS + pushed, SqeFlags::ASYNC);
                pushed += 1;
            }
            ring.submit().unwrap();
            for _ in 0..4 {
                go.send(()).unwrap();
            }
            let sizes = match round % 4 {
                0 => (64, 256),
                1 => (8, 1024),
                2 => (32, 64),
                _ => (8, 512),
            };
            if let Err(error) = ring.resize(sizes.0, sizes.1) {
                // More may have come at once than there is to be room for.
                assert_eq!(error.errno(), libc::EOVERFLOW, "{error}");
                refused += 1;
            }
            while let Some(done) = ring.try_next().unwrap() {
                assert!(done.result().is_ok(), "{done:?}");
                assert!(seen.insert(done.user_data()), "{done:?} came twice");
            }
        }
        while seen.len() < usize::try_from(2 * READS).unwrap() {
            let done = next(ring.completion());
            assert!(done.result().is_ok(), "{done:?}");
            assert!(seen.insert(done.user_data()), "{done:?} came twice");
        }
        println!("{refused} times there was no room");
    });
    assert_eq!(seen, (0..2 * READS).collect());
    assert!(bytes.iter().all(|byte| *byte == b'x'));
    assert_eq!(ring.completion().lost(), 0);
}

/// Lets the process have only so many bytes more of address space than it has.
fn limit_address_space(more: u64) {
    let pages = fs::read_to_string("/proc/self/statm").expect("the process has a size");
    let pages: u64 = pages
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    // SAFETY: the call has no conditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let limit = libc::rlimit {
        rlim_cur: pages * page.cast_unsigned() + more,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer leads to a value of the right type.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

#[test]
fn queues_that_cannot_be_mapped_are_as_they_were() {
    const NAME: &str = "queues_that_cannot_be_mapped_are_as_they_were";
    child::in_child(
        NAME,
        || Some(()),
        || {
            let Some(mut ring) = resizable(8, 16) else {
                return;
            };
            for (entries, cq_entries, room) in
                [(64, 128, 2), (1024, 4096, 16), (32_768, 65_536, 256)]
            {
                for i in 0..3 {
                    push_nop(&mut ring, i, SqeFlags::empty());
                }
                ring.submit_and_wait(3).unwrap();
                push_nop(&mut ring, 3, SqeFlags::empty());
                limit_address_space(room * 4096);
                let error = ring.resize(entries, cq_entries).unwrap_err();
                limit_address_space(1 << 32);
                assert_eq!(error.errno(), libc::ENOMEM);
                assert_eq!(
                    (ring.submission().capacity(), ring.completion().capacity()),
                    (8, 16)
                );
                ring.submit_and_wait(4).unwrap();
                for i in 0..4 {
                    assert_eq!(ring.next().unwrap().user_data(), i);
                }
            }
            ring.resize(64, 128).unwrap();
            push_nop(&mut ring, 9, SqeFlags::empty());
            ring.submit_and_wait(1).unwrap();
            assert_eq!(ring.next().unwrap().user_data(), 9);
        },
    );
}
