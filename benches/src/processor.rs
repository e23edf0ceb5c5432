//! Processors: which there are, and how long a process has used them.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The processors that this thread may use, in order.
///
/// # Panics
///
/// If the kernel does not say.
pub fn allowed() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("an affinity");
    (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .collect()
}

/// Has this thread, and those that it starts, use one processor alone.
///
/// # Panics
///
/// If it may not.
pub fn pin(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &only).expect("an affinity");
}

/// How long a process has used processors, in its own code and in the kernel, with all its threads.
///
/// # Panics
///
/// If there is no such process.
pub fn used_by(pid: u32) -> Duration {
    let pid = Pid::from_raw(pid.cast_signed());
    let clock = clock_getcpuclockid(pid).expect("the clock of a process");
    clock_gettime(clock).expect("its time").into()
}
