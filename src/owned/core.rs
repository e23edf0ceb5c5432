//! The queues of a ring and the slots of its operations, and what happens to them.

use std::io;
use std::mem::ManuallyDrop;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::slot::{Dispose, Kept, State, Table};
use crate::completion::{Completion, CompletionFlags, CompletionQueue};
use crate::entry::Sqe;
use crate::error::QueueFull;
use crate::kind::Threads;
use crate::operation::{Cancel, CancelFlags};
use crate::submission::SubmissionQueue;
use crate::wait::Wait;

/// The number of entries that belong to no slot. Slots have lower ones.
const NOBODY: u64 = u64::MAX;

/// How long a dropped ring waits for what the kernel still has, before it leaks it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long each of its waits is at the most.
const STEP: Duration = Duration::from_millis(100);

/// A ring's queues and slots.
///
/// Nothing here calls code that is not this crate's: no waker, no destructor, no method of an
/// operation. Such code could come back to the ring, and find it borrowed.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what tickets reach by way of their ring")]
pub struct Core<T: Threads> {
    pub(super) sq: SubmissionQueue<T>,
    cq: CompletionQueue<T>,
    table: ManuallyDrop<Table>,
    /// How many operations were pushed whose last completion has not been taken.
    in_flight: u32,
    /// Until when the end is waited for.
    deadline: Option<Instant>,
    ended: bool,
}

/// What is left to do once the ring is no longer borrowed.
#[expect(unnameable_types, reason = "what a ring leaves to be done")]
#[derive(Debug)]
pub enum Foreign {
    Wake(Waker),
    Dispose(Orphan),
}

/// An operation that has ended and that nobody waits for.
#[expect(unnameable_types, reason = "part of `Foreign`")]
#[derive(Debug)]
pub struct Orphan {
    index: u32,
    kept: Kept,
    dispose: Dispose,
    done: Completion,
}

impl<T: Threads> Core<T> {
    pub(super) fn new((cq, sq): (CompletionQueue<T>, SubmissionQueue<T>)) -> Self {
        let table = Table::new(cq.capacity());
        Self {
            sq,
            cq,
            table: ManuallyDrop::new(table),
            in_flight: 0,
            deadline: None,
            ended: false,
        }
    }

    /// How many operations can be in flight or waiting to be taken.
    pub(super) fn capacity(&self) -> u32 {
        self.table.len()
    }

    /// How many slots are taken.
    pub(super) fn taken(&self) -> u32 {
        self.table.taken()
    }

    /// Takes a slot for an operation, if there is one and the queue has room for its entry.
    #[inline]
    pub(super) fn prepare(&mut self) -> Option<(u32, Kept)> {
        let index = self.table.take()?;
        Some((index, self.table.kept(index)))
    }

    /// Pushes the entry of the operation in a slot.
    ///
    /// # Safety
    ///
    /// The slot holds the operation, whose entry this is.
    #[inline]
    pub(super) unsafe fn push(&mut self, index: u32, sqe: &Sqe) -> Result<(), QueueFull> {
        // SAFETY: what the entry names is the operation's, which stays in its slot until the last
        // completion has been taken, or is leaked there.
        unsafe { self.sq.push_raw(sqe, index.into()) }?;
        *self.table.state(index) = State::InFlight {
            first: 0,
            waker: None,
        };
        self.in_flight += 1;
        Ok(())
    }

    /// Gives a slot back from which the operation has been taken out.
    #[inline]
    pub(super) fn free(&mut self, index: u32) {
        self.table.free(index);
    }

    /// How the operation in a slot has ended, if it has. The slot is empty then: the caller takes
    /// the operation out, and gives the slot back.
    #[inline]
    pub(super) fn take_done(&mut self, index: u32) -> Option<(Kept, Completion)> {
        let state = self.table.state(index);
        let State::Done { result, flags } = *state else {
            return None;
        };
        *state = State::Emptied;
        let done = Completion {
            user_data: index.into(),
            res: result,
            flags,
            extra: (),
        };
        Some((self.table.kept(index), done))
    }

    /// Whether the operation in a slot has ended.
    #[inline]
    pub(super) fn is_done(&mut self, index: u32) -> bool {
        matches!(self.table.state(index), State::Done { .. })
    }

    /// Whether this waker is the one that a slot has.
    #[inline]
    pub(super) fn has_waker(&mut self, index: u32, waker: &Waker) -> bool {
        match self.table.state(index) {
            State::InFlight {
                waker: Some(had), ..
            } => had.will_wake(waker),
            _ => false,
        }
    }

    /// Gives a slot another waker, and returns the one that it had, or this one if its operation has
    /// ended.
    pub(super) fn set_waker(&mut self, index: u32, new: Waker) -> Option<Waker> {
        match self.table.state(index) {
            State::InFlight { waker, .. } => waker.replace(new),
            _ => Some(new),
        }
    }

    /// Notes that nobody waits for the operation in a slot any longer, and asks the kernel to stop
    /// it. Returns its waker.
    pub(super) fn abandon(
        &mut self,
        index: u32,
        dispose: Dispose,
        cancelled: bool,
    ) -> Option<Waker> {
        let State::InFlight { first, waker } = self.table.state(index) else {
            return None;
        };
        let (first, waker) = (*first, waker.take());
        *self.table.state(index) = State::Abandoned { first, dispose };
        if cancelled {
            self.cancel(index);
        }
        waker
    }

