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
    /// On a ring of mixed entries, where the chain begins whose last link is the last entry, if it
    /// is one.
    pub(super) chain: Option<u32>,
    pub(super) _size: PhantomData<fn() -> S>,
}

impl<S: SqeSize> Slots<S> {
    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.mask
            .wrapping_add(1)
            .wrapping_sub(self.tail.wrapping_sub(self.head))
    }

    /// Takes over what another value, which began as a copy of this one, has written.
    #[inline]
    pub(super) fn take_over(&mut self, other: &Self) {
        self.tail = other.tail;
        if S::MIXED {
            self.chain = other.chain;
        }
    }

    /// Writes an entry into the next slot.
    ///
    /// # Safety
    ///
    /// At least one slot is free, and the ring that the slots belong to lives.
    #[inline]
    pub(super) unsafe fn write(&mut self, sqe: Sqe) {
        self.follow_chain(sqe.flags());
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(self.base, self.tail & self.mask, S::SHIFT) };
        // SAFETY: the slot is free, so neither the kernel nor anyone else reads or writes it, and
        // it has the size that `S` says.
        unsafe { S::write(slot, sqe) };
        self.tail = self.tail.wrapping_add(1);
    }

    /// Notes where the chain begins that the next entry is a link of.
    #[inline]
    fn follow_chain(&mut self, flags: SqeFlags) {
        if S::MIXED {
            let links = flags.intersects(SqeFlags::IO_LINK | SqeFlags::IO_HARDLINK);
            self.chain = links.then(|| self.chain.unwrap_or(self.tail));
        }
    }

    /// Writes a large entry into the next slot, or two, and returns whether there was room.
    ///
    /// Entries from `unseen` on have not been shown to the kernel.
    ///
    /// # Safety
    ///
    /// The ring that the slots belong to lives.
    pub(super) unsafe fn write_large(&mut self, sqe: LargeSqe, unseen: u32) -> bool
    where
        S: HasLargeSqe,
    {
        // An entry of two slots must not wrap around: one slot before it is filled.
        let index = self.tail & self.mask;
        let wraps = index + S::LARGE_SLOTS > self.mask + 1;
        if self.free() < S::LARGE_SLOTS + u32::from(wraps) {
            return false;
        }
        if wraps {
            // SAFETY: a slot is free, and the ring lives.
            unsafe { self.fill_one(unseen) };
        }
        self.follow_chain(sqe.entry.flags());
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(self.base, self.tail & self.mask, S::SHIFT) };
        // SAFETY: the slot and, where an entry takes two, the one behind it are free and adjoin.
        unsafe { slot.cast::<LargeSqe>().write(sqe) };
        self.tail = self.tail.wrapping_add(S::LARGE_SLOTS);
        true
    }

    /// Fills the last slot of the array with a NOP that completes silently.
    ///
    /// In the middle of a chain it would end the chain, or fail with it and then not be silent. So
    /// the chain, which lies before the array's end and has not been shown to the kernel, moves up
    /// by a slot, and the filler goes before it.
    ///
    /// # Safety
    ///
    /// The next slot to write is the array's last and is free, and the ring that the slots belong
    /// to lives.
    unsafe fn fill_one(&mut self, unseen: u32) {
        let chain = self.chain.take().map_or(0, |start| {
            let links = self.tail.wrapping_sub(start);
            links.min(self.tail.wrapping_sub(unseen))
        });
        let last = self.tail & self.mask;
        // SAFETY: a chain is shorter than the queue and ends at its last slot, so it begins after
        // the first.
        let first = unsafe { slot(self.base, last - chain, S::SHIFT) };
        // SAFETY: the slots of the chain and the one behind it are in the array.
        let second = unsafe { slot(first, 1, S::SHIFT) };
        // SAFETY: as above; where an entry can wrap, slots have the size of `Sqe`. The kernel has not
        // been shown these, and nobody else writes slots.
        unsafe { second.copy_from(first, chain as usize) };
        let mut filler = Sqe::of(&Nop);
        filler.insert_flags(SqeFlags::CQE_SKIP_SUCCESS);
        // SAFETY: what was in this slot has moved up.
        unsafe { S::write(first, filler) };
        self.tail = self.tail.wrapping_add(1);
        self.chain = (chain > 0).then(|| self.tail.wrapping_sub(chain));
    }
}
