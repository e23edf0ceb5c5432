//! No heap allocation per operation: counted.
//!
//! In a binary of its own because of the allocator, which is the whole process's.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsRawFd;

use lio_uring::operation::{Nop, Read, Write};
use lio_uring::{IoUring, QueueFull, SqeFlags, Wait};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn assert_allocates_nothing(what: &str, body: impl FnOnce()) {
    let before = ALLOCATIONS.get();
    body();
    let made = ALLOCATIONS.get() - before;
    assert_eq!(made, 0, "{what} allocated {made} times");
}

#[test]
fn counting_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn halves_allocate_nothing_per_operation() {
    let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    assert_allocates_nothing("10,000 operations", || {
        for i in 0..10_000 {
            // SAFETY: a NOP points to nothing.
            while unsafe { sq.push(&Nop, i) } == Err(QueueFull) {
                sq.submit().unwrap();
                while cq.try_next().unwrap().is_some() {}
            }
        }
        sq.submit_and_wait(1).unwrap();
        assert!(cq.completions().count() > 0);
        sq.submit_and_wait_with(&Wait::for_completions(0)).unwrap();
    });
}

#[test]
fn one_thread_ring_allocates_nothing_per_operation() {
    let mut ring = IoUring::new(8).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/zero")
        .unwrap();
    let mut buffer = [7u8; 64];
    assert_allocates_nothing("reading, writing and failing", || {
        for i in 0..1000 {
            let fd = file.as_raw_fd();
            let read = Read {
                fd,
                ptr: buffer.as_mut_ptr().cast(),
                len: 64,
                offset: 0,
            };
            let write = Write {
                fd,
                ptr: buffer.as_ptr().cast(),
                len: 64,
                offset: 0,
            };
            let failing = Read { fd: -1, ..read };
            let mut batch = ring.submission().reserve(3).unwrap();
            // SAFETY: the buffer is used by nothing else until all completions have been taken.
            unsafe { batch.push_with_flags(&write, i, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: as above.
            unsafe { batch.push(&read, i) }.unwrap();
            // SAFETY: as above; the descriptor is refused.
            unsafe { batch.push(&failing, i) }.unwrap();
            batch.submit_and_wait(3).unwrap();
            let failed = ring
                .completions()
                .filter(|completion| completion.result().is_err());
            assert_eq!(failed.count(), 1);
        }
    });
}
