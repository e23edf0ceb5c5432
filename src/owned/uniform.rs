//! Rings whose operations are all of one type.

use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit, replace};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::buffer_group::{BufferGroup, BufferGroupParams};
use super::drain::{Draining, NOBODY, PATIENCE, StillInFlight, deadline, end, withdrawn};
use super::groups::{Groups, group_of, note_of};
use super::operation::Operation;
use super::registered_pool::RegisteredPool;
use super::ring::Full;
use super::ring_id::push_own;
use super::slots::Slots;
use super::stopping::{Asked, push_cancel};
use super::store::{RARE, told};
use crate::buffer_pool::BufferPool;
use crate::completion::{Completion, CompletionQueue};
use crate::error::{RegisterError, SetupError, SubmitError};
use crate::kind::{OneThread, Threads};
use crate::params::IoUringParams;
use crate::submission::SubmissionQueue;

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

/// Names an operation in flight, to cancel it. Afterwards it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    index: u32,
    generation: u32,
}

/// A slot, at an address that stays the same.
struct Slot<O> {
    operation: MaybeUninit<O>,
    /// Of a free one the next that is free; otherwise [`TAKEN`].
    next: u32,
    /// How often it has been free before, counted in 32 bits.
    generation: u32,
    /// The result of a zero-copy send, whose notification is still to come; or the group that the
    /// operation takes its buffer from.
    note: i32,
}

/// The slot is not free.
const TAKEN: u32 = u32::MAX;

/// There is no other free slot.
const NONE: u32 = u32::MAX - 1;

/// The slots, made once.
struct Table<O> {
    slots: NonNull<Slot<O>>,
    len: u32,
    free: u32,
    in_flight: u32,
}

// SAFETY: the slots are the table's own, and so are the operations in them.
unsafe impl<O: std::marker::Send> std::marker::Send for Table<O> {}

impl<O: Operation> Table<O> {
    fn new(len: u32) -> Self {
        let slots: Box<[Slot<O>]> = (1..=len)
            .map(|next| Slot {
                operation: MaybeUninit::uninit(),
                next: if next < len { next } else { NONE },
                generation: 0,
                note: 0,
            })
            .collect();
        Self {
            // Not a box, which would claim that nobody else uses what is in it.
            slots: NonNull::from(Box::leak(slots)).cast(),
            len,
            free: if len > 0 { 0 } else { NONE },
            in_flight: 0,
        }
    }

    /// A slot. There must be such a one.
    #[inline]
    fn slot(&self, index: u32) -> *mut Slot<O> {
        debug_assert!(index < self.len);
        // SAFETY: there are so many slots.
        unsafe { self.slots.add(index as usize) }.as_ptr()
    }

    /// Where a slot has its operation.
    #[inline]
    fn place(&self, index: u32) -> *mut O {
        // SAFETY: within the slot.
        unsafe { &raw mut (*self.slot(index)).operation }.cast()
    }

    #[inline]
    fn next(&mut self, index: u32) -> &mut u32 {
        // SAFETY: the field is the table's, which is borrowed mutably; the kernel uses no more of the
        // slot than the operation.
        unsafe { &mut (*self.slot(index)).next }
    }

    /// Whether a slot has an operation that was pushed.
    fn is_taken(&self, index: u32) -> bool {
        // SAFETY: as above, but for a borrow that shares.
        unsafe { (*self.slot(index)).next == TAKEN }
    }

