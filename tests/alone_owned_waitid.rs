//! The owned layer: child processes.
//!
//! In a binary of its own because whoever waits for any child would take those of other tests.
#![cfg(target_os = "linux")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libc::{WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED};
use lio_uring::operation::OpCode;
use lio_uring::owned::{Children, Fate, Ring, Told, WaitId};

#[path = "support/needs.rs"]
mod needs;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Keeps other tests from waiting for children meanwhile; `None` if the kernel has no such
/// operation.
fn alone() -> Option<MutexGuard<'static, ()>> {
    let lock = ONE_AT_A_TIME.lock();
    needs::operations(&[OpCode::WAITID]).then(|| lock.unwrap_or_else(PoisonError::into_inner))
}

/// A process that will exit with the status 7 when it is told to, in a process group of its own.
fn shell() -> Child {
    Command::new("sh")
        .args(["-c", "read line; exit 7"])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("there is a shell")
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so that nobody else has its number.
    let done = unsafe { libc::kill(child.id().cast_signed(), signal) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

fn pidfd(child: &Child) -> OwnedFd {
    // SAFETY: the call has no conditions.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = fd.try_into().expect("a descriptor");
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Waits, and returns what was told.
#[track_caller]
fn wait(children: Children, options: i32) -> io::Result<Option<Told>> {
    let ring = Ring::new(8).expect("a ring");
    let told = ring.push(WaitId::new(children, options)).expect("room");
    told.wait().expect("an end")
}

/// Fails unless this is about the child.
#[track_caller]
fn assert_told(told: io::Result<Option<Told>>, child: &Child, fate: Fate) {
    let told = told.expect("no error").expect("something to tell");
    assert_eq!((told.pid, told.fate), (child.id(), fate));
    // SAFETY: the call has no conditions.
    assert_eq!(told.uid, unsafe { libc::getuid() });
}

/// Fails if the child can still be waited for.
#[track_caller]
fn assert_gone(mut child: Child) {
    let gone = child.wait().expect_err("it has been waited for");
    assert_eq!(gone.raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn child_that_ends_is_told_of_however_it_is_named() {
    let Some(_alone) = alone() else { return };
    for name in [
        |child: &Child| Children::Pid(child.id()),
        |child: &Child| Children::Group(child.id()),
        |child: &Child| Children::Pidfd(pidfd(child)),
        |_: &Child| Children::Any,
    ] {
        let ring = Ring::new(8).expect("a ring");
        let mut child = shell();
        let ticket = ring.push(WaitId::new(name(&child), WEXITED)).expect("room");
        ring.submit().expect("a submission");
        assert!(!ticket.is_done());
        drop(child.stdin.take());
        assert_told(ticket.wait().expect("an end"), &child, Fate::Exited(7));
        assert_gone(child);
    }
}

#[test]
fn child_that_is_stopped_goes_on_and_is_killed_is_told_of_each_time() {
    let Some(_alone) = alone() else { return };
    let child = shell();
    let pid = || Children::Pid(child.id());
    signal(&child, libc::SIGSTOP);
    assert_told(wait(pid(), WSTOPPED), &child, Fate::Stopped(libc::SIGSTOP));
    signal(&child, libc::SIGCONT);
    assert_told(wait(pid(), WCONTINUED), &child, Fate::Continued);
    assert_eq!(wait(pid(), WEXITED | WNOHANG).expect("no error"), None);
    signal(&child, libc::SIGKILL);
    let killed = Fate::Killed(libc::SIGKILL);
    assert_told(wait(pid(), WEXITED | WNOWAIT), &child, killed);
    assert_told(wait(pid(), WEXITED), &child, killed);
    assert_gone(child);
}

#[test]
fn wait_that_nobody_wants_any_longer_takes_no_child() {
    let Some(_alone) = alone() else { return };
    let mut child = shell();
    let ring = Ring::new(8).expect("a ring");
    let wait = || WaitId::<OwnedFd>::new(Children::Pid(child.id()), WEXITED);
    let ticket = ring.push(wait()).expect("room");
    ring.submit().expect("a submission");
    drop(ticket);
    let limited = ring.push_within(wait(), Duration::from_millis(5));
    let stopped = limited.expect("room").wait().expect("an end");
    let stopped = stopped.expect_err("the child is there");
    assert_eq!(stopped.raw_os_error(), Some(libc::ECANCELED));
    ring.close(Duration::from_secs(60)).expect("all have ended");
    assert_eq!(child.wait().expect("a child").code(), Some(7));
}

#[test]
fn wait_that_cannot_be_gives_an_error() {
    let Some(_alone) = alone() else { return };
    let errno = |told: io::Result<Option<Told>>| told.expect_err("an error").raw_os_error();
    assert_eq!(errno(wait(Children::Any, WEXITED)), Some(libc::ECHILD));
    assert_eq!(errno(wait(Children::Any, 0)), Some(libc::EINVAL));
    let file: OwnedFd = tempfile::tempfile().expect("a file").into();
    let no_pidfd = wait(Children::Pidfd(file), WEXITED);
    assert_eq!(errno(no_pidfd), Some(libc::EBADF));
}
