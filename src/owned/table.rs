//! All the slots of a ring.

use std::ptr::NonNull;

use super::places::{Places, SlotId};
use super::slot::{Kept, Slot, State};

/// All the slots of a ring, made once.
///
/// Its functions take the slots that it has given or found, and no other table's.
#[derive(Debug)]
pub(super) struct Table {
    places: Places<Slot>,
    /// The first free slot, or none.
    free: SlotId,
}

// SAFETY: the slots are the table's own. What operations are in them is the business of whoever puts
// them there: a ring for one thread stays on it, one for many takes only those that can be sent.
unsafe impl Send for Table {}

impl Table {
    /// So many slots, all free.
    pub(super) fn new(len: u32) -> Self {
        let mut table = Self {
            places: Places::new(len, Slot::new),
            free: SlotId::NONE,
        };
        // The one that was freed last is taken first.
        for id in table.places.ids().rev() {
            table.free(id);
        }
        table
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> u32 {
        self.places.len()
    }

    /// The first slot with this number or a higher one whose operation the kernel has.
    pub(super) fn next_kernels(&self, number: u64) -> Option<SlotId> {
        let mut ids = self.places.ids_from(number);
        ids.find(|&id| self.is_kernels(id))
    }

    /// Whether the kernel has the operation in a slot.
    fn is_kernels(&self, id: SlotId) -> bool {
        // SAFETY: there is such a slot, and its state is the table's, which is borrowed.
        unsafe { &(*self.slot(id).as_ptr()).state }.is_kernels()
    }

    /// The slot that an entry was pushed for, if its number is that of one.
    #[inline]
    pub(super) fn id(&self, number: u64) -> Option<SlotId> {
        self.places.id(number)
    }

    /// The states of all slots, while the table is not used otherwise.
    #[inline]
    pub(super) fn states(&mut self) -> States {
        let (slots, end) = self.places.bounds();
        States {
            slots,
            end: end.into(),
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
        let ids = self.places.ids().filter(|&id| self.is_kernels(id));
        u32::try_from(ids.count()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn slot(&self, id: SlotId) -> NonNull<Slot> {
        // SAFETY: it is one of the table's, as all its functions ask for.
        unsafe { self.places.slot(id) }
    }

    /// A slot's state.
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
