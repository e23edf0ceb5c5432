//! Provided-buffer rings: buffers that the kernel picks from when it needs one.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::check;
#[cfg(doc)]
use crate::completion::CompletionFlags;
use crate::error::{RegisterCause, RegisterError};
use crate::features::Features;
use crate::fork::{keep_from_children, release};
use crate::kind::{AnyThread, SqeSize, Threads};
use crate::ring::Ring;
use crate::submission::SubmissionQueue;
use crate::sys;

/// How a ring of buffers is to be made.
///
/// C: `struct io_uring_buf_reg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it makes a ring of buffers when it is given to a queue"]
pub struct BufferRingParams {
    entries: u16,
    group: u16,
    flags: u32,
    min_left: u32,
}

impl BufferRingParams {
    /// Room for `entries` buffers, a power of two up to 32768, in the group with this number.
    pub const fn new(entries: u16, group: u16) -> Self {
        Self {
            entries,
            group,
            flags: 0,
            min_left: 0,
        }
    }

    /// Has each buffer used up piece by piece, by one operation after the other, instead of by one
    /// alone.
    ///
    /// A completion with [`CompletionFlags::BUF_MORE`] leaves the rest of its buffer with the
    /// kernel. [`BufferCursor`](crate::BufferCursor) finds the piece that a completion means.
    ///
    /// Linux 6.16 to 6.18 leave that flag out when a file is read, and 6.16 to 6.19 when a
    /// [`BUNDLE`](crate::RecvSendFlags::BUNDLE) is received, although they go on using the buffer:
    /// there, a buffer is not back before a completion names the next one. Later versions of 6.18
    /// are mended, 6.18.44 among them.
    ///
    /// Since Linux 6.12. C: `IOU_PBUF_RING_INC`.
    pub const fn incremental(mut self) -> Self {
        self.flags |= sys::IOU_PBUF_RING_INC;
        self
    }

    /// Takes a buffer for used up when less than this many bytes of it are left. Needs
    /// [`incremental`](Self::incremental).
    ///
    /// Recent kernels know it, Linux 6.18.44 among them. Others answer
    /// [`RegisterCause::Refused`], or use buffers up to their last byte.
    pub const fn min_left(mut self, bytes: u32) -> Self {
        self.min_left = bytes;
        self
    }

    /// Has the kernel give the ring's memory, instead of pinning the program's.
    ///
    /// Since Linux 6.4. C: `IOU_PBUF_RING_MMAP`.
    pub const fn mapped(mut self) -> Self {
        self.flags |= sys::IOU_PBUF_RING_MMAP;
        self
    }
}

/// A group of buffers that receives and reads take theirs from, as a ring in shared memory.
///
/// It owns the ring's memory and its registration; the buffers are the caller's. Operations use it
/// when they are pushed with [`Sqe::select_buffer`](crate::Sqe::select_buffer), and their
/// completions name the buffer: [`Completion::buffer_id`](crate::Completion::buffer_id). A buffer
/// belongs to the kernel from [`publish`](Self::publish) until a completion names it, or, on an
/// [`incremental`](BufferRingParams::incremental) ring, until one names it without
/// [`CompletionFlags::BUF_MORE`].
///
/// The kernel uses the buffers in the order in which they were added. The completion of an operation
/// with [`BUNDLE`](crate::RecvSendFlags::BUNDLE) names the first that it has filled; the rest of its
/// bytes are in those that were added next.
///
/// Receives with `MSG_WAITALL` and a buffer of a group do not go together: while they wait for the rest,
/// they write behind what an [`incremental`](BufferRingParams::incremental) group was told of (seen
/// from Linux 6.16 to 7.2), and one with [`BUNDLE`](crate::RecvSendFlags::BUNDLE) has buffers that others
/// are given (seen on 6.18.44 and 7.2).
///
/// Dropping it unregisters the group. Operations that find the group gone or empty end with
/// `ENOBUFS`. It keeps the ring open: operations that take buffers go on after both queues are
/// dropped, until this is.
///
/// Kernels before Linux 6.10 may go on where they were when a group below 64 gets a second ring of
/// buffers, and use buffers that have been given back. So there, a number below 64 serves for one
/// that was used; the next gets [`RegisterCause::GroupUsedBefore`].
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

const ACTION: &str = "register a buffer ring";
const NEEDS: &str = "Linux 5.19, a power of two from 1 to 32768, and options that the kernel knows";

