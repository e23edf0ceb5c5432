//! The slots of a submission queue, in the memory that it shares with the kernel.

use std::sync::atomic::Ordering;

use crate::entry::{LargeSqe, Sqe, SqeFlags};
use crate::error::QueueFull;
use crate::kind::{HasLargeSqe, SqeSize};
use crate::operation::{Nop, Operation};
use crate::ring::{Run, Word};

/// The array of slots that entries are written to.
///
/// From the head to the tail they are occupied, by entries that the kernel may not have read yet.
/// Nothing here is shared with the kernel but the slots' memory: that the occupied ones become
/// visible is the queue's business.
///
/// What is free is filled run by run, so that a push has one comparison to make: a run ends at the
/// array's end, or where the head was when the run was begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots<S: SqeSize> {
    /// The slots to write, from the tail on.
    run: Run<S>,
    /// The first slot that the kernel has not read, as far as we have looked.
    head: u32,
    /// On a ring of mixed entries, where the chain begins whose last link is the last entry, if it
    /// is one.
    chain: Option<u32>,
}

impl Sqe {
    /// The entry of an operation, as a push writes it.
    #[inline]
    pub(crate) fn with_user_data<O: Operation>(operation: &O, user_data: u64) -> Self {
        let mut sqe = Self::of(operation);
        sqe.set_user_data(user_data);
        sqe
    }
}

impl<S: SqeSize> Slots<S> {
    pub(super) fn new(base: *mut Sqe, mask: u32, head: u32, tail: u32) -> Self {
        let mut slots = Self {
            run: Run::new(base.cast(), mask),
            head,
            chain: None,
        };
        slots.set_tail(tail);
        slots
    }

    /// Goes on in another array, whose entries have kept their places in the counting.
    pub(super) fn relocate(&mut self, base: *mut Sqe, mask: u32, head: u32) {
        let tail = self.tail();
        (self.run, self.head) = (Run::new(base.cast(), mask), head);
        self.set_tail(tail);
    }

    #[inline]
    pub(super) fn capacity(&self) -> u32 {
        self.run.capacity()
    }

    /// The first slot that the kernel has not read, as far as we have looked.
    #[inline]
    pub(super) fn head(&self) -> u32 {
        self.head
    }

    #[inline]
    pub(super) fn set_head(&mut self, head: u32) {
        self.head = head;
    }

    /// Notes that the kernel has read this many entries more.
    #[inline]
    pub(super) fn add_to_head(&mut self, taken: u32) {
        self.head = self.head.wrapping_add(taken);
    }

    /// The next slot to write, counted.
    #[inline]
    pub(super) fn tail(&self) -> u32 {
        self.run.position()
    }

    /// Begins a run at this slot.
    pub(super) fn set_tail(&mut self, tail: u32) {
        let occupied = tail.wrapping_sub(self.head);
        self.run.begin(tail, self.capacity().wrapping_sub(occupied));
    }

    /// Sees to it that the run is not over.
    #[inline]
    pub(super) fn make_room(&mut self, ring_head: Word) -> Result<(), QueueFull> {
        if self.run.is_over() && !self.begin_run(ring_head, 1) {
            return Err(QueueFull);
        }
        Ok(())
    }

    /// Begins a run at the tail, and returns whether it has room for `most` entries.
    #[cold]
    pub(super) fn begin_run(&mut self, ring_head: Word, most: u32) -> bool {
        // Acquire: the slots are written again only after the kernel's thread has read them.
        self.head = ring_head.load(Ordering::Acquire);
        self.set_tail(self.tail());
        most <= self.left_in_run()
    }

    /// How many slots the run has left.
    #[inline]
    pub(super) fn left_in_run(&self) -> u32 {
        self.run.left()
    }

