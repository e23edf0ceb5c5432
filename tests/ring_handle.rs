//! The descriptor and the size of a ring for one thread, and pools that rings share.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/resizable.rs"]
mod resizable;

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::os::fd::AsRawFd;

use lio_uring::operation::Nop;
use lio_uring::{IoUring, IoUringParams, RegisterCause, SqeFlags};
use resizable::resizable;

fn push(ring: &mut IoUring, user_data: u64) {
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push(&Nop, user_data) }.expect("room");
}

#[track_caller]
fn works(ring: &mut IoUring) {
    push(ring, 77);
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(ring.next().expect("a completion").user_data(), 77);
    assert_eq!(ring.try_next().expect("a look"), None);
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.expect_err("it cannot be done").raw_os_error()
}

#[test]
fn ring_works_without_a_descriptor_of_its_own() {
    let mut ring = IoUring::new(8).unwrap();
    if kernel::since(6, 3, ring.close_ring_fd()).is_none() {
        return;
    }
    assert!(ring.fd().is_none());
    works(&mut ring);
    // Registering goes by the registered descriptor.
    ring.submission().register_files(&[0]).unwrap();
    let buffers = ring.submission().register_buffer_ring(4, 1).unwrap();
    drop(buffers);
    assert_eq!(errno(ring.close_ring_fd()), Some(libc::EBADF));
    assert_eq!(errno(ring.unregister_ring_fd()), Some(libc::EINVAL));
    works(&mut ring);
    let error = ring.resize(16, 32).unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    works(&mut ring);
}

#[test]
fn descriptor_is_taken_back_and_registered_again() {
    let mut ring = IoUring::new(8).unwrap();
    if kernel::since(5, 18, ring.unregister_ring_fd()).is_none() {
        return;
    }
    works(&mut ring);
    assert_eq!(errno(ring.unregister_ring_fd()), Some(libc::EINVAL));
    ring.register_ring_fd().unwrap();
    works(&mut ring);
    assert_eq!(errno(ring.register_ring_fd()), Some(libc::EEXIST));
}

#[test]
fn places_for_descriptors_are_given_back() {
    // More than a thread has places for.
    for _ in 0..40 {
        let mut ring = IoUring::new(2).unwrap();
        if kernel::since(6, 3, ring.close_ring_fd()).is_none() {
            return;
        }
        works(&mut ring);
    }
}

#[test]
fn queues_of_different_rings_keep_their_descriptors() {
    let (mut one, mut two) = (IoUring::new(8).unwrap(), IoUring::new(8).unwrap());
    mem::swap(one.completion(), two.completion());
    assert_eq!(errno(one.close_ring_fd()), Some(libc::EINVAL));
    assert_eq!(errno(one.unregister_ring_fd()), Some(libc::EINVAL));
    let error = one.resize(16, 32).unwrap_err();
    assert!(
        matches!(error.cause(), RegisterCause::Refused { .. }),
        "{error}"
    );
    mem::swap(one.completion(), two.completion());
    works(&mut one);
    works(&mut two);
}

#[test]
fn queues_grow_and_shrink_with_what_is_in_them() {
    let Some(mut ring) = resizable(8, 16) else {
        return;
    };
    let mut next = 0;
    let mut wanted = 0;
    for (entries, cq_entries) in [
        (32, 128),
        (8, 16),
        (64, 64),
        (4, 16),
        (5, 9),
        (128, 4096),
        (4, 8),
    ] {
        // Three are ready, four are queued, and none of them is lost or twice there.
        for _ in 0..3 {
            push(&mut ring, next);
            next += 1;
        }
        ring.submit().unwrap();
        assert_eq!(ring.completion().wait(0).unwrap(), 3);
        for _ in 0..4 {
            push(&mut ring, next);
            next += 1;
        }
        ring.resize(entries, cq_entries)
            .unwrap_or_else(|error| panic!("{entries} {cq_entries}: {error}"));
        assert_eq!(
            ring.submission().capacity(),
            u32::next_power_of_two(entries)
        );
        assert_eq!(
            ring.completion().capacity(),
            u32::next_power_of_two(cq_entries)
        );
        assert_eq!(ring.submission().unsubmitted(), 4);
        assert_eq!(ring.completion().ready(), 3);
        let left = ring.submission().space_left();
        assert_eq!(left, ring.submission().capacity() - 4);
        assert_eq!(ring.submit().unwrap(), 4);
        for _ in 0..7 {
            assert_eq!(ring.next().unwrap().user_data(), wanted);
            wanted += 1;
        }
        works(&mut ring);
    }
}

