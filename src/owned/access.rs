//! How tickets refer to their ring.

use std::rc::Rc;

use super::core::Core;
use super::due::Due;
use super::ring::Ring;
use crate::kind::Threads;

/// A reference to a ring.
pub trait RingRef: Access + Unpin {}

/// A reference to a ring whose thread can wait for it: `&Ring` or `Rc<Ring>`.
pub trait WaitableRef: RingRef {}

impl RingRef for &Ring {}
impl WaitableRef for &Ring {}
impl RingRef for Rc<Ring> {}
impl WaitableRef for Rc<Ring> {}

/// What it takes to have a ring for oneself: being part of this layer. Whoever has a type that is a
/// [`RingRef`] can call all methods of `Access`.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "its purpose")]
pub struct Key(());

pub(super) const KEY: Key = Key(());

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
    #[doc(hidden)]
    fn with<R>(&self, key: Key, function: impl FnOnce(&mut Core<Self::Threads>) -> R) -> R;

    /// Takes completions until there are no more, and wakes whoever waits for them.
    #[doc(hidden)]
    fn reap(&self) {
        let mut due = Due::new();
        loop {
            self.with(KEY, |core| core.reap(&mut due));
            if due.is_empty() {
                return;
            }
            if let Some(index) = due.take_again() {
                self.with(KEY, |core| core.cancel(index));
            }
            if let Some(index) = due.run() {
                self.with(KEY, |core| core.free(index));
                self.freed();
            }
        }
    }

    /// Is told that a slot has become free.
    #[doc(hidden)]
    #[inline]
    fn freed(&self) {}

    /// Hands what was pushed to the kernel, if nobody else would do so soon.
    #[doc(hidden)]
    #[inline]
    fn flush(&self) {}
}
