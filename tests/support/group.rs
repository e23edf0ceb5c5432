//! Memory for the buffers of a group.

#![allow(dead_code, reason = "no test needs all of it")]

use std::ptr;
use std::slice;

use lio_uring::kind::Threads;
use lio_uring::operation::ProvideBuffers;
use lio_uring::{BufferRing, Completion, CompletionQueue, Sqe, SubmissionQueue};

use crate::rings::run;

/// The group that the buffers belong to.
pub(crate) const GROUP: u16 = 70;
/// What memory holds that nothing has been received into.
pub(crate) const UNTOUCHED: u8 = 0xaa;

/// Has an operation use a buffer of the group.
pub(crate) fn select(sqe: &mut Sqe) {
    sqe.select_buffer(GROUP);
}

/// The memory of `n` buffers of `size` bytes each, one behind the other.
pub(crate) struct Buffers {
    start: *mut u8,
    size: usize,
    n: u16,
}

impl Buffers {
    /// It is never freed, so that a test that fails does not take it from the kernel.
    pub(crate) fn new(n: u16, size: usize) -> Self {
        let start = Vec::leak(vec![UNTOUCHED; size * usize::from(n)]).as_mut_ptr();
        Self { start, size, n }
    }

    pub(crate) fn at(&self, id: u16) -> *mut u8 {
        assert!(id < self.n, "there is no buffer {id}");
        self.start.wrapping_add(self.size * usize::from(id))
    }

    fn len(&self) -> u32 {
        self.size.try_into().expect("small buffers")
    }

    /// A ring of all buffers, in their order.
    #[track_caller]
    pub(crate) fn ring<T: Threads>(&self, sq: &mut SubmissionQueue<T>) -> BufferRing<T> {
        let mut ring = sq.register_buffer_ring(self.n, GROUP).expect("a ring");
        (0..self.n).for_each(|id| self.add(&mut ring, id));
        ring
    }

    /// Adds a buffer to a ring, and shows it.
    pub(crate) fn add<T: Threads>(&self, ring: &mut BufferRing<T>, id: u16) {
        // SAFETY: the memory is never freed, and used again only when a completion hands it over;
        // the tests add no buffer twice.
        unsafe { ring.add(self.at(id).cast(), self.len(), id) };
        ring.publish();
    }

    /// Gives the kernel `nr` buffers from `id` on with an operation.
    #[track_caller]
    pub(crate) fn provide<T: Threads>(
        &self,
        cq: &mut CompletionQueue<T>,
        sq: &mut SubmissionQueue<T>,
        id: u16,
        nr: u16,
    ) {
        assert!(id + nr <= self.n, "there are {} buffers", self.n);
        let provide = ProvideBuffers {
            addr: self.at(id).cast(),
            len: self.len(),
            nr: nr.into(),
            bgid: GROUP,
            bid: id,
        };
        // SAFETY: as for `add`.
        let done = unsafe { run(cq, sq, &provide, |_| ()) };
        done.result().expect("buffers can be provided");
    }

    /// Writes to the beginning of a buffer that the kernel does not have.
    ///
    /// # Safety
    ///
    /// It was not added yet, or a completion has handed it over.
    pub(crate) unsafe fn write(&self, id: u16, bytes: &[u8]) {
        assert!(bytes.len() <= self.size, "a buffer has {} bytes", self.size);
        // SAFETY: the buffer has as many bytes, and is the caller's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(id), bytes.len()) };
    }

    /// The first `n` bytes of a buffer, of which no more were written.
    ///
    /// # Safety
    ///
    /// A completion has handed the buffer over.
    #[track_caller]
    pub(crate) unsafe fn read(&self, id: u16, n: usize) -> Vec<u8> {
        // SAFETY: the buffer is the caller's.
        let buffer = unsafe { slice::from_raw_parts(self.at(id), self.size) };
        assert!(buffer[n..].iter().all(|byte| *byte == UNTOUCHED));
        let bytes = buffer[..n].to_vec();
        // SAFETY: as above; the slice is not used any more.
        unsafe { self.at(id).write_bytes(UNTOUCHED, self.size) };
        bytes
    }

    /// The bytes that a completion has brought in one buffer, and the number of it.
    #[track_caller]
    pub(crate) fn take(&self, done: Completion) -> (Vec<u8>, u16) {
        let n = done.result().expect("something received");
        let id = done.buffer_id().expect("a buffer");
        // SAFETY: the completion hands this buffer over.
        let bytes = unsafe { self.read(id, n.try_into().expect("a count")) };
        (bytes, id)
    }
}
