//! Waiting on kernels that know less of it: the running one, taken for an older one.

use std::sync::Arc;

use super::*;
use crate::operation::{Timeout, TimeoutFlags, Timespec};
use crate::params::IoUringParams;

/// A ring that is taken for one of a kernel without these features, with one timer that runs
/// out after 5 ms.
fn old_ring(missing: Features) -> Ring {
    let (cq, mut sq) = IoUringParams::default()
        .entries(4)
        .halves()
        .expect("a ring");
    let time = Timespec::from(Duration::from_millis(5));
    let timeout = Timeout {
        ts: &raw const time,
        count: 0,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time lives until the entry has been submitted.
    unsafe { sq.push(&timeout, 0) }.expect("room");
    assert_eq!(sq.submit().expect("a submission"), 1);
    drop(cq);
    let ring = Arc::clone(sq.ring());
    drop(sq);
    Arc::into_inner(ring)
        .expect("the last owner")
        .without(missing)
}

#[test]
fn limit_holds_on_a_kernel_that_knows_none() {
    let ring = old_ring(Features::EXT_ARG | Features::MIN_TIMEOUT);
    let start = Instant::now();
    let limit = Wait::for_completions(2).timeout(Duration::from_millis(20));
    let waited = wait(&ring, Gate::of(ring.raw()), 0, 0, &limit).expect("a wait");
    assert!(
        start.elapsed() >= Duration::from_millis(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        waited,
        Waited {
            ready: 1,
            timed_out: true,
            ..Waited::default()
        }
    );
}

#[test]
fn completion_ends_the_wait_on_a_kernel_that_knows_no_limit() {
    let ring = old_ring(Features::EXT_ARG | Features::MIN_TIMEOUT);
    let limit = Wait::for_completions(1).timeout(Duration::from_secs(60));
    let waited = wait(&ring, Gate::of(ring.raw()), 0, 0, &limit).expect("a wait");
    assert_eq!(
        waited,
        Waited {
            ready: 1,
            ..Waited::default()
        }
    );
}

#[test]
fn minimum_holds_on_a_kernel_that_knows_none() {
    for missing in [
        Features::MIN_TIMEOUT,
        Features::EXT_ARG | Features::MIN_TIMEOUT,
    ] {
        let ring = old_ring(missing);
        let start = Instant::now();
        let least = Wait::for_completions(4).min_wait(Duration::from_millis(20));
        let waited = wait(&ring, Gate::of(ring.raw()), 0, 0, &least).expect("a wait");
        assert!(
            start.elapsed() >= Duration::from_millis(20),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            waited,
            Waited {
                ready: 1,
                ..Waited::default()
            },
            "{missing:?}"
        );
    }
}

#[test]
fn signal_mask_is_taken_on_a_kernel_that_knows_no_limit() {
    let ring = old_ring(Features::EXT_ARG | Features::MIN_TIMEOUT);
    // SAFETY: zero is a value of the structure.
    let mask: libc::sigset_t = unsafe { std::mem::zeroed() };
    let limit = Wait::for_completions(1)
        .timeout(Duration::from_secs(60))
        .signal_mask(&mask);
    assert_eq!(
        wait(&ring, Gate::of(ring.raw()), 0, 0, &limit)
            .expect("a wait")
            .ready,
        1
    );
}
