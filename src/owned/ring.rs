//! The ring that owns its operations.

#![expect(
    clippy::inline_always,
    reason = "the system call belongs into the caller's own loop: see `enter`"
)]

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use super::access::{Access, KEY, Key, Shared};
use super::chain::{Chain, Within};
use super::core::Core;
use super::drain::{StillInFlight, deadline};
use super::mailbox::{Mailbox, Messages};
use super::operation::Operation;
use super::places::SlotId;
use super::slot::Dispose;
use super::stream::{Multishot, Stream};
use super::ticket::Ticket;
use crate::error::{SetupError, SubmitError};
use crate::kind::OneThread;
use crate::params::IoUringParams;
use crate::ring::IoUring;

/// A ring for one thread that owns its operations until they have ended.
///
/// Everything is done by shared reference, so that tickets and futures can refer to the ring; those
/// that must outlive a scope refer to an `Rc` of it.
///
/// Dropping it ends its operations: those that were pushed and not submitted never run, the others
/// are cancelled and waited for. What does not end within ten seconds is leaked, never freed;
/// [`close`](Self::close) chooses the time and tells. Tickets borrow the ring, so it outlives them.
pub struct Ring {
    core: UnsafeCell<Core<OneThread>>,
}

// SAFETY: the ring is not `Sync`, so all this is on one thread; and functions that have the core call
// no foreign code, so none of them is called within another.
unsafe impl Access for &Ring {
    type Threads = OneThread;

    #[inline]
    fn with<R>(&self, _: Key, function: impl FnOnce(&mut Core<OneThread>) -> R) -> R {
        // SAFETY: see above.
        function(unsafe { &mut *self.core.get() })
    }
}

// SAFETY: as above.
unsafe impl Access for Rc<Ring> {
    type Threads = OneThread;

    #[inline]
    fn with<R>(&self, key: Key, function: impl FnOnce(&mut Core<OneThread>) -> R) -> R {
        (&**self).with(key, function)
    }
}

/// What was not pushed, for want of room. It is given back as it was.
///
/// Submitting makes room for entries. On a ring with [`sqpoll`](IoUringParams::sqpoll) the kernel's
/// thread does, and [`wait_for_space`](Ring::wait_for_space) waits for it.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ring has no room: submit what was pushed, and take what has ended")]
pub struct Full<O>(pub O);

impl<O> fmt::Debug for Full<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<O> From<Full<O>> for io::Error {
    fn from(full: Full<O>) -> Self {
        Self::new(io::ErrorKind::WouldBlock, full.to_string())
    }
}

