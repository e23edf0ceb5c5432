//! Changing a poll that waits: its events, its user data.

#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{Operation, PollAdd, PollFlags, PollMulti, PollRemove, PollUpdate};
use lio_uring::{CompletionQueue, SetupFlags, SqeFlags, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{PENDING, cancel, next, results, run, submit_pending};

const UPDATE: u64 = 1000;
const OTHER: u64 = 5;
const ECANCELED: i32 = -libc::ECANCELED;
const IN: i32 = libc::POLLIN as i32;
const OUT: i32 = libc::POLLOUT as i32;
const RDHUP: i32 = libc::POLLRDHUP as i32;
const EVENTS: PollFlags = PollFlags::UPDATE_EVENTS;
const USER_DATA: PollFlags = PollFlags::UPDATE_USER_DATA;

/// Starts a poll that waits for data.
#[track_caller]
fn start<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, file: &UnixStream) {
    let poll = PollAdd {
        fd: file.as_raw_fd(),
        poll_mask: IN.cast_unsigned(),
    };
    push(sq, &poll, PENDING);
    submit_pending(cq, sq);
}

/// Starts a poll that waits for data again and again.
#[track_caller]
fn start_multi<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &UnixStream,
) {
    let poll = PollMulti {
        fd: file.as_raw_fd(),
        poll_mask: IN.cast_unsigned(),
    };
    push(sq, &poll, PENDING);
    submit_pending(cq, sq);
}

#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, operation: &impl Operation, user_data: u64) {
    // SAFETY: the tests keep their files open, and updates point to nothing.
    unsafe { sq.push(operation, user_data) }.expect("room");
}

/// Changes the events.
fn to_events(events: i32) -> PollUpdate {
    PollUpdate {
        old_user_data: PENDING,
        new_user_data: 0,
        poll_mask: events.cast_unsigned(),
        flags: EVENTS,
    }
}

/// Changes the user data.
const TO_OTHER: PollUpdate = PollUpdate {
    old_user_data: PENDING,
    new_user_data: OTHER,
    poll_mask: 0,
    flags: USER_DATA,
};

/// How an update can be pushed that has a poll complete at once, with nothing lost.
fn ways() -> Vec<SqeFlags> {
    let (at_once, on_a_worker) = (SqeFlags::empty(), SqeFlags::ASYNC);
    if kernel::older_than(6, 1) {
        vec![on_a_worker]
    } else if kernel::older_than(6, 12) {
        vec![at_once]
    } else {
        vec![at_once, on_a_worker]
    }
}

/// Pushes an update that has a poll complete at once, and checks that it does.
#[track_caller]
fn completes<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (update, way): (&PollUpdate, SqeFlags),
    user_data: u64,
) {
    // SAFETY: an update points to nothing.
    unsafe { sq.push_with_flags(update, UPDATE, way) }.expect("room");
    assert_eq!(results(cq, sq, 2), [(user_data, OUT), (UPDATE, 0)]);
}

/// Runs an update that completes nothing else, and returns its result.
#[track_caller]
fn update<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    update: &PollUpdate,
) -> i32 {
    // SAFETY: an update points to nothing.
    unsafe { run(cq, sq, update, |_| ()) }.raw_result()
}

#[test]
fn poll_update_changes_the_events() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        assert_eq!(update(cq, sq, &to_events(RDHUP)), 0);
        // Data is not what it waits for any more.
        there.write_all(b"x").unwrap();
        assert_eq!(cq.wait(0).unwrap(), 0);
        there.shutdown(Shutdown::Write).unwrap();
        let done = next(cq);
        assert_eq!((done.user_data(), done.raw_result()), (PENDING, RDHUP));
        assert!(!done.more());
    });
}

#[test]
fn poll_update_to_events_that_are_there_completes_the_poll() {
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        for way in ways() {
            start(cq, sq, &here);
            completes(cq, sq, (&to_events(OUT), way), PENDING);
            assert_eq!(update(cq, sq, &to_events(OUT)), -libc::ENOENT);
        }
    });
}

#[test]
fn poll_update_changes_the_user_data() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        assert_eq!(update(cq, sq, &TO_OTHER), 0);
        assert_eq!(update(cq, sq, &TO_OTHER), -libc::ENOENT, "it has another");
        there.write_all(b"x").unwrap();
        assert_eq!(results(cq, sq, 1), [(OTHER, IN)]);
    });
}

#[test]
fn poll_update_changes_both_together() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let both = |events| PollUpdate {
            new_user_data: OTHER,
            flags: EVENTS | USER_DATA,
            ..to_events(events)
        };
        start(cq, sq, &here);
        assert_eq!(update(cq, sq, &both(RDHUP)), 0);
        there.write_all(b"x").unwrap();
        assert_eq!(cq.wait(0).unwrap(), 0);
        there.shutdown(Shutdown::Write).unwrap();
        assert_eq!(results(cq, sq, 1), [(OTHER, RDHUP)]);
        let (here, _there) = UnixStream::pair().unwrap();
        for way in ways() {
            start(cq, sq, &here);
            completes(cq, sq, (&both(OUT), way), OTHER);
        }
    });
}

