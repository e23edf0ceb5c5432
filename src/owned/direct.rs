//! Opening, accepting and making sockets right into registered places.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr;

use super::descriptor::Descriptor;
use super::operation::Operation;
use super::slots::{Slot, Slots};
use super::socket::descriptor;
use super::stream::Multishot;
use crate::completion::Completion;
use crate::entry::{FileSlot, Sqe};
use crate::kind::{OneThread, Threads};
use crate::operation::{self, FixedFdInstallFlags};

/// Opens a file into a registered place.
///
/// # Output
///
/// The place, now with the file.
///
/// Since Linux 5.15. See [`operation::OpenatDirect`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct OpenDirect<T: Threads = OneThread> {
    /// Its path, from the working directory unless it is absolute.
    pub path: CString,
    /// `O_*`, without `O_CLOEXEC`.
    pub flags: i32,
    /// The mode of a file that is made, as `0o666`, of which the process's mask is taken away.
    pub mode: libc::mode_t,
    /// Where it goes. What is there is closed.
    pub slot: Slot<T>,
}

// SAFETY: the entry names the path, which is owned, elsewhere in memory, and not changed; and the
// place, which is owned.
unsafe impl<T: Threads> Operation for OpenDirect<T> {
    type Output = io::Result<Slot<T>>;

    fn entry(&mut self) -> Sqe {
        let mut sqe = Sqe::of(&operation::OpenatDirect {
            dfd: libc::AT_FDCWD,
            path: self.path.as_ptr(),
            flags: self.flags,
            mode: self.mode,
            file_index: FileSlot::At(0),
        });
        self.slot.receive(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.slot)
    }
}

/// Makes a socket in a registered place.
///
/// # Output
///
/// The place, now with the socket.
///
/// Since Linux 5.19. See [`operation::SocketDirect`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SocketDirect<T: Threads = OneThread> {
    /// The family, as `AF_INET`.
    pub domain: i32,
    /// The type, as `SOCK_STREAM`, without `SOCK_CLOEXEC`.
    pub kind: i32,
    /// The protocol, or 0.
    pub protocol: i32,
    /// Where it goes. What is there is closed.
    pub slot: Slot<T>,
}

// SAFETY: the entry names the place alone, which is owned.
unsafe impl<T: Threads> Operation for SocketDirect<T> {
    type Output = io::Result<Slot<T>>;

    fn entry(&mut self) -> Sqe {
        let mut sqe = Sqe::of(&operation::SocketDirect {
            domain: self.domain,
            r#type: self.kind,
            protocol: self.protocol,
            file_index: FileSlot::At(0),
            flags: 0,
        });
        self.slot.receive(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.slot)
    }
}

/// Accepts a connection into a registered place.
///
/// # Output
///
/// The place, now with the connection. It is closed if nobody takes it, so that its peer is told.
///
/// Since Linux 5.15. See [`operation::AcceptDirect`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct AcceptDirect<S, T: Threads = OneThread> {
    /// The listening socket.
    pub listener: S,
    /// Where the connection goes. What is there is closed.
    pub slot: Slot<T>,
}

// SAFETY: the entry names the listener and the place, which are owned.
unsafe impl<S: Descriptor, T: Threads> Operation for AcceptDirect<S, T> {
    type Output = io::Result<Slot<T>>;

    fn entry(&mut self) -> Sqe {
        let target = self.listener.target();
        let mut sqe = target.entry(&operation::AcceptDirect {
            fd: target.number(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
            file_index: FileSlot::At(0),
        });
        self.slot.receive(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.slot)
    }
}

/// Accepts one connection after the other into registered places that the kernel picks.
///
/// # Items
///
/// Places with the connections. Those that nobody takes are closed. The stream ends with `ENFILE`
/// when all places are taken, and the connection that there was none for is closed; with `EINVAL` if
/// the places are not for the kernel to pick from: see
/// [`Ring::register_picked_slots`](super::Ring::register_picked_slots).
///
/// Since Linux 5.19. See [`operation::AcceptMultiDirect`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct AcceptMultiDirect<S, T: Threads = OneThread> {
    /// The listening socket.
    pub listener: S,
    /// Where the connections go.
    pub slots: Slots<T>,
}

// SAFETY: the entry names the listener and the places, which are owned.
unsafe impl<S: Descriptor, T: Threads> Multishot for AcceptMultiDirect<S, T> {
    type Item = Slot<T>;

    fn entry(&mut self) -> Sqe {
        let target = self.listener.target();
        let mut sqe = target.entry(&operation::AcceptMultiDirect {
            fd: target.number(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
        });
        self.slots.pick(&mut sqe);
        sqe
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<Slot<T>>> {
        let index = done.result()?.cast_unsigned();
        self.slots.picked(index).map(Some)
    }
}

/// Closes what is in a registered place.
///
/// Dropping the last handle does the same, with a system call of its own.
///
/// # Output
///
/// The place, empty; operations on it end with `EBADF`. `EBADF` if it was.
///
/// Since Linux 5.15. See [`operation::CloseFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct CloseDirect<T: Threads = OneThread> {
    /// The place.
    pub slot: Slot<T>,
}

// SAFETY: the entry names the place alone, which is owned.
unsafe impl<T: Threads> Operation for CloseDirect<T> {
    type Output = (io::Result<()>, Slot<T>);

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let (file_index, ring) = self.slot.empty();
        let mut sqe = Sqe::of(&operation::CloseFixed { file_index });
        ring.require(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (done.result().map(drop), self.slot)
    }
}

/// Makes a descriptor of the process of what is in a registered place.
///
/// # Output
///
/// The descriptor. The place keeps what it has.
///
/// Since Linux 6.8. See [`operation::FixedFdInstall`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Install<T: Threads = OneThread> {
    /// The place.
    pub slot: Slot<T>,
}

// SAFETY: the entry names the place alone, which is owned.
unsafe impl<T: Threads> Operation for Install<T> {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        let target = self.slot.target();
        target.entry(&operation::FixedFdInstall {
            fd: target.number(),
            flags: FixedFdInstallFlags::empty(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(done)
    }
}
