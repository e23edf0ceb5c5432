//! The queue through which the kernel gets buffers back.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use crate::params::Mapping;
use crate::ring::Word;
use crate::sys;

type Entry = sys::io_uring_zcrx_rqe;

/// A ring of entries that this side adds to at the tail, and the kernel takes from at the head.
///
/// C: `struct io_uring_zcrx_rq`.
pub(super) struct RefillQueue {
    entries: NonNull<Entry>,
    mask: u32,
    /// Behind the last entry that was added.
    tail: Cell<u32>,
    /// The kernel's head when it was last looked at.
    head: Cell<u32>,
    shared_head: Word,
    shared_tail: Word,
    _memory: Mapping,
}

impl RefillQueue {
    /// How many bytes a queue of so many entries takes. The kernel rounds their number up.
    pub(super) fn bytes(entries: u32, page: usize) -> Option<usize> {
        let entries = usize::try_from(entries.checked_next_power_of_two()?).ok()?;
        // What lies before the entries is much less than a page on every kernel.
        entries
            .checked_mul(size_of::<Entry>())?
            .checked_add(page)?
            .checked_next_multiple_of(page)
    }

    /// # Safety
    ///
    /// The kernel has registered the memory as a queue of so many entries, a power of two, with
    /// these offsets, and nothing else uses it.
    pub(super) unsafe fn new(
        memory: Mapping,
        entries: u32,
        offsets: &sys::io_uring_zcrx_offsets,
    ) -> Self {
        let at = |offset: u32| {
            // SAFETY: the caller's promise: the queue lies in the memory.
            unsafe { memory.address().add(offset as usize) }
        };
        let word = |offset: u32| {
            // SAFETY: the caller's promise: the words are the queue's. The memory goes with the
            // value.
            unsafe { Word::new(at(offset).cast().as_ptr()) }
        };
        Self {
            entries: at(offsets.rqes).cast(),
            mask: entries - 1,
            tail: Cell::new(0),
            head: Cell::new(0),
            shared_head: word(offsets.head),
            shared_tail: word(offsets.tail),
            _memory: memory,
        }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.mask + 1
    }

    /// How many entries the kernel has not taken yet.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        // Acquire: the kernel has read the entries before its head, so they can be written again.
        self.head.set(self.shared_head.load(Ordering::Acquire));
        self.tail.get().wrapping_sub(self.head.get())
    }

    /// Adds an entry and shows it to the kernel, unless the queue is full.
    #[inline]
    pub(super) fn push(&self, place: u64, len: u32) -> Result<(), Full> {
        let tail = self.tail.get();
        if tail.wrapping_sub(self.head.get()) > self.mask && self.len() > self.mask {
            return Err(Full);
        }
        let entry = Entry {
            off: place,
            len,
            __pad: 0,
        };
        // SAFETY: the index is masked to the number of entries.
        let slot = unsafe { self.entries.add((tail & self.mask) as usize) };
        // SAFETY: the slot is in the queue's memory, and the kernel's head has passed it.
        unsafe { slot.write(entry) };
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // Release: the entry was written before.
        self.shared_tail.store(tail, Ordering::Release);
        Ok(())
    }
}

/// The kernel has taken nothing of a full queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: sys::io_uring_zcrx_offsets = sys::io_uring_zcrx_offsets {
        head: 0,
        tail: 4,
        rqes: 64,
        __resv2: 0,
        __resv: [0; 2],
    };

    fn queue(entries: u32) -> RefillQueue {
        let bytes = RefillQueue::bytes(entries, 4096).expect("a length");
        let memory = Mapping::anonymous(bytes, libc::MAP_PRIVATE).expect("memory");
        // SAFETY: the memory is so long; the tests do what the kernel does.
        unsafe { RefillQueue::new(memory, entries, &OFFSETS) }
    }

    /// Takes an entry as the kernel does.
    fn take(queue: &RefillQueue) -> Option<(u64, u32)> {
        let head = queue.shared_head.load(Ordering::Relaxed);
        if queue.shared_tail.load(Ordering::Acquire) == head {
            return None;
        }
        // SAFETY: the index is masked to the number of entries.
        let slot = unsafe { queue.entries.add((head & queue.mask) as usize) };
        // SAFETY: the entry was published.
        let entry = unsafe { slot.read() };
        queue
            .shared_head
            .store(head.wrapping_add(1), Ordering::Release);
        Some((entry.off, entry.len))
    }

    #[test]
    fn entries_come_in_order_and_a_full_queue_takes_none() {
        for entries in [1, 2, 8] {
            let queue = queue(entries);
            let (mut next, mut wanted) = (0, 0);
            for round in 0..40 {
                while queue.push(next, round).is_ok() {
                    next += 1;
                }
                assert_eq!(queue.len(), queue.capacity());
                assert_eq!(queue.push(u64::MAX, 0), Err(Full));
                for _ in 0..=round % entries {
                    assert_eq!(take(&queue).map(|entry| entry.0), Some(wanted));
                    wanted += 1;
                }
                assert_eq!(u64::from(queue.len()), next - wanted);
            }
        }
    }

    #[test]
    fn counters_wrap_around() {
        let queue = queue(4);
        let before = u32::MAX - 2;
        queue.shared_head.store(before, Ordering::Relaxed);
        queue.tail.set(before);
        queue.head.set(before);
        queue.shared_tail.store(before, Ordering::Relaxed);
        for n in 0..20 {
            for entry in 0..4 {
                assert_eq!(queue.push(n * 4 + entry, 1), Ok(()));
            }
            assert_eq!(queue.push(0, 1), Err(Full));
            for entry in 0..4 {
                assert_eq!(take(&queue), Some((n * 4 + entry, 1)));
            }
            assert_eq!((take(&queue), queue.len()), (None, 0));
        }
    }

    #[test]
    fn too_many_entries_have_no_length() {
        assert_eq!(RefillQueue::bytes(0, 4096), Some(8192));
        assert_eq!(RefillQueue::bytes(5, 4096), Some(8192));
        assert_eq!(RefillQueue::bytes(256, 4096), Some(8192));
        assert_eq!(RefillQueue::bytes(257, 4096), Some(3 * 4096));
        assert_eq!(RefillQueue::bytes(u32::MAX, 4096), None);
    }
}
