//! The table of registered files: filling and emptying slots.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{CloseFixed, FilesUpdate, OpCode, Openat, Read};
use lio_uring::{CompletionQueue, FileSlot, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use closed_fd::closed_fd;
use files::file;
use rings::{PENDING, next, results, run, submit_pending};
use slots::{is_empty, read_slot};

/// Leaves a slot as it is (C: `IORING_REGISTER_FILES_SKIP`).
const SKIP: RawFd = -2;

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

/// Empties a slot, and returns the result.
#[track_caller]
fn close_fixed<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file_index: u32,
) -> i32 {
    // SAFETY: the slots are this test's.
    unsafe { run(cq, sq, &CloseFixed { file_index }, |_| ()) }.raw_result()
}

/// Puts files into slots, and returns the result.
#[track_caller]
fn files_update<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fds: &mut [RawFd],
    offset: FileSlot,
) -> i32 {
    let update = FilesUpdate {
        fds: fds.as_mut_ptr(),
        nr_fds: fds.len().try_into().expect("few descriptors"),
        offset,
    };
    // SAFETY: the array is borrowed until the completion has been taken; the descriptors and the
    // slots are this test's.
    unsafe { run(cq, sq, &update, |_| ()) }.raw_result()
}

/// What the slots of a table of four hold, as text; nothing for the empty ones.
#[track_caller]
fn table<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) -> [String; 4] {
    [0, 1, 2, 3].map(|slot| {
        if is_empty(cq, sq, slot) {
            return String::new();
        }
        let text = read_slot(cq, sq, slot).expect("a file");
        String::from_utf8(text).expect("text")
    })
}

#[test]
fn close_fixed_empties_the_slot_and_closes_what_only_it_holds() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let kept = file(b"kept");
        sq.register_files(&[kept.as_raw_fd(), writer.as_raw_fd()])
            .unwrap();
        drop(writer);
        assert_eq!(close_fixed(cq, sq, 1), 0);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the other end is closed");
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"kept");
        assert_eq!(close_fixed(cq, sq, 0), 0);
        assert!(is_empty(cq, sq, 0));
        let mut text = [0; 4];
        kept.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"kept", "the descriptor is not closed");
    });
}

#[test]
fn close_fixed_of_what_is_not_there_fails() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        assert_eq!(close_fixed(cq, sq, 0), -libc::ENXIO, "without a table");
        let kept = file(b"kept");
        sq.register_files(&[kept.as_raw_fd(), -1]).unwrap();
        assert_eq!(close_fixed(cq, sq, 1), -libc::EBADF, "an empty slot");
        for outside in [2, 99, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            assert_eq!(close_fixed(cq, sq, outside), -libc::EINVAL, "{outside}");
        }
        // SAFETY: the slot is this test's.
        let done = unsafe { run(cq, sq, &CloseFixed { file_index: 0 }, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF, "with FIXED_FILE");
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"kept");
    });
}

#[test]
fn close_fixed_leaves_the_operations_that_have_started() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        sq.register_files(&[reader.as_raw_fd()]).unwrap();
        drop(reader);
        let mut buffer = [0; 4];
        let read = Read {
            fd: 0,
            ptr: buffer.as_mut_ptr().cast(),
            len: 4,
            offset: 0,
        };
        // SAFETY: the buffer is left alone until the completion has been taken.
        unsafe { sq.push_with_flags(&read, PENDING, SqeFlags::FIXED_FILE) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(close_fixed(cq, sq, 0), 0);
        assert!(is_empty(cq, sq, 0));
        writer.write_all(b"late").unwrap();
        let done = next(cq);
        assert_eq!((done.user_data(), done.raw_result()), (PENDING, 4));
        assert_eq!(&buffer, b"late");
    });
}

#[test]
fn close_fixed_behind_a_failure_is_cancelled_and_empties_nothing() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let kept = file(b"kept");
        sq.register_files(&[kept.as_raw_fd()]).unwrap();
        let fails = Openat {
            dfd: libc::AT_FDCWD,
            path: c"/no/such/file".as_ptr(),
            flags: 0,
            mode: 0,
        };
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the slot is this test's.
        unsafe { sq.push(&CloseFixed { file_index: 0 }, 2) }.unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done, [(1, -libc::ENOENT), (2, -libc::ECANCELED)]);
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"kept");
    });
}

#[test]
fn files_update_fills_and_empties_slots() {
    each_ring!(|cq, sq| {
        let old = file(b"old");
        sq.register_files(&[old.as_raw_fd(), -1, old.as_raw_fd(), -1])
            .unwrap();
        let (one, two) = (file(b"one"), file(b"two"));
        let mut fds = [one.as_raw_fd(), two.as_raw_fd(), -1];
        let given = fds;
        assert_eq!(files_update(cq, sq, &mut fds[..2], FileSlot::At(1)), 2);
        // The table has the files themselves.
        drop((one, two));
        assert_eq!(table(cq, sq), ["old", "one", "two", ""]);
        assert_eq!(files_update(cq, sq, &mut fds[2..], FileSlot::At(0)), 1);
        assert_eq!(table(cq, sq), ["", "one", "two", ""]);
        assert_eq!(fds, given, "the kernel writes only what it allocates");
    });
}

#[test]
fn files_update_skips_slots() {
    // Since Linux 5.12.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (old, new) = (file(b"old"), file(b"new"));
        sq.register_files(&[-1, old.as_raw_fd(), -1, old.as_raw_fd()])
            .unwrap();
        let mut fds = [SKIP, SKIP, new.as_raw_fd(), -1];
        assert_eq!(files_update(cq, sq, &mut fds, FileSlot::At(0)), 4);
        assert_eq!(table(cq, sq), ["", "old", "new", ""]);
    });
}

