//! Who waits for the operations in slots.

use std::mem::{ManuallyDrop, replace};
use std::ptr;
use std::task::{RawWakerVTable, Waker};

use super::backlog::Queue;
use super::places::SlotId;
use super::shared_waker::SharedWaker;
use super::slot::State;
use super::store::Store;

/// A waker that is put away. Whoever takes it makes it one again, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    vtable: &'static RawWakerVTable,
    data: *const (),
}

impl Waiting {
    #[inline]
    pub(super) fn new(waker: Waker) -> Self {
        let waker = ManuallyDrop::new(waker);
        Self {
            vtable: waker.vtable(),
            data: waker.data(),
        }
    }

    /// Whether it would wake the same as another.
    #[inline]
    pub(super) fn is(&self, waker: &Waker) -> bool {
        ptr::eq(self.vtable, waker.vtable()) && self.data == waker.data()
    }

    /// # Safety
    ///
    /// It has been taken out of where it was put, and this is the only copy that is made a waker.
    #[inline]
    pub(super) unsafe fn into_waker(self) -> Waker {
        // SAFETY: both came from a waker that was not dropped.
        unsafe { Waker::new(self.data, self.vtable) }
    }
}

impl Store {
    /// The state of a slot, and the waker that it may share. There must be such a slot.
    #[inline]
    pub(super) fn awaited(&mut self, id: SlotId) -> (&mut State, &mut SharedWaker) {
        (self.table.state(id), &mut self.shared_waker)
    }

    /// Whether this waker is the one that a slot has.
    #[inline]
    pub(super) fn has_waker(&mut self, id: SlotId, waker: &Waker) -> bool {
        let (state, shared_waker) = self.awaited(id);
        match state {
            State::Shared { .. } => shared_waker.is(waker),
            State::Awaited { waker: had, .. }
            | State::Streaming {
                waker: Some(had), ..
            } => had.is(waker),
            _ => false,
        }
    }

    /// Gives a slot another waker, and returns the one that it had; or this one, as an error, if its
    /// operation has ended, or has brought something.
    #[inline]
    pub(super) fn set_waker(&mut self, id: SlotId, new: Waker) -> Result<Option<Waker>, Waker> {
        let (state, shared_waker) = self.awaited(id);
        if let State::InFlight { note } = *state {
            *state = if shared_waker.is_free() {
                shared_waker.begin(new);
                State::Shared { note }
            } else {
                let waker = Waiting::new(new);
                State::Awaited { note, waker }
            };
            return Ok(None);
        }
        self.replace_waker(id, new)
    }

    /// The same, of a slot that may have one.
    #[cold]
    #[inline(never)]
    fn replace_waker(&mut self, id: SlotId, new: Waker) -> Result<Option<Waker>, Waker> {
        let (state, shared_waker) = self.awaited(id);
        let old = match state {
            State::Shared { note } => {
                let waker = Waiting::new(new);
                *state = State::Awaited { note: *note, waker };
                return Ok(shared_waker.leave(1));
            }
            State::Awaited { waker, .. } => Some(replace(waker, Waiting::new(new))),
            State::Streaming { waker, items, .. } if *items == Queue::new() => {
                waker.replace(Waiting::new(new))
            }
            _ => return Err(new),
        };
        // SAFETY: it was taken out of its slot.
        Ok(old.map(|old| unsafe { old.into_waker() }))
    }
}
