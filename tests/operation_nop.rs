//! Doing nothing: it completes, in chains too, and wakes whoever waits.

#![cfg(target_os = "linux")]

use std::ptr;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, Nop128, NopFlags, NopWith, OpCode};
use lio_uring::{
    Completion, CompletionQueue, IoUring, IoUringParams, Sqe, SqeFlags, SubmissionQueue, sys,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{results, run, wait};

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

/// A NOP whose result is this.
fn injecting(result: i32) -> NopWith {
    NopWith {
        flags: NopFlags::INJECT_RESULT,
        result,
        ..NopWith::default()
    }
}

#[test]
fn nop_with_a_result_completes_with_it() {
    // Nops have flags since Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        for result in [0, 1, i32::MAX, -libc::EIO, -4095, i32::MIN] {
            // SAFETY: a NOP points to nothing.
            let done = unsafe { run(cq, sq, &injecting(result), |_| ()) };
            assert_eq!((done.raw_result(), done.flags().bits()), (result, 0));
            let silent = NopWith {
                flags: NopFlags::empty(),
                ..injecting(result)
            };
            // SAFETY: as above.
            let done = unsafe { run(cq, sq, &silent, |_| ()) };
            assert_eq!(done.raw_result(), 0);
        }
    });
}

#[test]
fn nop_with_an_error_breaks_its_chain() {
    // Nops have flags since Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (result, next) in [(-libc::EIO, -libc::ECANCELED), (5, 0)] {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push_with_flags(&injecting(result), 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: as above.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            assert_eq!(results(cq, sq, 2), [(1, result), (2, next)]);
        }
    });
}

#[test]
fn nop_with_more_than_a_completion_holds_is_refused() {
    // Nops have flags since Linux 6.10, and refuse those that they do not know.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        for flags in [NopFlags::CQE32, NopFlags::from_bits_retain(1 << 31)] {
            let large = NopWith {
                flags,
                ..NopWith::default()
            };
            // SAFETY: a NOP points to nothing.
            let done = unsafe { run(cq, sq, &large, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EINVAL, "{flags:?}");
        }
    });
}

/// A NOP that fills a completion of 32 bytes.
const LARGE: NopWith = NopWith {
    flags: NopFlags::INJECT_RESULT.union(NopFlags::CQE32),
    result: 77,
    extra: [u64::MAX - 1, 0x0123_4567_89ab_cdef],
};

#[test]
fn nop_fills_a_completion_of_32_bytes() {
    let params = IoUringParams::default().entries(4).cqe32();
    let Some((mut cq, mut sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&LARGE, 1) }.unwrap();
    sq.submit().unwrap();
    let done = cq.next().unwrap();
    if kernel::older_than(6, 18) {
        // Before Linux 6.10 nops looked at no flags.
        assert!([0, -libc::EINVAL].contains(&done.raw_result()));
    } else {
        assert_eq!((done.raw_result(), done.extra()), (77, LARGE.extra));
    }
}

#[test]
fn nop_fills_a_large_completion_among_small_ones() {
    let params = IoUringParams::default().entries(4).cqe_mixed();
    let made = IoUring::with_params(params);
    let Some((mut cq, mut sq)) = kernel::since(6, 18, made) else {
        return;
    };
    for _ in 0..20 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&LARGE, 1) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&injecting(5), 2) }.unwrap();
        sq.submit().unwrap();
        let done = [cq.next().unwrap(), cq.next().unwrap()];
        assert_eq!(
            done.map(|done| (done.raw_result(), done.extra())),
            [(77, Some(LARGE.extra)), (5, None)]
        );
    }
}

#[test]
fn nop_of_128_bytes_completes_or_is_not_known() {
    let params = IoUringParams::default().entries(4);
    if kernel::older_than(6, 19) {
        let made = IoUring::with_params(params.sqe128());
        let Some((mut cq, mut sq)) = kernel::since(5, 19, made) else {
            return;
        };
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_large(&Nop128, 1) }.unwrap();
        sq.submit().unwrap();
        assert_eq!(cq.next().unwrap().raw_result(), -libc::EINVAL);
        return;
    }
    let (mut cq, mut sq) = IoUring::with_params(params.sqe_mixed()).unwrap();
    for i in 0..20 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_large(&Nop128, i) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&Nop, 100 + i) }.unwrap();
        sq.submit().unwrap();
        for user_data in [i, 100 + i] {
            let done = cq.next().unwrap();
            assert_eq!((done.user_data(), done.raw_result()), (user_data, 0));
        }
    }
}
