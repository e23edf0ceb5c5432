//! What stands for an operation of a scope.

use std::fmt;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cancel::CancelRequest;
use super::members::Members;
use super::operation::Operation;
use super::ring::{Full, Ring};
use super::scoped::Scoped;
use super::ticket::{Ticket, WaitError};

/// Stands for an operation that was pushed within a scope, as a [`Ticket`] does, and is a future, too.
///
/// When the closure has returned, the scope lets go of what is left. A ticket that is still there then,
/// in an operation of the same scope, stands for nothing any longer: it can only be dropped.
#[must_use = "dropping a ticket cancels its operation"]
pub struct ScopedTicket<'scope, O: Operation> {
    ticket: ManuallyDrop<Ticket<&'scope Ring, Scoped<'scope, O>>>,
    members: &'scope Members,
}

impl<'scope, O: Operation> ScopedTicket<'scope, O> {
    pub(super) fn new(
        ticket: Ticket<&'scope Ring, Scoped<'scope, O>>,
        members: &'scope Members,
    ) -> Self {
        Self {
            ticket: ManuallyDrop::new(ticket),
            members,
        }
    }

    /// The ticket, which is still good.
    fn into_ticket(self) -> Ticket<&'scope Ring, Scoped<'scope, O>> {
        self.members.assert_open();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it is not dropped after this, and taken once.
        unsafe { ManuallyDrop::take(&mut this.ticket) }
    }

    /// See [`Ticket::cancel`].
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for it.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn cancel(&self) -> Result<Ticket<&'scope Ring, CancelRequest>, Full<()>> {
        self.members.assert_open();
        self.ticket.cancel()
    }

    /// Whether the operation has ended, so that its output can be taken. Does not look for
    /// completions.
    pub fn is_done(&self) -> bool {
        self.members.are_ending() || self.ticket.is_done()
    }

    /// Takes the output if the operation is known to have ended.
    ///
    /// # Errors
    ///
    /// Otherwise the ticket.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn try_take(self) -> Result<O::Output, Self> {
        let members = self.members;
        let ticket = self.into_ticket();
        ticket.try_take().map_err(|back| Self::new(back, members))
    }

    /// See [`Ticket::wait`].
    ///
    /// # Errors
    ///
    /// [`WaitError`] gives the ticket back.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn wait(self) -> Result<O::Output, WaitError<Self>> {
        let members = self.members;
        self.into_ticket().wait().map_err(|failed| WaitError {
            error: failed.error,
            ticket: Self::new(failed.ticket, members),
        })
    }
}

impl<O: Operation> Future for ScopedTicket<'_, O> {
    type Output = O::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O::Output> {
        self.members.assert_open();
        Pin::new(&mut *self.ticket).poll(context)
    }
}

impl<O: Operation> Drop for ScopedTicket<'_, O> {
    fn drop(&mut self) {
        // Otherwise the scope has let go of the operation, and its slot may be another's.
        if !self.members.are_ending() {
            // SAFETY: a value is dropped once, and one that was taken is not.
            unsafe { ManuallyDrop::drop(&mut self.ticket) };
        }
    }
}

impl<O: Operation> fmt::Debug for ScopedTicket<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTicket")
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}
