//! A slot that an operation in flight is kept in.

use std::mem::{MaybeUninit, offset_of};
use std::ptr::NonNull;

use super::backlog::Queue;
use super::operation::Operation;
use super::places::SlotId;
use super::stopping::Asked;
use super::store::{RARE, told};
use super::stream::Multishot;
use super::waiting::Waiting;
use crate::completion::Completion;

/// How many bytes an operation may have to be kept in its slot. A larger one is boxed.
const INLINE: usize = 48;

/// Room for an operation, or for the box that it is in.
#[repr(C, align(8))]
struct Payload(MaybeUninit<[u8; INLINE]>);

/// What disposes of an operation that nobody waits for: it is told where it is kept, and how it
/// ended. Nothing, if somebody has taken its last item.
pub(super) type Dispose = unsafe fn(Kept, Option<Completion>);

/// Among the flags of an operation that has ended: it is noted where its bytes begin in the buffer that
/// it has got from a group. The kernel's own flag of this value, should there be one, is not told to who
/// takes its output.
pub(super) const WITHIN: u32 = 1 << 14;

/// Who has a slot, and what is known of its operation.
///
/// The kernel has it from the push to the last completion, a ticket until its output has been taken
/// or it is dropped. A slot is free again when neither has it.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// The kernel does not have it. If a ticket does, the operation has ended so.
    Ended {
        result: i32,
        flags: u32,
        /// Where its bytes begin in the buffer that it has got from a group, if there is [`WITHIN`].
        offset: MaybeUninit<u32>,
    },
    /// The kernel and the ticket have it, and nobody is to be woken.
    InFlight {
        /// The result of a zero-copy send, whose notification is still to come; or the group that its
        /// buffer comes from.
        note: i32,
    },
    /// The same, when the task of the ring's shared waker is to be woken.
    Shared { note: i32 },
    /// The same, when another task is.
    Awaited { note: i32, waker: Waiting },
    /// The kernel has it.
    Abandoned {
        asked: Option<Asked>,
        note: i32,
        dispose: Dispose,
    },
    /// The kernel and the stream have it.
    Streaming {
        /// The group that its buffers come from.
        group: u16,
        items: Queue,
        waker: Option<Waiting>,
    },
    /// The kernel has it, and nobody waits for its items.
    Deserted {
        group: u16,
        asked: Option<Asked>,
        items: Queue,
        dispose: Dispose,
    },
    /// The kernel does not have it, and it brings no more items than these.
    Dry { items: Queue },
    /// It stands for all slots that somebody has given up, and never holds an operation.
    Spent,
}

impl State {
    /// Whether the kernel has the operation.
    pub(super) fn is_kernels(&self) -> bool {
        match self {
            Self::InFlight { .. }
            | Self::Shared { .. }
            | Self::Awaited { .. }
            | Self::Abandoned { .. }
            | Self::Streaming { .. }
            | Self::Deserted { .. } => true,
            Self::Ended { .. } | Self::Dry { .. } | Self::Spent => false,
        }
    }

    /// What is noted of an operation with one result that the kernel has.
    pub(super) fn note(&mut self) -> Option<&mut i32> {
        match self {
            Self::InFlight { note }
            | Self::Shared { note }
            | Self::Awaited { note, .. }
            | Self::Abandoned { note, .. } => Some(note),
            _ => None,
        }
    }

    /// How often the kernel was asked to stop it, if nobody waits for it and it is to be stopped.
    pub(super) fn asked(&mut self) -> Option<&mut Asked> {
        match self {
            Self::Abandoned { asked, .. } | Self::Deserted { asked, .. } => asked.as_mut(),
            _ => None,
        }
    }

    /// That of an operation that has ended so, with none of the [`RARE`](super::store::RARE) flags.
    #[inline]
    pub(super) fn ended_simply(result: i32, flags: u32) -> Self {
        Self::Ended {
            result,
            flags,
            offset: MaybeUninit::uninit(),
        }
    }

    /// That of an operation that has ended so, whose bytes begin there in the buffer that it has got
    /// from a group, if it has.
    pub(super) fn ended_within(result: i32, flags: u32, offset: u32) -> Self {
        Self::Ended {
            result,
            flags: flags | WITHIN,
            offset: MaybeUninit::new(offset),
        }
    }

    /// How an operation with one result has ended, if it has.
    #[inline]
    pub(super) fn ended(&self) -> Option<Completion> {
        let Self::Ended {
            result,
            flags,
            offset,
        } = *self
        else {
            return None;
        };
        let offset = if flags & WITHIN == 0 {
            0
        } else {
            // SAFETY: `ended_within` wrote it, which alone sets this flag.
            unsafe { offset.assume_init() }
        };
        Some(told(result, flags & !WITHIN, offset))
    }
}

/// A slot. Its address stays the same as long as its table lives.
///
/// In a free one there is the number of the next.
pub(super) struct Slot {
    pub(super) state: State,
    payload: Payload,
}

