//! The clock that waits go by.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::time::{Duration, Instant};

use lio_uring::operation::Nop;
use lio_uring::{Clock, Features, Wait, Waited, with_capacity};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

const TIMED_OUT: Waited = Waited {
    submitted: 0,
    ready: 0,
    timed_out: true,
    interrupted: false,
};

#[test]
fn clocks_show_times_that_go_on() {
    for clock in [Clock::Monotonic, Clock::Boottime] {
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(1));
        assert!(clock.now() >= before + Duration::from_millis(1));
    }
    let monotonic = Clock::Monotonic.now();
    assert!(Clock::Boottime.now() + SHORT > monotonic);
}

#[test]
fn limits_hold_with_every_clock() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    for clock in [Clock::Boottime, Clock::Monotonic] {
        if kernel::since(6, 12, sq.register_clock(clock)).is_none() {
            return;
        }
        let start = Instant::now();
        let waited = cq.wait_with(&Wait::for_completions(1).timeout(SHORT));
        assert_eq!(waited.unwrap(), TIMED_OUT);
        assert!(start.elapsed() >= SHORT, "{clock:?}");

        let start = Instant::now();
        let waited = cq.wait_with(&Wait::for_completions(1).deadline(start + SHORT));
        assert_eq!(waited.unwrap(), TIMED_OUT);
        assert!(start.elapsed() >= SHORT, "{clock:?}");

        let end = clock.now() + SHORT;
        let waited = cq.wait_with(&Wait::for_completions(1).clock_deadline(end));
        assert_eq!(waited.unwrap(), TIMED_OUT);
        assert!(clock.now() >= end, "{clock:?}");
    }
}

#[test]
fn clock_deadline_that_has_passed_does_not_wait() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    for time in [Duration::ZERO, Clock::Monotonic.now()] {
        let waited = cq.wait_with(&Wait::for_completions(1).clock_deadline(time));
        assert_eq!(waited.unwrap(), TIMED_OUT);
    }
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.unwrap();
    let waited = sq.submit_and_wait_with(&Wait::for_completions(1).clock_deadline(Duration::ZERO));
    assert_eq!(
        waited.unwrap(),
        Waited {
            submitted: 1,
            ready: 1,
            ..Waited::default()
        }
    );
}

#[test]
fn clock_deadline_in_the_future_does_not_hold_back_completions() {
    let (cq, mut sq) = with_capacity(8).unwrap();
    for end in [Clock::Monotonic.now() + LONG, Duration::MAX] {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 1) }.unwrap();
        let wait = Wait::for_completions(cq.ready() + 1).clock_deadline(end);
        let waited = sq.submit_and_wait_with(&wait).unwrap();
        assert_eq!((waited.ready, waited.timed_out), (cq.ready(), false));
    }
}

#[test]
fn clock_deadline_with_some_completions_ready_ends_on_time() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.unwrap();
    sq.submit().unwrap();
    let end = Clock::Monotonic.now() + SHORT;
    let waited = cq.wait_with(&Wait::for_completions(2).clock_deadline(end));
    let waited = waited.unwrap();
    assert_eq!((waited.ready, waited.timed_out), (1, true));
    assert!(Clock::Monotonic.now() >= end);
}

#[test]
fn clock_cannot_be_chosen_on_a_kernel_that_has_one() {
    let (_cq, mut sq) = with_capacity(8).unwrap();
    if let Err(error) = sq.register_clock(Clock::Boottime) {
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(!sq.features().contains(Features::MIN_TIMEOUT));
    }
}
