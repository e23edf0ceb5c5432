//! Operations on borrowed memory, which a closure cannot leave before they have ended.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use super::access::{Access, KEY};
use super::operation::Operation;
use super::ring::{Full, Ring};
use super::slot::{self, Dispose, NONE};
use super::ticket::Ticket;
use crate::completion::Completion;
use crate::entry::Sqe;

/// Within which operations may use what is borrowed from outside: see [`Ring::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    ring: &'env Ring,
    members: Members,
    /// Neither lifetime may be taken for a longer or a shorter one.
    _lifetimes: PhantomData<(&'scope mut &'scope (), &'env mut &'env ())>,
}

/// Stands for an operation that was pushed within a scope.
pub type ScopedTicket<'scope, O> = Ticket<&'scope Ring, Scoped<'scope, O>>;

/// The operations of a scope that are still in their slots.
#[derive(Debug, Default)]
struct Members {
    list: RefCell<List>,
}

#[derive(Debug, Default)]
struct List {
    members: Vec<Option<Member>>,
    /// Places in the list that are not used.
    free: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Its slot, or [`NONE`] as long as it is not pushed.
    index: u32,
    dispose: Dispose,
    /// Whether it is cancelled when nobody waits for it.
    cancelled: bool,
}

impl Members {
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

    fn set_index(&self, place: usize, index: u32) {
        if let Some(member) = &mut self.list.borrow_mut().members[place] {
            member.index = index;
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
            .find(|(_, member)| member.index != NONE)
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
pub struct Scoped<'scope, O> {
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
            index: NONE,
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
                self.members.set_index(place, ticket.index());
                Ok(ticket)
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
        let mut panic = None;
        while self.members.next(0).is_some() {
            let step = catch_unwind(AssertUnwindSafe(|| self.let_go_and_wait()));
            if let Err(payload) = step {
                panic.get_or_insert(payload);
            }
        }
        panic
    }

    fn let_go_and_wait(&self) {
        let mut from = 0;
        while let Some((place, member)) = self.members.next(from) {
            from = place + 1;
            // What is left by its ticket is not touched; forgotten tickets cannot take anything any
            // longer.
            let Member {
                index,
                dispose,
                cancelled,
            } = member;
            // SAFETY: the slot holds the operation that the function was made for.
            unsafe { self.ring.let_go(index, dispose, cancelled) };
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
