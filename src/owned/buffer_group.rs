//! Buffers that the kernel picks from when it has something to put into them.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::slice;
use std::sync::{Arc, PoisonError};

use super::groups::Groups;
use super::ring_id::RingId;
use crate::buffer_pool::{BufferPool, PoolBuffer};
use crate::completion::{Completion, CompletionFlags};
use crate::entry::Sqe;
use crate::error::{RegisterCause, RegisterError};
use crate::kind::{OneThread, Threads};
use crate::register::BufferRing;
use crate::submission::SubmissionQueue;
use crate::sync::{Mutex, MutexGuard};

#[cfg(all(test, loom))]
mod loom_models;

/// How a group of buffers is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it makes a group when it is given to a ring"]
pub struct BufferGroupParams {
    count: u16,
    bytes: u32,
    incremental: bool,
}

impl BufferGroupParams {
    /// So many buffers, from 1 to 32768, of so many bytes.
    pub const fn new(count: u16, bytes: u32) -> Self {
        Self {
            count,
            bytes,
            incremental: false,
        }
    }

    /// Has each buffer used up piece by piece, by one receive after the other, instead of by one
    /// alone: for large buffers and little data at a time.
    ///
    /// Such a group serves plain receives. Reads and bundles, for which some kernels do not say when
    /// they are done with a buffer, get `EINVAL`.
    ///
    /// Since Linux 6.12.
    pub const fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }
}

/// A group of buffers that the kernel picks from: a connection that is silent takes none.
///
/// Operations name the group: [`RecvPicked`](super::RecvPicked), [`RecvMulti`](super::RecvMulti) and
/// others; what they bring is [`Lent`], which gives the buffer back when it is dropped. A clone is
/// another handle to the same group. The group is unregistered, and its memory freed, when all
/// handles, all operations and all that was lent are gone.
///
/// From [`Ring::register_group`](super::Ring::register_group). Since Linux 5.19.
pub struct BufferGroup<T: Threads = OneThread> {
    shared: Arc<Shared<T>>,
}

struct Shared<T: Threads> {
    // The ring of buffers first: it is unregistered before the memory is freed.
    state: Mutex<State<T>>,
    buffers: Box<[PoolBuffer]>,
    id: RingId,
    group: u16,
    bytes: u32,
    incremental: bool,
}

/// Where the buffers are.
struct State<T: Threads> {
    ring: BufferRing<T>,
    places: Box<[Place]>,
    /// The buffer that was added last.
    last: u16,
    /// How many are the kernel's.
    provided: u16,
}

/// What is known of a buffer.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The buffer that was added behind it.
    next: u16,
    /// How many pieces of it are lent.
    lent: u32,
    /// How many bytes of it have been lent since it was added.
    bytes: u32,
    /// How many bytes the kernel has put into it, once it has let go of it. Those of some pieces may
    /// still wait to be lent: not all are looked at in the order in which they came.
    end: Option<u32>,
}

impl Place {
    /// Lends a piece.
    fn lend(&mut self, offset: u32, bytes: u32, last: bool) {
        self.lent += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if last {
            self.end = Some(offset.saturating_add(bytes));
        }
    }

    /// Whether nobody has a piece of it, nor will have one.
    fn is_over(&self) -> bool {
        self.lent == 0 && self.end == Some(self.bytes)
    }
}

impl<T: Threads> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that could panic leaves it in disorder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a buffer.
    ///
    /// # Safety
    ///
    /// The buffer is not in the ring, and nobody uses it.
    unsafe fn add(&self, state: &mut State<T>, id: u16) {
        let address = self.buffers[usize::from(id)].as_ptr().cast_mut().cast();
        // SAFETY: there is room for all of them, each of which is in the ring at most once. The
        // buffer's memory is the group's own, until no operation uses it any longer.
        unsafe { state.ring.add(address, self.bytes, id) };
        state.places[usize::from(state.last)].next = id;
        let place = &mut state.places[usize::from(id)];
        (place.bytes, place.end) = (0, None);
        state.last = id;
        state.provided += 1;
    }

    /// Gives back what a piece has of a buffer.
    fn give_back(&self, id: u16) {
        let mut state = self.state();
        let place = &mut state.places[usize::from(id)];
        place.lent -= 1;
        // A child process has neither the ring of buffers nor anything to provide them for.
        if place.is_over() && state.ring.is_own() {
            // SAFETY: neither the kernel nor anybody else has a piece of it.
            unsafe { self.add(&mut state, id) };
            state.ring.publish();
        }
    }
}

