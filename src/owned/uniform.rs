//! Rings whose operations are all of one type.

use std::fmt;
use std::mem::{ManuallyDrop, replace};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::buffer_group::{BufferGroup, BufferGroupParams};
use super::drain::{Draining, NOBODY, PATIENCE, StillInFlight, deadline, end, withdrawn};
use super::groups::{Groups, note_of};
use super::operation::Operation;
use super::registered_pool::RegisteredPool;
use super::ring::Full;
use super::ring_id::push_own;
use super::slots::Slots;
use super::stopping::{Asked, push_cancel};
use crate::buffer_pool::BufferPool;
use crate::completion::CompletionQueue;
use crate::error::{RegisterError, SetupError, SubmitError};
use crate::kind::{OneThread, Threads};
use crate::params::IoUringParams;
use crate::submission::SubmissionQueue;

mod table;

use table::Table;
pub use table::Token;

/// A ring that owns its operations, all of one type: an enum of what an event loop does.
///
/// It is the cheapest way to own operations, for who writes a loop or a runtime: operations go in,
/// and come out with how they ended, without tickets, wakers or calls that are looked up. An
/// [`Operation`] for it is any of the layer's, or an enum that passes on to them, or one's own.
///
/// ```
/// use std::fs::File;
/// use std::rc::Rc;
/// use lio_uring::owned::{Read, UniformRing};
///
/// # fn main() -> std::io::Result<()> {
/// let mut ring = UniformRing::new(8)?;
/// let file = Rc::new(File::open("/proc/self/exe")?);
/// for offset in [0, 4096, 8192] {
///     ring.push(Read { file: Rc::clone(&file), buffer: vec![0; 4096], offset })?;
/// }
/// let mut bytes = 0;
/// while ring.in_flight() > 0 {
///     ring.submit_and_wait(1)?;
///     for (_, (count, _buffer)) in ring.outputs() {
///         bytes += count?;
///     }
/// }
/// assert_eq!(bytes, 3 * 4096);
/// # Ok(())
/// # }
/// ```
///
/// Dropping it ends its operations as dropping a [`Ring`](super::Ring) does.
pub struct UniformRing<O: Operation + 'static, T: Threads = OneThread> {
    sq: SubmissionQueue<T>,
    cq: CompletionQueue<T>,
    slots: ManuallyDrop<Table<O>>,
    groups: Groups,
    ended: bool,
}

impl<O: Operation> UniformRing<O> {
    /// Makes a ring with the fastest flags that the kernel accepts, and room for `entries`
    /// operations to be pushed before they are submitted, and for twice as many in flight.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn new(entries: u32) -> Result<Self, SetupError> {
        Self::with_params(crate::IoUring::builder().entries(entries))
    }
}

