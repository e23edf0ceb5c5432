//! Operations on borrowed memory, which a closure cannot leave before they have ended.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use super::access::{Access, KEY};
use super::members::{Member, Members};
use super::operation::Operation;
use super::ring::{Full, Ring};
use super::scoped::Scoped;
use super::scoped_ticket::ScopedTicket;
use super::slot;
use super::ticket::Ticket;

/// Within which operations may use what is borrowed from outside: see [`Ring::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    ring: &'env Ring,
    members: Members,
    /// Neither lifetime may be taken for a longer or a shorter one.
    _lifetimes: PhantomData<(&'scope mut &'scope (), &'env mut &'env ())>,
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
        let (scoped, place) = self.enclose(operation);
        match Ticket::push(self.ring, scoped) {
            Ok(ticket) => {
                self.members.set_id(place, ticket.id());
                Ok(ScopedTicket::new(ticket, &self.members))
            }
            Err(Full(scoped)) => Err(Full(scoped.into_operation())),
        }
    }

    /// Makes an operation one of the scope's, and says at which place.
    fn enclose<O: Operation>(&'scope self, operation: O) -> (Scoped<'scope, O>, usize) {
        let dispose = slot::dispose::<Scoped<'scope, O>>;
        let membership = self.members.join(dispose, O::CANCELLED_WHEN_ABANDONED);
        let place = membership.place();
        (Scoped::new(operation, membership), place)
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
        self.members.end();
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
