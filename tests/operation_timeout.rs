//! Time: timers, changing them, and limits for other operations.

#![cfg(target_os = "linux")]

use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Cancel, CancelFlags, Connect, LinkTimeout, Nop, OpCode, Read, Timeout, TimeoutFlags,
    TimeoutRemove, Timespec,
};
use lio_uring::{Completion, CompletionQueue, SqeFlags, SubmissionQueue, Wait};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{LIMIT, results, run, submit_pending, wait};

const HEAD: u64 = 1;
const PENDING: u64 = 2;
const OTHER: u64 = 3;
/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;

static SOON: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};
/// So late that the test is over, and still a limit for one that hangs.
static LATE: Timespec = Timespec {
    tv_sec: 3600,
    tv_nsec: 0,
};

/// Runs a timer to its end.
#[track_caller]
fn timeout<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    ts: Timespec,
    flags: TimeoutFlags,
) -> i32 {
    let timeout = Timeout {
        ts: &raw const ts,
        count: 0,
        flags,
    };
    // SAFETY: the time stays until the completion has been taken.
    unsafe { run(cq, sq, &timeout, |_| ()) }.raw_result()
}

/// Pushes a timer.
#[track_caller]
fn push<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    ts: &'static Timespec,
    count: u32,
    flags: TimeoutFlags,
) {
    let timeout = Timeout {
        ts: ptr::from_ref(ts),
        count,
        flags,
    };
    // SAFETY: the time is valid for ever.
    unsafe { sq.push(&timeout, user_data) }.expect("room");
}

#[track_caller]
fn push_nop<T: Threads>(sq: &mut SubmissionQueue<T>, user_data: u64) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, user_data) }.expect("room");
}

const REMOVE: TimeoutRemove = TimeoutRemove {
    user_data: PENDING,
    flags: TimeoutFlags::empty(),
};

/// Removes the timer that waits.
#[track_caller]
fn remove<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    // SAFETY: a removal points to nothing.
    unsafe { sq.push(&REMOVE, OTHER) }.expect("room");
    let done = results(cq, sq, 2);
    assert_eq!(done, [(PENDING, -libc::ECANCELED), (OTHER, 0)]);
}

/// Sets a new time for a timer, and returns the result of that.
#[track_caller]
fn update<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    ts: &'static Timespec,
    flags: TimeoutFlags,
) {
    let update = TimeoutRemove {
        user_data,
        flags: TimeoutFlags::UPDATE | flags,
    };
    let address = ptr::from_ref(ts).expose_provenance() as u64;
    // SAFETY: the time is valid for ever.
    unsafe { sq.push_with(&update, OTHER, |sqe| sqe.set_offset(address)) }.expect("room");
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

const NONE: TimeoutFlags = TimeoutFlags::empty();

#[test]
fn timeout_that_runs_out_gives_etime() {
    each_ring!(|cq, sq| {
        assert_eq!(timeout(cq, sq, SOON, NONE), -libc::ETIME);
        assert_eq!(timeout(cq, sq, Timespec::default(), NONE), -libc::ETIME);
    });
}

#[test]
fn timeout_takes_each_clock() {
    // Clocks came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (flag, clock) in [
            (NONE, libc::CLOCK_MONOTONIC),
            (TimeoutFlags::BOOTTIME, libc::CLOCK_BOOTTIME),
            (TimeoutFlags::REALTIME, libc::CLOCK_REALTIME),
        ] {
            assert_eq!(timeout(cq, sq, SOON, flag), -libc::ETIME);
            let flag = flag | TimeoutFlags::ABS;
            let past = Timespec {
                tv_sec: 0,
                tv_nsec: 1,
            };
            assert_eq!(timeout(cq, sq, past, flag), -libc::ETIME);
            let future = in_an_hour(clock);
            let operation = Timeout {
                ts: &raw const future,
                count: 0,
                flags: flag,
            };
            // SAFETY: the time stays until the completion has been taken.
            unsafe { sq.push(&operation, PENDING) }.unwrap();
            submit_pending(cq, sq);
            remove(cq, sq);
        }
    });
}