#[test]
fn poll_update_leaves_a_poll_that_goes_on_one_that_goes_on() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start_multi(cq, sq, &here);
        assert_eq!(update(cq, sq, &TO_OTHER), 0);
        for _ in 0..3 {
            there.write_all(b"x").unwrap();
            let done = next(cq);
            assert_eq!((done.user_data(), done.raw_result()), (OTHER, IN));
            assert!(done.more());
        }
        let back = PollUpdate {
            old_user_data: OTHER,
            new_user_data: PENDING,
            flags: EVENTS | USER_DATA,
            ..to_events(RDHUP)
        };
        assert_eq!(update(cq, sq, &back), 0);
        there.write_all(b"x").unwrap();
        assert_eq!(cq.wait(0).unwrap(), 0);
        there.shutdown(Shutdown::Write).unwrap();
        let done = next(cq);
        assert_eq!((done.user_data(), done.raw_result()), (PENDING, RDHUP));
        assert!(done.more());
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn poll_update_that_completes_a_poll_that_goes_on_leaves_it_there() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start_multi(cq, sq, &here);
        push(sq, &to_events(IN | OUT), UPDATE);
        assert_eq!(results(cq, sq, 2), [(PENDING, OUT), (UPDATE, 0)]);
        there.write_all(b"x").unwrap();
        let done = next(cq);
        // It may leave out what is not new.
        assert_eq!((done.raw_result() & !OUT, done.more()), (IN, true));
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn poll_update_does_not_have_a_poll_go_on() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        for flags in [EVENTS | PollFlags::MULTI, EVENTS] {
            start(cq, sq, &here);
            let multi = PollUpdate {
                flags,
                ..to_events(IN)
            };
            assert_eq!(update(cq, sq, &multi), 0);
            there.write_all(b"x").unwrap();
            let done = next(cq);
            assert_eq!((done.raw_result(), done.more()), (IN, false));
            (&here).read_exact(&mut [0]).unwrap();
        }
        // Nor does its absence end one that goes on.
        start_multi(cq, sq, &here);
        assert_eq!(update(cq, sq, &to_events(IN)), 0);
        there.write_all(b"x").unwrap();
        assert!(next(cq).more());
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn poll_update_of_nothing_removes_the_poll() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        let nothing = PollUpdate {
            flags: PollFlags::empty(),
            ..to_events(0)
        };
        push(sq, &nothing, UPDATE);
        assert_eq!(results(cq, sq, 2), [(PENDING, ECANCELED), (UPDATE, 0)]);
        there.write_all(b"x").unwrap();
        assert_eq!(cq.wait(0).unwrap(), 0);
    });
}

#[test]
fn poll_update_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        assert_eq!(update(cq, sq, &TO_OTHER), -libc::ENOENT);
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        let elsewhere = PollUpdate {
            old_user_data: 99,
            ..TO_OTHER
        };
        assert_eq!(update(cq, sq, &elsewhere), -libc::ENOENT);
        there.write_all(b"x").unwrap();
        assert_eq!(results(cq, sq, 1), [(PENDING, IN)]);
        assert_eq!(update(cq, sq, &to_events(IN)), -libc::ENOENT, "it is over");
    });
}

#[test]
fn poll_update_that_makes_no_sense_gives_einval_and_changes_nothing() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        for wrong in [
            PollUpdate {
                flags: USER_DATA,
                new_user_data: OTHER,
                ..to_events(OUT)
            },
            PollUpdate {
                new_user_data: OTHER,
                ..to_events(OUT)
            },
            PollUpdate {
                flags: PollFlags::empty(),
                ..to_events(OUT)
            },
            PollUpdate {
                flags: PollFlags::MULTI,
                ..to_events(0)
            },
            PollUpdate {
                flags: EVENTS | PollFlags::LEVEL,
                ..to_events(OUT)
            },
            PollUpdate {
                flags: EVENTS | PollFlags::from_bits_retain(1 << 31),
                ..to_events(OUT)
            },
        ] {
            assert_eq!(update(cq, sq, &wrong), -libc::EINVAL, "{wrong:?}");
        }
        there.write_all(b"x").unwrap();
        assert_eq!(results(cq, sq, 1), [(PENDING, IN)]);
    });
}

#[test]
fn poll_update_of_a_poll_that_is_completing_comes_too_late() {
    each_ring!(|cq, sq| {
        // On a ring that leaves its work for when it is waited for, the poll has not completed
        // when the update comes.
        let deferred = sq.setup_flags().contains(SetupFlags::DEFER_TASKRUN);
        let answer = if deferred {
            -libc::EALREADY
        } else {
            -libc::ENOENT
        };
        let (here, mut there) = UnixStream::pair().unwrap();
        start(cq, sq, &here);
        there.write_all(b"x").unwrap();
        push(sq, &to_events(OUT), UPDATE);
        assert_eq!(results(cq, sq, 2), [(PENDING, IN), (UPDATE, answer)]);
        (&here).read_exact(&mut [0]).unwrap();
        start(cq, sq, &here);
        there.write_all(b"x").unwrap();
        push(sq, &PollRemove { user_data: PENDING }, UPDATE);
        assert_eq!(results(cq, sq, 2), [(PENDING, IN), (UPDATE, answer)]);
    });
}
