//! What a ring leaves to be done once nobody has it for themselves.

#![expect(
    clippy::inline_always,
    reason = "what is left to do belongs into the pass over the completions"
)]

use std::mem::{ManuallyDrop, MaybeUninit};
use std::task::Waker;

use super::drain::NOBODY;
use super::places::SlotId;
use super::shared_waker::{SharedWaker, WakeUp};
use super::slot::{Dispose, Kept};
use super::waiting::Waiting;
use crate::completion::Completion;

/// How many wakers are called in one go.
const WAKERS: usize = 64;

/// An operation that has ended and that nobody waits for.
#[derive(Debug)]
pub(super) struct Orphan {
    id: SlotId,
    kept: Kept,
    dispose: Dispose,
    /// How it has ended. One with several completions has them in its slot.
    done: Option<Completion>,
}

impl Orphan {
    /// # Safety
    ///
    /// The slot holds an operation of the type that the function was made for, whose last completion
    /// has been taken, and nobody else has it.
    pub(super) unsafe fn new(
        id: SlotId,
        kept: Kept,
        dispose: Dispose,
        done: Option<Completion>,
    ) -> Self {
        Self {
            id,
            kept,
            dispose,
            done,
        }
    }

    /// Disposes of the operation and of all that it has brought, with its own code, and gives its slot
    /// back.
    pub(super) fn dispose(self, slots: &mut impl Slots) {
        /// Gives the slot back, even if the operation's code panics.
        struct Emptied<'a, S: Slots>(&'a mut S, SlotId);
        impl<S: Slots> Drop for Emptied<'_, S> {
            fn drop(&mut self) {
                self.0.free(self.1);
            }
        }

        let mut done = self.done;
        loop {
            let one = done.take().or_else(|| slots.next_item(self.id));
            if one.as_ref().is_some_and(Completion::more) {
                // SAFETY: `new` was promised that it is there, and nobody's.
                unsafe { (self.dispose)(self.kept, one) };
            } else {
                let _emptied = Emptied(slots, self.id);
                // SAFETY: as above; and this is done once.
                unsafe { (self.dispose)(self.kept, one) };
                return;
            }
        }
    }
}

/// When the operation in a slot, which the kernel was asked to stop, is to be cancelled once more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retry {
    Now(SlotId),
    /// After some time: until then it may have begun to wait.
    Later(SlotId),
}

/// What is left to be done is done to these.
pub(super) trait Slots {
    /// Asks the kernel once more to stop an operation.
    fn cancel_again(&mut self, retry: Retry);

    /// Takes what the operation in a slot has brought next.
    fn next_item(&mut self, id: SlotId) -> Option<Completion>;

    /// Takes back the shared waker, and gives it up if no operation has it any longer.
    fn leave_shared_waker(&mut self) -> Option<Waker>;

    /// Gives a slot back that the operation has left.
    fn free(&mut self, id: SlotId);
}

/// What ends a pass over the completions, since there is room for one.
#[derive(Debug)]
enum Last {
    Orphan(Orphan),
    CancelAgain(Retry),
}

impl Last {
    #[inline(never)]
    fn finish(self, slots: &mut impl Slots) {
        match self {
            Self::Orphan(orphan) => orphan.dispose(slots),
            Self::CancelAgain(retry) => slots.cancel_again(retry),
        }
    }
}

/// Wakers to be called, a task that shares one, and then an orphan to be disposed of or a slot to be
/// cancelled once more.
#[derive(Debug)]
pub(super) struct Due {
    wakers: [MaybeUninit<Waiting>; WAKERS],
    /// Those from the first up to the end are still to be woken.
    first: usize,
    end: usize,
    wake_up: Option<WakeUp>,
    last: Option<Last>,
}

impl Due {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            wakers: [const { MaybeUninit::uninit() }; WAKERS],
            first: 0,
            end: 0,
            wake_up: None,
            last: None,
        }
    }

    /// Adds a waker that was taken out of its slot, and says whether there is room for another.
    #[inline]
    pub(super) fn wake(&mut self, waker: Waiting) -> bool {
        debug_assert!(self.end < WAKERS, "there is no room");
        self.wakers[self.end % WAKERS] = MaybeUninit::new(waker);
        self.end += 1;
        self.end < WAKERS
    }

    /// Adds the task of the shared waker, of which so many operations have ended, and others that are
    /// noted there. A pass ends with this.
    #[inline]
    pub(super) fn wake_shared(&mut self, shared: &mut SharedWaker, ended: u32) {
        if let Some(wake_up) = shared.wake_up(ended) {
            self.wake_up = Some(wake_up);
        }
    }

    /// Adds an orphan. There is room for nothing more then.
    pub(super) fn dispose(&mut self, orphan: Orphan) {
        self.put_last(Last::Orphan(orphan));
    }

    /// Adds a slot whose operation is to be cancelled once more. There is room for nothing more then.
    pub(super) fn cancel_again(&mut self, retry: Retry) {
        self.put_last(Last::CancelAgain(retry));
    }

    fn put_last(&mut self, last: Last) {
        debug_assert!(self.last.is_none(), "a second one");
        self.last = Some(last);
    }

    /// Whether nothing is left to do.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0 && self.wake_up.is_none() && self.last.is_none()
    }

    /// Whether a pass has ended for want of room.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.end == WAKERS || self.last.is_some()
    }

    /// Takes the next waker that is to be called.
    #[inline]
    fn take_waker(&mut self) -> Option<Waker> {
        if self.first == self.end {
            (self.first, self.end) = (0, 0);
            return None;
        }
        // SAFETY: those up to the end were written.
        let waker = unsafe { self.wakers[self.first % WAKERS].assume_init() };
        self.first += 1;
        // SAFETY: it was taken out of its slot, and out of here.
        Some(unsafe { waker.into_waker() })
    }

    /// Does what is left to do, even if a part of it panics. This calls foreign code, so nobody may have
    /// the ring.
    #[inline(always)]
    pub(super) fn finish(&mut self, slots: &mut impl Slots) {
        /// Does the rest when it is dropped.
        struct Rest<'a, S: Slots>(&'a mut Due, &'a mut S);
        impl<S: Slots> Drop for Rest<'_, S> {
            #[cold]
            #[inline(never)]
            fn drop(&mut self) {
                if !self.0.is_empty() {
                    self.0.finish(self.1);
                }
            }
        }

        let rest = Rest(self, slots);
        rest.0.finish_part(rest.1);
        // Nothing is left for its destructor.
        let _finished = ManuallyDrop::new(rest);
    }

    #[inline(always)]
    fn finish_part(&mut self, slots: &mut impl Slots) {
        while let Some(waker) = self.take_waker() {
            waker.wake();
        }
        if let Some(wake_up) = self.wake_up.take() {
            wake_up.wake(slots);
        }
        if let Some(last) = self.last.take() {
            last.finish(slots);
        }
    }

    /// Notes that the kernel has never had the orphan.
    pub(super) fn mark_withdrawn(&mut self) {
        if let Some(Last::Orphan(Orphan {
            done: Some(done), ..
        })) = &mut self.last
        {
            done.user_data = NOBODY;
        }
    }
}
