//! Rings of liburing's own, for what the library's rings leave out.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io;
use std::mem;
use std::ptr;

use lio_uring::sys;

/// A ring that is used by way of liburing's functions alone. Dropped when nothing is in flight.
pub(crate) struct LiburingRing(Box<sys::io_uring>);

impl LiburingRing {
    pub(crate) fn new(entries: u32, flags: u32) -> io::Result<Self> {
        // SAFETY: zero is a value of the structure.
        let mut ring: Box<sys::io_uring> = Box::new(unsafe { mem::zeroed() });
        // SAFETY: the structure is valid for writes.
        let made = unsafe { sys::io_uring_queue_init(entries, &raw mut *ring, flags) };
        check(made).map(|()| Self(ring))
    }

    pub(crate) fn raw(&mut self) -> *mut sys::io_uring {
        &raw mut *self.0
    }

    pub(crate) fn fd(&self) -> i32 {
        self.0.ring_fd
    }

    /// The next entry, to be filled.
    #[track_caller]
    pub(crate) fn entry(&mut self) -> *mut sys::io_uring_sqe {
        // SAFETY: the ring is set up.
        let sqe = unsafe { sys::io_uring_get_sqe(self.raw()) };
        assert!(!sqe.is_null(), "the queue is full");
        sqe
    }

    /// Submits what was filled, and returns what liburing does.
    ///
    /// # Safety
    ///
    /// What the entries point to stays until they have completed.
    pub(crate) unsafe fn submit(&mut self) -> i32 {
        // SAFETY: the ring is set up; the rest is the caller's promise.
        unsafe { sys::io_uring_submit(self.raw()) }
    }

    /// Waits for a completion and leaves it.
    pub(crate) fn wait(&mut self) -> *mut sys::io_uring_cqe {
        let mut cqe = ptr::null_mut();
        // SAFETY: the ring is set up, and the pointer is valid for writes.
        while unsafe { sys::io_uring_wait_cqe(self.raw(), &raw mut cqe) } != 0 {}
        cqe
    }

    /// Waits for a completion and takes it: its user data and its result.
    pub(crate) fn next(&mut self) -> (u64, i32) {
        let cqe = self.wait();
        // SAFETY: liburing gave it, and it is there until it is seen.
        let user_data = unsafe { (*cqe).user_data };
        // SAFETY: as above.
        let result = unsafe { (*cqe).res };
        // SAFETY: as above.
        unsafe { sys::io_uring_cqe_seen(self.raw(), cqe) };
        (user_data, result)
    }
}

impl Drop for LiburingRing {
    fn drop(&mut self) {
        // SAFETY: the ring is set up, and not used after this.
        unsafe { sys::io_uring_queue_exit(self.raw()) };
    }
}

/// What a function of liburing has returned that returns 0 or an error.
pub(crate) fn check(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}
