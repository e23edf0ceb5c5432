//! Readiness, again and again: what counts as new, and what ends it.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, PollFlags, PollMulti, PollRemove};
use lio_uring::{
    Completion, CompletionQueue, IoUring, IoUringParams, Sqe, SqeFlags, SubmissionQueue,
};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{CANCEL, PENDING, cancel, next, results, run, submit_pending, wait};

const IN: i32 = libc::POLLIN as i32;
const OUT: i32 = libc::POLLOUT as i32;
const HUP: i32 = libc::POLLHUP as i32;
const RDHUP: i32 = libc::POLLRDHUP as i32;

fn poll_of(fd: RawFd, events: i32) -> PollMulti {
    PollMulti {
        fd,
        poll_mask: events.cast_unsigned(),
    }
}

/// Pushes a poll.
#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, file: &impl AsRawFd, events: i32) {
    // SAFETY: the descriptor is open until the entry has been submitted.
    unsafe { sq.push(&poll_of(file.as_raw_fd(), events), PENDING) }.expect("room");
}

/// Checks that nothing more has come, after a submission that has the kernel look.
#[track_caller]
fn assert_nothing_new<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 99) }.expect("room");
    assert_eq!(results(cq, sq, 1), [(99, 0)]);
}

/// Takes a completion of the poll that goes on, and returns its events.
#[track_caller]
fn more<T: Threads>(cq: &mut CompletionQueue<T>) -> i32 {
    let done = next(cq);
    assert_eq!((done.user_data(), done.more()), (PENDING, true), "{done:?}");
    done.result().expect("events")
}

/// Takes everything out of a socket.
fn drain(mut socket: &UnixStream) {
    socket.set_nonblocking(true).expect("a socket");
    let mut all = Vec::new();
    let error = socket.read_to_end(&mut all).expect_err("it is still open");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn poll_multi_completes_each_time_that_the_file_becomes_ready() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        push(sq, &here, IN);
        submit_pending(cq, sq);
        for _ in 0..20 {
            there.write_all(b"x").unwrap();
            assert_eq!(more(cq), IN);
            drain(&here);
            assert_nothing_new(cq, sq);
        }
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
    });
}

#[test]
fn poll_multi_of_what_is_ready_completes_at_once_and_goes_on() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"x").unwrap();
        push(sq, &here, IN);
        sq.submit().unwrap();
        assert_eq!(more(cq), IN);
        // What is left unread is not new; what comes on top of it is.
        for _ in 0..3 {
            assert_nothing_new(cq, sq);
            there.write_all(b"x").unwrap();
            assert_eq!(more(cq), IN);
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        let mut data = [0; 4];
        (&here).read_exact(&mut data).unwrap();
        assert_eq!(&data, b"xxxx", "nothing was taken");
    });
}

#[test]
fn poll_multi_tells_the_events_that_are_new() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        push(sq, &here, IN | OUT | RDHUP);
        sq.submit().unwrap();
        assert_eq!(more(cq), OUT);
        there.write_all(b"x").unwrap();
        // Later completions may leave out what is not new.
        assert_eq!(more(cq) & !OUT, IN);
        there.shutdown(Shutdown::Write).unwrap();
        assert_eq!(more(cq) & !(IN | OUT), RDHUP);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn poll_multi_tells_of_a_hangup_and_goes_on() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        push(sq, &reader, IN);
        submit_pending(cq, sq);
        writer.write_all(b"x").unwrap();
        assert_eq!(more(cq), IN);
        drop(writer);
        assert_eq!(more(cq) & !IN, HUP);
        assert_nothing_new(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn poll_multi_that_is_exclusive_completes() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        push(sq, &reader, IN | libc::EPOLLEXCLUSIVE);
        submit_pending(cq, sq);
        writer.write_all(b"x").unwrap();
        assert_eq!(more(cq), IN);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn poll_multi_takes_the_index_of_a_registered_file() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        sq.register_files(&[-1, here.as_raw_fd()]).unwrap();
        // SAFETY: the file stays open.
        unsafe { sq.push_with_flags(&poll_of(1, IN), PENDING, SqeFlags::FIXED_FILE) }.unwrap();
        submit_pending(cq, sq);
        for _ in 0..2 {
            there.write_all(b"x").unwrap();
            assert_eq!(more(cq), IN);
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn poll_multi_of_several_files_tells_each_its_own() {
    each_ring!(|cq, sq| {
        let mut pairs = [(); 4].map(|()| UnixStream::pair().unwrap());
        for (user_data, (here, _)) in (0..).zip(&pairs) {
            // SAFETY: the files stay open.
            unsafe { sq.push(&poll_of(here.as_raw_fd(), IN), user_data) }.unwrap();
        }
        submit_pending(cq, sq);
        for i in [2, 0, 3, 3, 1, 2] {
            pairs[i].1.write_all(b"x").unwrap();
            let done = next(cq);
            assert_eq!((done.user_data(), done.more()), (i as u64, true));
            assert_eq!(done.result().unwrap(), IN);
        }
    });
}

#[test]
fn poll_multi_ends_when_it_is_removed() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        push(sq, &here, IN);
        submit_pending(cq, sq);
        there.write_all(b"x").unwrap();
        assert_eq!(more(cq), IN);
        // SAFETY: the operation points to nothing.
        unsafe { sq.push(&PollRemove { user_data: PENDING }, CANCEL) }.unwrap();
        let mut both = wait(cq, sq, 2);
        both.sort_by_key(Completion::user_data);
        let [last, removed] = both[..] else {
            panic!("two completions")
        };
        assert_eq!(removed.result().unwrap(), 0);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        there.write_all(b"x").unwrap();
        assert_nothing_new(cq, sq);
    });
}

