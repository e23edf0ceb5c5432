//! Chains that meet draining, limits of time, silence, cancellation, refused entries.
#![cfg(target_os = "linux")]

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Cancel, CancelFlags, LinkTimeout, Nop, OpCode, Timeout, TimeoutFlags, Timespec,
};
use lio_uring::{IoUring, IoUringParams, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/chain.rs"]
mod chain;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/until.rs"]
mod until;

use chain::{Gate, push_failure, push_nop};
use rings::{next, results, submit_pending};
use until::until;

const CANCELED: i32 = -libc::ECANCELED;
const EBADF: i32 = -libc::EBADF;
const EINVAL: i32 = -libc::EINVAL;
const ETIME: i32 = -libc::ETIME;
const NONE: SqeFlags = SqeFlags::empty();
const LINK: SqeFlags = SqeFlags::IO_LINK;
const HARDLINK: SqeFlags = SqeFlags::IO_HARDLINK;
const DRAIN: SqeFlags = SqeFlags::IO_DRAIN;
const SKIP: SqeFlags = SqeFlags::CQE_SKIP_SUCCESS;

static SOON: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};
/// When the test is over.
static LATE: Timespec = Timespec {
    tv_sec: 3600,
    tv_nsec: 0,
};

/// Pushes a limit for what was pushed before.
#[track_caller]
fn push_limit<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    ts: &'static Timespec,
    flags: SqeFlags,
) {
    let limit = LinkTimeout {
        ts,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time is valid for ever.
    unsafe { sq.push_with_flags(&limit, user_data, flags) }.expect("room");
}

#[track_caller]
fn push_timer<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    ts: &'static Timespec,
    modes: TimeoutFlags,
    flags: SqeFlags,
) {
    let timeout = Timeout {
        ts,
        count: 0,
        flags: modes,
    };
    // SAFETY: the time is valid for ever.
    unsafe { sq.push_with_flags(&timeout, user_data, flags) }.expect("room");
}

/// Pushes what the kernel refuses while it is being submitted.
#[track_caller]
fn push_refused<T: Threads>(sq: &mut SubmissionQueue<T>, user_data: u64, flags: SqeFlags) {
    let mut sqe = Sqe::of(&Nop);
    sqe.set_opcode(OpCode(255));
    sqe.insert_flags(flags);
    // SAFETY: the kernel refuses the entry.
    unsafe { sq.push_raw(&sqe, user_data) }.expect("room");
}

/// Whether the kernel may leave entries that drain waiting for ever, as it does with C programs too:
/// seen in one round of some thousand on 6.18.15, 7.1.13 and 7.2.13, and in none on 6.18.44.
fn forgets_drained_entries() -> bool {
    let bug = "drained entries may never start";
    kernel::may_have_bug((6, 16), &[((6, 18), 44)], bug) || kernel::may_have_bug((6, 19), &[], bug)
}

#[test]
fn chain_that_drains_waits_as_a_whole_for_what_is_before_it() {
    if forgets_drained_entries() {
        return;
    }
    each_ring!(|cq, sq| {
        // Wherever in the chain the flag is.
        for drains in 0..3 {
            let mut gate = Gate::new();
            gate.push(sq, 1, NONE);
            for i in 0..3 {
                let link = if i < 2 { LINK } else { NONE };
                let drain = if i == drains { DRAIN } else { NONE };
                push_nop(sq, 2 + i, link | drain);
            }
            submit_pending(cq, sq);
            // What comes after it waits as well.
            push_nop(sq, 5, NONE);
            submit_pending(cq, sq);
            gate.open();
            let wanted = [(1, 1), (2, 0), (3, 0), (4, 0), (5, 0)];
            assert_eq!(results(cq, sq, 5), wanted);
        }
    });
}

#[test]
fn chains_that_drain_and_fail_let_the_next_ones_go() {
    each_ring!(|cq, sq| {
        let mut gate = Gate::new();
        gate.push(sq, 1, NONE);
        push_failure(sq, 2, LINK | DRAIN);
        push_nop(sq, 3, NONE);
        push_nop(sq, 4, HARDLINK | DRAIN);
        push_failure(sq, 5, LINK);
        push_nop(sq, 6, NONE);
        push_nop(sq, 7, DRAIN);
        submit_pending(cq, sq);
        gate.open();
        let wanted = [
            (1, 1),
            (2, EBADF),
            (3, CANCELED),
            (4, 0),
            (5, EBADF),
            (6, CANCELED),
            (7, 0),
        ];
        assert_eq!(results(cq, sq, 7), wanted);
    });
}

