//! A ring inside a tokio program.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Poll;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, yield_now};

use super::access::{Access, KEY, Key, RingRef};
use super::buffer_group::{BufferGroup, BufferGroupParams};
use super::chain::Chain;
use super::core::Core;
use super::mailbox::{Mailbox, Messages};
use super::operation::Operation;
use super::registered_pool::RegisteredPool;
use super::registration;
use super::ring::Full;
use super::send_queue::SendQueue;
use super::slots::Slots;
use super::stream::{Multishot, Stream};
use super::ticket::Ticket;
use crate::buffer_pool::BufferPool;
use crate::error::RegisterError;
use crate::kind::AnyThread;
use crate::params::IoUringParams;
use crate::sync::Mutex;

#[cfg(all(test, loom))]
mod loom_models;

/// A ring that tasks of a tokio program share, on one thread or many.
///
/// It has no threads and no queue of its own. Whoever submits enters the kernel; tokio's reactor
/// watches the ring's descriptor, and a task that [`new`](Self::new) spawns takes the completions and
/// wakes the tasks that wait for them. A clone is another handle to the same ring.
///
/// ```
/// use std::fs::File;
/// use std::sync::Arc;
/// use lio_uring::owned::{Read, TokioRing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let uring = TokioRing::new(64)?;
/// let file = Arc::new(File::open("/proc/self/comm")?);
/// let read = Read { file, buffer: vec![0; 64], offset: 0 };
/// let (count, text) = uring.submit(read).await;
/// assert_eq!(count?, text.len());
/// # Ok(())
/// # }
/// ```
///
/// It belongs to the runtime that it was made in: when that has ended, nobody takes completions any
/// longer, and futures that are polled elsewhere wait for ever. The kernel cancels what a thread has
/// submitted when the thread ends: operations of a runtime's worker threads last as long as the runtime. Rings
/// with `iopoll`, whose descriptor never becomes readable, and disabled rings are not for this.
///
/// Dropping a future cancels its operation at once. Dropping the last handle, when no future is left
/// either, ends what is in flight as dropping a [`Ring`](super::Ring) does: that blocks the thread
/// until the cancelled operations have ended.
#[derive(Clone)]
pub struct TokioRing {
    shared: Arc<Shared>,
}

/// What the handles and the futures share.
struct Shared {
    core: Mutex<Core<AnyThread>>,
    /// A permit for each free slot.
    room: Semaphore,
    /// How many entries can be pushed before they are submitted.
    entries: u32,
    /// Told when something was pushed that could not be submitted.
    retry: Arc<Notify>,
    driver: Mutex<Option<AbortHandle>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let driver = self
            .driver
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.take() {
            driver.abort();
        }
    }
}

/// A reference to a ring that is shared with a tokio program.
#[derive(Clone)]
pub struct TokioRef(Arc<Shared>);

impl fmt::Debug for TokioRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokioRef(..)")
    }
}

impl RingRef for TokioRef {}

// SAFETY: the lock is held during the call, and functions that have the core call no foreign code, so
// none of them is called within another.
unsafe impl Access for TokioRef {
    type Threads = AnyThread;

    #[inline]
    fn with<R>(&self, _: Key, function: impl FnOnce(&mut Core<AnyThread>) -> R) -> R {
        // Functions that have the core leave it in order even when they panic: they have no foreign
        // code that could.
        function(&mut self.0.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn freed(&self) {
        self.0.room.add_permits(1);
    }

    fn submit_now(&self) {
        self.submit_own();
    }

    fn flush(&self) {
        if self.submit_own() {
            self.reap();
        }
    }
}

impl TokioRef {
    /// Submits what was pushed, now or with a retry, unless the ring is that of a parent process.
    /// Returns whether it is this one's.
    fn submit_own(&self) -> bool {
        let (own, unsubmitted) = self.with(KEY, |core| {
            // A child process has no queues, and its parent submits for itself.
            let own = core.is_own();
            let unsubmitted = own && (core.sq.submit().is_err() || core.sq.unsubmitted() > 0);
            (own, unsubmitted)
        });
        if unsubmitted {
            self.0.retry.notify_one();
        }
        own
    }
}

impl TokioRing {
    /// Makes a ring with room for `entries` operations to be submitted at a time, and for twice as
    /// many in flight, and spawns the task that takes its completions.
    ///
    /// # Errors
    ///
    /// [`SetupError`](crate::SetupError) as an [`io::Error`], and what keeps tokio from watching a
    /// descriptor.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver enabled.
    pub fn new(entries: u32) -> io::Result<Self> {
        Self::with_params(IoUringParams::default().entries(entries))
    }

    /// Makes a ring with other parameters.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// As for [`new`](Self::new).
    pub fn with_params(params: IoUringParams<AnyThread>) -> io::Result<Self> {
        let core = Core::new(params.enabled_halves()?);
        let (capacity, entries) = (core.capacity() as usize, core.sq.capacity());
        // A descriptor of its own, which stays open until the driver has been dropped.
        let fd = core.sq.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is owned, and so stays the same until it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        let retry = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            room: Semaphore::new(capacity),
            entries,
            retry: Arc::clone(&retry),
            driver: Mutex::new(None),
        });
        let driver = tokio::spawn(drive(fd, retry, Arc::downgrade(&shared)));
        let place = shared.driver.lock();
        *place.unwrap_or_else(PoisonError::into_inner) = Some(driver.abort_handle());
        Ok(Self { shared })
    }

