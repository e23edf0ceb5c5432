//! How what stands for the operations of a scope is let go of.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

use lio_uring::owned::Ring;

/// How a ticket or a stream is let go of within a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Drop,
    Forget,
    Cycle,
    Keep,
    Unsubmitted,
    Panic,
}

pub(crate) const WAYS: [Way; 6] = [
    Way::Drop,
    Way::Forget,
    Way::Cycle,
    Way::Keep,
    Way::Unsubmitted,
    Way::Panic,
];

/// Something that is part of itself, and never dropped.
struct Cycle<T> {
    _value: T,
    me: RefCell<Option<Rc<Self>>>,
}

/// Lets go of what stands for an operation. What is kept goes into a cell of the closure's.
pub(crate) fn let_go<T>(way: Way, ring: &Ring, ticket: T, kept: &Cell<Option<T>>) {
    if !matches!(way, Way::Unsubmitted) {
        ring.submit().expect("a submission");
    }
    match way {
        Way::Drop => drop(ticket),
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        Way::Forget | Way::Unsubmitted => std::mem::forget(ticket),
        Way::Cycle => {
            let cycle = Rc::new(Cycle {
                _value: ticket,
                me: RefCell::new(None),
            });
            *cycle.me.borrow_mut() = Some(Rc::clone(&cycle));
        }
        Way::Keep => kept.set(Some(ticket)),
        Way::Panic => resume_unwind(Box::new("on purpose")),
    }
}
