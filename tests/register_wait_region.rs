//! Registered waits, and waits that do not count as waits for I/O.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use lio_uring::operation::{Nop, Timeout, TimeoutFlags, Timespec};
use lio_uring::{
    CompletionQueue, Features, IoUring, IoUringParams, RegisterCause, SubmissionQueue, Wait,
    WaitLimits, WaitRegion, Waited, with_capacity,
};

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(60);

type Ring = (CompletionQueue, SubmissionQueue);

/// A ring with registered waits.
#[track_caller]
fn ring(waits: u32) -> Option<(Ring, WaitRegion)> {
    let mut ring = IoUringParams::default()
        .entries(8)
        .disabled()
        .expect("a ring");
    let region = kernel::since(6, 13, ring.register_wait_region(waits))?;
    Some((ring.enable().expect("it was disabled"), region))
}

fn push_nop(sq: &mut SubmissionQueue) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.expect("room");
}

#[test]
fn registered_wait_ends_when_its_time_has_run_out() {
    let Some(((mut cq, mut sq), mut waits)) = ring(3) else {
        return;
    };
    waits.set(2, WaitLimits::new().timeout(SHORT));
    for _ in 0..3 {
        let start = Instant::now();
        let waited = sq.submit_and_wait_registered(1, &waits, 2).unwrap();
        assert!(waited.timed_out && waited.ready == 0, "{waited:?}");
        assert!(start.elapsed() >= SHORT);
        let waited = cq.wait_registered(1, &waits, 2).unwrap();
        assert!(waited.timed_out && waited.ready == 0, "{waited:?}");
    }
    // The limits can change at any time.
    waits.set(2, WaitLimits::new().timeout(LONG));
    push_nop(&mut sq);
    let waited = sq.submit_and_wait_registered(1, &waits, 2).unwrap();
    assert_eq!(
        waited,
        Waited {
            submitted: 1,
            ready: 1,
            ..Waited::default()
        }
    );
}