    /// Asks the kernel to stop the operation in a slot, with the next submission.
    fn cancel(&mut self, index: u32) {
        let cancel = Cancel {
            user_data: index.into(),
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        let pushed = unsafe { self.sq.push(&cancel, NOBODY) };
        if pushed.is_err() && self.sq.submit().is_ok() {
            // Without room even now it goes on until it ends by itself.
            // SAFETY: as above.
            let _ = unsafe { self.sq.push(&cancel, NOBODY) };
        }
    }

    /// Takes completions until there are no more, or foreign code has to be called.
    #[inline]
    pub(super) fn reap(&mut self) -> Option<Foreign> {
        let Self {
            cq,
            table,
            in_flight,
            ..
        } = self;
        cq.completions()
            .find_map(|done| settle(table, in_flight, done))
    }

    /// Cancels everything and waits until the kernel has nothing more, or the deadline has passed.
    /// Returns how many operations it still has.
    ///
    /// This calls foreign code, so nobody else may have the ring.
    fn drain(&mut self, deadline: Instant) -> u32 {
        // What was pushed and not submitted never runs.
        let mut withdrawn = Vec::new();
        self.sq
            .withdraw(NOBODY, |user_data| withdrawn.push(user_data));
        for user_data in withdrawn {
            let cancelled = Completion {
                user_data,
                res: -libc::ECANCELED,
                flags: 0,
                extra: (),
            };
            let left = settle(&mut self.table, &mut self.in_flight, cancelled);
            self.run(left);
        }
        let all = Cancel {
            user_data: 0,
            flags: CancelFlags::ANY,
        };
        let mut asked = false;
        loop {
            while let Some(left) = self.reap() {
                self.run(Some(left));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.in_flight == 0 || left.is_zero() {
                return self.in_flight;
            }
            if !asked {
                // SAFETY: a cancellation points to nothing.
                asked = unsafe { self.sq.push(&all, NOBODY) }.is_ok();
            }
            let step = left.min(STEP);
            let wait = Wait::for_completions(1).timeout(step);
            if self.sq.submit_and_wait_with(&wait).is_err() {
                // It may be for want of memory. The deadline ends the loop.
                thread::sleep(step.min(Duration::from_millis(1)));
            }
        }
    }

    fn run(&mut self, foreign: Option<Foreign>) {
        if let Some(index) = foreign.and_then(Foreign::run) {
            self.table.free(index);
        }
    }

    /// Ends all operations, as dropping does, and says how many did not end in time.
    pub(super) fn close(mut self, deadline: Instant) -> Result<(), StillInFlight> {
        self.deadline = Some(deadline);
        self.end()
    }

    fn end(&mut self) -> Result<(), StillInFlight> {
        if self.ended {
            return Ok(());
        }
        // Whatever happens from here on, a panic among it, the table is freed only at the end.
        self.ended = true;
        if !self.sq.ring().is_own() {
            // The operations are the parent's, and so is what they use.
            return Ok(());
        }
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        match self.drain(deadline) {
            0 => {
                // SAFETY: the kernel has none of the operations any longer, and this is done once.
                unsafe { ManuallyDrop::drop(&mut self.table) };
                Ok(())
            }
            operations => Err(StillInFlight { operations }),
        }
    }
}

impl<T: Threads> Drop for Core<T> {
    fn drop(&mut self) {
        // What is still in flight is leaked. There is nobody to tell.
        let _ = self.end();
    }
}

/// Notes that an operation has completed. Returns what foreign code is to be called for it.
#[inline]
fn settle(table: &mut Table, in_flight: &mut u32, done: Completion) -> Option<Foreign> {
    let index = u32::try_from(done.user_data).ok();
    let index = index.filter(|&index| index < table.len())?;
    let more = done.flags & CompletionFlags::MORE.bits() != 0;
    let state = table.state(index);
    match state {
        State::InFlight { first, .. } | State::Abandoned { first, .. } if more => {
            *first = done.res;
            None
        }
        State::InFlight { first, waker } => {
            *in_flight -= 1;
            let (result, waker) = (result(done, *first), waker.take());
            *state = State::Done {
                result,
                flags: done.flags,
            };
            waker.map(Foreign::Wake)
        }
        State::Abandoned { first, dispose } => {
            *in_flight -= 1;
            let (dispose, res) = (*dispose, result(done, *first));
            *state = State::Emptied;
            Some(Foreign::Dispose(Orphan {
                index,
                kept: table.kept(index),
                dispose,
                done: Completion { res, ..done },
            }))
        }
        _ => {
            debug_assert!(false, "the kernel does not have slot {index}");
            None
        }
    }
}

/// The result of an operation: of a zero-copy send the one that came before its notification.
#[inline]
fn result(done: Completion, first: i32) -> i32 {
    if done.flags & CompletionFlags::NOTIF.bits() == 0 {
        done.res
    } else {
        first
    }
}

impl Foreign {
    /// Does it, and returns the slot that is to be given back.
    pub(super) fn run(self) -> Option<u32> {
        match self {
            Self::Wake(waker) => {
                waker.wake();
                None
            }
            Self::Dispose(orphan) => {
                // SAFETY: the slot holds an operation of the type that this function was made for;
                // its last completion has been taken, and its slot is empty after this.
                unsafe { (orphan.dispose)(orphan.kept, orphan.done) };
                Some(orphan.index)
            }
        }
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
