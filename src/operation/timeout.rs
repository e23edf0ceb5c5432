//! Time: timers, and limits for other operations.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr;
use std::time::Duration;

use bitflags::bitflags;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;
use crate::sys;

/// A time or a length of time, as the kernel reads it on every architecture.
///
/// C: `struct __kernel_timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespec {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Nanoseconds beyond them.
    pub tv_nsec: i64,
}

const _: () = assert!(size_of::<Timespec>() == size_of::<sys::__kernel_timespec>());
const _: () = assert!(align_of::<Timespec>() == align_of::<sys::__kernel_timespec>());
const _: () = assert!(
    offset_of!(Timespec, tv_sec) == offset_of!(sys::__kernel_timespec, tv_sec)
        && offset_of!(Timespec, tv_nsec) == offset_of!(sys::__kernel_timespec, tv_nsec)
);

impl From<Duration> for Timespec {
    /// More than `i64::MAX` seconds, which is 292 billion years, become that many.
    fn from(duration: Duration) -> Self {
        Self {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(duration.subsec_nanos()),
        }
    }
}

bitflags! {
    /// How [`Timeout`], [`LinkTimeout`] and [`TimeoutRemove`] take their time.
    ///
    /// Without a clock named, time is that of `CLOCK_MONOTONIC`. C: `IORING_TIMEOUT_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TimeoutFlags: u32 {
        /// The time is a point on the clock, not a length from now.
        ///
        /// Since Linux 5.5. C: `IORING_TIMEOUT_ABS`.
        const ABS = sys::IORING_TIMEOUT_ABS;
        /// Changes a timer instead of removing it; what [`TimeoutUpdate`] is.
        ///
        /// Since Linux 5.11. C: `IORING_TIMEOUT_UPDATE`.
        const UPDATE = sys::IORING_TIMEOUT_UPDATE;
        /// Takes `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
        ///
        /// Since Linux 5.15. C: `IORING_TIMEOUT_BOOTTIME`.
        const BOOTTIME = sys::IORING_TIMEOUT_BOOTTIME;
        /// Takes `CLOCK_REALTIME`, the wall clock. Not together with [`BOOTTIME`](Self::BOOTTIME).
        ///
        /// Since Linux 5.15. C: `IORING_TIMEOUT_REALTIME`.
        const REALTIME = sys::IORING_TIMEOUT_REALTIME;
        /// Together with [`UPDATE`](Self::UPDATE): changes a [`LinkTimeout`], not a [`Timeout`].
        ///
        /// Since Linux 5.15. C: `IORING_LINK_TIMEOUT_UPDATE`.
        const LINK_TIMEOUT_UPDATE = sys::IORING_LINK_TIMEOUT_UPDATE;
        /// Does not count as a failure when time is up, so that a chain goes on.
        ///
        /// Since Linux 5.16. C: `IORING_TIMEOUT_ETIME_SUCCESS`.
        const ETIME_SUCCESS = sys::IORING_TIMEOUT_ETIME_SUCCESS;
        /// Goes off again and again. For [`Timeout`], and not together with [`ABS`](Self::ABS).
        ///
        /// Since Linux 6.4. C: `IORING_TIMEOUT_MULTISHOT`.
        const MULTISHOT = sys::IORING_TIMEOUT_MULTISHOT;
        /// The pointer is no pointer: its address is the time in nanoseconds.
        ///
        /// Since Linux 7.1. C: `IORING_TIMEOUT_IMMEDIATE_ARG`.
        const IMMEDIATE_ARG = sys::IORING_TIMEOUT_IMMEDIATE_ARG;
    }
}

/// Completes after a time, or after a number of other completions.
///
/// # Result
///
/// * The error `ETIME` when time is up.
/// * 0 when `count` other completions came first; those of timers that go off do not count.
/// * The error `ECANCELED` when it was removed or cancelled.
///
/// With [`TimeoutFlags::MULTISHOT`] it completes with `ETIME` each time that the time has passed:
/// `count` times, or without end if `count` is 0. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come.
///
/// # Errors
///
/// * `EINVAL` if the time is negative, with two clocks, or with a flag that the kernel does not
///   know.
/// * `EFAULT` if the time is not mapped.
///
/// # Notes
///
/// In a chain `ETIME` counts as a failure, except with [`TimeoutFlags::ETIME_SUCCESS`].
///
/// # Safety
///
/// * `ts` points to a time, [argument memory](crate::operation#memory). With
///   [`IMMEDIATE_ARG`](TimeoutFlags::IMMEDIATE_ARG) nothing is pointed to.
///
/// Since Linux 5.4. C: `io_uring_prep_timeout(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_timeout", "IORING_OP_TIMEOUT", "ETIME"))]
pub struct Timeout {
    /// The time.
    pub ts: *const Timespec,
    /// How many other completions end it early; 0 for none. With [`TimeoutFlags::MULTISHOT`]: how
    /// often it goes off.
    pub count: u32,
    /// How the time is taken.
    pub flags: TimeoutFlags,
}

impl Operation for Timeout {
    const OPCODE: OpCode = OpCode::TIMEOUT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, self.ts, 1, u64::from(self.count));
        sqe.insert_op_flags(self.flags.bits());
    }
}

