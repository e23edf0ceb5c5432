//! The queues of a ring and the slots of its operations, and what happens to them.

use std::io;
use std::mem::{self, ManuallyDrop};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::due::{Due, Orphan};
use super::operation::Operation;
use super::slot::{Dispose, Kept, State, Table, Waiting, dispose};
use super::time::Limit;
use crate::completion::{Completion, CompletionFlags, CompletionQueue};
use crate::entry::Sqe;
use crate::error::QueueFull;
use crate::kind::Threads;
use crate::operation::{Cancel, CancelFlags};
use crate::submission::SubmissionQueue;
use crate::wait::Wait;

/// The number of entries that belong to nobody. Slots have the lowest numbers.
pub(super) const NOBODY: u64 = u64::MAX;

/// What is added to a slot's number for the cancellation of its operation.
const CANCEL: u64 = 1 << 32;

/// How often the kernel is asked to stop an operation. It does not find one that is just about to try
/// again, since something has woken it, and that may then go on waiting.
const TRIES: u32 = 4;

/// How long a dropped ring waits for what the kernel still has, before it leaks it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long each of its waits is at the most.
const STEP: Duration = Duration::from_millis(100);

/// The operation has ended already.
#[derive(Clone, Copy, Debug)]
pub(super) struct HasEnded;

/// A ring's queues and slots.
///
/// Nothing here calls code that is not this crate's, but for the end: no waker, no destructor, no
/// method of an operation. Such code could come back to the ring, and find it borrowed.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what tickets reach by way of their ring")]
pub struct Core<T: Threads> {
    pub(super) sq: SubmissionQueue<T>,
    cq: CompletionQueue<T>,
    table: ManuallyDrop<Table>,
    /// How many operations were pushed whose last completion has not been taken.
    in_flight: u32,
    ended: bool,
}

