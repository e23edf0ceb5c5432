//! Room for slots, at addresses that stay the same.

use std::alloc::{self, Layout};
use std::fmt;
use std::ptr::NonNull;

/// A slot, by how far it is from the first of its places, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotId(u32);

impl SlotId {
    /// The first, which never holds an operation.
    pub(super) const NONE: Self = Self(0);

    /// One that no places have.
    pub(super) const NOWHERE: Self = Self(u32::MAX);
}

impl From<SlotId> for u64 {
    #[inline]
    fn from(slot: SlotId) -> Self {
        slot.0.into()
    }
}

/// Places for the slots of a ring, made once. What a slot owns is not dropped with them.
pub(super) struct Places<S> {
    /// The first is [`SlotId::NONE`]. Not a box, which would claim that nobody else uses what is in it.
    slots: NonNull<S>,
    /// How far the last one's end is from the beginning, in bytes.
    end: u32,
}

impl<S> Places<S> {
    /// How far a slot is from the next, in bytes.
    const STRIDE: u32 = {
        let size = size_of::<S>();
        assert!(0 < size && size <= u32::MAX as usize / 2);
        #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
        let stride = size as u32;
        stride
    };

    /// So many slots for operations, or as many as 32 bits can name.
    pub(super) fn new(len: u32, slot: impl Fn() -> S) -> Self {
        let len = len.min(u32::MAX / Self::STRIDE - 1);
        let end = (len + 1) * Self::STRIDE;
        let layout = Self::layout(end);
        // SAFETY: a slot has a size, and there is at least one.
        let memory = unsafe { alloc::alloc(layout) };
        let Some(memory) = NonNull::new(memory) else {
            alloc::handle_alloc_error(layout)
        };
        let places = Self {
            slots: memory.cast(),
            end,
        };
        for id in (0..end).step_by(Self::STRIDE as usize).map(SlotId) {
            // SAFETY: it is one of these.
            let place = unsafe { places.slot(id) };
            // SAFETY: the memory is the places' own and aligned for a slot.
            unsafe { place.write(slot()) };
        }
        places
    }

    fn layout(end: u32) -> Layout {
        let slots = end / Self::STRIDE;
        Layout::array::<S>(slots as usize).expect("slots that fit into memory")
    }

    /// How many there are for operations.
    pub(super) fn len(&self) -> u32 {
        self.end / Self::STRIDE - 1
    }

    /// Those for operations.
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = SlotId> + use<S> {
        Self::from_offset(Self::STRIDE, self.end)
    }

    /// Those for operations from a number on.
    pub(super) fn ids_from(&self, number: u64) -> impl Iterator<Item = SlotId> + use<S> {
        let offset = u32::try_from(number).ok();
        let offset = offset.and_then(|offset| offset.checked_next_multiple_of(Self::STRIDE));
        Self::from_offset(offset.unwrap_or(self.end).max(Self::STRIDE), self.end)
    }

    fn from_offset(offset: u32, end: u32) -> impl DoubleEndedIterator<Item = SlotId> + use<S> {
        (offset..end).step_by(Self::STRIDE as usize).map(SlotId)
    }

    /// The slot that an entry was pushed for, if its number is that of one.
    #[inline]
    pub(super) fn id(&self, number: u64) -> Option<SlotId> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is below a number of 32 bits"
        )]
        (number < self.end.into()).then_some(SlotId(number as u32))
    }

    /// Where the first one is, and how far the last one's end is from there, in bytes.
    #[inline]
    pub(super) fn bounds(&self) -> (NonNull<S>, u32) {
        (self.slots, self.end)
    }

    /// Whether one of these for operations has this name, which may be one of others.
    pub(super) fn have(&self, SlotId(offset): SlotId) -> bool {
        SlotId(offset) != SlotId::NONE && offset < self.end && offset.is_multiple_of(Self::STRIDE)
    }

    /// Where a slot is.
    ///
    /// # Safety
    ///
    /// It is one of these.
    #[inline]
    pub(super) unsafe fn slot(&self, SlotId(offset): SlotId) -> NonNull<S> {
        debug_assert!(offset < self.end && offset.is_multiple_of(Self::STRIDE));
        // SAFETY: the caller's promise.
        unsafe { self.slots.byte_add(offset as usize) }
    }
}

impl<S> Drop for Places<S> {
    fn drop(&mut self) {
        // SAFETY: the memory came from this allocator, with this layout.
        unsafe { alloc::dealloc(self.slots.as_ptr().cast(), Self::layout(self.end)) };
    }
}

impl<S> fmt::Debug for Places<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
