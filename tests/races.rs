//! Cancelling, polling and completing at the same time: whoever is first, the answers agree.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Cancel, CancelFlags, OpCode, PollAdd, PollFlags, PollMulti, PollUpdate, Read,
};
use lio_uring::{Completion, CompletionQueue, IoUring, IoUringParams, SqeFlags, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{CANCEL, PENDING, next, results, submit_pending};

const ECANCELED: i32 = -libc::ECANCELED;
const EALREADY: i32 = -libc::EALREADY;
const EINTR: i32 = -libc::EINTR;

#[track_caller]
fn push_cancel<T: Threads>(sq: &mut SubmissionQueue<T>, target: u64, user_data: u64) {
    let cancel = Cancel {
        user_data: target,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, user_data) }.expect("room");
}

/// Pushes a poll for data in a pipe.
#[track_caller]
fn push_poll<T: Threads>(sq: &mut SubmissionQueue<T>, pipe: &PipeReader, user_data: u64) {
    let poll = PollAdd {
        fd: pipe.as_raw_fd(),
        poll_mask: libc::POLLIN.cast_unsigned().into(),
    };
    // SAFETY: a poll points to nothing, and the test keeps the pipe until it has completed.
    unsafe { sq.push(&poll, user_data) }.expect("room");
}

/// Takes the completions of an operation and its cancellation, in this order.
#[track_caller]
fn both<T: Threads>(cq: &mut CompletionQueue<T>) -> (Completion, i32) {
    let mut both = [next(cq), next(cq)];
    both.sort_by_key(Completion::user_data);
    assert_eq!(
        (both[0].user_data(), both[1].user_data()),
        (PENDING, CANCEL)
    );
    (both[0], both[1].raw_result())
}

/// Lets a thread write into the pipe that it is given, once for each time that it is told to.
fn with_writer(mut writer: PipeWriter, body: impl FnOnce(&mpsc::SyncSender<()>)) {
    let (go, told) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        // Dropped when this ends, so that the other thread ends.
        let go = go;
        scope.spawn(move || {
            for () in told {
                writer.write_all(b"x").expect("the pipe has a reader");
            }
        });
        body(&go);
    });
}

#[test]
fn cancel_and_read_at_the_same_time_agree_who_was_first() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        with_writer(writer, |go| {
            for round in 0..300 {
                let mut byte = Box::new(0_u8);
                let read = Read {
                    fd: reader.as_raw_fd(),
                    ptr: (&raw mut *byte).cast(),
                    len: 1,
                    offset: 0,
                };
                // SAFETY: the byte is left alone until the completion has been taken.
                unsafe { sq.push(&read, PENDING) }.unwrap();
                submit_pending(cq, sq);
                push_cancel(sq, PENDING, CANCEL);
                go.send(()).unwrap();
                sq.submit().unwrap();
                let (read, cancelled) = both(cq);
                match (read.raw_result(), cancelled) {
                    (1, answer) => {
                        assert!(
                            [-libc::ENOENT, -libc::EALREADY].contains(&answer),
                            "{answer}"
                        );
                        assert_eq!(*byte, b'x');
                    }
                    // Linux 6.1 gives it to a worker, which can be stopped before it has begun.
                    (ECANCELED, 0 | EALREADY) => {
                        assert_eq!(*byte, 0, "round {round}");
                        // What was written is still there.
                        reader.read_exact(&mut [0]).unwrap();
                    }
                    other => panic!("round {round}: {other:?}"),
                }
            }
        });
    });
}

#[test]
fn cancel_and_poll_at_the_same_time_agree_who_was_first() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        with_writer(writer, |go| {
            for round in 0..300 {
                push_poll(sq, &reader, PENDING);
                submit_pending(cq, sq);
                push_cancel(sq, PENDING, CANCEL);
                go.send(()).unwrap();
                sq.submit().unwrap();
                let (poll, cancelled) = both(cq);
                match (poll.raw_result(), cancelled) {
                    (events, answer) if events > 0 => {
                        assert_eq!(events, libc::POLLIN.into());
                        assert!(
                            [-libc::ENOENT, -libc::EALREADY].contains(&answer),
                            "{answer}"
                        );
                    }
                    (ECANCELED, 0) => {}
                    other => panic!("round {round}: {other:?}"),
                }
                reader.read_exact(&mut [0]).unwrap();
            }
        });
    });
}

