//! Waiting for processes, and for numbers in memory.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use lio_uring::owned::{Children, FutexWait, FutexWaitV, FutexWake, WaitId};

use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("WaitId", |_, way| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read line"]).stdin(Stdio::piped());
        let mut child = shell.spawn().expect("there is a shell");
        let children: Children<OwnedFd> = Children::Pid(child.id());
        let_go(way, WaitId::new(children, libc::WEXITED));
        // It has not ended meanwhile, so nobody else has waited for it.
        child.wait().expect("the child is still there");
    }),
    ("FutexWait", |_, way| {
        let wait = FutexWait {
            futex: Arc::new(AtomicU32::new(7)),
            expected: 7,
            mask: u32::MAX,
            shared: false,
        };
        let_go(way, wait);
    }),
    ("FutexWake", |_, way| {
        let wake = FutexWake {
            futex: Arc::new(AtomicU32::new(7)),
            count: 1,
            mask: u32::MAX,
            shared: false,
        };
        let_go(way, wake);
    }),
    ("FutexWaitV", |_, way| {
        let futexes = (0..100).map(|number| (Arc::new(AtomicU32::new(number)), number));
        let_go(way, FutexWaitV::new(futexes.collect()));
    }),
];
