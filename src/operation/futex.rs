//! Futexes: waiting on a number in memory, and waking those who wait.

use std::mem::offset_of;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// A futex is a number of 32 bits, the only size that kernels know yet.
///
/// For the `futex_flags` of [`FutexWait`] and [`FutexWake`], and for [`FutexWaiter`].
pub const FUTEX2_SIZE_U32: u32 = 2;

/// A futex is used by threads of this process alone, which is faster.
///
/// For the `futex_flags` of [`FutexWait`] and [`FutexWake`], and for [`FutexWaiter`]; those who wait
/// and those who wake use the same.
pub const FUTEX2_PRIVATE: u32 = 128;

/// Waits until somebody wakes a futex, if it holds a number.
///
/// Like `futex_wait(2)` without a time limit.
///
/// # Result
///
/// 0 when it was woken, which may be without a reason: look at the number again.
///
/// # Errors
///
/// * `EAGAIN` if the futex does not hold `val`.
/// * `EINVAL` if `mask` is 0, if `futex_flags` does not have [`FUTEX2_SIZE_U32`], if `val` or `mask`
///   exceeds 32 bits, if `futex` is not aligned, or if `flags` is not 0.
/// * `EFAULT` if the memory is not mapped.
///
/// # Cancellation
///
/// [`Cancel`](super::Cancel) finds it by its user data, not by a file.
///
/// # Safety
///
/// * `futex` points to a number, of which nothing but atomic accesses are made, until the completion.
///   The kernel reads it and writes nothing.
///
/// Since Linux 6.7. C: `io_uring_prep_futex_wait(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_futex_wait", "IORING_OP_FUTEX_WAIT"))]
pub struct FutexWait {
    /// The futex: [`AtomicU32::as_ptr`](std::sync::atomic::AtomicU32::as_ptr).
    pub futex: *const u32,
    /// What it must hold.
    pub val: u64,
    /// The kinds of waking that count, as bits; `u32::MAX` for every kind.
    pub mask: u64,
    /// [`FUTEX2_SIZE_U32`], with [`FUTEX2_PRIVATE`] where possible.
    pub futex_flags: u32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for FutexWait {
    const OPCODE: OpCode = OpCode::FUTEX_WAIT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.futex_flags.cast_signed(), self.futex, 0, self.val);
        sqe.insert_op_flags(self.flags);
        sqe.set_address3(self.mask);
    }
}

/// Wakes those who wait on a futex.
///
/// Like `futex_wake(2)`. Whether they wait by an operation or by a system call makes no difference.
///
/// # Result
///
/// How many were woken.
///
/// # Errors
///
/// * `EINVAL` if `mask` is 0, if `futex_flags` does not have [`FUTEX2_SIZE_U32`], if `val` or `mask`
///   exceeds 32 bits, if `futex` is not aligned, or if `flags` is not 0.
/// * `EFAULT` without [`FUTEX2_PRIVATE`] if the memory is not mapped.
///
/// Since Linux 6.7. C: `io_uring_prep_futex_wake(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_futex_wake", "IORING_OP_FUTEX_WAKE"))]
pub struct FutexWake {
    /// The futex. It is an address here: nothing is read.
    pub futex: *const u32,
    /// How many to wake at the most.
    pub val: u64,
    /// The kinds of waking that this is, as bits; `u32::MAX` for every kind.
    pub mask: u64,
    /// [`FUTEX2_SIZE_U32`], with [`FUTEX2_PRIVATE`] if those who wait have it.
    pub futex_flags: u32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for FutexWake {
    const OPCODE: OpCode = OpCode::FUTEX_WAKE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.futex_flags.cast_signed(), self.futex, 0, self.val);
        sqe.insert_op_flags(self.flags);
        sqe.set_address3(self.mask);
    }
}

/// One of the futexes that [`FutexWaitv`] waits on.
///
/// C: `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FutexWaiter {
    /// What it must hold.
    pub val: u64,
    /// Its address.
    pub uaddr: u64,
    /// [`FUTEX2_SIZE_U32`], with [`FUTEX2_PRIVATE`] where possible.
    pub flags: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<FutexWaiter>() == 24 && offset_of!(FutexWaiter, flags) == 16);

impl FutexWaiter {
    /// A futex, what it must hold, and [`FUTEX2_SIZE_U32`] with [`FUTEX2_PRIVATE`] where possible.
    pub fn new(futex: *const u32, val: u32, flags: u32) -> Self {
        Self {
            val: u64::from(val),
            uaddr: futex as u64,
            flags,
            reserved: 0,
        }
    }
}

/// Waits until somebody wakes one of several futexes, if each holds its number.
///
/// Like `futex_waitv(2)` without a time limit.
///
/// # Result
///
/// Which of them was woken, counted from 0. Others may have been woken, too.
///
/// # Errors
///
/// * `EAGAIN` if a futex does not hold what it must.
/// * `EINVAL` if `nr_futex` is 0 or above 128, if a futex does not have [`FUTEX2_SIZE_U32`] or is not
///   aligned, or if `flags` is not 0.
/// * `EFAULT` if the array or a futex is not mapped.
///
/// # Cancellation
///
/// As of [`FutexWait`].
///
/// # Safety
///
/// * `futex` points to `nr_futex` elements, [argument memory](crate::operation#memory).
/// * Each of them names a number, of which nothing but atomic accesses are made, until the
///   completion. The kernel reads it and writes nothing.
///
/// Since Linux 6.7. C: `io_uring_prep_futex_waitv(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_futex_waitv", "IORING_OP_FUTEX_WAITV"))]
pub struct FutexWaitv {
    /// The futexes.
    pub futex: *const FutexWaiter,
    /// How many there are.
    pub nr_futex: u32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for FutexWaitv {
    const OPCODE: OpCode = OpCode::FUTEX_WAITV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, self.futex, self.nr_futex, 0);
        sqe.insert_op_flags(self.flags);
    }
}