#[test]
fn queues_of_any_position_keep_what_is_in_them() {
    let Some(mut ring) = resizable(8, 8) else {
        return;
    };
    // Wherever the indices stand, and whichever way they wrap around.
    let mut next = 0;
    for round in 0..64 {
        let sizes = if round % 2 == 0 { (16, 64) } else { (8, 8) };
        for _ in 0..5 {
            push(&mut ring, next);
            next += 1;
        }
        ring.submit().unwrap();
        for _ in 0..6 {
            push(&mut ring, next);
            next += 1;
        }
        ring.resize(sizes.0, sizes.1).unwrap();
        let mut taken = BTreeSet::new();
        ring.submit().unwrap();
        while taken.len() < 11 {
            assert!(taken.insert(ring.next().unwrap().user_data()));
        }
        assert_eq!(taken, (next - 11..next).collect());
        // One more, so that the next round starts elsewhere.
        push(&mut ring, u64::MAX);
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.next().unwrap().user_data(), u64::MAX);
    }
}

#[test]
fn forgotten_iterator_does_not_bring_completions_back() {
    let Some(mut ring) = resizable(8, 16) else {
        return;
    };
    for n in 0..4 {
        push(&mut ring, n);
    }
    ring.submit_and_wait(4).unwrap();
    let mut completions = ring.completions();
    assert_eq!(completions.next().unwrap().user_data(), 0);
    #[expect(clippy::mem_forget, reason = "that is what is tested")]
    mem::forget(completions);
    ring.resize(16, 64).unwrap();
    for n in 1..4 {
        assert_eq!(ring.next().unwrap().user_data(), n);
    }
    works(&mut ring);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let Some(mut ring) = resizable(8, 16) else {
        return;
    };
    for (entries, cq_entries) in [(0, 8), (8, 0), (16, 8), (65_536, 65_536), (8, 1 << 20)] {
        let error = ring.resize(entries, cq_entries).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{entries} {cq_entries}");
    }
    for n in 0..8 {
        push(&mut ring, n);
    }
    let error = ring.resize(4, 16).unwrap_err();
    assert_eq!(error.errno(), libc::EOVERFLOW);
    assert!(
        matches!(error.cause(), RegisterCause::Refused { .. }),
        "{error}"
    );
    assert_eq!(ring.submit_and_wait(8).unwrap(), 8);
    let error = ring.resize(4, 4).unwrap_err();
    assert_eq!(error.errno(), libc::EOVERFLOW);
    for n in 0..8 {
        assert_eq!(ring.next().unwrap().user_data(), n);
    }
    works(&mut ring);
}

#[test]
fn rings_that_cannot_be_resized_are_as_they_were() {
    let params = [
        IoUring::builder().entries(8).exact(),
        IoUring::builder().entries(8).no_mmap(),
        IoUring::builder().entries(8).single_issuer(),
    ];
    for params in params {
        let Some(mut ring) = kernel::since(6, 5, params.build()) else {
            return;
        };
        let error = ring.resize(16, 32).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{params:?}");
        works(&mut ring);
    }
}

#[test]
fn rings_share_their_workers_and_their_thread() {
    let threads = |name: &str| {
        let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|task| task.starts_with(name)).count()
    };
    let params = IoUringParams::default().entries(8).sqpoll(1000);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    // A thread that has worked has its name.
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 4) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().user_data(), 4);
    let one = threads("iou-sqp");
    let (mut late_cq, mut late) = IoUring::with_params(params.attach_wq(sq.as_raw_fd())).unwrap();
    if !kernel::older_than(5, 12) {
        assert_eq!(threads("iou-sqp"), one, "no second thread");
    }
    for (cq, sq) in [(&mut cq, &mut sq), (&mut late_cq, &mut late)] {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_with_flags(&Nop, 5, SqeFlags::ASYNC) }.unwrap();
        sq.submit_and_wait(1).unwrap();
        assert_eq!(cq.next().unwrap().user_data(), 5);
    }
    // The pool lives on with the ring that is attached to it.
    drop((cq, sq));
    // SAFETY: as above.
    unsafe { late.push(&Nop, 6) }.unwrap();
    late.submit_and_wait(1).unwrap();
    assert_eq!(late_cq.next().unwrap().user_data(), 6);
}
