//! Sending datagrams, each to an address of its own.

use std::io;

use super::address::Address;
use super::buffer::{Buffer, entry_len};
use super::descriptor::Descriptor;
use super::file::count;
use super::operation::Operation;
use super::transfer::send_flags;
use crate::completion::Completion;
use crate::entry::{RecvSendFlags, Sqe};
use crate::operation;

/// Sends a buffer as a datagram to an address.
///
/// Since Linux 6.2. Older kernels refuse it or, before 5.17, leave the address out of account:
/// there, use [`SendMsg`](super::SendMsg).
///
/// # Output
///
/// How many bytes were sent, and the buffer.
///
/// See [`operation::Sendto`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendTo<S, B> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffer: B,
    /// Whom it is sent to.
    pub address: Address,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

/// An address and its size, for which an entry has 16 bits.
fn destination(address: &Address) -> (*const libc::sockaddr, u16) {
    let (address, size) = address.as_raw();
    (address, u16::try_from(size).unwrap_or(u16::MAX))
}

// SAFETY: the entry names the buffer's bytes, the address and the socket, which are owned and not
// used until it has ended.
unsafe impl<S: Descriptor, B: Buffer> Operation for SendTo<S, B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let (addr, addrlen) = destination(&self.address);
        target.entry(&operation::Sendto {
            sockfd: target.number(),
            buf: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            flags: send_flags(self.flags),
            addr,
            addrlen,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}

/// Sends a buffer as a datagram to an address, without copying it, if the kernel can.
///
/// # Output
///
/// That of [`SendTo`]. It comes when the kernel has let go of the buffer.
///
/// See [`operation::SendZc`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendToZc<S, B> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffer: B,
    /// Whom it is sent to.
    pub address: Address,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: as for `SendTo`. The notification is waited for.
unsafe impl<S: Descriptor, B: Buffer> Operation for SendToZc<S, B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let (addr, addrlen) = destination(&self.address);
        let mut sqe = target.entry(&operation::SendZc {
            sockfd: target.number(),
            buf: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            flags: send_flags(self.flags),
            zc_flags: RecvSendFlags::empty(),
        });
        sqe.set_destination(addr, addrlen);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}
