//! Asking for other operations to end: which are meant, and what becomes of them.

#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Cancel, CancelFlags, OpCode, Openat, PollAdd, Read, Timeout, TimeoutFlags, Timespec,
};
use lio_uring::{Sqe, SqeFlags, SubmissionQueue, Wait};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{CANCEL, LIMIT, results, submit_pending};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;
const ECANCELED: i32 = -libc::ECANCELED;

/// Pushes a cancellation.
#[track_caller]
fn push_cancel<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    user_data: u64,
    flags: CancelFlags,
    settings: impl FnOnce(&mut Sqe),
) {
    let cancel = Cancel { user_data, flags };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push_with(&cancel, CANCEL, settings) }.expect("room");
}

fn plain(_: &mut Sqe) {}

/// Names the descriptor for `CancelFlags::FD`.
fn on(fd: RawFd) -> impl FnOnce(&mut Sqe) {
    move |sqe| sqe.read_write(fd, ptr::null::<u8>(), 0, 0)
}

/// A pipe that reads wait for.
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    /// One for each read.
    bytes: Box<[u8; 8]>,
    used: usize,
}

impl Pipe {
    fn new() -> Self {
        let (reader, writer) = io::pipe().expect("a pipe");
        let bytes = Box::new([UNTOUCHED; 8]);
        Self {
            reader,
            writer,
            bytes,
            used: 0,
        }
    }

    fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Pushes a read of a byte, which will wait.
    #[track_caller]
    fn push_read<T: Threads>(&mut self, sq: &mut SubmissionQueue<T>, user_data: u64) {
        let read = Read {
            fd: self.reader.as_raw_fd(),
            ptr: (&raw mut self.bytes[self.used]).cast(),
            len: 1,
            offset: 0,
        };
        self.used += 1;
        // SAFETY: the bytes are looked at when nothing is in flight any more, and the pipe is open
        // until then.
        unsafe { sq.push(&read, user_data) }.expect("room");
    }

    /// Pushes a poll, which will wait.
    #[track_caller]
    fn push_poll<T: Threads>(&self, sq: &mut SubmissionQueue<T>, user_data: u64) {
        let poll = PollAdd {
            fd: self.reader.as_raw_fd(),
            poll_mask: libc::POLLIN.cast_unsigned().into(),
        };
        // SAFETY: the pipe is open until nothing is in flight any more.
        unsafe { sq.push(&poll, user_data) }.expect("room");
    }

    /// Fails if a read has taken something after all.
    #[track_caller]
    fn assert_untouched(mut self) {
        self.writer.write_all(b"k").expect("the pipe has a reader");
        let mut byte = [0];
        self.reader.read_exact(&mut byte).expect("a byte");
        assert_eq!((&byte, &*self.bytes), (b"k", &[UNTOUCHED; 8]));
    }
}

/// Pushes a timer that runs out when the test is over.
#[track_caller]
fn push_timer<T: Threads>(sq: &mut SubmissionQueue<T>, user_data: u64) {
    static LATE: Timespec = Timespec {
        tv_sec: 3600,
        tv_nsec: 0,
    };
    let timeout = Timeout {
        ts: &raw const LATE,
        count: 0,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time is valid for ever.
    unsafe { sq.push(&timeout, user_data) }.expect("room");
}

#[test]
fn cancel_by_user_data_stops_that_operation_alone() {
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        pipe.push_read(sq, 1);
        pipe.push_poll(sq, 2);
        push_timer(sq, 3);
        submit_pending(cq, sq);
        for user_data in [2, 1, 3] {
            push_cancel(sq, user_data, CancelFlags::empty(), plain);
            assert_eq!(results(cq, sq, 2), [(user_data, ECANCELED), (CANCEL, 0)]);
        }
        assert_eq!(cq.try_next().unwrap(), None);
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_in_the_same_submission_finds_what_was_pushed_before() {
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        pipe.push_read(sq, 1);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 0)]);
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::ENOENT)], "nothing is");
        let mut pipe = Pipe::new();
        // Of what a worker has done, old kernels can say for a while that it goes on.
        pipe.push_poll(sq, 1);
        push_cancel(sq, 2, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::ENOENT)], "another is");
        pipe.writer.write_all(b"x").unwrap();
        assert_eq!(results(cq, sq, 1), [(1, libc::POLLIN.into())]);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(
            results(cq, sq, 1),
            [(CANCEL, -libc::ENOENT)],
            "it has ended"
        );
    });
}

#[test]
fn cancel_reaches_no_other_ring() {
    each_ring!(|cq, sq| {
        let (mut other_cq, mut other) = lio_uring::with_capacity(4).unwrap();
        let mut pipe = Pipe::new();
        pipe.push_read(&mut other, 1);
        submit_pending(&mut other_cq, &mut other);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::ENOENT)]);
        pipe.writer.write_all(b"x").unwrap();
        assert_eq!(results(&mut other_cq, &mut other, 1), [(1, 1)]);
    });
}

