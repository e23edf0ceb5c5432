//! Discarding blocks of a disk.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{CmdDiscard, OpCode};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/device.rs"]
mod device;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use device::{Pages, REGION, pattern};

const PAGE: usize = 4096;

/// Discards a range and returns the result.
///
/// # Safety
///
/// Nobody relies on what the range holds.
#[track_caller]
unsafe fn discard<T: Threads>(
    (cq, sq): (&mut CompletionQueue<T>, &mut SubmissionQueue<T>),
    disk: &File,
    offset: u64,
    nbytes: u64,
    flags: SqeFlags,
) -> i32 {
    let discard = CmdDiscard {
        fd: disk.as_raw_fd(),
        offset,
        nbytes,
    };
    // SAFETY: the caller's promise.
    unsafe { rings::run(cq, sq, &discard, |sqe| sqe.insert_flags(flags)) }.raw_result()
}

/// Discards a range in the middle of what is written, and checks that nothing else is gone.
#[track_caller]
fn discards(name: &str) {
    if !needs::operations(&[OpCode::URING_CMD]) || !device::is_there(name) {
        return;
    }
    let disk = device::open_direct(&device::disk(name));
    // Linux 7.0 refuses it without waiting.
    let needs_a_worker = !kernel::older_than(7, 0) && kernel::older_than(7, 1);
    let flags = if needs_a_worker {
        SqeFlags::ASYNC
    } else {
        SqeFlags::empty()
    };
    each_ring!(|cq, sq| {
        let offset = 10 * REGION;
        let written = pattern(1, 8 * PAGE);
        Pages::write_to(&disk, offset, &written);
        let middle = offset + 2 * PAGE as u64;
        // SAFETY: the region is this test's.
        let result = unsafe { discard((cq, sq), &disk, middle, 4 * PAGE as u64, flags) };
        if kernel::older_than(6, 12) {
            return assert_eq!(result, -libc::EOPNOTSUPP);
        }
        let held = Pages::read_from(&disk, offset, 8 * PAGE);
        assert_eq!(held[..2 * PAGE], written[..2 * PAGE]);
        assert!(held[2 * PAGE..6 * PAGE].iter().all(|byte| *byte == 0));
        assert_eq!(held[6 * PAGE..], written[6 * PAGE..]);
    });
}

#[test]
fn discarded_blocks_of_an_nvme_disk_are_empty() {
    discards("nvme");
}

#[test]
fn discarded_blocks_of_a_null_disk_are_empty() {
    discards("null_blk");
}

#[test]
fn ranges_that_cannot_be_discarded_are_refused() {
    if !needs::operations(&[OpCode::URING_CMD]) || !device::is_there("nvme") {
        return;
    }
    let path = device::disk("nvme");
    let (disk, read_only) = (device::open_direct(&path), File::open(&path).unwrap());
    let block = device::BLOCK as u64;
    each_ring!(|cq, sq| {
        for (disk, offset, len, errno) in [
            (&disk, 11 * REGION + 7, block, libc::EINVAL),
            (&disk, 11 * REGION, 100, libc::EINVAL),
            (&disk, 11 * REGION, 0, libc::EINVAL),
            (&disk, 1 << 40, block, libc::EINVAL),
            (&read_only, 11 * REGION, block, libc::EBADF),
        ] {
            // SAFETY: the region is this test's.
            let result = unsafe { discard((cq, sq), disk, offset, len, SqeFlags::empty()) };
            if kernel::older_than(6, 12) {
                return assert_eq!(result, -libc::EOPNOTSUPP);
            }
            assert_eq!(result, -errno, "{len} bytes at {offset}");
        }
    });
}
