//! Doing nothing: it completes, in chains too, and wakes whoever waits.

#![cfg(target_os = "linux")]

use std::ptr;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode};
use lio_uring::{Completion, CompletionQueue, Sqe, SqeFlags, SubmissionQueue, sys};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::wait;

/// Runs one NOP.
#[track_caller]
fn nop<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_with(&Nop, 7, settings) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.user_data(), 7);
    done
}

#[test]
fn nop_completes_with_zero_and_no_flags() {
    each_ring!(|cq, sq| {
        for _ in 0..100 {
            let done = nop(cq, sq, |_| ());
            assert_eq!((done.result().unwrap(), done.flags().bits()), (0, 0));
        }
    });
}

#[test]
fn nop_on_a_worker_completes_with_zero() {
    each_ring!(|cq, sq| {
        let done = nop(cq, sq, |sqe| sqe.insert_flags(SqeFlags::ASYNC));
        assert_eq!(done.result().unwrap(), 0);
    });
}

#[test]
fn nop_at_the_end_of_a_chain_comes_last() {
    each_ring!(|cq, sq| {
        for i in 0..5 {
            let flags = if i < 4 {
                SqeFlags::IO_LINK | SqeFlags::ASYNC
            } else {
                SqeFlags::empty()
            };
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push_with_flags(&Nop, i, flags) }.unwrap();
        }
        let order: Vec<_> = wait(cq, sq, 5).iter().map(Completion::user_data).collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn nop_wakes_a_thread_that_waits() {
    let (mut cq, mut sq) = lio_uring::with_capacity(4).unwrap();
    let waiter = thread::spawn(move || cq.next().map(|done| done.user_data()));
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 99) }.unwrap();
    sq.submit().unwrap();
    assert_eq!(waiter.join().unwrap().unwrap(), 99);
}

#[test]
fn nop_with_a_buffer_group_is_refused() {
    each_ring!(|cq, sq| {
        let done = nop(cq, sq, |sqe| sqe.select_buffer(1));
        assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
    });
}

#[test]
fn nop_with_an_injected_result_completes_with_it() {
    // Nops have flags since Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        for result in [123, -libc::EIO] {
            let done = nop(cq, sq, |sqe| {
                sqe.read_write(-1, ptr::null::<u8>(), result.cast_unsigned(), 0);
                sqe.insert_op_flags(sys::IORING_NOP_INJECT_RESULT);
            });
            assert_eq!(done.raw_result(), result);
        }
    });
}

#[test]
fn nop_with_an_unknown_flag_is_refused() {
    // Nops have flags since Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let done = nop(cq, sq, |sqe| sqe.insert_op_flags(1 << 31));
        assert_eq!(done.raw_result(), -libc::EINVAL);
    });
}
