//! Rings in memory of the program's, and how much they take.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::kind::{CqeSize, SqeSize, Threads};
use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, Features, IoUring, IoUringParams, RingMemory, SetupCause, SetupFlags,
    SubmissionQueue, liburing_version,
};

const PAGE: usize = 4096;

#[track_caller]
fn works(cq: &mut CompletionQueue, sq: &mut SubmissionQueue, user_data: u64) {
    for round in 0..20 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, user_data + round) }.expect("room");
        sq.submit_and_wait(1).expect("a submission");
        let completion = cq.next().expect("a completion");
        assert_eq!(completion.user_data(), user_data + round);
    }
}

#[test]
fn several_rings_share_memory_and_outlive_its_value() {
    let params = IoUringParams::default().entries(8);
    let size = params.memory_size().unwrap();
    let mut memory = RingMemory::new(4 * size).unwrap();
    assert_eq!((memory.capacity(), memory.used()), (4 * size, 0));
    let mut rings = Vec::new();
    for n in 1..=4 {
        let Some(ring) = kernel::since(6, 5, params.halves_in(&mut memory)) else {
            return;
        };
        assert!(ring.0.setup_flags().contains(SetupFlags::NO_MMAP));
        assert!(memory.used() <= n * size, "{memory:?}");
        rings.push(ring);
    }
    drop(memory);
    for (n, (cq, sq)) in (0..).zip(&mut rings) {
        works(cq, sq, n * 1000);
    }
    // The last one keeps the memory of all.
    let (mut cq, mut sq) = rings.swap_remove(2);
    drop(rings);
    works(&mut cq, &mut sq, 7);
    std::thread::spawn(move || drop(sq)).join().unwrap();
    assert_eq!(cq.try_next().unwrap(), None);
}

#[test]
fn memory_that_is_too_small_makes_no_ring() {
    let params = IoUringParams::default().entries(8);
    let mut memory = RingMemory::new(1).unwrap();
    assert_eq!(memory.capacity(), PAGE);
    for _ in 0..2 {
        let error = params.halves_in(&mut memory).unwrap_err();
        assert_eq!(error.errno(), libc::ENOMEM);
        assert_eq!(memory.used(), 0);
    }
    let error = RingMemory::new(0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let error = RingMemory::new(usize::MAX).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn ring_that_cannot_be_made_leaves_the_memory_usable() {
    let mut memory = RingMemory::new(16 * PAGE).unwrap();
    let params = IoUringParams::default().entries(8);
    let refused = params.sqpoll(1).sq_aff(u32::MAX);
    assert!(refused.halves_in(&mut memory).is_err());
    assert_eq!(memory.used(), 0);
    if let Some((mut cq, mut sq)) = kernel::since(6, 5, params.halves_in(&mut memory)) {
        works(&mut cq, &mut sq, 0);
    }
}

#[test]
fn large_queues_in_small_pages() {
    let params = IoUringParams::default().entries(4096);
    let size = params.memory_size().unwrap();
    assert!(size > 64 * 4096, "{size}");
    let mut memory = RingMemory::new(size).unwrap();
    // Older kernels want huge pages for it.
    let made = params.halves_in(&mut memory);
    if let Some((mut cq, mut sq)) = kernel::since(6, 14, made) {
        works(&mut cq, &mut sq, 0);
    }
}

#[test]
fn memory_of_the_estimated_size_is_never_too_small() {
    let mut memory = RingMemory::new(1 << 20).unwrap();
    let large = IoUringParams::default().entries(4096);
    // Older kernels want huge pages for large queues.
    if kernel::since(6, 14, large.halves_in(&mut memory)).is_none() {
        return;
    }
    for entries in (0..=15).map(|n| 1 << n) {
        let params = IoUringParams::default().entries(entries);
        fits(params);
        fits(params.cqsize(65_536.min(8 * entries)));
        fits(params.no_sqarray());
        fits(params.sqe128());
        fits(params.cqe32());
        fits(params.sqe128().cqe32());
    }
}

/// Makes a ring in memory of the size that its parameters say, and fills it.
#[track_caller]
fn fits<T: Threads, S: SqeSize, C: CqeSize>(params: IoUringParams<T, S, C>) {
    let size = params.memory_size().expect("a size");
    let mut memory = RingMemory::new(size).expect("memory");
    let (cq, mut sq) = params.halves_in(&mut memory).expect("a ring");
    for _ in 0..2 {
        // SAFETY: a NOP points to nothing.
        while unsafe { sq.push(&Nop, 1) }.is_ok() {}
        let all = sq.capacity();
        assert_eq!(sq.submit().expect("a submission"), all);
    }
    assert_eq!(cq.ready(), 2 * sq.capacity(), "{params:?}");
}

#[test]
fn huge_pages_hold_a_ring_where_there_are_some() {
    let mut memory = match RingMemory::huge(1) {
        Ok(memory) => memory,
        // None are set aside.
        Err(error) => return assert_eq!(error.raw_os_error(), Some(libc::ENOMEM)),
    };
    assert_eq!(memory.capacity(), 2 << 20);
    let params = IoUringParams::default().entries(4096);
    if let Some((mut cq, mut sq)) = kernel::since(6, 5, params.halves_in(&mut memory)) {
        works(&mut cq, &mut sq, 0);
    }
}

#[test]
fn ring_for_one_thread_lies_in_memory_too() {
    let mut memory = RingMemory::new(16 * PAGE).unwrap();
    let made = IoUring::builder().entries(8).build_in(&mut memory);
    let Some(mut ring) = kernel::since(6, 5, made) else {
        return;
    };
    let bare = IoUring::builder().entries(8).registered_fd_only();
    let mut other = bare.build_in(&mut memory).unwrap();
    assert!(other.fd().is_none());
    drop(memory);
    for ring in [&mut ring, &mut other] {
        // SAFETY: a NOP points to nothing.
        unsafe { ring.push(&Nop, 3) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.next().unwrap().user_data(), 3);
    }
}

#[test]
fn sizes_follow_the_parameters() {
    let size = |params: IoUringParams| params.memory_size().expect("a size");
    let params = IoUringParams::default().entries(8);
    assert_eq!(size(params), 2 * PAGE);
    assert!(size(params.entries(4096)) > 4096 * 64 + 8192 * 16);
    assert!(size(params.cqsize(65_536)) > 65_536 * 16);
    let large = params.cqsize(65_536).cqe32().memory_size().unwrap();
    assert!(large > 65_536 * 32);
    let error = params.entries(0).memory_size().unwrap_err();
    assert!(matches!(error.cause(), SetupCause::InvalidParams { .. }));
    let error = params.entries(40_000).memory_size().unwrap_err();
    assert!(matches!(error.cause(), SetupCause::InvalidParams { .. }));
    assert_eq!(
        size(params.entries(40_000).clamp()),
        size(params.entries(32_768))
    );

    let locked = params.mlock_size().unwrap();
    let (_cq, sq) = IoUring::with_params(params).unwrap();
    let native = sq.features().contains(Features::NATIVE_WORKERS);
    assert_eq!(locked, if native { 0 } else { size(params) });
    assert!(params.entries(0).mlock_size().is_err());
}

#[test]
fn version_is_that_of_the_source() {
    assert_eq!(liburing_version(), (2, 15));
}
