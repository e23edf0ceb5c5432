//! Which buffers of a pool are free, for any number of threads and without a lock.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicU32, AtomicU64};

#[cfg(all(test, loom))]
mod loom_models;

/// No further buffer.
const NONE: u32 = u32::MAX;

/// A stack of numbers, each of which is in it at most once.
///
/// The top is a number and a count of changes in one word. Without the count a thread that is about
/// to pop could miss that the top was popped and pushed again meanwhile, with another number below.
pub(super) struct FreeList {
    /// The top's number in the lower half, the count in the upper.
    top: AtomicU64,
    /// For each number in the stack the one below it.
    below: Box<[AtomicU32]>,
}

fn pack(changes: u64, number: u32) -> u64 {
    changes << 32 | u64::from(number)
}

#[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
fn number(top: u64) -> u32 {
    top as u32
}

fn changed(top: u64) -> u64 {
    (top >> 32).wrapping_add(1)
}

impl FreeList {
    /// The numbers from 0 up to `count`, 0 on top.
    pub(super) fn full(count: u32) -> Self {
        let below = (1..=count).map(|next| if next < count { next } else { NONE });
        Self {
            top: AtomicU64::new(pack(0, if count > 0 { 0 } else { NONE })),
            below: below.map(AtomicU32::new).collect(),
        }
    }

    /// How many numbers there are.
    pub(super) fn capacity(&self) -> u32 {
        u32::try_from(self.below.len()).unwrap_or(u32::MAX)
    }

    /// Takes the number on top.
    pub(super) fn pop(&self) -> Option<u32> {
        // Acquire: what the one who pushed the number did with its buffer is over.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let below = self.below.get(number(top) as usize)?;
            let next = pack(changed(top), below.load(Ordering::Relaxed));
            match self
                .top
                .compare_exchange_weak(top, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(number(top)),
                Err(now) => top = now,
            }
        }
    }

    /// Puts a number that was popped on top.
    pub(super) fn push(&self, free: u32) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            self.below[free as usize].store(number(top), Ordering::Relaxed);
            let next = pack(changed(top), free);
            // Release: the buffer, and what lies below it, are as the one who pops finds them.
            match self
                .top
                .compare_exchange_weak(top, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }
}

impl fmt::Debug for FreeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeList")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
