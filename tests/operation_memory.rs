//! Announcing how a range of the program's memory will be used.

#![cfg(target_os = "linux")]

use std::ffi::c_void;
use std::io;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{Madvise, Madvise64, Nop, OpCode, Operation};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{results, run};

/// The size of a page on every machine, or a multiple of it.
const PAGE: usize = 64 << 10;
/// More than 32 bits can say.
const FAR: usize = 1 << 32;

/// Private memory of the program, which is zero where nothing has been written.
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    /// A mapping takes room only where it is written.
    #[track_caller]
    fn new(length: usize) -> Self {
        // SAFETY: the kernel chooses where the mapping goes.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self {
            start: start.cast(),
            length,
        }
    }

    fn at(&self, place: usize) -> *mut u8 {
        assert!(place < self.length);
        self.start.wrapping_add(place)
    }

    fn advise_at(&self, place: usize) -> *mut c_void {
        self.start.wrapping_add(place).cast()
    }

    fn write(&self, places: &[usize]) {
        for &place in places {
            // SAFETY: the byte is in the mapping, and nothing else uses it.
            unsafe { self.at(place).write(1) };
        }
    }

    /// Which places still hold what has been written there.
    fn kept<const N: usize>(&self, places: [usize; N]) -> [bool; N] {
        places.map(|place| {
            // SAFETY: the byte is in the mapping, and nothing else uses it.
            let byte = unsafe { self.at(place).read_volatile() };
            byte == 1
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing points into it any more.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

fn madvise(addr: *mut c_void, length: usize, advice: i32) -> Madvise {
    Madvise {
        addr,
        length: length.try_into().expect("a length of 32 bits"),
        advice,
    }
}

fn madvise64(addr: *mut c_void, length: usize, advice: i32) -> Madvise64 {
    Madvise64 {
        addr,
        length: length as u64,
        advice,
    }
}

/// Gives an advice, and returns the result.
#[track_caller]
fn advise<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    // SAFETY: the advices are about mappings of the tests, or nothing is mapped there.
    unsafe { run(cq, sq, operation, |_| ()) }.raw_result()
}

#[test]
fn madvise_drops_what_its_range_holds() {
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(4 * PAGE);
        let places = [0, PAGE, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE];
        mapping.write(&places);
        let advice = madvise(mapping.advise_at(PAGE), PAGE, libc::MADV_DONTNEED);
        assert_eq!(advise(cq, sq, &advice), 0);
        assert_eq!(mapping.kept(places), [true, false, false, true, true]);
        // Of the last page one byte is enough, and of nothing there is none.
        for (length, last) in [(0, true), (PAGE + 1, false)] {
            mapping.write(&places);
            let advice = madvise(mapping.advise_at(PAGE), length, libc::MADV_DONTNEED);
            assert_eq!(advise(cq, sq, &advice), 0);
            assert_eq!(mapping.kept(places), [true, last, last, last, true]);
        }
    });
}

#[test]
fn madvise_that_loses_nothing_leaves_what_is_there() {
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(2 * PAGE);
        mapping.write(&[0, PAGE]);
        for advice in [
            libc::MADV_NORMAL,
            libc::MADV_RANDOM,
            libc::MADV_SEQUENTIAL,
            libc::MADV_WILLNEED,
            libc::MADV_DONTFORK,
            libc::MADV_DOFORK,
            libc::MADV_DONTDUMP,
        ] {
            let operation = madvise(mapping.advise_at(0), 2 * PAGE, advice);
            let result = advise(cq, sq, &operation);
            assert_eq!(result, 0, "advice {advice}");
            assert_eq!(mapping.kept([0, PAGE]), [true, true]);
        }
    });
}

#[test]
fn madvise64_takes_a_length_beyond_32_bits() {
    // Lengths of 64 bits came with Linux 6.11, as BIND did.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(FAR + 4 * PAGE);
        let places = [0, PAGE, FAR - PAGE, FAR, FAR + PAGE, FAR + 2 * PAGE];
        // Cut to 32 bits, the length would be that of the first pages alone, or nothing.
        for (length, left) in [
            (FAR + PAGE, [false, false, false, false, true, true]),
            (FAR, [false, false, false, true, true, true]),
        ] {
            mapping.write(&places);
            let advice = madvise64(mapping.advise_at(0), length, libc::MADV_DONTNEED);
            assert_eq!(advise(cq, sq, &advice), 0);
            assert_eq!(mapping.kept(places), left);
        }
        mapping.write(&places);
        let advice = madvise64(mapping.advise_at(FAR), PAGE, libc::MADV_DONTNEED);
        assert_eq!(advise(cq, sq, &advice), 0);
        assert_eq!(mapping.kept(places), [true, true, true, false, true, true]);
    });
}

#[test]
fn madvise64_on_a_kernel_of_32_bits_gives_einval() {
    if needs::knows(OpCode::BIND) {
        return;
    }
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(PAGE);
        mapping.write(&[0]);
        let advice = madvise64(mapping.advise_at(0), PAGE, libc::MADV_DONTNEED);
        assert_eq!(advise(cq, sq, &advice), -libc::EINVAL);
        assert_eq!(mapping.kept([0]), [true]);
    });
}

#[test]
fn madvise_that_makes_no_sense_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(4 * PAGE);
        let places = [0, PAGE, 3 * PAGE];
        mapping.write(&places);
        let drop = libc::MADV_DONTNEED;
        for (place, advice) in [(1, drop), (PAGE - 1, drop), (0, 99), (0, -1)] {
            let operation = madvise(mapping.advise_at(place), PAGE, advice);
            let result = advise(cq, sq, &operation);
            assert_eq!(result, -libc::EINVAL, "{advice} at {place}");
        }
        // Memory of a file could be given back to it, but this is of none.
        let remove = madvise(mapping.advise_at(0), PAGE, libc::MADV_REMOVE);
        assert_eq!(advise(cq, sq, &remove), -libc::EINVAL);
        assert_eq!(mapping.kept(places), [true; 3]);
        // SAFETY: the pages are this mapping's, and nothing points into them.
        let result = unsafe { libc::munmap(mapping.advise_at(PAGE), PAGE) };
        assert_eq!(result, 0);
        let hole = madvise(mapping.advise_at(0), 4 * PAGE, libc::MADV_NORMAL);
        assert_eq!(advise(cq, sq, &hole), -libc::ENOMEM);
    });
}

#[test]
fn madvise64_of_a_range_that_wraps_around_gives_einval() {
    // Lengths of 64 bits came with Linux 6.11, as BIND did.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(PAGE);
        mapping.write(&[0]);
        for length in [usize::MAX, usize::MAX - PAGE + 1] {
            let advice = madvise64(mapping.advise_at(0), length, libc::MADV_DONTNEED);
            assert_eq!(advise(cq, sq, &advice), -libc::EINVAL);
        }
        assert_eq!(mapping.kept([0]), [true]);
    });
}

#[test]
fn madvise_errors_of_the_call_do_not_end_a_chain() {
    // They did before Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mapping = Mapping::new(PAGE);
        let fails = madvise(mapping.advise_at(1), PAGE, libc::MADV_NORMAL);
        // SAFETY: the advice takes nothing away.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        assert_eq!(results(cq, sq, 2), [(1, -libc::EINVAL), (2, 0)]);
    });
}