#[test]
fn drain_goes_on_when_what_it_waits_for_is_cancelled_or_out_of_time() {
    if forgets_drained_entries() {
        return;
    }
    each_ring!(|cq, sq| {
        let mut gate = Gate::new();
        gate.push(sq, 1, NONE);
        let cancel = Cancel {
            user_data: 1,
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&cancel, 2) }.unwrap();
        push_nop(sq, 3, DRAIN);
        assert_eq!(results(cq, sq, 3), [(1, CANCELED), (2, 0), (3, 0)]);

        let mut gate = Gate::new();
        gate.push(sq, 1, LINK);
        push_limit(sq, 2, &SOON, NONE);
        push_nop(sq, 3, DRAIN);
        assert_eq!(results(cq, sq, 3), [(1, CANCELED), (2, ETIME), (3, 0)]);

        let mut gate = Gate::new();
        gate.push(sq, 1, NONE);
        gate.push(sq, 2, LINK | DRAIN);
        push_limit(sq, 3, &SOON, NONE);
        submit_pending(cq, sq);
        // The limit counts from when the drained read begins.
        gate.open();
        let done = results(cq, sq, 3);
        assert_eq!(done, [(1, 1), (2, CANCELED), (3, ETIME)]);
    });
}

#[test]
fn drained_timers_with_limits_run_one_after_the_other() {
    each_ring!(|cq, sq| {
        for i in 0..3 {
            push_timer(sq, 2 * i, &SOON, TimeoutFlags::empty(), LINK | DRAIN);
            push_limit(sq, 2 * i + 1, &LATE, NONE);
        }
        sq.submit().unwrap();
        for i in 0..3 {
            let mut both = [next(cq), next(cq)].map(|done| (done.user_data(), done.raw_result()));
            both.sort_unstable();
            assert_eq!(both, [(2 * i, ETIME), (2 * i + 1, CANCELED)]);
        }
    });
}

#[test]
fn chain_of_a_hundred_runs_in_order_on_rings_of_every_kind() {
    let params = IoUringParams::default().entries(128);
    let mut kinds = vec![params, params.sqpoll(10)];
    // Before Linux 6.0 rings with IOPOLL take no NOP.
    if needs::operations(&[OpCode::SEND_ZC]) {
        kinds.extend([params.iopoll(), params.iopoll().sqpoll(10)]);
    }
    for params in kinds {
        let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
        for round in 0..3 {
            // A chain runs on a worker, and may have ended before the thread of a ring with SQPOLL says
            // that it has taken the entries.
            until(format_args!("{params:?}: no room"), || {
                sq.space_left() >= 100
            });
            for i in 0..100 {
                // The last one, too: what is behind the submission is no part of the chain.
                push_nop(&mut sq, i, LINK);
            }
            sq.submit().unwrap();
            for i in 0..100 {
                let done = next(&mut cq);
                let got = (done.user_data(), done.raw_result());
                assert_eq!(got, (i, 0), "{params:?}, round {round}");
            }
        }
    }
}

#[test]
fn drain_loses_nothing_to_a_queue_of_completions_that_overflows() {
    let params = IoUringParams::default().entries(8).cqsize(8);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let mut gate = Gate::new();
    for round in 0..10 {
        gate.push(&mut sq, 100, NONE);
        for i in 0..40 {
            let flags = if i % 5 == 4 { DRAIN } else { NONE };
            push_nop(&mut sq, i, flags);
            sq.submit().unwrap();
        }
        gate.open();
        let mut seen: Vec<_> = (0..41).map(|_| next(&mut cq).user_data()).collect();
        seen.sort_unstable();
        let wanted: Vec<_> = (0..40).chain([100]).collect();
        assert_eq!(seen, wanted, "round {round}");
        assert_eq!(cq.try_next().unwrap(), None);
    }
    assert_eq!(cq.lost(), 0);
}

/// Whether links behind the first are limited as that is. Linux 5.10 has them wait on a worker, and
/// 6.1 lets them wait without end.
fn later_links_are_limited() -> bool {
    !kernel::lacks(6, 12, "links behind the first have no limits")
}

#[test]
fn limit_ends_one_link_and_those_behind_it() {
    each_ring!(|cq, sq| {
        // The first of two that have one each.
        let (mut one, mut two) = (Gate::new(), Gate::new());
        one.push(sq, 1, LINK);
        push_limit(sq, 2, &SOON, LINK);
        two.push(sq, 3, LINK);
        push_limit(sq, 4, &LATE, NONE);
        let all = [(1, CANCELED), (2, ETIME), (3, CANCELED), (4, CANCELED)];
        assert_eq!(results(cq, sq, 4), all);
        if !later_links_are_limited() {
            return;
        }

        // The second.
        one.push(sq, 1, LINK);
        push_limit(sq, 2, &LATE, LINK);
        two.push(sq, 3, LINK);
        push_limit(sq, 4, &SOON, LINK);
        push_nop(sq, 5, NONE);
        submit_pending(cq, sq);
        one.open();
        let second = [
            (1, 1),
            (2, CANCELED),
            (3, CANCELED),
            (4, ETIME),
            (5, CANCELED),
        ];
        assert_eq!(results(cq, sq, 5), second);
    });
}

#[test]
fn limit_behind_a_hard_link_lets_the_chain_go_on() {
    each_ring!(|cq, sq| {
        let mut gate = Gate::new();
        gate.push(sq, 1, HARDLINK);
        push_limit(sq, 2, &SOON, HARDLINK);
        push_nop(sq, 3, HARDLINK);
        push_nop(sq, 4, NONE);
        let done = results(cq, sq, 4);
        assert_eq!(done, [(1, CANCELED), (2, ETIME), (3, 0), (4, 0)]);
    });
}

