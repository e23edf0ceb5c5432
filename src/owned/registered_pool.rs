//! Buffers that are registered with a ring.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::buffer::{Buffer, BufferMut, View};
use super::ring_id::{RingId, failing, own};
use crate::buffer_pool::{BufferPool, PoolBuffer};
use crate::entry::Sqe;
use crate::error::RegisterError;
use crate::kind::{OneThread, Threads};
use crate::ring;
use crate::submission::SubmissionQueue;

/// A pool of buffers that are registered with a ring: the kernel has looked up their pages once, and
/// keeps them in memory.
///
/// What is taken from it is a [`Lease`], for [`ReadFixed`](super::ReadFixed),
/// [`WriteFixed`](super::WriteFixed), [`SendZcFixed`](super::SendZcFixed) and the same of several
/// buffers; it serves for all other operations as well. A clone is another handle to the same pool. The registration ends when all
/// handles and all leases are gone: what is lent stays registered.
///
/// From [`Ring::register_pool`](super::Ring::register_pool).
pub struct RegisteredPool<T: Threads = OneThread> {
    registration: Arc<Registration<T>>,
}

struct Registration<T: Threads> {
    ring: Arc<ring::Ring>,
    pool: BufferPool,
    _kind: PhantomData<T::Marker>,
}

/// The place of the one buffer that all of the pool is registered as.
const PLACE: u16 = 0;

impl<T: Threads> RegisteredPool<T> {
    pub(super) fn register(
        queue: &mut SubmissionQueue<T>,
        pool: BufferPool,
    ) -> Result<Self, RegisterError> {
        own(queue.ring())?;
        // SAFETY: the memory is mapped until the registration has ended, and only the owners of what
        // is taken from the pool use it.
        unsafe { queue.register_buffers(&[pool.memory()]) }?;
        Ok(Self {
            registration: Arc::new(Registration {
                ring: Arc::clone(queue.ring()),
                pool,
                _kind: PhantomData,
            }),
        })
    }

    /// Takes a buffer, or nothing if all are taken.
    ///
    /// What is in it is left from its last use, zeros at first.
    pub fn take(&self) -> Option<Lease<T>> {
        Some(Lease {
            buffer: self.registration.pool.take()?,
            registration: Arc::clone(&self.registration),
        })
    }

    /// How many buffers there are, taken or not.
    pub fn count(&self) -> u32 {
        self.registration.pool.count()
    }

    /// How many bytes each buffer has.
    pub fn buffer_len(&self) -> u32 {
        self.registration.pool.buffer_len()
    }
}

impl<T: Threads> Clone for RegisteredPool<T> {
    fn clone(&self) -> Self {
        Self {
            registration: Arc::clone(&self.registration),
        }
    }
}

impl<T: Threads> Drop for Registration<T> {
    fn drop(&mut self) {
        // A child process would take the buffers from its parent.
        if self.ring.is_own() {
            crate::register::unregister_buffers(&self.ring);
        }
    }
}

impl<T: Threads> fmt::Debug for RegisteredPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredPool")
            .field("count", &self.count())
            .field("buffer_len", &self.buffer_len())
            .finish_non_exhaustive()
    }
}

/// A buffer that was taken from a [`RegisteredPool`]. It goes back when it is dropped.
pub struct Lease<T: Threads = OneThread> {
    // The buffer first: it goes back while the registration still keeps the pool.
    buffer: PoolBuffer,
    registration: Arc<Registration<T>>,
}

impl<T: Threads> Deref for Lease<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl<T: Threads> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl<T: Threads> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

// SAFETY: the buffer's bytes, for which the same holds.
unsafe impl<T: Threads> Buffer for Lease<T> {
    #[inline]
    fn address(&self) -> *const u8 {
        self.buffer.address()
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.buffer.bytes()
    }
}

// SAFETY: as above.
unsafe impl<T: Threads> BufferMut for Lease<T> {
    #[inline]
    fn room(&mut self) -> *mut u8 {
        self.buffer.room()
    }

    #[inline]
    fn capacity(&self) -> usize {
        BufferMut::capacity(&self.buffer)
    }

    #[inline]
    fn initialized(&self) -> usize {
        self.buffer.initialized()
    }

    #[inline]
    unsafe fn filled(&mut self, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.buffer.filled(bytes) };
    }
}

/// Memory that is registered with a ring, or part of it.
///
/// # Safety
///
/// Implementors promise that the memory is what they say, and stays registered until the value is
/// dropped.
pub unsafe trait Registered {
    /// With which ring, and as which of its buffers.
    fn registration(&self) -> (RingId, u16);
}

// SAFETY: a lease keeps its registration.
unsafe impl<T: Threads> Registered for Lease<T> {
    #[inline]
    fn registration(&self) -> (RingId, u16) {
        (RingId::of(&self.registration.ring), PLACE)
    }
}

// SAFETY: as what it is a part of.
unsafe impl<B: Registered> Registered for View<B> {
    #[inline]
    fn registration(&self) -> (RingId, u16) {
        self.whole().registration()
    }
}

/// Notes in an entry which registered buffer it is about.
#[inline]
pub(super) fn require(buffer: &impl Registered, sqe: &mut Sqe) {
    let (ring, place) = buffer.registration();
    ring.require(sqe);
    sqe.set_buffer_index(place);
}

/// The same for an entry that is about several. If they are not all parts of one registered buffer, it
/// is one that fails.
pub(super) fn require_all(buffers: &[impl Registered], mut sqe: Sqe) -> Sqe {
    let mut first = None;
    for buffer in buffers {
        let registration = buffer.registration();
        if *first.get_or_insert(registration) != registration {
            return failing();
        }
        require(buffer, &mut sqe);
    }
    sqe
}