    #[inline]
    fn generation(&mut self, index: u32) -> &mut u32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(index)).generation }
    }

    #[inline]
    fn note(&mut self, index: u32) -> &mut i32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(index)).note }
    }

    /// Takes the operation out of a slot, which is free then.
    ///
    /// # Safety
    ///
    /// The slot holds one, which the kernel does not use any longer.
    #[inline]
    unsafe fn take(&mut self, index: u32) -> (Token, O) {
        // SAFETY: the caller's promise.
        let operation = unsafe { self.place(index).read() };
        let generation = self.generation(index);
        let token = Token {
            index,
            generation: *generation,
        };
        *generation = generation.wrapping_add(1);
        *self.next(index) = self.free;
        self.free = index;
        self.in_flight -= 1;
        (token, operation)
    }

    /// What has ended with a completion, if it is the last of an operation.
    #[inline]
    fn settle(&mut self, done: Completion, groups: &mut Groups) -> Option<(Token, O, Completion)> {
        if done.user_data >= self.len.into() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
        let index = done.user_data as u32;
        let mut told = told(done.res, done.flags, 0);
        if done.flags & RARE != 0 {
            told = self.tell(done, index, groups)?;
        }
        // SAFETY: a number below that of the slots is that of an operation that was pushed, and this
        // is its last completion.
        let (token, operation) = unsafe { self.take(index) };
        Some((token, operation, told))
    }

    /// What an operation is told that completes twice, or that has got a buffer, when it has ended.
    #[cold]
    #[inline(never)]
    fn tell(&mut self, done: Completion, index: u32, groups: &mut Groups) -> Option<Completion> {
        let note = *self.note(index);
        let offset = groups.offset(group_of(note), &done);
        if done.more() {
            *self.note(index) = done.res;
            return None;
        }
        let result = if done.is_notification() {
            note
        } else {
            done.res
        };
        Some(told(result, done.flags, offset))
    }
}

impl<O> Drop for Table<O> {
    fn drop(&mut self) {
        let slots = NonNull::slice_from_raw_parts(self.slots, self.len as usize);
        // SAFETY: it was leaked from such a box, and is nobody else's.
        drop(unsafe { Box::from_raw(slots.as_ptr()) });
    }
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
        let index = self.slots.free;
        if index == NONE {
            return Err(Full(operation));
        }
        let place = self.slots.place(index);
        // SAFETY: the slot is free, and has room for an operation.
        unsafe { place.write(operation) };
        // Should this panic, the operation is leaked, and the slot is still free.
        // SAFETY: it was just written, and nobody else uses it.
        let sqe = unsafe { &mut *place }.entry();
        // SAFETY: what the entry names is the operation's, which stays in its slot until the last
        // completion has been taken, or is leaked there.
        if unsafe { push_own(&mut self.sq, &sqe, index.into()) }.is_err() {
            // SAFETY: it was written, and the kernel has not seen it.
            return Err(Full(unsafe { place.read() }));
        }
        let note = note_of(&sqe);
        if note != 0 {
            *self.slots.note(index) = note;
        }
        self.slots.free = replace(self.slots.next(index), TAKEN);
        self.slots.in_flight += 1;
        Ok(Token {
            index,
            generation: *self.slots.generation(index),
        })
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
        let Token { index, generation } = token;
        let waits = index < self.slots.len
            && self.slots.is_taken(index)
            && *self.slots.generation(index) == generation;
        if waits && !push_cancel(&mut self.sq, index.into(), Asked::new()) {
            return Err(Full(()));
        }
        Ok(())
    }

    /// How many operations were pushed and have not been taken as outputs.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.slots.in_flight
    }

    /// How many operations there can be at a time.
    pub fn capacity(&self) -> u32 {
        self.slots.len
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
        self.slots.in_flight
    }

    fn next_in_flight(&self, from: u64) -> Option<u64> {
        let from = u32::try_from(from).ok()?;
        let taken = (from..self.slots.len).find(|&index| self.slots.is_taken(index));
        taken.map(u64::from)
    }

    fn dispose_of_withdrawn(&mut self, number: u64) {
        let index = u32::try_from(number).ok();
        let Some(index) = index.filter(|&index| index < self.slots.len) else {
            return;
        };
        // SAFETY: the operation was pushed, and the kernel has never had it.
        let (_, operation) = unsafe { self.slots.take(index) };
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
