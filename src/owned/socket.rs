//! Sockets: making and connecting them, accepting.

use std::io;
use std::net;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use super::address::{Address, AddressRoom};
use super::descriptor::Descriptor;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// The descriptor that an operation has made.
pub(super) fn descriptor(done: Completion) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just made it, for whoever takes this completion.
    done.result().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a socket.
///
/// # Output
///
/// The socket. It is closed if nobody takes it.
///
/// See [`operation::Socket`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Socket {
    /// The family, as `AF_INET`.
    pub domain: i32,
    /// The type, as `SOCK_STREAM`. `SOCK_CLOEXEC` is added.
    pub kind: i32,
    /// The protocol, or 0.
    pub protocol: i32,
}

// SAFETY: the entry points to nothing.
unsafe impl Operation for Socket {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Socket {
            domain: self.domain,
            r#type: self.kind | libc::SOCK_CLOEXEC,
            protocol: self.protocol,
            flags: 0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(done)
    }
}

/// Accepts a connection.
///
/// # Output
///
/// The connection. It is closed if nobody takes it, so that its peer is told.
///
/// See [`operation::Accept`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Accept<S> {
    /// The listening socket.
    pub listener: S,
}

// SAFETY: the entry names the listener alone, which is owned.
unsafe impl<S: Descriptor> Operation for Accept<S> {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        let target = self.listener.target();
        target.entry(&operation::Accept {
            fd: target.number(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(done)
    }
}

/// Accepts a connection, and tells whose it is.
///
/// # Output
///
/// The connection, and the address of its peer. It is closed if nobody takes it.
///
/// See [`operation::Accept`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct AcceptFrom<S> {
    listener: S,
    peer: AddressRoom,
}

impl<S: Descriptor> AcceptFrom<S> {
    /// Accepts a connection of this listening socket.
    pub fn new(listener: S) -> Self {
        Self {
            listener,
            peer: AddressRoom::new(),
        }
    }
}

// SAFETY: the entry names the listener and the room for the address, which are owned and not used
// until it has ended.
unsafe impl<S: Descriptor> Operation for AcceptFrom<S> {
    type Output = io::Result<(OwnedFd, Address)>;

    fn entry(&mut self) -> Sqe {
        let target = self.listener.target();
        let (addr, addrlen) = self.peer.room_and_len();
        target.entry(&operation::Accept {
            fd: target.number(),
            addr,
            addrlen,
            flags: libc::SOCK_CLOEXEC,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(done).map(|connection| (connection, self.peer.address()))
    }
}

/// Connects a socket.
///
/// # Output
///
/// Nothing but whether it is connected. What happens when nobody waits for it any longer is up to
/// the socket, which is closed if nobody else has it.
///
/// See [`operation::Connect`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Connect<S> {
    /// The socket.
    pub socket: S,
    /// Whom to connect it to.
    pub address: Address,
}

// SAFETY: the entry names the socket and the address, which are owned and not changed.
unsafe impl<S: Descriptor> Operation for Connect<S> {
    type Output = io::Result<()>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let (addr, addrlen) = self.address.as_raw();
        target.entry(&operation::Connect {
            fd: target.number(),
            addr,
            addrlen,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Gives a socket an address of its own.
///
/// See [`operation::Bind`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Bind<S> {
    /// The socket.
    pub socket: S,
    /// Its address.
    pub address: Address,
}

// SAFETY: as for `Connect`.
unsafe impl<S: Descriptor> Operation for Bind<S> {
    type Output = io::Result<()>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let (addr, addrlen) = self.address.as_raw();
        target.entry(&operation::Bind {
            fd: target.number(),
            addr,
            addrlen,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Has a socket listen for connections.
///
/// See [`operation::Listen`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Listen<S> {
    /// The socket.
    pub socket: S,
    /// How many connections can wait to be accepted.
    pub backlog: u32,
}

// SAFETY: the entry names the socket alone, which is owned.
unsafe impl<S: Descriptor> Operation for Listen<S> {
    type Output = io::Result<()>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Listen {
            fd: target.number(),
            backlog: i32::try_from(self.backlog).unwrap_or(i32::MAX),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Ends one direction of a connection, or both.
///
/// See [`operation::Shutdown`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Shutdown<S> {
    /// The connection.
    pub socket: S,
    /// What is ended.
    pub how: net::Shutdown,
}

// SAFETY: the entry names the socket alone, which is owned.
unsafe impl<S: Descriptor> Operation for Shutdown<S> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Shutdown {
            fd: target.number(),
            how: match self.how {
                net::Shutdown::Read => libc::SHUT_RD,
                net::Shutdown::Write => libc::SHUT_WR,
                net::Shutdown::Both => libc::SHUT_RDWR,
            },
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
