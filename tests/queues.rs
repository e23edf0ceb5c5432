//! Pushing, submitting and taking completions: what is full, what fails, what is left behind.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/until.rs"]
mod until;

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lio_uring::operation::{Nop, OpCode};
use lio_uring::{
    CompletionQueue, IoUring, IoUringParams, QueueFull, SetupError, Sqe, SqeFlags, SubmissionQueue,
    SubmitCause, Wait,
};

use until::until;

fn pair(entries: u32) -> (CompletionQueue, SubmissionQueue) {
    lio_uring::with_capacity(entries).expect("a ring")
}

fn push(sq: &mut SubmissionQueue, user_data: u64) -> Result<(), QueueFull> {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, user_data) }
}

/// An entry that the kernel refuses while it is being submitted.
fn refused() -> Sqe {
    let mut sqe = Sqe::of(&Nop);
    sqe.set_opcode(OpCode(255));
    sqe
}

fn user_data(cq: &mut CompletionQueue) -> Vec<u64> {
    cq.completions()
        .map(|completion| completion.user_data())
        .collect()
}

#[test]
fn queue_full_refuses_and_loses_nothing() {
    let (mut cq, mut sq) = pair(4);
    for i in 0..4 {
        push(&mut sq, i).unwrap();
    }
    assert_eq!(push(&mut sq, 99), Err(QueueFull));
    assert!(sq.is_full());
    assert_eq!(sq.unsubmitted(), 4);

    assert_eq!(sq.submit().unwrap(), 4);
    assert_eq!(sq.space_left(), 4);
    push(&mut sq, 4).unwrap();
    assert_eq!(sq.submit_and_wait(5).unwrap(), 1);
    assert_eq!(user_data(&mut cq), [0, 1, 2, 3, 4]);
}

#[test]
fn indices_wrap_around_many_times() {
    let (mut cq, mut sq) = pair(2);
    for i in 0..10_000 {
        push(&mut sq, i).unwrap();
        assert_eq!(sq.submit().unwrap(), 1);
        assert_eq!(cq.next().unwrap().user_data(), i);
    }
    assert_eq!(cq.try_next().unwrap(), None);
}

#[test]
fn user_data_of_any_value_comes_back() {
    let (mut cq, mut sq) = pair(8);
    let values = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 0x5555_5555_5555_5555];
    for value in values {
        push(&mut sq, value).unwrap();
    }
    sq.submit_and_wait(6).unwrap();
    assert_eq!(user_data(&mut cq), values);
}

#[test]
fn push_all_queues_everything_or_nothing() {
    let (mut cq, mut sq) = pair(4);
    push(&mut sq, 100).unwrap();
    let four: Vec<_> = (0..4).map(|i| (&Nop, i)).collect();
    // SAFETY: a NOP points to nothing.
    assert_eq!(unsafe { sq.push_all(four.iter().copied()) }, Err(QueueFull));
    assert_eq!(sq.unsubmitted(), 1);
    // SAFETY: as above.
    unsafe { sq.push_all(four[..3].iter().copied()) }.unwrap();
    assert_eq!(sq.submit_and_wait(4).unwrap(), 4);
    assert_eq!(user_data(&mut cq), [100, 0, 1, 2]);
}

#[test]
fn push_all_with_an_iterator_that_panics_queues_nothing() {
    let (mut cq, mut sq) = pair(4);
    let panics = (0..4).map(|i| {
        assert!(i < 2, "on purpose");
        (&Nop, i)
    });
    // SAFETY: a NOP points to nothing.
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { sq.push_all(panics) }));
    assert!(result.is_err());
    assert_eq!(sq.unsubmitted(), 0);
    push(&mut sq, 7).unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(user_data(&mut cq), [7]);
}

