//! Operations that start only when their arguments are gone.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{Operation, Read};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

use crate::rings::wait;

/// Submits `operation` behind a read that waits, calls `spoil`, and only then lets it start.
///
/// # Safety
///
/// What the operation asks for, but that argument memory need not outlive the submission.
#[track_caller]
pub(crate) unsafe fn run_late<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    spoil: impl FnOnce(),
) -> i32 {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let mut byte = [0u8];
    let read = Read {
        fd: reader.as_raw_fd(),
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the byte is left alone and the pipe open until the completion has been taken.
    unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.expect("room");
    // SAFETY: the caller's promise.
    unsafe { sq.push(operation, 2) }.expect("room");
    sq.submit().expect("a submission");
    spoil();
    writer.write_all(b"!").expect("the pipe has a reader");
    let done = wait(cq, sq, 2);
    assert_eq!((done[0].user_data(), done[0].raw_result()), (1, 1));
    done[1].raw_result()
}
