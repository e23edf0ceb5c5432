//! The kernel's thread that submits: it sleeps, is woken, makes room, serves several rings.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use lio_uring::operation::{Nop, Read};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, SubmissionQueue, Wait};

#[path = "support/child.rs"]
mod child;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/until.rs"]
mod until;

use until::until;

const LIMIT: Duration = Duration::from_secs(60);

/// Whether the threads that serve this process's rings sleep; nothing if there are none.
fn asleep() -> Option<bool> {
    let tasks = fs::read_dir("/proc/self/task").expect("the process has threads");
    let states: Vec<_> = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains("(iou-sqp-"))
        .map(|stat| stat.contains(") S "))
        .collect();
    (!states.is_empty()).then(|| states.iter().all(|asleep| *asleep))
}

#[track_caller]
fn take(cq: &mut CompletionQueue) -> u64 {
    let waited = cq.wait_with(&Wait::for_completions(1).timeout(LIMIT));
    assert!(!waited.expect("no error").timed_out, "no completion");
    let done = cq.try_next().expect("no error").expect("a completion");
    assert!(done.raw_result() >= 0, "{done:?}");
    done.user_data()
}

#[test]
fn thread_falls_asleep_and_is_woken_by_a_submission() {
    const NAME: &str = "thread_falls_asleep_and_is_woken_by_a_submission";
    // In a process without the threads of other tests.
    child::in_child(
        NAME,
        || Some(()),
        || {
            let params = IoUringParams::default().entries(4).sqpoll(1);
            let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
            for round in 0..5 {
                // SAFETY: a NOP points to nothing.
                unsafe { sq.push(&Nop, round) }.unwrap();
                sq.submit().unwrap();
                assert_eq!(take(&mut cq), round);
                // Before Linux 5.12 it is none of the process's threads.
                until("the thread stays awake", || {
                    kernel::older_than(5, 12) || asleep() == Some(true)
                });
            }
        },
    );
}

#[test]
fn waiting_for_space_makes_room_for_one_more() {
    for idle in [1, 100] {
        let params = IoUringParams::default().entries(8).sqpoll(idle);
        let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
        let mut taken = 0;
        for i in 0..4_000 {
            // SAFETY: a NOP points to nothing.
            if unsafe { sq.push(&Nop, i) }.is_err() {
                sq.wait_for_space().unwrap();
                // SAFETY: as above.
                unsafe { sq.push(&Nop, i) }.expect("there was to be room");
            }
            for done in cq.completions() {
                assert_eq!(done.user_data(), taken);
                taken += 1;
            }
        }
        sq.submit().unwrap();
        while taken < 4_000 {
            assert_eq!(take(&mut cq), taken);
            taken += 1;
        }
    }
}

#[test]
fn thread_of_one_ring_serves_others_and_outlives_it() {
    const RINGS: usize = 8;
    let file = tempfile::tempfile().unwrap();
    let text: Vec<u8> = (0..=255).collect();
    file.write_all_at(&text, 0).unwrap();
    let params = IoUringParams::default().entries(16).sqpoll(10);
    let mut rings: Vec<(CompletionQueue, SubmissionQueue)> = Vec::new();
    for _ in 0..RINGS {
        let params = match rings.first() {
            Some((_, first)) => params.attach_wq(first.as_raw_fd()),
            None => params,
        };
        rings.push(IoUring::with_params(params).unwrap());
    }
    while !rings.is_empty() {
        let mut buffers = vec![[[0_u8; 16]; 16]; rings.len()];
        for ((_, sq), buffers) in rings.iter_mut().zip(&mut buffers) {
            for (i, buffer) in buffers.iter_mut().enumerate() {
                let read = Read {
                    fd: file.as_raw_fd(),
                    ptr: buffer.as_mut_ptr().cast(),
                    len: 16,
                    offset: 16 * i as u64,
                };
                // The thread may be behind with the last round.
                sq.wait_for_space().unwrap();
                // SAFETY: buffers and file stay until all completions have been taken.
                unsafe { sq.push(&read, i as u64) }.unwrap();
            }
            sq.submit().unwrap();
        }
        for ((cq, _), buffers) in rings.iter_mut().zip(&buffers) {
            let mut seen: Vec<_> = (0..16).map(|_| take(cq)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..16).collect::<Vec<_>>());
            assert_eq!(buffers.concat(), text);
        }
        // The one that the thread was made for goes first.
        rings.remove(0);
    }
}
