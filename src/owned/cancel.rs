//! Asking the kernel to stop an operation.

use std::io;

use super::operation::Operation;
use super::places::SlotId;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{Cancel, CancelFlags};

/// Asks the kernel to stop an operation whose ticket is kept: see
/// [`Ticket::cancel`](super::Ticket::cancel).
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct CancelRequest {
    slot: SlotId,
}

impl CancelRequest {
    pub(super) fn new(slot: SlotId) -> Self {
        Self { slot }
    }
}

/// What became of a request to stop an operation.
///
/// In each case the operation's own output is still to be taken, and says how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It was stopped.
    Stopped,
    /// It was not found waiting: it has ended, or is being carried out and cannot be stopped, or was
    /// just about to try again. It ends by itself, or can be asked to stop again.
    NotFound,
    /// A worker of the kernel is carrying it out, and was told to stop, which it may do or not.
    Running,
}

// SAFETY: the entry points to nothing.
unsafe impl Operation for CancelRequest {
    type Output = io::Result<Cancelled>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&Cancel {
            user_data: self.slot.into(),
            flags: CancelFlags::empty(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        match done.raw_result().wrapping_neg() {
            libc::ENOENT => Ok(Cancelled::NotFound),
            libc::EALREADY => Ok(Cancelled::Running),
            _ => done.result().map(|_| Cancelled::Stopped),
        }
    }
}
