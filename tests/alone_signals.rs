//! Waiting: for how many, until when, and under a signal every millisecond.
//!
//! In a binary of its own because of the signals, which go to the whole process.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lio_uring::operation::{Nop, OpCode, PollAdd, Read, Timeout, TimeoutFlags, Timespec};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, Sqe, SubmissionQueue, Wait, Waited};

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// The timer is the process's, so one test at a time has it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// A signal every millisecond, to this thread alone, until it is dropped.
struct Storm(libc::timer_t);

impl Storm {
    fn start() -> Self {
        // SAFETY: zero is a value of the structure.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = count as *const () as usize;
        // SAFETY: the handler only adds to a counter. No SA_RESTART: system calls are to fail.
        let done = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
        assert_eq!(done, 0, "sigaction: {}", std::io::Error::last_os_error());
        // SAFETY: zero is a value of the structure.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        // SAFETY: the call has no conditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = ptr::null_mut();
        // SAFETY: both pointers are to values of the right types.
        let made =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        assert_eq!(made, 0, "timer_create: {}", std::io::Error::last_os_error());
        let millisecond = libc::timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        let every = libc::itimerspec {
            it_interval: millisecond,
            it_value: millisecond,
        };
        // SAFETY: the timer was made above.
        let set = unsafe { libc::timer_settime(timer, 0, &raw const every, ptr::null_mut()) };
        assert_eq!(set, 0, "timer_settime: {}", std::io::Error::last_os_error());
        Self(timer)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // SAFETY: the timer was made in `start`.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Does something under signals, again until there have been so many: a timer that nobody looks at for a
/// while makes up for none.
fn under_signals(least: u32, body: impl Fn()) {
    let _lock = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = SIGNALS.load(Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let storm = Storm::start();
        body();
        drop(storm);
        let came = SIGNALS.load(Ordering::Relaxed) - before;
        if came >= least {
            return;
        }
        assert!(
            Instant::now() < end,
            "only {came} signals came: the test shows nothing"
        );
    }
}

/// A completion of each kind of ring after `delay`, by way of a timeout operation.
fn complete_after(sq: &mut SubmissionQueue, delay: Duration, user_data: u64) {
    let time = Timespec::from(delay);
    let timeout = Timeout {
        ts: &raw const time,
        count: 0,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time lives until the entry has been submitted.
    unsafe { sq.push(&timeout, user_data) }.expect("room");
    assert_eq!(sq.submit().expect("a submission"), 1);
}

fn pair() -> (CompletionQueue, SubmissionQueue) {
    lio_uring::with_capacity(8).expect("a ring")
}

#[test]
fn next_waits_through_signals() {
    under_signals(10, || {
        let (mut cq, mut sq) = pair();
        complete_after(&mut sq, Duration::from_millis(60), 7);
        assert_eq!(cq.next().unwrap().user_data(), 7);
    });
}

#[test]
fn one_thread_ring_waits_through_signals() {
    under_signals(10, || {
        let mut ring = IoUring::new(8).unwrap();
        let time = Timespec::from(Duration::from_millis(60));
        let timeout = Timeout {
            ts: &raw const time,
            count: 0,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: the time lives until the completion.
        unsafe { ring.push(&timeout, 7) }.unwrap();
        // Something is submitted, so the kernel does not even say that it was interrupted.
        assert_eq!(ring.submit_and_wait(1).unwrap(), 1);
        assert_eq!(
            ring.completions()
                .map(|completion| completion.user_data())
                .next(),
            Some(7)
        );
    });
}

#[test]
fn submit_and_wait_waits_for_all_through_signals() {
    under_signals(10, || {
        let (cq, mut sq) = pair();
        for i in 1..=3 {
            complete_after(&mut sq, Duration::from_millis(20 * i), i);
        }
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 0) }.unwrap();
        assert_eq!(sq.submit_and_wait(4).unwrap(), 1);
        assert_eq!(cq.ready(), 4);
    });
}

#[test]
fn timeout_holds_under_signals() {
    under_signals(10, || {
        let (mut cq, _sq) = pair();
        let start = Instant::now();
        let wait = Wait::for_completions(1).timeout(Duration::from_millis(50));
        let waited = cq.wait_with(&wait).unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(50),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            waited,
            Waited {
                timed_out: true,
                ..Waited::default()
            }
        );
    });
}

#[test]
fn deadline_holds_under_signals_with_something_submitted() {
    under_signals(10, || {
        let (_cq, mut sq) = pair();
        let deadline = Instant::now() + Duration::from_millis(50);
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 0) }.unwrap();
        let wait = Wait::for_completions(2).deadline(deadline);
        let waited = sq.submit_and_wait_with(&wait).unwrap();
        assert!(Instant::now() >= deadline);
        let expected = Waited {
            submitted: 1,
            ready: 1,
            timed_out: true,
            interrupted: false,
        };
        assert_eq!(waited, expected);
    });
}

