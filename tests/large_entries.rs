//! Entries of 128 bytes and completions of 32, all of them or some.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::kind::{CqeSize, HasLargeSqe};
use lio_uring::operation::{LargeOperation, Nop, OpCode, Operation};
use lio_uring::{
    AnyThread, CompletionFlags, CompletionQueue, IoUring, IoUringParams, LargeSqe, SetupError, Sqe,
    SqeFlags, SubmissionQueue, sys,
};

/// A NOP that comes back with these numbers in a completion of 32 bytes.
struct LargeAnswer([u64; 2]);

impl Operation for LargeAnswer {
    const OPCODE: OpCode = OpCode::NOP;

    fn prepare(&self, sqe: &mut Sqe) {
        sqe.set_offset(self.0[0]);
        sqe.set_address(self.0[1]);
        sqe.insert_op_flags(sys::IORING_NOP_CQE32);
    }
}

/// A NOP in an entry of 128 bytes.
struct LargeNop<const MIXED: bool>;

impl<const MIXED: bool> LargeOperation for LargeNop<MIXED> {
    const OPCODE: OpCode = if MIXED { OpCode::NOP128 } else { OpCode::NOP };

    fn prepare(&self, sqe: &mut LargeSqe) {
        sqe.data.fill(0xa5);
    }
}

#[track_caller]
fn push_and_take<S: HasLargeSqe, const MIXED: bool>(
    mut cq: CompletionQueue<AnyThread>,
    mut sq: SubmissionQueue<AnyThread, S>,
) {
    // Every rhythm of small and large, around the ring many times.
    for rhythm in 1..6_u64 {
        let mut pushed = Vec::new();
        let mut next = 0;
        for _ in 0..500 {
            loop {
                let large = next % rhythm == 0;
                let result = if large {
                    // SAFETY: a NOP points to nothing.
                    unsafe { sq.push_large(&LargeNop::<MIXED>, next) }
                } else {
                    // SAFETY: as above.
                    unsafe { sq.push(&Nop, next) }
                };
                if result.is_err() {
                    break;
                }
                pushed.push(next);
                next += 1;
            }
            sq.submit().expect("a submission");
            assert_eq!(sq.unsubmitted(), 0, "rhythm {rhythm}");
            for completion in cq.completions() {
                assert_eq!(
                    completion.raw_result(),
                    0,
                    "rhythm {rhythm}: {completion:?}"
                );
                assert_eq!(completion.user_data(), pushed.remove(0), "rhythm {rhythm}");
            }
            assert!(pushed.is_empty(), "rhythm {rhythm}: {pushed:?} are missing");
        }
        assert!(next > 500, "rhythm {rhythm}: only {next} pushes found room");
    }
}

#[test]
fn entries_of_128_bytes_take_both_kinds() {
    let params = IoUringParams::default().entries(4).sqe128();
    let Some((cq, sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    push_and_take::<_, false>(cq, sq);
}

/// Checks what a kernel without mixed entries answers.
#[expect(clippy::needless_pass_by_value, reason = "it is given away")]
fn unknown_flag(error: SetupError) {
    assert_eq!(error.errno(), libc::EINVAL, "{error}");
}

#[test]
fn mixed_entries_take_both_kinds() {
    for entries in [4, 8, 16] {
        let params = IoUringParams::default().entries(entries).sqe_mixed();
        let made = IoUring::with_params(params);
        let Some((cq, sq)) = kernel::since_or(6, 19, made, unknown_flag) else {
            return;
        };
        push_and_take::<_, true>(cq, sq);
    }
}

#[test]
fn mixed_entries_need_a_queue_of_four() {
    for entries in [1, 2, 3] {
        let params = IoUringParams::default().entries(entries).sqe_mixed();
        let error = IoUring::with_params(params).unwrap_err();
        assert!(error.to_string().contains("at least 4"), "{error}");
    }
}

#[test]
fn chain_of_mixed_entries_stays_whole_at_the_end_of_the_array() {
    // (how many NOPs come before the chain, how many links before its large end)
    for (before, links) in [(6, 1), (5, 2), (3, 4), (7, 0), (4, 3)] {
        for fails in [true, false] {
            let params = IoUringParams::default().entries(8).sqe_mixed();
            let made = IoUring::with_params(params);
            let Some((mut cq, mut sq)) = kernel::since_or(6, 19, made, unknown_flag) else {
                return;
            };
            let at = format!(
                "{before} before, {links} links, {}",
                if fails { "fails" } else { "works" }
            );
            for i in 0..before {
                // SAFETY: a NOP points to nothing.
                unsafe { sq.push(&Nop, i) }.unwrap();
            }
            sq.submit().unwrap();
            for i in 0..links {
                let first_fails = fails && i == 0;
                let settings = |sqe: &mut Sqe| {
                    sqe.insert_flags(SqeFlags::IO_LINK);
                    if first_fails {
                        sqe.insert_op_flags(1 << 31);
                    }
                };
                // SAFETY: a NOP points to nothing, and the kernel refuses one with such a flag.
                unsafe { sq.push_with(&Nop, 100 + i, settings) }.unwrap();
            }
            // SAFETY: as above.
            unsafe { sq.push_large(&LargeNop::<true>, 200) }.unwrap();
            while sq.unsubmitted() > 0 {
                sq.submit().unwrap();
            }
            let mut results: Vec<_> = cq
                .completions()
                .map(|completion| (completion.user_data(), completion.raw_result()))
                .filter(|(user_data, _)| *user_data >= before)
                .collect();
            results.sort_unstable();
            let mut wanted: Vec<_> = (0..links).map(|i| (100 + i, 0)).collect();
            wanted.push((200, 0));
            if fails && links > 0 {
                for (_, result) in &mut wanted {
                    *result = -libc::ECANCELED;
                }
                wanted[0].1 = -libc::EINVAL;
            }
            assert_eq!(results, wanted, "{at}");
            assert_eq!(cq.try_next().unwrap(), None, "{at}");
        }
    }
}

#[test]
fn entry_of_128_bytes_leaves_nothing_of_an_earlier_one() {
    let params = IoUringParams::default().entries(1).sqe128();
    let Some((mut cq, mut sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    for i in 0..3 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_large(&LargeNop::<false>, i) }.unwrap();
        sq.submit_and_wait(1).unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&Nop, 10 + i) }.unwrap();
        sq.submit_and_wait(2).unwrap();
        assert_eq!(cq.next().unwrap().user_data(), i);
        assert_eq!(cq.next().unwrap().user_data(), 10 + i);
    }
}