#[test]
fn timeout_of_an_hour_waits_and_keeps_no_time_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let mut ts = LATE;
        let operation = Timeout {
            ts: &raw const ts,
            count: 0,
            flags: NONE,
        };
        // SAFETY: the time stays until the entry has been submitted.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        ts = Timespec::default();
        push_nop(sq, OTHER);
        assert_eq!(results(cq, sq, 1), [(OTHER, 0)]);
        assert_eq!(ts, Timespec::default());
        remove(cq, sq);
    });
}

#[test]
fn timeout_ends_with_the_count_of_other_completions() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 2, NONE);
        submit_pending(cq, sq);
        push_nop(sq, 10);
        assert_eq!(results(cq, sq, 1), [(10, 0)]);
        assert_eq!(cq.try_next().unwrap(), None);
        push_nop(sq, 11);
        let done = wait(cq, sq, 2);
        assert_eq!((done[0].user_data(), done[1].user_data()), (11, PENDING));
        assert_eq!(done[1].result().unwrap(), 0);
    });
}

#[test]
fn timeout_does_not_count_timers_that_go_off() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 1, NONE);
        push(sq, 10, &SOON, 0, NONE);
        assert_eq!(results(cq, sq, 1), [(10, -libc::ETIME)]);
        assert_eq!(cq.wait(0).unwrap(), 0);
        push_nop(sq, 11);
        assert_eq!(results(cq, sq, 2), [(PENDING, 0), (11, 0)]);
    });
}

#[test]
fn timeout_whose_count_does_not_come_gives_etime() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &SOON, 5, NONE);
        push_nop(sq, 10);
        assert_eq!(results(cq, sq, 2), [(PENDING, -libc::ETIME), (10, 0)]);
    });
}

#[test]
fn timeout_that_repeats_goes_off_as_often_as_it_says() {
    // It came with Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        push(sq, PENDING, &SOON, 3, TimeoutFlags::MULTISHOT);
        let done: Vec<_> = wait_at_least(cq, sq, 3)
            .iter()
            .map(|done| (done.user_data(), done.raw_result(), done.more()))
            .collect();
        let time = -libc::ETIME;
        assert_eq!(
            done,
            [
                (PENDING, time, true),
                (PENDING, time, true),
                (PENDING, time, false)
            ]
        );
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

/// Submits what is queued and returns at least `n` completions.
#[track_caller]
fn wait_at_least<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    n: u32,
) -> Vec<Completion> {
    let wait = Wait::for_completions(n).timeout(LIMIT);
    let waited = sq.submit_and_wait_with(&wait).expect("a submission");
    assert!(!waited.timed_out, "{waited:?}");
    cq.completions().collect()
}

#[test]
fn timeout_that_repeats_without_end_ends_when_it_is_removed() {
    // It came with Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        push(sq, PENDING, &SOON, 0, TimeoutFlags::MULTISHOT);
        for _ in 0..5 {
            for done in wait_at_least(cq, sq, 1) {
                assert_eq!((done.raw_result(), done.more()), (-libc::ETIME, true));
            }
        }
        // While it goes off it cannot be found.
        let mut removed = false;
        let mut last = None;
        // SAFETY: a removal points to nothing.
        unsafe { sq.push(&REMOVE, OTHER) }.unwrap();
        while !removed || last.is_none() {
            for done in wait_at_least(cq, sq, 1) {
                match (done.user_data(), done.raw_result()) {
                    (OTHER, 0) => removed = true,
                    (OTHER, result) => {
                        assert!([-libc::ENOENT, -libc::EALREADY].contains(&result));
                        // SAFETY: as above.
                        unsafe { sq.push(&REMOVE, OTHER) }.unwrap();
                    }
                    (_, result) if done.more() => assert_eq!(result, -libc::ETIME),
                    (_, result) => last = Some(result),
                }
            }
        }
        assert_eq!(last, Some(-libc::ECANCELED));
    });
}

#[test]
fn timeout_cancelled_gives_ecanceled() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 0, NONE);
        submit_pending(cq, sq);
        let cancel = Cancel {
            user_data: PENDING,
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&cancel, OTHER) }.unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done, [(PENDING, -libc::ECANCELED), (OTHER, 0)]);
    });
}

