//! How tickets refer to their ring.

use std::rc::Rc;
use std::task::Waker;

use super::core::Core;
use super::due::{Due, Retry, Slots};
use super::places::SlotId;
use super::ring::Ring;
use crate::completion::Completion;
use crate::error::SubmitError;
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

    /// Takes the completions that have come, and wakes whoever waits for them.
    #[doc(hidden)]
    fn reap(&self) {
        let mut due = Due::new();
        loop {
            let more = self.with(KEY, |core| {
                core.reap(&mut due);
                core.has_overflowed()
            });
            if due.is_empty() {
                if more {
                    continue;
                }
                return;
            }
            let more = more || due.is_full();
            due.finish(&mut Shared(self));
            // Foreign code was called, which may have forked. A child has no queues.
            if !more || !self.with(KEY, |core| core.is_own()) {
                return;
            }
        }
    }

    /// Hands what was pushed to the kernel, waits for a completion, and takes what has ended.
    #[doc(hidden)]
    #[inline]
    fn wait_for_one(&self) -> Result<(), SubmitError> {
        let submitted = self.with(KEY, |core| core.sq.submit_and_wait(1));
        self.reap();
        submitted.map(drop)
    }

    /// Is told that a slot has become free.
    #[doc(hidden)]
    #[inline]
    fn freed(&self) {}

    /// Hands what was pushed to the kernel, if nobody else would do so soon.
    #[doc(hidden)]
    #[inline]
    fn submit_now(&self) {}

    /// The same, and takes what has ended.
    #[doc(hidden)]
    #[inline]
    fn flush(&self) {}
}

/// The slots of a ring that is not borrowed.
pub(super) struct Shared<'a, A: Access + ?Sized>(pub(super) &'a A);

impl<A: Access + ?Sized> Slots for Shared<'_, A> {
    fn cancel_again(&mut self, retry: Retry) {
        self.0.with(KEY, |core| core.cancel_again(retry));
        self.0.submit_now();
    }

    fn next_item(&mut self, id: SlotId) -> Option<Completion> {
        self.0.with(KEY, |core| core.store.next_item(id))
    }

    fn leave_shared_waker(&mut self) -> Option<Waker> {
        self.0.with(KEY, |core| core.store.shared_waker.leave(1))
    }

    fn free(&mut self, id: SlotId) {
        self.0.with(KEY, |core| core.free(id));
        self.0.freed();
    }
}
