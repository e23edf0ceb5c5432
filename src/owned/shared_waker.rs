//! A waker that operations have in common.

use std::mem::{ManuallyDrop, replace};
use std::task::Waker;

use super::due::Slots;

/// The waker of a task that waits for one operation or for many, each of which counts here instead of
/// having a clone of its own.
///
/// There is one for a ring: tasks that wait while another has it leave their wakers in the slots.
#[derive(Debug)]
pub(super) struct SharedWaker {
    /// One that does nothing if there are no users. Otherwise leaked with the operations, as are those in
    /// their slots.
    waker: ManuallyDrop<Waker>,
    /// How many operations in flight it waits for, and how often it is lent.
    users: u32,
    /// How many of those operations have ended in the pass that is going on.
    noted: u32,
}

impl SharedWaker {
    pub(super) fn new() -> Self {
        Self {
            waker: no_waker(),
            users: 0,
            noted: 0,
        }
    }

    /// Whether it would wake the same as another.
    #[inline]
    pub(super) fn is(&self, other: &Waker) -> bool {
        self.waker.will_wake(other)
    }

    /// Whether no operation has it.
    pub(super) fn is_free(&self) -> bool {
        self.users == 0
    }

    /// Makes this waker that of one operation. It was free.
    pub(super) fn begin(&mut self, waker: Waker) {
        debug_assert!(self.is_free(), "another task waits");
        self.waker = ManuallyDrop::new(waker);
        self.users = 1;
    }

    /// Counts one operation more.
    #[inline]
    pub(super) fn join(&mut self) {
        self.users += 1;
    }

    /// Counts so many fewer, and gives the waker up if none is left.
    pub(super) fn leave(&mut self, users: u32) -> Option<Waker> {
        self.users -= users;
        if self.is_free() {
            let waker = replace(&mut self.waker, no_waker());
            return Some(ManuallyDrop::into_inner(waker));
        }
        None
    }

    /// Notes that one of its operations has ended.
    pub(super) fn note_end(&mut self) {
        self.noted += 1;
    }

    /// What wakes the task if so many of its operations have ended, or others that were noted.
    #[inline]
    pub(super) fn wake_up(&mut self, ended: u32) -> Option<WakeUp> {
        let ended = ended + self.noted;
        (ended > 0).then(|| self.wake_up_for(ended))
    }

    fn wake_up_for(&mut self, ended: u32) -> WakeUp {
        self.noted = 0;
        if let Some(waker) = self.leave(ended) {
            return WakeUp {
                waker: ManuallyDrop::new(waker),
                is_lent: false,
            };
        }
        self.users += 1;
        // SAFETY: the data is what came with the vtable. The copy is only woken by reference, and before
        // it is given back the waker itself is not given up.
        let copy = unsafe { Waker::new(self.waker.data(), self.waker.vtable()) };
        WakeUp {
            waker: ManuallyDrop::new(copy),
            is_lent: true,
        }
    }
}

fn no_waker() -> ManuallyDrop<Waker> {
    ManuallyDrop::new(Waker::noop().clone())
}

/// A task that is to be woken.
#[derive(Debug)]
pub(super) struct WakeUp {
    waker: ManuallyDrop<Waker>,
    /// Whether the waker is still the ring's, which has operations for it.
    is_lent: bool,
}

impl WakeUp {
    /// Wakes the task. This calls foreign code, so nobody may have the ring.
    pub(super) fn wake(self, slots: &mut impl Slots) {
        /// Gives the waker back, even if it panics.
        struct Lent<'a, S: Slots>(&'a mut S);
        impl<S: Slots> Drop for Lent<'_, S> {
            fn drop(&mut self) {
                drop(self.0.leave_shared_waker());
            }
        }

        if self.is_lent {
            let _lent = Lent(slots);
            self.waker.wake_by_ref();
        } else {
            ManuallyDrop::into_inner(self.waker).wake();
        }
    }
}
