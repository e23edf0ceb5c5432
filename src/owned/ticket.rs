//! What stands for an operation in flight.

#![expect(
    clippy::inline_always,
    reason = "an entry that is returned from a call is copied"
)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::access::{KEY, RingRef, WaitableRef};
use super::cancel::CancelRequest;
use super::core::Core;
use super::operation::Operation;
use super::places::SlotId;
use super::ring::Full;
use super::slot;
use super::taken::{Polled, Taken};
use crate::entry::Sqe;
use crate::error::SubmitError;

/// Stands for an operation that was pushed, and gets its output.
///
/// It is a future, for whatever executor drives the ring; and it can be waited for without one.
///
/// The operation is the ring's. Dropping a ticket gives up its output: what has ended is disposed
/// of, descriptors are closed; what has not is cancelled, with the next submission, and disposed of
/// when it has ended. Forgetting one leaks what it stands for. Neither does anything to memory that
/// the kernel uses.
#[must_use = "dropping a ticket cancels its operation"]
pub struct Ticket<R: RingRef, O: Operation> {
    ring: R,
    id: SlotId,
    _operation: PhantomData<fn() -> O>,
}

/// The end of a wait that has failed: why, and the ticket that goes on waiting.
#[derive(thiserror::Error)]
#[error("waiting for an operation failed: {error}")]
pub struct WaitError<T> {
    /// What went wrong.
    #[source]
    pub error: SubmitError,
    /// The ticket, still good.
    pub ticket: T,
}

impl<T> fmt::Debug for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> From<WaitError<T>> for io::Error {
    fn from(error: WaitError<T>) -> Self {
        error.error.into()
    }
}

/// Gives a slot back that no entry was pushed for.
pub(super) struct Unpushed<'a, R: RingRef, O> {
    ring: &'a R,
    id: SlotId,
    _operation: PhantomData<fn() -> O>,
}

impl<'a, R: RingRef, O> Unpushed<'a, R, O> {
    /// Moves an operation into a slot, and has it make its entry.
    #[inline(always)]
    pub(super) fn place(
        ring: &'a R,
        operation: O,
        entry: impl FnOnce(&mut O) -> Sqe,
    ) -> Result<(Self, Sqe), Full<O>> {
        let Some((id, kept)) = ring.with(KEY, Core::prepare) else {
            return Err(Full(operation));
        };
        // SAFETY: the slot was just taken.
        unsafe { kept.put(operation) };
        let unpushed = Self {
            ring,
            id,
            _operation: PhantomData,
        };
        // SAFETY: the slot holds it.
        let mut operation = unsafe { kept.operation::<O>() };
        // The operation's own code, which may use the ring.
        // SAFETY: nobody else uses it.
        let sqe = entry(unsafe { operation.as_mut() });
        Ok((unpushed, sqe))
    }

    /// The slot.
    #[inline]
    pub(super) fn id(&self) -> SlotId {
        self.id
    }

    /// Takes the operation out again.
    #[cold]
    #[inline(never)]
    pub(super) fn take(self) -> O {
        let this = ManuallyDrop::new(self);
        // SAFETY: it is not dropped after this.
        unsafe { this.empty() }
    }

    /// Takes the operation out, and gives the slot back.
    ///
    /// # Safety
    ///
    /// This is done once.
    unsafe fn empty(&self) -> O {
        // SAFETY: the slot holds it, and the kernel has not seen it.
        let take = |core: &mut Core<_>| unsafe { core.take_out(self.id) };
        let operation = self.ring.with(KEY, take);
        self.ring.freed();
        operation
    }

    /// Leaves the slot to the kernel, and to the ticket.
    #[inline]
    pub(super) fn leave_to_kernel(self) {
        let _pushed = ManuallyDrop::new(self);
    }
}

impl<R: RingRef, O> Drop for Unpushed<'_, R, O> {
    fn drop(&mut self) {
        // There was no room for all that belongs together, or a panic.
        // SAFETY: a value is dropped once, and one that was taken is not.
        drop(unsafe { self.empty() });
    }
}

impl<R: RingRef, O: Operation> Ticket<R, O> {
    #[inline]
    pub(super) fn push(ring: R, operation: O) -> Result<Self, Full<O>> {
        let (unpushed, sqe) = Unpushed::place(&ring, operation, O::entry)?;
        let id = unpushed.id;
        // SAFETY: the entry is that of the operation in this slot.
        let pushed = ring.with(KEY, |core| unsafe { core.push(id, &sqe) });
        if pushed.is_err() {
            return Err(Full(unpushed.take()));
        }
        unpushed.leave_to_kernel();
        Ok(Self::new(ring, id))
    }

    #[inline]
    pub(super) fn new(ring: R, id: SlotId) -> Self {
        Self {
            ring,
            id,
            _operation: PhantomData,
        }
    }

    /// The slot.
    pub(super) fn id(&self) -> SlotId {
        self.id
    }

    /// Asks the kernel to stop the operation. The request is an operation of its own, whose output
    /// says what the kernel found; that of this ticket says how its operation has ended.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for it.
    pub fn cancel(&self) -> Result<Ticket<R, CancelRequest>, Full<()>>
    where
        R: Clone,
    {
        // Not given back: pushed later, it could meet another operation in the slot.
        Ticket::push(self.ring.clone(), CancelRequest::new(self.id)).map_err(|_| Full(()))
    }