impl Ring {
    /// Makes a ring with the fastest flags that the kernel accepts, and room for `entries`
    /// operations to be pushed before they are submitted, and for twice as many in flight.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn new(entries: u32) -> Result<Self, SetupError> {
        Self::with_params(IoUring::builder().entries(entries))
    }

    /// Makes a ring with other parameters. It has room for as many operations in flight as its
    /// completion queue has for completions.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn with_params(params: IoUringParams<OneThread>) -> Result<Self, SetupError> {
        Ok(Self {
            core: UnsafeCell::new(Core::new(params.enabled_halves()?)),
        })
    }

    /// Pushes an operation. It starts with the next submission: when something is waited for, or
    /// with [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`Full`] gives the operation back: the queue has no room for its entry until what was pushed
    /// is submitted, or there are as many operations as the ring can have until one ends and its
    /// output is taken.
    #[inline]
    pub fn push<O: Operation + 'static>(&self, operation: O) -> Result<Ticket<&Self, O>, Full<O>> {
        Ticket::push(self, operation)
    }

    /// Pushes an operation that is stopped when it takes longer than this, counted from its start.
    ///
    /// Stopped, it ends with `ECANCELED`. What cannot be stopped, like a read from storage under way,
    /// ends by itself.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use std::time::Duration;
    /// use lio_uring::owned::{Recv, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let (socket, _peer) = UnixStream::pair()?;
    /// let recv = Recv { socket, buffer: vec![0; 64], flags: 0 };
    /// let limit = Duration::from_millis(1);
    /// let (received, _buffer) = ring.push_within(recv, limit)?.wait()?;
    /// assert_eq!(received.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`push`](Self::push): it takes two slots and two entries.
    pub fn push_within<O: Operation + 'static>(
        &self,
        operation: O,
        limit: Duration,
    ) -> Result<Ticket<&Self, O>, Full<O>> {
        let link = Within {
            link: operation,
            limit,
        };
        match self.push_chain((link,)) {
            Ok((ticket,)) => Ok(ticket),
            Err(Full((back,))) => Err(Full(back.link)),
        }
    }

    /// Pushes operations that run one after the other, all of them or none.
    ///
    /// ```
    /// use std::fs::{self, OpenOptions};
    /// use std::rc::Rc;
    /// use lio_uring::operation::FsyncFlags;
    /// use lio_uring::owned::{Fsync, Ring, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("log");
    /// let ring = Ring::new(8)?;
    /// let file = Rc::new(OpenOptions::new().write(true).create(true).open(&path)?);
    /// let write = Write { file: Rc::clone(&file), buffer: "kept", offset: 0 };
    /// let fsync = Fsync { file, flags: FsyncFlags::DATASYNC };
    /// let (written, synced) = ring.push_chain((write, fsync))?;
    /// // It is carried out only if all was written.
    /// synced.wait()??;
    /// assert_eq!(written.wait()?.0?, 4);
    /// assert_eq!(fs::read(&path)?, b"kept");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A ticket that is dropped cancels its operation, and with that ends the chain.
    ///
    /// # Errors
    ///
    /// [`Full`] gives all of it back, as for [`push`](Self::push). A chain that is longer than the
    /// queue never fits.
    pub fn push_chain<'r, C: Chain<&'r Self> + 'static>(
        &'r self,
        chain: C,
    ) -> Result<C::Tickets, Full<C>> {
        chain.push_whole(&self, KEY)
    }

    /// Pushes an operation whose ticket keeps the ring alive instead of borrowing it.
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`push`](Self::push).
    #[inline]
    pub fn push_shared<O: Operation + 'static>(
        self: &Rc<Self>,
        operation: O,
    ) -> Result<Ticket<Rc<Self>, O>, Full<O>> {
        Ticket::push(Rc::clone(self), operation)
    }

    /// Pushes an operation that completes again and again.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use lio_uring::owned::{AcceptMulti, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let mut connections = ring.push_stream(AcceptMulti { listener })?;
    /// ring.submit()?;
    /// let client = TcpStream::connect(address)?;
    /// let accepted = connections.wait_next()?.expect("it goes on")?;
    /// assert_eq!(TcpStream::from(accepted).peer_addr()?, client.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`push`](Self::push).
    pub fn push_stream<O: Multishot + 'static>(
        &self,
        operation: O,
    ) -> Result<Stream<&Self, O>, Full<O>> {
        Stream::push(self, operation)
    }

    /// Pushes an operation that completes again and again, and whose stream keeps the ring alive
    /// instead of borrowing it.
    ///
    /// # Errors
    ///
    /// [`Full`], as for [`push`](Self::push).
    pub fn push_stream_shared<O: Multishot + 'static>(
        self: &Rc<Self>,
        operation: O,
    ) -> Result<Stream<Rc<Self>, O>, Full<O>> {
        Stream::push(Rc::clone(self), operation)
    }

    /// Where messages to the ring go, from other rings and from other threads.
    ///
    /// # Errors
    ///
    /// What keeps a descriptor from being duplicated; [`Unsupported`](io::ErrorKind::Unsupported) for a
    /// ring that [has none](IoUringParams::registered_fd_only).
    pub fn mailbox(&self) -> io::Result<Mailbox> {
        self.with_core(Core::mailbox)
    }

    /// What takes the messages to the ring. `None` as long as there is another.
    ///
    /// ```
    /// use std::thread;
    /// use lio_uring::owned::Ring;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let mailbox = ring.mailbox()?;
    /// let mut messages = ring.messages().expect("nobody else takes them");
    /// let sender = thread::spawn(move || mailbox.send(5, 7));
    /// assert_eq!(messages.wait()?, (5, 7));
    /// sender.join().expect("no panic")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages(&self) -> Option<Messages<&Self>> {
        Messages::of(self)
    }

    /// What takes the messages to the ring, and keeps the ring alive instead of borrowing it. `None` as
    /// long as there is another.
    pub fn messages_shared(self: &Rc<Self>) -> Option<Messages<Rc<Self>>> {
        Messages::of(Rc::clone(self))
    }

    /// Hands what was pushed to the kernel, and takes what has ended.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was pushed is still queued, and starts with a later submission.
    #[inline(always)]
    pub fn submit(&self) -> Result<(), SubmitError> {
        let submitted = self.with_core(|core| core.sq.submit());
        self.reap();
        submitted.map(drop)
    }

    /// Hands what was pushed to the kernel, waits until `n` completions are ready that were not
    /// taken before, and takes them.
    ///
    /// Without so many in flight it waits for ever.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was not taken is still queued, and starts with a later submission.
    #[inline(always)]
    pub fn submit_and_wait(&self, n: u32) -> Result<(), SubmitError> {
        let submitted = self.with_core(|core| core.sq.submit_and_wait(n));
        self.reap();
        submitted.map(drop)
    }

    /// Submits, and waits until the kernel's thread has made room in the queue, on a ring with
    /// [`sqpoll`](IoUringParams::sqpoll). Returns at once if there is room, and on other rings, where
    /// submitting makes room.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was not taken is still queued, and starts with a later submission.
    pub fn wait_for_space(&self) -> Result<(), SubmitError> {
        self.with_core(|core| core.sq.wait_for_space()).map(drop)
    }

    /// How many operations are in flight, or have ended and not been taken.
    pub fn operations(&self) -> u32 {
        self.with_core(|core| core.taken())
    }

    /// How many operations there can be at a time.
    pub fn capacity(&self) -> u32 {
        self.with_core(|core| core.capacity())
    }

    /// Ends all operations, as dropping the ring does, within this time.
    ///
    /// Closing the descriptor of a ring with [`sqpoll`](IoUringParams::sqpoll) waits for the kernel's
    /// thread, longer if need be.
    ///
    /// # Errors
    ///
    /// [`StillInFlight`] if some did not end: what they own is leaked.
    pub fn close(self, timeout: Duration) -> Result<(), StillInFlight> {
        self.core.into_inner().close(deadline(timeout))
    }

    /// The ring's descriptor, to be polled: it is readable when something has ended.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to the ring, which lives as long as the borrow, and never
        // changes.
        let core = unsafe { &*self.core.get() };
        core.sq.fd()
    }

    /// Lets go of the operation in a slot, in place of its ticket or stream, which will not do so.
    /// Returns whether it had not been let go of.
    ///
    /// # Safety
    ///
    /// The function was made for the type of the operation in the slot, and from here on nobody else
    /// takes it out, but for the ring if it was let go of before, and has not begun to.
    pub(super) unsafe fn let_go(&self, id: SlotId, dispose: Dispose, cancelled: bool) -> bool {
        let let_go = self.with_core(|core| core.abandon(id, dispose, cancelled));
        // Dropped here, where the ring is not borrowed.
        if let Ok(waker) = let_go {
            drop(waker);
            return true;
        }
        // It has ended, or was let go of.
        let orphan = self.with_core(|core| {
            // SAFETY: the caller's promise.
            unsafe { core.store.take_orphan(id, dispose) }
        });
        let Some(orphan) = orphan else {
            return false;
        };
        orphan.dispose(&mut Shared(&self));
        true
    }

    #[inline(never)]
    fn reap(&self) {
        Access::reap(&self);
    }

    #[inline]
    fn with_core<R>(&self, function: impl FnOnce(&mut Core<OneThread>) -> R) -> R {
        Access::with(&self, KEY, function)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("operations", &self.operations())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
