//! What only a ring for one thread can change about itself: its descriptor, and its size.

use std::io;
use std::ptr;
use std::sync::Arc;

use super::IoUring;
use crate::error::{RegisterCause, RegisterError};
use crate::kind::{CqeSize, SqeSize};
use crate::params::SetupFlags;
use crate::register::check;
use crate::sys;

/// Looks whether queues as these parameters say could be mapped.
fn can_map(mut params: sys::io_uring_params) -> Result<(), i32> {
    // SAFETY: the pointer is to a value of the right type; nothing is made.
    let bytes = unsafe { sys::io_uring_memory_size_params(params.sq_entries, &raw mut params) };
    // Sizes that cannot be are left for the kernel to refuse.
    let Ok(bytes) = usize::try_from(bytes) else {
        return Ok(());
    };
    // Liburing maps the indices and the completions, which lie together, for each queue.
    let bytes = 2 * bytes;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        return Err(error.raw_os_error().unwrap_or(libc::ENOMEM));
    }
    // SAFETY: the mapping was just made, so long, and nothing refers to it.
    unsafe { libc::munmap(address, bytes) };
    Ok(())
}

impl<S: SqeSize, C: CqeSize> IoUring<S, C> {
    /// Whether both queues are this ring's. Safe code can exchange those of two rings.
    fn is_whole(&self) -> bool {
        Arc::ptr_eq(self.sq.ring(), self.cq.ring())
    }

    /// Calls a function of liburing that changes the ring's descriptors, and shows both queues.
    fn change(
        &mut self,
        function: unsafe extern "C" fn(*mut sys::io_uring) -> i32,
    ) -> io::Result<()> {
        if !self.is_whole() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the ring is set up. All that refers to it is on this thread, as its types say, and
        // nothing of it is borrowed during the call.
        let result = unsafe { function(self.sq.ring().as_mut_ptr()) };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        self.sq.refresh_gate();
        self.cq.refresh_gate();
        Ok(())
    }

    /// Registers the ring's descriptor with this thread, which spares each system call looking it
    /// up. It is done when the ring is made, if there is a place.
    ///
    /// Since Linux 5.18. C: `io_uring_register_ring_fd(3)`.
    ///
    /// # Errors
    ///
    /// * `EEXIST` if it is registered.
    /// * `EBUSY` if the thread has all the registered rings that it may: 16.
    /// * `EINVAL` if the queues are of different rings.
    pub fn register_ring_fd(&mut self) -> io::Result<()> {
        self.change(sys::io_uring_register_ring_fd)
    }

    /// Takes the ring's descriptor back from this thread, to make room for another.
    ///
    /// Since Linux 5.18. C: `io_uring_unregister_ring_fd(3)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not registered, if the ring has no other, or if the queues are of different
    /// rings.
    pub fn unregister_ring_fd(&mut self) -> io::Result<()> {
        if self.fd().is_none() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.change(sys::io_uring_unregister_ring_fd)
    }

    /// Closes the ring's descriptor and keeps the registered one, so that the ring takes no place
    /// among those of the process, and nothing else in it can get at it.
    ///
    /// [`fd`](Self::fd) is `None` after this.
    ///
    /// Since Linux 6.3. C: `io_uring_close_ring_fd(3)`.
    ///
    /// # Errors
    ///
    /// * `EBADF` if it is closed.
    /// * `EINVAL` if the descriptor is not registered with this thread, or if the queues are of
    ///   different rings.
    /// * `EOPNOTSUPP` without
    ///   [`Features::REG_REG_RING`](crate::Features::REG_REG_RING).
    pub fn close_ring_fd(&mut self) -> io::Result<()> {
        self.change(sys::io_uring_close_ring_fd)
    }

    /// Gives the queues other sizes: room for `entries` entries, and for `cq_entries` completions,
    /// both rounded up to a power of two.
    ///
    /// What is queued or ready stays so. On a ring with large entries or completions, or with
    /// [`sq_rewind`](crate::IoUringParams::sq_rewind), nothing may be.
    ///
    /// For rings with [`defer_taskrun`](crate::IoUringParams::defer_taskrun), as those are that
    /// [`IoUring::new`] makes where the kernel has it.
    ///
    /// Since Linux 6.13. C: `io_uring_resize_rings(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::Refused`] on other rings or an older kernel; if a size is 0 or too large,
    ///   or the completion queue is to be the smaller; if the queues are of different rings; if the
    ///   ring has no descriptor or lies in memory of the program's; and if what is queued or ready
    ///   would not fit.
    /// * `ENOMEM` if there is no memory for the queues, or no address space to map them. Should
    ///   another thread take what there was during the call, the ring is of no more use.
    pub fn resize(&mut self, entries: u32, cq_entries: u32) -> Result<(), RegisterError> {
        const ACTION: &str = "resize the queues";
        const NEEDS: &str = "Linux 6.13, a ring that is whole, has a descriptor and was made with \
                             `defer_taskrun`, and sizes that hold what is queued and ready";
        // Kernels differ in what they copy of large ones, and find nothing behind a tail of 0.
        let unmovable = SetupFlags::SQE128
            | SetupFlags::SQE_MIXED
            | SetupFlags::SQ_REWIND
            | SetupFlags::CQE32
            | SetupFlags::CQE_MIXED;
        let movable = !self.sq.setup_flags().intersects(unmovable)
            || (self.sq.unsubmitted() == 0 && self.cq.ready() == 0);
        // The kernel must not have resized what cannot be mapped afterwards.
        let mappable = self.fd().is_some() && !self.sq.setup_flags().contains(SetupFlags::NO_MMAP);
        if !self.is_whole() || !movable || !mappable {
            return check(-libc::EINVAL, ACTION, NEEDS).map(drop);
        }
        self.sq.publish();
        self.cq.publish_head();
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut params: sys::io_uring_params = unsafe { std::mem::zeroed() };
        params.flags = SetupFlags::CQSIZE.bits();
        params.sq_entries = entries;
        params.cq_entries = cq_entries;
        can_map(sys::io_uring_params {
            flags: self.sq.setup_flags().bits() | params.flags,
            ..params
        })
        .or_else(|errno| check(-errno, ACTION, NEEDS).map(drop))?;
        let ring = self.sq.ring().as_mut_ptr();
        self.sq.ring().release();
        // SAFETY: the ring is set up and has a descriptor. All that refers to it or to its memory is
        // on this thread, as its types say: the two queues, which are not used until they have been
        // shown the new memory.
        let result = unsafe { sys::io_uring_resize_rings(ring, &raw mut params) };
        // The new mappings, or the old ones, would otherwise be shared with a child process.
        let kept = self.sq.ring().keep_from_children();
        debug_assert_eq!(kept, Ok(()), "the mappings are there");
        check(result, ACTION, NEEDS)
            .map(drop)
            .map_err(|error| match error.errno {
                libc::EOVERFLOW => RegisterError {
                    cause: RegisterCause::Refused { needs: NEEDS },
                    ..error
                },
                _ => error,
            })?;
        self.sq.refresh_memory();
        self.cq.refresh_memory();
        Ok(())
    }
}
