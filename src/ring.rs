//! The ring itself, and its life.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::completion::CompletionQueue;
use crate::error::SetupError;
use crate::features::Features;
use crate::fork::{Mark, keep_from_children, release};
use crate::kind::{AnyThread, Cqe16, CqeSize, Sqe64, SqeSize, Threads};
use crate::params::{IoUringParams, Mapping, SetupFlags};
use crate::register::Clock;
use crate::submission::SubmissionQueue;
use crate::sys;

mod handle;
mod one_thread;
mod run;
mod word;

pub use one_thread::IoUring;
pub(crate) use run::Run;
pub(crate) use word::{Word, is_held_up};

/// A ring that liburing has set up. Both queues hold it, and the last to go closes it.
#[derive(Debug)]
pub(crate) struct Ring {
    raw: UnsafeCell<sys::io_uring>,
    /// The process that made it.
    owner: Mark,
    flags: SetupFlags,
    features: Features,
    /// Whether waits go by the clock that goes on while the system is suspended.
    boottime: AtomicBool,
    /// Groups of buffers, of the first 64, that had a ring of buffers and were used.
    pub(crate) used_groups: AtomicU64,
    /// What the queues lie in, if it is memory of the program's.
    _memory: Option<Arc<Mapping>>,
}

// SAFETY: the structure is written when the ring is made and when it is closed, while only one
// owner exists, and on behalf of a ring for one thread, all of whose owners are on it. Otherwise it is read, here and by liburing's functions, which all go straight on
// to a system call; and the kernel locks the ring for each of those.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// Makes a ring with liburing.
    ///
    /// With `one_thread` it also registers the ring's descriptor with the calling thread, if the
    /// kernel can and there is room; so nothing of the ring may then be used on another thread.
    pub(crate) fn create(
        entries: u32,
        params: &mut sys::io_uring_params,
        one_thread: bool,
    ) -> Result<Self, i32> {
        let init = |raw: &mut sys::io_uring| {
            // SAFETY: both structures are valid for writes; nothing else refers to them.
            unsafe { sys::io_uring_queue_init_params(entries, raw, params) }
        };
        Self::set_up(init, one_thread, None).map(|(ring, _)| ring)
    }

    /// Makes a ring in memory of the program's, and returns how many bytes of it were taken.
    ///
    /// # Safety
    ///
    /// So many bytes at the address are in the mapping, are zero, and belong to nobody.
    pub(crate) unsafe fn create_in(
        entries: u32,
        params: &mut sys::io_uring_params,
        one_thread: bool,
        (mapping, address, bytes): (Arc<Mapping>, NonNull<u8>, usize),
    ) -> Result<(Self, usize), i32> {
        let address = address.as_ptr().cast();
        let init = |raw: &mut sys::io_uring| {
            // SAFETY: both structures are valid for writes; nothing else refers to them. The memory
            // is the caller's promise, and the mapping lives as long as the ring.
            unsafe { sys::io_uring_queue_init_mem(entries, raw, params, address, bytes) }
        };
        Self::set_up(init, one_thread, Some(mapping))
    }

    fn set_up(
        init: impl FnOnce(&mut sys::io_uring) -> i32,
        one_thread: bool,
        memory: Option<Arc<Mapping>>,
    ) -> Result<(Self, usize), i32> {
        // SAFETY: the structure is made of integers and pointers, for which zero is a value.
        let mut raw: sys::io_uring = unsafe { std::mem::zeroed() };
        let result = init(&mut raw);
        let used = usize::try_from(result).map_err(|_| -result)?;
        let ring = Self {
            flags: SetupFlags::from_bits_retain(raw.flags),
            features: Features::from_bits_retain(raw.features),
            owner: Mark::of_this_process(),
            boottime: AtomicBool::new(false),
            used_groups: AtomicU64::new(0),
            raw: UnsafeCell::new(raw),
            _memory: memory,
        };
        ring.keep_from_children()?;
        if one_thread && !ring.flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
            // A thread has few places for registered rings, and old kernels none: the plain
            // descriptor does as well.
            // SAFETY: the ring is set up, and this is its only owner.
            let _ = unsafe { sys::io_uring_register_ring_fd(ring.as_mut_ptr()) };
        }
        Ok((ring, used))
    }

    /// Leaves the queues out of child processes, which would otherwise share them.
    pub(crate) fn keep_from_children(&self) -> Result<(), i32> {
        for (start, len) in self.mappings() {
            keep_from_children(start, len)
                .map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
        }
        Ok(())
    }

    /// Notes that the queues' mappings are to be unmapped.
    pub(crate) fn release(&self) {
        for (start, _) in self.mappings() {
            release(start);
        }
    }

    /// The mappings of the queues.
    fn mappings(&self) -> impl Iterator<Item = (*mut c_void, usize)> + use<> {
        let (sq, cq) = (&self.raw().sq, &self.raw().cq);
        let entries = if self.flags.contains(SetupFlags::NO_MMAP) {
            sq.sqes_sz as usize
        } else {
            // liburing notes no length of this mapping.
            let large = self.flags.contains(SetupFlags::SQE128);
            (sq.ring_entries as usize * size_of::<sys::io_uring_sqe>()) << u32::from(large)
        };
        let completions = if cq.ring_ptr == sq.ring_ptr {
            0
        } else {
            cq.ring_sz
        };
        [
            (sq.sqes.cast(), entries),
            (sq.ring_ptr, sq.ring_sz),
            (cq.ring_ptr, completions),
        ]
        .into_iter()
        // A queue without a mapping of its own lies in another's.
        .filter(|(start, len)| !start.is_null() && *len > 0)
    }

    /// Whether this process made the ring, and did not inherit it from its parent.
    pub(crate) fn is_own(&self) -> bool {
        Mark::of_this_process() == self.owner
    }

    /// Whether the ring's descriptor is registered with the thread that made it.
    pub(crate) fn is_registered(&self) -> bool {
        u32::from(self.raw().int_flags) & sys::IORING_ENTER_REGISTERED_RING != 0
    }

    /// What liburing's functions take. They change nothing in it that a queue reads.
    pub(crate) fn as_mut_ptr(&self) -> *mut sys::io_uring {
        self.raw.get()
    }

    pub(crate) fn raw(&self) -> &sys::io_uring {
        // SAFETY: written only while there is one owner, see the reasons for `Sync`.
        unsafe { &*self.raw.get() }
    }

    pub(crate) fn flags(&self) -> SetupFlags {
        self.flags
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// The clock that waits go by.
    pub(crate) fn clock(&self) -> Clock {
        if self.boottime.load(Ordering::Relaxed) {
            Clock::Boottime
        } else {
            Clock::Monotonic
        }
    }

    pub(crate) fn set_clock(&self, clock: Clock) {
        self.boottime
            .store(clock == Clock::Boottime, Ordering::Relaxed);
    }

    pub(crate) fn cq_entries(&self) -> u32 {
        self.raw().cq.ring_entries
    }

    /// The same ring, taken for one of a kernel without these features.
    #[cfg(test)]
    pub(crate) fn without(mut self, missing: Features) -> Self {
        self.features.remove(missing);
        self
    }

    /// The ring's descriptor, which a ring made with `registered_fd_only` does not have.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.raw().ring_fd;
        // SAFETY: the descriptor is the ring's own and is closed with it.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// How many completions the kernel counts as ready.
    pub(crate) fn ready(&self) -> u32 {
        let tail = self.cq_tail().load(Ordering::Acquire);
        tail.wrapping_sub(self.cq_head().load(Ordering::Relaxed))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.is_own() {
            self.release();
            // SAFETY: the ring is set up and this is its last owner. Operations that are still
            // being carried out do not use the rings' memory; what else they use, their pusher has
            // promised to keep.
            unsafe { sys::io_uring_queue_exit(self.as_mut_ptr()) }
        } else if let Some(fd) = self.fd() {
            // A child process has a copy of the descriptor, but not the mappings: whatever lies at
            // their addresses by now is not ours to unmap.
            // SAFETY: the descriptor is the ring's own, and nothing uses it after this.
            drop(unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) });
        }
    }
}