#[test]
fn cancel_of_some_of_many_leaves_the_others() {
    const N: usize = 8;
    each_ring!(|cq, sq| {
        let mut pipes: Vec<_> = (0..N).map(|_| io::pipe().unwrap()).collect();
        let mut bytes = [0_u8; N];
        for (i, ((reader, _), byte)) in pipes.iter().zip(&mut bytes).enumerate() {
            let read = Read {
                fd: reader.as_raw_fd(),
                ptr: (&raw mut *byte).cast(),
                len: 1,
                offset: 0,
            };
            // SAFETY: the bytes are left alone until all completions have been taken.
            unsafe { sq.push(&read, i as u64) }.unwrap();
        }
        submit_pending(cq, sq);
        for i in (1..N as u64).step_by(2) {
            push_cancel(sq, i, 10 + i);
        }
        let done = results(cq, sq, 8);
        let cancelled: Vec<_> = [1, 3, 5, 7].map(|i| (i, ECANCELED)).to_vec();
        let answers: Vec<_> = [11, 13, 15, 17].map(|i| (i, 0)).to_vec();
        assert_eq!(done, [cancelled, answers].concat());
        for (_, writer) in &mut pipes {
            writer.write_all(b"x").unwrap();
        }
        assert_eq!(results(cq, sq, 4), [(0, 1), (2, 1), (4, 1), (6, 1)]);
        assert_eq!(bytes, *b"x\0x\0x\0x\0");
    });
}

