//! C with liburing: `c/reads.c`.

use std::ffi::{c_char, c_int, c_uint};

use super::{DEPTH, Read, Reader, Target};
use crate::contestant::c::{CRing, ONE_THREAD_FLAGS, RawRing};
use crate::work::BLOCK;

pub(super) const DEFAULT: Reader = Reader {
    name: "C",
    open: |target| Box::new(CReader::new(target, 0, false)),
};

pub(super) const REGISTERED: Reader = Reader {
    name: "C, registered",
    open: |target| Box::new(CReader::new(target, 0, true)),
};

pub(super) const ONE_THREAD: Reader = Reader {
    name: "C, one thread",
    open: |target| Box::new(CReader::new(target, ONE_THREAD_FLAGS, false)),
};

pub(super) const ONE_THREAD_REGISTERED: Reader = Reader {
    name: "C, one thread, registered",
    open: |target| Box::new(CReader::new(target, ONE_THREAD_FLAGS, true)),
};

#[repr(C)]
struct RandomReads {
    blocks: *const u32,
    buffers: *mut c_char,
    count: c_uint,
    size: c_uint,
    depth: c_uint,
    fd: c_int,
    registered: c_int,
}

unsafe extern "C" {
    fn reads_register(ring: *mut RawRing, reads: *const RandomReads) -> c_int;
    fn reads_run(ring: *mut RawRing, reads: *const RandomReads) -> c_int;
}

struct CReader<'t> {
    ring: CRing,
    target: &'t Target,
    registered: bool,
}

impl<'t> CReader<'t> {
    fn new(target: &'t Target, flags: u32, registered: bool) -> Self {
        let reader = Self {
            ring: CRing::new(DEPTH, flags, flags != 0),
            target,
            registered,
        };
        if registered {
            let reads = reader.reads();
            // SAFETY: the ring is open, and the buffers are never freed.
            let result = unsafe { reads_register(reader.ring.as_ptr(), &raw const reads) };
            assert_eq!(result, 0, "registering in C");
        }
        reader
    }

    fn reads(&self) -> RandomReads {
        RandomReads {
            blocks: self.target.order.as_ptr(),
            buffers: self.target.buffer(0).cast(),
            count: self.target.reads(),
            size: BLOCK,
            depth: DEPTH,
            fd: self.target.fd(),
            registered: self.registered.into(),
        }
    }
}

impl Read for CReader<'_> {
    fn read(&mut self) {
        let reads = self.reads();
        // SAFETY: the ring is open, and there is a buffer for each read in flight.
        let result = unsafe { reads_run(self.ring.as_ptr(), &raw const reads) };
        assert_eq!(result, 0, "reads in C");
    }
}
