//! Child processes: what has become of them, told by the ring.
//!
//! In a binary of its own because whoever waits for any child would take those of other tests.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED};
use lio_uring::kind::Threads;
use lio_uring::operation::{
    Cancel, CancelFlags, LinkTimeout, OpCode, TimeoutFlags, Timespec, Waitid,
};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{CANCEL, PENDING, cancel_answered, results, run, submit_pending};

/// What an answer holds that nothing has been written to.
const UNTOUCHED: i32 = 0x5555;

/// The user data of a limit.
const LIMITED: u64 = 2;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Keeps other tests from waiting for children meanwhile; `None` if the kernel has no such
/// operation.
fn alone() -> Option<MutexGuard<'static, ()>> {
    let lock = ONE_AT_A_TIME.lock();
    needs::operations(&[OpCode::WAITID]).then(|| lock.unwrap_or_else(PoisonError::into_inner))
}

/// A process that ends when it is told to, in a process group of its own.
struct Shell(Child);

impl Shell {
    /// It will exit with the status 7.
    fn new() -> Self {
        let child = Command::new("sh")
            .args(["-c", "read line; exit 7"])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        Self(child.expect("there is a shell"))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so that nobody else has its number.
        let done = unsafe { libc::kill(self.id().cast_signed(), signal) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    fn pidfd(&self) -> OwnedFd {
        // SAFETY: the call has no conditions.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.id(), 0) };
        let fd = fd.try_into().expect("a descriptor");
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }

    /// Ends it and waits for it by the system call, which must find it still there.
    #[track_caller]
    fn reap(mut self) {
        self.end();
        assert_eq!(self.0.wait().expect("a child").code(), Some(7));
    }

    /// Fails if it can still be waited for.
    #[track_caller]
    fn assert_gone(mut self) {
        let gone = self.0.wait().expect_err("it has been waited for");
        assert_eq!(gone.raw_os_error(), Some(libc::ECHILD));
    }
}

/// What has become of a child: its process, code and status.
type Fate = (u32, i32, i32);

/// Memory for an answer.
struct Answer(Box<libc::siginfo_t>);

impl Answer {
    fn new() -> Self {
        // SAFETY: zeros are a value of the structure.
        let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        info.si_signo = UNTOUCHED;
        Self(Box::new(info))
    }

    fn pointer(&mut self) -> *mut libc::siginfo_t {
        &raw mut *self.0
    }

    fn fate(&self) -> Fate {
        assert_eq!((self.0.si_signo, self.0.si_errno), (libc::SIGCHLD, 0));
        // SAFETY: an answer is about a child.
        let pid = unsafe { self.0.si_pid() };
        // SAFETY: as above.
        let uid = unsafe { self.0.si_uid() };
        // SAFETY: as above.
        let status = unsafe { self.0.si_status() };
        // SAFETY: the call has no conditions.
        assert_eq!(uid, unsafe { libc::getuid() });
        (pid.cast_unsigned(), self.0.si_code, status)
    }
}

fn waitid_of(idtype: libc::idtype_t, id: u32, options: i32, answer: &mut Answer) -> Waitid {
    Waitid {
        idtype,
        id,
        infop: answer.pointer(),
        options,
        flags: 0,
    }
}

/// Waits for a child that has something to tell, and returns its fate.
#[track_caller]
fn waitid<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    child: &Shell,
    options: i32,
) -> Fate {
    let mut answer = Answer::new();
    let waitid = waitid_of(libc::P_PID, child.id(), options, &mut answer);
    // SAFETY: the answer stays until the completion has been taken.
    let done = unsafe { run(cq, sq, &waitid, |_| ()) };
    assert_eq!(done.result().expect("a child"), 0);
    answer.fate()
}

/// Pushes a wait, which will have to wait.
#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, waitid: &Waitid, user_data: u64) {
    // SAFETY: the tests keep their answers until the completion has been taken.
    unsafe { sq.push(waitid, user_data) }.expect("room");
}

#[test]
fn waitid_tells_how_a_child_has_exited() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let mut child = Shell::new();
        let mut answer = Answer::new();
        let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, &mut answer);
        push(sq, &waitid, PENDING);
        submit_pending(cq, sq);
        child.end();
        assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
        assert_eq!(answer.fate(), (child.id(), libc::CLD_EXITED, 7));
        child.assert_gone();
    });
}