/// How many bytes a ring with room for so many buffers takes.
fn bytes(entries: u16) -> usize {
    usize::from(entries) * size_of::<sys::io_uring_buf>()
}

/// Maps memory for a ring of buffers: the program's own, or what the kernel has under this
/// descriptor for the group.
///
/// A child process does not get it, as it does not get the queues.
fn map(bytes: usize, kernels: Option<(RawFd, u16)>) -> Result<NonNull<c_void>, i32> {
    let (flags, fd, offset) = match kernels {
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        Some((fd, group)) => {
            let offset = u64::from(sys::IORING_OFF_PBUF_RING)
                | u64::from(group) << sys::IORING_OFF_PBUF_SHIFT;
            (libc::MAP_SHARED | libc::MAP_POPULATE, fd, offset)
        }
    };
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap64(
            ptr::null_mut(),
            bytes,
            access,
            flags,
            fd,
            offset.cast_signed(),
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::ENOMEM));
    }
    // Should it fail, a child has a copy that it does not use.
    let _kept = keep_from_children(memory, bytes);
    NonNull::new(memory).ok_or(libc::ENOMEM)
}

/// Registers the ring of buffers and maps its memory.
fn register(ring: &Ring, params: BufferRingParams) -> Result<NonNull<sys::io_uring_buf>, i32> {
    let bytes = bytes(params.entries);
    let kernels = params.flags & sys::IOU_PBUF_RING_MMAP != 0;
    let own = if kernels {
        None
    } else {
        Some(map(bytes, None)?)
    };
    let mut argument = sys::io_uring_buf_reg {
        ring_addr: own.map_or(0, |memory| memory.as_ptr() as u64),
        ring_entries: params.entries.into(),
        bgid: params.group,
        flags: 0,
        min_left: params.min_left,
        resv: [0; 5],
    };
    // SAFETY: the ring is set up. The memory that the argument names is a mapping of its own, and
    // stays until the group is unregistered.
    let result = unsafe {
        sys::io_uring_register_buf_ring(ring.as_mut_ptr(), &raw mut argument, params.flags)
    };
    if result < 0 {
        if let Some(memory) = own {
            release(memory.as_ptr());
            // SAFETY: the mapping was made here, and the kernel has refused it.
            unsafe { libc::munmap(memory.as_ptr(), bytes) };
        }
        return Err(-result);
    }
    let memory = match own {
        Some(memory) => Ok(memory),
        None => match ring.fd() {
            Some(fd) => map(bytes, Some((fd.as_raw_fd(), params.group))),
            None => Err(libc::EBADF),
        },
    };
    if memory.is_err() {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_unregister_buf_ring(ring.as_mut_ptr(), params.group.into()) };
    }
    memory.map(NonNull::cast)
}

/// How many groups, the lowest, old kernels never forget.
const REMEMBERED: u16 = 64;

impl Ring {
    /// Whether the kernel would go on in a ring of buffers where it was in the group's last one.
    fn remembers_group(&self, group: u16) -> bool {
        group < REMEMBERED
            && self.used_groups.load(Ordering::Relaxed) & 1 << group != 0
            // The kernels with it have the mending, which has no name of its own.
            && !self.features().contains(Features::RECVSEND_BUNDLE)
    }

    fn note_used_group(&self, group: u16) {
        if group < REMEMBERED {
            self.used_groups.fetch_or(1 << group, Ordering::Relaxed);
        }
    }
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers a group of buffers with room for `entries` of them, a power of two up to 32768.
    ///
    /// Since Linux 5.19. C: `io_uring_setup_buf_ring(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] if the group has a ring or classic buffers.
    /// * [`RegisterCause::Refused`] if the number is not a power of two, or the kernel is older.
    /// * [`RegisterCause::GroupUsedBefore`] before Linux 6.10, for a group below 64 that had a ring of
    ///   buffers before.
    pub fn register_buffer_ring(
        &mut self,
        entries: u16,
        group: u16,
    ) -> Result<BufferRing<T>, RegisterError> {
        self.register_buffer_ring_with(BufferRingParams::new(entries, group))
    }

