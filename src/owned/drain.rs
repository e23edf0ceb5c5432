//! Ending all operations of a ring.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::stopping::{Asked, push_cancel};
use crate::completion::Completion;
use crate::kind::Threads;
use crate::submission::SubmissionQueue;
use crate::wait::Wait;

/// The number of entries that belong to nobody. Operations have the lowest numbers.
pub(super) const NOBODY: u64 = u64::MAX;

/// How long a dropped ring waits for what the kernel still has, before it leaks it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long each of its waits is at the most.
const STEP: Duration = Duration::from_millis(100);

/// A time that nobody lives to see the end of.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

/// When so much time has passed.
pub(super) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + FOR_EVER)
}

/// What has operations in slots.
///
/// The methods may call foreign code, so nobody else may have the ring.
pub(super) trait Draining {
    type Threads: Threads;

    fn queue(&mut self) -> &mut SubmissionQueue<Self::Threads>;

    /// How many operations the kernel has.
    fn in_flight(&self) -> u32;

    /// The first operation that the kernel has among those whose entries have this number or a higher
    /// one.
    fn next_in_flight(&self, from: u64) -> Option<u64>;

    /// Disposes of an operation that never runs, if the entry with this number was that of one.
    fn dispose_of_withdrawn(&mut self, number: u64);

    /// Takes all completions, and disposes of operations that have ended.
    fn reap_all(&mut self);

    /// Notes that the end has begun, and returns whether it had before.
    fn begin_end(&mut self) -> bool;

    /// Frees the slots.
    ///
    /// # Safety
    ///
    /// The kernel has none of the operations any longer, and this is done once.
    unsafe fn free_slots(&mut self);
}

/// Ends all operations, and frees the slots if none is left.
pub(super) fn end(ring: &mut impl Draining, deadline: Instant) -> Result<(), StillInFlight> {
    // Whatever happens from here on, a panic among it, the slots are freed only at the end.
    if ring.begin_end() {
        return Ok(());
    }
    if !ring.queue().ring().is_own() {
        // The operations are the parent's, and so is what they use.
        return Ok(());
    }
    match drain(ring, deadline) {
        0 => {
            // SAFETY: there are none left, and an end begins once.
            unsafe { ring.free_slots() };
            Ok(())
        }
        operations => Err(StillInFlight { operations }),
    }
}

/// The completion, in place of one that will never come, of an operation that was not submitted.
pub(super) fn withdrawn(user_data: u64) -> Completion {
    Completion {
        user_data,
        res: -libc::ECANCELED,
        flags: 0,
        extra: (),
    }
}

/// How a ring was closed that still had operations in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{operations} operations did not end in time: their buffers and descriptors are leaked, since \
     the kernel may still use them"
)]
pub struct StillInFlight {
    /// How many the kernel still has.
    pub operations: u32,
}

impl From<StillInFlight> for io::Error {
    fn from(error: StillInFlight) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// Cancels everything and waits until the kernel has nothing more, or the deadline has passed.
/// Returns how many operations it still has.
fn drain(ring: &mut impl Draining, deadline: Instant) -> u32 {
    let mut withdrawn = Vec::new();
    // What was pushed and not submitted never runs.
    ring.queue()
        .withdraw(NOBODY, |user_data| withdrawn.push(user_data));
    for number in withdrawn {
        ring.dispose_of_withdrawn(number);
    }
    let mut asked = 0;
    loop {
        ring.reap_all();
        let left = deadline.saturating_duration_since(Instant::now());
        let in_flight = ring.in_flight();
        if in_flight == 0 || left.is_zero() {
            return in_flight;
        }
        // One by one, which every kernel can.
        while let Some(number) = ring.next_in_flight(asked) {
            if !push_cancel(ring.queue(), number, Asked::new()) {
                break;
            }
            asked = number + 1;
        }
        let step = left.min(STEP);
        let wait = Wait::for_completions(1).timeout(step);
        match ring.queue().submit_and_wait_with(&wait) {
            // What was just about to try again, or to begin, can have missed it.
            Ok(waited) if waited.timed_out => asked = 0,
            Ok(_) => {}
            // It may be for want of memory. The deadline ends the loop.
            Err(_) => thread::sleep(step.min(Duration::from_millis(1))),
        }
    }
}
