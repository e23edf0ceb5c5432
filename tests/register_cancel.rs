//! Synchronous cancellation.
#![cfg(target_os = "linux")]

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/kernel.rs"]
mod kernel;

use std::io::{self, PipeReader};
use std::os::fd::AsRawFd;
use std::time::Duration;

use lio_uring::operation::{OpCode, Read};
use lio_uring::{
    CompletionQueue, IoUring, RegisterCause, SubmissionQueue, SyncCancel, SyncCancelled,
    with_capacity,
};

use closed_fd::closed_fd;

/// A ring with reads of an empty pipe, each with its user data.
struct Reads {
    cq: CompletionQueue,
    sq: SubmissionQueue,
    reader: PipeReader,
    _writer: io::PipeWriter,
    _buffer: Box<[u8; 64]>,
}

impl Reads {
    fn of(user_data: &[u64]) -> Self {
        let (cq, mut sq) = with_capacity(8).expect("a ring");
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut buffer = Box::new([0; 64]);
        for &user_data in user_data {
            let read = Read {
                fd: reader.as_raw_fd(),
                ptr: buffer.as_mut_ptr().cast(),
                len: 64,
                offset: 0,
            };
            // SAFETY: nothing is ever written to the pipe, so the buffer is not either.
            unsafe { sq.push(&read, user_data) }.expect("room");
        }
        sq.submit().expect("a submission");
        Self {
            cq,
            sq,
            reader,
            _writer: writer,
            _buffer: buffer,
        }
    }

    /// Cancels, or nothing if the kernel cannot.
    #[track_caller]
    fn cancel(&mut self, version: (u32, u32), cancel: SyncCancel) -> Option<SyncCancelled> {
        let cancelled = self.sq.register_sync_cancel(&cancel);
        kernel::since(version.0, version.1, cancelled)
    }

    /// The user data of the operations that have been cancelled.
    #[track_caller]
    fn cancelled(&mut self) -> Vec<u64> {
        let mut cancelled = Vec::new();
        while let Some(completion) = self.cq.try_next().expect("a queue") {
            assert_eq!(completion.raw_result(), -libc::ECANCELED);
            cancelled.push(completion.user_data());
        }
        cancelled.sort_unstable();
        cancelled
    }
}

#[test]
fn one_operation_is_found_by_its_user_data() {
    let mut reads = Reads::of(&[1, 2, 3]);
    if let Some(found) = reads.cancel((6, 0), SyncCancel::user_data(2)) {
        assert_eq!(found, SyncCancelled::Found(0));
        assert_eq!(reads.cancelled(), [2]);
    }
}

#[test]
fn all_operations_with_one_user_data_are_found() {
    let mut reads = Reads::of(&[7, 7, 3]);
    if let Some(found) = reads.cancel((6, 0), SyncCancel::user_data(7).all()) {
        assert_eq!(found, SyncCancelled::Found(2));
        assert_eq!(reads.cancelled(), [7, 7]);
    }
}

#[test]
fn all_operations_on_a_file_are_found() {
    let mut reads = Reads::of(&[1, 2, 3]);
    let fd = reads.reader.as_raw_fd();
    if let Some(found) = reads.cancel((6, 0), SyncCancel::fd(fd).all()) {
        assert_eq!(found, SyncCancelled::Found(3));
        assert_eq!(reads.cancelled(), [1, 2, 3]);
    }
}

#[test]
fn operation_on_a_file_is_told_from_others_by_its_user_data() {
    let mut reads = Reads::of(&[1, 2, 3]);
    let fd = reads.reader.as_raw_fd();
    let cancel = SyncCancel::fd(fd).and_user_data(3);
    if let Some(found) = reads.cancel((6, 6), cancel) {
        assert_eq!(found, SyncCancelled::Found(0));
        assert_eq!(reads.cancelled(), [3]);
    }
}

#[test]
fn all_operations_on_a_registered_file_are_found() {
    let mut reads = Reads::of(&[1, 2]);
    let fd = reads.reader.as_raw_fd();
    reads.sq.register_files(&[-1, fd]).unwrap();
    // A registered file is the same file.
    if let Some(found) = reads.cancel((6, 0), SyncCancel::fixed_file(1).all()) {
        assert_eq!(found, SyncCancelled::Found(2));
        assert_eq!(reads.cancelled(), [1, 2]);
        let error = reads
            .sq
            .register_sync_cancel(&SyncCancel::fixed_file(0))
            .unwrap_err();
        assert_eq!(error.errno(), libc::EBADF);
    }
}

#[test]
fn operations_with_a_code_are_found() {
    let mut reads = Reads::of(&[1, 2]);
    if let Some(found) = reads.cancel((6, 6), SyncCancel::opcode(OpCode::READ).all()) {
        assert_eq!(found, SyncCancelled::Found(2));
        let other = reads.cancel((6, 6), SyncCancel::opcode(OpCode::ACCEPT));
        assert_eq!(other, Some(SyncCancelled::NotFound));
        assert_eq!(reads.cancelled(), [1, 2]);
    }
}

#[test]
fn any_operation_is_found() {
    let mut reads = Reads::of(&[1, 2, 3]);
    if let Some(found) = reads.cancel((6, 0), SyncCancel::any()) {
        assert_eq!(found, SyncCancelled::Found(3));
        assert_eq!(reads.cancelled(), [1, 2, 3]);
        let again = reads.cancel((6, 0), SyncCancel::any());
        assert_eq!(again, Some(SyncCancelled::Found(0)));
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let mut reads = Reads::of(&[]);
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::MAX] {
        let cancel = SyncCancel::user_data(9).timeout(timeout);
        match reads.cancel((6, 0), cancel) {
            Some(found) => assert_eq!(found, SyncCancelled::NotFound, "{timeout:?}"),
            None => return,
        }
    }
    let found = reads.cancel((6, 0), SyncCancel::user_data(9).all());
    assert_eq!(found, Some(SyncCancelled::Found(0)));
}

#[test]
fn choices_that_contradict_each_other_are_refused() {
    let mut reads = Reads::of(&[1]);
    if reads.cancel((6, 0), SyncCancel::user_data(9)).is_none() {
        return;
    }
    let closed = closed_fd();
    let error = reads
        .sq
        .register_sync_cancel(&SyncCancel::fd(closed))
        .unwrap_err();
    assert_eq!(error.errno(), libc::EBADF);
    assert_eq!(*error.cause(), RegisterCause::BadDescriptor);
    assert!(reads.cancelled().is_empty());
}

#[test]
fn ring_for_one_thread_cancels() {
    let mut ring = IoUring::new(8).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let mut buffer = [0u8; 8];
    let read = Read {
        fd: reader.as_raw_fd(),
        ptr: buffer.as_mut_ptr().cast(),
        len: 8,
        offset: 0,
    };
    // SAFETY: the buffer lives until the completion has been taken.
    unsafe { ring.push(&read, 5) }.unwrap();
    ring.submit().unwrap();
    let cancelled = ring
        .submission()
        .register_sync_cancel(&SyncCancel::user_data(5));
    if let Some(found) = kernel::since(6, 0, cancelled) {
        assert_eq!(found, SyncCancelled::Found(0));
        let completion = ring.next().unwrap();
        assert_eq!(completion.raw_result(), -libc::ECANCELED);
    } else {
        drop(writer);
        assert_eq!(ring.next().unwrap().raw_result(), 0);
    }
}