#[test]
fn poll_multi_goes_on_when_its_descriptor_is_closed() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        push(sq, &reader, IN);
        submit_pending(cq, sq);
        drop(reader);
        writer.write_all(b"x").unwrap();
        assert_eq!(more(cq), IN);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        assert!(writer.write_all(b"x").is_err(), "the file is let go of");
    });
}

#[test]
fn poll_multi_of_what_cannot_be_polled_fails() {
    let file = tempfile::tempfile().unwrap();
    each_ring!(|cq, sq| {
        let mut result = |fd, events, settings: fn(&mut Sqe)| {
            // SAFETY: the file is open, or refused.
            let done = unsafe { run(cq, sq, &poll_of(fd, events), settings) };
            assert!(!done.more());
            done.raw_result()
        };
        let pri = libc::POLLPRI.into();
        assert_eq!(result(file.as_raw_fd(), pri, |_| ()), -libc::EINVAL);
        assert_eq!(result(-1, IN, |_| ()), -libc::EBADF);
        // Events as long as they are there: no kernel takes it.
        let level: [fn(&mut Sqe); 2] = [
            |sqe| sqe.set_len((PollFlags::MULTI | PollFlags::LEVEL).bits()),
            |sqe| sqe.set_len(PollFlags::LEVEL.bits()),
        ];
        for level in level {
            assert_eq!(result(file.as_raw_fd(), IN, level), -libc::EINVAL);
        }
    });
}

#[test]
fn poll_multi_that_skips_successes_gives_einval() {
    // The flag came with Linux 5.17, MSG_RING with the next.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let poll = poll_of(here.as_raw_fd(), IN);
        // SAFETY: the file stays open.
        let done = unsafe {
            run(cq, sq, &poll, |sqe| {
                sqe.insert_flags(SqeFlags::CQE_SKIP_SUCCESS);
            })
        };
        assert_eq!((done.raw_result(), done.more()), (-libc::EINVAL, false));
    });
}

#[test]
fn poll_multi_on_a_full_completion_queue_goes_on_or_says_that_it_ends() {
    let params = IoUringParams::default().entries(2).cqsize(2);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (here, mut there) = UnixStream::pair().unwrap();
    push(&mut sq, &here, IN);
    submit_pending(&mut cq, &mut sq);
    for i in 0..2 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 10 + i) }.unwrap();
    }
    sq.submit().unwrap();
    assert_eq!(cq.ready(), 2);
    there.write_all(b"x").unwrap();
    assert_eq!(next(&mut cq).user_data(), 10);
    assert_eq!(next(&mut cq).user_data(), 11);
    let done = next(&mut cq);
    assert_eq!((done.user_data(), done.result().unwrap()), (PENDING, IN));
    println!("it goes on: {}", done.more());
    if !done.more() {
        assert_nothing_new(&mut cq, &mut sq);
        drain(&here);
        push(&mut sq, &here, IN);
        submit_pending(&mut cq, &mut sq);
    }
    there.write_all(b"x").unwrap();
    assert_eq!(more(&mut cq), IN);
}
