//! Completion flags that another ring sends with `MSG_RING` must not lead the queue astray.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::kind::CqeSize;
use lio_uring::operation::{MsgRing, MsgRingFlags, Nop};
use lio_uring::{
    AnyThread, CompletionFlags, CompletionQueue, IoUring, IoUringParams, SubmissionQueue,
};
use std::os::fd::AsRawFd;

const FORGED: [CompletionFlags; 5] = [
    CompletionFlags::SKIP,
    CompletionFlags::LARGE,
    CompletionFlags::SKIP.union(CompletionFlags::LARGE),
    CompletionFlags::MORE,
    CompletionFlags::all(),
];

/// Sends a message with completion flags of its own to `target`, and waits until it is there.
/// Returns whether the kernel let it pass: newer ones refuse some flags.
#[must_use]
fn send(
    from: &mut (CompletionQueue, SubmissionQueue),
    target: i32,
    data: u64,
    flags: CompletionFlags,
) -> bool {
    let message = MsgRing {
        fd: target,
        len: 5,
        data,
        flags: MsgRingFlags::FLAGS_PASS,
    };
    let (cq, sq) = from;
    // SAFETY: the target is a ring whose completions are taken by this test alone.
    unsafe { sq.push_with(&message, 0, |sqe| sqe.set_file_index(flags.bits())) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    match cq.next().expect("a completion").raw_result() {
        0 => true,
        result => {
            assert_eq!(result, -libc::EINVAL, "the message was not sent");
            false
        }
    }
}

fn assert_each_arrives_once<C: CqeSize>(
    label: &str,
    (mut cq, mut sq): (CompletionQueue<AnyThread, C>, SubmissionQueue),
) {
    let mut sender = lio_uring::with_capacity(4).expect("a ring");
    let target = cq.as_raw_fd();
    for flags in FORGED {
        // Enough to go around the ring several times, with a forged one at each place.
        for i in 0..40 {
            if !send(&mut sender, target, 2 * i, flags) {
                break;
            }
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2 * i + 1) }.expect("room");
            sq.submit().expect("a submission");
            assert_eq!(cq.ready(), 2, "{label}, {flags:?}, round {i}");
            let forged = cq.next().expect("a completion");
            assert_eq!(
                (forged.user_data(), forged.raw_result()),
                (2 * i, 5),
                "{label}, {flags:?}"
            );
            let mut rest = cq.completions();
            assert_eq!(
                rest.next().map(|nop| nop.user_data()),
                Some(2 * i + 1),
                "{label}, {flags:?}"
            );
            assert!(rest.next().is_none(), "{label}, {flags:?}");
            drop(rest);
            assert_eq!(cq.ready(), 0, "{label}, {flags:?}");
        }
    }
}

#[test]
fn ring_of_small_completions_trusts_no_flags() {
    let params = IoUringParams::default().entries(2).cqsize(4);
    assert_each_arrives_once("16 bytes", IoUring::with_params(params).unwrap());
}

#[test]
fn ring_of_large_completions_trusts_no_flags() {
    let params = IoUringParams::default().entries(2).cqsize(4).cqe32();
    if let Some(halves) = kernel::since(5, 19, IoUring::with_params(params)) {
        assert_each_arrives_once("32 bytes", halves);
    }
}

#[test]
fn ring_of_mixed_completions_never_passes_its_tail() {
    let params = IoUringParams::default().entries(2).cqsize(4).cqe_mixed();
    let made = IoUring::with_params(params);
    let Some((mut cq, mut sq)) = kernel::since(6, 18, made) else {
        return;
    };
    let mut sender = lio_uring::with_capacity(4).unwrap();
    let target = cq.as_raw_fd();
    // On this kind of ring the flags mean what they say, so a forged message may be passed over or
    // swallow what follows it. But the head must stay behind the tail and the read in the ring.
    for flags in FORGED {
        for i in 0..40 {
            if !send(&mut sender, target, i, flags) {
                break;
            }
            let _ = cq.try_next().unwrap();
            assert!(
                cq.ready() <= 1,
                "{flags:?}, round {i}: {} ready",
                cq.ready()
            );
            while cq.try_next().unwrap().is_some() {}
            assert_eq!(cq.ready(), 0, "{flags:?}, round {i}");
        }
    }
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 9) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().user_data(), 9);
}

#[test]
fn filler_does_not_hide_the_completion_behind_it() {
    let params = IoUringParams::default().entries(2).cqsize(4).cqe_mixed();
    let made = IoUring::with_params(params);
    let Some((mut cq, mut sq)) = kernel::since(6, 18, made) else {
        return;
    };
    let mut sender = lio_uring::with_capacity(4).unwrap();
    for i in 0..20 {
        // The queue looks while there is nothing but the filler, and again when there is more.
        if !send(&mut sender, cq.as_raw_fd(), 0, CompletionFlags::SKIP) {
            return;
        }
        assert_eq!(cq.peek(), None);
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, i) }.unwrap();
        sq.submit().unwrap();
        let taken = cq
            .try_next()
            .unwrap()
            .map(|completion| completion.user_data());
        assert_eq!(taken, Some(i));
    }
}
