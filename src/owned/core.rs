//! The queues of a ring and the slots of its operations, and what happens to them.

use std::io;
use std::mem::{ManuallyDrop, replace};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::backlog::Queue;
use super::door::Door;
use super::drain::{Draining, PATIENCE, StillInFlight, end, withdrawn};
use super::due::{Due, Retry, Slots};
use super::groups::note_of;
use super::mailbox::Mailbox;
use super::places::SlotId;
use super::ring_id::push_own;
use super::slot::{Dispose, Kept, State, dispose};
use super::stopping::{Asked, push_cancel, push_timer};
use super::store::{RARE, Store, packed};
use super::taken::{Polled, Taken};
use super::time::Limit;
use super::waiting::Waiting;
use crate::completion::{Completion, CompletionQueue};
use crate::entry::Sqe;
use crate::error::QueueFull;
use crate::kind::Threads;
use crate::submission::SubmissionQueue;

/// How many overflows are looked after before a pass over the completions ends.
const OVERFLOWS: u32 = 256;

/// The operation has ended already.
#[derive(Clone, Copy, Debug)]
pub(super) struct HasEnded;

/// The entry of a link, in a chain.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) id: SlotId,
    pub(super) sqe: Sqe,
    pub(super) is_limit: bool,
}

/// A ring's queues and slots.
///
/// Nothing here calls code that is not this crate's, but for the end: no waker, no destructor, no
/// method of an operation. Such code could come back to the ring, and find it borrowed.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what tickets reach by way of their ring")]
pub struct Core<T: Threads> {
    pub(super) sq: SubmissionQueue<T>,
    cq: CompletionQueue<T>,
    pub(super) store: Store,
    /// Where messages come in, as long as it has not ended.
    door: Option<Arc<Door>>,
    overflows: u32,
    /// Whether a pass over the completions has ended before all was taken.
    pub(super) has_left_some: bool,
    ended: bool,
}

impl<T: Threads> Core<T> {
    pub(super) fn new((cq, sq): (CompletionQueue<T>, SubmissionQueue<T>)) -> Self {
        Self {
            store: Store::new(cq.capacity()),
            sq,
            cq,
            door: None,
            overflows: 0,
            has_left_some: false,
            ended: false,
        }
    }

    /// How many operations can be in flight or waiting to be taken.
    pub(super) fn capacity(&self) -> u32 {
        self.store.table.len()
    }

    /// How many slots are taken.
    pub(super) fn taken(&self) -> u32 {
        self.store.table.taken()
    }

    /// Takes a slot for an operation, if there is one.
    #[inline]
    pub(super) fn prepare(&mut self) -> Option<(SlotId, Kept)> {
        let id = self.store.table.take()?;
        Some((id, self.store.table.kept(id)))
    }

    /// Pushes the entry of the operation in a slot.
    ///
    /// # Safety
    ///
    /// The slot was taken and holds the operation, whose entry this is.
    #[inline]
    pub(super) unsafe fn push(&mut self, id: SlotId, sqe: &Sqe) -> Result<(), QueueFull> {
        // SAFETY: what the entry names is the operation's, which stays in its slot until the last
        // completion has been taken, or is leaked there.
        unsafe { push_own(&mut self.sq, sqe, id.into()) }?;
        let state = self.store.table.state(id);
        *state = State::InFlight { note: note_of(sqe) };
        Ok(())
    }

