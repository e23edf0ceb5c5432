//! The kernel's workers: where they run, and how many there may be.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::fs;
use std::os::fd::AsRawFd;

use lio_uring::operation::Read;
use lio_uring::{
    IoUringParams, RegisterCause, SqeFlags, SubmissionQueue, WorkerLimits, with_capacity,
};

/// The processors that this thread may run on.
fn allowed() -> Vec<u32> {
    // SAFETY: zero is a value of the structure.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a value of the size that is given.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(result, 0);
    (0..1024)
        // SAFETY: the number is within the set.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu as usize, &set) })
        .collect()
}

/// The processors that each of the kernel's workers of this process may run on, as text.
fn workers() -> Vec<String> {
    let of = |status: String| {
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        line("Name:")
            .starts_with("iou-wrk")
            .then(|| line("Cpus_allowed_list:"))
    };
    fs::read_dir("/proc/self/task")
        .expect("the process has threads")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(of)
        .collect()
}

/// Has a worker carry out a read, so that there is one.
fn work() -> (lio_uring::CompletionQueue, SubmissionQueue) {
    let (mut cq, mut sq) = with_capacity(8).expect("a ring");
    read(&mut cq, &mut sq);
    (cq, sq)
}

fn read(cq: &mut lio_uring::CompletionQueue, sq: &mut SubmissionQueue) {
    let file = fs::File::open("/proc/self/comm").expect("the file is there");
    let mut byte = [0u8; 1];
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the file and the buffer live until the completion has been taken.
    unsafe { sq.push_with_flags(&read, 1, SqeFlags::ASYNC) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    assert_eq!(cq.next().expect("a completion").raw_result(), 1);
}

#[test]
fn workers_run_where_they_are_bound() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let cpu = allowed()[0];
    let bound = sq.register_iowq_aff(&[cpu]);
    if kernel::since(5, 14, bound).is_none() {
        return;
    }
    read(&mut cq, &mut sq);
    let bound = workers();
    assert!(
        bound.contains(&cpu.to_string()),
        "no worker is bound to {cpu}: {bound:?}"
    );
    sq.unregister_iowq_aff().unwrap();
    read(&mut cq, &mut sq);
}

#[test]
fn processors_that_cannot_be_are_refused() {
    let (_cq, mut sq) = work();
    for cpus in [&[][..], &[8191], &[8192], &[0, u32::MAX]] {
        let error = sq.register_iowq_aff(cpus).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{cpus:?}");
        assert!(
            matches!(error.cause(), RegisterCause::Refused { .. }),
            "{error}"
        );
    }
}

#[test]
fn limits_are_set_and_tell_what_was_before() {
    let (_cq, mut sq) = work();
    let Some(first) = kernel::since(5, 15, sq.iowq_max_workers()) else {
        return;
    };
    assert!(first.bounded > 0 && first.unbounded > 0, "{first:?}");
    let some = WorkerLimits {
        bounded: 3,
        unbounded: 5,
    };
    assert_eq!(sq.register_iowq_max_workers(some).unwrap(), first);
    assert_eq!(sq.iowq_max_workers().unwrap(), some);
    // 0 leaves the limit alone.
    let one = WorkerLimits {
        bounded: 0,
        unbounded: 7,
    };
    assert_eq!(sq.register_iowq_max_workers(one).unwrap(), some);
    let both = WorkerLimits {
        bounded: 3,
        unbounded: 7,
    };
    assert_eq!(sq.iowq_max_workers().unwrap(), both);
    sq.register_iowq_max_workers(first).unwrap();
}

#[test]
fn limits_above_what_can_be_counted_are_refused() {
    let (_cq, mut sq) = work();
    let before = sq.iowq_max_workers();
    let Some(before) = kernel::since(5, 15, before) else {
        return;
    };
    let limits = WorkerLimits {
        bounded: u32::MAX,
        unbounded: 1,
    };
    let error = sq.register_iowq_max_workers(limits).unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    assert_eq!(sq.iowq_max_workers().unwrap(), before);
}

#[test]
fn workers_of_a_ring_with_sqpoll_are_bound() {
    let params = IoUringParams::default().entries(8).sqpoll(10);
    let (_cq, mut sq) = lio_uring::IoUring::with_params(params).unwrap();
    let bound = sq.register_iowq_aff(&allowed()[..1]);
    if kernel::since(5, 14, bound).is_some() {
        sq.unregister_iowq_aff().unwrap();
    }
}
