//! All the slots of a ring whose operations are of one type.

use std::mem::{MaybeUninit, replace};

use crate::completion::Completion;
use crate::owned::groups::{Groups, group_of};
use crate::owned::operation::Operation;
use crate::owned::places::{Places, SlotId};
use crate::owned::store::{RARE, told};

/// Names an operation in flight, to cancel it. Afterwards it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    id: SlotId,
    generation: u32,
}

impl Token {
    /// The number that the operation's entry was pushed with.
    pub(super) fn number(self) -> u64 {
        self.id.into()
    }
}

/// In place of a free slot's next: the slot is not free.
const TAKEN: SlotId = SlotId::NOWHERE;

/// A slot, at an address that stays the same.
struct Slot<O> {
    operation: MaybeUninit<O>,
    /// Of a free one the next that is free, or [`SlotId::NONE`]; otherwise [`TAKEN`].
    next: SlotId,
    /// How often it has been free before, counted in 32 bits.
    generation: u32,
    /// The result of a zero-copy send, whose notification is still to come; or the group that the
    /// operation takes its buffer from.
    note: i32,
}

/// The slots, made once.
///
/// Its functions take the slots that it has given or found, and no other table's.
pub(super) struct Table<O> {
    places: Places<Slot<O>>,
    /// The first free slot, or none.
    free: SlotId,
    in_flight: u32,
}

// SAFETY: the slots are the table's own, and so are the operations in them.
unsafe impl<O: Send> Send for Table<O> {}

impl<O: Operation> Table<O> {
    /// So many slots, or as many as can be named.
    pub(super) fn new(len: u32) -> Self {
        let mut table = Self {
            places: Places::new(len, || Slot {
                operation: MaybeUninit::uninit(),
                next: SlotId::NONE,
                generation: 0,
                note: 0,
            }),
            free: SlotId::NONE,
            in_flight: 0,
        };
        // The one that was freed last is taken first.
        for id in table.places.ids().rev() {
            table.free(id);
        }
        table
    }

    /// How many slots there are for operations.
    pub(super) fn len(&self) -> u32 {
        self.places.len()
    }

    /// How many operations were pushed and not taken.
    #[inline]
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The slot that an entry was pushed for, if its number is that of one.
    #[inline]
    pub(super) fn id(&self, number: u64) -> Option<SlotId> {
        self.places.id(number)
    }

    /// The first slot from a number on that has an operation which was pushed.
    pub(super) fn next_taken(&self, from: u64) -> Option<SlotId> {
        self.places.ids_from(from).find(|&id| self.is_taken(id))
    }

    /// Whether there is an operation that a token names. The token may be another table's.
    pub(super) fn holds(&mut self, Token { id, generation }: Token) -> bool {
        self.places.have(id) && self.is_taken(id) && *self.generation(id) == generation
    }

    /// A free slot, which goes on to be free.
    #[inline]
    pub(super) fn vacant(&self) -> Option<SlotId> {
        (self.free != SlotId::NONE).then_some(self.free)
    }

    /// Where a slot has its operation.
    #[inline]
    pub(super) fn operation(&self, id: SlotId) -> *mut O {
        // SAFETY: within the slot.
        unsafe { &raw mut (*self.slot(id)).operation }.cast()
    }

    /// Notes that the operation in the slot that is [`vacant`](Self::vacant) was pushed.
    #[inline]
    pub(super) fn occupy(&mut self, id: SlotId, note: i32) -> Token {
        if note != 0 {
            *self.note(id) = note;
        }
        self.free = replace(self.next(id), TAKEN);
        self.in_flight += 1;
        Token {
            id,
            generation: *self.generation(id),
        }
    }

    /// Takes the operation out of a slot, which is free then.
    ///
    /// # Safety
    ///
    /// The slot holds one, which the kernel does not use any longer.
    #[inline]
    pub(super) unsafe fn take(&mut self, id: SlotId) -> (Token, O) {
        // SAFETY: the caller's promise.
        let operation = unsafe { self.operation(id).read() };
        let generation = self.generation(id);
        let token = Token {
            id,
            generation: *generation,
        };
        *generation = generation.wrapping_add(1);
        self.free(id);
        self.in_flight -= 1;
        (token, operation)
    }

    /// What has ended with a completion, if it is the last of an operation.
    #[inline]
    pub(super) fn settle(
        &mut self,
        done: Completion,
        groups: &mut Groups,
    ) -> Option<(Token, O, Completion)> {
        let id = self.id(done.user_data)?;
        let mut told = told(done.res, done.flags, 0);
        if done.flags & RARE != 0 {
            told = self.tell(done, id, groups)?;
        }
        // SAFETY: a number below the end is that of an operation that was pushed, and this is its last
        // completion.
        let (token, operation) = unsafe { self.take(id) };
        Some((token, operation, told))
    }

    /// What an operation is told that completes twice, or that has got a buffer, when it has ended.
    #[cold]
    #[inline(never)]
    fn tell(&mut self, done: Completion, id: SlotId, groups: &mut Groups) -> Option<Completion> {
        let note = *self.note(id);
        let offset = groups.offset(group_of(note), &done);
        if done.more() {
            *self.note(id) = done.res;
            return None;
        }
        let result = if done.is_notification() {
            note
        } else {
            done.res
        };
        Some(told(result, done.flags, offset))
    }

    /// Whether a slot has an operation that was pushed.
    fn is_taken(&self, id: SlotId) -> bool {
        // SAFETY: the field is the table's, which is borrowed; the kernel uses no more of the slot than
        // the operation.
        unsafe { (*self.slot(id)).next == TAKEN }
    }

    /// Makes a slot free.
    #[inline]
    fn free(&mut self, id: SlotId) {
        *self.next(id) = self.free;
        self.free = id;
    }

    #[inline]
    fn slot(&self, id: SlotId) -> *mut Slot<O> {
        // SAFETY: it is one of the table's, as all its functions ask for.
        unsafe { self.places.slot(id) }.as_ptr()
    }

    #[inline]
    fn next(&mut self, id: SlotId) -> &mut SlotId {
        // SAFETY: as for `is_taken`, with a borrow that excludes others.
        unsafe { &mut (*self.slot(id)).next }
    }

    #[inline]
    fn generation(&mut self, id: SlotId) -> &mut u32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(id)).generation }
    }

    #[inline]
    fn note(&mut self, id: SlotId) -> &mut i32 {
        // SAFETY: as above.
        unsafe { &mut (*self.slot(id)).note }
    }
}
