//! Waiting for time to pass, and for readiness.

use std::io;
use std::time::Duration;

use super::descriptor::Descriptor;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, TimeoutFlags, Timespec};

/// Ends after some time.
///
/// # Output
///
/// Nothing; that the time has passed is no error.
///
/// See [`operation::Timeout`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Sleep {
    time: Timespec,
}

impl Sleep {
    /// Waits this long.
    pub fn new(duration: Duration) -> Self {
        Self {
            time: duration.into(),
        }
    }
}

// SAFETY: the entry names the time, which is part of the value, and not changed.
unsafe impl Operation for Sleep {
    type Output = io::Result<()>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Timeout {
            ts: &raw const self.time,
            count: 0,
            flags: TimeoutFlags::empty(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        match done.result() {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Waits until a file or socket is ready for something.
///
/// # Output
///
/// What it is ready for: `POLLIN`, `POLLOUT`, `POLLHUP` and so on, as far as it was asked for or is an
/// error.
///
/// See [`operation::PollAdd`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Poll<F> {
    /// The file or socket.
    pub file: F,
    /// `POLL*`.
    pub events: u32,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for Poll<F> {
    type Output = io::Result<u32>;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::PollAdd {
            fd: target.number(),
            poll_mask: self.events,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(i32::cast_unsigned)
    }
}

/// The time limit of the operation before it.
#[derive(Debug)]
pub(super) struct Limit {
    time: Timespec,
}

impl Limit {
    pub(super) fn new(limit: Duration) -> Self {
        Self { time: limit.into() }
    }
}

// SAFETY: the entry names the time, which is part of the value, and not changed.
unsafe impl Operation for Limit {
    type Output = ();

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::LinkTimeout {
            ts: &raw const self.time,
            flags: TimeoutFlags::empty(),
        })
    }

    unsafe fn complete(self, _: Completion) {}
}
