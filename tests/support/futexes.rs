//! Futexes: running operations on them, and waking by a system call.

use std::sync::atomic::AtomicU32;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{FUTEX2_PRIVATE, FUTEX2_SIZE_U32, FutexWake, Operation};
use lio_uring::{CompletionQueue, SubmissionQueue};

use super::rings::run;

/// The user data of an operation that wakes.
pub(crate) const WAKE: u64 = 1000;
pub(crate) const SHARED: u32 = FUTEX2_SIZE_U32;
pub(crate) const PRIVATE: u32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;
/// Every kind of waking.
pub(crate) const ANY: u64 = u32::MAX as u64;

pub(crate) fn wake_of(futex: &AtomicU32, val: u64, mask: u64, futex_flags: u32) -> FutexWake {
    FutexWake {
        futex: futex.as_ptr(),
        val,
        mask,
        futex_flags,
        flags: 0,
    }
}

/// Pushes an operation on a futex.
#[track_caller]
pub(crate) fn push<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    user_data: u64,
) {
    // SAFETY: the tests keep their futexes, and the arrays of them, until nothing waits any more.
    unsafe { sq.push(operation, user_data) }.expect("room");
}

/// Runs an operation on a futex, and returns the result.
#[track_caller]
pub(crate) fn result<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    // SAFETY: as for `push`; where an address is wrong, nothing is mapped.
    unsafe { run(cq, sq, operation, |_| ()) }.raw_result()
}

/// Wakes one by a system call, from another thread, and returns how many that were.
#[track_caller]
pub(crate) fn wake_from_a_thread(futex: &AtomicU32) -> libc::c_long {
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    thread::scope(|scope| {
        let waker = scope.spawn(|| {
            // SAFETY: the futex is borrowed.
            unsafe { libc::syscall(libc::SYS_futex, futex.as_ptr(), wake, 1) }
        });
        waker.join().expect("it does not panic")
    })
}
