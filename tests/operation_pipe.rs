//! Making pipes, as descriptors and in slots of the registered files.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    FixedFdInstall, FixedFdInstallFlags, OpCode, Openat, Pipe, PipeDirect, Read, Write,
};
use lio_uring::{CompletionQueue, FileSlot, SqeFlags, SubmissionQueue};

#[path = "support/child.rs"]
mod child;
#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use child::in_child;
use descriptors::{allow_no_more, open_descriptors};
use rings::{results, run};
use slots::{is_empty, read_slot, write_slot};

/// What memory holds where no descriptor has been written.
const UNTOUCHED: RawFd = -77;

/// Makes a pipe and returns its ends, that for reading first.
#[track_caller]
fn pipe<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    pipe_flags: i32,
) -> io::Result<(File, File)> {
    let mut fds = [UNTOUCHED; 2];
    let pipe = Pipe {
        fds: fds.as_mut_ptr(),
        pipe_flags,
    };
    // SAFETY: the array is left alone until the completion has been taken.
    let done = unsafe { run(cq, sq, &pipe, |_| ()) };
    let made = done.result();
    if made.is_err() {
        assert_eq!(fds, [UNTOUCHED; 2]);
    }
    assert_eq!(made?, 0);
    // SAFETY: the descriptors are new, and nothing else has them.
    let [reader, writer] = fds.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    Ok((reader, writer))
}

/// What `fcntl(2)` says about a descriptor.
#[track_caller]
fn fcntl(file: &File, command: i32) -> i32 {
    // SAFETY: the descriptor is open, and the commands used here take nothing.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command) };
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

/// Makes a pipe in slots and returns the result and what is in the array then.
#[track_caller]
fn pipe_direct<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    pipe_flags: i32,
    file_index: FileSlot,
) -> (i32, [RawFd; 2]) {
    let mut fds = [UNTOUCHED; 2];
    let pipe = PipeDirect {
        fds: fds.as_mut_ptr(),
        pipe_flags,
        file_index,
    };
    // SAFETY: the array is left alone until the completion has been taken, and the slots are this
    // test's.
    let done = unsafe { run(cq, sq, &pipe, |_| ()) };
    (done.raw_result(), fds)
}

/// Checks that one slot has the end for reading and the other that for writing of one pipe.
#[track_caller]
fn assert_connected<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    [reader, writer]: [i32; 2],
) {
    let written = write_slot(cq, sq, writer, b"through").expect("an end for writing");
    let read = read_slot(cq, sq, reader).expect("an end for reading");
    assert_eq!((written, &*read), (7, &b"through"[..]));
    for done in [
        write_slot(cq, sq, reader, b"x"),
        read_slot(cq, sq, writer).map(|_| 0),
    ] {
        assert_eq!(
            done.expect_err("the other end").raw_os_error(),
            Some(libc::EBADF)
        );
    }
}

#[test]
fn pipe_carries_bytes_from_its_second_end_to_its_first() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = pipe(cq, sq, 0).unwrap();
        assert_eq!(fcntl(&reader, libc::F_GETFD), 0);
        assert_eq!(fcntl(&writer, libc::F_GETFD), 0);
        assert!(reader.write(b"x").is_err(), "it is for reading alone");
        writer.write_all(b"through the pipe").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the pipe");
    });
}

#[test]
fn pipe_with_flags_does_not_wait_and_is_not_inherited() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, writer) = pipe(cq, sq, libc::O_CLOEXEC | libc::O_NONBLOCK).unwrap();
        for end in [&reader, &writer] {
            assert_eq!(fcntl(end, libc::F_GETFD), libc::FD_CLOEXEC);
            assert_ne!(fcntl(end, libc::F_GETFL) & libc::O_NONBLOCK, 0);
        }
        let error = reader.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn pipe_of_packets_keeps_their_bounds() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = pipe(cq, sq, libc::O_DIRECT).unwrap();
        for packet in ["first", "the second is too long"] {
            writer.write_all(packet.as_bytes()).unwrap();
        }
        drop(writer);
        for (wanted, n) in [("first", 5), ("the seco", 8), ("", 0)] {
            let mut buffer = [0; 8];
            assert_eq!(reader.read(&mut buffer).unwrap(), n);
            assert_eq!(&buffer[..n], wanted.as_bytes());
        }
    });
}

#[test]
fn pipe_with_another_flag_gives_einval() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        for flag in [libc::O_WRONLY, libc::O_APPEND, libc::O_CREAT, 1 << 30] {
            let error = pipe(cq, sq, flag | libc::O_CLOEXEC).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{flag:#x}");
        }
    });
}

