//! Provided-buffer rings: buffers that the kernel picks from when it needs one.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{AnyThread, SqeSize, Threads};
use crate::ring::Ring;
use crate::submission::SubmissionQueue;
use crate::sys;

/// A group of buffers that receives and reads take theirs from, as a ring in shared memory.
///
/// It owns the ring's memory and its registration; the buffers are the caller's. Operations use it
/// when they are pushed with [`Sqe::select_buffer`](crate::Sqe::select_buffer), and their
/// completions name the buffer: [`Completion::buffer_id`](crate::Completion::buffer_id). A buffer
/// belongs to the kernel from [`publish`](Self::publish) until a completion names it.
///
/// Dropping it unregisters the group. Operations that find the group gone or empty end with
/// `ENOBUFS`. It keeps the ring open: operations that take buffers go on after both queues are
/// dropped, until this is.
///
/// From [`SubmissionQueue::register_buffer_ring`].
pub struct BufferRing<T: Threads = AnyThread> {
    entries: NonNull<sys::io_uring_buf>,
    mask: u16,
    /// Behind the last buffer that was added.
    tail: u16,
    group: u16,
    ring: Arc<Ring>,
    _kind: PhantomData<T::Marker>,
}

// SAFETY: the memory is this value's alone, apart from the kernel. Unregistering goes through the
// ring's plain descriptor, which works on every thread.
unsafe impl Send for BufferRing<AnyThread> {}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers a group of buffers with room for `entries` of them, a power of two up to 32768.
    ///
    /// Since Linux 5.19. C: `io_uring_setup_buf_ring(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] if the group has a ring or classic buffers.
    /// * [`RegisterCause::Refused`] if the number is not a power of two, or the kernel is older.
    pub fn register_buffer_ring(
        &mut self,
        entries: u16,
        group: u16,
    ) -> Result<BufferRing<T>, RegisterError> {
        const ACTION: &str = "register a buffer ring";
        const NEEDS: &str = "Linux 5.19, and a power of two from 1 to 32768";
        let mut error = 0;
        if !entries.is_power_of_two() {
            return Err(check(-libc::EINVAL, ACTION, NEEDS).expect_err("the result is negative"));
        }
        // SAFETY: the ring is set up; the number is a power of two.
        let memory = unsafe {
            sys::io_uring_setup_buf_ring(
                self.ring().as_mut_ptr(),
                entries.into(),
                group.into(),
                0,
                &raw mut error,
            )
        };
        let Some(memory) = NonNull::new(memory) else {
            // liburing gives a negative errno, or 0 where it could not even say that.
            let error = if error < 0 { error } else { -libc::ENOMEM };
            return Err(check(error, ACTION, NEEDS).expect_err("the result is negative"));
        };
        Ok(BufferRing {
            entries: memory.cast(),
            mask: entries - 1,
            tail: 0,
            group,
            ring: Arc::clone(self.ring()),
            _kind: PhantomData,
        })
    }
}

impl<T: Threads> BufferRing<T> {
    /// The group's number, for [`Sqe::select_buffer`](crate::Sqe::select_buffer).
    pub fn group(&self) -> u16 {
        self.group
    }

    /// How many buffers the ring has room for.
    pub fn capacity(&self) -> u16 {
        self.mask + 1
    }

    /// Adds a buffer under a number of the caller's choice. The kernel sees it after
    /// [`publish`](Self::publish).
    ///
    /// C: `io_uring_buf_ring_add(3)`.
    ///
    /// # Safety
    ///
    /// * Not more buffers are in the ring than it has room for: those added less those that
    ///   completions have named.
    /// * `address` points to `len` bytes that are valid for writes (for reads, if the group is
    ///   sent from), and nothing else uses them, from `publish` until a completion names the
    ///   buffer, or until the group is unregistered and all operations that use it have ended.
    #[inline]
    pub unsafe fn add(&mut self, address: *mut c_void, len: u32, id: u16) {
        let index = usize::from(self.tail & self.mask);
        // SAFETY: the index is masked to the size of the ring.
        let entry = unsafe { self.entries.add(index) }.as_ptr();
        // The last two bytes are left alone: in the first entry they are the ring's tail.
        // SAFETY: the entry is in the ring's memory, and the caller promises that it is free.
        unsafe { (*entry).addr = address as u64 };
        // SAFETY: as above.
        unsafe { (*entry).len = len };
        // SAFETY: as above.
        unsafe { (*entry).bid = id };
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all buffers that were added.
    ///
    /// C: `io_uring_buf_ring_advance(3)`.
    #[inline]
    pub fn publish(&mut self) {
        // Release: the entries were written before.
        self.shared_tail().store(self.tail, Ordering::Release);
    }

    /// The tail that the kernel sees, in the place of the first entry's last two bytes.
    #[inline]
    fn shared_tail(&self) -> &AtomicU16 {
        // SAFETY: the first entry is in the ring's memory.
        let tail = unsafe { &raw const (*self.entries.as_ptr()).resv };
        // SAFETY: the tail is aligned to 2, both sides use it atomically, and it stays mapped as
        // long as this value.
        unsafe { &*tail.cast::<AtomicU16>() }
    }

    /// How many published buffers the kernel has not used yet.
    ///
    /// Since Linux 6.8. C: `io_uring_buf_ring_available(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn available(&self) -> Result<u16, RegisterError> {
        let mut head = 0;
        // SAFETY: the ring is set up, and the pointer is to a value of the right type.
        let result = unsafe {
            sys::io_uring_buf_ring_head(self.ring.as_mut_ptr(), self.group.into(), &raw mut head)
        };
        check(result, "look at a buffer ring", "Linux 6.8")?;
        Ok(self
            .shared_tail()
            .load(Ordering::Relaxed)
            .wrapping_sub(head))
    }
}

impl<T: Threads> fmt::Debug for BufferRing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferRing")
            .field("group", &self.group)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl<T: Threads> Drop for BufferRing<T> {
    fn drop(&mut self) {
        // A child process would take the group from its parent.
        if !self.ring.is_own() {
            return;
        }
        // If the group cannot be unregistered, liburing leaves the memory, and so it leaks: the
        // kernel may be using it.
        // SAFETY: the memory came from `io_uring_setup_buf_ring` with this number of entries, and
        // nothing uses it after this.
        let _ = unsafe {
            sys::io_uring_free_buf_ring(
                self.ring.as_mut_ptr(),
                self.entries.as_ptr().cast(),
                u32::from(self.mask) + 1,
                self.group.into(),
            )
        };
    }
}