#[test]
fn limit_of_what_fails_or_succeeds_at_once_is_cancelled() {
    each_ring!(|cq, sq| {
        push_failure(sq, 1, LINK);
        push_limit(sq, 2, &LATE, LINK);
        push_nop(sq, 3, NONE);
        let done = results(cq, sq, 3);
        assert_eq!(done, [(1, EBADF), (2, CANCELED), (3, CANCELED)]);

        push_nop(sq, 1, LINK);
        push_limit(sq, 2, &LATE, LINK);
        push_nop(sq, 3, LINK);
        push_limit(sq, 4, &LATE, NONE);
        let done = results(cq, sq, 4);
        assert_eq!(done, [(1, 0), (2, CANCELED), (3, 0), (4, CANCELED)]);
    });
}

#[test]
fn limit_of_a_timer_ends_it_or_is_ended_by_it() {
    each_ring!(|cq, sq| {
        push_timer(sq, 1, &LATE, TimeoutFlags::empty(), LINK);
        push_limit(sq, 2, &SOON, NONE);
        assert_eq!(results(cq, sq, 2), [(1, CANCELED), (2, ETIME)]);
        push_timer(sq, 1, &SOON, TimeoutFlags::empty(), LINK);
        push_limit(sq, 2, &LATE, NONE);
        assert_eq!(results(cq, sq, 2), [(1, ETIME), (2, CANCELED)]);
    });
}

#[test]
fn limit_behind_a_link_of_a_chain_counts_from_when_that_begins() {
    if !later_links_are_limited() {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut one, mut two) = (Gate::new(), Gate::new());
        one.push(sq, 1, LINK);
        two.push(sq, 2, LINK);
        push_limit(sq, 3, &SOON, NONE);
        // A while as long as the limit passes.
        push_timer(sq, 4, &SOON, TimeoutFlags::empty(), NONE);
        assert_eq!(results(cq, sq, 1), [(4, ETIME)]);
        submit_pending(cq, sq);
        one.open();
        let done = results(cq, sq, 3);
        assert_eq!(done, [(1, 1), (2, CANCELED), (3, ETIME)]);
    });
}

#[test]
fn skip_of_a_timer_silences_it_only_if_running_out_is_no_failure() {
    // The flag came with Linux 5.17, and MSG_RING with 5.18.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        push_timer(sq, 1, &SOON, TimeoutFlags::empty(), SKIP);
        assert_eq!(results(cq, sq, 1), [(1, ETIME)]);
        push_timer(sq, 1, &SOON, TimeoutFlags::ETIME_SUCCESS, SKIP | LINK);
        push_nop(sq, 2, NONE);
        assert_eq!(results(cq, sq, 1), [(2, 0)]);
    });
}

#[test]
fn skip_of_a_limit_and_of_what_it_limits_silences_each() {
    // The flag came with Linux 5.17, and MSG_RING with 5.18.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (head, limit, late, soon) in [
            (
                SKIP,
                NONE,
                &[(2, CANCELED)][..],
                &[(1, CANCELED), (2, ETIME)][..],
            ),
            (NONE, SKIP, &[(1, 1)], &[(1, CANCELED)]),
            (SKIP, SKIP, &[], &[(1, CANCELED)]),
        ] {
            for (ts, wanted) in [(&LATE, late), (&SOON, soon)] {
                let mut gate = Gate::new();
                gate.push(sq, 1, LINK | head);
                push_limit(sq, 2, ts, limit);
                sq.submit().unwrap();
                if ts == &LATE {
                    gate.open();
                }
                if wanted.is_empty() {
                    loop {
                        push_nop(sq, 9, NONE);
                        assert_eq!(results(cq, sq, 1), [(9, 0)]);
                        if *gate.byte == b'!' {
                            break;
                        }
                    }
                } else {
                    let n = u32::try_from(wanted.len()).unwrap();
                    assert_eq!(results(cq, sq, n), wanted, "{head:?} {limit:?}");
                }
                push_nop(sq, 9, NONE);
                assert_eq!(results(cq, sq, 1), [(9, 0)], "and no more");
            }
        }
    });
}

#[test]
fn refused_entry_cancels_its_chain_and_nothing_behind_it() {
    each_ring!(|cq, sq| {
        for link in [LINK, HARDLINK] {
            for length in 1..6 {
                for refused in 0..length {
                    for i in 0..length {
                        let flags = if i + 1 < length { link } else { NONE };
                        if i == refused {
                            push_refused(sq, i, flags);
                        } else {
                            push_nop(sq, i, flags);
                        }
                    }
                    push_nop(sq, length, NONE);
                    let n = u32::try_from(length).unwrap() + 1;
                    let wanted: Vec<_> = (0..length)
                        .map(|i| (i, if i == refused { EINVAL } else { CANCELED }))
                        .chain([(length, 0)])
                        .collect();
                    let at = format!("{link:?}, {refused} of {length}");
                    assert_eq!(results(cq, sq, n), wanted, "{at}");
                    assert_eq!(sq.unsubmitted(), 0, "{at}");
                }
            }
        }
    });
}
