//! Zero-copy sends up to their last completion.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::Read as _;
use std::net::TcpStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags, Operation};
use lio_uring::{Completion, CompletionQueue, Sqe, SubmissionQueue};

use crate::rings::{CANCEL, PENDING, next};
use crate::sockets::{count, fill, take};

/// Takes the completions of a zero-copy send up to the last: its result and, where there is one,
/// its notification.
#[track_caller]
pub(crate) fn both<T: Threads>(cq: &mut CompletionQueue<T>) -> (Completion, Option<Completion>) {
    let first = next(cq);
    assert!(!first.is_notification(), "the result comes first");
    let second = first.more().then(|| next(cq));
    if let Some(second) = second {
        assert!(second.is_notification() && !second.more(), "{second:?}");
        assert_eq!(second.user_data(), first.user_data());
    }
    (first, second)
}

/// Runs a zero-copy send up to its last completion.
///
/// # Safety
///
/// What the operation asks for, until this returns.
#[track_caller]
pub(crate) unsafe fn run_zc<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    settings: impl FnOnce(&mut Sqe),
) -> (Completion, Option<Completion>) {
    // SAFETY: the caller's promise.
    unsafe { sq.push_with(operation, 7, settings) }.expect("room");
    sq.submit().expect("a submission");
    both(cq)
}

/// Fills a connection, cancels `operation` on it as often as that takes to catch it waiting, and
/// fails if it has sent something then.
///
/// # Safety
///
/// What the operation asks for, for ever.
#[track_caller]
pub(crate) unsafe fn assert_cancelled_sends_nothing<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (here, mut there): (TcpStream, TcpStream),
    operation: &impl Operation,
) {
    // The other end acknowledges when it likes, and so can make room at any time.
    let mut filled = 0;
    let mut notifications = 0;
    let mut cancelled = false;
    while !cancelled {
        filled += fill(&here);
        // SAFETY: the caller's promise.
        unsafe { sq.push(operation, PENDING) }.expect("room");
        let cancel = Cancel {
            user_data: PENDING,
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&cancel, CANCEL) }.expect("room");
        sq.submit().expect("a submission");
        let mut results = 2;
        while results > 0 {
            let done = next(cq);
            if done.is_notification() {
                notifications -= 1;
                continue;
            }
            results -= 1;
            if done.user_data() == PENDING {
                notifications += i32::from(done.more());
                cancelled = done.raw_result() == -libc::ECANCELED;
                filled += if cancelled { 0 } else { count(done) };
            }
        }
    }
    take(&mut there, filled);
    for _ in 0..notifications {
        assert!(next(cq).is_notification());
    }
    drop(here);
    let mut rest = Vec::new();
    there.read_to_end(&mut rest).expect("a connection");
    assert_eq!(rest, b"", "it was sent after all");
}