impl<T: Threads> Clone for BufferGroup<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Threads> BufferGroup<T> {
    /// The buffers, and whom they go to, without the registration.
    pub(super) fn buffers(params: BufferGroupParams) -> Result<Box<[PoolBuffer]>, RegisterError> {
        let failed = |error: &io::Error| {
            let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
            RegisterError {
                action: "make a group of buffers",
                errno,
                cause: if errno == libc::EINVAL {
                    RegisterCause::Refused {
                        needs: "1 to 32768 buffers of at least one byte",
                    }
                } else {
                    RegisterCause::Other { errno }
                },
            }
        };
        if params.count > 1 << 15 {
            return Err(failed(&io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let pool =
            BufferPool::new(params.count.into(), params.bytes).map_err(|error| failed(&error))?;
        Ok((0..params.count).map_while(|_| pool.take()).collect())
    }

    /// Registers buffers as a group.
    pub(super) fn register(
        queue: &mut SubmissionQueue<T>,
        groups: &mut Groups,
        buffers: Box<[PoolBuffer]>,
        params: BufferGroupParams,
    ) -> Result<Self, RegisterError> {
        let entries = params.count.next_power_of_two();
        let ring = groups.register(queue, entries, params.incremental)?;
        let group = ring.group();
        let shared = Shared {
            state: Mutex::new(State {
                ring,
                places: vec![Place::default(); buffers.len()].into(),
                last: 0,
                provided: 0,
            }),
            buffers,
            id: RingId::of(queue.ring()),
            group,
            bytes: params.bytes,
            incremental: params.incremental,
        };
        {
            let mut state = shared.state();
            for id in 0..params.count {
                // SAFETY: all buffers are the group's, and none is in the ring.
                unsafe { shared.add(&mut state, id) };
            }
            state.ring.publish();
        }
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// How many buffers there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.shared.buffers.len()).unwrap_or(u16::MAX)
    }

    /// How many bytes each of them has.
    pub fn buffer_len(&self) -> u32 {
        self.shared.bytes
    }

    /// How many of them the kernel can pick from. Those that it has used and whose operation nobody
    /// has looked at yet count as if it could.
    pub fn provided(&self) -> u16 {
        self.shared.state().provided
    }

    /// Whether the buffers are used up piece by piece.
    pub fn is_incremental(&self) -> bool {
        self.shared.incremental
    }

    /// Has an entry take its buffer from the group.
    pub(super) fn select(&self, sqe: &mut Sqe) {
        sqe.select_buffer(self.shared.group);
        self.shared.id.require(sqe);
    }

    /// The buffers that a completion names: the first of them, and how many.
    fn named(&self, done: &Completion) -> Option<(u16, u16)> {
        let id = done.buffer_id().filter(|&id| id < self.count())?;
        let bytes = u32::try_from(done.raw_result()).unwrap_or(0);
        let count = bytes.div_ceil(self.shared.bytes).max(1);
        Some((id, u16::try_from(count).unwrap_or(u16::MAX)))
    }

    /// What a completion has put into a buffer of the group, if it names one.
    pub(super) fn lend(&self, done: &Completion) -> Option<Lent<T>> {
        let (id, _) = self.named(done)?;
        let last = !done.flags().contains(CompletionFlags::BUF_MORE);
        // The store has put it there.
        let offset = u32::try_from(done.user_data()).unwrap_or(0);
        let len = u32::try_from(done.raw_result()).unwrap_or(0);
        let mut state = self.shared.state();
        state.places[usize::from(id)].lend(offset, len, last);
        if last {
            state.provided = state.provided.saturating_sub(1);
        }
        drop(state);
        let offset = offset.min(self.shared.bytes);
        Some(Lent {
            shared: Arc::clone(&self.shared),
            id,
            offset,
            len: len.min(self.shared.bytes - offset),
        })
    }

    /// What a completion has put into several buffers of the group, if it names one.
    pub(super) fn lend_bundle(&self, done: &Completion) -> Option<Bundle<T>> {
        let (first, count) = self.named(done)?;
        let bytes = u32::try_from(done.raw_result()).unwrap_or(0);
        let mut state = self.shared.state();
        let mut id = first;
        for _ in 0..count {
            let place = &mut state.places[usize::from(id)];
            place.lend(0, 0, true);
            id = place.next;
        }
        state.provided = state.provided.saturating_sub(count);
        drop(state);
        Some(Bundle {
            shared: Arc::clone(&self.shared),
            first,
            count,
            bytes,
        })
    }
}

impl<T: Threads> fmt::Debug for BufferGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferGroup")
            .field("count", &self.count())
            .field("buffer_len", &self.buffer_len())
            .field("provided", &self.provided())
            .finish_non_exhaustive()
    }
}

/// What the kernel has put into a buffer of a group. The buffer goes back when this is dropped.
pub struct Lent<T: Threads = OneThread> {
    shared: Arc<Shared<T>>,
    id: u16,
    offset: u32,
    len: u32,
}

impl<T: Threads> Deref for Lent<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let buffer = self.shared.buffers[usize::from(self.id)].as_ptr();
        // SAFETY: the piece is within the buffer.
        let start = unsafe { buffer.add(self.offset as usize) };
        // SAFETY: so many bytes from there on are this value's alone: the kernel has let go of them,
        // and gives no piece twice. They are initialized, and stay mapped as long as the group.
        unsafe { slice::from_raw_parts(start, self.len as usize) }
    }
}

