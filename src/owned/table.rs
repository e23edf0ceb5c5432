//! All the slots of a ring.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use super::slot::{Kept, Slot, State};

/// A slot, by the place that it has in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotId(u32);

impl SlotId {
    /// None that holds an operation.
    pub(super) const NONE: Self = Self(0);

    /// How far it is from the table's beginning, in bytes.
    #[inline]
    fn offset(self) -> usize {
        self.0 as usize
    }
}

impl From<SlotId> for u64 {
    #[inline]
    fn from(slot: SlotId) -> Self {
        slot.0.into()
    }
}

/// All the slots of a ring, made once.
#[derive(Debug)]
pub(super) struct Table {
    /// The first is [`SlotId::NONE`].
    slots: NonNull<Slot>,
    /// How far the last one's end is from the beginning, in bytes.
    end: u32,
    /// The first free slot, or none.
    free: SlotId,
}

// SAFETY: the slots are the table's own. What operations are in them is the business of whoever puts
// them there: a ring for one thread stays on it, one for many takes only those that can be sent.
unsafe impl Send for Table {}

/// How far a slot is from the next, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "a slot is small")]
const STRIDE: u32 = size_of::<Slot>() as u32;

impl Table {
    /// So many slots, all free.
    pub(super) fn new(len: u32) -> Self {
        let end = len
            .checked_add(1)
            .and_then(|slots| slots.checked_mul(STRIDE));
        let end = end.expect("a table that fits into memory");
        let layout = Self::layout(end);
        // SAFETY: a slot has a size, and there is at least one.
        let memory = unsafe { alloc::alloc(layout) };
        let Some(memory) = NonNull::new(memory) else {
            alloc::handle_alloc_error(layout)
        };
        let mut table = Self {
            slots: memory.cast(),
            end,
            free: SlotId::NONE,
        };
        table.write(SlotId::NONE);
        // The one that was freed last is taken first.
        for id in table.ids(SlotId::NONE).rev() {
            table.write(id);
            table.free(id);
        }
        table
    }

    /// Makes a slot of memory.
    fn write(&mut self, id: SlotId) {
        // SAFETY: the memory is the table's own and aligned for a slot.
        unsafe { self.slot(id).write(Slot::new()) };
    }

    fn layout(end: u32) -> Layout {
        let slots = end / STRIDE;
        Layout::array::<Slot>(slots as usize).expect("a table that fits into memory")
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> u32 {
        self.end / STRIDE - 1
    }

    /// The slots that operations are kept in, from one on.
    fn ids(&self, from: SlotId) -> impl DoubleEndedIterator<Item = SlotId> + use<> {
        (from.0.max(STRIDE)..self.end)
            .step_by(STRIDE as usize)
            .map(SlotId)
    }

    /// The first slot with this number or a higher one whose operation the kernel has.
    pub(super) fn next_kernels(&self, number: u64) -> Option<SlotId> {
        let from = u32::try_from(number)
            .ok()?
            .checked_next_multiple_of(STRIDE)?;
        self.ids(SlotId(from)).find(|&id| self.is_kernels(id))
    }

    /// Whether the kernel has the operation in a slot.
    fn is_kernels(&self, id: SlotId) -> bool {
        // SAFETY: there is such a slot, and its state is the table's, which is borrowed.
        unsafe { &(*self.slot(id).as_ptr()).state }.is_kernels()
    }

    /// The slot that an entry was pushed for, if its number is that of one.
    #[inline]
    pub(super) fn id(&self, number: u64) -> Option<SlotId> {
        let number = u32::try_from(number).ok()?;
        (number < self.end).then_some(SlotId(number))
    }

    /// The states of all slots, while the table is not used otherwise.
    #[inline]
    pub(super) fn states(&mut self) -> States {
        States {
            slots: self.slots,
            end: self.end.into(),
        }
    }

    /// How many slots somebody has.
    pub(super) fn taken(&self) -> u32 {
        let mut free = 0;
        let mut id = self.free;
        while id != SlotId::NONE {
            free += 1;
            // SAFETY: the slot is free.
            id = unsafe { self.kept(id).next() };
        }
        self.len() - free
    }

    /// How many operations the kernel has.
    pub(super) fn kernels(&self) -> u32 {
        let ids = self.ids(SlotId::NONE).filter(|&id| self.is_kernels(id));
        u32::try_from(ids.count()).unwrap_or(u32::MAX)
    }

    /// A slot. There must be such a one.
    #[inline]
    fn slot(&self, id: SlotId) -> NonNull<Slot> {
        debug_assert!(id.0 < self.end && id.0.is_multiple_of(STRIDE));
        // SAFETY: callers in this module's parent see to it: numbers come from `take` or were compared
        // with the end.
        unsafe { self.slots.byte_add(id.offset()) }
    }

    /// A slot's state. There must be such a slot.
    #[inline]
    pub(super) fn state(&mut self, id: SlotId) -> &mut State {
        let slot = self.slot(id);
        // SAFETY: the state is the table's, which is borrowed mutably. The payload, which the kernel
        // may use, is not part of it.
        unsafe { &mut (*slot.as_ptr()).state }
    }

    /// Where a slot keeps its operation.
    #[inline]
    pub(super) fn kept(&self, id: SlotId) -> Kept {
        Kept::of(self.slot(id))
    }

    /// Takes a free slot.
    #[inline]
    pub(super) fn take(&mut self) -> Option<SlotId> {
        let id = self.free;
        if id == SlotId::NONE {
            return None;
        }
        // SAFETY: the slot is free.
        self.free = unsafe { self.kept(id).next() };
        Some(id)
    }

    /// Makes a slot free. Its operation has been taken out.
    #[inline]
    pub(super) fn free(&mut self, id: SlotId) {
        // SAFETY: the slot holds no operation any longer.
        unsafe { self.kept(id).put_next(self.free) };
        self.free = id;
    }
}

/// The states of a table's slots.
#[derive(Debug)]
pub(super) struct States {
    slots: NonNull<Slot>,
    end: u64,
}

impl States {
    /// The state of the slot that an entry was pushed for, if its number is that of one.
    ///
    /// # Safety
    ///
    /// The table lives, and no state of its is borrowed.
    #[inline]
    pub(super) unsafe fn of(&mut self, number: u64) -> Option<&mut State> {
        if number >= self.end {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the end has 32 bits")]
        let offset = number as usize;
        // SAFETY: there is such a slot, since a number below the end is that of an operation that was
        // pushed.
        let slot = unsafe { self.slots.byte_add(offset) };
        // SAFETY: the caller's promise. The payload is not part of it.
        Some(unsafe { &mut (*slot.as_ptr()).state })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // Operations and wakers of tickets that were forgotten are leaked with them.
        // SAFETY: the memory came from this allocator, with this layout.
        unsafe { alloc::dealloc(self.slots.as_ptr().cast(), Self::layout(self.end)) };
    }
}
