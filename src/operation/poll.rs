//! Readiness: waiting for it once or again and again, waiting for something else, no longer waiting.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;
use crate::sys;

/// The mask as an entry holds it.
#[inline]
fn stored(mask: u32) -> u32 {
    // The mask had 16 bits once, at the same address. Its lower half keeps that place, so on a
    // big-endian machine the halves are swapped.
    if cfg!(target_endian = "big") {
        mask.rotate_left(16)
    } else {
        mask
    }
}

/// Waits once until a file is ready.
///
/// Like `poll(2)` for one descriptor and without a time limit.
///
/// # Result
///
/// The events that are there, a mask of `POLL*` bits; `POLLERR` and `POLLHUP` whether asked for or
/// not.
///
/// # Errors
///
/// * `EINVAL` if the file is always ready, as regular files are, but never for what was asked.
///
/// # Notes
///
/// It says what was ready when it completed. Data may be gone by the time it is read.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.1. C: `io_uring_prep_poll_add(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_poll_add", "IORING_OP_POLL_ADD"))]
pub struct PollAdd {
    /// The descriptor to watch.
    pub fd: RawFd,
    /// `POLLIN`, `POLLOUT` and so on. `EPOLLEXCLUSIVE` is possible too.
    pub poll_mask: u32,
}

impl Operation for PollAdd {
    const OPCODE: OpCode = OpCode::POLL_ADD;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
        sqe.insert_op_flags(stored(self.poll_mask));
    }
}

/// Waits until a file is ready, again and again.
///
/// Like [`PollAdd`] in an endless loop, but only what is new completes it: data that is left unread
/// does not complete it a second time.
///
/// # Result
///
/// One completion each time that the file becomes ready, its result the events as of [`PollAdd`];
/// those that were told before and are still there may be missing from it. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come. The first completion for
/// which it does not is the last: an error, or events like any other if the kernel had to stop, as
/// when the completion queue is full. To go on, push it again.
///
/// # Errors
///
/// * `EINVAL` with [`CQE_SKIP_SUCCESS`](crate::SqeFlags::CQE_SKIP_SUCCESS).
/// * Those of [`PollAdd`].
///
/// # Cancellation
///
/// Events may come in until the last completion, whose result is `ECANCELED`.
///
/// # Notes
///
/// Several events may come as one completion: read until there is nothing more.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.13. C: `io_uring_prep_poll_multishot(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_poll_multishot",
    "IORING_OP_POLL_ADD",
    "IORING_POLL_ADD_MULTI"
))]
pub struct PollMulti {
    /// The descriptor to watch.
    pub fd: RawFd,
    /// `POLLIN`, `POLLOUT` and so on. `EPOLLEXCLUSIVE` is possible too.
    pub poll_mask: u32,
}

impl Operation for PollMulti {
    const OPCODE: OpCode = OpCode::POLL_ADD;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.13").or("PollAdd");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let flags = PollFlags::MULTI.bits();
        sqe.read_write(self.fd, ptr::null::<c_void>(), flags, 0);
        sqe.insert_op_flags(stored(self.poll_mask));
    }
}

/// Ends a [`PollAdd`] or [`PollMulti`] that is waiting.
///
/// [`Cancel`](super::Cancel) does the same for any operation.
///
/// # Result
///
/// 0; what was waiting completes with `ECANCELED`.
///
/// # Errors
///
/// * `ENOENT` if no such operation is waiting: it has completed, or was never there.
/// * `EALREADY` if it is completing this moment.
///
/// Since Linux 5.1. C: `io_uring_prep_poll_remove(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_poll_remove", "IORING_OP_POLL_REMOVE"))]
pub struct PollRemove {
    /// The user data that the operation was pushed with.
    pub user_data: u64,
}

impl Operation for PollRemove {
    const OPCODE: OpCode = OpCode::POLL_REMOVE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, ptr::null::<c_void>(), 0, 0);
        sqe.set_address(self.user_data);
    }
}

bitflags! {
    /// What [`PollUpdate`] changes.
    ///
    /// C: `IORING_POLL_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollFlags: u32 {
        /// Completes again and again; what [`PollMulti`] is. In an update it changes nothing.
        ///
        /// Since Linux 5.13. C: `IORING_POLL_ADD_MULTI`.
        const MULTI = sys::IORING_POLL_ADD_MULTI;
        /// The events to wait for.
        ///
        /// Since Linux 5.13. C: `IORING_POLL_UPDATE_EVENTS`.
        const UPDATE_EVENTS = sys::IORING_POLL_UPDATE_EVENTS;
        /// The user data that completions carry.
        ///
        /// Since Linux 5.13. C: `IORING_POLL_UPDATE_USER_DATA`.
        const UPDATE_USER_DATA = sys::IORING_POLL_UPDATE_USER_DATA;
        /// Completes as long as the file is ready, not only when it becomes so.
        ///
        /// No kernel is known that takes it: `EINVAL`. C: `IORING_POLL_ADD_LEVEL`.
        const LEVEL = sys::IORING_POLL_ADD_LEVEL;
    }
}

/// Changes what a [`PollAdd`] or [`PollMulti`] waits for, or its user data, while it waits.
///
/// # Result
///
/// 0; if what it waits for from now on is there already, it completes.
///
/// # Errors
///
/// * `ENOENT` if no such operation is waiting: it has completed, or was never there.
/// * `EALREADY` if it is completing this moment.
/// * `EINVAL` if a new value is not 0 although `flags` says that it does not change, with
///   [`LEVEL`](PollFlags::LEVEL), and with [`MULTI`](PollFlags::MULTI) alone.
///
/// # Notes
///
/// Without a flag it is a [`PollRemove`]. If the operation cannot wait for the new events, it
/// completes with `ECANCELED`.
///
/// If the new events of a [`PollAdd`] are there already, old kernels may leave one of the two without
/// a completion: Linux 5.10 unless the update is pushed with [`ASYNC`](crate::SqeFlags::ASYNC),
/// Linux 6.1 if it is.
///
/// Since Linux 5.13. C: `io_uring_prep_poll_update(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_poll_update", "IORING_OP_POLL_REMOVE"))]
pub struct PollUpdate {
    /// The user data that the operation was pushed with.
    pub old_user_data: u64,
    /// The user data that it has from now on; 0 without
    /// [`UPDATE_USER_DATA`](PollFlags::UPDATE_USER_DATA).
    pub new_user_data: u64,
    /// What it waits for from now on; 0 without [`UPDATE_EVENTS`](PollFlags::UPDATE_EVENTS).
    pub poll_mask: u32,
    /// What is changed.
    pub flags: PollFlags,
}

impl Operation for PollUpdate {
    const OPCODE: OpCode = OpCode::POLL_REMOVE;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.13").or("PollRemove");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let flags = self.flags.bits();
        sqe.read_write(-1, ptr::null::<c_void>(), flags, self.new_user_data);
        sqe.set_address(self.old_user_data);
        sqe.insert_op_flags(stored(self.poll_mask));
    }
}
