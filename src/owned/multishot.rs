//! Operations that complete again and again.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr;
use std::time::Duration;

use super::descriptor::Descriptor;
use super::socket::descriptor;
use super::stream::Multishot;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, TimeoutFlags, Timespec};

/// Accepts one connection after the other.
///
/// # Items
///
/// The connections. Those that nobody takes are closed, so that their peers are told.
///
/// See [`operation::AcceptMulti`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct AcceptMulti<S> {
    /// The listening socket.
    pub listener: S,
}

// SAFETY: the entry names the listener alone, which is owned.
unsafe impl<S: Descriptor> Multishot for AcceptMulti<S> {
    type Item = OwnedFd;

    fn entry(&mut self) -> Sqe {
        let target = self.listener.target();
        target.entry(&operation::AcceptMulti {
            fd: target.number(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        })
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<OwnedFd>> {
        descriptor(done).map(Some)
    }
}

/// Tells each time that a file or socket becomes ready for something.
///
/// # Items
///
/// What it is ready for, as for [`Poll`](super::Poll). Several events can come as one.
///
/// See [`operation::PollMulti`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct PollMulti<F> {
    /// The file or socket.
    pub file: F,
    /// `POLL*`.
    pub events: u32,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Multishot for PollMulti<F> {
    type Item = u32;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::PollMulti {
            fd: target.number(),
            poll_mask: self.events,
        })
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<u32>> {
        done.result().map(|events| Some(events.cast_unsigned()))
    }
}

/// Ticks again and again, with the same time in between.
///
/// # Items
///
/// One for each time that the time has passed. Before Linux 6.4, which knows no timers that repeat,
/// the first is an error: `EINVAL`.
///
/// See [`operation::Timeout`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Ticks {
    time: Timespec,
}

impl Ticks {
    /// Ticks at this interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            time: interval.into(),
        }
    }
}

// SAFETY: the entry names the time, which is part of the value, and not changed.
unsafe impl Multishot for Ticks {
    type Item = ();

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Timeout {
            ts: &raw const self.time,
            count: 0,
            flags: TimeoutFlags::MULTISHOT,
        })
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<()>> {
        match done.result() {
            Err(error) if error.raw_os_error() != Some(libc::ETIME) => Err(error),
            _ => Ok(Some(())),
        }
    }
}