#[test]
fn wait_returns_on_a_signal_if_asked_to() {
    under_signals(3, || {
        let (mut cq, mut sq) = pair();
        let wait = Wait::for_completions(1).return_on_signal();
        assert!(cq.wait_with(&wait).unwrap().interrupted);
        let wait = wait.timeout(Duration::from_secs(60));
        assert!(cq.wait_with(&wait).unwrap().interrupted);
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 0) }.unwrap();
        let wait = Wait::for_completions(2).return_on_signal();
        let waited = sq.submit_and_wait_with(&wait).unwrap();
        assert_eq!(
            (waited.submitted, waited.ready, waited.interrupted),
            (1, 1, true)
        );
    });
}

#[test]
fn signal_mask_keeps_signals_out_of_the_wait() {
    under_signals(1, || {
        let (mut cq, _sq) = pair();
        // SAFETY: zero is a value of the structure.
        let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a value of the right type.
        unsafe { libc::sigfillset(&raw mut mask) };
        let wait = Wait::for_completions(1).timeout(Duration::from_millis(30));
        let waited = cq
            .wait_with(&wait.signal_mask(&mask).return_on_signal())
            .unwrap();
        assert_eq!((waited.interrupted, waited.timed_out), (false, true));
        // SAFETY: as above.
        unsafe { libc::sigemptyset(&raw mut mask) };
        let wait = Wait::for_completions(1);
        let waited = cq
            .wait_with(&wait.signal_mask(&mask).return_on_signal())
            .unwrap();
        assert_eq!((waited.interrupted, waited.timed_out), (true, false));
    });
}

#[test]
fn wait_for_several_ends_when_they_are_ready() {
    let (mut cq, mut sq) = pair();
    for i in 1..=3 {
        complete_after(&mut sq, Duration::from_millis(10 * i), i);
    }
    let wait = Wait::for_completions(3).timeout(Duration::from_secs(60));
    let waited = cq.wait_with(&wait).unwrap();
    assert_eq!(
        waited,
        Waited {
            ready: 3,
            ..Waited::default()
        }
    );
}

#[test]
fn time_that_has_passed_or_never_comes_is_no_error() {
    let (mut cq, mut sq) = pair();
    let gone = Wait::for_completions(1).deadline(Instant::now());
    assert!(cq.wait_with(&gone).unwrap().timed_out);
    let none = Wait::for_completions(1).timeout(Duration::ZERO);
    assert!(cq.wait_with(&none).unwrap().timed_out);
    for for_ever in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX) * 3)] {
        complete_after(&mut sq, Duration::from_millis(5), 1);
        let wait = Wait::for_completions(1).timeout(for_ever);
        let waited = cq.wait_with(&wait).unwrap();
        assert_eq!(
            waited,
            Waited {
                ready: 1,
                ..Waited::default()
            },
            "{for_ever:?}"
        );
        assert_eq!(cq.next().unwrap().user_data(), 1);
    }
}

#[test]
fn entries_are_submitted_even_if_the_time_has_passed() {
    let (mut cq, mut sq) = pair();
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.unwrap();
    let wait = Wait::for_completions(5).timeout(Duration::ZERO);
    let waited = sq.submit_and_wait_with(&wait).unwrap();
    assert_eq!(
        (waited.submitted, waited.ready, waited.timed_out),
        (1, 1, true)
    );
    assert_eq!(cq.next().unwrap().user_data(), 1);
}

#[test]
fn minimum_wait_is_satisfied_with_one_after_it() {
    under_signals(0, || {
        let (mut cq, mut sq) = pair();
        complete_after(&mut sq, Duration::from_millis(1), 1);
        let wait = Wait::for_completions(8)
            .min_wait(Duration::from_millis(20))
            .timeout(Duration::from_secs(60));
        let start = Instant::now();
        let waited = cq.wait_with(&wait).unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(20),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            waited,
            Waited {
                ready: 1,
                ..Waited::default()
            }
        );
        assert_eq!(cq.next().unwrap().user_data(), 1);

        complete_after(&mut sq, Duration::from_millis(30), 2);
        let wait = Wait::for_completions(8).min_wait(Duration::from_millis(5));
        let waited = cq.wait_with(&wait).unwrap();
        assert_eq!(
            waited,
            Waited {
                ready: 1,
                ..Waited::default()
            }
        );
    });
}

#[test]
fn minimum_wait_ends_early_when_all_are_ready() {
    let (mut cq, mut sq) = pair();
    for i in 0..2 {
        complete_after(&mut sq, Duration::from_millis(5), i);
    }
    let wait = Wait::for_completions(2).min_wait(Duration::from_secs(60));
    assert_eq!(cq.wait_with(&wait).unwrap().ready, 2);
}