#[test]
fn reserve_refuses_a_chain_that_does_not_fit() {
    let (mut cq, mut sq) = pair(4);
    push(&mut sq, 1).unwrap();
    push(&mut sq, 2).unwrap();
    assert!(sq.reserve(3).is_err());
    let mut chain = sq.reserve(2).unwrap();
    // SAFETY: a NOP points to nothing.
    unsafe { chain.push_with_flags(&Nop, 3, SqeFlags::IO_LINK) }.unwrap();
    // SAFETY: as above.
    unsafe { chain.push(&Nop, 4) }.unwrap();
    assert_eq!(chain.space_left(), 0);
    // SAFETY: as above.
    assert_eq!(unsafe { chain.push(&Nop, 5) }, Err(QueueFull));
    assert_eq!(chain.submit_and_wait(4).unwrap(), 4);
    assert_eq!(user_data(&mut cq), [1, 2, 3, 4]);
}

#[test]
fn batch_that_is_dropped_or_forgotten_keeps_its_pushes() {
    let (mut cq, mut sq) = pair(8);
    let mut batch = sq.batch();
    // SAFETY: a NOP points to nothing.
    unsafe { batch.push(&Nop, 1) }.unwrap();
    drop(batch);
    let mut batch = sq.batch();
    // SAFETY: as above.
    unsafe { batch.push(&Nop, 2) }.unwrap();
    let _ = std::mem::ManuallyDrop::new(batch);
    assert_eq!(sq.submit_and_wait(2).unwrap(), 2);
    assert_eq!(user_data(&mut cq), [1, 2]);
}

#[test]
fn settings_that_panic_queue_nothing() {
    let (_cq, mut sq) = pair(4);
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_with(&Nop, 1, |_| panic!("on purpose")) }
    }));
    assert!(result.is_err());
    assert_eq!(sq.unsubmitted(), 0);
}

#[test]
fn short_submit_leaves_the_rest_queued_and_runs_each_once() {
    let (mut cq, mut sq) = pair(8);
    push(&mut sq, 0).unwrap();
    // SAFETY: the kernel refuses the entry.
    unsafe { sq.push_raw(&refused(), 1) }.unwrap();
    push(&mut sq, 2).unwrap();
    push(&mut sq, 3).unwrap();
    assert_eq!(
        sq.submit().unwrap(),
        2,
        "the refused entry ends the submission, and counts"
    );
    assert_eq!(sq.unsubmitted(), 2);
    assert_eq!(sq.space_left(), 6);

    assert_eq!(sq.submit().unwrap(), 2);
    assert_eq!(sq.unsubmitted(), 0);
    let mut results: Vec<_> = cq
        .completions()
        .map(|completion| (completion.user_data(), completion.raw_result()))
        .collect();
    // Old kernels post the refusal first.
    results.sort_unstable();
    assert_eq!(results, [(0, 0), (1, -libc::EINVAL), (2, 0), (3, 0)]);
}

#[test]
fn submit_and_wait_goes_on_behind_a_refused_entry() {
    let (mut cq, mut sq) = pair(8);
    // SAFETY: the kernel refuses the entry.
    unsafe { sq.push_raw(&refused(), 0) }.unwrap();
    push(&mut sq, 1).unwrap();
    assert_eq!(sq.submit_and_wait(2).unwrap(), 2);
    assert_eq!(user_data(&mut cq), [0, 1]);
}

#[test]
fn submit_all_takes_everything_despite_a_refused_entry() {
    let params = IoUringParams::default().entries(8).submit_all();
    let made = IoUring::with_params(params);
    let Some((mut cq, mut sq)) = kernel::since(5, 18, made) else {
        return;
    };
    // SAFETY: the kernel refuses the entry.
    unsafe { sq.push_raw(&refused(), 0) }.unwrap();
    push(&mut sq, 1).unwrap();
    assert_eq!(sq.submit().unwrap(), 2);
    assert_eq!(user_data(&mut cq), [0, 1]);
}

