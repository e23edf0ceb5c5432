//! Giving timers and limits that are running another time, and times without memory.

#![cfg(target_os = "linux")]

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    LinkTimeout, Nop, OpCode, Operation, PollAdd, Timeout, TimeoutFlags, TimeoutUpdate, Timespec,
};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{PENDING, cancel, next, results, run, submit_pending};

const HEAD: u64 = 0;
const UPDATE: u64 = 1000;
const ETIME: i32 = -libc::ETIME;
const ECANCELED: i32 = -libc::ECANCELED;
const NONE: TimeoutFlags = TimeoutFlags::empty();

static SOON: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};
/// So late that the test is over, and still a limit for one that hangs.
static LATE: Timespec = Timespec {
    tv_sec: 3600,
    tv_nsec: 0,
};
static NEGATIVE: Timespec = Timespec {
    tv_sec: -1,
    tv_nsec: 0,
};

#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, operation: &impl Operation, user_data: u64) {
    // SAFETY: the tests keep times until the entry has been submitted, and name addresses where
    // nothing is mapped, or none.
    unsafe { sq.push(operation, user_data) }.expect("room");
}

/// Starts a timer.
#[track_caller]
fn start<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    ts: &Timespec,
    count: u32,
    flags: TimeoutFlags,
) {
    push(sq, &Timeout { ts, count, flags }, PENDING);
    submit_pending(cq, sq);
}

fn update_of(ts: *const Timespec, flags: TimeoutFlags) -> TimeoutUpdate {
    TimeoutUpdate {
        ts,
        user_data: PENDING,
        flags,
    }
}

/// Runs an update that completes nothing else at once, and returns its result.
#[track_caller]
fn update<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    ts: *const Timespec,
    flags: TimeoutFlags,
) -> i32 {
    // SAFETY: as for `push`.
    unsafe { run(cq, sq, &update_of(ts, flags), |_| ()) }.raw_result()
}

/// Updates a timer so that it goes off.
#[track_caller]
fn update_that_ends<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    ts: *const Timespec,
    flags: TimeoutFlags,
) {
    push(sq, &update_of(ts, flags), UPDATE);
    assert_eq!(results(cq, sq, 2), [(PENDING, ETIME), (UPDATE, 0)]);
}

/// What a clock shows now, and an hour more.
fn in_an_hour(clock: libc::clockid_t) -> Timespec {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is valid for writes.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut now) }, 0);
    Timespec {
        tv_sec: now.tv_sec + 3600,
        tv_nsec: 0,
    }
}

#[test]
fn timeout_update_to_a_time_that_comes_has_the_timer_go_off() {
    each_ring!(|cq, sq| {
        for (ts, flags) in [
            (SOON, NONE),
            (Timespec::default(), NONE),
            // As a point in time this is long past.
            (SOON, TimeoutFlags::ABS),
        ] {
            start(cq, sq, &LATE, 0, NONE);
            update_that_ends(cq, sq, &raw const ts, flags);
        }
    });
}

