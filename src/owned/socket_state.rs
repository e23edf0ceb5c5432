//! What can be asked of a socket: amounts, addresses.

use std::io;
use std::ptr;

use super::address::{Address, AddressRoom};
use super::descriptor::{Descriptor, Target};
use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, SocketOp};

/// The entry of a command that uses no memory.
fn amount(target: Target, cmd_op: SocketOp) -> Sqe {
    target.entry(&operation::CmdSock {
        cmd_op,
        fd: target.number(),
        level: 0,
        optname: 0,
        optval: ptr::null_mut(),
        optlen: 0,
    })
}

/// Tells how much can be received from a socket: of datagrams, how long the first is.
///
/// Since Linux 6.5. Unix sockets cannot be asked.
///
/// See [`SocketOp::SIOCINQ`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct BytesReadable<S> {
    /// The socket.
    pub socket: S,
}

// SAFETY: the entry names the socket alone, which is owned.
unsafe impl<S: Descriptor> Operation for BytesReadable<S> {
    type Output = io::Result<usize>;

    fn entry(&mut self) -> Sqe {
        amount(self.socket.target(), SocketOp::SIOCINQ)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(done)
    }
}

/// Tells how much of what was sent has not left a socket or, with TCP, has not arrived.
///
/// Since Linux 6.5. Unix sockets cannot be asked.
///
/// See [`SocketOp::SIOCOUTQ`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct BytesUnsent<S> {
    /// The socket.
    pub socket: S,
}

// SAFETY: the entry names the socket alone, which is owned.
unsafe impl<S: Descriptor> Operation for BytesUnsent<S> {
    type Output = io::Result<usize>;

    fn entry(&mut self) -> Sqe {
        amount(self.socket.target(), SocketOp::SIOCOUTQ)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(done)
    }
}

/// Tells the address of a socket, or that of its peer.
///
/// Since Linux 6.19; older kernels answer `EOPNOTSUPP`.
///
/// See [`operation::CmdGetsockname`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct AddressOf<S> {
    socket: S,
    peer: bool,
    room: AddressRoom,
}

impl<S: Descriptor> AddressOf<S> {
    /// Asks for a socket's own address.
    pub fn local(socket: S) -> Self {
        let (peer, room) = (false, AddressRoom::new());
        Self { socket, peer, room }
    }

    /// Asks for the address of whom a socket is connected to.
    pub fn peer(socket: S) -> Self {
        let (peer, room) = (true, AddressRoom::new());
        Self { socket, peer, room }
    }
}

// SAFETY: the entry names the socket and the room for the address, which are owned and not used until
// it has ended.
unsafe impl<S: Descriptor> Operation for AddressOf<S> {
    type Output = io::Result<Address>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let (sockaddr, sockaddr_len) = self.room.room_and_len();
        target.entry(&operation::CmdGetsockname {
            fd: target.number(),
            sockaddr,
            sockaddr_len,
            peer: self.peer.into(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.room.address())
    }
}