#[test]
fn failed_submit_keeps_the_entries_and_a_later_one_runs_each_once() {
    let params = IoUringParams::default().entries(4).r_disabled();
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for i in 0..4 {
        push(&mut sq, i).unwrap();
    }
    for _ in 0..3 {
        let error = sq.submit().unwrap_err();
        assert_eq!(error.cause(), SubmitCause::Disabled);
        assert_eq!(error.queued(), 4);
        let error = sq.submit_and_wait(1).unwrap_err();
        assert_eq!((error.errno(), error.queued()), (libc::EBADFD, 4));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EBADFD));
    }
    assert_eq!(
        push(&mut sq, 4),
        Err(QueueFull),
        "failed entries still take their room"
    );
    sq.enable().unwrap();
    assert_eq!(sq.submit_and_wait(4).unwrap(), 4);
    assert_eq!(user_data(&mut cq), [0, 1, 2, 3]);
    assert_eq!(cq.try_next().unwrap(), None);
}

#[test]
fn submitting_nothing_takes_nothing() {
    let (mut cq, mut sq) = pair(4);
    assert_eq!(sq.submit().unwrap(), 0);
    assert_eq!(sq.submit_and_wait(0).unwrap(), 0);
    assert_eq!(cq.wait(0).unwrap(), 0);
    assert_eq!(cq.try_next().unwrap(), None);
    assert_eq!(cq.peek(), None);
}

#[test]
fn waiting_for_more_than_the_queue_holds_waits_for_a_full_queue() {
    let params = IoUringParams::default().entries(2).cqsize(4);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for i in 0..6 {
        push(&mut sq, i).unwrap();
        sq.submit().unwrap();
    }
    assert_eq!(cq.wait(1000).unwrap(), 4);
    assert_eq!(sq.submit_and_wait(u32::MAX).unwrap(), 0);
    for i in 0..6 {
        assert_eq!(cq.next().unwrap().user_data(), i);
    }
}

#[test]
fn peek_leaves_the_completion() {
    let (mut cq, mut sq) = pair(4);
    push(&mut sq, 5).unwrap();
    sq.submit_and_wait(1).unwrap();
    let peeked = cq.peek().unwrap();
    assert_eq!(cq.peek(), Some(peeked));
    assert_eq!(cq.ready(), 1);
    assert_eq!(cq.next().unwrap(), peeked);
    assert_eq!((cq.ready(), cq.peek()), (0, None));
}

/// How a loop over completions is left.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Break,
    Panic,
    Forget,
}

#[test]
fn completions_are_taken_once_however_a_loop_is_left() {
    const N: u64 = 16;
    for leave in [Leave::Break, Leave::Panic, Leave::Forget] {
        for stop_after in 0..=N {
            // The completion queue has room for just these, so room that is not given back shows.
            let params = IoUringParams::default().entries(16).cqsize(16);
            let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
            for i in 0..N {
                push(&mut sq, i).unwrap();
            }
            sq.submit_and_wait(16).unwrap();

            let mut seen = Vec::new();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let mut completions = cq.completions();
                while (seen.len() as u64) < stop_after {
                    seen.extend(completions.next().map(|completion| completion.user_data()));
                }
                match leave {
                    Leave::Break => {}
                    Leave::Panic => panic!("on purpose"),
                    #[expect(clippy::mem_forget, reason = "that is what is tested")]
                    Leave::Forget => std::mem::forget(completions),
                }
            }));
            assert_eq!(outcome.is_err(), matches!(leave, Leave::Panic));
            while let Some(completion) = cq.try_next().unwrap() {
                seen.push(completion.user_data());
            }
            let wanted: Vec<_> = (0..N).collect();
            assert_eq!(seen, wanted, "{leave:?} after {stop_after}");

            for i in 0..N {
                push(&mut sq, i).unwrap();
            }
            sq.submit_and_wait(16).unwrap();
            let again: Vec<_> = (0..N).map(|_| cq.next().unwrap().user_data()).collect();
            assert_eq!(again, wanted, "{leave:?} after {stop_after}, second time");
        }
    }
}