#[test]
fn timeout_update_to_a_later_time_has_the_timer_go_on() {
    each_ring!(|cq, sq| {
        let future = in_an_hour(libc::CLOCK_MONOTONIC);
        start(cq, sq, &LATE, 0, NONE);
        for (ts, flags) in [(LATE, NONE), (future, TimeoutFlags::ABS)] {
            assert_eq!(update(cq, sq, &raw const ts, flags), 0);
            assert_eq!(cq.try_next().unwrap(), None);
        }
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn timeout_update_keeps_the_clock_of_the_timer() {
    // Clocks came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        // The wall clock is decades ahead of the time since the start.
        let uptime = in_an_hour(libc::CLOCK_MONOTONIC);
        let wall = in_an_hour(libc::CLOCK_REALTIME);
        for clock in [TimeoutFlags::REALTIME, TimeoutFlags::BOOTTIME, NONE] {
            start(cq, sq, &LATE, 0, clock);
            assert_eq!(update(cq, sq, &raw const wall, TimeoutFlags::ABS), 0);
            assert_eq!(cq.try_next().unwrap(), None);
            if clock == TimeoutFlags::REALTIME {
                update_that_ends(cq, sq, &raw const uptime, TimeoutFlags::ABS);
            } else {
                assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
            }
        }
    });
}

#[test]
fn timeout_update_takes_the_count_away() {
    each_ring!(|cq, sq| {
        start(cq, sq, &LATE, 1, NONE);
        assert_eq!(update(cq, sq, &raw const LATE, NONE), 0);
        push(sq, &Nop, 9);
        assert_eq!(results(cq, sq, 1), [(9, 0)]);
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn timeout_update_of_a_timer_that_repeats_sets_how_often_and_takes_the_count_away() {
    // It came with Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        start(cq, sq, &LATE, 2, TimeoutFlags::MULTISHOT);
        push(sq, &update_of(&raw const SOON, NONE), UPDATE);
        sq.submit().unwrap();
        let (mut times, mut more) = (0, true);
        while more && times < 5 {
            let done = next(cq);
            if done.user_data() == UPDATE {
                assert_eq!(done.result().unwrap(), 0);
            } else {
                assert_eq!(done.raw_result(), ETIME);
                more = done.more();
                times += 1;
            }
        }
        // Some kernels keep how often it repeats, Linux 6.12.117 among them.
        assert!(times == 5 || (times == 2 && !more), "{times}, {more}");
    });
}

#[test]
fn timeout_update_keeps_no_time_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        start(cq, sq, &LATE, 0, NONE);
        let mut ts = LATE;
        push(sq, &update_of(&raw const ts, NONE), UPDATE);
        assert_eq!(results(cq, sq, 1), [(UPDATE, 0)]);
        ts = Timespec::default();
        push(sq, &Nop, 9);
        assert_eq!(results(cq, sq, 1), [(9, 0)]);
        assert_eq!(ts, Timespec::default());
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn timeout_update_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        let soon = &raw const SOON;
        assert_eq!(update(cq, sq, soon, NONE), -libc::ENOENT);
        start(cq, sq, &LATE, 0, NONE);
        update_that_ends(cq, sq, soon, NONE);
        assert_eq!(update(cq, sq, soon, NONE), -libc::ENOENT, "it is over");
        start(cq, sq, &LATE, 0, NONE);
        let elsewhere = TimeoutUpdate {
            user_data: 99,
            ..update_of(soon, NONE)
        };
        // SAFETY: the time is valid for ever.
        let done = unsafe { run(cq, sq, &elsewhere, |_| ()) }.raw_result();
        assert_eq!(done, -libc::ENOENT, "there is another");
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn timeout_update_that_makes_no_sense_fails_and_leaves_the_timer() {
    // Negative times are refused since about Linux 5.16.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        start(cq, sq, &LATE, 0, NONE);
        let soon = &raw const SOON;
        for (ts, flags, errno) in [
            (soon, TimeoutFlags::BOOTTIME, libc::EINVAL),
            (soon, TimeoutFlags::REALTIME, libc::EINVAL),
            (soon, TimeoutFlags::MULTISHOT, libc::EINVAL),
            (soon, TimeoutFlags::ETIME_SUCCESS, libc::EINVAL),
            (soon, TimeoutFlags::from_bits_retain(1 << 31), libc::EINVAL),
            (&raw const NEGATIVE, NONE, libc::EINVAL),
            (ptr::without_provenance(8), NONE, libc::EFAULT),
        ] {
            assert_eq!(update(cq, sq, ts, flags), -errno, "{flags:?}");
        }
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

/// A pipe, and a poll of it with a limit.
struct Limited {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Limited {
    /// Pushes both.
    #[track_caller]
    fn push<T: Threads>(
        sq: &mut SubmissionQueue<T>,
        ts: *const Timespec,
        flags: TimeoutFlags,
    ) -> Self {
        let (reader, writer) = io::pipe().expect("a pipe");
        let poll = PollAdd {
            fd: reader.as_raw_fd(),
            poll_mask: libc::POLLIN.cast_unsigned().into(),
        };
        // SAFETY: the pipe is open until the entry has been submitted.
        unsafe { sq.push_with_flags(&poll, HEAD, SqeFlags::IO_LINK) }.expect("room");
        push(sq, &LinkTimeout { ts, flags }, PENDING);
        Self { reader, writer }
    }

    /// Ends the poll in time.
    #[track_caller]
    fn end<T: Threads>(mut self, cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
        self.writer.write_all(b"x").expect("the pipe has a reader");
        let ready = libc::POLLIN.into();
        assert_eq!(results(cq, sq, 2), [(HEAD, ready), (PENDING, ECANCELED)]);
        drop(self.reader);
    }
}

#[test]
fn timeout_update_of_a_limit_has_it_end_sooner_or_later() {
    // It came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let link = TimeoutFlags::LINK_TIMEOUT_UPDATE;
    each_ring!(|cq, sq| {
        for flags in [link, link | TimeoutFlags::ABS] {
            let _head = Limited::push(sq, &raw const LATE, NONE);
            submit_pending(cq, sq);
            push(sq, &update_of(&raw const SOON, flags), UPDATE);
            let done = results(cq, sq, 3);
            assert_eq!(done, [(HEAD, ECANCELED), (PENDING, ETIME), (UPDATE, 0)]);
        }
        let head = Limited::push(sq, &raw const LATE, NONE);
        submit_pending(cq, sq);
        assert_eq!(update(cq, sq, &raw const LATE, link), 0);
        head.end(cq, sq);
    });
}

#[test]
fn timeout_update_of_a_limit_keeps_its_clock() {
    // Both came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let flags = TimeoutFlags::LINK_TIMEOUT_UPDATE | TimeoutFlags::ABS;
    each_ring!(|cq, sq| {
        let uptime = in_an_hour(libc::CLOCK_MONOTONIC);
        let _head = Limited::push(sq, &raw const LATE, TimeoutFlags::REALTIME);
        submit_pending(cq, sq);
        // By the wall clock this is long past.
        push(sq, &update_of(&raw const uptime, flags), UPDATE);
        let done = results(cq, sq, 3);
        assert_eq!(done, [(HEAD, ECANCELED), (PENDING, ETIME), (UPDATE, 0)]);
        let head = Limited::push(sq, &raw const LATE, NONE);
        submit_pending(cq, sq);
        assert_eq!(update(cq, sq, &raw const uptime, flags), 0);
        head.end(cq, sq);
    });
}

#[test]
fn timeout_update_tells_timers_and_limits_apart() {
    // It came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let link = TimeoutFlags::LINK_TIMEOUT_UPDATE;
    each_ring!(|cq, sq| {
        let soon = &raw const SOON;
        let head = Limited::push(sq, &raw const LATE, NONE);
        submit_pending(cq, sq);
        assert_eq!(update(cq, sq, soon, NONE), -libc::ENOENT);
        for clock in [TimeoutFlags::BOOTTIME, TimeoutFlags::REALTIME] {
            assert_eq!(update(cq, sq, soon, link | clock), -libc::EINVAL);
        }
        head.end(cq, sq);
        assert_eq!(update(cq, sq, soon, link), -libc::ENOENT, "it is over");
        start(cq, sq, &LATE, 0, NONE);
        assert_eq!(update(cq, sq, soon, link), -libc::ENOENT);
        assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
    });
}

#[test]
fn times_without_memory_are_taken_or_refused() {
    let immediate = TimeoutFlags::IMMEDIATE_ARG;
    let soon = ptr::without_provenance(1_000_000);
    let late = ptr::without_provenance(3_600_000_000_000);
    // The flag came with Linux 7.1.
    let known = !kernel::older_than(7, 1);
    each_ring!(|cq, sq| {
        if known {
            push(
                sq,
                &Timeout {
                    ts: late,
                    count: 0,
                    flags: immediate,
                },
                PENDING,
            );
            submit_pending(cq, sq);
            assert_eq!(update(cq, sq, late, immediate), 0);
            assert_eq!(cq.try_next().unwrap(), None);
            update_that_ends(cq, sq, soon, immediate);
            let past = immediate | TimeoutFlags::ABS;
            start(cq, sq, &LATE, 0, NONE);
            update_that_ends(cq, sq, soon, past);
            let _head = Limited::push(sq, soon, immediate);
            assert_eq!(results(cq, sq, 2), [(HEAD, ECANCELED), (PENDING, ETIME)]);
            let head = Limited::push(sq, late, immediate);
            submit_pending(cq, sq);
            let link = immediate | TimeoutFlags::LINK_TIMEOUT_UPDATE;
            assert_eq!(update(cq, sq, late, link), 0);
            head.end(cq, sq);
        } else {
            start(cq, sq, &LATE, 0, NONE);
            assert_eq!(update(cq, sq, soon, immediate), -libc::EINVAL);
            assert_eq!(cancel(cq, sq).raw_result(), ECANCELED);
            let _head = Limited::push(sq, soon, immediate);
            let done = results(cq, sq, 2);
            assert_eq!(done, [(HEAD, ECANCELED), (PENDING, -libc::EINVAL)]);
        }
    });
}