#[test]
fn waitid_tells_which_signal_has_killed_a_child() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        for signal in [libc::SIGKILL, libc::SIGTERM] {
            let child = Shell::new();
            let mut answer = Answer::new();
            let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, &mut answer);
            push(sq, &waitid, PENDING);
            submit_pending(cq, sq);
            child.signal(signal);
            assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
            assert_eq!(answer.fate(), (child.id(), libc::CLD_KILLED, signal));
            child.assert_gone();
        }
    });
}

#[test]
fn waitid_tells_of_a_child_that_stops_and_goes_on() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let child = Shell::new();
        for (signal, options, code) in [
            (libc::SIGSTOP, WSTOPPED | WEXITED, libc::CLD_STOPPED),
            (libc::SIGCONT, WCONTINUED, libc::CLD_CONTINUED),
        ] {
            let mut answer = Answer::new();
            let waitid = waitid_of(libc::P_PID, child.id(), options, &mut answer);
            push(sq, &waitid, PENDING);
            submit_pending(cq, sq);
            child.signal(signal);
            assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
            assert_eq!(answer.fate(), (child.id(), code, signal));
        }
        child.reap();
    });
}

#[test]
fn waitid_finds_a_child_by_each_kind_of_number() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        for (idtype, ready) in [libc::P_PID, libc::P_PGID, libc::P_PIDFD, libc::P_ALL]
            .into_iter()
            .flat_map(|idtype| [(idtype, true), (idtype, false)])
        {
            let mut child = Shell::new();
            let mut other = Shell::new();
            let pidfd = child.pidfd();
            let id = match idtype {
                libc::P_PIDFD => pidfd.as_raw_fd().cast_unsigned(),
                libc::P_ALL => 0,
                // It leads a group of its own.
                _ => child.id(),
            };
            let mut answer = Answer::new();
            let waitid = waitid_of(idtype, id, WEXITED, &mut answer);
            if ready {
                child.end();
                push(sq, &waitid, PENDING);
            } else {
                push(sq, &waitid, PENDING);
                submit_pending(cq, sq);
                if idtype != libc::P_ALL {
                    other.signal(libc::SIGKILL);
                }
                child.end();
            }
            assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
            assert_eq!(answer.fate(), (child.id(), libc::CLD_EXITED, 7));
            child.assert_gone();
            other.end();
            other.0.wait().unwrap();
        }
    });
}

#[test]
fn waitid_of_several_children_tells_each_its_own() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let mut children = [Shell::new(), Shell::new(), Shell::new()];
        let mut answers = [Answer::new(), Answer::new(), Answer::new()];
        for (user_data, (child, answer)) in (0..).zip(children.iter().zip(&mut answers)) {
            let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, answer);
            push(sq, &waitid, user_data);
        }
        submit_pending(cq, sq);
        for i in [1, 0, 2] {
            children[i].end();
            assert_eq!(results(cq, sq, 1), [(i as u64, 0)]);
            let wanted = (children[i].id(), libc::CLD_EXITED, 7);
            assert_eq!(answers[i].fate(), wanted);
        }
        children.into_iter().for_each(Shell::assert_gone);
    });
}

#[test]
fn waitid_that_only_looks_leaves_the_child() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let mut child = Shell::new();
        child.end();
        let wanted = (child.id(), libc::CLD_EXITED, 7);
        for options in [WNOWAIT, WNOWAIT, 0] {
            assert_eq!(waitid(cq, sq, &child, WEXITED | options), wanted);
        }
        child.assert_gone();
    });
}

#[test]
fn waitid_that_may_not_wait_tells_that_there_is_nothing() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let child = Shell::new();
        let mut answer = Answer::new();
        let waitid = waitid_of(libc::P_PID, child.id(), WEXITED | WNOHANG, &mut answer);
        push(sq, &waitid, PENDING);
        assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
        assert_eq!(answer.0.si_signo, 0);
        // SAFETY: an answer is about a child, or about none.
        assert_eq!(unsafe { answer.0.si_pid() }, 0);
        child.reap();
    });
}

#[test]
fn waitid_without_memory_for_the_answer_takes_the_child() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        for (infop, result) in [
            (ptr::null_mut(), 0),
            (ptr::without_provenance_mut(8), -libc::EFAULT),
        ] {
            let mut child = Shell::new();
            let waitid = Waitid {
                infop,
                ..waitid_of(libc::P_PID, child.id(), WEXITED, &mut Answer::new())
            };
            push(sq, &waitid, PENDING);
            submit_pending(cq, sq);
            child.end();
            assert_eq!(results(cq, sq, 1), [(PENDING, result)]);
            child.assert_gone();
        }
    });
}