#[test]
fn timeout_fails_its_chain_unless_told_not_to() {
    // The flag came with Linux 5.16.
    let flags = if needs::knows(OpCode::MSG_RING) {
        &[(NONE, -libc::ECANCELED), (TimeoutFlags::ETIME_SUCCESS, 0)][..]
    } else {
        &[(NONE, -libc::ECANCELED)]
    };
    each_ring!(|cq, sq| {
        for &(flags, nop) in flags {
            let operation = Timeout {
                ts: &raw const SOON,
                count: 0,
                flags,
            };
            // SAFETY: the time is valid for ever.
            unsafe { sq.push_with_flags(&operation, HEAD, SqeFlags::IO_LINK) }.unwrap();
            push_nop(sq, OTHER);
            let done = results(cq, sq, 2);
            assert_eq!(done, [(HEAD, -libc::ETIME), (OTHER, nop)]);
        }
    });
}

#[test]
fn timeout_that_makes_no_sense_gives_einval() {
    // All of it is refused since about Linux 5.16.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (tv_sec, tv_nsec) in [(-1, 0), (0, -1), (i64::MIN, i64::MIN)] {
            let done = timeout(cq, sq, Timespec { tv_sec, tv_nsec }, NONE);
            assert_eq!(done, -libc::EINVAL, "{tv_sec} {tv_nsec}");
        }
        for flags in [
            TimeoutFlags::BOOTTIME | TimeoutFlags::REALTIME,
            TimeoutFlags::MULTISHOT | TimeoutFlags::ABS,
            TimeoutFlags::UPDATE,
            TimeoutFlags::from_bits_retain(1 << 31),
        ] {
            let done = timeout(cq, sq, SOON, flags);
            assert_eq!(done, -libc::EINVAL, "{flags:?}");
        }
        let nowhere = Timeout {
            ts: ptr::without_provenance(8),
            count: 0,
            flags: NONE,
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) }.raw_result();
        assert_eq!(done, -libc::EFAULT);
    });
}

#[test]
fn timeout_with_its_time_for_an_address_runs_out_or_is_refused() {
    each_ring!(|cq, sq| {
        let operation = Timeout {
            ts: ptr::without_provenance(1_000_000),
            count: 0,
            flags: TimeoutFlags::IMMEDIATE_ARG,
        };
        // SAFETY: with this flag nothing is pointed to, and a kernel that does not know it refuses
        // it before it looks.
        let done = unsafe { run(cq, sq, &operation, |_| ()) }.raw_result();
        // Since Linux 7.1, and no operation came with it.
        assert!([-libc::ETIME, -libc::EINVAL].contains(&done), "{done}");
    });
}

#[test]
fn timeout_remove_has_the_timer_give_ecanceled() {
    each_ring!(|cq, sq| {
        for flags in [NONE, TimeoutFlags::ABS] {
            static FUTURE: Timespec = Timespec {
                tv_sec: 1 << 32,
                tv_nsec: 0,
            };
            push(sq, PENDING, &FUTURE, 0, flags);
            submit_pending(cq, sq);
            remove(cq, sq);
        }
    });
}

#[test]
fn timeout_remove_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        // SAFETY: a removal points to nothing.
        let done = unsafe { run(cq, sq, &REMOVE, |_| ()) }.raw_result();
        assert_eq!(done, -libc::ENOENT, "nothing is there");
        push(sq, PENDING, &SOON, 0, NONE);
        assert_eq!(results(cq, sq, 1), [(PENDING, -libc::ETIME)]);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &REMOVE, |_| ()) }.raw_result();
        assert_eq!(done, -libc::ENOENT, "it has gone off");
        update(sq, PENDING, &SOON, NONE);
        assert_eq!(results(cq, sq, 1), [(OTHER, -libc::ENOENT)]);
    });
}

#[test]
fn timeout_remove_with_flags_that_make_no_sense_gives_einval() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 0, NONE);
        submit_pending(cq, sq);
        let (update, link) = (TimeoutFlags::UPDATE, TimeoutFlags::LINK_TIMEOUT_UPDATE);
        for flags in [
            TimeoutFlags::ABS,
            TimeoutFlags::BOOTTIME,
            TimeoutFlags::from_bits_retain(1 << 31),
            update | TimeoutFlags::BOOTTIME,
            update | TimeoutFlags::REALTIME,
            update | link | TimeoutFlags::BOOTTIME,
            update | TimeoutFlags::MULTISHOT,
        ] {
            let operation = TimeoutRemove {
                user_data: PENDING,
                flags,
            };
            let address = ptr::from_ref(&SOON).expose_provenance() as u64;
            // SAFETY: the time is valid for ever.
            let done =
                unsafe { run(cq, sq, &operation, |sqe| sqe.set_offset(address)) }.raw_result();
            assert_eq!(done, -libc::EINVAL, "{flags:?}");
        }
        remove(cq, sq);
    });
}

