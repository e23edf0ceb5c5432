//! Operations on borrowed memory, which a closure cannot leave before they have ended.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use super::access::{Access, KEY};
use super::cancel::CancelRequest;
use super::operation::Operation;
use super::ring::{Full, Ring};
use super::slot::{self, Dispose};
use super::table::SlotId;
use super::ticket::{Ticket, WaitError};
use crate::completion::Completion;
use crate::entry::Sqe;

/// Within which operations may use what is borrowed from outside: see [`Ring::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    ring: &'env Ring,
    members: Members,
    /// Neither lifetime may be taken for a longer or a shorter one.
    _lifetimes: PhantomData<(&'scope mut &'scope (), &'env mut &'env ())>,
}

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
    fn new(ticket: Ticket<&'scope Ring, Scoped<'scope, O>>, members: &'scope Members) -> Self {
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
        self.members.ending.get() || self.ticket.is_done()
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
        if !self.members.ending.get() {
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

/// The operations of a scope that are still in their slots.
#[derive(Debug, Default)]
struct Members {
    list: RefCell<List>,
    /// Whether the closure has returned, so that tickets stand for nothing.
    ending: Cell<bool>,
}

#[derive(Debug, Default)]
struct List {
    members: Vec<Option<Member>>,
    /// Places in the list that are not used.
    free: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Its slot, or [`SlotId::NONE`] as long as it is not pushed.
    id: SlotId,
    dispose: Dispose,
    /// Whether it is cancelled when nobody waits for it.
    cancelled: bool,
}

impl Members {
    fn assert_open(&self) {
        assert!(!self.ending.get(), "the scope has ended, and let go of it");
    }

    fn add(&self, member: Member) -> usize {
        let list = &mut *self.list.borrow_mut();
        if let Some(place) = list.free.pop() {
            list.members[place] = Some(member);
            place
        } else {
            list.members.push(Some(member));
            list.members.len() - 1
        }
    }

    fn set_id(&self, place: usize, id: SlotId) {
        if let Some(member) = &mut self.list.borrow_mut().members[place] {
            member.id = id;
        }
    }

    fn remove(&self, place: usize) {
        let list = &mut *self.list.borrow_mut();
        list.members[place] = None;
        list.free.push(place);
    }

    /// One that is in its slot, from a place in the list on.
    fn next(&self, from: usize) -> Option<(usize, Member)> {
        let list = self.list.borrow();
        let members = list.members.iter().enumerate().skip(from);
        members
            .filter_map(|(place, member)| Some((place, (*member)?)))
            .find(|(_, member)| member.id != SlotId::NONE)
    }
}

/// Being an operation of a scope. It ends when the operation has left its slot.
#[derive(Debug)]
struct Membership<'scope> {
    members: &'scope Members,
    place: usize,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.members.remove(self.place);
    }
}

/// An operation of a scope.
#[derive(Debug)]
struct Scoped<'scope, O> {
    // The operation first: it is gone before its scope may end.
    operation: O,
    membership: Membership<'scope>,
}