impl<T: Threads> Core<T> {
    pub(super) fn new((cq, sq): (CompletionQueue<T>, SubmissionQueue<T>)) -> Self {
        let table = ManuallyDrop::new(Table::new(cq.capacity()));
        Self {
            sq,
            cq,
            table,
            in_flight: 0,
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

    /// Takes a slot for an operation, if there is one.
    #[inline]
    pub(super) fn prepare(&mut self) -> Option<(u32, Kept)> {
        let index = self.table.take()?;
        Some((index, self.table.kept(index)))
    }

    /// Pushes the entry of the operation in a slot.
    ///
    /// # Safety
    ///
    /// The slot was taken and holds the operation, whose entry this is.
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

    /// Pushes the entry of an operation, and behind it that of its limit, whose own end is nobody's
    /// business; both or none.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push), for both; the limit is a [`Limit`].
    pub(super) unsafe fn push_limited(
        &mut self,
        index: u32,
        sqe: &Sqe,
        limit: u32,
        limit_sqe: &Sqe,
    ) -> Result<(), QueueFull> {
        let _room_for_both = self.sq.reserve(2)?;
        // SAFETY: the caller's promise.
        unsafe { self.push(index, sqe) }?;
        // SAFETY: as above.
        unsafe { self.push(limit, limit_sqe) }?;
        *self.table.state(limit) = State::Abandoned {
            tries: 0,
            first: 0,
            dispose: dispose::<Limit>,
        };
        Ok(())
    }

    /// Gives a slot back from which the operation has been taken out.
    #[inline]
    pub(super) fn free(&mut self, index: u32) {
        self.table.free(index);
    }

    /// Takes the operation out of a slot if it has ended, and gives the slot back.
    ///
    /// # Safety
    ///
    /// A ticket has the slot, for an operation of this type, and gives it up if there is a result.
    #[inline]
    pub(super) unsafe fn take<O: Operation>(&mut self, index: u32) -> Option<(O, Completion)> {
        let State::Ended { result, flags } = *self.table.state(index) else {
            return None;
        };
        let done = Completion {
            user_data: index.into(),
            res: result,
            flags,
            extra: (),
        };
        // SAFETY: the slot holds such an operation, which the kernel does not use any longer.
        let operation = unsafe { self.table.kept(index).take() };
        self.table.free(index);
        Some((operation, done))
    }

    /// Whether the operation in a slot has ended.
    #[inline]
    pub(super) fn is_done(&mut self, index: u32) -> bool {
        matches!(self.table.state(index), State::Ended { .. })
    }

    /// Whether this waker is the one that a slot has.
    #[inline]
    pub(super) fn has_waker(&mut self, index: u32, waker: &Waker) -> bool {
        match self.table.state(index) {
            State::InFlight {
                waker: Some(had), ..
            } => had.is(waker),
            _ => false,
        }
    }

    /// Gives a slot another waker, and returns the one that it had; or this one, as an error, if its
    /// operation has ended.
    #[inline]
    pub(super) fn set_waker(&mut self, index: u32, new: Waker) -> Result<Option<Waker>, Waker> {
        let State::InFlight { waker, .. } = self.table.state(index) else {
            return Err(new);
        };
        let old = waker.replace(Waiting::new(new));
        // SAFETY: it was taken out of its slot.
        Ok(old.map(|old| unsafe { old.into_waker() }))
    }

    /// Notes that nobody waits for the operation in a slot any longer, and asks the kernel to stop
    /// it. Returns its waker. Does nothing if the operation has ended.
    pub(super) fn abandon(
        &mut self,
        index: u32,
        dispose: Dispose,
        cancelled: bool,
    ) -> Result<Option<Waker>, HasEnded> {
        let State::InFlight { first, waker } = *self.table.state(index) else {
            return Err(HasEnded);
        };
        // In a child process the operation is the parent's, and the queues are not there.
        let cancelled = cancelled && self.is_own();
        *self.table.state(index) = State::Abandoned {
            tries: if cancelled { TRIES } else { 0 },
            first,
            dispose,
        };
        if cancelled {
            self.cancel(index);
        }
        // SAFETY: it was taken out of its slot.
        Ok(waker.map(|waker| unsafe { waker.into_waker() }))
    }

    /// Whether this process made the ring.
    pub(super) fn is_own(&self) -> bool {
        self.sq.ring().is_own()
    }

    /// Asks the kernel once more to stop an operation that nobody waits for, if the slot still has
    /// one.
    pub(super) fn cancel_again(&mut self, index: u32) {
        if matches!(self.table.state(index), State::Abandoned { tries: 1.., .. }) {
            self.cancel(index);
        }
    }

    /// Whether the kernel holds completions that did not fit into the queue.
    #[inline]
    pub(super) fn has_overflowed(&self) -> bool {
        self.cq.has_overflowed()
    }

    /// Asks the kernel to stop the operation in a slot, with the next submission.
    ///
    /// If the queue is full it is submitted first. If it is full even then, the operation goes on
    /// until it ends by itself.
    fn cancel(&mut self, index: u32) {
        if let State::Abandoned { tries, .. } = self.table.state(index) {
            *tries = tries.saturating_sub(1);
        }
        if !self.push_cancel(index) && self.sq.submit().is_ok() {
            self.push_cancel(index);
        }
    }

    /// Pushes the cancellation of the operation in a slot, if there is room.
    fn push_cancel(&mut self, index: u32) -> bool {
        let cancel = Cancel {
            user_data: index.into(),
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { self.sq.push(&cancel, CANCEL | u64::from(index)) }.is_ok()
    }

    /// Whether the kernel has the operation in a slot.
    fn has(&mut self, index: u32) -> bool {
        !matches!(self.table.state(index), State::Ended { .. })
    }

    /// Takes completions until there are no more, or no more can be left to do for them.
    #[inline]
    pub(super) fn reap(&mut self, due: &mut Due) {
        let Self {
            cq,
            table,
            in_flight,
            ..
        } = self;
        for done in cq.completions() {
            if !settle(table, in_flight, done, due) {
                return;
            }
        }
    }

    /// Cancels everything and waits until the kernel has nothing more, or the deadline has passed.
    /// Returns how many operations it still has.
    ///
    /// This calls foreign code, so nobody else may have the ring.
    fn drain(&mut self, deadline: Instant) -> u32 {
        let (mut withdrawn, mut due) = (Vec::new(), Due::new());
        // What was pushed and not submitted never runs.
        self.sq
            .withdraw(NOBODY, |user_data| withdrawn.push(user_data));
        for user_data in withdrawn {
            let cancelled = Completion {
                user_data,
                res: -libc::ECANCELED,
                flags: 0,
                extra: (),
            };
            settle(&mut self.table, &mut self.in_flight, cancelled, &mut due);
            due.mark_withdrawn();
            self.run(&mut due);
        }
        let mut asked = 0;
        loop {
            self.reap(&mut due);
            if !due.is_empty() {
                self.run(&mut due);
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.in_flight == 0 || left.is_zero() {
                return self.in_flight;
            }
            // One by one, which every kernel can.
            while asked < self.table.len() && (!self.has(asked) || self.push_cancel(asked)) {
                asked += 1;
            }
            let step = left.min(STEP);
            let wait = Wait::for_completions(1).timeout(step);
            if self.sq.submit_and_wait_with(&wait).is_err() {
                // It may be for want of memory. The deadline ends the loop.
                thread::sleep(step.min(Duration::from_millis(1)));
            }
        }
    }

    fn run(&mut self, due: &mut Due) {
        if let Some(index) = due.take_again() {
            self.cancel_again(index);
        }
        while let Some(waker) = due.take_waker() {
            waker.wake();
        }
        if let Some(orphan) = due.take_orphan() {
            let index = orphan.index();
            orphan.dispose();
            self.table.free(index);
        }
    }

    /// Ends all operations, as dropping does, and says how many did not end in time.
    pub(super) fn close(mut self, deadline: Instant) -> Result<(), StillInFlight> {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Instant) -> Result<(), StillInFlight> {
        if self.ended {
            return Ok(());
        }
        // Whatever happens from here on, a panic among it, the table is freed only at the end.
        self.ended = true;
        if !self.is_own() {
            // The operations are the parent's, and so is what they use.
            return Ok(());
        }
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
        let _ = self.end(Instant::now() + PATIENCE);
    }
}

/// The flags of a completion that is not simply the only one of its operation.
const SEVERAL: u32 = CompletionFlags::MORE.union(CompletionFlags::NOTIF).bits();

/// Notes that an operation has completed, and what is left to do for it. Returns whether more can be
/// left to do.
#[inline]
fn settle(table: &mut Table, in_flight: &mut u32, done: Completion, due: &mut Due) -> bool {
    if done.user_data >= table.len().into() {
        return settle_cancellation(table, done, due);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
    let index = done.user_data as u32;
    let state = table.state(index);
    match *state {
        State::InFlight { waker, .. } if done.flags & SEVERAL == 0 => {
            *state = State::Ended {
                result: done.res,
                flags: done.flags,
            };
            *in_flight -= 1;
            waker.is_none_or(|waker| due.wake(waker))
        }
        _ => settle_rarely(table, in_flight, done, index, due),
    }
}

/// Notes how a cancellation has ended.
#[cold]
#[inline(never)]
fn settle_cancellation(table: &mut Table, done: Completion, due: &mut Due) -> bool {
    let index = u32::try_from(done.user_data.wrapping_sub(CANCEL)).ok();
    let Some(index) = index.filter(|&index| index < table.len()) else {
        return true;
    };
    // By now the slot may be another operation's, which is as abandoned if it is.
    let goes_on = matches!(table.state(index), State::Abandoned { tries: 1.., .. });
    let again = goes_on && done.res == -libc::ENOENT;
    if again {
        due.cancel_again(index);
    }
    !again
}

/// The same for operations that nobody waits for, and for those that complete more than once.
#[cold]
#[inline(never)]
fn settle_rarely(
    table: &mut Table,
    in_flight: &mut u32,
    done: Completion,
    index: u32,
    due: &mut Due,
) -> bool {
    let state = table.state(index);
    let (State::InFlight { first, .. } | State::Abandoned { first, .. }) = state else {
        debug_assert!(false, "the kernel does not have slot {index}");
        return true;
    };
    if done.more() {
        *first = done.res;
        return true;
    }
    // The result of a zero-copy send came before its notification.
    let res = if done.is_notification() {
        *first
    } else {
        done.res
    };
    let done = Completion { res, ..done };
    let ended = State::Ended {
        result: res,
        flags: done.flags,
    };
    *in_flight -= 1;
    match mem::replace(state, ended) {
        State::InFlight { waker, .. } => waker.is_none_or(|waker| due.wake(waker)),
        State::Abandoned { dispose, .. } => {
            // SAFETY: the function is that of the operation's own type, and its last completion is
            // this.
            due.dispose(unsafe { Orphan::new(index, table.kept(index), dispose, done) });
            false
        }
        State::Ended { .. } => true,
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
