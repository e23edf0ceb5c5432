//! What rings do without on kernels that lack it, and that they work all the same.
#![cfg(target_os = "linux")]

use std::time::Duration;

use lio_uring::kind::Threads;
use lio_uring::operation::Nop;
use lio_uring::{CompletionQueue, IoUring, IoUringParams, SetupFlags, SubmissionQueue, Wait};

#[path = "support/kernel.rs"]
mod kernel;

fn params() -> IoUringParams {
    IoUringParams::default().entries(4)
}

/// Sends NOPs around the queue several times, all places at once and one by one.
#[track_caller]
fn works<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    for burst in [4, 1, 3, 4, 2, 4, 4] {
        for i in 0..burst {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, i) }.expect("room");
        }
        sq.submit_and_wait(u32::try_from(burst).expect("few"))
            .expect("a submission");
        let done: Vec<_> = cq.completions().map(|done| done.user_data()).collect();
        assert_eq!(done, (0..burst).collect::<Vec<_>>());
    }
    let wait = Wait::for_completions(1).timeout(Duration::from_millis(2));
    assert!(cq.wait_with(&wait).expect("a wait").timed_out);
}

#[test]
fn queue_has_an_array_where_the_kernel_wants_one() {
    let made = IoUring::with_params(params().no_sqarray());
    let without = kernel::since_or(6, 6, made, |error| {
        assert_eq!(error.errno(), libc::EINVAL, "{error}");
    });
    let (mut cq, mut sq) = lio_uring::with_capacity(4).unwrap();
    let flags = sq.setup_flags();
    assert_eq!(flags.contains(SetupFlags::NO_SQARRAY), without.is_some());
    works(&mut cq, &mut sq);
}

#[test]
fn ring_for_one_thread_takes_the_flags_that_the_kernel_has() {
    let mut ring = IoUring::new(4).unwrap();
    let (cq, sq) = ring.queues();
    let flags = sq.setup_flags();
    for (flag, made) in [
        (
            SetupFlags::DEFER_TASKRUN,
            IoUring::with_params(params().defer_taskrun()).is_ok(),
        ),
        (
            SetupFlags::SINGLE_ISSUER,
            IoUring::with_params(params().single_issuer()).is_ok(),
        ),
        (
            SetupFlags::TASKRUN_FLAG,
            IoUring::with_params(params().coop_taskrun().taskrun_flag()).is_ok(),
        ),
    ] {
        assert_eq!(flags.contains(flag), made, "{flag:?}");
    }
    works(cq, sq);
}

#[test]
fn ring_for_one_thread_goes_by_its_descriptor_where_none_can_be_registered() {
    let mut ring = IoUring::new(4).unwrap();
    let registered = kernel::since_or(5, 18, ring.unregister_ring_fd(), |error| {
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    });
    let (cq, sq) = ring.queues();
    works(cq, sq);
    let again = ring.register_ring_fd();
    assert_eq!(again.is_ok(), registered.is_some(), "{again:?}");
    let (cq, sq) = ring.queues();
    works(cq, sq);
}