#[test]
fn minimum_wait_without_any_completion_lasts_until_the_limit() {
    let (mut cq, _sq) = pair();
    let wait = Wait::for_completions(8)
        .min_wait(Duration::from_millis(5))
        .timeout(Duration::from_millis(30));
    let start = Instant::now();
    assert!(cq.wait_with(&wait).unwrap().timed_out);
    assert!(
        start.elapsed() >= Duration::from_millis(30),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn minimum_wait_does_not_outlast_the_limit() {
    let (mut cq, _sq) = pair();
    let wait = Wait::for_completions(8)
        .min_wait(Duration::from_secs(3600))
        .timeout(Duration::from_millis(10));
    // It would be the test run that ended otherwise.
    assert!(cq.wait_with(&wait).unwrap().timed_out);
}

#[test]
fn wait_that_may_be_interrupted_is_not_by_completions() {
    let (mut cq, mut sq) = pair();
    let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
    for (i, (reader, _)) in pipes.iter().enumerate() {
        let poll = PollAdd {
            fd: reader.as_raw_fd(),
            poll_mask: libc::POLLIN.cast_unsigned().into(),
        };
        // SAFETY: a poll points to nothing, and the pipe is open until it has completed.
        unsafe { sq.push(&poll, i as u64) }.unwrap();
    }
    let writing = thread::spawn(move || {
        for (_, writer) in &pipes {
            thread::sleep(Duration::from_millis(10));
            (&*writer).write_all(b"x").expect("room in the pipe");
        }
        pipes
    });
    let wait = Wait::for_completions(2)
        .timeout(Duration::from_secs(60))
        .return_on_signal();
    let waited = sq.submit_and_wait_with(&wait).unwrap();
    let expected = Waited {
        submitted: 2,
        ready: 2,
        ..Waited::default()
    };
    assert_eq!(waited, expected);
    assert_eq!(cq.completions().count(), 2);
    drop(writing.join().unwrap());
}

#[test]
fn short_submission_goes_on_even_if_the_time_has_passed() {
    let (mut cq, mut sq) = pair();
    for wait in [
        Wait::for_completions(1).timeout(Duration::ZERO),
        Wait::for_completions(0).timeout(Duration::ZERO),
        Wait::for_completions(2).return_on_signal(),
        Wait::for_completions(2),
    ] {
        let mut refused = Sqe::of(&Nop);
        refused.set_opcode(OpCode(255));
        // SAFETY: the kernel refuses the entry.
        unsafe { sq.push_raw(&refused, 1) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        let waited = sq.submit_and_wait_with(&wait).unwrap();
        let expected = Waited {
            submitted: 2,
            ready: 2,
            ..Waited::default()
        };
        assert_eq!(waited, expected, "{wait:?}");
        assert_eq!(sq.unsubmitted(), 0, "{wait:?}");
        assert_eq!(cq.completions().count(), 2, "{wait:?}");
    }
}

#[test]
fn completions_that_the_other_half_takes_count_as_come() {
    let (mut cq, mut sq) = pair();
    let times = [10, 20, 30].map(|delay| Timespec::from(Duration::from_millis(delay)));
    for time in &times {
        let timeout = Timeout {
            ts: time,
            count: 0,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: the times live until all have completed.
        unsafe { sq.push(&timeout, 0) }.unwrap();
    }
    let taking = thread::spawn(move || {
        for _ in 0..3 {
            let _ = cq.next().expect("a completion");
        }
    });
    // They start with this. The kernel wakes this half for each, and by then the other may have taken it.
    let wait = Wait::for_completions(3).timeout(Duration::from_secs(60));
    let waited = sq.submit_and_wait_with(&wait).unwrap();
    assert!(!waited.timed_out, "{waited:?}");
    taking.join().unwrap();
}

#[test]
fn wait_in_one_thread_ends_by_what_another_submits() {
    let (mut cq, mut sq) = pair();
    let waiting = thread::spawn(move || {
        let wait = Wait::for_completions(2).timeout(Duration::from_secs(60));
        cq.wait_with(&wait).map(|waited| waited.ready)
    });
    for i in 0..2 {
        thread::sleep(Duration::from_millis(10));
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, i) }.unwrap();
        sq.submit().unwrap();
    }
    assert_eq!(waiting.join().unwrap().unwrap(), 2);
}

#[test]
fn sqpoll_ring_submits_and_waits_with_a_limit() {
    let params = IoUringParams::default().entries(8).sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for round in 0..20 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, round) }.unwrap();
        if round % 5 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        let wait = Wait::for_completions(1).timeout(Duration::from_secs(60));
        let waited = sq.submit_and_wait_with(&wait).unwrap();
        assert_eq!((waited.submitted, waited.timed_out), (1, false));
        assert_eq!(cq.next().unwrap().user_data(), round);
    }
    let wait = Wait::for_completions(1).timeout(Duration::from_millis(5));
    assert!(sq.submit_and_wait_with(&wait).unwrap().timed_out);
}

#[test]
fn iopoll_ring_waits_until_there_is_a_completion() {
    let params = IoUringParams::default().entries(8).iopoll();
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for i in 0..100 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, i) }.unwrap();
        sq.submit_and_wait(1).unwrap();
        assert_eq!(
            cq.try_next()
                .unwrap()
                .map(|completion| completion.user_data()),
            Some(i)
        );
    }
    // A read that the ring cannot poll for ends with its error.
    let file = std::fs::File::open("/proc/self/comm").unwrap();
    let mut byte = [0u8; 1];
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the buffer and the file live until the completion has been taken.
    unsafe { sq.push(&read, 0) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert!(cq.next().unwrap().result().is_err());
}