#[test]
fn cancel_of_reads_of_a_file_on_workers_ends_each_or_lets_it_finish() {
    const LEN: usize = 4096;
    let file = tempfile::tempfile().unwrap();
    for i in 0..16 {
        file.write_all_at(&[i; LEN], u64::from(i) * LEN as u64)
            .unwrap();
    }
    let sqpoll = IoUringParams::default().entries(64).sqpoll(100);
    let plain = IoUringParams::default().entries(64);
    for params in [plain, sqpoll] {
        let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
        for _ in 0..20 {
            let mut buffers = vec![[0xaa_u8; LEN]; 16];
            for (i, buffer) in buffers.iter_mut().enumerate() {
                let read = Read {
                    fd: file.as_raw_fd(),
                    ptr: buffer.as_mut_ptr().cast(),
                    len: LEN.try_into().unwrap(),
                    offset: (i * LEN) as u64,
                };
                sq.wait_for_space().unwrap();
                // SAFETY: the buffers are left alone until all completions have been taken.
                unsafe { sq.push_with_flags(&read, i as u64, SqeFlags::ASYNC) }.unwrap();
            }
            sq.submit().unwrap();
            for i in 0..16 {
                sq.wait_for_space().unwrap();
                push_cancel(&mut sq, i, 100 + i);
            }
            sq.submit().unwrap();
            let mut done: Vec<_> = (0..32).map(|_| next(&mut cq)).collect();
            done.sort_by_key(Completion::user_data);
            let (reads, answers) = done.split_at(16);
            for (i, ((read, answer), buffer)) in reads.iter().zip(answers).zip(&buffers).enumerate()
            {
                match (read.raw_result(), answer.raw_result()) {
                    (4096, answer) => {
                        assert!(
                            [-libc::ENOENT, -libc::EALREADY].contains(&answer),
                            "{answer}"
                        );
                        assert_eq!(buffer, &[u8::try_from(i).unwrap(); LEN]);
                    }
                    (ECANCELED, 0) => assert_eq!(buffer, &[0xaa; LEN]),
                    // It was at work, or on its way there, and interrupted.
                    (ECANCELED | EINTR, answer) => {
                        let answers = [-libc::EALREADY, -libc::ENOENT];
                        assert!(answers.contains(&answer), "{answer}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn cancel_reaches_what_the_kernels_thread_has_submitted() {
    let params = IoUringParams::default().entries(8).sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (reader, _writer) = io::pipe().unwrap();
    for _ in 0..20 {
        let mut byte = 0_u8;
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: (&raw mut byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone until the completion has been taken.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        sq.submit().unwrap();
        push_cancel(&mut sq, PENDING, CANCEL);
        sq.submit().unwrap();
        let (read, cancelled) = both(&mut cq);
        assert_eq!((read.raw_result(), cancelled), (ECANCELED, 0));
    }
}

#[test]
fn many_polls_at_once_complete_once_each() {
    const N: usize = 150;
    each_ring!(|cq, sq| {
        let mut pipes: Vec<_> = (0..N).map(|_| io::pipe().unwrap()).collect();
        for round in 0..3 {
            for (i, (reader, _)) in pipes.iter().enumerate() {
                if sq.is_full() {
                    submit_pending(cq, sq);
                }
                push_poll(sq, reader, i as u64);
            }
            submit_pending(cq, sq);
            // Another order than that of the polls.
            for i in 0..N {
                pipes[(i * 7 + round) % N].1.write_all(b"x").unwrap();
            }
            let mut seen = BTreeSet::new();
            for _ in 0..N {
                let done = next(cq);
                assert_eq!(done.result().unwrap(), libc::POLLIN.into());
                assert!(seen.insert(done.user_data()), "{done:?} came twice");
            }
            assert_eq!(seen, (0..N as u64).collect());
            assert_eq!(cq.try_next().unwrap(), None);
            for (reader, _) in &mut pipes {
                reader.read_exact(&mut [0]).unwrap();
            }
        }
    });
}

#[test]
fn many_polls_that_go_on_are_updated_while_they_complete() {
    const N: usize = 100;
    const UPDATE: u64 = 1000;
    // They came with Linux 5.13; MKDIRAT is of 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let params = IoUringParams::default().entries(128).cqsize(2048);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (mut readers, writers): (Vec<_>, Vec<_>) = (0..N).map(|_| io::pipe().unwrap()).unzip();
    let events = libc::POLLIN.cast_unsigned().into();
    for (i, reader) in (0..).zip(&readers) {
        let poll = PollMulti {
            fd: reader.as_raw_fd(),
            poll_mask: events,
        };
        // SAFETY: a poll points to nothing, and the pipe is open until the ring is dropped.
        unsafe { sq.push(&poll, i) }.unwrap();
    }
    submit_pending(&mut cq, &mut sq);
    for round in 0..10 {
        let mut told = [false; N];
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..N {
                    let mut writer = &writers[(i * 7 + round) % N];
                    writer.write_all(b"x").expect("the pipe has a reader");
                }
            });
            for i in 0..N as u64 {
                let update = PollUpdate {
                    old_user_data: i,
                    new_user_data: 0,
                    poll_mask: events,
                    flags: PollFlags::UPDATE_EVENTS,
                };
                // SAFETY: an update points to nothing.
                unsafe { sq.push(&update, UPDATE + i) }.unwrap();
            }
            sq.submit().unwrap();
            let mut answers = 0;
            while answers < N || told.contains(&false) {
                let done = next(&mut cq);
                match usize::try_from(done.user_data()).unwrap() {
                    i if i < N => {
                        assert_eq!(done.result().unwrap(), libc::POLLIN.into());
                        assert!(done.more(), "round {round}: {done:?}");
                        told[i] = true;
                    }
                    _ => {
                        // One that is completing this moment is not updated, and goes on.
                        let answer = done.raw_result();
                        assert!([0, -libc::EALREADY].contains(&answer), "{done:?}");
                        answers += 1;
                    }
                }
            }
        });
        for reader in &mut readers {
            reader.read_exact(&mut [0]).unwrap();
        }
        // An update may have told of the same byte once more.
        for done in cq.completions() {
            assert!(done.more() && done.user_data() < N as u64, "{done:?}");
        }
    }
}
