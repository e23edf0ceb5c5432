//! Announcing how a range of a file will be read.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use lio_uring::kind::Threads;
use lio_uring::operation::{Fadvise, Fadvise64, Nop, OpCode, Operation};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/cache.rs"]
mod cache;
#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use cache::{assert_cached_after, is_cached};
use closed_fd::closed_fd;
use rings::{results, run};

/// The size of a page on every machine, or a multiple of it.
const PAGE: u64 = 64 << 10;
/// More than 32 bits can say.
const FAR: u64 = 1 << 32;

fn fadvise(fd: &impl AsRawFd, offset: u64, len: u32, advice: i32) -> Fadvise {
    Fadvise {
        fd: fd.as_raw_fd(),
        offset,
        len,
        advice,
    }
}

fn fadvise64(fd: &impl AsRawFd, offset: u64, len: u64, advice: i32) -> Fadvise64 {
    Fadvise64 {
        fd: fd.as_raw_fd(),
        offset,
        len,
        advice,
    }
}

/// Gives an advice, and returns the result.
#[track_caller]
fn advise<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    // SAFETY: the descriptors that the tests name are their own, or not open at all, and an advice
    // changes nothing that a file holds.
    unsafe { run(cq, sq, operation, |_| ()) }.raw_result()
}

/// A file with a page of text at each of these places, all of them on the disk and in memory.
#[track_caller]
fn file(places: &[u64]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    let page = vec![b'x'; PAGE.try_into().expect("a small page")];
    for &place in places {
        file.write_all_at(&page, place).expect("room on the disk");
    }
    file.sync_all().expect("room on the disk");
    for &place in places {
        assert!(is_cached(&file, place), "what was written at {place}");
    }
    file
}

#[test]
fn fadvise_takes_every_advice() {
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        for advice in [
            libc::POSIX_FADV_NORMAL,
            libc::POSIX_FADV_RANDOM,
            libc::POSIX_FADV_SEQUENTIAL,
            libc::POSIX_FADV_WILLNEED,
            libc::POSIX_FADV_DONTNEED,
            libc::POSIX_FADV_NOREUSE,
        ] {
            let result = advise(cq, sq, &fadvise(&file, 0, 0, advice));
            assert_eq!(result, 0, "advice {advice}");
        }
        let mut text = [0; 4];
        file.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"xxxx", "an advice loses nothing");
    });
}

#[test]
fn fadvise_drops_its_range_from_memory() {
    let unneeded = libc::POSIX_FADV_DONTNEED;
    each_ring!(|cq, sq| {
        let places = [0, 16 * PAGE, 32 * PAGE];
        let length = u32::try_from(2 * PAGE).unwrap();
        let all = file(&places);
        let middle = fadvise(&all, 15 * PAGE, length, unneeded);
        assert_cached_after(&all, places, [true, false, true], || {
            assert_eq!(advise(cq, sq, &middle), 0);
        });
        // A length of 0 is all that follows.
        let all = file(&places);
        let rest = fadvise(&all, PAGE, 0, unneeded);
        assert_cached_after(&all, places, [true, false, false], || {
            assert_eq!(advise(cq, sq, &rest), 0);
        });
    });
}

#[test]
fn fadvise64_takes_a_length_beyond_32_bits() {
    let unneeded = libc::POSIX_FADV_DONTNEED;
    // Lengths of 64 bits came with Linux 6.11, as BIND did.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        // Cut to 32 bits, the length would reach to the first place alone, or to all of them.
        let places = [0, FAR / 2, FAR, FAR + 16 * PAGE];
        for length in [FAR + PAGE, FAR] {
            let file = file(&places);
            let advice = fadvise64(&file, 0, length, unneeded);
            let wanted = [false, false, length == FAR, true];
            assert_cached_after(&file, places, wanted, || {
                assert_eq!(advise(cq, sq, &advice), 0);
            });
        }
        let file = file(&places);
        let rest = fadvise64(&file, FAR, 0, unneeded);
        assert_cached_after(&file, places, [true, true, false, false], || {
            assert_eq!(advise(cq, sq, &rest), 0);
        });
    });
}

#[test]
fn fadvise64_on_a_kernel_of_32_bits_gives_einval() {
    if needs::knows(OpCode::BIND) {
        return;
    }
    let unneeded = libc::POSIX_FADV_DONTNEED;
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        for length in [PAGE, FAR] {
            let result = advise(cq, sq, &fadvise64(&file, 0, length, unneeded));
            assert_eq!(result, -libc::EINVAL);
        }
        assert!(is_cached(&file, 0));
    });
}

#[test]
fn fadvise_that_makes_no_sense_gives_the_errors_of_the_call() {
    let normal = libc::POSIX_FADV_NORMAL;
    let (reader, _writer) = io::pipe().unwrap();
    let closed = closed_fd();
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        for advice in [6, 99, -1] {
            let result = advise(cq, sq, &fadvise(&file, 0, 0, advice));
            assert_eq!(result, -libc::EINVAL, "advice {advice}");
        }
        let result = advise(cq, sq, &fadvise(&reader, 0, 0, normal));
        assert_eq!(result, -libc::ESPIPE);
        for fd in [-1, closed] {
            let result = advise(cq, sq, &fadvise(&fd, 0, 0, normal));
            assert_eq!(result, -libc::EBADF);
        }
        let result = advise(cq, sq, &fadvise(&file, 1 << 63, 0, normal));
        let taken = kernel::older_than(7, 1) && result == 0;
        assert!(taken || result == -libc::EINVAL, "{result}");
    });
}

#[test]
fn fadvise64_of_an_impossible_length_gives_einval() {
    // Lengths of 64 bits came with Linux 6.11, as BIND did.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        for length in [1 << 63, u64::MAX] {
            let advice = fadvise64(&file, 0, length, libc::POSIX_FADV_DONTNEED);
            assert_eq!(advise(cq, sq, &advice), -libc::EINVAL);
        }
        assert!(is_cached(&file, 0));
    });
}

#[test]
fn fadvise_takes_a_registered_file() {
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        sq.register_files(&[-1, file.as_raw_fd()]).unwrap();
        let fixed = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::FIXED_FILE);
        for (slot, result) in [(1, 0), (0, -libc::EBADF), (2, -libc::EBADF)] {
            let advice = fadvise(&slot, 0, 0, libc::POSIX_FADV_DONTNEED);
            assert_cached_after(&file, [0], [false], || {
                // SAFETY: the slot holds a file of this test, or nothing.
                let done = unsafe { run(cq, sq, &advice, fixed) };
                assert_eq!(done.raw_result(), result);
            });
        }
    });
}

#[test]
fn fadvise_that_fails_ends_its_chain() {
    let (reader, _writer) = io::pipe().unwrap();
    each_ring!(|cq, sq| {
        let file = file(&[0]);
        for (fd, result, nop) in [
            (file.as_raw_fd(), 0, 0),
            (reader.as_raw_fd(), -libc::ESPIPE, -libc::ECANCELED),
        ] {
            let advice = fadvise(&fd, 0, 0, libc::POSIX_FADV_NORMAL);
            // SAFETY: the descriptors are this test's, and stay open until both have completed.
            unsafe { sq.push_with_flags(&advice, 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            assert_eq!(results(cq, sq, 2), [(1, result), (2, nop)]);
        }
    });
}
