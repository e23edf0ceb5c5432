//! What a ring leaves to be done once nobody has it for themselves.

use std::mem::MaybeUninit;

use super::slot::{Dispose, Kept, Waiting};
use crate::completion::Completion;

/// How many wakers are called in one go.
const WAKERS: usize = 16;

/// An operation that has ended and that nobody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    pub(super) index: u32,
    pub(super) kept: Kept,
    pub(super) dispose: Dispose,
    pub(super) done: Completion,
}

/// Wakers to be called, and an orphan to be disposed of.
///
/// Dropping it does it, so that a waker that panics keeps none from being woken.
#[derive(Debug)]
pub(super) struct Due {
    wakers: [MaybeUninit<Waiting>; WAKERS],
    /// Those from the first up to the end are still to be woken.
    first: usize,
    end: usize,
    orphan: Option<Orphan>,
    /// A slot whose operation the kernel is to be asked once more to stop.
    again: Option<u32>,
}

impl Due {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            wakers: [const { MaybeUninit::uninit() }; WAKERS],
            first: 0,
            end: 0,
            orphan: None,
            again: None,
        }
    }

    /// Adds a waker that was taken out of its slot, and says whether there is room for another.
    #[inline]
    pub(super) fn wake(&mut self, waker: Waiting) -> bool {
        self.wakers[self.end] = MaybeUninit::new(waker);
        self.end += 1;
        self.end < WAKERS
    }

    /// Adds an orphan. There is room for one.
    pub(super) fn dispose(&mut self, orphan: Orphan) {
        debug_assert!(self.orphan.is_none(), "a second orphan");
        self.orphan = Some(orphan);
    }

    /// Adds a slot whose operation is to be cancelled once more. There is room for one.
    pub(super) fn cancel_again(&mut self, index: u32) {
        debug_assert!(self.again.is_none(), "a second one");
        self.again = Some(index);
    }

    /// The slot whose operation is to be cancelled once more.
    #[inline]
    pub(super) fn take_again(&mut self) -> Option<u32> {
        self.again.take()
    }

    /// Whether nothing is left to do.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first == self.end && self.orphan.is_none() && self.again.is_none()
    }

    /// Does it, and returns the slot that is to be given back.
    pub(super) fn run(&mut self) -> Option<u32> {
        while self.first < self.end {
            // SAFETY: those up to the end were written.
            let waker = unsafe { self.wakers[self.first].assume_init() };
            self.first += 1;
            // SAFETY: it was taken out of its slot, and out of here.
            unsafe { waker.into_waker() }.wake();
        }
        (self.first, self.end) = (0, 0);
        let orphan = self.orphan.take()?;
        // SAFETY: the slot holds an operation of the type that this function was made for; its last
        // completion has been taken, and nobody uses it after this.
        unsafe { (orphan.dispose)(orphan.kept, orphan.done) };
        Some(orphan.index)
    }
}

impl Drop for Due {
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            // After a panic. An orphan's slot is lost.
            self.run();
        }
    }
}
