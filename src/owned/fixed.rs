//! Reading, writing and sending registered buffers.

use std::io;

use super::buffer::{Buffer, BufferMut, entry_len};
use super::descriptor::Descriptor;
use super::file::{count, fill};
use super::operation::Operation;
use super::registered_pool::{Registered, require};
use super::transfer::send_flags;
use crate::completion::Completion;
use crate::entry::{RecvSendFlags, Sqe};
use crate::operation;

/// Reads from a file into a registered buffer.
///
/// # Output
///
/// As of [`Read`](super::Read).
///
/// See [`operation::ReadFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct ReadFixed<F, B> {
    /// The file.
    pub file: F,
    /// Where the bytes go.
    pub buffer: B,
    /// Where in the file they are, or `u64::MAX` for its position.
    pub offset: u64,
}

// SAFETY: the entry names the buffer's room and the file, which are owned and not used until it has
// ended.
unsafe impl<F: Descriptor, B: BufferMut + Registered> Operation for ReadFixed<F, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        let mut sqe = target.entry(&operation::ReadFixed {
            fd: target.number(),
            buf: self.buffer.room().cast(),
            nbytes: entry_len(self.buffer.capacity()),
            offset: self.offset,
            buf_index: 0,
        });
        require(&self.buffer, &mut sqe);
        sqe
    }

    #[inline]
    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        (fill(&mut self.buffer, done), self.buffer)
    }
}

/// Writes a registered buffer to a file.
///
/// # Output
///
/// As of [`Write`](super::Write).
///
/// See [`operation::WriteFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct WriteFixed<F, B> {
    /// The file.
    pub file: F,
    /// What is written.
    pub buffer: B,
    /// Where in the file it goes, or `u64::MAX` for its position.
    pub offset: u64,
}

// SAFETY: the entry names the buffer's bytes and the file, which are owned and not used until it has
// ended.
unsafe impl<F: Descriptor, B: Buffer + Registered> Operation for WriteFixed<F, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        let mut sqe = target.entry(&operation::WriteFixed {
            fd: target.number(),
            buf: self.buffer.address().cast(),
            nbytes: entry_len(self.buffer.bytes()),
            offset: self.offset,
            buf_index: 0,
        });
        require(&self.buffer, &mut sqe);
        sqe
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}

/// Sends a registered buffer without copying it, if the kernel can.
///
/// # Output
///
/// As of [`SendZc`](super::SendZc).
///
/// See [`operation::SendZcFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendZcFixed<S, B> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffer: B,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: as for `SendZc`.
unsafe impl<S: Descriptor, B: Buffer + Registered> Operation for SendZcFixed<S, B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let mut sqe = target.entry(&operation::SendZcFixed {
            sockfd: target.number(),
            buf: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            flags: send_flags(self.flags),
            zc_flags: RecvSendFlags::empty(),
            buf_index: 0,
        });
        require(&self.buffer, &mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}
