//! A stretch of slots, one behind the other, in an array that positions wrap around in.

use std::marker::PhantomData;
use std::ptr;

use crate::kind::SlotSize;

/// Where one side of a queue stands in its array of slots, and how far it can go without looking.
///
/// A position counts slots from the ring's beginning, wrapping at 32 bits; its slot is the position
/// masked. What is next is kept as an address, so that going on takes one comparison and one
/// addition. A run ends at the array's end, or where the other side was when the run was begun.
///
/// `K` says how far two slots are apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<K: SlotSize> {
    next: *mut u8,
    end: *mut u8,
    /// The address that position 0 would have if the array did not wrap around.
    origin: u64,
    base: *mut u8,
    array_end: *mut u8,
    /// How far runs may reach: the array's end, or nowhere.
    limit: *mut u8,
    mask: u32,
    _size: PhantomData<fn() -> K>,
}

impl<K: SlotSize> Run<K> {
    /// A run of no slots at position 0 of an array of `mask + 1` slots.
    pub(crate) fn new(base: *mut u8, mask: u32) -> Self {
        let mut run = Self {
            next: base,
            end: base,
            origin: 0,
            base,
            array_end: base,
            limit: base,
            mask,
            _size: PhantomData,
        };
        run.array_end = run.slot(run.capacity());
        run.begin(0, 0);
        run
    }

    /// How many slots the array has.
    #[inline]
    pub(crate) fn capacity(&self) -> u32 {
        self.mask.wrapping_add(1)
    }

    /// Begins a run at a position, of `available` slots or up to the array's end.
    #[inline]
    pub(crate) fn begin(&mut self, position: u32, available: u32) {
        let index = position & self.mask;
        self.origin = (self.base.addr() as u64)
            .wrapping_sub(u64::from(position.wrapping_sub(index)) << K::SHIFT);
        self.next = self.slot(index);
        self.end = self.slot(index + available.min(self.capacity() - index));
        self.limit = self.array_end;
    }

    /// Has the run reach `available` slots from the next one on, if that is not beyond the array's
    /// end, and says whether it does.
    #[inline]
    pub(crate) fn reach(&mut self, available: u32) -> bool {
        let end = self
            .next
            .wrapping_byte_add((available as usize) << K::SHIFT);
        let fits = if usize::BITS >= 64 {
            end <= self.limit
        } else {
            // The end could have wrapped around.
            let room = self.limit.addr().checked_sub(self.next.addr());
            room.is_some_and(|room| available as usize <= room >> K::SHIFT)
        };
        if fits {
            self.end = end;
        }
        fits
    }

    /// Has [`reach`](Self::reach) refuse, until it is allowed again or a run is begun.
    #[inline]
    pub(crate) fn keep_from_reaching(&mut self) {
        self.limit = ptr::null_mut();
    }

    /// Lets runs reach as far as the array's end.
    #[inline]
    pub(crate) fn allow_reaching(&mut self) {
        self.limit = self.array_end;
    }

    /// The position of the next slot.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "positions wrap around at 32 bits"
    )]
    pub(crate) fn position(&self) -> u32 {
        ((self.next.addr() as u64).wrapping_sub(self.origin) >> K::SHIFT) as u32
    }

    /// Whether no slot is left.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.next == self.end
    }

    /// How many slots are left.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an array has 2^17 slots at the most"
    )]
    pub(crate) fn left(&self) -> u32 {
        (self.end.addr().wrapping_sub(self.next.addr()) >> K::SHIFT) as u32
    }

    /// The next slot, valid as long as the array is if the run is not over.
    #[inline]
    pub(crate) fn next<T>(&self) -> *mut T {
        self.next.cast()
    }

    /// Goes on by this many slots, no more than are left.
    #[inline]
    pub(crate) fn advance(&mut self, slots: u32) {
        self.next = self.next.wrapping_byte_add((slots as usize) << K::SHIFT);
    }

    /// Goes on to where a copy of the run is.
    #[inline]
    pub(crate) fn go_to(&mut self, copy: Self) {
        self.next = copy.next;
    }

    /// The slot of a position.
    #[inline]
    pub(crate) fn at<T>(&self, position: u32) -> *mut T {
        self.slot(position & self.mask).cast()
    }

    /// The slot with this index, or the array's end.
    #[inline]
    fn slot(&self, index: u32) -> *mut u8 {
        self.base.wrapping_byte_add((index as usize) << K::SHIFT)
    }
}
