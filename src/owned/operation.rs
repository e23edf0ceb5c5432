//! What an operation of the owned layer is.

use crate::completion::Completion;
use crate::entry::Sqe;

/// An operation that owns all that the kernel uses for it: buffers, descriptors, addresses, paths.
///
/// A ring moves it into a slot of its own, asks it there for its entry, and keeps it until the
/// kernel is done with it. Then it becomes its [`Output`](Self::Output).
///
/// # Safety
///
/// Implementors promise:
///
/// * What the entry of [`entry`](Self::entry) points to stays valid until the value is moved,
///   dropped or given to [`complete`](Self::complete), whatever anybody else does meanwhile. So it
///   owns its memory and keeps its descriptors open; it may point into itself.
/// * Nothing but the kernel writes to memory that the entry has the kernel write to, or reads it,
///   and nothing writes to memory that the entry has the kernel read.
/// * The operation completes once, or, if its entry is that of a zero-copy send, a second time with
///   the notification.
pub unsafe trait Operation: Sized {
    /// What comes of it: a result, and what was owned for it.
    type Output;

    /// Whether the kernel is asked to stop it when nobody waits for its output any longer.
    ///
    /// True for most: what nobody waits for should not go on waiting. Not for those that are wanted
    /// for their effect, like closing.
    const CANCELLED_WHEN_ABANDONED: bool = true;

    /// The entry. The value stays where it is from here on.
    fn entry(&mut self) -> Sqe;

    /// Makes the output of the operation and of how it ended.
    ///
    /// # Safety
    ///
    /// The completion is the operation's own, as the ring passes it on: the last for the entry that
    /// [`entry`](Self::entry) made of this value. What it says of buffers and descriptors is taken for
    /// true.
    unsafe fn complete(self, done: Completion) -> Self::Output;

    /// Disposes of the operation and of what came of it, when nobody wants it any longer.
    ///
    /// Dropping the output is enough if all that it holds is owned: descriptors close themselves.
    ///
    /// # Safety
    ///
    /// As for [`complete`](Self::complete).
    unsafe fn abandon(self, done: Completion) {
        // SAFETY: the caller's promise.
        drop(unsafe { self.complete(done) });
    }
}
