//! Waiting for child processes.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Which child processes are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children<F = OwnedFd> {
    /// Any.
    Any,
    /// The one with this number.
    Pid(u32),
    /// Those of the process group with this number; 0 for the program's own group.
    Group(u32),
    /// The one that a pidfd refers to. A registered file cannot be one, for the kernel.
    Pidfd(F),
}

/// Waits until a child process has ended, stopped or gone on.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::process::Command;
/// use lio_uring::owned::{Children, Fate, Ring, WaitId};
///
/// # use lio_uring::Probe;
/// # use lio_uring::operation::OpCode;
/// # fn main() -> std::io::Result<()> {
/// # if !Probe::new()?.supports(OpCode::WAITID) { return Ok(()); }
/// let ring = Ring::new(8)?;
/// let child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
/// let wait: WaitId = WaitId::new(Children::Pid(child.id()), libc::WEXITED);
/// let told = ring.push(wait)?.wait()??.expect("without WNOHANG it waits");
/// assert_eq!((told.pid, told.fate), (child.id(), Fate::Exited(3)));
/// # Ok(())
/// # }
/// ```
///
/// # Output
///
/// Which child it is, and what has become of it; `None` if with `WNOHANG` there was nothing to tell.
///
/// A child that has ended is told of once, unless with `WNOWAIT`, and is gone then: a
/// [`std::process::Child`] that waits for it, too, gets `ECHILD`, or comes first.
///
/// # Cancellation
///
/// If the cancellation comes too late, the child is gone, and nobody is told.
///
/// Kernels before 6.7 do not have it: `EINVAL`.
///
/// See [`operation::Waitid`].
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct WaitId<F = OwnedFd> {
    children: Children<F>,
    options: i32,
    answer: libc::siginfo_t,
}

impl<F: AsFd> WaitId<F> {
    /// Waits for what the options name: `WEXITED`, `WSTOPPED`, `WCONTINUED`, at least one of them, and
    /// `WNOHANG`, `WNOWAIT`.
    pub fn new(children: Children<F>, options: i32) -> Self {
        Self {
            children,
            options,
            // SAFETY: the structure consists of numbers, which can be zero.
            answer: unsafe { mem::zeroed() },
        }
    }
}

// SAFETY: the entry names the pidfd, which is owned, and the answer, which is part of the value and
// not used until it has ended.
unsafe impl<F: AsFd> Operation for WaitId<F> {
    type Output = io::Result<Option<Told>>;

    fn entry(&mut self) -> Sqe {
        let (idtype, id) = match &self.children {
            Children::Any => (libc::P_ALL, 0),
            Children::Pid(pid) => (libc::P_PID, *pid),
            Children::Group(group) => (libc::P_PGID, *group),
            Children::Pidfd(fd) => (libc::P_PIDFD, fd.as_fd().as_raw_fd().cast_unsigned()),
        };
        Sqe::of(&operation::Waitid {
            idtype,
            id,
            infop: &raw mut self.answer,
            options: self.options,
            flags: 0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result()?;
        Ok((self.answer.si_signo != 0).then(|| Told::of(&self.answer)))
    }
}

impl<F: fmt::Debug> fmt::Debug for WaitId<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitId")
            .field("children", &self.children)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What was told of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// The child.
    pub pid: u32,
    /// The user that it runs as, or did.
    pub uid: u32,
    /// What has become of it.
    pub fate: Fate,
}

/// What has become of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It has exited with this status.
    Exited(i32),
    /// This signal has ended it.
    Killed(i32),
    /// This signal has ended it, and its memory was dumped.
    Dumped(i32),
    /// It was stopped by this signal.
    Stopped(i32),
    /// It is traced, and was trapped by this signal.
    Trapped(i32),
    /// It goes on.
    Continued,
}

impl Told {
    /// From an answer about a child.
    fn of(answer: &libc::siginfo_t) -> Self {
        // SAFETY: an answer has this field, and what was not written to is zero.
        let pid = unsafe { answer.si_pid() };
        // SAFETY: as above.
        let uid = unsafe { answer.si_uid() };
        // SAFETY: as above.
        let status = unsafe { answer.si_status() };
        Self {
            pid: pid.cast_unsigned(),
            uid,
            fate: match answer.si_code {
                libc::CLD_EXITED => Fate::Exited(status),
                libc::CLD_KILLED => Fate::Killed(status),
                libc::CLD_DUMPED => Fate::Dumped(status),
                libc::CLD_STOPPED => Fate::Stopped(status),
                libc::CLD_TRAPPED => Fate::Trapped(status),
                _ => Fate::Continued,
            },
        }
    }
}
