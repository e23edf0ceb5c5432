//! What is found when an operation is looked for in its slot.

use std::cell::UnsafeCell;

use crate::completion::Completion;

/// An operation that was taken out of its slot.
#[derive(Debug)]
pub(super) struct Taken<O> {
    /// In a cell, so that no value of its bytes can stand for there being none: they would be looked at.
    operation: UnsafeCell<O>,
    pub(super) done: Completion,
}

impl<O> Taken<O> {
    #[inline]
    pub(super) fn new(operation: O, done: Completion) -> Self {
        Self {
            operation: UnsafeCell::new(operation),
            done,
        }
    }

    #[inline]
    pub(super) fn operation(self) -> O {
        self.operation.into_inner()
    }
}

/// What a task finds that waits for an operation.
#[derive(Debug)]
pub(super) enum Polled<O> {
    /// It has ended, and was taken out of its slot.
    Ended(O, Completion),
    /// It goes on, and will wake the task.
    Waits,
    /// It goes on, and wakes nobody.
    NeedsWaker,
    /// It takes a closer look.
    Unclear,
}
