//! Running a test on rings of both kinds, and waiting for what it submits.

use std::time::Duration;

use lio_uring::kind::Threads;
use lio_uring::{Completion, CompletionQueue, SubmissionQueue, Wait};

/// How long a test waits for what should come at once.
const LIMIT: Duration = Duration::from_secs(60);

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