#[test]
fn pipe_into_memory_that_cannot_be_written_gives_efault_and_leaves_no_descriptor() {
    static CONSTANT: [RawFd; 2] = [UNTOUCHED; 2];
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    let name = "pipe_into_memory_that_cannot_be_written_gives_efault_and_leaves_no_descriptor";
    in_child(
        name,
        || Some(()),
        || {
            each_ring!(|cq, sq| {
                let before = open_descriptors();
                for fds in [
                    CONSTANT.as_ptr().cast_mut(),
                    ptr::without_provenance_mut(4096),
                ] {
                    let pipe = Pipe { fds, pipe_flags: 0 };
                    // SAFETY: the one is mapped for reading alone and the other not at all, so the
                    // kernel writes nothing.
                    let done = unsafe { run(cq, sq, &pipe, |_| ()) };
                    assert_eq!(done.raw_result(), -libc::EFAULT);
                }
                assert_eq!(open_descriptors(), before);
            });
        },
    );
}

#[test]
fn pipe_without_room_for_descriptors_gives_emfile() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    in_child(
        "pipe_without_room_for_descriptors_gives_emfile",
        || Some(()),
        || {
            let (mut cq, mut sq) = lio_uring::with_capacity(16).unwrap();
            sq.register_files(&[-1; 2]).unwrap();
            allow_no_more();
            let error = pipe(&mut cq, &mut sq, 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            // Slots are no descriptors.
            let (result, _) = pipe_direct(&mut cq, &mut sq, 0, FileSlot::At(0));
            assert_eq!(result, 0);
            assert_connected(&mut cq, &mut sq, [0, 1]);
        },
    );
}

#[test]
fn pipe_behind_a_failure_is_cancelled_and_not_made() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let fails = Openat {
            dfd: libc::AT_FDCWD,
            path: c"/no/such/file".as_ptr(),
            flags: 0,
            mode: 0,
        };
        let mut fds = [UNTOUCHED; 2];
        let pipe = Pipe {
            fds: fds.as_mut_ptr(),
            pipe_flags: 0,
        };
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the array is left alone until the completion has been taken.
        unsafe { sq.push(&pipe, 2) }.unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done, [(1, -libc::ENOENT), (2, -libc::ECANCELED)]);
        assert_eq!(fds, [UNTOUCHED; 2]);
    });
}

#[test]
fn pipe_direct_fills_the_slot_and_the_next() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 5]).unwrap();
        let (result, fds) = pipe_direct(cq, sq, 0, FileSlot::At(1));
        assert_eq!(result, 0);
        // Some older kernels forget to say where the ends are.
        assert!(
            fds == [1, 2] || fds == [0, 0] && kernel::older_than(6, 19),
            "{fds:?}"
        );
        assert_connected(cq, sq, [1, 2]);
        for slot in [0, 3, 4] {
            assert!(is_empty(cq, sq, slot), "slot {slot}");
        }
        // What is there is replaced: the end for writing by that for reading.
        assert_eq!(pipe_direct(cq, sq, 0, FileSlot::At(2)).0, 0);
        assert_connected(cq, sq, [2, 3]);
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"", "nobody can write there");
    });
}

#[test]
fn pipe_direct_names_the_slots_that_it_allocates_until_the_table_is_full() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(5).unwrap();
        let mut slots = Vec::new();
        for _ in 0..2 {
            let (result, fds) = pipe_direct(cq, sq, 0, FileSlot::Allocate);
            assert_eq!(result, 0);
            assert_connected(cq, sq, fds);
            slots.extend(fds);
        }
        let (result, fds) = pipe_direct(cq, sq, 0, FileSlot::Allocate);
        assert_eq!((result, fds), (-libc::ENFILE, [UNTOUCHED; 2]));
        // The last slot is as empty as it was.
        let left = (0..5).find(|slot| !slots.contains(slot)).expect("a slot");
        assert!(is_empty(cq, sq, left));
        slots.push(left);
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn pipe_direct_takes_the_flags_that_a_file_keeps() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 2]).unwrap();
        let both = libc::O_NONBLOCK | libc::O_DIRECT;
        let (result, _) = pipe_direct(cq, sq, both, FileSlot::At(0));
        assert_eq!(result, 0);
        // Packets are made where they are written.
        for (fd, kept) in [(0, libc::O_NONBLOCK), (1, libc::O_WRONLY | both)] {
            let install = FixedFdInstall {
                fd,
                flags: FixedFdInstallFlags::empty(),
            };
            // SAFETY: the slot is this test's.
            let done = unsafe { run(cq, sq, &install, |_| ()) };
            // SAFETY: the descriptor is new, and nothing else has it.
            let end = File::from(unsafe { OwnedFd::from_raw_fd(done.result().unwrap()) });
            let flags = fcntl(&end, libc::F_GETFL);
            assert_eq!(flags & (libc::O_ACCMODE | both), kept);
        }
    });
}