#[test]
fn completions_does_not_see_what_comes_while_it_iterates() {
    let (mut cq, mut sq) = pair(4);
    push(&mut sq, 1).unwrap();
    sq.submit_and_wait(1).unwrap();
    let mut completions = cq.completions();
    assert_eq!(completions.size_hint(), (1, Some(1)));
    push(&mut sq, 2).unwrap();
    sq.submit().unwrap();
    assert_eq!(completions.by_ref().count(), 1);
    drop(completions);
    assert_eq!(user_data(&mut cq), [2]);
}

#[test]
fn submitting_fetches_what_did_not_fit() {
    let params = IoUringParams::default().entries(2).cqsize(2);
    for params in [params, params.sqpoll(10)] {
        let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
        for i in 0..4 {
            sq.wait_for_space().unwrap();
            push(&mut sq, i).unwrap();
            sq.submit().unwrap();
        }
        until(format_args!("{params:?}: it is not taken"), || {
            sq.unsubmitted() == 0
        });
        assert!(cq.has_overflowed(), "{params:?}: four fit into two");
        assert_eq!(user_data(&mut cq), [0, 1], "{params:?}");
        assert_eq!(sq.submit().unwrap(), 0, "{params:?}");
        assert_eq!(cq.peek().map(|done| done.user_data()), Some(2));
        assert_eq!(user_data(&mut cq), [2, 3], "{params:?}");
        assert!(!cq.has_overflowed(), "{params:?}");
    }
}

#[test]
fn completion_queue_of_two_loses_none_of_a_thousand() {
    /// One shot timers that all run out while nobody takes completions.
    fn run(mut cq: CompletionQueue, mut sq: SubmissionQueue, label: &str) {
        let soon = lio_uring::operation::Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        for i in 0..1000 {
            let timeout = lio_uring::operation::Timeout {
                ts: &raw const soon,
                count: 0,
                flags: lio_uring::operation::TimeoutFlags::empty(),
            };
            // SAFETY: the time outlives the submission and, on a ring with SQPOLL, everything.
            while unsafe { sq.push(&timeout, i) }.is_err() {
                sq.submit().unwrap();
            }
        }
        while sq.unsubmitted() > 0 {
            sq.submit().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(60));
        until(
            format_args!("{label}: the queue should have overflowed"),
            || cq.has_overflowed(),
        );
        let mut seen = BTreeSet::new();
        while seen.len() < 1000 {
            let completion = cq.next().unwrap();
            assert_eq!(completion.raw_result(), -libc::ETIME, "{label}");
            assert!(
                seen.insert(completion.user_data()),
                "{label}: {completion:?} came twice"
            );
        }
        assert_eq!(cq.try_next().unwrap(), None, "{label}");
        assert_eq!((cq.lost(), cq.has_overflowed()), (0, false), "{label}");
    }
    let params = IoUringParams::default().entries(2).cqsize(2);
    let (cq, sq) = IoUring::with_params(params).unwrap();
    run(cq, sq, "default");
    let (cq, sq) = IoUring::with_params(params.sqpoll(10)).unwrap();
    run(cq, sq, "sqpoll");
    let made = IoUring::with_params(params.coop_taskrun());
    if let Some((cq, sq)) = kernel::since(5, 19, made) {
        run(cq, sq, "coop_taskrun");
    }
}

#[test]
fn one_thread_ring_with_a_queue_of_two_loses_none_of_a_thousand() {
    let mut ring = IoUring::builder().entries(2).cqsize(2).build().unwrap();
    let mut seen = BTreeSet::new();
    for i in 0..1000 {
        // SAFETY: a NOP points to nothing.
        while unsafe { ring.push_with_flags(&Nop, i, SqeFlags::ASYNC) }.is_err() {
            ring.submit().unwrap();
        }
    }
    ring.submit().unwrap();
    while seen.len() < 1000 {
        // Without blocking: the flags of the ring must tell that there is something to fetch.
        if let Some(completion) = ring.try_next().unwrap() {
            assert!(
                seen.insert(completion.user_data()),
                "{completion:?} came twice"
            );
        }
    }
    assert_eq!(ring.completion().lost(), 0);
}

