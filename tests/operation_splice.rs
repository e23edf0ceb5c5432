//! Moving data through pipes.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, SPLICE_F_FD_IN_FIXED, Splice};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/files.rs"]
mod files;
#[path = "support/pipes.rs"]
mod pipes;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/workers.rs"]
mod workers;

use closed_fd::closed_fd;
use files::{bytes, contents, file};
use pipes::{assert_empty, fill, pipe_with, taken};
use rings::{PENDING, next, results, run, submit_pending};
use workers::cancel_at_work;

/// The offset of what has none.
const NONE: i64 = -1;

/// A transfer of up to `nbytes` from a descriptor and an offset in it to another.
fn splice_of(from: (&impl AsRawFd, i64), to: (&impl AsRawFd, i64), nbytes: u32) -> Splice {
    Splice {
        fd_in: from.0.as_raw_fd(),
        off_in: from.1,
        fd_out: to.0.as_raw_fd(),
        off_out: to.1,
        nbytes,
        splice_flags: 0,
    }
}

/// Moves data, and returns the result.
#[track_caller]
fn splice<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    transfer: &Splice,
) -> i32 {
    // SAFETY: the descriptors that the tests name are their own, or not open at all, and stay so
    // until the completion has been taken.
    unsafe { run(cq, sq, transfer, |_| ()) }.raw_result()
}

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

#[test]
fn splice_from_a_file_to_a_pipe_moves_the_range() {
    each_ring!(|cq, sq| {
        let mut file = file(b"0123456789");
        let (reader, writer) = io::pipe().unwrap();
        let done = splice(cq, sq, &splice_of((&file, 2), (&writer, NONE), 5));
        assert_eq!(done, 5);
        assert_eq!(taken(&reader, 5), b"23456");
        assert_eq!(file.stream_position().unwrap(), 0);
        let short = splice(cq, sq, &splice_of((&file, 8), (&writer, NONE), 5));
        assert_eq!(short, 2, "the file has no more");
        assert_eq!(taken(&reader, 2), b"89");
        for beyond in [10, 1000] {
            let done = splice(cq, sq, &splice_of((&file, beyond), (&writer, NONE), 5));
            assert_eq!(done, 0, "there is nothing at {beyond}");
        }
        assert_empty(&reader);
        assert_eq!(contents(&file), b"0123456789");
    });
}

#[test]
fn splice_from_a_pipe_to_a_file_writes_at_the_offset() {
    each_ring!(|cq, sq| {
        let mut file = file(b"0123456789");
        let (reader, _writer) = pipe_with(b"abcdef");
        let done = splice(cq, sq, &splice_of((&reader, NONE), (&file, 3), 4));
        assert_eq!(done, 4);
        assert_eq!(contents(&file), b"012abcd789");
        assert_eq!(file.stream_position().unwrap(), 0);
        let done = splice(cq, sq, &splice_of((&reader, NONE), (&file, 12), 100));
        assert_eq!(done, 2, "the pipe has no more");
        assert_eq!(contents(&file), b"012abcd789\0\0ef");
        assert_empty(&reader);
    });
}

#[test]
fn splice_without_an_offset_uses_the_position_of_the_file() {
    each_ring!(|cq, sq| {
        let (mut from, mut to) = (file(b"0123456789"), file(b"abcdefghij"));
        let (reader, writer) = io::pipe().unwrap();
        from.seek(io::SeekFrom::Start(4)).unwrap();
        to.seek(io::SeekFrom::Start(1)).unwrap();
        for (text, position) in [(b"45", 6), (b"67", 8)] {
            let done = splice(cq, sq, &splice_of((&from, NONE), (&writer, NONE), 2));
            assert_eq!((done, from.stream_position().unwrap()), (2, position));
            let done = splice(cq, sq, &splice_of((&reader, NONE), (&to, NONE), 2));
            assert_eq!((done, to.stream_position().unwrap()), (2, position - 3));
            let start = position - 5;
            let mut moved = [0; 2];
            to.read_exact_at(&mut moved, start).unwrap();
            assert_eq!(&moved, text);
        }
        assert_eq!(contents(&to), b"a4567fghij");
    });
}

#[test]
fn splice_from_a_pipe_to_a_pipe_moves_the_bytes() {
    each_ring!(|cq, sq| {
        let (one, _one_writer) = pipe_with(b"through two");
        let (two, two_writer) = io::pipe().unwrap();
        let transfer = Splice {
            splice_flags: libc::SPLICE_F_MOVE | libc::SPLICE_F_MORE,
            ..splice_of((&one, NONE), (&two_writer, NONE), 7)
        };
        assert_eq!(splice(cq, sq, &transfer), 7);
        assert_eq!(taken(&two, 7), b"through");
        assert_eq!(taken(&one, 4), b" two");
        assert_empty(&one);
        assert_empty(&two);
    });
}