#[test]
fn cancel_of_user_data_that_several_share_stops_one_or_all() {
    // The flag came with Linux 5.19, as SOCKET did.
    let all = needs::knows(OpCode::SOCKET);
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        for _ in 0..4 {
            pipe.push_read(sq, 1);
        }
        pipe.push_read(sq, 2);
        submit_pending(cq, sq);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 0)], "one");
        if all {
            push_cancel(sq, 1, CancelFlags::ALL, plain);
            let done = results(cq, sq, 4);
            assert_eq!(done[..3], [(1, ECANCELED); 3]);
            assert_eq!(done[3], (CANCEL, 3), "how many there were");
            push_cancel(sq, 1, CancelFlags::ALL, plain);
            assert_eq!(results(cq, sq, 1), [(CANCEL, 0)], "none is no error");
        } else {
            for _ in 0..3 {
                push_cancel(sq, 1, CancelFlags::empty(), plain);
                assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 0)]);
            }
        }
        push_cancel(sq, 2, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 2), [(2, ECANCELED), (CANCEL, 0)]);
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_of_any_stops_everything() {
    // The flag came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        push_cancel(sq, 0, CancelFlags::ANY, plain);
        assert_eq!(results(cq, sq, 1), [(CANCEL, 0)], "there is nothing");
        let mut pipe = Pipe::new();
        pipe.push_read(sq, 1);
        pipe.push_poll(sq, 2);
        push_timer(sq, 3);
        submit_pending(cq, sq);
        push_cancel(sq, 0, CancelFlags::ANY, plain);
        let done = results(cq, sq, 4);
        let ended = [(1, ECANCELED), (2, ECANCELED), (3, ECANCELED)];
        assert_eq!(done[..3], ended);
        assert_eq!(done[3], (CANCEL, 3), "how many there were");
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_of_a_file_stops_what_waits_for_it() {
    // The flag came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut one, mut two) = (Pipe::new(), Pipe::new());
        one.push_read(sq, 1);
        one.push_poll(sq, 2);
        two.push_read(sq, 3);
        push_timer(sq, 4);
        submit_pending(cq, sq);
        push_cancel(sq, 0, CancelFlags::FD | CancelFlags::ALL, on(one.fd()));
        let done = results(cq, sq, 3);
        assert_eq!(done, [(1, ECANCELED), (2, ECANCELED), (CANCEL, 2)]);
        push_cancel(sq, 0, CancelFlags::FD, on(two.fd()));
        assert_eq!(results(cq, sq, 2), [(3, ECANCELED), (CANCEL, 0)]);
        push_cancel(sq, 0, CancelFlags::FD, on(two.fd()));
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::ENOENT)]);
        push_cancel(sq, 0, CancelFlags::FD, on(-1));
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::EBADF)]);
        push_cancel(sq, 4, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 2), [(4, ECANCELED), (CANCEL, 0)]);
        one.assert_untouched();
        two.assert_untouched();
    });
}

#[test]
fn cancel_of_a_registered_file_stops_what_waits_for_it() {
    // The flag came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        sq.register_files(&[-1, pipe.fd()]).unwrap();
        let flags = CancelFlags::FD | CancelFlags::FD_FIXED;
        // By the descriptor and by the index it is the same file.
        for settings in [on(pipe.fd()), on(1)] {
            let fixed = if pipe.used == 0 {
                CancelFlags::FD
            } else {
                flags
            };
            pipe.push_read(sq, 1);
            submit_pending(cq, sq);
            push_cancel(sq, 0, fixed, settings);
            assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 0)]);
        }
        for empty in [0, 2] {
            push_cancel(sq, 0, flags, on(empty));
            assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::EBADF)]);
        }
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_of_a_file_and_user_data_stops_what_matches_both() {
    // The flag came with Linux 6.6.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut one, mut two) = (Pipe::new(), Pipe::new());
        one.push_read(sq, 1);
        one.push_read(sq, 2);
        two.push_read(sq, 2);
        submit_pending(cq, sq);
        let flags = CancelFlags::FD | CancelFlags::USERDATA | CancelFlags::ALL;
        let fd = one.fd();
        push_cancel(sq, 0, flags, |sqe| {
            sqe.read_write(fd, ptr::null::<u8>(), 0, 0);
            sqe.set_address(2);
        });
        assert_eq!(results(cq, sq, 2), [(2, ECANCELED), (CANCEL, 1)]);
        push_cancel(sq, 0, CancelFlags::ANY, plain);
        assert_eq!(
            results(cq, sq, 3),
            [(1, ECANCELED), (2, ECANCELED), (CANCEL, 2)]
        );
        one.assert_untouched();
        two.assert_untouched();
    });
}