/// The two halves of a ring.
pub type Halves<T = AnyThread, S = Sqe64, C = Cqe16> =
    (CompletionQueue<T, C>, SubmissionQueue<T, S>);

/// Makes a ring and returns its two halves, each of which can go to a thread of its own.
///
/// The submission queue has room for `entries` operations, rounded up to a power of two, and the
/// completion queue for twice as many. For anything else there is [`IoUring::with_params`].
///
/// # Errors
///
/// [`SetupError`] tells apart why there can be no ring here.
pub fn with_capacity(entries: u32) -> Result<Halves, SetupError> {
    IoUring::with_params(IoUringParams::default().entries(entries))
}

/// Makes the halves of a ring.
///
/// # Safety
///
/// The ring is new and its entry sizes are those of `S` and `C`. If something of it belongs to the
/// calling thread, `T` is [`OneThread`].
pub(crate) unsafe fn halves<T: Threads, S: SqeSize, C: CqeSize>(ring: Ring) -> Halves<T, S, C> {
    let ring = Arc::new(ring);
    // SAFETY: the caller's promise: the ring is new, so this is its first submission queue.
    let sq = unsafe { SubmissionQueue::new(Arc::clone(&ring)) };
    // SAFETY: and this its first completion queue.
    let cq = unsafe { CompletionQueue::new(ring) };
    (cq, sq)
}

impl<S: SqeSize> AsFd for SubmissionQueue<AnyThread, S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring()
            .fd()
            .expect("only a ring for one thread can be without a descriptor")
    }
}

impl<S: SqeSize> AsRawFd for SubmissionQueue<AnyThread, S> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<C: CqeSize> AsFd for CompletionQueue<AnyThread, C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring()
            .fd()
            .expect("only a ring for one thread can be without a descriptor")
    }
}

impl<C: CqeSize> AsRawFd for CompletionQueue<AnyThread, C> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
