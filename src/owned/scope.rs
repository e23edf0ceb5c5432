//! Operations on borrowed memory, which a closure cannot leave before they have ended.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use super::access::{Access, KEY};
use super::chain::{Chain, Within};
use super::members::{Member, Members};
use super::operation::Operation;
use super::ring::{Full, Ring};
use super::scoped::Scoped;
use super::scoped_stream::ScopedStream;
use super::scoped_ticket::ScopedTicket;
use super::slot;
use super::stream::{Multishot, Stream};
use super::ticket::Ticket;
use super::via::Via;

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
            Ok(ticket) => Ok(self.ticket(place, ticket)),
            Err(Full(scoped)) => Err(Full(scoped.into_operation())),
        }
    }

    /// Pushes an operation that is stopped when it takes longer than this, as
    /// [`Ring::push_within`] does. It may borrow what outlives the scope.
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`Ring::push_within`].
    pub fn push_within<O: Operation + 'scope>(
        &'scope self,
        operation: O,
        limit: Duration,
    ) -> Result<ScopedTicket<'scope, O>, Full<O>> {
        let link = Within {
            link: operation,
            limit,
        };
        match self.push_chain((link,)) {
            Ok((ticket,)) => Ok(ticket),
            Err(Full((back,))) => Err(Full(back.link)),
        }
    }

    /// Pushes operations that run one after the other, all of them or none. They may borrow what
    /// outlives the scope.
    ///
    /// ```
    /// use std::fs::File;
    /// use lio_uring::operation::FsyncFlags;
    /// use lio_uring::owned::{Fsync, Ring, Write};
    ///
    /// fn keep(ring: &Ring, file: &File, text: &str) -> std::io::Result<usize> {
    ///     ring.scope(|scope| {
    ///         let write = Write { file, buffer: text, offset: 0 };
    ///         let fsync = Fsync { file, flags: FsyncFlags::DATASYNC };
    ///         let (written, synced) = scope.push_chain((write, fsync))?;
    ///         // It is carried out only if all was written.
    ///         synced.wait()??;
    ///         written.wait()?.0
    ///     })
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// assert_eq!(keep(&Ring::new(8)?, &tempfile::tempfile()?, "kept")?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A ticket that is dropped cancels its operation, and with that ends the chain.
    ///
    /// # Errors
    ///
    /// [`Full`] gives all of it back, as for [`Ring::push_chain`].
    pub fn push_chain<C: Chain<&'scope Self> + 'scope>(
        &'scope self,
        chain: C,
    ) -> Result<C::Tickets, Full<C>> {
        chain.push_whole(&self, KEY)
    }

    /// Pushes an operation that completes again and again, and may borrow what outlives the scope.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use lio_uring::owned::{AcceptMulti, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let accepted = ring.scope(|scope| {
    ///     let mut connections = scope.push_stream(AcceptMulti { listener: &listener })?;
    ///     connections.wait_next()?.expect("it goes on")
    /// })?;
    /// assert_eq!(TcpStream::from(accepted).peer_addr()?, client.local_addr()?);
    /// // The scope has ended, and the listener is as it was.
    /// listener.set_nonblocking(true)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`Ring::push_stream`].
    pub fn push_stream<O: Multishot + 'scope>(
        &'scope self,
        operation: O,
    ) -> Result<ScopedStream<'scope, O>, Full<O>> {
        let dispose = slot::dispose_item::<Scoped<'scope, O>>;
        let membership = self.members.join(dispose, true);
        let place = membership.place();
        match Stream::push(self.ring, Scoped::new(operation, membership)) {
            Ok(stream) => {
                self.members.set_id(place, stream.id());
                Ok(ScopedStream::new(stream, &self.members))
            }
            Err(Full(scoped)) => Err(Full(scoped.into_operation())),
        }
    }

    /// The ring.
    pub fn ring(&self) -> &'scope Ring {
        self.ring
    }

    /// Ends all operations that are left, and waits for them. Returns the first panic of their code.
    fn end(&self) -> Option<Box<dyn Any + std::marker::Send>> {
        self.members.end();
        let mut panic = None;
        // In a child process the operations are the parent's, which waits for them.
        while self.members.are_left() && self.ring.with(KEY, |core| core.is_own()) {
            let step = catch_unwind(AssertUnwindSafe(|| self.let_go_or_wait()));
            match step {
                Err(payload) if panic.is_none() => panic = Some(payload),
                Err(payload) => forget_payload(payload),
                Ok(()) => {}
            }
        }
        panic
    }

    /// Lets go of what is still to be let go of, or else waits until something has ended.
    fn let_go_or_wait(&self) {
        let mut has_let_go = false;
        self.members.for_each(|member| {
            let Member {
                id,
                dispose,
                cancelled,
            } = member;
            // SAFETY: the slot holds the operation that the function was made for. Its ticket or stream,
            // if there still is one, stands for nothing from the end of the closure on. Nobody is just
            // disposing of the operation: passes over completions that go on when this returns began
            // before the scope had any operations, and those that began later have ended.
            has_let_go |= unsafe { self.ring.let_go(id, dispose, cancelled) };
        });
        if has_let_go {
            // The operations' own code may have pushed others.
            return;
        }
        if self.ring.submit_and_wait(1).is_err() {
            // It may be for want of memory, which others give back.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<'scope> Via for &'scope Scope<'scope, '_> {
    type Ring = &'scope Ring;
    type Inside<O: Operation> = Scoped<'scope, O>;
    /// Its place among the members.
    type Mark = usize;
    type Ticket<O: Operation> = ScopedTicket<'scope, O>;

    fn ring(&self) -> &&'scope Ring {
        &self.ring
    }

    #[inline]
    fn enclose<O: Operation>(&self, operation: O) -> (Scoped<'scope, O>, usize) {
        let dispose = slot::dispose::<Scoped<'scope, O>>;
        let membership = self.members.join(dispose, O::CANCELLED_WHEN_ABANDONED);
        let place = membership.place();
        (Scoped::new(operation, membership), place)
    }

    fn release<O: Operation>(inside: Scoped<'scope, O>) -> O {
        inside.into_operation()
    }

    #[inline]
    fn ticket<O: Operation>(
        &self,
        place: usize,
        ticket: Ticket<&'scope Ring, Scoped<'scope, O>>,
    ) -> ScopedTicket<'scope, O> {
        self.members.set_id(place, ticket.id());
        ScopedTicket::new(ticket, &self.members)
    }
}

/// Lets go of what a panic came with that is not the first: dropping it could panic as well, and a scope
/// must not be left before all have ended.
#[expect(clippy::mem_forget, reason = "its purpose")]
fn forget_payload(payload: Box<dyn Any + std::marker::Send>) {
    mem::forget(payload);
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
    /// Those that the closure has not waited for are cancelled, as if their tickets and streams had been
    /// dropped. There is no limit to how long that takes: what cannot be stopped is waited for.
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
    /// As from [`std::thread::scope`], the process must not exit from within while thread-locals are
    /// borrowed: their destructors do not wait for the scope.
    ///
    /// # Panics
    ///
    /// If the closure does, or foreign code that is called while the scope ends: that of operations that
    /// were left behind, and wakers of others. It is the first of these panics, after all operations have
    /// ended.
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
        match (result, scope.end()) {
            (Ok(result), None) => result,
            (Err(first), None) => resume_unwind(first),
            (Err(first), Some(second)) => {
                forget_payload(second);
                resume_unwind(first);
            }
            (Ok(result), Some(first)) => {
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
                    forget_payload(second);
                }
                resume_unwind(first);
            }
        }
    }
}
