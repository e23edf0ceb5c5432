//! An allocator that never uses large blocks again: freed, they are filled with a pattern, and whoever
//! writes to them is found out, the kernel too, which no sanitizer sees.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// From how many bytes on blocks are kept. They begin at a page.
pub(crate) const LARGE: usize = 32 << 10;
const PAGE: usize = 4096;
const PATTERN: u8 = 0xa5;
const MOST: usize = 1 << 14;

pub(crate) struct Quarantine;

static FREED: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];
static SIZES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

fn kept(layout: Layout) -> Option<Layout> {
    (layout.size() >= LARGE).then(|| layout.align_to(PAGE).expect("pages"))
}

// SAFETY: the system's allocator does it all, with a larger alignment for large blocks; those are not
// given back to it.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(kept(layout).unwrap_or(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if kept(layout).is_none() {
            // SAFETY: it came from there, with this layout.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: the block is the caller's, who gives it up.
        unsafe { block.write_bytes(PATTERN, layout.size()) };
        let place = COUNT.fetch_add(1, Ordering::Relaxed);
        assert!(place < MOST, "too many large blocks were freed");
        SIZES[place].store(layout.size(), Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        FREED[place].store(block, Ordering::Release);
    }
}

/// How many bytes of freed blocks are kept in memory.
pub(crate) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// Gives the memory of the blocks that were freed back to the system, which are not looked at any
/// longer. Their addresses are not used again.
pub(crate) fn retire() {
    for place in 0..freed() {
        let block = FREED[place].swap(ptr::null_mut(), Ordering::AcqRel);
        let bytes = SIZES[place].load(Ordering::Relaxed) / PAGE * PAGE;
        if block.is_null() || bytes == 0 {
            continue;
        }
        BYTES.fetch_sub(SIZES[place].load(Ordering::Relaxed), Ordering::Relaxed);
        // SAFETY: whole pages of a block that was freed and is nobody's.
        unsafe { libc::madvise(block.cast(), bytes, libc::MADV_DONTNEED) };
    }
}

/// How many large blocks were freed.
pub(crate) fn freed() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// How many pages of freed blocks were written to.
pub(crate) fn pages_written() -> usize {
    (0..freed())
        .map(|place| {
            let block = FREED[place].load(Ordering::Acquire);
            if block.is_null() {
                return 0;
            }
            // SAFETY: the block was freed and is nobody's, but for whom the test looks for.
            let bytes =
                unsafe { slice::from_raw_parts(block, SIZES[place].load(Ordering::Relaxed)) };
            let written = |page: &&[u8]| **page != [PATTERN; PAGE][..page.len()];
            bytes.chunks(PAGE).filter(written).count()
        })
        .sum()
}