#[test]
fn timeout_remove_that_updates_sets_another_time() {
    static EVENTUALLY: Timespec = Timespec {
        tv_sec: 600,
        tv_nsec: 0,
    };
    each_ring!(|cq, sq| {
        for flags in [NONE, TimeoutFlags::ABS] {
            push(sq, PENDING, &LATE, 0, NONE);
            submit_pending(cq, sq);
            // As a point in time this is long past.
            update(sq, PENDING, &SOON, flags);
            let done = results(cq, sq, 2);
            assert_eq!(done, [(PENDING, -libc::ETIME), (OTHER, 0)]);
        }
        // And later, too.
        push(sq, PENDING, &EVENTUALLY, 0, NONE);
        update(sq, PENDING, &LATE, NONE);
        assert_eq!(results(cq, sq, 1), [(OTHER, 0)]);
        remove(cq, sq);
    });
}

#[test]
fn timeout_remove_that_updates_takes_the_count_away() {
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 1, NONE);
        submit_pending(cq, sq);
        update(sq, PENDING, &LATE, NONE);
        assert_eq!(results(cq, sq, 1), [(OTHER, 0)]);
        push_nop(sq, 10);
        assert_eq!(results(cq, sq, 1), [(10, 0)]);
        remove(cq, sq);
    });
}

#[test]
fn timeout_remove_that_updates_to_no_time_fails_and_leaves_the_timer() {
    static NEGATIVE: Timespec = Timespec {
        tv_sec: -1,
        tv_nsec: 0,
    };
    // Negative times are refused since about Linux 5.16.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        push(sq, PENDING, &LATE, 0, NONE);
        submit_pending(cq, sq);
        update(sq, PENDING, &NEGATIVE, NONE);
        assert_eq!(results(cq, sq, 1), [(OTHER, -libc::EINVAL)]);
        let nowhere = TimeoutRemove {
            user_data: PENDING,
            flags: TimeoutFlags::UPDATE,
        };
        // SAFETY: nothing is mapped at 8, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |sqe| sqe.set_offset(8)) }.raw_result();
        assert_eq!(done, -libc::EFAULT);
        remove(cq, sq);
    });
}

/// A read of a pipe that waits for one byte.
struct Waiting {
    pipe: PipeReader,
    writer: io::PipeWriter,
    byte: Box<u8>,
}

impl Waiting {
    fn new() -> Self {
        let (pipe, writer) = io::pipe().expect("a pipe");
        let byte = Box::new(UNTOUCHED);
        Self { pipe, writer, byte }
    }