impl<T: Threads> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let buffer = self.shared.buffers[usize::from(self.id)].as_ptr();
        // SAFETY: the piece is within the buffer.
        let start = unsafe { buffer.add(self.offset as usize) };
        // SAFETY: as above; and this is the only reference to the only owner.
        unsafe { slice::from_raw_parts_mut(start.cast_mut(), self.len as usize) }
    }
}

impl<T: Threads> AsRef<[u8]> for Lent<T> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Threads> Drop for Lent<T> {
    fn drop(&mut self) {
        self.shared.give_back(self.id);
    }
}

impl<T: Threads> fmt::Debug for Lent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// What the kernel has put into several buffers of a group at once. They go back when this is
/// dropped.
pub struct Bundle<T: Threads = OneThread> {
    shared: Arc<Shared<T>>,
    first: u16,
    count: u16,
    bytes: u32,
}

impl<T: Threads> Bundle<T> {
    /// How many bytes there are in all.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the end of the data is no bundle"
    )]
    pub fn len(&self) -> usize {
        self.bytes as usize
    }

    /// The bytes, as they lie in one buffer after the other.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (mut id, mut left) = (self.first, self.bytes);
        (0..self.count).map(move |_| {
            let len = left.min(self.shared.bytes);
            left -= len;
            let buffer = self.shared.buffers[usize::from(id)].as_ptr();
            id = self.shared.state().places[usize::from(id)].next;
            // SAFETY: so many bytes of the buffer are this value's alone: the kernel has let go of
            // them. They are initialized, and stay mapped as long as the group.
            unsafe { slice::from_raw_parts(buffer, len as usize) }
        })
    }

    /// A copy of the bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.slices().for_each(|slice| all.extend_from_slice(slice));
        all
    }
}

impl<T: Threads> Drop for Bundle<T> {
    fn drop(&mut self) {
        let mut id = self.first;
        for _ in 0..self.count {
            // Before it is added anew, and others behind it.
            let next = self.shared.state().places[usize::from(id)].next;
            self.shared.give_back(id);
            id = next;
        }
    }
}

impl<T: Threads> fmt::Debug for Bundle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("len", &self.bytes)
            .field("buffers", &self.count)
            .finish_non_exhaustive()
    }
}