    /// Pushes the entry of an operation with several completions.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    pub(super) unsafe fn push_stream(&mut self, id: SlotId, sqe: &Sqe) -> Result<(), QueueFull> {
        // SAFETY: as above.
        unsafe { push_own(&mut self.sq, sqe, id.into()) }?;
        *self.store.table.state(id) = State::Streaming {
            group: sqe.buffer_group(),
            items: Queue::new(),
            waker: None,
        };
        Ok(())
    }

    /// Pushes the entries of a chain, all or none.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push), for each; limits are [`Limit`]s.
    pub(super) unsafe fn push_chain<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e Linked> + Clone,
    ) -> Result<(), QueueFull> {
        let count = u32::try_from(entries.clone().count()).unwrap_or(u32::MAX);
        let _room_for_all = self.sq.reserve(count)?;
        for Linked { id, sqe, is_limit } in entries {
            // SAFETY: the caller's promise.
            unsafe { self.push(*id, sqe) }?;
            if *is_limit {
                // Its own end is nobody's business.
                *self.store.table.state(*id) = State::Abandoned {
                    asked: None,
                    note: 0,
                    dispose: dispose::<Limit>,
                };
            }
        }
        Ok(())
    }

    /// Gives a slot back from which the operation has been taken out.
    #[inline]
    pub(super) fn free(&mut self, id: SlotId) {
        self.store.table.free(id);
    }

    /// Takes the operation out of a slot if it has ended, and gives the slot back.
    ///
    /// # Safety
    ///
    /// A ticket has the slot, for an operation of this type, and gives it up if there is a result.
    #[inline]
    pub(super) unsafe fn take<O>(&mut self, id: SlotId) -> Option<Taken<O>> {
        let done = self.store.table.state(id).ended()?;
        // SAFETY: the caller's promise; the kernel does not use it any longer.
        Some(Taken::new(unsafe { self.take_out(id) }, done))
    }

    /// The same, for a task that waits for it.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take).
    #[inline]
    pub(super) unsafe fn poll<O>(&mut self, id: SlotId, waker: &Waker) -> Polled<O> {
        let (state, shared_waker) = self.store.awaited(id);
        if let Some(done) = state.ended() {
            // SAFETY: the caller's promise.
            return Polled::Ended(unsafe { self.take_out(id) }, done);
        }
        match *state {
            State::InFlight { note } if shared_waker.is(waker) => {
                shared_waker.join();
                *state = State::Shared { note };
                Polled::Waits
            }
            State::InFlight { .. } => Polled::NeedsWaker,
            _ => Polled::Unclear,
        }
    }

    /// Takes the operation out of a slot, and gives the slot back.
    ///
    /// # Safety
    ///
    /// The slot holds an operation of this type, which neither the kernel nor anybody else uses, and
    /// which is not taken out again.
    #[inline]
    pub(super) unsafe fn take_out<O>(&mut self, id: SlotId) -> O {
        // SAFETY: the caller's promise.
        let operation = unsafe { self.store.table.kept(id).take() };
        self.store.table.free(id);
        operation
    }

    /// Where a slot keeps its operation.
    pub(super) fn kept(&self, id: SlotId) -> Kept {
        self.store.table.kept(id)
    }

    /// Whether the operation in a slot has ended.
    #[inline]
    pub(super) fn is_done(&mut self, id: SlotId) -> bool {
        self.store.table.state(id).ended().is_some()
    }

    /// Notes that nobody waits for the operation in a slot any longer, and asks the kernel to stop
    /// it. Returns its waker. Does nothing if the operation has ended.
    pub(super) fn abandon(
        &mut self,
        id: SlotId,
        dispose: Dispose,
        cancelled: bool,
    ) -> Result<Option<Waker>, HasEnded> {
        // In a child process the operation is the parent's, and the queues are not there.
        let cancelled = cancelled && self.is_own();
        let asked = cancelled.then(Asked::new);
        let (state, shared_waker) = self.store.awaited(id);
        let abandoned = |note| State::Abandoned {
            asked,
            note,
            dispose,
        };
        // SAFETY: wakers are taken out of their slot, whose state is replaced.
        let given_up = |waker: Waiting| unsafe { waker.into_waker() };
        let (abandoned, waker) = match *state {
            State::InFlight { note } => (abandoned(note), None),
            State::Shared { note } => (abandoned(note), shared_waker.leave(1)),
            State::Awaited { note, waker } => (abandoned(note), Some(given_up(waker))),
            State::Streaming {
                group,
                items,
                waker,
            } => {
                let deserted = State::Deserted {
                    group,
                    asked,
                    items,
                    dispose,
                };
                (deserted, waker.map(given_up))
            }
            _ => return Err(HasEnded),
        };
        *state = abandoned;
        if cancelled {
            self.cancel(id);
        }
        Ok(waker)
    }

    /// Where messages to the ring go.
    pub(super) fn mailbox(&mut self) -> io::Result<Mailbox> {
        if let Some(door) = &self.door {
            return Ok(Mailbox::new(door));
        }
        let fd = self.sq.fd().ok_or(io::ErrorKind::Unsupported)?;
        let door = Arc::new(Door::new(fd.try_clone_to_owned()?));
        Ok(Mailbox::new(self.door.insert(door)))
    }

    /// Takes the next message that has come.
    pub(super) fn take_message(&mut self) -> Option<(u64, u32)> {
        let message = self.store.mail.take()?;
        if let Some(door) = &self.door {
            door.leave();
        }
        Some(message)
    }

    /// Whether this process made the ring.
    pub(super) fn is_own(&self) -> bool {
        self.sq.ring().is_own()
    }

    /// Asks the kernel once more to stop an operation that nobody waits for, if the slot still has
    /// one.
    pub(super) fn cancel_again(&mut self, retry: Retry) {
        // A waker that was called before may have forked.
        if !self.is_own() {
            return;
        }
        match retry {
            Retry::Now(id) => {
                if let Some(asked) = self.store.table.state(id).asked() {
                    asked.count();
                    self.cancel(id);
                }
            }
            Retry::Later(id) => self.push_surely(id, push_timer),
        }
    }

    /// Whether the kernel holds completions that did not fit into the queue, and they are to be taken in
    /// the same pass.
    #[inline]
    pub(super) fn has_overflowed(&mut self) -> bool {
        self.cq.has_overflowed() && self.goes_on()
    }

    /// Counts overflows. Messages can come as fast as they are taken, so now and then a pass ends all the
    /// same.
    #[cold]
    #[inline(never)]
    fn goes_on(&mut self) -> bool {
        self.overflows = (self.overflows + 1) % OVERFLOWS;
        self.has_left_some |= self.overflows == 0;
        self.overflows != 0
    }

    /// Asks the kernel to stop the operation in a slot, with the next submission.
    fn cancel(&mut self, id: SlotId) {
        self.push_surely(id, push_cancel);
    }

    /// Pushes what is to stop the operation in a slot.
    ///
    /// If the queue is full it is submitted first. If it is full even then, the operation goes on
    /// until it ends by itself.
    fn push_surely(&mut self, id: SlotId, push: fn(&mut SubmissionQueue<T>, u64, Asked) -> bool) {
        let Some(&mut asked) = self.store.table.state(id).asked() else {
            return;
        };
        if push(&mut self.sq, id.into(), asked) || self.sq.submit().is_err() {
            return;
        }
        // A thread of the kernel's takes its time.
        if self.sq.wait_for_space().is_ok() {
            push(&mut self.sq, id.into(), asked);
        }
    }

    /// Takes completions until there are no more, or no more can be left to do for them.
    #[inline]
    pub(super) fn reap(&mut self, due: &mut Due) {
        let Self { cq, store, .. } = self;
        let mut states = store.table.states();
        let ended_shared = cq.completions().fold_while(0, |ended_shared, done| {
            let next = |ended_shared, goes_on| {
                if goes_on {
                    ControlFlow::Continue(ended_shared)
                } else {
                    ControlFlow::Break(ended_shared)
                }
            };
            // SAFETY: the table is this ring's, and nobody has a state borrowed.
            if let Some(state) = unsafe { states.of(done.user_data) } {
                let is_simple = done.flags & RARE == 0;
                let ended = State::ended_simply(done.res, done.flags);
                match *state {
                    State::InFlight { .. } if is_simple => {
                        *state = ended;
                        return next(ended_shared, true);
                    }
                    State::Shared { .. } if is_simple => {
                        *state = ended;
                        return next(ended_shared + 1, true);
                    }
                    State::Awaited { waker, .. } if is_simple => {
                        after_the_others();
                        *state = ended;
                        return next(ended_shared, due.wake(waker));
                    }
                    _ => after_the_others(),
                }
            }
            next(
                ended_shared,
                store.settle_rarely(done.user_data, packed(done), due),
            )
        });
        due.wake_shared(&mut store.shared_waker, ended_shared);
    }

    /// Ends all operations, as dropping does, and says how many did not end in time.
    pub(super) fn close(mut self, deadline: Instant) -> Result<(), StillInFlight> {
        end(&mut self, deadline)
    }
}

