//! An operation of a scope, in its slot.

use std::io;

use super::members::Membership;
use super::operation::Operation;
use super::stream::Multishot;
use crate::completion::Completion;
use crate::entry::Sqe;

/// An operation of a scope.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what is in the slots of a scope")]
pub struct Scoped<'scope, O> {
    // The operation first: it is gone before its scope may end.
    operation: O,
    membership: Membership<'scope>,
}

impl<'scope, O> Scoped<'scope, O> {
    pub(super) fn new(operation: O, membership: Membership<'scope>) -> Self {
        Self {
            operation,
            membership,
        }
    }

    /// The operation, which the scope is not concerned with any longer.
    pub(super) fn into_operation(self) -> O {
        self.operation
    }
}

// SAFETY: it is the operation's own entry and output. What the operation borrows outlives the scope,
// which does not end as long as this is in its slot.
unsafe impl<O: Operation> Operation for Scoped<'_, O> {
    type Output = O::Output;

    const CANCELLED_WHEN_ABANDONED: bool = O::CANCELLED_WHEN_ABANDONED;

    #[inline]
    fn entry(&mut self) -> Sqe {
        self.operation.entry()
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> O::Output {
        let Self {
            operation,
            membership,
        } = self;
        // SAFETY: the caller's promise.
        let output = unsafe { operation.complete(done) };
        drop(membership);
        output
    }

    unsafe fn abandon(self, done: Completion) {
        let Self {
            operation,
            membership,
        } = self;
        // SAFETY: the caller's promise.
        unsafe { operation.abandon(done) };
        drop(membership);
    }
}

// SAFETY: as above, and the items are the operation's own.
unsafe impl<O: Multishot> Multishot for Scoped<'_, O> {
    type Item = O::Item;

    fn entry(&mut self) -> Sqe {
        self.operation.entry()
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<O::Item>> {
        // SAFETY: the caller's promise.
        unsafe { self.operation.item(done) }
    }
}
