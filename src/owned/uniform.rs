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
    place: Place,
    generation: u32,
}

/// How far a slot is from the beginning of its table, in bytes.
type Place = u32;

/// That of a slot that never holds an operation.
const NONE: Place = 0;

/// In place of a free slot's next: the slot is not free.
const TAKEN: Place = Place::MAX;

/// A slot, at an address that stays the same.
struct Slot<O> {
    operation: MaybeUninit<O>,
    /// Of a free one the next that is free, or [`NONE`]; otherwise [`TAKEN`].
    next: Place,
    /// How often it has been free before, counted in 32 bits.
    generation: u32,
    /// The result of a zero-copy send, whose notification is still to come; or the group that the
    /// operation takes its buffer from.
    note: i32,
}

/// The slots, made once. The first is [`NONE`].
struct Table<O> {
    slots: NonNull<Slot<O>>,
    /// How far the last one's end is from the beginning, in bytes.
    end: Place,
    free: Place,
    in_flight: u32,
}

// SAFETY: the slots are the table's own, and so are the operations in them.
unsafe impl<O: std::marker::Send> std::marker::Send for Table<O> {}

impl<O: Operation> Table<O> {
    /// So many slots, or as many as there are places for.
    fn new(len: u32) -> Self {
        let stride = Self::STRIDE;
        let len = len.min((Place::MAX / stride).saturating_sub(1));
        let end = (len + 1) * stride;
        let slots: Box<[Slot<O>]> = (0..end)
            .step_by(stride as usize)
            .map(|place| Slot {
                operation: MaybeUninit::uninit(),
                next: if end - place > stride {
                    place + stride
                } else {
                    NONE
                },
                generation: 0,
                note: 0,
            })
            .collect();
        Self {
            // Not a box, which would claim that nobody else uses what is in it.
            slots: NonNull::from(Box::leak(slots)).cast(),
            end,
            free: if len > 0 { stride } else { NONE },
            in_flight: 0,
        }
    }

    /// How many slots there are for operations.
    fn len(&self) -> u32 {
        self.end / Self::STRIDE - 1
    }

