//! What is behind the slots of a ring's registered files.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io;

use lio_uring::kind::Threads;
use lio_uring::operation::{Read, Write};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

use crate::rings::run;

/// Reads up to 16 bytes from the start of the file in a slot.
#[track_caller]
pub(crate) fn read_slot<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: i32,
) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 16];
    let read = Read {
        fd: slot,
        ptr: buffer.as_mut_ptr().cast(),
        len: 16,
        offset: 0,
    };
    // SAFETY: the buffer is left alone until the completion has been taken, and the slots hold
    // files of this test.
    let done = unsafe { run(cq, sq, &read, |sqe| sqe.insert_flags(SqeFlags::FIXED_FILE)) };
    let n = usize::try_from(done.result()?).expect("a count");
    Ok(buffer[..n].to_vec())
}

/// Writes to the start of the file in a slot, and returns how much.
#[track_caller]
pub(crate) fn write_slot<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: i32,
    bytes: &[u8],
) -> io::Result<i32> {
    let write = Write {
        fd: slot,
        ptr: bytes.as_ptr().cast(),
        len: bytes.len().try_into().expect("few bytes"),
        offset: 0,
    };
    // SAFETY: the bytes are borrowed until the completion has been taken, and the slots hold files
    // of this test.
    let done = unsafe { run(cq, sq, &write, |sqe| sqe.insert_flags(SqeFlags::FIXED_FILE)) };
    done.result()
}

/// Whether there is no file in a slot.
#[track_caller]
pub(crate) fn is_empty<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: i32,
) -> bool {
    read_slot(cq, sq, slot).is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}
