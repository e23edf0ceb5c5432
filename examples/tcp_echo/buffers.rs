//! The memory that all data passes through: one block, cut into buffers that the kernel picks from.
//!
//! The life of a buffer:
//!
//! 1. It is *free*: in the buffer ring, where any receive may take it.
//! 2. A completion names it: it is in the [`Queue`] of the connection that it was received for,
//!    and the number of bytes in it is known.
//! 3. It is first in its queue, and a send reads from it.
//! 4. All of it has been sent: it goes back to the ring.
//!
//! The queues are lists through one array with a place for each buffer, so nothing is allocated
//! while the server runs, and no byte is copied or even looked at.

use std::alloc::{self, Layout};
use std::error::Error;
use std::ffi::c_void;
use std::ptr::NonNull;

use lio_uring::{BufferRing, OneThread, SubmissionQueue};

/// The group that receives take their buffers from.
const GROUP: u16 = 0;
const PAGE: usize = 4096;
/// No buffer: there are at most 32768, so the number is free.
const NONE: u16 = u16::MAX;

pub(crate) struct Buffers {
    ring: BufferRing<OneThread>,
    memory: NonNull<u8>,
    layout: Layout,
    size: u32,
    filled: Vec<Filled>,
    free: u16,
    /// Whether buffers were put back that the kernel has not been shown.
    unpublished: bool,
}

/// What is known of a buffer that holds data.
#[derive(Clone, Copy)]
struct Filled {
    len: u32,
    sent: u32,
    next: u16,
}

/// Buffers of one connection, in the order in which they were received.
pub(crate) struct Queue {
    first: u16,
    last: u16,
    len: u16,
}

/// Data to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) data: *const c_void,
    pub(crate) len: u32,
}

impl Buffers {
    /// Allocates `count` buffers, a power of two, of `size` bytes, and hands them all to the kernel.
    pub(crate) fn new(
        sq: &mut SubmissionQueue<OneThread>,
        count: u16,
        size: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let ring = sq
            .register_buffer_ring(count, GROUP)
            .map_err(|error| format!("{error}. The server needs Linux 6.0"))?;
        let layout = usize::try_from(size)?
            .checked_mul(usize::from(count))
            .and_then(|bytes| Layout::from_size_align(bytes, PAGE).ok())
            .filter(|layout| layout.size() > 0)
            .ok_or("the buffers have no size, or one that cannot be allocated")?;
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else {
            return Err(
                format!("there is no memory for {} bytes of buffers", layout.size()).into(),
            );
        };
        let filled = vec![
            Filled {
                len: 0,
                sent: 0,
                next: NONE
            };
            usize::from(count)
        ];
        let mut buffers = Self {
            ring,
            memory,
            layout,
            size,
            filled,
            free: 0,
            unpublished: false,
        };
        for id in 0..count {
            buffers.give_back(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    pub(crate) fn group(&self) -> u16 {
        self.ring.group()
    }

    /// How many buffers no connection holds.
    pub(crate) fn free(&self) -> u16 {
        self.free
    }

    /// How many buffers a connection may hold before its receive is paused, so that a peer that
    /// does not read what it is sent cannot take all.
    pub(crate) fn fair_share(&self) -> u16 {
        (self.ring.capacity() / 8).clamp(2, 64)
    }

    /// Appends a buffer that a completion has named to a queue.
    pub(crate) fn append(&mut self, queue: &mut Queue, id: u16, len: u32) {
        self.free -= 1;
        self.filled[usize::from(id)] = Filled {
            len,
            sent: 0,
            next: NONE,
        };
        match queue.last {
            NONE => queue.first = id,
            last => self.filled[usize::from(last)].next = id,
        }
        queue.last = id;
        queue.len += 1;
    }

    /// What is to be sent next: the rest of the first buffer.
    pub(crate) fn front(&self, queue: &Queue) -> Option<Chunk> {
        let filled = self.filled.get(usize::from(queue.first))?;
        let start = usize::from(queue.first) * self.size as usize + filled.sent as usize;
        // `wrapping_add` because it asks for no more than this computes: an address in the block.
        let data = self.memory.as_ptr().wrapping_add(start);
        Some(Chunk {
            data: data.cast(),
            len: filled.len - filled.sent,
        })
    }

    /// Counts bytes of the first buffer as sent. If they are the last, gives the buffer back and
    /// returns true.
    pub(crate) fn advance(&mut self, queue: &mut Queue, sent: u32) -> bool {
        let filled = &mut self.filled[usize::from(queue.first)];
        filled.sent += sent;
        let all = filled.sent >= filled.len;
        if all {
            self.pop(queue);
        }
        all
    }

    /// Gives back the buffers of a queue, all but the first `kept`, which a send still reads from.
    pub(crate) fn discard(&mut self, queue: &mut Queue, kept: u16) {
        let mut rest = Queue::EMPTY;
        if kept == 0 {
            std::mem::swap(queue, &mut rest);
        } else if queue.len > 1 {
            let next = std::mem::replace(&mut self.filled[usize::from(queue.first)].next, NONE);
            rest = Queue {
                first: next,
                last: queue.last,
                len: queue.len - 1,
            };
            *queue = Queue {
                first: queue.first,
                last: queue.first,
                len: 1,
            };
        }
        while !rest.is_empty() {
            self.pop(&mut rest);
        }
    }

    fn pop(&mut self, queue: &mut Queue) {
        let id = queue.first;
        queue.first = self.filled[usize::from(id)].next;
        queue.len -= 1;
        if queue.is_empty() {
            *queue = Queue::EMPTY;
        }
        self.give_back(id);
    }

    /// Takes note that a completion has named a buffer that nobody wants, and puts it back.
    pub(crate) fn refuse(&mut self, id: u16) {
        self.free -= 1;
        self.give_back(id);
    }

    /// Puts a buffer into the ring; the kernel sees it after [`publish`](Self::publish).
    fn give_back(&mut self, id: u16) {
        let start = usize::from(id) * self.size as usize;
        let address = self.memory.as_ptr().wrapping_add(start).cast();
        // SAFETY:
        // * The ring has room for as many buffers as there are, and each is in it at most once: it
        //   is put there when it is made, and then only after a completion has named it.
        // * The `size` bytes lie in the block, since `id` is below the number of buffers. No
        //   reference to them exists, and no send reads from them any more. The block is freed by
        //   `free` alone, which asks for the end of all operations.
        unsafe { self.ring.add(address, self.size, id) };
        self.free += 1;
        self.unpublished = true;
    }

    /// Shows the kernel what was given back. Once for many buffers is enough.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.unpublished) {
            self.ring.publish();
        }
    }

    /// Frees the memory. Dropping does not: nothing but the end of an operation ends the kernel's
    /// use of its buffers, not even closing the ring.
    ///
    /// # Safety
    ///
    /// All operations that receive into the buffers or send from them have ended.
    pub(crate) unsafe fn free_memory(self) {
        drop(self.ring);
        // SAFETY: the block was allocated with this layout. The group is unregistered, and the
        // caller promises that no operation uses the memory.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl Queue {
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        len: 0,
    };

    pub(crate) fn len(&self) -> u16 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}
