//! Sending and receiving.

use std::io;

use super::buffer::{Buffer, BufferMut, entry_len};
use super::descriptor::Descriptor;
use super::file::{count, fill};
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::{RecvSendFlags, Sqe};
use crate::operation;

/// Receives from a socket, into as much room as the buffer has.
///
/// # Output
///
/// How many bytes were received, 0 if the peer has ended its side, and the buffer. A vector's length
/// is that number; it is unchanged after an error.
///
/// # Cancellation
///
/// What has been received when nobody waits for it any longer is lost.
///
/// See [`operation::Recv`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Recv<S, B> {
    /// The socket.
    pub socket: S,
    /// Where the bytes go.
    pub buffer: B,
    /// `MSG_*`, or 0. `MSG_TRUNC` is taken away.
    pub flags: i32,
}

/// The control data of programs with shorter pointers, which no ring here is for.
const MSG_CMSG_COMPAT: i32 = i32::MIN;

/// Leaves bytes in a network device's memory.
const MSG_SOCK_DEVMEM: i32 = 0x200_0000;

/// The flags of a receive. Some would have the result be more than was written to the buffer.
#[inline]
pub(super) fn recv_flags(flags: i32) -> i32 {
    flags & !(libc::MSG_TRUNC | MSG_SOCK_DEVMEM | MSG_CMSG_COMPAT)
}

// SAFETY: the entry names the buffer's room and the socket, which are owned and not used until it
// has ended.
unsafe impl<S: Descriptor, B: BufferMut> Operation for Recv<S, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Recv {
            sockfd: target.number(),
            buf: self.buffer.room().cast(),
            len: entry_len(self.buffer.capacity()),
            flags: recv_flags(self.flags),
        })
    }

    #[inline]
    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        (fill(&mut self.buffer, done), self.buffer)
    }
}

/// The flags of a send. Of a copy that is left out the plain send would not say when it is over.
#[inline]
pub(super) fn send_flags(flags: i32) -> i32 {
    (flags | libc::MSG_NOSIGNAL) & !(libc::MSG_ZEROCOPY | MSG_CMSG_COMPAT)
}

/// Sends a buffer to a connected socket's peer.
///
/// # Output
///
/// How many bytes were sent, which can be fewer unless the flags have `MSG_WAITALL`, and the buffer.
///
/// See [`operation::Send`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Send<S, B> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffer: B,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: the entry names the buffer's bytes and the socket, which are owned and not used until it
// has ended.
unsafe impl<S: Descriptor, B: Buffer> Operation for Send<S, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Send {
            sockfd: target.number(),
            buf: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            flags: send_flags(self.flags),
        })
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}

/// Sends a buffer without copying it, if the kernel can.
///
/// # Output
///
/// That of [`Send`]. It comes when the kernel has let go of the buffer, which can be long after the
/// bytes were sent: when the peer has received them.
///
/// See [`operation::SendZc`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendZc<S, B> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffer: B,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: as for `Send`. The notification is waited for.
unsafe impl<S: Descriptor, B: Buffer> Operation for SendZc<S, B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::SendZc {
            sockfd: target.number(),
            buf: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            flags: send_flags(self.flags),
            zc_flags: RecvSendFlags::empty(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}
