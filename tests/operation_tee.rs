//! Copying data from one pipe to another.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{SPLICE_F_FD_IN_FIXED, Splice, Tee};
use lio_uring::{CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/pipes.rs"]
mod pipes;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/workers.rs"]
mod workers;

use closed_fd::closed_fd;
use pipes::{assert_empty, fill, pipe_with, taken};
use rings::{PENDING, next, results, run, submit_pending};
use workers::cancel_at_work;

fn tee_of(from: &impl AsRawFd, to: &impl AsRawFd, nbytes: u32) -> Tee {
    Tee {
        fd_in: from.as_raw_fd(),
        fd_out: to.as_raw_fd(),
        nbytes,
        splice_flags: 0,
    }
}

/// Copies data, and returns the result.
#[track_caller]
fn tee<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, copy: &Tee) -> i32 {
    // SAFETY: the descriptors that the tests name are their own, or not open at all, and stay so
    // until the completion has been taken.
    unsafe { run(cq, sq, copy, |_| ()) }.raw_result()
}

#[test]
fn tee_copies_and_leaves_the_data() {
    each_ring!(|cq, sq| {
        let (one, _one_writer) = pipe_with(b"for both");
        let (two, two_writer) = io::pipe().unwrap();
        assert_eq!(tee(cq, sq, &tee_of(&one, &two_writer, 100)), 8);
        assert_eq!(tee(cq, sq, &tee_of(&one, &two_writer, 3)), 3);
        assert_eq!(taken(&two, 11), b"for bothfor");
        assert_eq!(taken(&one, 8), b"for both");
        assert_empty(&one);
        assert_empty(&two);
    });
}

#[test]
fn tee_and_splice_save_what_passes_through() {
    each_ring!(|cq, sq| {
        let mut log = tempfile::tempfile().unwrap();
        let (source, _source_writer) = pipe_with(b"passes");
        let (copy, copy_writer) = io::pipe().unwrap();
        let (sink, sink_writer) = io::pipe().unwrap();
        let save = Splice {
            fd_in: copy.as_raw_fd(),
            off_in: -1,
            fd_out: log.as_raw_fd(),
            off_out: 0,
            nbytes: 6,
            splice_flags: 0,
        };
        let pass = Splice {
            fd_in: source.as_raw_fd(),
            fd_out: sink_writer.as_raw_fd(),
            off_out: -1,
            ..save
        };
        let tee = tee_of(&source, &copy_writer, 6);
        // SAFETY: file and pipes are open until all have completed.
        unsafe { sq.push_with_flags(&tee, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&save, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&pass, 3) }.unwrap();
        assert_eq!(results(cq, sq, 3), [(1, 6), (2, 6), (3, 6)]);
        let mut saved = String::new();
        log.read_to_string(&mut saved).unwrap();
        assert_eq!(saved, "passes");
        assert_eq!(taken(&sink, 6), b"passes");
    });
}

#[test]
fn tee_at_the_end_of_a_pipe_and_of_nothing_returns_zero() {
    each_ring!(|cq, sq| {
        let (one, one_writer) = pipe_with(b"last");
        let (two, two_writer) = io::pipe().unwrap();
        assert_eq!(tee(cq, sq, &tee_of(&one, &two_writer, 0)), 0);
        assert_eq!(taken(&one, 4), b"last");
        drop(one_writer);
        assert_eq!(tee(cq, sq, &tee_of(&one, &two_writer, 100)), 0);
        assert_empty(&two);
    });
}

#[test]
fn tee_takes_registered_pipes_at_both_ends() {
    each_ring!(|cq, sq| {
        let (one, _one_writer) = pipe_with(b"text");
        let (two, two_writer) = io::pipe().unwrap();
        let fds = [-1, two_writer.as_raw_fd(), one.as_raw_fd()];
        sq.register_files(&fds).unwrap();
        for (slot, result) in [(2, 4), (0, -libc::EBADF), (3, -libc::EBADF)] {
            let tee = Tee {
                splice_flags: SPLICE_F_FD_IN_FIXED,
                ..tee_of(&slot, &1, 4)
            };
            // SAFETY: the slots hold pipes of this test, or nothing.
            let done = unsafe { run(cq, sq, &tee, |sqe| sqe.insert_flags(SqeFlags::FIXED_FILE)) };
            assert_eq!(done.raw_result(), result, "from slot {slot}");
        }
        assert_eq!(taken(&two, 4), b"text");
        assert_eq!(taken(&one, 4), b"text");
    });
}

#[test]
fn tee_that_cannot_be_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let file = tempfile::tempfile().unwrap();
        let (one, one_writer) = pipe_with(b"kept");
        let (two, two_writer) = io::pipe().unwrap();
        let closed = closed_fd();
        for (copy, errno, why) in [
            (tee_of(&file, &two_writer, 4), libc::EINVAL, "from a file"),
            (tee_of(&one, &file, 4), libc::EINVAL, "to a file"),
            (tee_of(&one, &one_writer, 4), libc::EINVAL, "to itself"),
            (
                tee_of(&one_writer, &two_writer, 4),
                libc::EBADF,
                "write only",
            ),
            (tee_of(&one, &two, 4), libc::EBADF, "read only"),
            (tee_of(&closed, &two_writer, 4), libc::EBADF, "not open"),
            (tee_of(&one, &closed, 4), libc::EBADF, "not open"),
        ] {
            assert_eq!(tee(cq, sq, &copy), -errno, "{why}");
        }
        let unknown = Tee {
            splice_flags: 0x10,
            ..tee_of(&one, &two_writer, 4)
        };
        assert_eq!(tee(cq, sq, &unknown), -libc::EINVAL);
        assert_empty(&two);
        assert_eq!(taken(&one, 4), b"kept");
        assert_empty(&one);
    });
}

#[test]
fn tee_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let (one, mut one_writer) = io::pipe().unwrap();
        let (_two, two_writer) = io::pipe().unwrap();
        let copy = Tee {
            splice_flags: libc::SPLICE_F_NONBLOCK,
            ..tee_of(&one, &two_writer, 4)
        };
        assert_eq!(tee(cq, sq, &copy), -libc::EAGAIN, "nothing there");
        one_writer.write_all(b"kept").unwrap();
        fill(&two_writer);
        assert_eq!(tee(cq, sq, &copy), -libc::EAGAIN, "no room");
        assert_eq!(taken(&one, 4), b"kept");
    });
}

#[test]
fn tee_waits_for_data() {
    each_ring!(|cq, sq| {
        let (one, mut one_writer) = io::pipe().unwrap();
        let (two, two_writer) = io::pipe().unwrap();
        // SAFETY: the pipes are open until the completion has been taken.
        unsafe { sq.push(&tee_of(&one, &two_writer, 4), PENDING) }.unwrap();
        submit_pending(cq, sq);
        one_writer.write_all(b"late").unwrap();
        assert_eq!(next(cq).result().unwrap(), 4);
        assert_eq!(taken(&two, 4), b"late");
        assert_eq!(taken(&one, 4), b"late");
    });
}

#[test]
fn tee_cancelled_copies_nothing() {
    each_ring!(|cq, sq| {
        let (one, mut one_writer) = io::pipe().unwrap();
        let (two, two_writer) = io::pipe().unwrap();
        // SAFETY: the pipes are open until the completion has been taken.
        unsafe { sq.push(&tee_of(&one, &two_writer, 4), PENDING) }.unwrap();
        submit_pending(cq, sq);
        cancel_at_work(cq, sq);
        one_writer.write_all(b"kept").unwrap();
        assert_empty(&two);
        assert_eq!(taken(&one, 4), b"kept");
    });
}