#[test]
fn waitid_of_what_is_no_child_gives_echild() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let own = std::process::id();
        for (idtype, id) in [
            (libc::P_PID, own),
            (libc::P_PGID, own),
            (libc::P_PID, i32::MAX.cast_unsigned()),
            (libc::P_ALL, 0),
        ] {
            let mut answer = Answer::new();
            push(sq, &waitid_of(idtype, id, WEXITED, &mut answer), PENDING);
            let done = results(cq, sq, 1);
            assert_eq!(done, [(PENDING, -libc::ECHILD)], "{idtype} {id}");
        }
    });
}

#[test]
fn waitid_that_makes_no_sense_fails_and_leaves_the_child() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let mut child = Shell::new();
        child.end();
        let null = File::open("/dev/null").unwrap();
        let mut answer = Answer::new();
        let good = waitid_of(libc::P_PID, child.id(), WEXITED, &mut answer);
        let of = |idtype, id| Waitid { idtype, id, ..good };
        for (wrong, errno) in [
            (Waitid { flags: 1, ..good }, libc::EINVAL),
            (Waitid { options: 0, ..good }, libc::EINVAL),
            (
                Waitid {
                    options: WEXITED | 1 << 20,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                Waitid {
                    options: WNOHANG,
                    ..good
                },
                libc::EINVAL,
            ),
            (of(99, child.id()), libc::EINVAL),
            (of(libc::P_PID, 0), libc::EINVAL),
            (of(libc::P_PID, u32::MAX), libc::EINVAL),
            (of(libc::P_PGID, u32::MAX), libc::EINVAL),
            (of(libc::P_PIDFD, u32::MAX), libc::EINVAL),
            (
                of(libc::P_PIDFD, null.as_raw_fd().cast_unsigned()),
                libc::EBADF,
            ),
        ] {
            push(sq, &wrong, PENDING);
            assert_eq!(results(cq, sq, 1), [(PENDING, -errno)], "{wrong:?}");
        }
        child.reap();
    });
}

#[test]
fn waitid_cancelled_has_taken_no_child() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let child = Shell::new();
        let mut answer = Answer::new();
        let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, &mut answer);
        push(sq, &waitid, PENDING);
        submit_pending(cq, sq);
        let (done, counted) = cancel_answered(cq, sq);
        assert_eq!((done.raw_result(), counted), (-libc::ECANCELED, 1));
        // It has written that it knows nothing.
        assert_eq!(answer.0.si_signo, 0);
        child.reap();
    });
}

#[test]
fn waitid_with_a_limit_ends_when_time_is_up() {
    static SOON: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let child = Shell::new();
        let mut answer = Answer::new();
        let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, &mut answer);
        // SAFETY: the answer stays until the completion has been taken.
        unsafe { sq.push_with_flags(&waitid, PENDING, SqeFlags::IO_LINK) }.unwrap();
        let limit = LinkTimeout {
            ts: &raw const SOON,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: the time is valid for ever.
        unsafe { sq.push(&limit, LIMITED) }.unwrap();
        let done = results(cq, sq, 2);
        assert_eq!(done[0], (PENDING, -libc::ECANCELED));
        // The limit's result is how many the kernel has cancelled on some kernels, ETIME on those
        // that have mended it, Linux 6.12.117 among them.
        assert!(
            [(LIMITED, 1), (LIMITED, -libc::ETIME)].contains(&done[1]),
            "{done:?}"
        );
        child.reap();
    });
}

#[test]
fn waitid_cancelled_together_with_others_counts_as_one() {
    let Some(_alone) = alone() else { return };
    each_ring!(|cq, sq| {
        let children = [Shell::new(), Shell::new()];
        let mut answers = [Answer::new(), Answer::new()];
        for (child, answer) in children.iter().zip(&mut answers) {
            let waitid = waitid_of(libc::P_PID, child.id(), WEXITED, answer);
            push(sq, &waitid, PENDING);
        }
        submit_pending(cq, sq);
        let all = Cancel {
            user_data: PENDING,
            flags: CancelFlags::ALL,
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&all, CANCEL) }.unwrap();
        let gone = (PENDING, -libc::ECANCELED);
        assert_eq!(results(cq, sq, 3), [gone, gone, (CANCEL, 1)]);
        children.into_iter().for_each(Shell::reap);
    });
}
