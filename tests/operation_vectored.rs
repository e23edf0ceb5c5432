//! Reading into several buffers and writing from them, with flags.

#![cfg(target_os = "linux")]

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SYNC};
use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, Operation, Readv2, Writev2};
use lio_uring::{CompletionQueue, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{contents, file};
use rings::{PENDING, cancel, run, submit_pending};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;
/// A flag that no kernel knows.
const UNKNOWN: i32 = 1 << 30;

/// Runs an operation, and returns its result.
#[track_caller]
fn result<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    // SAFETY: the tests keep the buffers and the arrays of them until this returns, or name
    // addresses where nothing is mapped.
    unsafe { run(cq, sq, operation, |_| ()) }.raw_result()
}

fn readv_of(
    file: &impl AsRawFd,
    buffers: &mut [IoSliceMut<'_>],
    offset: u64,
    flags: i32,
) -> Readv2 {
    Readv2 {
        fd: file.as_raw_fd(),
        // An `IoSliceMut` has the layout of `iovec`.
        iovecs: buffers.as_mut_ptr().cast(),
        nr_vecs: buffers.len().try_into().expect("few buffers"),
        offset,
        flags,
    }
}

fn writev_of(file: &impl AsRawFd, buffers: &[IoSlice<'_>], offset: u64, flags: i32) -> Writev2 {
    Writev2 {
        fd: file.as_raw_fd(),
        // An `IoSlice` has the layout of `iovec`.
        iovecs: buffers.as_ptr().cast(),
        nr_vecs: buffers.len().try_into().expect("few buffers"),
        offset,
        flags,
    }
}

#[test]
fn readv2_fills_the_buffers_in_their_order() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        for flags in [0, RWF_SYNC, RWF_DSYNC] {
            let (mut one, mut two) = ([UNTOUCHED; 3], [UNTOUCHED; 8]);
            let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let read = readv_of(&file, &mut buffers, 2, flags);
            assert_eq!(result(cq, sq, &read), 8, "{flags:#x}");
            assert_eq!((&one, &two[..5]), (b"234", &b"56789"[..]));
            assert_eq!(two[5..], [UNTOUCHED; 3]);
        }
    });
}

#[test]
fn readv2_that_may_not_wait_gives_eagain_or_what_is_there() {
    // Pipes take the flag since Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut memory = [UNTOUCHED; 8];
        let mut buffers = [IoSliceMut::new(&mut memory)];
        let read = readv_of(&reader, &mut buffers, 0, RWF_NOWAIT);
        assert_eq!(result(cq, sq, &read), -libc::EAGAIN);
        writer.write_all(b"data").unwrap();
        assert_eq!(result(cq, sq, &read), 4);
        assert_eq!(&memory, b"data\xaa\xaa\xaa\xaa");
    });
}

#[test]
fn readv2_with_what_makes_no_sense_fails() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let mut memory = [UNTOUCHED; 8];
        let mut buffers = [IoSliceMut::new(&mut memory)];
        let good = readv_of(&file, &mut buffers, 0, 0);
        let unknown = result(
            cq,
            sq,
            &Readv2 {
                flags: UNKNOWN,
                ..good
            },
        );
        assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&unknown));
        let many = vec![
            libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0
            };
            1025
        ];
        for (wrong, errno) in [
            (Readv2 { fd: -1, ..good }, libc::EBADF),
            (
                Readv2 {
                    iovecs: ptr::without_provenance(8),
                    ..good
                },
                libc::EFAULT,
            ),
            (
                Readv2 {
                    iovecs: many.as_ptr(),
                    nr_vecs: 1025,
                    ..good
                },
                libc::EINVAL,
            ),
        ] {
            assert_eq!(result(cq, sq, &wrong), -errno, "{wrong:?}");
        }
        assert_eq!(memory, [UNTOUCHED; 8]);
    });
}

#[test]
fn readv2_cancelled_leaves_the_memory_and_the_data() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let mut memory = [UNTOUCHED; 8];
        let mut buffers = [IoSliceMut::new(&mut memory)];
        // SAFETY: buffer, array and pipe stay until the completion has been taken.
        unsafe { sq.push(&readv_of(&reader, &mut buffers, 0, 0), PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"k").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        assert_eq!(memory, [UNTOUCHED; 8]);
    });
}

#[test]
fn writev2_writes_the_buffers_in_their_order() {
    each_ring!(|cq, sq| {
        for flags in [0, RWF_SYNC, RWF_DSYNC] {
            let file = file(b"..........");
            let buffers = [
                IoSlice::new(b"abc"),
                IoSlice::new(b""),
                IoSlice::new(b"defg"),
            ];
            let write = writev_of(&file, &buffers, 2, flags);
            assert_eq!(result(cq, sq, &write), 7, "{flags:#x}");
            assert_eq!(contents(&file), b"..abcdefg.");
        }
    });
}

#[test]
fn writev2_that_appends_ignores_the_offset() {
    each_ring!(|cq, sq| {
        let file = file(b"begin ");
        let buffers = [IoSlice::new(b"e"), IoSlice::new(b"nd")];
        assert_eq!(
            result(cq, sq, &writev_of(&file, &buffers, 1, RWF_APPEND)),
            3
        );
        assert_eq!(contents(&file), b"begin end");
    });
}

#[test]
fn writev2_that_may_not_wait_gives_eagain() {
    // Pipes take the flag since Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        // SAFETY: the descriptor is open, and the command takes nothing.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        let all = vec![0; usize::try_from(size).unwrap()];
        writer.write_all(&all).unwrap();
        let buffers = [IoSlice::new(b"too much")];
        let write = writev_of(&writer, &buffers, 0, RWF_NOWAIT);
        assert_eq!(result(cq, sq, &write), -libc::EAGAIN);
        drop(reader);
    });
}

#[test]
fn writev2_with_what_makes_no_sense_fails() {
    each_ring!(|cq, sq| {
        let file = file(b"kept");
        let buffers = [IoSlice::new(b"lost")];
        let good = writev_of(&file, &buffers, 0, 0);
        let unknown = result(
            cq,
            sq,
            &Writev2 {
                flags: UNKNOWN,
                ..good
            },
        );
        assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&unknown));
        let many = vec![
            libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0
            };
            1025
        ];
        for (wrong, errno) in [
            (Writev2 { fd: -1, ..good }, libc::EBADF),
            (
                Writev2 {
                    iovecs: ptr::without_provenance(8),
                    ..good
                },
                libc::EFAULT,
            ),
            (
                Writev2 {
                    iovecs: many.as_ptr(),
                    nr_vecs: 1025,
                    ..good
                },
                libc::EINVAL,
            ),
        ] {
            assert_eq!(result(cq, sq, &wrong), -errno, "{wrong:?}");
        }
        assert_eq!(contents(&file), b"kept");
    });
}
