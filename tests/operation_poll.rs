//! Readiness: waiting for it, and no longer waiting.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags, Operation, PollAdd, PollRemove, Read};
use lio_uring::{Completion, CompletionQueue, SqeFlags, SubmissionQueue};

#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{run, submit_pending, wait};

const PENDING: u64 = 1;
const REMOVAL: u64 = 2;

fn poll_of(fd: &impl AsRawFd, events: i16) -> PollAdd {
    PollAdd {
        fd: fd.as_raw_fd(),
        poll_mask: events.cast_unsigned().into(),
    }
}

/// Polls, waits for the completion, and returns the events.
#[track_caller]
fn poll<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: &impl AsRawFd,
    events: i16,
) -> i32 {
    // SAFETY: the file is borrowed.
    unsafe { run(cq, sq, &poll_of(fd, events), |_| ()) }.raw_result()
}

/// Pushes a poll and checks that it waits.
#[track_caller]
fn start<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: &impl AsRawFd,
    events: i16,
) {
    // SAFETY: the descriptor is open until the entry has been submitted.
    unsafe { sq.push(&poll_of(fd, events), PENDING) }.expect("room");
    submit_pending(cq, sq);
}

/// Pushes what ends the poll that waits, and returns the poll's completion and the other's result.
#[track_caller]
fn end<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    by: &impl Operation,
) -> (Completion, i32) {
    // SAFETY: removals and cancellations point to nothing.
    unsafe { sq.push(by, REMOVAL) }.expect("room");
    let mut both = wait(cq, sq, 2);
    both.sort_by_key(Completion::user_data);
    assert_eq!(both[1].user_data(), REMOVAL);
    (both[0], both[1].raw_result())
}

fn events(mask: i16) -> i32 {
    i32::from(mask)
}

#[test]
fn poll_of_what_is_ready_tells_the_events_asked_for() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let both = libc::POLLIN | libc::POLLOUT;
        assert_eq!(poll(cq, sq, &writer, both), events(libc::POLLOUT));
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(cq, sq, &reader, both), events(libc::POLLIN));
        let (here, mut there) = UnixStream::pair().unwrap();
        assert_eq!(poll(cq, sq, &here, both), events(libc::POLLOUT));
        there.write_all(b"x").unwrap();
        assert_eq!(poll(cq, sq, &here, both), events(both));
        assert_eq!(poll(cq, sq, &here, libc::POLLIN), events(libc::POLLIN));
    });
}

#[test]
fn poll_waits_until_there_is_data_and_takes_none_of_it() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        writer.write_all(b"data").unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!(done.result().unwrap(), events(libc::POLLIN));
        assert!(!done.more());
        let mut data = [0; 4];
        reader.read_exact(&mut data).unwrap();
        assert_eq!(&data, b"data");
        // Once is all.
        writer.write_all(b"more").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn poll_waits_until_there_is_room() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the descriptor is open, and the command takes nothing.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        let mut data = vec![0; usize::try_from(size).unwrap()];
        (&writer).write_all(&data).unwrap();
        start(cq, sq, &writer, libc::POLLOUT);
        reader.read_exact(&mut data).unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!(done.result().unwrap(), events(libc::POLLOUT));
    });
}

#[test]
fn poll_tells_of_errors_and_hangups_unasked() {
    each_ring!(|cq, sq| {
        let (reader, writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        drop(writer);
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), events(libc::POLLHUP));
        assert_eq!(poll(cq, sq, &reader, 0), events(libc::POLLHUP));
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let done = poll(cq, sq, &writer, 0);
        assert_eq!(done, events(libc::POLLERR));
    });
}

#[test]
fn poll_of_a_peer_that_writes_no_more_tells_so_where_asked() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        start(cq, sq, &here, libc::POLLRDHUP);
        there.shutdown(std::net::Shutdown::Write).unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!(done.result().unwrap(), events(libc::POLLRDHUP));
    });
}

#[test]
fn poll_of_a_regular_file_is_ready_or_einval() {
    let file = tempfile::tempfile().unwrap();
    each_ring!(|cq, sq| {
        let both = libc::POLLIN | libc::POLLOUT;
        assert_eq!(poll(cq, sq, &file, both), events(both));
        assert_eq!(poll(cq, sq, &file, libc::POLLPRI), -libc::EINVAL);
        assert_eq!(poll(cq, sq, &-1, both), -libc::EBADF);
    });
}

