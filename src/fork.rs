//! Telling a process from the children that it forks.
//!
//! A process id does not: a child in a namespace of its own can have its parent's. A page that the
//! kernel wipes in every child does.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

mod kept;

pub(crate) use kept::{keep_from_children, release};

/// A mark of the process that asks for it. No other process has it, children included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// The word that is 0 in a new child. Never unmapped.
#[derive(Debug)]
struct WipedWord(NonNull<AtomicU64>);

// SAFETY: the word is atomic and stays mapped for ever.
unsafe impl Send for WipedWord {}
// SAFETY: as above.
unsafe impl Sync for WipedWord {}

/// Marks given in this process and those that it descends from, so that none is given twice.
static GIVEN: AtomicU64 = AtomicU64::new(0);

impl Mark {
    /// The mark of this process.
    pub(crate) fn of_this_process() -> Self {
        static WORD: OnceLock<Option<WipedWord>> = OnceLock::new();
        let Some(word) = WORD.get_or_init(WipedWord::map) else {
            // Without the page, ids are better than nothing.
            return Self(std::process::id().into());
        };
        // SAFETY: the word stays mapped for ever.
        let word = unsafe { word.0.as_ref() };
        let mark = word.load(Ordering::Acquire);
        if mark != 0 {
            return Self(mark);
        }
        let new = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
        match word.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Self(new),
            Err(others) => Self(others),
        }
    }
}

impl WipedWord {
    fn map() -> Option<Self> {
        const SIZE: usize = size_of::<AtomicU64>();
        // SAFETY: a new mapping, at an address of the kernel's choice, touches nothing.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the page was just mapped, and is nobody else's.
        if unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } != 0 {
            return None;
        }
        NonNull::new(page.cast()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_has_a_mark_of_its_own() {
        let mark = Mark::of_this_process();
        assert_eq!(Mark::of_this_process(), mark);
        // SAFETY: the child only compares numbers and exits.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
        if child == 0 {
            let other = Mark::of_this_process();
            let differs = other != mark && other == Mark::of_this_process();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!differs)) };
        }
        let mut status = -1;
        // SAFETY: waits for the child just made, into a value of the right type.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child took itself for its parent");
        assert_eq!(Mark::of_this_process(), mark);
    }
}
