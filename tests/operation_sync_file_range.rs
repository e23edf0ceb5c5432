//! Writing a range of a file out.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, SyncFileRange};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/cache.rs"]
mod cache;
#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use cache::{is_cached, unwritten_pages};
use closed_fd::closed_fd;
use rings::{results, run};

/// Writes a range out and waits until it is on the disk.
const ALL: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE
    | libc::SYNC_FILE_RANGE_WRITE
    | libc::SYNC_FILE_RANGE_WAIT_AFTER;
/// The size of a page on every machine, or a multiple of it.
const PAGE: u32 = 64 << 10;

fn range(fd: &impl AsRawFd, offset: u64, len: u32, flags: u32) -> SyncFileRange {
    SyncFileRange {
        fd: fd.as_raw_fd(),
        len,
        offset,
        flags,
    }
}

/// Writes a range out, and returns the result.
#[track_caller]
fn sync<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    range: &SyncFileRange,
) -> i32 {
    // SAFETY: the descriptors that the tests name are their own, or not open at all.
    unsafe { run(cq, sq, range, |_| ()) }.raw_result()
}

/// A file of three pages that have just been written.
#[track_caller]
fn file() -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    for place in 0..3 {
        let page = vec![b'x'; PAGE.try_into().expect("a small page")];
        file.write_all_at(&page, place * u64::from(PAGE))
            .expect("room on the disk");
    }
    file
}

/// Checks that a page of a file is on the disk.
#[track_caller]
fn assert_written(file: &File, place: u64) {
    if let Some(pages) = unwritten_pages(file, place, PAGE.into()) {
        return assert_eq!(pages, 0, "at {place}");
    }
    // The kernel drops no page that is not on the disk.
    let offset = place.try_into().expect("a place in a file");
    let advice = libc::POSIX_FADV_DONTNEED;
    // SAFETY: the call changes nothing that a file holds.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, PAGE.into(), advice) };
    assert_eq!(result, 0);
    assert!(!is_cached(file, place), "at {place}");
}

#[test]
fn sync_file_range_writes_its_range_out() {
    each_ring!(|cq, sq| {
        for (offset, len, places) in [
            (0, PAGE, 0..1),
            (u64::from(PAGE), PAGE, 1..2),
            (u64::from(PAGE), 0, 1..3),
        ] {
            let file = file();
            assert_eq!(sync(cq, sq, &range(&file, offset, len, ALL)), 0);
            for place in places {
                let place = place * u64::from(PAGE);
                assert_written(&file, place);
            }
            let mut text = [0; 4];
            file.read_exact_at(&mut text, 2 * u64::from(PAGE) - 2)
                .unwrap();
            assert_eq!(&text, b"xxxx");
        }
    });
}

#[test]
fn sync_file_range_takes_its_flags_one_by_one() {
    each_ring!(|cq, sq| {
        let file = file();
        for flags in [
            0,
            libc::SYNC_FILE_RANGE_WAIT_BEFORE,
            libc::SYNC_FILE_RANGE_WRITE,
            libc::SYNC_FILE_RANGE_WAIT_AFTER,
            libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE,
        ] {
            let result = sync(cq, sq, &range(&file, 0, 3 * PAGE, flags));
            assert_eq!(result, 0, "{flags:#x}");
        }
        // These together are what awaits the writing.
        assert_eq!(sync(cq, sq, &range(&file, 0, PAGE, ALL)), 0);
        assert_written(&file, 0);
    });
}

#[test]
fn sync_file_range_beyond_the_file_does_nothing() {
    each_ring!(|cq, sq| {
        let file = file();
        for offset in [1 << 20, 1 << 40, i64::MAX as u64 - u64::from(PAGE)] {
            assert_eq!(sync(cq, sq, &range(&file, offset, PAGE, ALL)), 0);
        }
        assert_eq!(file.metadata().unwrap().len(), u64::from(3 * PAGE));
    });
}

#[test]
fn sync_file_range_that_cannot_be_gives_the_errors_of_the_call() {
    let (_reader, writer) = io::pipe().unwrap();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let closed = closed_fd();
    each_ring!(|cq, sq| {
        let file = file();
        for flags in [8, 1 << 31, ALL | 8] {
            let result = sync(cq, sq, &range(&file, 0, PAGE, flags));
            assert_eq!(result, -libc::EINVAL, "{flags:#x}");
        }
        for offset in [1 << 63, u64::MAX, i64::MAX as u64 - 1] {
            let result = sync(cq, sq, &range(&file, offset, PAGE, ALL));
            assert_eq!(result, -libc::EINVAL, "at {offset}");
        }
        for (fd, errno) in [
            (writer.as_raw_fd(), libc::ESPIPE),
            (null.as_raw_fd(), libc::ESPIPE),
            (closed, libc::EBADF),
            (-1, libc::EBADF),
        ] {
            assert_eq!(sync(cq, sq, &range(&fd, 0, PAGE, ALL)), -errno);
        }
        let folder = File::open("/").unwrap();
        assert_eq!(sync(cq, sq, &range(&folder, 0, 0, ALL)), 0);
    });
}

#[test]
fn sync_file_range_takes_a_registered_file() {
    let fixed = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::FIXED_FILE);
    each_ring!(|cq, sq| {
        let file = file();
        sq.register_files(&[-1, file.as_raw_fd()]).unwrap();
        for (slot, result) in [(0, -libc::EBADF), (1, 0), (2, -libc::EBADF)] {
            // SAFETY: the slot holds a file of this test, or nothing.
            let done = unsafe { run(cq, sq, &range(&slot, 0, PAGE, ALL), fixed) };
            assert_eq!(done.raw_result(), result);
        }
        assert_written(&file, 0);
    });
}

#[test]
fn sync_file_range_errors_of_the_call_do_not_end_a_chain() {
    // They did before Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    let (_reader, writer) = io::pipe().unwrap();
    each_ring!(|cq, sq| {
        let fails = range(&writer, 0, 0, ALL);
        // SAFETY: the pipe is open until both have completed.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        assert_eq!(results(cq, sq, 2), [(1, -libc::ESPIPE), (2, 0)]);
    });
}