    /// Registers a group of buffers as `params` say.
    ///
    /// Since Linux 5.19. C: `io_uring_register_buf_ring(3)`.
    ///
    /// # Errors
    ///
    /// * Those of [`register_buffer_ring`](Self::register_buffer_ring).
    /// * [`RegisterCause::Refused`] with options that the kernel does not know.
    /// * [`RegisterCause::BadDescriptor`] with [`mapped`](BufferRingParams::mapped) on a ring
    ///   without a descriptor.
    pub fn register_buffer_ring_with(
        &mut self,
        params: BufferRingParams,
    ) -> Result<BufferRing<T>, RegisterError> {
        if self.ring().remembers_group(params.group) {
            return Err(RegisterError {
                action: ACTION,
                errno: libc::EEXIST,
                cause: RegisterCause::GroupUsedBefore,
            });
        }
        let made = if params.entries.is_power_of_two() {
            register(self.ring(), params)
        } else {
            Err(libc::EINVAL)
        };
        let entries = match made {
            Ok(entries) => entries,
            Err(errno) => {
                return Err(check(-errno, ACTION, NEEDS).expect_err("the result is negative"));
            }
        };
        Ok(BufferRing {
            entries,
            mask: params.entries - 1,
            tail: 0,
            group: params.group,
            ring: Arc::clone(self.ring()),
            _kind: PhantomData,
        })
    }
}

impl<T: Threads> BufferRing<T> {
    /// Whether this process registered it.
    pub(crate) fn is_own(&self) -> bool {
        self.ring.is_own()
    }

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
    ///   buffer, or until the group is unregistered and all operations that use it have ended. On
    ///   an [`incremental`](BufferRingParams::incremental) ring a completion gives back only the
    ///   piece that it means, unless it comes without [`CompletionFlags::BUF_MORE`].
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

    /// Has the next buffer be added where the kernel is, in place of those that it has not used up.
    ///
    /// # Safety
    ///
    /// * No operation uses the group until as many buffers were added and published as are taken out
    ///   this way, or more.
    /// * `head` is what [`head`](Self::head) says.
    pub(crate) unsafe fn go_back(&mut self, head: u16) {
        self.tail = head;
    }

    /// Shows the kernel all buffers that were added.
    ///
    /// C: `io_uring_buf_ring_advance(3)`.
    #[inline]
    pub fn publish(&mut self) {
        // Release: the entries were written before.
        self.shared_tail().store(self.tail, Ordering::Release);
    }

    /// The ring's tail, which shares the place of the first entry's last two bytes.
    #[inline]
    fn shared_tail(&self) -> &AtomicU16 {
        // SAFETY: the first entry is in the ring's memory.
        let tail = unsafe { &raw const (*self.entries.as_ptr()).resv };
        // SAFETY: the tail is aligned to 2 and stays mapped as long as this value. Both sides use
        // it atomically; nothing else refers to these two bytes.
        unsafe { &*tail.cast::<AtomicU16>() }
    }

    /// How many buffers the kernel has used up since the group was registered, counted in 16 bits.
    ///
    /// The buffer that it is at lies at this place, in the order of adding.
    ///
    /// Since Linux 6.8. C: `io_uring_buf_ring_head(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn head(&self) -> Result<u16, RegisterError> {
        let mut head = 0;
        // SAFETY: the ring is set up, and the pointer is to a value of the right type.
        let result = unsafe {
            sys::io_uring_buf_ring_head(self.ring.as_mut_ptr(), self.group.into(), &raw mut head)
        };
        check(result, "look at a buffer ring", "Linux 6.8")?;
        Ok(head)
    }

    /// How many published buffers the kernel has not used up yet.
    ///
    /// Since Linux 6.8. C: `io_uring_buf_ring_available(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn available(&self) -> Result<u16, RegisterError> {
        let published = self.shared_tail().load(Ordering::Relaxed);
        Ok(published.wrapping_sub(self.head()?))
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
        // SAFETY: the ring is set up.
        let result =
            unsafe { sys::io_uring_unregister_buf_ring(self.ring.as_mut_ptr(), self.group.into()) };
        if self.tail != 0 {
            self.ring.note_used_group(self.group);
        }
        // If the group cannot be unregistered, its memory leaks: the kernel may be using it.
        if result == 0 {
            release(self.entries.as_ptr().cast());
            // SAFETY: the mapping was made for this value, with this length, and neither the kernel
            // nor anything else uses it after this.
            unsafe { libc::munmap(self.entries.as_ptr().cast(), bytes(self.mask + 1)) };
        }
    }
}