#[test]
fn one_thread_ring_takes_what_the_kernel_puts_off_without_waiting() {
    let mut ring = IoUring::new(8).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let mut byte = [0u8; 1];
    let read = lio_uring::operation::Read {
        fd: std::os::fd::AsRawFd::as_raw_fd(&reader),
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the buffer and the pipe live until the completion has been taken.
    unsafe { ring.push(&read, 1) }.unwrap();
    ring.submit().unwrap();
    assert_eq!(ring.try_next().unwrap(), None);
    io::Write::write_all(&mut &writer, b"x").unwrap();
    let completion = loop {
        if let Some(completion) = ring.try_next().unwrap() {
            break completion;
        }
    };
    assert_eq!((completion.result().unwrap(), byte), (1, *b"x"));
}

#[test]
fn sqpoll_runs_everything_and_wakes_up() {
    let params = IoUringParams::default().entries(8).sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let mut next = 0;
    for round in 0..200 {
        for _ in 0..8 {
            if push(&mut sq, next).is_ok() {
                next += 1;
            }
        }
        sq.submit().unwrap();
        if round % 20 == 0 {
            // Long enough for the thread to fall asleep.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        sq.wait_for_space().unwrap();
    }
    for wanted in 0..next {
        assert_eq!(cq.next().unwrap().user_data(), wanted);
    }
    assert_eq!(
        sq.submit_and_wait_with(&Wait::for_completions(0))
            .unwrap()
            .ready,
        0
    );
    assert!(next >= 200, "only {next} pushes found room");
}

#[test]
fn sleeping_thread_says_so_until_a_submission_wakes_it() {
    let params = IoUringParams::default().entries(8).sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for round in 0..20 {
        let began = std::time::Instant::now();
        while !sq.needs_wakeup() {
            assert!(began.elapsed().as_secs() < 60, "it does not fall asleep");
            std::thread::yield_now();
        }
        push(&mut sq, round).unwrap();
        sq.submit().unwrap();
        assert_eq!(cq.next().unwrap().user_data(), round);
    }
    let (_cq, sq) = lio_uring::with_capacity(8).unwrap();
    assert!(!sq.needs_wakeup(), "there is no thread");
}

#[test]
fn rewinding_ring_runs_each_once_after_short_submissions() {
    let params = IoUringParams::default().entries(8).sq_rewind();
    let made = IoUring::with_params(params);
    let refused_flag = |error: SetupError| assert_eq!(error.errno(), libc::EINVAL, "{error}");
    let Some((mut cq, mut sq)) = kernel::since_or(7, 0, made, refused_flag) else {
        return;
    };
    let mut next = 0;
    for round in 0..100 {
        let first = next;
        for i in 0..=round % 8 {
            if (round + i) % 5 == 0 {
                // SAFETY: the kernel refuses the entry.
                unsafe { sq.push_raw(&refused(), next) }.unwrap();
            } else {
                push(&mut sq, next).unwrap();
            }
            next += 1;
        }
        if round % 2 == 0 {
            while sq.unsubmitted() > 0 {
                assert!(sq.submit().unwrap() > 0);
            }
        } else {
            let pushed = u32::try_from(next - first).unwrap();
            assert_eq!(sq.submit_and_wait(pushed).unwrap(), pushed);
        }
        assert_eq!(sq.space_left(), 8);
        assert_eq!(
            user_data(&mut cq),
            (first..next).collect::<Vec<_>>(),
            "round {round}"
        );
    }
    for i in 0..8 {
        push(&mut sq, i).unwrap();
    }
    assert_eq!(push(&mut sq, 8), Err(QueueFull));
}

#[test]
fn rings_are_left_to_the_parent_by_a_child_process() {
    let (mut cq, mut sq) = pair(4);
    push(&mut sq, 1).unwrap();
    // SAFETY: the child only drops the ring and exits, without touching what other threads hold.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        drop(sq);
        drop(cq);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made, into a value of the right type.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child should drop the ring and exit");
    sq.submit_and_wait(1).unwrap();
    assert_eq!(user_data(&mut cq), [1]);
}
