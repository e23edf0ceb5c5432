//! Asking for the operations on a file to end.

#![cfg(target_os = "linux")]

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsRawFd, RawFd};

use lio_uring::kind::Threads;
use lio_uring::operation::{
    CancelFd, CancelFlags, OpCode, Operation, PollAdd, PollMulti, Read, Timeout, TimeoutFlags,
    Timespec,
};
use lio_uring::{Sqe, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{CANCEL, results, submit_pending};

const GONE: i32 = -libc::ECANCELED;
const NONE: CancelFlags = CancelFlags::empty();
const IN: u32 = libc::POLLIN as u32;

/// Pushes what points to nothing that the test does not keep.
#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, operation: &impl Operation, user_data: u64) {
    // SAFETY: cancellations point to nothing, and the tests keep their pipes.
    unsafe { sq.push(operation, user_data) }.expect("room");
}

#[track_caller]
fn push_cancel<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    flags: CancelFlags,
    settings: impl FnOnce(&mut Sqe),
) {
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push_with(&CancelFd { fd, flags }, CANCEL, settings) }.expect("room");
}

fn plain(_: &mut Sqe) {}

/// A pipe that nobody has written to yet.
struct Empty {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Empty {
    fn new() -> Self {
        let (reader, writer) = io::pipe().expect("a pipe");
        Self { reader, writer }
    }

    fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Pushes a poll, which will wait.
    #[track_caller]
    fn push_poll<T: Threads>(&self, sq: &mut SubmissionQueue<T>, user_data: u64) {
        let poll = PollAdd {
            fd: self.fd(),
            poll_mask: IN,
        };
        push(sq, &poll, user_data);
    }
}

#[test]
fn cancel_fd_stops_one_operation_on_that_file_or_all() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (one, mut two) = (Empty::new(), Empty::new());
        for user_data in 0..3 {
            one.push_poll(sq, user_data);
        }
        let multi = PollMulti {
            fd: one.fd(),
            poll_mask: IN,
        };
        push(sq, &multi, 3);
        two.push_poll(sq, 9);
        submit_pending(cq, sq);
        push_cancel(sq, one.fd(), NONE, plain);
        let done = results(cq, sq, 2);
        let (which, _) = done[0];
        assert_eq!(done, [(which, GONE), (CANCEL, 0)]);
        push_cancel(sq, one.fd(), CancelFlags::ALL, plain);
        let mut wanted: Vec<_> = (0..4).filter(|i| *i != which).map(|i| (i, GONE)).collect();
        wanted.push((CANCEL, 3));
        assert_eq!(results(cq, sq, 4), wanted);
        two.writer.write_all(b"x").unwrap();
        assert_eq!(results(cq, sq, 1), [(9, IN.cast_signed())]);
    });
}

#[test]
fn cancel_fd_leaves_the_memory_of_a_read() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mut pipe = Empty::new();
        let mut byte = 0xaa_u8;
        let read = Read {
            fd: pipe.fd(),
            ptr: (&raw mut byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is looked at when the completion has been taken, and the pipe is open
        // until then.
        unsafe { sq.push(&read, 1) }.unwrap();
        submit_pending(cq, sq);
        push_cancel(sq, pipe.fd(), NONE, plain);
        assert_eq!(results(cq, sq, 2), [(1, GONE), (CANCEL, 0)]);
        pipe.writer.write_all(b"x").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(byte, 0xaa);
    });
}

#[test]
fn cancel_fd_of_a_file_that_nothing_waits_for_gives_enoent_or_counts_none() {
    static LATE: Timespec = Timespec {
        tv_sec: 3600,
        tv_nsec: 0,
    };
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let pipe = Empty::new();
        // A timer is of no file.
        let timer = Timeout {
            ts: &raw const LATE,
            count: 0,
            flags: TimeoutFlags::empty(),
        };
        push(sq, &timer, 1);
        submit_pending(cq, sq);
        for (fd, flags, result) in [
            (pipe.fd(), NONE, -libc::ENOENT),
            (pipe.fd(), CancelFlags::ALL, 0),
            (-1, NONE, -libc::EBADF),
            (-1, CancelFlags::ALL, -libc::EBADF),
        ] {
            push_cancel(sq, fd, flags, plain);
            assert_eq!(results(cq, sq, 1), [(CANCEL, result)]);
        }
    });
}

#[test]
fn cancel_fd_takes_the_index_of_a_registered_file() {
    // The flag came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let pipe = Empty::new();
        sq.register_files(&[-1, pipe.fd()]).unwrap();
        pipe.push_poll(sq, 1);
        submit_pending(cq, sq);
        for index in [0, 2] {
            push_cancel(sq, index, CancelFlags::FD_FIXED, plain);
            assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::EBADF)]);
        }
        push_cancel(sq, 1, CancelFlags::FD_FIXED, plain);
        assert_eq!(results(cq, sq, 2), [(1, GONE), (CANCEL, 0)]);
    });
}

#[test]
fn cancel_fd_with_user_data_or_a_code_stops_what_matches_both() {
    // The flags came with Linux 6.6.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (one, two) = (Empty::new(), Empty::new());
        for pipe in [&one, &two] {
            pipe.push_poll(sq, 1);
            pipe.push_poll(sq, 2);
        }
        submit_pending(cq, sq);
        let all = CancelFlags::ALL;
        let matching = all | CancelFlags::USERDATA;
        push_cancel(sq, one.fd(), matching, |sqe| sqe.set_address(2));
        assert_eq!(results(cq, sq, 2), [(2, GONE), (CANCEL, 1)]);
        push_cancel(sq, one.fd(), matching, |sqe| sqe.set_address(2));
        assert_eq!(results(cq, sq, 1), [(CANCEL, 0)]);
        let code = |code: OpCode| move |sqe: &mut Sqe| sqe.set_len(code.0.into());
        push_cancel(sq, two.fd(), all | CancelFlags::OP, code(OpCode::READ));
        assert_eq!(results(cq, sq, 1), [(CANCEL, 0)]);
        push_cancel(sq, two.fd(), all | CancelFlags::OP, code(OpCode::POLL_ADD));
        assert_eq!(results(cq, sq, 3), [(1, GONE), (2, GONE), (CANCEL, 2)]);
        push_cancel(
            sq,
            one.fd(),
            all | CancelFlags::USERDATA | CancelFlags::OP,
            |sqe| {
                sqe.set_address(1);
                sqe.set_len(OpCode::POLL_ADD.0.into());
            },
        );
        assert_eq!(results(cq, sq, 2), [(1, GONE), (CANCEL, 1)]);
    });
}

#[test]
fn cancel_fd_of_everything_gives_einval() {
    // The flag came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let pipe = Empty::new();
        for flags in [CancelFlags::ANY, CancelFlags::from_bits_retain(1 << 31)] {
            push_cancel(sq, pipe.fd(), flags, plain);
            assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::EINVAL)]);
        }
    });
}
