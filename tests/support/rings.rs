//! Running a test on rings of both kinds: submitting, waiting, cancelling.

#![allow(dead_code, unused_macros, reason = "no test needs all of it")]

use std::time::Duration;

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags, Operation};
use lio_uring::{Completion, CompletionQueue, Sqe, SubmissionQueue, Wait};

/// The user data of an operation that waits.
pub(crate) const PENDING: u64 = 1;
/// The user data of the cancellation of it.
pub(crate) const CANCEL: u64 = u64::MAX;
/// The user data of an operation that is run alone.
const ALONE: u64 = 7;

/// How long a test waits for what should come at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs a body on a ring of two halves and on a ring for one thread.
macro_rules! each_ring {
    (|$cq:ident, $sq:ident| $body:block) => {{
        println!("on a ring of two halves:");
        let (mut cq, mut sq) = lio_uring::with_capacity(16).unwrap();
        let ($cq, $sq) = (&mut cq, &mut sq);
        $body
        println!("on a ring for one thread:");
        let mut ring = lio_uring::IoUring::new(16).unwrap();
        let ($cq, $sq) = ring.queues();
        $body
    }};
}

/// Submits what is queued and returns its completions, `n` of them.
#[track_caller]
pub(crate) fn wait<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    n: u32,
) -> Vec<Completion> {
    let wait = Wait::for_completions(n).timeout(LIMIT);
    let waited = sq.submit_and_wait_with(&wait).expect("a submission");
    assert_eq!((waited.timed_out, waited.ready), (false, n));
    cq.completions().collect()
}

/// Submits what is queued, and fails if it does not wait.
#[track_caller]
pub(crate) fn submit_pending<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    sq.submit().expect("a submission");
    assert_eq!(cq.try_next().expect("no error"), None, "it should wait");
}

/// Cancels the operation [`PENDING`] and returns its completion.
#[track_caller]
pub(crate) fn cancel<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
) -> Completion {
    let cancel = Cancel {
        user_data: PENDING,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, CANCEL) }.expect("room");
    let mut both = wait(cq, sq, 2);
    both.sort_by_key(Completion::user_data);
    assert_eq!(both[1].result().expect("something to cancel"), 0);
    both[0]
}

/// Runs one operation and returns its completion.
///
/// # Safety
///
/// What the operation asks for, until this returns.
#[track_caller]
pub(crate) unsafe fn run<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    // SAFETY: the caller's promise.
    unsafe { sq.push_with(operation, ALONE, settings) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.user_data(), ALONE);
    done
}

/// Submits what is queued and returns its completions, `n` of them, as pairs of user data and result
/// in the order of the user data.
#[track_caller]
pub(crate) fn results<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    n: u32,
) -> Vec<(u64, i32)> {
    let mut results: Vec<_> = wait(cq, sq, n)
        .iter()
        .map(|done| (done.user_data(), done.raw_result()))
        .collect();
    results.sort_unstable();
    results
}

/// Takes the next completion, and waits for it if there is none.
#[track_caller]
pub(crate) fn next<T: Threads>(cq: &mut CompletionQueue<T>) -> Completion {
    let waited = cq
        .wait_with(&Wait::for_completions(1).timeout(LIMIT))
        .expect("no error");
    assert!(!waited.timed_out, "no completion");
    cq.try_next().expect("no error").expect("a completion")
}