    /// Pushes the read at the head of a chain.
    #[track_caller]
    fn push<T: Threads>(&mut self, sq: &mut SubmissionQueue<T>, flags: SqeFlags) {
        let read = Read {
            fd: self.pipe.as_raw_fd(),
            ptr: (&raw mut *self.byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is looked at when the completion has been taken, and the pipe is open
        // until then.
        unsafe { sq.push_with_flags(&read, HEAD, flags) }.expect("room");
    }

    /// Fails if the read has taken something after all.
    #[track_caller]
    fn assert_untouched(mut self) {
        assert_eq!(*self.byte, UNTOUCHED);
        self.writer.write_all(b"k").expect("the pipe has a reader");
        let mut byte = [0];
        self.pipe.read_exact(&mut byte).expect("a byte");
        assert_eq!((&byte, *self.byte), (b"k", UNTOUCHED));
    }
}

/// Pushes a limit for what was pushed before it.
#[track_caller]
fn push_limit<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    ts: *const Timespec,
    flags: TimeoutFlags,
    sqe_flags: SqeFlags,
) {
    let limit = LinkTimeout { ts, flags };
    // SAFETY: the tests pass times that are valid for ever, or at addresses where nothing is
    // mapped.
    unsafe { sq.push_with_flags(&limit, PENDING, sqe_flags) }.expect("room");
}

const LINK: SqeFlags = SqeFlags::IO_LINK;
const LAST: SqeFlags = SqeFlags::empty();

#[test]
fn link_timeout_cancels_what_is_before_it() {
    each_ring!(|cq, sq| {
        for link in [LINK, SqeFlags::IO_HARDLINK] {
            for (ts, flags) in [
                (&raw const SOON, NONE),
                (&raw const SOON, TimeoutFlags::ABS),
            ] {
                let mut head = Waiting::new();
                head.push(sq, link);
                push_limit(sq, ts, flags, LAST);
                let done = results(cq, sq, 2);
                assert_eq!(done, [(HEAD, -libc::ECANCELED), (PENDING, -libc::ETIME)]);
                head.assert_untouched();
            }
        }
    });
}

#[test]
fn link_timeout_is_cancelled_by_what_ends_in_time() {
    each_ring!(|cq, sq| {
        let mut head = Waiting::new();
        head.push(sq, LINK);
        push_limit(sq, &raw const LATE, NONE, LAST);
        submit_pending(cq, sq);
        head.writer.write_all(b"x").unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done, [(HEAD, 1), (PENDING, -libc::ECANCELED)]);
        assert_eq!(*head.byte, b'x');
        // What is done at once, too.
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push_with_flags(&Nop, HEAD, LINK) }.unwrap();
        push_limit(sq, &raw const LATE, NONE, LAST);
        let done = results(cq, sq, 2);
        assert_eq!(done, [(HEAD, 0), (PENDING, -libc::ECANCELED)]);
    });
}

#[test]
fn link_timeout_lets_the_chain_go_on_or_ends_it() {
    each_ring!(|cq, sq| {
        for (ts, head_ends, nop) in [
            (&raw const LATE, 1, 0),
            (&raw const SOON, 0, -libc::ECANCELED),
        ] {
            let mut head = Waiting::new();
            head.push(sq, LINK);
            push_limit(sq, ts, NONE, LINK);
            push_nop(sq, OTHER);
            sq.submit().unwrap();
            if head_ends == 1 {
                head.writer.write_all(b"x").unwrap();
            }
            let done = results(cq, sq, 3);
            assert_eq!(done[2], (OTHER, nop), "{done:?}");
        }
    });
}

#[test]
fn link_timeout_without_something_to_limit_gives_einval() {
    each_ring!(|cq, sq| {
        push_limit(sq, &raw const SOON, NONE, LAST);
        assert_eq!(results(cq, sq, 1), [(PENDING, -libc::EINVAL)]);
        // Behind an entry that is not linked there is nothing either.
        push_nop(sq, HEAD);
        push_limit(sq, &raw const SOON, NONE, LAST);
        assert_eq!(results(cq, sq, 2), [(HEAD, 0), (PENDING, -libc::EINVAL)]);
    });
}

#[test]
fn link_timeout_behind_another_gives_einval_and_cancels_the_chain() {
    each_ring!(|cq, sq| {
        let mut head = Waiting::new();
        head.push(sq, LINK);
        push_limit(sq, &raw const LATE, NONE, LINK);
        let second = LinkTimeout {
            ts: &raw const LATE,
            flags: NONE,
        };
        // SAFETY: the time is valid for ever.
        unsafe { sq.push(&second, OTHER) }.unwrap();
        let cancelled = -libc::ECANCELED;
        let done = results(cq, sq, 3);
        assert_eq!(
            done,
            [
                (HEAD, cancelled),
                (PENDING, cancelled),
                (OTHER, -libc::EINVAL)
            ]
        );
        head.assert_untouched();
    });
}

#[test]
fn link_timeout_that_makes_no_sense_fails_and_cancels_what_is_before_it() {
    static NEGATIVE: Timespec = Timespec {
        tv_sec: -1,
        tv_nsec: 0,
    };
    // Negative times are refused since about Linux 5.16.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (ts, flags, errno) in [
            (&raw const NEGATIVE, NONE, libc::EINVAL),
            (&raw const LATE, TimeoutFlags::UPDATE, libc::EINVAL),
            (
                &raw const LATE,
                TimeoutFlags::BOOTTIME | TimeoutFlags::REALTIME,
                libc::EINVAL,
            ),
            (ptr::without_provenance(8), NONE, libc::EFAULT),
        ] {
            let mut head = Waiting::new();
            head.push(sq, LINK);
            push_limit(sq, ts, flags, LAST);
            let done = results(cq, sq, 2);
            assert_eq!(done, [(HEAD, -libc::ECANCELED), (PENDING, -errno)]);
            head.assert_untouched();
        }
    });
}