#[test]
fn splice_from_a_pipe_to_a_socket_and_back_moves_the_bytes() {
    each_ring!(|cq, sq| {
        let (reader, writer) = pipe_with(&bytes(10_000));
        let (here, mut there) = UnixStream::pair().unwrap();
        let to_socket = splice_of((&reader, NONE), (&here, NONE), 10_000);
        assert_eq!(splice(cq, sq, &to_socket), 10_000);
        let mut received = vec![0; 10_000];
        there.read_exact(&mut received).unwrap();
        assert_eq!(received, bytes(10_000));
        there.write_all(b"answer").unwrap();
        let to_pipe = splice_of((&here, NONE), (&writer, NONE), 100);
        assert_eq!(splice(cq, sq, &to_pipe), 6);
        assert_eq!(taken(&reader, 6), b"answer");
        assert_empty(&reader);
    });
}

#[test]
fn splice_at_the_end_of_a_pipe_returns_zero() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, writer) = pipe_with(b"last");
        drop(writer);
        for (n, moved) in [(4, "last"), (0, "last"), (0, "last")] {
            let done = splice(cq, sq, &splice_of((&reader, NONE), (&file, 0), 100));
            assert_eq!(done, n);
            assert_eq!(contents(&file), moved.as_bytes());
        }
    });
}

#[test]
fn splice_of_nothing_returns_zero_and_moves_nothing() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, _writer) = pipe_with(b"kept");
        let done = splice(cq, sq, &splice_of((&reader, NONE), (&file, 0), 0));
        assert_eq!(done, 0);
        assert_eq!(contents(&file), b"text");
        assert_eq!(taken(&reader, 4), b"kept");
        assert_empty(&reader);
    });
}

#[test]
fn splice_copies_a_file_in_one_chain() {
    each_ring!(|cq, sq| {
        let (from, to) = (file(&bytes(50_000)), file(b""));
        let (reader, writer) = io::pipe().unwrap();
        let filling = splice_of((&from, 0), (&writer, NONE), 50_000);
        let emptying = splice_of((&reader, NONE), (&to, 0), 50_000);
        // SAFETY: the files and the pipe are open until both have completed.
        unsafe { sq.push_with_flags(&filling, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&emptying, 2) }.unwrap();
        assert_eq!(results(cq, sq, 2), [(1, 50_000), (2, 50_000)]);
        assert_eq!(contents(&to), bytes(50_000));
    });
}

#[test]
fn splice_that_is_short_ends_its_chain() {
    each_ring!(|cq, sq| {
        for (nbytes, nop) in [(4, 0), (5, -libc::ECANCELED)] {
            let file = file(b"");
            let (reader, _writer) = pipe_with(b"text");
            let splice = splice_of((&reader, NONE), (&file, 0), nbytes);
            // SAFETY: file and pipe are open until both have completed.
            unsafe { sq.push_with_flags(&splice, 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            assert_eq!(results(cq, sq, 2), [(1, 4), (2, nop)]);
            assert_eq!(contents(&file), b"text");
        }
    });
}

#[test]
fn splice_takes_registered_files_at_both_ends() {
    each_ring!(|cq, sq| {
        let (from, to) = (file(b"0123456789"), file(b"abcdefghij"));
        let (reader, writer) = io::pipe().unwrap();
        let fds = [&from as &dyn AsRawFd, &writer, &reader, &to].map(AsRawFd::as_raw_fd);
        sq.register_files(&fds).unwrap();
        let filling = Splice {
            splice_flags: SPLICE_F_FD_IN_FIXED,
            ..splice_of((&0, 3), (&writer, NONE), 4)
        };
        assert_eq!(splice(cq, sq, &filling), 4);
        let emptying = Splice {
            splice_flags: SPLICE_F_FD_IN_FIXED,
            ..splice_of((&2, NONE), (&3, 5), 4)
        };
        // SAFETY: the slots hold files of this test.
        let done = unsafe { run(cq, sq, &emptying, fixed) };
        assert_eq!(done.raw_result(), 4);
        assert_eq!(contents(&to), b"abcde3456j");
        // Without the flag it is a descriptor, whatever the other end is.
        let plain = splice_of((&closed_fd(), NONE), (&3, 5), 4);
        // SAFETY: the slot holds a file of this test; the descriptor is not open.
        let done = unsafe { run(cq, sq, &plain, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
    });
}

#[test]
fn splice_from_or_to_an_empty_slot_gives_ebadf() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, _writer) = pipe_with(b"kept");
        sq.register_files(&[reader.as_raw_fd(), -1]).unwrap();
        for slot in [1, 2, -1] {
            let from = Splice {
                splice_flags: SPLICE_F_FD_IN_FIXED,
                ..splice_of((&slot, NONE), (&file, 0), 4)
            };
            assert_eq!(splice(cq, sq, &from), -libc::EBADF, "slot {slot}");
            let to = splice_of((&file, 0), (&slot, NONE), 4);
            // SAFETY: there is nothing in the slot.
            let done = unsafe { run(cq, sq, &to, fixed) };
            assert_eq!(done.raw_result(), -libc::EBADF, "slot {slot}");
        }
        assert_eq!(contents(&file), b"text");
        assert_eq!(taken(&reader, 4), b"kept");
        assert_empty(&reader);
    });
}

