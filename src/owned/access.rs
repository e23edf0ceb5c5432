//! How tickets refer to their ring.

use std::rc::Rc;

use super::core::{Core, Foreign};
use super::ring::Ring;
use crate::kind::Threads;

/// A reference to a ring: `&Ring` or `Rc<Ring>`.
pub trait RingRef: Access + Unpin {}

impl RingRef for &Ring {}
impl RingRef for Rc<Ring> {}

/// A way to a ring that is shared: by reference, or by counted pointer.
///
/// # Safety
///
/// `with` never runs within another `with` of the same ring, nor at the same time on another thread,
/// provided that what it calls does not call foreign code.
#[expect(
    unnameable_types,
    reason = "so that nobody else implements or calls it"
)]
pub unsafe trait Access {
    type Threads: Threads;

    /// Calls a function that has the ring for itself. It must not call foreign code.
    fn with<R>(&self, function: impl FnOnce(&mut Core<Self::Threads>) -> R) -> R;

    /// Takes completions until there are no more, and wakes whoever waits for them.
    #[inline]
    fn reap(&self) {
        while let Some(foreign) = self.with(Core::reap) {
            self.run(foreign);
        }
    }

    #[cold]
    fn run(&self, foreign: Foreign) {
        if let Some(index) = foreign.run() {
            self.with(|core| core.free(index));
        }
    }
}