#[test]
fn link_timeout_keeps_no_time_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let mut head = Waiting::new();
        head.push(sq, LINK);
        let mut ts = LATE;
        let limit = LinkTimeout {
            ts: &raw const ts,
            flags: NONE,
        };
        // SAFETY: the time stays until the entry has been submitted.
        unsafe { sq.push(&limit, PENDING) }.unwrap();
        submit_pending(cq, sq);
        ts = Timespec::default();
        push_nop(sq, OTHER);
        assert_eq!(results(cq, sq, 1), [(OTHER, 0)]);
        assert_eq!(ts, Timespec::default());
        head.writer.write_all(b"x").unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done, [(HEAD, 1), (PENDING, -libc::ECANCELED)]);
    });
}

#[test]
fn link_timeout_takes_another_time() {
    // It came with Linux 5.15, as MKDIRAT did.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mut head = Waiting::new();
        head.push(sq, LINK);
        push_limit(sq, &raw const LATE, NONE, LAST);
        submit_pending(cq, sq);
        update(sq, PENDING, &SOON, NONE);
        assert_eq!(
            results(cq, sq, 1),
            [(OTHER, -libc::ENOENT)],
            "it is no timer"
        );
        update(sq, PENDING, &SOON, TimeoutFlags::LINK_TIMEOUT_UPDATE);
        let done = results(cq, sq, 3);
        assert_eq!(
            done,
            [
                (HEAD, -libc::ECANCELED),
                (PENDING, -libc::ETIME),
                (OTHER, 0)
            ]
        );
        head.assert_untouched();
    });
}

#[test]
fn link_timeout_interrupts_what_is_at_work() {
    each_ring!(|cq, sq| {
        // A queue of connections that is full lets no other in, and what connects to it in the
        // file system waits on a worker.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let server = UnixListener::bind(&path).unwrap();
        // SAFETY: the call has no conditions.
        assert_eq!(unsafe { libc::listen(server.as_raw_fd(), 0) }, 0);
        let _queued = UnixStream::connect(&path).unwrap();
        // SAFETY: the call has no conditions.
        let client =
            unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        // SAFETY: the descriptor is new.
        let client = unsafe { OwnedFd::from_raw_fd(client) };
        let mut address = libc::sockaddr_un {
            sun_family: libc::AF_UNIX.try_into().unwrap(),
            sun_path: [0; 108],
        };
        for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
            *to = from.cast_signed();
        }
        let connect = Connect {
            fd: client.as_raw_fd(),
            addr: (&raw const address).cast(),
            addrlen: size_of_val(&address).try_into().unwrap(),
        };
        // SAFETY: address and socket stay until the completion has been taken.
        unsafe { sq.push_with_flags(&connect, HEAD, LINK) }.unwrap();
        push_limit(sq, &raw const SOON, NONE, LAST);
        let (mut head, mut limit) = (None, None);
        while head.is_none() || limit.is_none() {
            for done in wait_at_least(cq, sq, 1) {
                match done.user_data() {
                    HEAD => head = Some(done.raw_result()),
                    PENDING => limit = Some(done.raw_result()),
                    // On its way to the worker it cannot be found. Then it goes on.
                    _ => assert!(done.raw_result() <= 0),
                }
            }
            if head.is_none() && limit.is_some() {
                let cancel = Cancel {
                    user_data: HEAD,
                    flags: CancelFlags::empty(),
                };
                // SAFETY: a cancellation points to nothing.
                unsafe { sq.push(&cancel, OTHER) }.unwrap();
            }
        }
        let (head, limit) = (head.expect("a result"), limit.expect("a result"));
        println!("{head} {limit}");
        if limit == -libc::ETIME {
            assert_eq!(head, -libc::ECANCELED);
        } else {
            assert!([-libc::EALREADY, -libc::ENOENT].contains(&limit), "{limit}");
            assert!([-libc::EINTR, -libc::ECANCELED].contains(&head), "{head}");
        }
    });
}