#[test]
fn files_update_closes_what_only_the_table_holds() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        sq.register_files(&[writer.as_raw_fd()]).unwrap();
        drop(writer);
        let new = file(b"new");
        let result = files_update(cq, sq, &mut [new.as_raw_fd()], FileSlot::At(0));
        assert_eq!(result, 1);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the other end is closed");
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"new");
    });
}

#[test]
fn files_update_stops_at_a_wrong_descriptor() {
    each_ring!(|cq, sq| {
        let (old, new) = (file(b"old"), file(b"new"));
        sq.register_files(&[old.as_raw_fd(); 4]).unwrap();
        let mut fds = [new.as_raw_fd(), closed_fd(), new.as_raw_fd()];
        assert_eq!(files_update(cq, sq, &mut fds, FileSlot::At(0)), 1);
        assert_eq!(table(cq, sq), ["new", "", "old", "old"]);
        for wrong in [closed_fd(), -3, sq.fd().unwrap().as_raw_fd()] {
            let result = files_update(cq, sq, &mut [wrong], FileSlot::At(3));
            assert_eq!(result, -libc::EBADF, "{wrong}");
        }
        assert_eq!(table(cq, sq), ["new", "", "old", ""]);
    });
}

#[test]
fn files_update_outside_the_table_fails() {
    each_ring!(|cq, sq| {
        let new = file(b"new");
        let mut fds = [new.as_raw_fd(); 3];
        let result = files_update(cq, sq, &mut fds, FileSlot::At(0));
        assert_eq!(result, -libc::ENXIO, "without a table");
        sq.register_files(&[-1; 4]).unwrap();
        for outside in [2, 4, 99, u32::MAX - 3] {
            let result = files_update(cq, sq, &mut fds, FileSlot::At(outside));
            assert_eq!(result, -libc::EINVAL, "from slot {outside} on");
        }
        for overflow in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            let result = files_update(cq, sq, &mut fds, FileSlot::At(overflow));
            assert_eq!(result, -libc::EOVERFLOW, "from slot {overflow} on");
        }
        assert_eq!(table(cq, sq), [""; 4]);
    });
}

#[test]
fn files_update_that_makes_no_sense_fails() {
    each_ring!(|cq, sq| {
        let new = file(b"new");
        let mut fds = [new.as_raw_fd()];
        sq.register_files(&[-1; 4]).unwrap();
        let result = files_update(cq, sq, &mut [], FileSlot::At(0));
        assert_eq!(result, -libc::EINVAL, "of nothing");
        let update = FilesUpdate {
            fds: fds.as_mut_ptr(),
            nr_fds: 1,
            offset: FileSlot::At(0),
        };
        // SAFETY: the array is left alone until the completion has been taken.
        let done = unsafe { run(cq, sq, &update, fixed) };
        assert_eq!(done.raw_result(), -libc::EINVAL, "with FIXED_FILE");
        let nowhere = FilesUpdate {
            fds: ptr::without_provenance_mut(4096),
            ..update
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert_eq!(table(cq, sq), [""; 4]);
    });
}

#[test]
fn files_update_names_the_slots_that_it_allocates_until_the_table_is_full() {
    // Allocated slots came with Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (old, one, two) = (file(b"old"), file(b"one"), file(b"two"));
        let fds = [&one, &two, &one].map(AsRawFd::as_raw_fd);
        sq.register_files(&[-1, old.as_raw_fd(), -1, -1]).unwrap();
        let mut slots = [fds[0], fds[1], fds[2], fds[0]];
        let [first, rest @ ..] = &mut slots;
        let first = std::slice::from_mut(first);
        assert_eq!(files_update(cq, sq, first, FileSlot::Allocate), 1);
        // There is room for two of these three.
        assert_eq!(files_update(cq, sq, rest, FileSlot::Allocate), 2);
        assert_eq!(slots[3], fds[0], "what had no room is left as it is");
        for (slot, text) in [(slots[0], "one"), (slots[1], "two"), (slots[2], "one")] {
            assert_eq!(read_slot(cq, sq, slot).unwrap(), text.as_bytes());
        }
        slots.sort_unstable();
        assert_eq!(slots[..3], [0, 2, 3]);
        let mut more = [fds[1]];
        let result = files_update(cq, sq, &mut more, FileSlot::Allocate);
        assert_eq!((result, more), (-libc::ENFILE, [fds[1]]));
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"old");
    });
}

#[test]
fn files_update_that_cannot_allocate_fails_and_fills_nothing() {
    static CONSTANT: [RawFd; 1] = [0];
    // Allocated slots came with Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let allocate = FileSlot::Allocate;
        let result = files_update(cq, sq, &mut [0], allocate);
        assert_eq!(result, -libc::ENXIO, "without a table");
        sq.register_files(&[-1; 4]).unwrap();
        for wrong in [-1, SKIP, closed_fd()] {
            let mut fds = [wrong];
            let result = files_update(cq, sq, &mut fds, allocate);
            assert_eq!((result, fds), (-libc::EBADF, [wrong]));
        }
        let constant = FilesUpdate {
            fds: CONSTANT.as_ptr().cast_mut(),
            nr_fds: 1,
            offset: allocate,
        };
        // SAFETY: the memory is mapped for reading alone, so the kernel writes nothing; the
        // descriptor is only looked at.
        let done = unsafe { run(cq, sq, &constant, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert_eq!(table(cq, sq), [""; 4]);
    });
}
