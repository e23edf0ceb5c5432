//! C with liburing: `c/ring.c`.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr::NonNull;

use lio_uring::SetupFlags;

use super::{Contestant, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const DEFAULT: Contestant = Contestant {
    name: "C",
    open: |entries| Box::new(CRing::new(entries, 0, false)),
};

pub(super) const ONE_THREAD: Contestant = Contestant {
    name: "C, one thread",
    open: |entries| Box::new(CRing::new(entries, ONE_THREAD_FLAGS, true)),
};

/// Those that our ring for one thread has and liburing does not add by itself.
pub(crate) const ONE_THREAD_FLAGS: u32 = SetupFlags::SINGLE_ISSUER
    .union(SetupFlags::DEFER_TASKRUN)
    .union(SetupFlags::TASKRUN_FLAG)
    .bits();

#[repr(C)]
pub(crate) struct RawRing {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Reads {
    fd: c_int,
    size: c_uint,
    buffers: *mut c_char,
}

unsafe extern "C" {
    fn contestant_open(entries: c_uint, flags: c_uint, registered: c_int) -> *mut RawRing;
    fn contestant_close(ring: *mut RawRing);
    fn contestant_nops(ring: *mut RawRing, batch: c_uint, rounds: c_uint) -> c_int;
    fn contestant_reads(
        ring: *mut RawRing,
        batch: c_uint,
        rounds: c_uint,
        reads: *const Reads,
    ) -> c_int;
}

/// A ring of liburing's.
pub(crate) struct CRing(NonNull<RawRing>);

impl CRing {
    /// Makes a ring, and registers its descriptor with the thread if wanted.
    pub(crate) fn new(entries: u32, flags: u32, registered: bool) -> Self {
        // SAFETY: makes a ring of its own.
        let ring = unsafe { contestant_open(entries, flags, registered.into()) };
        Self(NonNull::new(ring).expect("a ring"))
    }

    /// What functions in C take. It is open as long as this value.
    pub(crate) fn as_ptr(&self) -> *mut RawRing {
        self.0.as_ptr()
    }
}

impl Ring for CRing {
    fn nops(&mut self, batch: u32, rounds: u32) {
        // SAFETY: the ring is open.
        let result = unsafe { contestant_nops(self.0.as_ptr(), batch, rounds) };
        assert_eq!(result, 0, "NOPs in C");
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let reads = Reads {
            fd: blocks.fd(),
            size: BLOCK,
            buffers: blocks.buffers().cast(),
        };
        // SAFETY: the ring is open, and there is a buffer for each read of a batch.
        let result = unsafe { contestant_reads(self.0.as_ptr(), batch, rounds, &raw const reads) };
        assert_eq!(result, 0, "reads in C");
    }
}

impl Drop for CRing {
    fn drop(&mut self) {
        // SAFETY: nothing uses the ring after this.
        unsafe { contestant_close(self.0.as_ptr()) };
    }
}