/// Removes a timer.
///
/// # Result
///
/// 0. A removed [`Timeout`] completes with `ECANCELED`.
///
/// # Errors
///
/// * `ENOENT` if no such timer is pending: it has gone off, or was never there.
/// * `EALREADY` if it is going off this moment.
/// * `EINVAL` if `flags` is neither empty nor has [`UPDATE`](TimeoutFlags::UPDATE) in it, and if it
///   names a clock.
///
/// # Notes
///
/// With [`UPDATE`](TimeoutFlags::UPDATE) it is a [`TimeoutUpdate`], whose time the offset points to.
///
/// # Safety
///
/// * With [`UPDATE`](TimeoutFlags::UPDATE) the offset is the address of a [`Timespec`],
///   [argument memory](crate::operation#memory). Without, nothing is pointed to.
///
/// Since Linux 5.5. C: `io_uring_prep_timeout_remove(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_timeout_remove", "IORING_OP_TIMEOUT_REMOVE"))]
pub struct TimeoutRemove {
    /// The user data that the timer was pushed with.
    pub user_data: u64,
    /// Empty.
    pub flags: TimeoutFlags,
}

impl Operation for TimeoutRemove {
    const OPCODE: OpCode = OpCode::TIMEOUT_REMOVE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, ptr::null::<c_void>(), 0, 0);
        sqe.set_address(self.user_data);
        sqe.insert_op_flags(self.flags.bits());
    }
}

/// Changes the time of a timer that is pending.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `ENOENT` if no such timer is pending: it has gone off, or was never there.
/// * `EALREADY` if it is going off this moment.
/// * `EINVAL` if `flags` names a clock, if the time is negative, or with a flag that the kernel does
///   not know.
/// * `EFAULT` if the time is not mapped.
///
/// # Notes
///
/// The timer keeps its clock, and a [`Timeout`] loses its count: from then on time alone ends it.
/// One with [`MULTISHOT`](TimeoutFlags::MULTISHOT) goes off at the new interval, without end; on
/// some kernels, Linux 6.12.117 among them, as often as it was to.
///
/// # Safety
///
/// * `ts` points to a time, [argument memory](crate::operation#memory). With
///   [`IMMEDIATE_ARG`](TimeoutFlags::IMMEDIATE_ARG) nothing is pointed to.
///
/// Since Linux 5.11. C: `io_uring_prep_timeout_update(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_timeout_update",
    "IORING_OP_TIMEOUT_REMOVE",
    "IORING_TIMEOUT_UPDATE"
))]
pub struct TimeoutUpdate {
    /// The time, a length from now or with [`ABS`](TimeoutFlags::ABS) a point in time.
    pub ts: *const Timespec,
    /// The user data that the timer was pushed with.
    pub user_data: u64,
    /// [`LINK_TIMEOUT_UPDATE`](TimeoutFlags::LINK_TIMEOUT_UPDATE) for a [`LinkTimeout`], and how the
    /// time is taken. [`UPDATE`](TimeoutFlags::UPDATE) is added.
    pub flags: TimeoutFlags,
}

impl Operation for TimeoutUpdate {
    const OPCODE: OpCode = OpCode::TIMEOUT_REMOVE;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.11").or("TimeoutRemove");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, ptr::null::<c_void>(), 0, self.ts as u64);
        sqe.set_address(self.user_data);
        sqe.insert_op_flags((self.flags | TimeoutFlags::UPDATE).bits());
    }
}

/// Limits the time of the operation before it, which it cancels when time is up.
///
/// The operation before it is pushed in the same submission, with
/// [`IO_LINK`](crate::SqeFlags::IO_LINK) or [`IO_HARDLINK`](crate::SqeFlags::IO_HARDLINK). The time
/// starts when that operation does. Both complete, in either order.
///
/// # Result
///
/// * The error `ETIME`: time was up, and the operation was cancelled; its own result is `ECANCELED`.
/// * 1: the same, if the operation was waiting for a futex or a child process. Kernels that have
///   mended this answer `ETIME` here too, Linux 6.12.117 among them.
/// * The error `ECANCELED`: the operation ended in time.
/// * The error `EALREADY`, on newer kernels `ENOENT`: time was up, but the operation was at work on a
///   kernel worker, on its way there, or just ending. Its own result tells, and is `EINTR` if it was
///   interrupted; it may go on without a limit.
///
/// # Errors
///
/// * `EINVAL` if nothing is linked before it or only another [`LinkTimeout`], if the time is
///   negative, or with a flag that the kernel does not know. What is linked before it is then
///   cancelled.
/// * `EFAULT` if the time is not mapped.
///
/// # Notes
///
/// Newer kernels do not limit what starts on a kernel worker and waits there, as opening a named
/// pipe does with [`ASYNC`](crate::SqeFlags::ASYNC): its time starts when the worker is done. What
/// waits for a socket or a pipe does so without a worker and is limited. Linux 6.1 does not limit
/// a read of a pipe that is not the first of its chain.
///
/// # Safety
///
/// * `ts` points to a time, [argument memory](crate::operation#memory). With
///   [`IMMEDIATE_ARG`](TimeoutFlags::IMMEDIATE_ARG) nothing is pointed to.
///
/// Since Linux 5.5. C: `io_uring_prep_link_timeout(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_link_timeout", "IORING_OP_LINK_TIMEOUT"))]
pub struct LinkTimeout {
    /// The time that the operation may take, or with [`TimeoutFlags::ABS`] the point in time.
    pub ts: *const Timespec,
    /// How the time is taken.
    pub flags: TimeoutFlags,
}

impl Operation for LinkTimeout {
    const OPCODE: OpCode = OpCode::LINK_TIMEOUT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, self.ts, 1, 0);
        sqe.insert_op_flags(self.flags.bits());
    }
}
