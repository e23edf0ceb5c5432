//! The slots of a submission queue, in the memory that it shares with the kernel.

use std::marker::PhantomData;

use crate::entry::{LargeSqe, Sqe, SqeFlags};
use crate::kind::{HasLargeSqe, SqeSize, slot};
use crate::operation::Nop;

/// The array of slots that entries are written to.
///
/// `head..tail` are occupied, by entries that the kernel may not have read yet. Nothing here is
/// shared with the kernel but the slots' memory: that the occupied ones become visible is the
/// queue's business.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<S: SqeSize> {
    pub(super) base: *mut Sqe,
    pub(super) mask: u32,
    /// The first slot that the kernel has not read, as far as we have looked.
    pub(super) head: u32,
    /// The next slot to write.
    pub(super) tail: u32,
    pub(super) _size: PhantomData<fn() -> S>,
}

impl<S: SqeSize> Slots<S> {
    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.mask
            .wrapping_add(1)
            .wrapping_sub(self.tail.wrapping_sub(self.head))
    }

    /// Writes an entry into the next slot and returns the tail behind it.
    ///
    /// # Safety
    ///
    /// At least one slot is free, and the ring that the slots belong to lives.
    #[inline]
    pub(super) unsafe fn write(&self, sqe: Sqe) -> u32 {
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(self.base, self.tail & self.mask, S::SHIFT) };
        // SAFETY: the slot is free, so neither the kernel nor anyone else reads or writes it, and
        // it has the size that `S` says.
        unsafe { S::write(slot, sqe) };
        self.tail.wrapping_add(1)
    }

    /// Writes a large entry into the next slot, or two, and returns the tail behind it; `None` if
    /// there is no room.
    ///
    /// # Safety
    ///
    /// The ring that the slots belong to lives.
    pub(super) unsafe fn write_large(&self, sqe: LargeSqe) -> Option<u32>
    where
        S: HasLargeSqe,
    {
        let mut slots = *self;
        // An entry of two slots must not wrap around: the last slot is filled with a NOP that
        // completes silently.
        let index = slots.tail & slots.mask;
        let wraps = index + S::LARGE_SLOTS > slots.mask + 1;
        if slots.free() < S::LARGE_SLOTS + u32::from(wraps) {
            return None;
        }
        if wraps {
            let mut filler = Sqe::of(&Nop);
            filler.insert_flags(SqeFlags::CQE_SKIP_SUCCESS);
            // SAFETY: a slot is free, and the ring lives.
            slots.tail = unsafe { slots.write(filler) };
        }
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(slots.base, slots.tail & slots.mask, S::SHIFT) };
        // SAFETY: the slot and, where an entry takes two, the one behind it are free and adjoin.
        unsafe { slot.cast::<LargeSqe>().write(sqe) };
        Some(slots.tail.wrapping_add(S::LARGE_SLOTS))
    }
}