#[test]
fn splice_that_cannot_be_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (one, two) = (file(b"one"), file(b"two"));
        let (reader, writer) = pipe_with(b"kept");
        let closed = closed_fd();
        let of = |from: (&dyn AsRawFd, i64), to: (&dyn AsRawFd, i64)| {
            splice_of((&from.0.as_raw_fd(), from.1), (&to.0.as_raw_fd(), to.1), 3)
        };
        let null = File::open("/dev/null").unwrap();
        for (transfer, errno, why) in [
            (of((&one, 0), (&two, 0)), libc::EINVAL, "no pipe"),
            (of((&reader, 0), (&two, 0)), libc::ESPIPE, "from an offset"),
            (of((&one, 0), (&writer, 0)), libc::ESPIPE, "to an offset"),
            (of((&reader, NONE), (&writer, NONE)), libc::EINVAL, "itself"),
            (of((&writer, NONE), (&two, 0)), libc::EBADF, "not readable"),
            (of((&one, 0), (&reader, NONE)), libc::EBADF, "not writable"),
            (of((&reader, NONE), (&null, 0)), libc::EBADF, "not writable"),
            (of((&closed, NONE), (&two, 0)), libc::EBADF, "not open"),
            (of((&reader, NONE), (&closed, 0)), libc::EBADF, "not open"),
        ] {
            assert_eq!(splice(cq, sq, &transfer), -errno, "{why}");
        }
        for splice_flags in [0x10, 1 << 30] {
            let unknown = Splice {
                splice_flags,
                ..splice_of((&reader, NONE), (&two, 0), 3)
            };
            assert_eq!(splice(cq, sq, &unknown), -libc::EINVAL);
        }
        assert_eq!(
            (contents(&one), contents(&two)),
            ("one".into(), "two".into())
        );
        assert_eq!(taken(&reader, 4), b"kept");
        assert_empty(&reader);
    });
}

#[test]
fn splice_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, writer) = io::pipe().unwrap();
        let empty = Splice {
            splice_flags: libc::SPLICE_F_NONBLOCK,
            ..splice_of((&reader, NONE), (&file, 0), 4)
        };
        assert_eq!(splice(cq, sq, &empty), -libc::EAGAIN);
        fill(&writer);
        let full = Splice {
            splice_flags: libc::SPLICE_F_NONBLOCK,
            ..splice_of((&file, 0), (&writer, NONE), 4)
        };
        assert_eq!(splice(cq, sq, &full), -libc::EAGAIN);
        assert_eq!(contents(&file), b"text");
    });
}

#[test]
fn splice_waits_for_data_and_for_room() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, mut writer) = io::pipe().unwrap();
        let splice = splice_of((&reader, NONE), (&file, 0), 4);
        // SAFETY: file and pipe are open until the completion has been taken.
        unsafe { sq.push(&splice, PENDING) }.unwrap();
        submit_pending(cq, sq);
        writer.write_all(b"late").unwrap();
        assert_eq!(next(cq).result().unwrap(), 4);
        assert_eq!(contents(&file), b"late");

        let size = fill(&writer);
        let splice = splice_of((&file, 0), (&writer, NONE), 4);
        // SAFETY: as above.
        unsafe { sq.push(&splice, PENDING) }.unwrap();
        submit_pending(cq, sq);
        taken(&reader, size / 2);
        assert_eq!(next(cq).result().unwrap(), 4);
        let rest = taken(&reader, size - size / 2 + 4);
        assert!(rest.ends_with(b"xlate"), "{rest:?}");
        assert_empty(&reader);
    });
}

#[test]
fn splice_cancelled_moves_nothing() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let (reader, mut writer) = io::pipe().unwrap();
        let splice = splice_of((&reader, NONE), (&file, 0), 4);
        // SAFETY: file and pipe are open until the completion has been taken.
        unsafe { sq.push(&splice, PENDING) }.unwrap();
        submit_pending(cq, sq);
        cancel_at_work(cq, sq);
        writer.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(taken(&reader, 4), b"kept");
        assert_eq!(contents(&file), b"text");
    });
}