#[test]
fn cancel_of_a_code_stops_operations_of_that_kind() {
    // The flag came with Linux 6.6.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut one, mut two) = (Pipe::new(), Pipe::new());
        one.push_read(sq, 1);
        two.push_read(sq, 2);
        two.push_poll(sq, 3);
        push_timer(sq, 4);
        submit_pending(cq, sq);
        let code = |fd, code: OpCode| {
            move |sqe: &mut Sqe| sqe.read_write(fd, ptr::null::<u8>(), code.0.into(), 0)
        };
        push_cancel(sq, 0, CancelFlags::OP, code(-1, OpCode::TIMEOUT));
        assert_eq!(results(cq, sq, 2), [(4, ECANCELED), (CANCEL, 0)]);
        let flags = CancelFlags::OP | CancelFlags::FD | CancelFlags::ALL;
        push_cancel(sq, 0, flags, code(two.fd(), OpCode::READ));
        assert_eq!(results(cq, sq, 2), [(2, ECANCELED), (CANCEL, 1)]);
        let flags = CancelFlags::OP | CancelFlags::ALL;
        push_cancel(sq, 0, flags, code(-1, OpCode::READ));
        assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 1)]);
        push_cancel(sq, 0, CancelFlags::OP, code(-1, OpCode::POLL_ADD));
        assert_eq!(results(cq, sq, 2), [(3, ECANCELED), (CANCEL, 0)]);
        push_cancel(sq, 0, CancelFlags::OP, code(-1, OpCode::READ));
        assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::ENOENT)]);
        one.assert_untouched();
        two.assert_untouched();
    });
}

#[test]
fn cancel_with_flags_that_make_no_sense_gives_einval() {
    // The flags came with Linux 5.19, as SOCKET did, and the latest with 6.6.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let mut wrong = vec![
        CancelFlags::ANY | CancelFlags::FD,
        CancelFlags::from_bits_retain(1 << 31),
    ];
    if needs::knows(OpCode::READ_MULTISHOT) {
        wrong.push(CancelFlags::ANY | CancelFlags::OP);
    }
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        pipe.push_read(sq, 1);
        submit_pending(cq, sq);
        for &flags in &wrong {
            push_cancel(sq, 1, flags, on(pipe.fd()));
            assert_eq!(results(cq, sq, 1), [(CANCEL, -libc::EINVAL)], "{flags:?}");
        }
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(results(cq, sq, 2), [(1, ECANCELED), (CANCEL, 0)]);
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_of_a_part_of_a_chain_cancels_what_follows() {
    each_ring!(|cq, sq| {
        let mut pipe = Pipe::new();
        let read = Read {
            fd: pipe.fd(),
            ptr: (&raw mut pipe.bytes[7]).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is looked at when nothing is in flight any more, and the pipe is open
        // until then.
        unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.unwrap();
        pipe.push_read(sq, 2);
        submit_pending(cq, sq);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        assert_eq!(
            results(cq, sq, 3),
            [(1, ECANCELED), (2, ECANCELED), (CANCEL, 0)]
        );
        pipe.assert_untouched();
    });
}

#[test]
fn cancel_interrupts_what_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody writes");
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    each_ring!(|cq, sq| {
        // On a worker, this waits for somebody to open the pipe for writing.
        let open = Openat {
            dfd: libc::AT_FDCWD,
            path: path.as_ptr(),
            flags: libc::O_RDONLY | libc::O_CLOEXEC,
            mode: 0,
        };
        // SAFETY: the path stays until the completion has been taken.
        unsafe { sq.push_with_flags(&open, 1, SqeFlags::ASYNC) }.unwrap();
        submit_pending(cq, sq);
        let (mut opened, mut cancelled) = (None, None);
        push_cancel(sq, 1, CancelFlags::empty(), plain);
        while opened.is_none() || cancelled.is_none() {
            let wait = Wait::for_completions(1).timeout(LIMIT);
            sq.submit_and_wait_with(&wait).unwrap();
            let done = cq.try_next().unwrap().expect("a completion");
            if done.user_data() == 1 {
                opened = Some(done.raw_result());
            } else if opened.is_none() && done.raw_result() != 0 {
                // Asking once is enough, unless it was just being taken up.
                cancelled = Some(done.raw_result());
                push_cancel(sq, 1, CancelFlags::empty(), plain);
            } else {
                cancelled.get_or_insert(done.raw_result());
            }
        }
        let (opened, cancelled) = (opened.expect("a result"), cancelled.expect("a result"));
        println!("{opened} {cancelled}");
        if cancelled == 0 {
            // The worker had not taken it up.
            assert_eq!(opened, ECANCELED);
        } else {
            assert!([-libc::EALREADY, -libc::ENOENT].contains(&cancelled));
            // The last is the kernel's own ERESTARTSYS, which programs should not see.
            assert!(
                [ECANCELED, -libc::EINTR, -512].contains(&opened),
                "{opened}"
            );
        }
    });
}