#[test]
fn registered_wait_without_limits_waits_for_completions() {
    let Some(((mut cq, mut sq), waits)) = ring(1) else {
        return;
    };
    let soon = Timespec::from(SHORT);
    let timeout = Timeout {
        ts: &raw const soon,
        count: 0,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time lives until the completion has been taken.
    unsafe { sq.push(&timeout, 9) }.unwrap();
    let waited = sq.submit_and_wait_registered(1, &waits, 0).unwrap();
    assert_eq!((waited.submitted, waited.ready), (1, 1));
    assert_eq!(cq.next().unwrap().user_data(), 9);
    push_nop(&mut sq);
    sq.submit().unwrap();
    assert_eq!(cq.wait_registered(1, &waits, 0).unwrap().ready, 1);
}

#[test]
fn registered_minimum_wait_is_satisfied_with_one() {
    let Some(((_cq, mut sq), mut waits)) = ring(1) else {
        return;
    };
    waits.set(0, WaitLimits::new().min_wait(SHORT).timeout(LONG));
    push_nop(&mut sq);
    let start = Instant::now();
    let waited = sq.submit_and_wait_registered(4, &waits, 0).unwrap();
    assert_eq!((waited.submitted, waited.ready), (1, 1));
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn registered_wait_takes_a_signal_mask() {
    let Some(((_cq, mut sq), mut waits)) = ring(2) else {
        return;
    };
    // SAFETY: zero is a value of the structure.
    let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a value of the right type.
    unsafe { libc::sigfillset(&raw mut mask) };
    let limits = WaitLimits::new().timeout(SHORT).signal_mask(mask);
    waits.set(1, limits);
    // A signal for this thread, which would end the wait if it were not blocked, or the program.
    let thread = std::thread::spawn({
        // SAFETY: the call has no conditions.
        let this = unsafe { libc::pthread_self() };
        move || {
            std::thread::sleep(SHORT / 2);
            // SAFETY: the thread waits for this one; SIGURG does nothing by default.
            unsafe { libc::pthread_kill(this, libc::SIGURG) };
        }
    });
    let waited = sq.submit_and_wait_registered(1, &waits, 1).unwrap();
    assert!(waited.timed_out && !waited.interrupted, "{waited:?}");
    thread.join().unwrap();
}

#[test]
fn wait_of_another_ring_or_none_is_refused() {
    let (Some(((mut cq, mut sq), waits)), Some((_other, others))) = (ring(2), ring(2)) else {
        return;
    };
    push_nop(&mut sq);
    for (region, index) in [(&waits, 2), (&waits, u32::MAX), (&others, 0)] {
        let error = sq.submit_and_wait_registered(1, region, index).unwrap_err();
        assert_eq!((error.errno(), error.queued()), (libc::EINVAL, 1));
        let error = cq.wait_registered(1, region, index).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
    assert_eq!(sq.submit_and_wait(1).unwrap(), 1);
}

#[test]
fn region_is_registered_once() {
    let mut ring = IoUringParams::default().entries(8).disabled().unwrap();
    let error = ring.register_wait_region(0).unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    let Some(first) = kernel::since(6, 13, ring.register_wait_region(1000)) else {
        return;
    };
    assert_eq!(first.len(), 1000);
    drop(first);
    let error = ring.register_wait_region(1).unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert_eq!(*error.cause(), RegisterCause::AlreadyRegistered);
    let error = ring.register_wait_region(u32::MAX).unwrap_err();
    assert!(
        [libc::EBUSY, libc::ENOMEM, libc::EINVAL].contains(&error.errno()),
        "{error}"
    );
    // By way of the queue, so that this value does not know of it.
    let mut ring = IoUringParams::default().entries(8).disabled().unwrap();
    ring.submission().enable().unwrap();
    let error = ring.register_wait_region(1).unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
}

#[test]
fn limits_of_a_wait_that_is_not_there_panic() {
    let Some((_ring, mut waits)) = ring(2) else {
        return;
    };
    let set = catch_unwind(AssertUnwindSafe(|| waits.set(2, WaitLimits::new())));
    assert!(set.is_err());
    waits.set(1, WaitLimits::new().timeout(Duration::MAX));
}

#[test]
fn registered_waits_work_on_rings_of_every_kind() {
    let mut ring = IoUring::builder().entries(8).disabled().unwrap();
    let made = ring.register_wait_region(1);
    let Some(mut waits) = kernel::since(6, 13, made) else {
        return;
    };
    waits.set(0, WaitLimits::new().timeout(SHORT));
    let mut ring = ring.enable_ring().unwrap();
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push(&Nop, 1) }.unwrap();
    let waited = ring.submission().submit_and_wait_registered(2, &waits, 0);
    assert_eq!(waited.unwrap().ready, 1);

    let params = IoUringParams::default().entries(8).sqpoll(1);
    let mut ring = params.disabled().unwrap();
    let mut waits = ring.register_wait_region(1).unwrap();
    waits.set(0, WaitLimits::new().timeout(LONG));
    let (mut cq, mut sq) = ring.enable().unwrap();
    for _ in 0..50 {
        push_nop(&mut sq);
        let waited = sq.submit_and_wait_registered(1, &waits, 0).unwrap();
        assert_eq!((waited.submitted, waited.ready), (1, 1));
        let _nop = cq.next().unwrap();
        // Long enough, now and then, for the thread to fall asleep.
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn waits_that_do_not_count_as_io_work() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    for counted in [false, true, false] {
        let set = sq.set_iowait(counted).and_then(|()| cq.set_iowait(counted));
        match set {
            Ok(()) => assert!(sq.features().contains(Features::NO_IOWAIT)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
                assert!(kernel::older_than(6, 15), "{error}");
                return;
            }
        }
        let waited = cq.wait_with(&Wait::for_completions(1).timeout(SHORT));
        assert!(waited.unwrap().timed_out);
        push_nop(&mut sq);
        sq.submit_and_wait(1).unwrap();
        assert_eq!(cq.next().unwrap().user_data(), 1);
    }
}