    /// The place that an entry was pushed for, if its number is that of one.
    #[inline]
    fn place(&self, number: u64) -> Option<Place> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is below a number of 32 bits"
        )]
        (number < self.end.into()).then_some(number as Place)
    }

    /// A slot. There must be such a one.
    #[inline]
    fn slot(&self, place: Place) -> *mut Slot<O> {
        debug_assert!(place < self.end && place.is_multiple_of(Self::STRIDE));
        // SAFETY: there are so many slots.
        unsafe { self.slots.byte_add(place as usize) }.as_ptr()
    }

    /// Where a slot has its operation.
    #[inline]
    fn operation(&self, place: Place) -> *mut O {
        // SAFETY: within the slot.
        unsafe { &raw mut (*self.slot(place)).operation }.cast()
    }

    #[inline]
    fn next(&mut self, place: Place) -> &mut Place {
        // SAFETY: the field is the table's, which is borrowed mutably; the kernel uses no more of the
        // slot than the operation.
        unsafe { &mut (*self.slot(place)).next }
    }

    /// The first slot from a number on that has an operation which was pushed.
    fn next_taken(&self, from: u64) -> Option<Place> {
        let from = Place::try_from(from).ok()?.max(Self::STRIDE);
        (from.checked_next_multiple_of(Self::STRIDE)?..self.end)
            .step_by(Self::STRIDE as usize)
            .find(|&place| self.is_taken(place))
    }

    /// Whether a slot has an operation that was pushed.
    fn is_taken(&self, place: Place) -> bool {
        // SAFETY: as above, but for a borrow that shares.
        unsafe { (*self.slot(place)).next == TAKEN }
    }

    /// Whether there is an operation that a token names. The token may be another table's.
    fn holds(&mut self, token: Token) -> bool {
        let Token { place, generation } = token;
        let is_one = place != NONE && place < self.end && place.is_multiple_of(Self::STRIDE);
        is_one && self.is_taken(place) && *self.generation(place) == generation
    }

    #[inline]
    fn generation(&mut self, place: Place) -> &mut u32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(place)).generation }
    }

    #[inline]
    fn note(&mut self, place: Place) -> &mut i32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(place)).note }
    }

    /// Takes the operation out of a slot, which is free then.
    ///
    /// # Safety
    ///
    /// The slot holds one, which the kernel does not use any longer.
    #[inline]
    unsafe fn take(&mut self, place: Place) -> (Token, O) {
        // SAFETY: the caller's promise.
        let operation = unsafe { self.operation(place).read() };
        let generation = self.generation(place);
        let token = Token {
            place,
            generation: *generation,
        };
        *generation = generation.wrapping_add(1);
        *self.next(place) = self.free;
        self.free = place;
        self.in_flight -= 1;
        (token, operation)
    }

    /// What has ended with a completion, if it is the last of an operation.
    #[inline]
    fn settle(&mut self, done: Completion, groups: &mut Groups) -> Option<(Token, O, Completion)> {
        let place = self.place(done.user_data)?;
        let mut told = told(done.res, done.flags, 0);
        if done.flags & RARE != 0 {
            told = self.tell(done, place, groups)?;
        }
        // SAFETY: a number below the end is that of an operation that was pushed, and this is its last
        // completion.
        let (token, operation) = unsafe { self.take(place) };
        Some((token, operation, told))
    }

    /// What an operation is told that completes twice, or that has got a buffer, when it has ended.
    #[cold]
    #[inline(never)]
    fn tell(&mut self, done: Completion, place: Place, groups: &mut Groups) -> Option<Completion> {
        let note = *self.note(place);
        let offset = groups.offset(group_of(note), &done);
        if done.more() {
            *self.note(place) = done.res;
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

impl<O> Table<O> {
    /// How far a slot is from the next, in bytes.
    const STRIDE: Place = {
        assert!(size_of::<Slot<O>>() <= Place::MAX as usize);
        #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
        let stride = size_of::<Slot<O>>() as Place;
        stride
    };
}

impl<O> Drop for Table<O> {
    fn drop(&mut self) {
        let slots = self.end / Self::STRIDE;
        let slots = NonNull::slice_from_raw_parts(self.slots, slots as usize);
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
        let place = self.slots.free;
        if place == NONE {
            return Err(Full(operation));
        }
        let room = self.slots.operation(place);
        // SAFETY: the slot is free, and has room for an operation.
        unsafe { room.write(operation) };
        // Should this panic, the operation is leaked, and the slot is still free.
        // SAFETY: it was just written, and nobody else uses it.
        let sqe = unsafe { &mut *room }.entry();
        // SAFETY: what the entry names is the operation's, which stays in its slot until the last
        // completion has been taken, or is leaked there.
        if unsafe { push_own(&mut self.sq, &sqe, place.into()) }.is_err() {
            // SAFETY: it was written, and the kernel has not seen it.
            return Err(Full(unsafe { room.read() }));
        }
        let note = note_of(&sqe);
        if note != 0 {
            *self.slots.note(place) = note;
        }
        self.slots.free = replace(self.slots.next(place), TAKEN);
        self.slots.in_flight += 1;
        Ok(Token {
            place,
            generation: *self.slots.generation(place),
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
        let number = token.place.into();
        if self.slots.holds(token) && !push_cancel(&mut self.sq, number, Asked::new()) {
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
        self.slots.in_flight
    }

    fn next_in_flight(&self, from: u64) -> Option<u64> {
        self.slots.next_taken(from).map(u64::from)
    }

    fn dispose_of_withdrawn(&mut self, number: u64) {
        let Some(place) = self.slots.place(number) else {
            return;
        };
        // SAFETY: the operation was pushed, and the kernel has never had it.
        let (_, operation) = unsafe { self.slots.take(place) };
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
