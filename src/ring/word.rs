//! The words that a ring shares with the kernel.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Ring;
use crate::params::SetupFlags;
use crate::sys;

/// A 32-bit word of memory that is shared with the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(*const AtomicU32);

impl Word {
    /// # Safety
    ///
    /// The word is aligned, lies in memory shared with the kernel that stays mapped as long as this
    /// value is used, and is used atomically alone.
    pub(crate) unsafe fn new(word: *mut u32) -> Self {
        Self(word.cast())
    }

    #[inline]
    pub(crate) fn load(self, ordering: Ordering) -> u32 {
        // SAFETY: `new` was promised that the word stays mapped, and both sides use it atomically.
        unsafe { &*self.0 }.load(ordering)
    }

    #[inline]
    pub(crate) fn store(self, value: u32, ordering: Ordering) {
        // SAFETY: as for `load`.
        unsafe { &*self.0 }.store(value, ordering);
    }

    /// Adds to a word that nobody else writes, neither the kernel nor another thread.
    #[inline]
    pub(crate) fn add(self, value: u32, ordering: Ordering) {
        self.store(self.load(Ordering::Relaxed).wrapping_add(value), ordering);
    }
}

/// Whether the submission queue's flags say that the kernel has more: what did not fit, or what it
/// puts off until it is entered.
#[inline]
pub(crate) fn is_held_up(sq_flags: Word) -> bool {
    const MORE: u32 = sys::IORING_SQ_CQ_OVERFLOW | sys::IORING_SQ_TASKRUN;
    sq_flags.load(Ordering::Relaxed) & MORE != 0
}

impl Ring {
    /// The completion queue's flags, which kernels before 5.8 do not have.
    pub(crate) fn cq_flags(&self) -> Option<Word> {
        let word = self.raw().cq.kflags;
        // SAFETY: as for the other words.
        (!word.is_null()).then(|| unsafe { Word::new(word) })
    }

    /// Whether the kernel's thread has said that it sleeps.
    pub(crate) fn thread_sleeps(&self) -> bool {
        self.sq_flags().load(Ordering::Relaxed) & sys::IORING_SQ_NEED_WAKEUP != 0
    }

    /// The flag that wakes the kernel's thread, if the ring has one that sleeps and there is
    /// something to submit. The tail was published before, with a fence in between.
    pub(crate) fn wake_up(&self) -> u32 {
        let sleeps = self.flags().contains(SetupFlags::SQPOLL)
            && self.sq_head().load(Ordering::Relaxed) != self.sq_tail().load(Ordering::Relaxed)
            && self.thread_sleeps();
        if sleeps {
            sys::IORING_ENTER_SQ_WAKEUP
        } else {
            0
        }
    }
}

/// The words that the ring shares with the kernel.
macro_rules! words {
    ($($name:ident: $queue:ident.$word:ident;)+) => {
        impl Ring {
            $(
                #[inline]
                pub(crate) fn $name(&self) -> Word {
                    // SAFETY: liburing found the word in the ring's mapping, which lasts as long as
                    // the ring; the queues that keep the value also keep the ring.
                    unsafe { Word::new(self.raw().$queue.$word) }
                }
            )+
        }
    };
}

words! {
    sq_head: sq.khead;
    sq_tail: sq.ktail;
    sq_flags: sq.kflags;
    sq_dropped: sq.kdropped;
    cq_head: cq.khead;
    cq_tail: cq.ktail;
    cq_overflow: cq.koverflow;
}