impl Slot {
    /// One that holds nothing.
    pub(super) fn new() -> Self {
        Self {
            state: State::Spent,
            payload: Payload(MaybeUninit::uninit()),
        }
    }
}

const _: () = assert!(size_of::<Slot>() <= 72);

const _: () = assert!(size_of::<State>() <= 24);

// What the kernel says in its place is not taken for ours.
const _: () = assert!(RARE & WITHIN == WITHIN);

/// Where an operation is kept: in a slot, at an address that does not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept(NonNull<u8>);

impl Kept {
    #[inline]
    pub(super) fn of(slot: NonNull<Slot>) -> Self {
        // SAFETY: within the slot.
        Self(unsafe { slot.byte_add(offset_of!(Slot, payload)) }.cast())
    }

    /// Notes which slot is the next that is free.
    ///
    /// # Safety
    ///
    /// The slot holds no operation.
    #[inline]
    pub(super) unsafe fn put_next(self, next: SlotId) {
        // SAFETY: the payload has room for a number, and alignment.
        unsafe { self.0.cast::<SlotId>().write(next) };
    }

    /// The next slot that is free.
    ///
    /// # Safety
    ///
    /// The slot is free.
    #[inline]
    pub(super) unsafe fn next(self) -> SlotId {
        // SAFETY: it was put there when the slot became free.
        unsafe { self.0.cast::<SlotId>().read() }
    }

    /// Whether an operation of this type is kept in the slot itself.
    const fn is_inline<O>() -> bool {
        size_of::<O>() <= INLINE && align_of::<O>() <= align_of::<Payload>()
    }

    /// Moves an operation in.
    ///
    /// # Safety
    ///
    /// The slot is taken, holds no operation, and nobody else uses it.
    #[inline]
    pub(super) unsafe fn put<O>(self, operation: O) {
        if Self::is_inline::<O>() {
            // SAFETY: the payload has the room and the alignment, and holds nothing.
            unsafe { self.0.cast::<O>().write(operation) };
        } else {
            let boxed = Box::into_raw(Box::new(operation));
            // SAFETY: as above, for a pointer.
            unsafe { self.0.cast::<*mut O>().write(boxed) };
        }
    }

    /// Where the operation itself is.
    ///
    /// # Safety
    ///
    /// The slot holds an operation of this type.
    #[inline]
    pub(super) unsafe fn operation<O>(self) -> NonNull<O> {
        if Self::is_inline::<O>() {
            return self.0.cast();
        }
        // SAFETY: a boxed operation's slot holds the pointer that came from the box.
        let boxed = unsafe { self.0.cast::<*mut O>().read() };
        // SAFETY: a box is never null.
        unsafe { NonNull::new_unchecked(boxed) }
    }

    /// Moves the operation out.
    ///
    /// # Safety
    ///
    /// The slot holds an operation of this type, which is not taken out again, and which the kernel
    /// does not use.
    #[inline]
    pub(super) unsafe fn take<O>(self) -> O {
        // SAFETY: the caller's promise.
        let operation = unsafe { self.operation::<O>() };
        if Self::is_inline::<O>() {
            // SAFETY: the slot holds it, and gives it up.
            unsafe { operation.read() }
        } else {
            // SAFETY: the pointer came from such a box, and is not used again.
            *unsafe { Box::from_raw(operation.as_ptr()) }
        }
    }
}

/// Disposes of an operation of this type; see [`Dispose`].
///
/// # Safety
///
/// As for [`Kept::take`]; the completion is the operation's last.
pub(super) unsafe fn dispose<O: Operation>(kept: Kept, done: Option<Completion>) {
    // SAFETY: the caller's promise.
    let operation: O = unsafe { kept.take() };
    if let Some(done) = done {
        // SAFETY: as above.
        unsafe { operation.abandon(done) };
    }
}

/// Disposes of an item of such an operation, or of the operation with the last one, or without one;
/// see [`Dispose`].
///
/// # Safety
///
/// The slot holds an operation of this type, which nobody else uses, and whose completion this is.
/// After the last one it is not taken out again, and the kernel does not use it.
pub(super) unsafe fn dispose_item<O: Multishot>(kept: Kept, done: Option<Completion>) {
    if let Some(done) = done.filter(Completion::more) {
        // SAFETY: the slot holds it.
        let operation = unsafe { kept.operation::<O>() };
        // SAFETY: nobody else uses it but the kernel, which at most reads it.
        let operation = unsafe { operation.as_ref() };
        // SAFETY: the completion is the operation's.
        drop(unsafe { operation.item(done) });
        return;
    }
    // SAFETY: the caller's promise.
    let operation: O = unsafe { kept.take() };
    if let Some(done) = done {
        // SAFETY: as above.
        drop(unsafe { operation.item(done) });
    }
}