    /// Whether the operation has ended, so that its output can be taken. Does not look for
    /// completions.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.id == SlotId::NONE || self.ring.with(KEY, |core| core.is_done(self.id))
    }

    /// Takes the output if the operation is known to have ended.
    ///
    /// # Errors
    ///
    /// Otherwise the ticket.
    ///
    /// # Panics
    ///
    /// If the output was taken before, by polling the ticket.
    #[inline]
    pub fn try_take(mut self) -> Result<O::Output, Self> {
        match self.take_done() {
            Some(output) => Ok(output),
            None => Err(self.not_taken()),
        }
    }

    /// The ticket, whose operation has not ended.
    #[cold]
    #[inline(never)]
    fn not_taken(self) -> Self {
        assert!(self.id != SlotId::NONE, "the output was taken before");
        self
    }

    /// The output, if the operation has ended. It can be taken once.
    #[inline]
    fn take_done(&mut self) -> Option<O::Output> {
        let taken = self.take_operation()?;
        let done = taken.done;
        // SAFETY: it was taken with its own completion.
        Some(unsafe { taken.operation().complete(done) })
    }

    /// The operation, if it has ended.
    #[inline]
    fn take_operation(&mut self) -> Option<Taken<O>> {
        // SAFETY: the ticket has the slot, and no longer if this gives the operation.
        let taken = self.ring.with(KEY, |core| unsafe { core.take(self.id) })?;
        self.emptied();
        Some(taken)
    }

    /// Leaves a waker where the operation is kept.
    #[inline(never)]
    fn leave_waker(&self, waker: &Waker) {
        let waker = waker.clone();
        match self
            .ring
            .with(KEY, |core| core.store.set_waker(self.id, waker))
        {
            Ok(None) => {}
            other => self.take_back(other),
        }
    }

    /// The same, if there is not this one yet.
    #[cold]
    #[inline(never)]
    fn replace_waker(&self, waker: &Waker) {
        if !self
            .ring
            .with(KEY, |core| core.store.has_waker(self.id, waker))
        {
            self.leave_waker(waker);
        }
    }

    /// Drops a waker that was left before, where the ring is not borrowed. Wakes one that could not be
    /// left, since the operation has ended on another thread.
    #[cold]
    #[inline(never)]
    fn take_back(&self, waker: Result<Option<Waker>, Waker>) {
        if let Err(waker) = waker {
            assert!(self.id != SlotId::NONE, "the output was taken before");
            waker.wake();
        }
    }

    /// Notes that the operation has left its slot.
    #[inline]
    fn emptied(&mut self) {
        self.id = SlotId::NONE;
        self.ring.freed();
    }
}

impl<R: WaitableRef, O: Operation> Ticket<R, O> {
    /// Hands what was pushed to the kernel, waits until this operation has ended, and takes its
    /// output.
    ///
    /// # Errors
    ///
    /// [`WaitError`] gives the ticket back.
    ///
    /// # Panics
    ///
    /// If the output was taken before, by polling the ticket.
    pub fn wait(mut self) -> Result<O::Output, WaitError<Self>> {
        assert!(self.id != SlotId::NONE, "the output was taken before");
        loop {
            if let Some(output) = self.take_done() {
                return Ok(output);
            }
            match self.ring.wait_for_one() {
                Err(error) if !self.is_done() => {
                    return Err(WaitError {
                        error,
                        ticket: self,
                    });
                }
                _ => {}
            }
        }
    }
}

impl<R: RingRef, O: Operation> Future for Ticket<R, O> {
    type Output = O::Output;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O::Output> {
        let (id, waker) = (self.id, context.waker());
        // SAFETY: the ticket has the slot, and no longer if this gives the operation.
        match self.ring.with(KEY, |core| unsafe { core.poll(id, waker) }) {
            Polled::Ended(operation, done) => {
                self.emptied();
                // SAFETY: it was taken with its own completion.
                Poll::Ready(unsafe { O::complete(operation, done) })
            }
            Polled::Waits => Poll::Pending,
            Polled::NeedsWaker => {
                self.leave_waker(waker);
                Poll::Pending
            }
            Polled::Unclear => {
                self.replace_waker(waker);
                Poll::Pending
            }
        }
    }
}

impl<R: RingRef, O: Operation> Drop for Ticket<R, O> {
    #[inline]
    fn drop(&mut self) {
        if self.id == SlotId::NONE {
            return;
        }
        loop {
            if let Some(taken) = self.take_operation() {
                let done = taken.done;
                // SAFETY: it was taken with its own completion.
                unsafe { taken.operation().abandon(done) };
                return;
            }
            let (id, cancelled) = (self.id, O::CANCELLED_WHEN_ABANDONED);
            let abandon = |core: &mut Core<_>| core.abandon(id, slot::dispose::<O>, cancelled);
            // Otherwise it has ended in between, on another thread.
            if let Ok(waker) = self.ring.with(KEY, abandon) {
                // Dropped here, where the ring is not borrowed.
                drop(waker);
                self.ring.flush();
                return;
            }
        }
    }
}

impl<R: RingRef, O: Operation> fmt::Debug for Ticket<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}
