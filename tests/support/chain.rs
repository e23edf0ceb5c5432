//! Links of chains: what succeeds, what fails, what waits.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{Close, Nop, Read};
use lio_uring::{SqeFlags, SubmissionQueue};

#[track_caller]
pub(crate) fn push_nop<T: Threads>(sq: &mut SubmissionQueue<T>, user_data: u64, flags: SqeFlags) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_with_flags(&Nop, user_data, flags) }.expect("room");
}

/// Pushes what fails with `EBADF` when it is carried out.
#[track_caller]
pub(crate) fn push_failure<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    flags: SqeFlags,
) {
    let close = Close { fd: -1 };
    // SAFETY: there is no such descriptor.
    unsafe { sq.push_with_flags(&close, user_data, flags) }.expect("room");
}

/// A pipe that a read waits for.
pub(crate) struct Gate {
    reader: PipeReader,
    writer: PipeWriter,
    pub(crate) byte: Box<u8>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (reader, writer) = io::pipe().expect("a pipe");
        let byte = Box::new(0);
        Self {
            reader,
            writer,
            byte,
        }
    }

    /// Pushes the read.
    #[track_caller]
    pub(crate) fn push<T: Threads>(
        &mut self,
        sq: &mut SubmissionQueue<T>,
        user_data: u64,
        flags: SqeFlags,
    ) {
        let read = Read {
            fd: self.reader.as_raw_fd(),
            ptr: (&raw mut *self.byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: nothing touches the byte, and the pipe is open until the read has ended.
        unsafe { sq.push_with_flags(&read, user_data, flags) }.expect("room");
    }

    /// Lets the read end.
    #[track_caller]
    pub(crate) fn open(&mut self) {
        self.writer.write_all(b"!").expect("the pipe has a reader");
    }
}