#[test]
fn poll_that_is_exclusive_wakes_one_of_two() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let poll = PollAdd {
            fd: reader.as_raw_fd(),
            poll_mask: libc::EPOLLEXCLUSIVE.cast_unsigned()
                | u32::from(libc::POLLIN.cast_unsigned()),
        };
        // SAFETY: the pipe stays open.
        unsafe { sq.push(&poll, 11) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&poll, 12) }.unwrap();
        submit_pending(cq, sq);
        writer.write_all(b"x").unwrap();
        let woken = wait(cq, sq, 1)[0];
        assert_eq!(woken.result().unwrap(), events(libc::POLLIN));
        // The other is still there to be removed.
        let other = PollRemove {
            user_data: 23 - woken.user_data(),
        };
        // SAFETY: the operation points to nothing.
        unsafe { sq.push(&other, 13) }.unwrap();
        let mut both = wait(cq, sq, 2);
        both.sort_by_key(Completion::user_data);
        assert_eq!(both[0].raw_result(), -libc::ECANCELED);
        assert_eq!(both[1].raw_result(), 0);
    });
}

#[test]
fn poll_goes_on_when_its_descriptor_is_closed() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        drop(reader);
        writer.write_all(b"x").unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), events(libc::POLLIN));
    });
}

#[test]
fn poll_linked_before_a_read_has_it_find_data() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let poll = poll_of(&reader, libc::POLLIN);
        // SAFETY: the pipe stays open.
        unsafe { sq.push_with_flags(&poll, 1, SqeFlags::IO_LINK) }.unwrap();
        let mut data = [0; 4];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: data.as_mut_ptr().cast(),
            len: 4,
            offset: 0,
        };
        // SAFETY: the data is left alone and the pipe open until the completion has been taken.
        unsafe { sq.push(&read, 2) }.unwrap();
        submit_pending(cq, sq);
        writer.write_all(b"data").unwrap();
        let results: Vec<_> = wait(cq, sq, 2)
            .iter()
            .map(|done| (done.user_data(), done.raw_result()))
            .collect();
        assert_eq!(results, [(1, events(libc::POLLIN)), (2, 4)]);
        assert_eq!(&data, b"data");
    });
}

#[test]
fn poll_remove_ends_the_poll_and_leaves_the_data() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        let (done, result) = end(cq, sq, &PollRemove { user_data: PENDING });
        assert_eq!((done.raw_result(), result), (-libc::ECANCELED, 0));
        writer.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        let mut data = [0; 4];
        reader.read_exact(&mut data).unwrap();
        assert_eq!(&data, b"kept");
    });
}

#[test]
fn poll_remove_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        let remove = PollRemove { user_data: PENDING };
        // SAFETY: the operation points to nothing.
        let done = unsafe { run(cq, sq, &remove, |_| ()) };
        assert_eq!(done.raw_result(), -libc::ENOENT, "nothing is there");
        let (reader, mut writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        let other = PollRemove { user_data: 99 };
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &other, |_| ()) };
        assert_eq!(done.raw_result(), -libc::ENOENT, "something else is there");
        writer.write_all(b"x").unwrap();
        wait(cq, sq, 1)[0].result().unwrap();
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &remove, |_| ()) };
        assert_eq!(done.raw_result(), -libc::ENOENT, "it has completed");
    });
}

#[test]
fn poll_remove_is_for_polls_alone() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut byte = [0u8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: byte.as_mut_ptr().cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone and the pipe open until the completion has been taken.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        submit_pending(cq, sq);
        // SAFETY: the operation points to nothing.
        let done = unsafe { run(cq, sq, &PollRemove { user_data: PENDING }, |_| ()) };
        assert_eq!(done.raw_result(), -libc::ENOENT);
        writer.write_all(b"x").unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 1);
        assert_eq!(&byte, b"x");
    });
}

#[test]
fn poll_is_cancelled_like_any_other_operation() {
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        start(cq, sq, &reader, libc::POLLIN);
        let cancel = Cancel {
            user_data: PENDING,
            flags: CancelFlags::empty(),
        };
        let (done, result) = end(cq, sq, &cancel);
        assert_eq!((done.raw_result(), result), (-libc::ECANCELED, 0));
    });
}
