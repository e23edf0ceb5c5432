//! Waiting on a number in memory, and waking those who wait.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, FUTEX2_PRIVATE, FUTEX2_SIZE_U32, FutexWaiter};

/// A number that can be waited on: `Arc<AtomicU32>`, `Rc<AtomicU32>`, `&'static AtomicU32`.
///
/// # Safety
///
/// Implementors promise that it is the same number each time, and that it stays where it is until the
/// value is dropped, also when the value is moved.
pub unsafe trait Futex {
    /// The number.
    fn number(&self) -> &AtomicU32;
}

// SAFETY: what is shared stays where it is as long as the pointer is there.
unsafe impl Futex for Arc<AtomicU32> {
    fn number(&self) -> &AtomicU32 {
        self
    }
}

// SAFETY: as for `Arc`.
unsafe impl Futex for Rc<AtomicU32> {
    fn number(&self) -> &AtomicU32 {
        self
    }
}

// SAFETY: it stays where it is for ever.
unsafe impl Futex for &'static AtomicU32 {
    fn number(&self) -> &AtomicU32 {
        self
    }
}

fn futex_flags(shared: bool) -> u32 {
    if shared {
        FUTEX2_SIZE_U32
    } else {
        FUTEX2_SIZE_U32 | FUTEX2_PRIVATE
    }
}

/// Waits until somebody wakes a futex, if it holds a number.
///
/// Who wakes can be a [`FutexWake`], or a thread by the system call.
///
/// # Output
///
/// Nothing; it was woken, which may be without a reason: look at the number again. The error is
/// `EAGAIN` if it does not hold the number.
///
/// Kernels before 6.7 do not have it: `EINVAL`.
///
/// See [`operation::FutexWait`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct FutexWait<W> {
    /// The futex.
    pub futex: W,
    /// What it must hold.
    pub expected: u32,
    /// The kinds of waking that count, as bits; `u32::MAX` for every kind.
    pub mask: u32,
    /// Whether it is in memory that is shared with other processes, which can wake it, too. Those
    /// who wait and those who wake say the same.
    pub shared: bool,
}

// SAFETY: the entry names the futex, which is owned or shared, stays where it is, and is an atomic.
// The kernel reads it and writes nothing.
unsafe impl<W: Futex> Operation for FutexWait<W> {
    type Output = io::Result<()>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::FutexWait {
            futex: self.futex.number().as_ptr(),
            val: self.expected.into(),
            mask: self.mask.into(),
            futex_flags: futex_flags(self.shared),
            flags: 0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Wakes those who wait on a futex, by an operation or by the system call.
///
/// They are woken even if nobody waits for it any longer.
///
/// # Output
///
/// How many were woken.
///
/// Kernels before 6.7 do not have it: `EINVAL`.
///
/// See [`operation::FutexWake`].
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct FutexWake<W> {
    /// The futex.
    pub futex: W,
    /// How many to wake at the most.
    pub count: u32,
    /// The kinds of waking that this is, as bits; `u32::MAX` for every kind.
    pub mask: u32,
    /// Whether those who wait say that it is shared with other processes.
    pub shared: bool,
}

// SAFETY: the entry names the futex, which is owned or shared, and stays where it is. It is an address
// to the kernel.
unsafe impl<W: Futex> Operation for FutexWake<W> {
    type Output = io::Result<usize>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::FutexWake {
            futex: self.futex.number().as_ptr(),
            // A larger one is negative to the kernel, and wakes a single one.
            val: self.count.min(i32::MAX.cast_unsigned()).into(),
            mask: self.mask.into(),
            futex_flags: futex_flags(self.shared),
            flags: 0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(done)
    }
}

/// Waits until somebody wakes one of several futexes, if each holds its number.
///
/// # Output
///
/// Which of them was woken, counted from 0. Others may have been woken, too. The error is `EAGAIN` if
/// one does not hold its number, `EINVAL` if there are none, or more than 128.
///
/// Kernels before 6.7 do not have it: `EINVAL`.
///
/// See [`operation::FutexWaitv`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct FutexWaitV<W> {
    futexes: Vec<(W, u32)>,
    shared: bool,
    waiters: Box<[FutexWaiter]>,
}

impl<W: Futex> FutexWaitV<W> {
    /// Waits on these futexes, each with what it must hold.
    pub fn new(futexes: Vec<(W, u32)>) -> Self {
        Self {
            futexes,
            shared: false,
            waiters: Box::default(),
        }
    }

    /// Says whether they are in memory that is shared with other processes, which can wake them, too.
    pub fn shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }
}

// SAFETY: the entry names the waiters, which are owned, elsewhere in memory, and not changed. They
// name the futexes, as for `FutexWait`.
unsafe impl<W: Futex> Operation for FutexWaitV<W> {
    type Output = io::Result<usize>;

    fn entry(&mut self) -> Sqe {
        let flags = futex_flags(self.shared);
        let waiter = |(futex, expected): &(W, u32)| {
            FutexWaiter::new(futex.number().as_ptr(), *expected, flags)
        };
        self.waiters = self.futexes.iter().map(waiter).collect();
        Sqe::of(&operation::FutexWaitv {
            futex: self.waiters.as_ptr(),
            nr_futex: u32::try_from(self.waiters.len()).unwrap_or(u32::MAX),
            flags: 0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        count(done)
    }
}