    /// Submits an operation, and gives its output when it has ended.
    ///
    /// Nothing happens before the future is polled. It waits for room if there are as many
    /// operations as the ring can have.
    pub async fn submit<O: Operation + Send + 'static>(&self, operation: O) -> O::Output {
        self.push(operation, 1, |ring, operation| {
            Ticket::push(ring.clone(), operation)
        })
        .await
        .await
    }

    /// Submits operations that run one after the other, all of them or none, and gives their tickets,
    /// which are futures.
    ///
    /// It waits for room if there are as many operations as the ring can have.
    ///
    /// # Panics
    ///
    /// If the chain is longer than the ring's queue, so that it never fits.
    pub async fn submit_chain<C>(&self, chain: C) -> C::Tickets
    where
        C: Chain<TokioRef> + Send + 'static,
    {
        let places = chain.places_of_links();
        assert!(places <= self.shared.entries, "the chain never fits");
        self.push(chain, places, |ring, chain| chain.push_whole(ring, KEY))
            .await
    }

    /// Submits an operation that completes again and again.
    ///
    /// It waits for room if there are as many operations as the ring can have.
    pub async fn submit_stream<O>(&self, operation: O) -> Stream<TokioRef, O>
    where
        O: Multishot + Send + 'static,
    {
        self.push(operation, 1, |ring, operation| {
            Stream::push(ring.clone(), operation)
        })
        .await
    }

    /// Pushes something that takes so many slots, and submits it.
    async fn push<O, P>(
        &self,
        mut operation: O,
        slots: u32,
        push: impl Fn(&TokioRef, O) -> Result<P, Full<O>>,
    ) -> P {
        let ring = self.reference();
        loop {
            // Every slot that becomes free gives a permit back.
            match self.shared.room.acquire_many(slots).await {
                Ok(permits) => permits.forget(),
                Err(_) => unreachable!("the semaphore is never closed"),
            }
            match push(&ring, operation) {
                Ok(pushed) => {
                    ring.flush();
                    return pushed;
                }
                Err(Full(back)) => operation = back,
            }
            // The queue is full of what could not be submitted.
            ring.flush();
            yield_now().await;
        }
    }

    /// Registers a group of buffers, as [`Ring::register_group`](super::Ring::register_group) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_group(
        &self,
        params: BufferGroupParams,
    ) -> Result<BufferGroup<AnyThread>, RegisterError> {
        registration::group(&self.reference(), params)
    }

    /// Registers a queue of bytes to be sent, as
    /// [`Ring::register_send_queue`](super::Ring::register_send_queue) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_send_queue(
        &self,
        count: u16,
        bytes: u32,
    ) -> Result<SendQueue<AnyThread>, RegisterError> {
        registration::send_queue(&self.reference(), count, bytes)
    }

    /// Registers places for files, as [`Ring::register_slots`](super::Ring::register_slots) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_slots(&self, places: u32) -> Result<Slots<AnyThread>, RegisterError> {
        registration::slots(&self.reference(), places, false)
    }

    /// Registers places for files that the kernel picks from, as
    /// [`Ring::register_picked_slots`](super::Ring::register_picked_slots) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_picked_slots(&self, places: u32) -> Result<Slots<AnyThread>, RegisterError> {
        registration::slots(&self.reference(), places, true)
    }

    /// Registers a pool of buffers, as [`Ring::register_pool`](super::Ring::register_pool) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_pool(
        &self,
        pool: BufferPool,
    ) -> Result<RegisteredPool<AnyThread>, RegisterError> {
        registration::pool(&self.reference(), pool)
    }

    /// Where messages to the ring go, from other rings and from other threads.
    ///
    /// # Errors
    ///
    /// What keeps a descriptor from being duplicated.
    pub fn mailbox(&self) -> io::Result<Mailbox> {
        self.reference().with(KEY, Core::mailbox)
    }

    /// What takes the messages to the ring, and keeps the ring alive. `None` as long as there is
    /// another.
    pub fn messages(&self) -> Option<Messages<TokioRef>> {
        Messages::of(self.reference())
    }

    fn reference(&self) -> TokioRef {
        TokioRef(Arc::clone(&self.shared))
    }

    /// How many operations are in flight, or have ended and not been taken.
    pub fn operations(&self) -> u32 {
        self.reference().with(KEY, |core| core.taken())
    }
}

impl fmt::Debug for TokioRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioRing")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

/// Takes completions whenever there are any, and submits again what could not be submitted.
async fn drive(fd: AsyncFd<OwnedFd>, retry: Arc<Notify>, ring: Weak<Shared>) {
    let mut told = pin!(retry.notified());
    loop {
        let retries = poll_fn(|context| {
            if told.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(true));
            }
            fd.poll_read_ready(context).map_ok(|mut guard| {
                // Cleared before the completions are taken: one that comes later sets it again.
                guard.clear_ready();
                false
            })
        });
        let retries = retries.await;
        // Without handles and futures there is nothing left to do, nor without a reactor.
        let (Ok(retries), Some(shared)) = (retries, ring.upgrade()) else {
            return;
        };
        if retries {
            told.set(retry.notified());
        }
        // A destructor that panics must not end this task, which everybody waits for.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let ring = TokioRef(shared);
            if retries {
                ring.flush();
            } else {
                ring.reap();
            }
            // The descriptor does not become readable once more for it.
            if ring.with(KEY, |core| take(&mut core.has_left_some)) {
                ring.0.retry.notify_one();
            }
        }));
        // Its hook has told of a panic. What is behind it is taken next: the descriptor does not become
        // readable once more for that either.
        if ended.is_err() {
            retry.notify_one();
        }
        if retries {
            // What keeps the kernel from taking more needs time to go away.
            yield_now().await;
        }
    }
}