impl<T: Threads> Drop for Core<T> {
    fn drop(&mut self) {
        // What is still in flight is leaked. There is nobody to tell.
        let _ = end(self, Instant::now() + PATIENCE);
    }
}

impl<T: Threads> Draining for Core<T> {
    type Threads = T;

    fn queue(&mut self) -> &mut SubmissionQueue<T> {
        &mut self.sq
    }

    fn in_flight(&self) -> u32 {
        self.store.table.kernels()
    }

    fn next_in_flight(&self, from: u64) -> Option<u64> {
        self.store.table.next_kernels(from).map(u64::from)
    }

    fn dispose_of_withdrawn(&mut self, number: u64) {
        if self.store.table.id(number).is_none() {
            return;
        }
        let mut due = Due::new();
        self.store.settle(withdrawn(number), &mut due);
        due.wake_shared(&mut self.store.shared_waker, 0);
        due.mark_withdrawn();
        due.finish(self);
    }

    fn reap_all(&mut self) {
        let mut due = Due::new();
        loop {
            self.reap(&mut due);
            if due.is_empty() {
                return;
            }
            due.finish(self);
        }
    }

    fn begin_end(&mut self) -> bool {
        // What is being sent may still come.
        self.door = None;
        self.store.mail.close();
        replace(&mut self.ended, true)
    }

    unsafe fn free_slots(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { ManuallyDrop::drop(&mut self.store.table) };
    }
}

impl<T: Threads> Slots for Core<T> {
    fn cancel_again(&mut self, retry: Retry) {
        Self::cancel_again(self, retry);
    }

    fn next_item(&mut self, id: SlotId) -> Option<Completion> {
        self.store.next_item(id)
    }

    fn leave_shared_waker(&mut self) -> Option<Waker> {
        self.store.shared_waker.leave(1)
    }

    fn free(&mut self, id: SlotId) {
        Self::free(self, id);
    }
}

/// Has the compiler test for the state that this is called in after those in which it is not.
#[cold]
#[inline]
fn after_the_others() {}