// SAFETY: it is the operation's own entry and output. What the operation borrows outlives the scope,
// which does not end as long as this is in its slot.
unsafe impl<O: Operation> Operation for Scoped<'_, O> {
    type Output = O::Output;

    const CANCELLED_WHEN_ABANDONED: bool = O::CANCELLED_WHEN_ABANDONED;

    #[inline]
    fn entry(&mut self) -> Sqe {
        self.operation.entry()
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> O::Output {
        let Self {
            operation,
            membership,
        } = self;
        // SAFETY: the caller's promise.
        let output = unsafe { operation.complete(done) };
        drop(membership);
        output
    }

    unsafe fn abandon(self, done: Completion) {
        let Self {
            operation,
            membership,
        } = self;
        // SAFETY: the caller's promise.
        unsafe { operation.abandon(done) };
        drop(membership);
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Pushes an operation, which may borrow what outlives the scope.
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`Ring::push`].
    pub fn push<O: Operation + 'scope>(
        &'scope self,
        operation: O,
    ) -> Result<ScopedTicket<'scope, O>, Full<O>> {
        let place = self.members.add(Member {
            id: SlotId::NONE,
            dispose: slot::dispose::<Scoped<'scope, O>>,
            cancelled: O::CANCELLED_WHEN_ABANDONED,
        });
        let membership = Membership {
            members: &self.members,
            place,
        };
        let scoped = Scoped {
            operation,
            membership,
        };
        match Ticket::push(self.ring, scoped) {
            Ok(ticket) => {
                self.members.set_id(place, ticket.id());
                Ok(ScopedTicket::new(ticket, &self.members))
            }
            Err(Full(Scoped { operation, .. })) => Err(Full(operation)),
        }
    }

    /// The ring.
    pub fn ring(&self) -> &'scope Ring {
        self.ring
    }

    /// Ends all operations that are left, and waits for them. Returns the first panic of their code.
    fn end(&self) -> Option<Box<dyn Any + std::marker::Send>> {
        // In a child process the operations are the parent's, which waits for them.
        if !self.ring.with(KEY, |core| core.is_own()) {
            return None;
        }
        self.members.ending.set(true);
        let mut panic = None;
        while self.members.next(0).is_some() {
            let step = catch_unwind(AssertUnwindSafe(|| self.let_go_and_wait()));
            match step {
                Err(payload) if panic.is_none() => panic = Some(payload),
                // Dropping it could panic as well, and the scope must not be left before all have ended.
                #[expect(clippy::mem_forget, reason = "see above")]
                Err(payload) => mem::forget(payload),
                Ok(()) => {}
            }
        }
        panic
    }

    fn let_go_and_wait(&self) {
        let mut from = 0;
        while let Some((place, member)) = self.members.next(from) {
            from = place + 1;
            // What its ticket has let go of is not touched.
            let Member {
                id,
                dispose,
                cancelled,
            } = member;
            // SAFETY: the slot holds the operation that the function was made for. Its ticket, if there
            // still is one, stands for nothing from the end of the closure on.
            unsafe { self.ring.let_go(id, dispose, cancelled) };
        }
        if self.members.next(0).is_some() && self.ring.submit_and_wait(1).is_err() {
            // It may be for want of memory, which others give back.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

impl Ring {
    /// Calls a closure with a scope, in which operations may use memory and descriptors that are
    /// borrowed from outside, and returns when the last of them has ended.
    ///
    /// Those that the closure has not waited for are cancelled, as if their tickets had been dropped.
    /// There is no limit to how long that takes: what cannot be stopped is waited for.
    ///
    /// ```
    /// use std::fs::File;
    /// use lio_uring::owned::{Read, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let file = File::open("/proc/self/exe")?;
    /// let mut halves = [[0; 4]; 2];
    /// let [first, second] = &mut halves;
    /// ring.scope(|scope| {
    ///     let first = scope.push(Read { file: &file, buffer: first, offset: 0 })?;
    ///     let second = scope.push(Read { file: &file, buffer: second, offset: 4 })?;
    ///     first.wait()?.0?;
    ///     second.wait()?.0
    /// })?;
    /// assert_eq!(halves[0], *b"\x7fELF");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the closure does, or the code of an operation that it has left behind; after all have ended.
    pub fn scope<'env, T>(
        &'env self,
        closure: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    ) -> T {
        let scope = Scope {
            ring: self,
            members: Members::default(),
            _lifetimes: PhantomData,
        };
        let result = catch_unwind(AssertUnwindSafe(|| closure(&scope)));
        let panic = scope.end();
        match (result, panic) {
            (Err(payload), _) | (Ok(_), Some(payload)) => resume_unwind(payload),
            (Ok(result), None) => result,
        }
    }
}