    /// How many entries the kernel has not read, as far as we have looked.
    #[inline]
    pub(super) fn occupied(&self) -> u32 {
        self.tail().wrapping_sub(self.head)
    }

    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.capacity().wrapping_sub(self.occupied())
    }

    /// Writes an entry into the next slot.
    ///
    /// # Safety
    ///
    /// The run is not over, and the ring that the slots belong to lives.
    #[inline]
    pub(super) unsafe fn write(&mut self, sqe: Sqe) {
        self.follow_chain(sqe.flags());
        // SAFETY: the slot lies in the run, so it is free: neither the kernel nor anyone else reads
        // or writes it. It has the size that `S` says.
        unsafe { S::write(self.run.next(), sqe) };
        self.run.advance(1);
    }

    /// Writes entries into the next slots, or, if the iterator panics, none.
    ///
    /// # Safety
    ///
    /// The run has room for all of them, the ring that the slots belong to lives, and its entries
    /// have one size.
    #[inline]
    pub(super) unsafe fn write_all(&mut self, entries: impl Iterator<Item = Sqe>) {
        let mut run = self.run;
        entries.for_each(|sqe| {
            // SAFETY: as for `write`.
            unsafe { S::write(run.next(), sqe) };
            run.advance(1);
        });
        self.run.go_to(run);
    }

    /// Notes where the chain begins that the next entry is a link of.
    #[inline]
    fn follow_chain(&mut self, flags: SqeFlags) {
        if S::MIXED {
            let links = flags.intersects(SqeFlags::IO_LINK | SqeFlags::IO_HARDLINK);
            self.chain = links.then(|| self.chain.unwrap_or(self.tail()));
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
        let mask = self.capacity() - 1;
        let wraps = S::LARGE_SLOTS > 1 && self.tail() & mask == mask;
        if self.free() < S::LARGE_SLOTS + u32::from(wraps) {
            return false;
        }
        if wraps {
            // SAFETY: a slot is free, and the ring lives.
            unsafe { self.fill_one(unseen) };
        }
        self.follow_chain(sqe.entry.flags());
        let tail = self.tail();
        // SAFETY: the slot and, where an entry takes two, the one behind it are free and adjoin.
        unsafe { self.run.at::<LargeSqe>(tail).write(sqe) };
        self.set_tail(tail.wrapping_add(S::LARGE_SLOTS));
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
        let tail = self.tail();
        let chain = self.chain.take().map_or(0, |start| {
            let links = tail.wrapping_sub(start);
            links.min(tail.wrapping_sub(unseen))
        });
        // A chain is shorter than the queue and ends at its last slot, so it begins after the first.
        let start = tail.wrapping_sub(chain);
        let first = self.run.at(start);
        // SAFETY: the slots of the chain and the one behind it are in the array; where an entry can
        // wrap, slots have the size of `Sqe`. The kernel has not been shown these, and nobody else
        // writes slots.
        unsafe {
            self.run
                .at::<Sqe>(start.wrapping_add(1))
                .copy_from(first, chain as usize);
        };
        let mut filler = Sqe::of(&Nop);
        filler.insert_flags(SqeFlags::CQE_SKIP_SUCCESS);
        // SAFETY: what was in this slot has moved up.
        unsafe { S::write(first, filler) };
        let tail = tail.wrapping_add(1);
        self.set_tail(tail);
        self.chain = (chain > 0).then(|| tail.wrapping_sub(chain));
    }

    /// The entry of a position.
    ///
    /// # Safety
    ///
    /// An entry was written there, the kernel has not been shown it, and the ring lives.
    pub(super) unsafe fn entry(&mut self, position: u32) -> &mut Sqe {
        // SAFETY: the slot is in the array and holds an entry, which nobody else uses.
        unsafe { &mut *self.run.at::<Sqe>(position) }
    }

    /// Moves the entries from the one with this number on to the front, as a ring that rewinds has
    /// its kernel find them.
    pub(super) fn rewind(&mut self, taken: u32) {
        let left = self.tail() - taken;
        // SAFETY: both stretches are in the array.
        unsafe {
            self.run
                .at::<u8>(0)
                .copy_from(self.run.at(taken), (left as usize) << S::SHIFT);
        };
        self.set_tail(left);
    }
}
