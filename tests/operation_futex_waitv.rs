//! Futexes: waiting on several.

#![cfg(target_os = "linux")]

use std::ptr;
use std::sync::atomic::AtomicU32;

use lio_uring::operation::{FutexWaiter, FutexWaitv, OpCode};

#[path = "support/futexes.rs"]
mod futexes;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use futexes::{ANY, PRIVATE, SHARED, WAKE, push, result, wake_from_a_thread, wake_of};
use rings::{PENDING, cancel_answered, results, submit_pending};

fn waitv_of(futexes: &[FutexWaiter]) -> FutexWaitv {
    FutexWaitv {
        futex: futexes.as_ptr(),
        nr_futex: futexes.len().try_into().expect("few futexes"),
        flags: 0,
    }
}

/// Futexes that each hold their place, as many as can be waited on together.
fn futexes() -> Vec<AtomicU32> {
    (0..128).map(AtomicU32::new).collect()
}

/// What waits on each of them.
fn waiters(futexes: &[AtomicU32], flags: u32) -> Vec<FutexWaiter> {
    (0..)
        .zip(futexes)
        .map(|(val, futex)| FutexWaiter::new(futex.as_ptr(), val, flags))
        .collect()
}

#[test]
fn futex_waitv_tells_which_one_was_woken() {
    if !needs::operations(&[OpCode::FUTEX_WAITV, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        for flags in [SHARED, PRIVATE] {
            let futexes = futexes();
            for n in [1, 2, 128] {
                for woken in [0, n / 2, n - 1] {
                    let waiters = waiters(&futexes[..n], flags);
                    push(sq, &waitv_of(&waiters), PENDING);
                    submit_pending(cq, sq);
                    push(sq, &wake_of(&futexes[woken], 1, ANY, flags), WAKE);
                    let index = woken.try_into().unwrap();
                    assert_eq!(results(cq, sq, 2), [(PENDING, index), (WAKE, 1)]);
                    // It waits on none of the others any more.
                    let other = wake_of(&futexes[n - 1 - woken], 1, ANY, flags);
                    assert_eq!(result(cq, sq, &other), 0);
                }
            }
        }
    });
}

#[test]
fn futex_waitv_keeps_no_array_once_it_is_submitted() {
    if !needs::operations(&[OpCode::FUTEX_WAITV, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = futexes();
        let mut waiters = waiters(&futexes[..3], PRIVATE);
        push(sq, &waitv_of(&waiters), PENDING);
        submit_pending(cq, sq);
        waiters.fill(FutexWaiter::default());
        push(sq, &wake_of(&futexes[2], 1, ANY, PRIVATE), WAKE);
        assert_eq!(results(cq, sq, 2), [(PENDING, 2), (WAKE, 1)]);
        assert_eq!(waiters, [FutexWaiter::default(); 3]);
    });
}

#[test]
fn futex_waitv_is_woken_by_a_system_call() {
    if !needs::operations(&[OpCode::FUTEX_WAITV]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = futexes();
        let waiters = waiters(&futexes[..5], PRIVATE);
        push(sq, &waitv_of(&waiters), PENDING);
        submit_pending(cq, sq);
        assert_eq!(wake_from_a_thread(&futexes[3]), 1);
        assert_eq!(results(cq, sq, 1), [(PENDING, 3)]);
    });
}

#[test]
fn futex_waitv_on_another_number_gives_eagain() {
    if !needs::operations(&[OpCode::FUTEX_WAITV, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = futexes();
        for wrong in [0, 5, 9] {
            let mut waiters = waiters(&futexes[..10], PRIVATE);
            waiters[wrong].val += 1;
            assert_eq!(result(cq, sq, &waitv_of(&waiters)), -libc::EAGAIN);
            // It waits on none of them.
            for futex in &futexes[..10] {
                assert_eq!(result(cq, sq, &wake_of(futex, 1, ANY, PRIVATE)), 0);
            }
        }
    });
}

#[test]
fn futex_waitv_cancelled_is_not_there_to_be_woken() {
    if !needs::operations(&[OpCode::FUTEX_WAITV, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = futexes();
        let waiters = waiters(&futexes[..4], PRIVATE);
        push(sq, &waitv_of(&waiters), PENDING);
        submit_pending(cq, sq);
        let (done, answer) = cancel_answered(cq, sq);
        assert_eq!((done.raw_result(), answer), (-libc::ECANCELED, 1));
        for futex in &futexes[..4] {
            assert_eq!(result(cq, sq, &wake_of(futex, 1, ANY, PRIVATE)), 0);
        }
    });
}

#[test]
fn futex_waitv_that_makes_no_sense_fails() {
    if !needs::operations(&[OpCode::FUTEX_WAITV]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes: Vec<_> = (0..129).map(AtomicU32::new).collect();
        let good = waiters(&futexes, PRIVATE);
        let one = waitv_of(&good[..1]);
        for (wrong, errno) in [
            (waitv_of(&[]), libc::EINVAL),
            (waitv_of(&good), libc::EINVAL),
            (FutexWaitv { flags: 1, ..one }, libc::EINVAL),
            (
                FutexWaitv {
                    futex: ptr::without_provenance(8),
                    ..one
                },
                libc::EFAULT,
            ),
        ] {
            assert_eq!(result(cq, sq, &wrong), -errno, "{wrong:?}");
        }
        let of = |futex, flags| FutexWaiter::new(futex, 1, flags);
        let second = futexes[1].as_ptr().cast_const();
        let mut large = of(second, PRIVATE);
        large.val = 1 << 32;
        for (wrong, errno) in [
            (of(second, 0), libc::EINVAL),
            (of(second, 3), libc::EINVAL),
            (large, libc::EINVAL),
            (of(second.wrapping_byte_add(1), PRIVATE), libc::EINVAL),
            (of(ptr::without_provenance(8), PRIVATE), libc::EFAULT),
        ] {
            let two = [good[0], wrong];
            assert_eq!(result(cq, sq, &waitv_of(&two)), -errno, "{wrong:?}");
        }
    });
}