/// Sends small and large answers through a ring, all rhythms, and hands each to `check`.
fn answers<C: CqeSize>(
    (mut cq, mut sq): (CompletionQueue<AnyThread, C>, SubmissionQueue),
    check: impl Fn(bool, [u64; 2], C::Extra),
) {
    for rhythm in 1..6_u64 {
        let mut number = 0;
        for burst in 0..2000_u64 {
            let pushed: Vec<_> = (0..=burst % 3)
                .map(|_| {
                    number += 1;
                    let (large, data) = (number % rhythm == 0, [number << 32, !number]);
                    let result = if large {
                        // SAFETY: a NOP points to nothing.
                        unsafe { sq.push(&LargeAnswer(data), number) }
                    } else {
                        // SAFETY: as above.
                        unsafe { sq.push(&Nop, number) }
                    };
                    result.expect("room");
                    (number, large, data)
                })
                .collect();
            sq.submit().expect("a submission");
            for (user_data, large, data) in pushed {
                let completion = cq.next().expect("a completion");
                assert_eq!(
                    completion.user_data(),
                    user_data,
                    "rhythm {rhythm}, burst {burst}"
                );
                assert_eq!(completion.raw_result(), 0, "{completion:?}");
                check(large, data, completion.extra());
            }
            assert!(
                cq.try_next().expect("a look").is_none(),
                "rhythm {rhythm}, burst {burst}"
            );
        }
    }
}

#[test]
fn completions_of_32_bytes_carry_their_second_half() {
    let params = IoUringParams::default().entries(4).cqsize(4).cqe32();
    let Some(halves) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    if kernel::lacks(6, 18, "a NOP that fills the second half") {
        return;
    }
    answers(halves, |large, data, extra| {
        assert_eq!(extra, if large { data } else { [0; 2] });
    });
}

#[test]
fn mixed_completions_carry_their_second_half_if_they_have_one() {
    for completions in [4, 8] {
        let params = IoUringParams::default()
            .entries(4)
            .cqsize(completions)
            .cqe_mixed();
        let Some(halves) = kernel::since(6, 18, IoUring::with_params(params)) else {
            return;
        };
        answers(halves, |large, data, extra| {
            assert_eq!(extra, large.then_some(data));
        });
    }
}

#[test]
fn mixed_completions_are_flagged_and_iterated() {
    let params = IoUringParams::default().entries(4).cqsize(8).cqe_mixed();
    let made = IoUring::with_params(params);
    let Some((mut cq, mut sq)) = kernel::since(6, 18, made) else {
        return;
    };
    for round in 0..50 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&LargeAnswer([round, 1]), 1) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        sq.submit_and_wait(2).unwrap();
        let peeked = cq.peek().unwrap();
        assert_eq!(peeked.extra(), Some([round, 1]));
        let completions: Vec<_> = cq.completions().collect();
        assert_eq!(completions.len(), 2, "{completions:?}");
        assert_eq!(completions[0], peeked);
        assert!(completions[0].flags().contains(CompletionFlags::LARGE));
        assert_eq!(
            (completions[1].user_data(), completions[1].extra()),
            (2, None)
        );
        assert_eq!(cq.ready(), 0);
    }
}
