//! Sets of descriptors that are watched by epoll.

use std::os::fd::RawFd;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Adds a descriptor to an epoll set, changes what it is watched for, or removes it.
///
/// Like `epoll_ctl(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` if `epfd` or `fd` is not a descriptor, even if it is the index of a registered file.
/// * `EFAULT` if the event is not mapped.
/// * Those of `epoll_ctl(2)`.
///
/// # Safety
///
/// * `ev` points to an event, [argument memory](crate::operation#memory). With `EPOLL_CTL_DEL` it is
///   not used.
/// * `epfd` and `fd` are descriptors that the caller may use, until the completion, and whoever
///   takes events from the set is prepared for those of `fd`.
///
/// Since Linux 5.6. C: `io_uring_prep_epoll_ctl(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_epoll_ctl", "IORING_OP_EPOLL_CTL"))]
pub struct EpollCtl {
    /// The epoll set.
    pub epfd: RawFd,
    /// The descriptor to watch.
    pub fd: RawFd,
    /// `EPOLL_CTL_ADD`, `EPOLL_CTL_MOD` or `EPOLL_CTL_DEL`.
    pub op: i32,
    /// What it is watched for.
    pub ev: *const libc::epoll_event,
}

impl Operation for EpollCtl {
    const OPCODE: OpCode = OpCode::EPOLL_CTL;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let fd = u64::from(self.fd.cast_unsigned());
        sqe.read_write(self.epfd, self.ev, self.op.cast_unsigned(), fd);
    }
}

/// Waits until descriptors of an epoll set are ready.
///
/// Like `epoll_wait(2)` without a time limit. A program that has an epoll set can so wait for it and
/// for the ring in one place.
///
/// # Result
///
/// The number of events that were written to `events`.
///
/// # Errors
///
/// * `EINVAL` if `fd` is not an epoll set, if `maxevents` is not positive or is too large, or if
///   `flags` is not 0.
/// * `EFAULT` if the memory is not mapped writable.
///
/// # Cancellation
///
/// Loses nothing: a cancelled wait has taken no event.
///
/// # Safety
///
/// * `events` points to `maxevents` events that are valid for writes, and that nothing else reads or
///   writes, until the completion.
/// * `fd` is an epoll set that the caller may use.
///
/// Since Linux 6.15. C: `io_uring_prep_epoll_wait(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_epoll_wait", "IORING_OP_EPOLL_WAIT"))]
pub struct EpollWait {
    /// The epoll set.
    pub fd: RawFd,
    /// Where the events go.
    pub events: *mut libc::epoll_event,
    /// How many events there is room for.
    pub maxevents: i32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for EpollWait {
    const OPCODE: OpCode = OpCode::EPOLL_WAIT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.events, self.maxevents.cast_unsigned(), 0);
        sqe.insert_op_flags(self.flags);
    }
}
