//! Readiness: waiting for it, and no longer waiting.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

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
        // The mask had 16 bits once, at the same address. Its lower half keeps that place, so on a
        // big-endian machine the halves are swapped.
        let mask = if cfg!(target_endian = "big") {
            self.poll_mask.rotate_left(16)
        } else {
            self.poll_mask
        };
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
        sqe.insert_op_flags(mask);
    }
}

/// Ends a [`PollAdd`] that is waiting.
///
/// [`Cancel`](super::Cancel) does the same for any operation.
///
/// # Result
///
/// 0. The [`PollAdd`] completes with `ECANCELED`.
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
    /// The user data that the [`PollAdd`] was pushed with.
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
