//! Who uses a place for a registered file.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicU32, spin_loop};

#[cfg(all(test, loom))]
mod loom_models;

/// How many handles a place has, and whether there may be a file in it.
pub(super) struct Uses(AtomicU32);

/// There may be a file.
const FILLED: u32 = 1 << 31;

/// How many handles there can be to a place.
const MOST: u32 = FILLED - 2;

/// There is a file that cannot be taken out.
const LOST: u32 = u32::MAX;

impl Uses {
    /// Of a place without handles and without a file.
    pub(super) fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether there are neither handles nor a file.
    #[cfg(all(test, loom))]
    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Makes the first handle, to an empty place, if there is none.
    pub(super) fn take(&self) -> bool {
        self.0
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Makes the first handle to a place that the kernel has picked and filled, if there is none.
    pub(super) fn take_picked(&self) -> bool {
        loop {
            match self
                .0
                .compare_exchange(0, 1 | FILLED, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                // Another thread is just leaving it, and the kernel was told before us.
                Err(FILLED) => spin_loop(),
                Err(_) => return false,
            }
        }
    }

    /// Notes that there may be a file.
    pub(super) fn fill(&self) {
        self.0.fetch_or(FILLED, Ordering::Relaxed);
    }

    /// Makes a further handle.
    pub(super) fn share(&self) {
        let one_more = |uses: u32| (uses & !FILLED < MOST).then(|| uses + 1);
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        assert!(counted.is_ok(), "too many handles");
    }

    /// Gives a handle up. The last one has the place emptied, if there may be a file and the ring is
    /// this process's. Returns whether the place can be taken anew.
    pub(super) fn leave(
        &self,
        is_own: impl FnOnce() -> bool,
        empty: impl FnOnce() -> bool,
    ) -> bool {
        // Acquire and release: what other handles did is over.
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        if before & !FILLED != 1 || !is_own() {
            return false;
        }
        if before & FILLED != 0 && !empty() {
            // What is there stays there, so the place is not used again.
            self.0.store(LOST, Ordering::Relaxed);
            return false;
        }
        self.0.store(0, Ordering::Release);
        true
    }
}
