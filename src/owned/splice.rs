//! Moving data through pipes.

use std::io;

use super::descriptor::{Descriptor, Target};
use super::file::{count, stoppable};
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, SPLICE_F_FD_IN_FIXED};

/// The flags of a transfer from a target, which alone says whether it is a registered file.
fn flags_from(from: Target, flags: u32) -> u32 {
    match from {
        Target::Fd(_) => flags & !SPLICE_F_FD_IN_FIXED,
        Target::Slot { .. } => flags | SPLICE_F_FD_IN_FIXED,
    }
}

/// An offset as an entry has it. One that does not fit is refused.
fn entry_offset(offset: Option<u64>) -> i64 {
    match offset {
        Some(offset) => i64::try_from(offset).unwrap_or(i64::MIN),
        None => -1,
    }
}

/// Moves data from a file to a pipe, or from a pipe to a file, without copying it to the program.
///
/// One of both must be a pipe. It waits until the pipe has data or room; with `SPLICE_F_NONBLOCK` it
/// fails with `EAGAIN` instead.
///
/// # Output
///
/// How many bytes were moved, which can be fewer than `len`; 0 at the end of the data.
///
/// # Cancellation
///
/// What has been moved when nobody waits for it any longer stays where it is. A transfer that waits
/// ends with `EINTR` or `ECANCELED`. It waits on a kernel worker, where newer kernels do not apply the
/// limit of [`Ring::push_within`](super::Ring::push_within).
///
/// See [`operation::Splice`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Splice<F, T> {
    /// Where the data comes from.
    pub from: F,
    /// Where in it to begin; `None` for a pipe, and for the file's position.
    pub from_offset: Option<u64>,
    /// Where the data goes.
    pub to: T,
    /// Where in it to begin; `None` for a pipe, and for the file's position.
    pub to_offset: Option<u64>,
    /// How many bytes to move at the most.
    pub len: u32,
    /// `SPLICE_F_MOVE`, `SPLICE_F_MORE`, `SPLICE_F_NONBLOCK`, or 0.
    pub flags: u32,
}

// SAFETY: the entry names both files, which are owned, and nothing else.
unsafe impl<F: Descriptor, T: Descriptor> Operation for Splice<F, T> {
    type Output = io::Result<usize>;

    fn entry(&mut self) -> Sqe {
        let (from, to) = (self.from.target(), self.to.target());
        let mut sqe = to.entry(&operation::Splice {
            fd_in: from.number(),
            off_in: entry_offset(self.from_offset),
            fd_out: to.number(),
            off_out: entry_offset(self.to_offset),
            nbytes: self.len,
            splice_flags: flags_from(from, self.flags),
        });
        from.require(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(stoppable(done))
    }
}

/// Copies data from one pipe to another, and leaves it in the first.
///
/// It waits as [`Splice`] does.
///
/// # Output
///
/// How many bytes were copied, which can be fewer than `len`; 0 at the end of the data.
///
/// # Cancellation
///
/// As of [`Splice`].
///
/// See [`operation::Tee`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Tee<F, T> {
    /// The pipe that the data comes from.
    pub from: F,
    /// The pipe that the data goes to.
    pub to: T,
    /// How many bytes to copy at the most.
    pub len: u32,
    /// `SPLICE_F_NONBLOCK`, or 0.
    pub flags: u32,
}

// SAFETY: as for `Splice`.
unsafe impl<F: Descriptor, T: Descriptor> Operation for Tee<F, T> {
    type Output = io::Result<usize>;

    fn entry(&mut self) -> Sqe {
        let (from, to) = (self.from.target(), self.to.target());
        let mut sqe = to.entry(&operation::Tee {
            fd_in: from.number(),
            fd_out: to.number(),
            nbytes: self.len,
            splice_flags: flags_from(from, self.flags),
        });
        from.require(&mut sqe);
        sqe
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(stoppable(done))
    }
}
