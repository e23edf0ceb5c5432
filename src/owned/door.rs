//! The way into a ring for messages.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sync::AtomicU32;

/// How many messages can be on their way to a ring, or wait there to be taken.
pub(super) const LIMIT: u32 = 1 << 16;

/// A descriptor of a ring of this layer, which takes what is not a slot's for a message; and how many
/// messages it has got, or will get, that nobody has taken.
#[derive(Debug)]
pub(super) struct Door {
    ring: OwnedFd,
    untaken: AtomicU32,
}

impl Door {
    pub(super) fn new(ring: OwnedFd) -> Self {
        Self {
            ring,
            untaken: AtomicU32::new(0),
        }
    }

    /// Counts a message that is to be sent, if there is room for it.
    pub(super) fn enter(self: Arc<Self>) -> Option<Passage> {
        // Nothing else is read or written in the same order.
        let count = self
            .untaken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < LIMIT).then_some(count + 1)
            });
        count.ok().map(|_| Passage {
            door: self,
            passed: false,
        })
    }

    /// Notes that a message was taken, or not sent.
    pub(super) fn leave(&self) {
        // One that was not counted, sent otherwise, makes no room.
        let _ = self
            .untaken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_sub(1)
            });
    }
}

/// A message that is to be sent. Unless it is, it makes room for another.
#[derive(Debug)]
pub(super) struct Passage {
    door: Arc<Door>,
    passed: bool,
}

impl Passage {
    /// Notes that the message was sent.
    pub(super) fn pass(mut self) {
        self.passed = true;
    }
}

impl AsRawFd for Passage {
    fn as_raw_fd(&self) -> RawFd {
        self.door.ring.as_raw_fd()
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.passed {
            self.door.leave();
        }
    }
}
