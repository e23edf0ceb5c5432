//! Making descriptors of registered files.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use lio_uring::kind::Threads;
use lio_uring::operation::{FixedFdInstall, FixedFdInstallFlags, OpCode, OpenatDirect};
use lio_uring::{Completion, CompletionQueue, FileSlot, SqeFlags, SubmissionQueue};

#[path = "support/child.rs"]
mod child;
#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use child::in_child;
use descriptors::{allow_no_more, open_descriptors};
use files::file;
use rings::{run, wait};
use slots::{is_empty, read_slot};

/// Makes a descriptor of a slot.
#[track_caller]
fn install<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    flags: FixedFdInstallFlags,
) -> Completion {
    // SAFETY: the slots are this test's.
    unsafe { run(cq, sq, &FixedFdInstall { fd, flags }, |_| ()) }
}

/// The file that an operation has made a descriptor of.
#[track_caller]
fn installed(done: Completion) -> File {
    let fd = done.result().expect("a descriptor");
    // SAFETY: the descriptor is new, and its completion is taken once.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[test]
fn install_gives_a_descriptor_of_the_file_that_outlives_the_slot() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mut original = file(b"text");
        sq.register_files(&[-1, original.as_raw_fd()]).unwrap();
        let mut copy = installed(install(cq, sq, 1, FixedFdInstallFlags::empty()));
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"text", "it stays there");
        copy.seek(io::SeekFrom::Start(2)).unwrap();
        assert_eq!(original.stream_position().unwrap(), 2, "it is one file");
        drop(original);
        sq.unregister_files().unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "xt");
    });
}

#[test]
fn install_keeps_the_descriptor_from_execve_unless_told_not_to() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let original = file(b"text");
        sq.register_files(&[original.as_raw_fd()]).unwrap();
        for (flags, closed) in [
            (FixedFdInstallFlags::empty(), libc::FD_CLOEXEC),
            (FixedFdInstallFlags::NO_CLOEXEC, 0),
        ] {
            let copy = installed(install(cq, sq, 0, flags));
            // SAFETY: the descriptor is open, and the command takes nothing.
            let flags = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags, closed);
        }
    });
}

#[test]
fn install_makes_a_descriptor_of_what_was_opened_in_its_chain() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 2]).unwrap();
        let open = OpenatDirect {
            dfd: libc::AT_FDCWD,
            path: c"/proc/self/comm".as_ptr(),
            flags: libc::O_RDONLY,
            mode: 0,
            file_index: FileSlot::At(1),
        };
        let install = FixedFdInstall {
            fd: 1,
            flags: FixedFdInstallFlags::empty(),
        };
        // SAFETY: the path is valid for ever, and the slot is this test's.
        unsafe { sq.push_with_flags(&open, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the slot is this test's.
        unsafe { sq.push(&install, 2) }.unwrap();
        let done = wait(cq, sq, 2);
        assert_eq!((done[0].user_data(), done[0].raw_result()), (1, 0));
        let text = io::read_to_string(installed(done[1])).unwrap();
        assert_eq!(text, std::fs::read_to_string("/proc/self/comm").unwrap());
    });
}

#[test]
fn install_of_what_is_not_there_gives_ebadf() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let none = FixedFdInstallFlags::empty();
        let done = install(cq, sq, 0, none);
        assert_eq!(done.raw_result(), -libc::EBADF, "without a table");
        sq.register_files(&[-1; 2]).unwrap();
        for slot in [0, 1, 2, 99, -1, i32::MAX] {
            let done = install(cq, sq, slot, none);
            assert_eq!(done.raw_result(), -libc::EBADF, "slot {slot}");
        }
    });
}

#[test]
fn install_with_other_flags_gives_einval() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let original = file(b"text");
        sq.register_files(&[original.as_raw_fd()]).unwrap();
        for bit in [1, 19, 31] {
            let unknown = FixedFdInstallFlags::from_bits_retain(1 << bit);
            let done = install(cq, sq, 0, unknown);
            assert_eq!(done.raw_result(), -libc::EINVAL, "bit {bit}");
        }
    });
}

#[test]
fn install_with_a_personality_gives_eperm() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let original = file(b"text");
        sq.register_files(&[original.as_raw_fd()]).unwrap();
        let personality = sq.register_personality().unwrap();
        let operation = FixedFdInstall {
            fd: 0,
            flags: FixedFdInstallFlags::empty(),
        };
        // SAFETY: the slot is this test's.
        let done = unsafe {
            run(cq, sq, &operation, |sqe| {
                sqe.set_personality(personality);
            })
        };
        assert_eq!(done.raw_result(), -libc::EPERM);
    });
}

#[test]
fn install_without_room_for_a_descriptor_gives_emfile() {
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    in_child(
        "install_without_room_for_a_descriptor_gives_emfile",
        || Some(()),
        || {
            let (mut cq, mut sq) = lio_uring::with_capacity(16).unwrap();
            let original = file(b"text");
            sq.register_files(&[original.as_raw_fd(), -1]).unwrap();
            let before = open_descriptors();
            let none = FixedFdInstallFlags::empty();
            drop(installed(install(&mut cq, &mut sq, 0, none)));
            assert_eq!(open_descriptors(), before);
            allow_no_more();
            let done = install(&mut cq, &mut sq, 0, none);
            assert_eq!(done.raw_result(), -libc::EMFILE);
            assert_eq!(read_slot(&mut cq, &mut sq, 0).unwrap(), b"text");
            assert!(is_empty(&mut cq, &mut sq, 1));
        },
    );
}