impl<O: Operation, T: Threads> UniformRing<O, T> {
    /// Makes a ring with other parameters. It has room for as many operations in flight as its
    /// completion queue has for completions.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn with_params(params: IoUringParams<T>) -> Result<Self, SetupError> {
        let (cq, sq) = params.enabled_halves()?;
        Ok(Self {
            slots: ManuallyDrop::new(Table::new(cq.capacity())),
            groups: Groups::new(),
            sq,
            cq,
            ended: false,
        })
    }

    /// Pushes an operation. It starts with the next submission.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the operation back: the queue has no room for its entry until what was pushed
    /// is submitted, or there are as many operations as the ring can have.
    #[inline]
    pub fn push(&mut self, operation: O) -> Result<Token, Full<O>> {
        let Some(id) = self.slots.vacant() else {
            return Err(Full(operation));
        };
        let room = self.slots.operation(id);
        // SAFETY: the slot is free, and has room for an operation.
        unsafe { room.write(operation) };
        // Should this panic, the operation is leaked, and the slot is still free.
        // SAFETY: it was just written, and nobody else uses it.
        let sqe = unsafe { &mut *room }.entry();
        // SAFETY: what the entry names is the operation's, which stays in its slot until the last
        // completion has been taken, or is leaked there.
        if unsafe { push_own(&mut self.sq, &sqe, id.into()) }.is_err() {
            // SAFETY: it was written, and the kernel has not seen it.
            return Err(Full(unsafe { room.read() }));
        }
        Ok(self.slots.occupy(id, note_of(&sqe)))
    }

    /// Hands what was pushed to the kernel. Returns how many entries it has taken.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was not taken is still queued, and starts with a later submission.
    #[inline]
    pub fn submit(&mut self) -> Result<u32, SubmitError> {
        self.sq.submit()
    }

    /// Hands what was pushed to the kernel, and waits until `n` completions are ready. Without so many
    /// in flight it waits for ever.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was not taken is still queued, and starts with a later submission.
    #[inline]
    pub fn submit_and_wait(&mut self, n: u32) -> Result<u32, SubmitError> {
        self.sq.submit_and_wait(n)
    }

    /// Submits, and waits until the kernel's thread has made room in the queue, on a ring with
    /// [`sqpoll`](IoUringParams::sqpoll). Returns at once if there is room, and on other rings, where
    /// submitting makes room.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: what was not taken is still queued, and starts with a later submission.
    pub fn wait_for_space(&mut self) -> Result<(), SubmitError> {
        self.sq.wait_for_space().map(drop)
    }

    /// Takes what has ended: each operation's token and output. What an iterator that is dropped early
    /// has not given is left for the next.
    #[inline]
    pub fn outputs(&mut self) -> impl Iterator<Item = (Token, O::Output)> {
        let Self {
            cq, slots, groups, ..
        } = self;
        cq.completions().filter_map(|done| {
            let (token, operation, done) = slots.settle(done, groups)?;
            // SAFETY: it was taken with its own completion.
            Some((token, unsafe { operation.complete(done) }))
        })
    }

    /// Asks the kernel, with the next submission, to stop an operation. If it is still waiting, it ends
    /// with `ECANCELED`; what is being carried out ends by itself. Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for the request.
    pub fn cancel(&mut self, token: Token) -> Result<(), Full<()>> {
        if self.slots.holds(token) && !push_cancel(&mut self.sq, token.number(), Asked::new()) {
            return Err(Full(()));
        }
        Ok(())
    }

    /// How many operations were pushed and have not been taken as outputs.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.slots.in_flight()
    }

    /// How many operations there can be at a time.
    pub fn capacity(&self) -> u32 {
        self.slots.len()
    }

    /// The ring's descriptor, to be polled: it is readable when something has ended.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sq.fd()
    }

    /// Registers a group of buffers, as [`Ring::register_group`](super::Ring::register_group) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_group(
        &mut self,
        params: BufferGroupParams,
    ) -> Result<BufferGroup<T>, RegisterError> {
        let buffers = BufferGroup::<T>::buffers(params)?;
        BufferGroup::register(&mut self.sq, &mut self.groups, buffers, params)
    }

    /// Registers places for files, as [`Ring::register_slots`](super::Ring::register_slots) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_slots(&mut self, places: u32) -> Result<Slots<T>, RegisterError> {
        Slots::register(&mut self.sq, places, false)
    }

    /// Registers a pool of buffers, as [`Ring::register_pool`](super::Ring::register_pool) does.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as there.
    pub fn register_pool(&mut self, pool: BufferPool) -> Result<RegisteredPool<T>, RegisterError> {
        RegisteredPool::register(&mut self.sq, pool)
    }

    /// Ends all operations, as dropping the ring does, within this time.
    ///
    /// # Errors
    ///
    /// [`StillInFlight`] if some did not end: what they own is leaked.
    pub fn close(mut self, timeout: Duration) -> Result<(), StillInFlight> {
        end(&mut self, deadline(timeout))
    }
}

impl<O: Operation, T: Threads> Draining for UniformRing<O, T> {
    type Threads = T;

    fn queue(&mut self) -> &mut SubmissionQueue<T> {
        &mut self.sq
    }

    fn in_flight(&self) -> u32 {
        self.slots.in_flight()
    }

    fn next_in_flight(&self, from: u64) -> Option<u64> {
        self.slots.next_taken(from).map(u64::from)
    }

    fn dispose_of_withdrawn(&mut self, number: u64) {
        let Some(id) = self.slots.id(number) else {
            return;
        };
        // SAFETY: the operation was pushed, and the kernel has never had it.
        let (_, operation) = unsafe { self.slots.take(id) };
        // SAFETY: it stands for that which will never come.
        unsafe { operation.abandon(withdrawn(NOBODY)) };
    }

    fn reap_all(&mut self) {
        loop {
            let Self {
                cq, slots, groups, ..
            } = self;
            let ended = cq.completions().try_for_each(|done| {
                slots
                    .settle(done, groups)
                    .map_or(ControlFlow::Continue(()), ControlFlow::Break)
            });
            // Its code is called where nothing is borrowed.
            let ControlFlow::Break((_, operation, done)) = ended else {
                return;
            };
            // SAFETY: it was taken with its own completion.
            unsafe { operation.abandon(done) };
        }
    }

    fn begin_end(&mut self) -> bool {
        replace(&mut self.ended, true)
    }

    unsafe fn free_slots(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { ManuallyDrop::drop(&mut self.slots) };
    }
}

impl<O: Operation, T: Threads> Drop for UniformRing<O, T> {
    fn drop(&mut self) {
        // What is still in flight is leaked. There is nobody to tell.
        let _ = end(self, Instant::now() + PATIENCE);
    }
}

impl<O: Operation, T: Threads> fmt::Debug for UniformRing<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UniformRing")
            .field("in_flight", &self.in_flight())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