#[test]
fn pipe_direct_where_it_cannot_be_fails() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (at_0, allocate) = (FileSlot::At(0), FileSlot::Allocate);
        let untouched = |result: i32| (result, [UNTOUCHED; 2]);
        let done = pipe_direct(cq, sq, 0, at_0);
        assert_eq!(done, untouched(-libc::ENXIO), "without a table");
        let done = pipe_direct(cq, sq, 0, allocate);
        assert_eq!(done, untouched(-libc::ENFILE), "without a table");
        sq.register_files(&[-1; 4]).unwrap();
        for outside in [4, 99, u32::MAX] {
            let done = pipe_direct(cq, sq, 0, FileSlot::At(outside));
            assert_eq!(done, untouched(-libc::EINVAL), "slot {outside}");
        }
        for slot in [at_0, allocate] {
            for flag in [libc::O_CLOEXEC, libc::O_APPEND] {
                let done = pipe_direct(cq, sq, flag, slot);
                assert_eq!(done, untouched(-libc::EINVAL), "{flag:#x}");
            }
        }
        for slot in 0..4 {
            assert!(is_empty(cq, sq, slot), "slot {slot}");
        }
    });
}

#[test]
fn pipe_direct_half_outside_of_the_table_gives_einval_and_fills_no_slot() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 3]).unwrap();
        let (result, fds) = pipe_direct(cq, sq, 0, FileSlot::At(2));
        assert_eq!((result, fds), (-libc::EINVAL, [UNTOUCHED; 2]));
        assert!(is_empty(cq, sq, 0) && is_empty(cq, sq, 1));
        // Some older kernels empty the wrong slot again.
        assert!(is_empty(cq, sq, 2) || kernel::older_than(6, 19));
    });
}

#[test]
fn pipe_direct_into_memory_that_cannot_be_written_gives_efault_and_fills_no_slot() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 3]).unwrap();
        for file_index in [FileSlot::At(0), FileSlot::Allocate] {
            let pipe = PipeDirect {
                fds: ptr::without_provenance_mut(4096),
                pipe_flags: 0,
                file_index,
            };
            // SAFETY: nothing is mapped there, so the kernel writes nothing; the slots are this
            // test's.
            let done = unsafe { run(cq, sq, &pipe, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EFAULT, "{file_index:?}");
            for slot in 0..3 {
                assert!(is_empty(cq, sq, slot), "slot {slot}");
            }
        }
    });
}

#[test]
fn pipe_direct_is_written_and_read_in_its_own_chain() {
    if !needs::operations(&[OpCode::PIPE]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 2]).unwrap();
        let (mut fds, mut buffer) = ([UNTOUCHED; 2], [0; 8]);
        let pipe = PipeDirect {
            fds: fds.as_mut_ptr(),
            pipe_flags: 0,
            file_index: FileSlot::At(0),
        };
        let write = Write {
            fd: 1,
            ptr: b"in one go".as_ptr().cast(),
            len: 8,
            offset: 0,
        };
        let read = Read {
            fd: 0,
            ptr: buffer.as_mut_ptr().cast(),
            len: 8,
            offset: 0,
        };
        let linked = SqeFlags::FIXED_FILE | SqeFlags::IO_LINK;
        // SAFETY: the array is left alone until all have completed, and the slots are this test's.
        unsafe { sq.push_with_flags(&pipe, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the bytes are constant, and the slot holds the pipe by then.
        unsafe { sq.push_with_flags(&write, 2, linked) }.unwrap();
        // SAFETY: the buffer is left alone until all have completed, and the slot holds the pipe by
        // then.
        unsafe { sq.push_with_flags(&read, 3, SqeFlags::FIXED_FILE) }.unwrap();
        assert_eq!(results(cq, sq, 3), [(1, 0), (2, 8), (3, 8)]);
        assert_eq!(&buffer, b"in one g");
        assert_ne!(fds, [UNTOUCHED; 2]);
    });
}
