//! Writing: what arrives, how much of it, and what is left undone.

#![cfg(target_os = "linux")]

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, Read as _, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, Write, WriteFixed, Writev};
use lio_uring::{Completion, CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{bytes, contents, file};
use rings::{PENDING, cancel, submit_pending, wait};

fn len(buffer: &[u8]) -> u32 {
    buffer.len().try_into().expect("a small buffer")
}

/// Writes, and waits for the completion.
#[track_caller]
fn write<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    buffer: &[u8],
    offset: u64,
) -> Completion {
    let write = Write {
        fd: file.as_raw_fd(),
        ptr: buffer.as_ptr().cast(),
        len: len(buffer),
        offset,
    };
    // SAFETY: the buffer and the file are borrowed until the completion has been taken.
    unsafe { sq.push(&write, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

/// Writes several buffers, and waits for the completion.
#[track_caller]
fn writev<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    buffers: &[IoSlice<'_>],
    offset: u64,
) -> Completion {
    let writev = Writev {
        fd: file.as_raw_fd(),
        iovecs: buffers.as_ptr().cast(),
        nr_vecs: buffers.len().try_into().expect("few buffers"),
        offset,
    };
    // SAFETY: an `IoSlice` has the layout of `iovec`; the buffers, the array of them and the file
    // are borrowed until the completion has been taken.
    unsafe { sq.push(&writev, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

fn set_nonblocking(fd: &impl AsRawFd) {
    // SAFETY: the descriptor is open, and the command takes a number.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0);
}

/// Fills a pipe to the last byte, and returns how much that is.
fn fill(pipe: &impl AsRawFd) -> usize {
    // SAFETY: the descriptor is open, and the command takes nothing.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let size = usize::try_from(size).expect("a size");
    let filling = vec![0xff; size];
    // SAFETY: the buffer is valid for reads.
    let written = unsafe { libc::write(pipe.as_raw_fd(), filling.as_ptr().cast(), size) };
    assert_eq!(written.cast_unsigned(), size);
    size
}

/// Takes `skip` bytes out of a pipe, and returns the `n` that follow.
#[track_caller]
fn drain(pipe: &mut PipeReader, skip: usize, n: usize) -> Vec<u8> {
    let mut buffer = vec![0; skip + n];
    pipe.read_exact(&mut buffer).expect("bytes in the pipe");
    buffer.split_off(skip)
}

#[test]
fn write_at_an_offset_puts_the_bytes_there() {
    each_ring!(|cq, sq| {
        let file = file(&[b'.'; 20]);
        for (offset, text) in [(3, "abc"), (18, "xyz"), (25, "!")] {
            let done = write(cq, sq, &file, text.as_bytes(), offset);
            assert_eq!(done.result().unwrap().cast_unsigned(), len(text.as_bytes()));
            assert_eq!(done.flags().bits(), 0);
        }
        assert_eq!(contents(&file), b"...abc............xyz\0\0\0\0!");
    });
}

#[test]
fn write_of_a_megabyte_is_whole() {
    let data = bytes(1 << 20);
    each_ring!(|cq, sq| {
        let file = file(&[]);
        let done = write(cq, sq, &file, &data, 0);
        assert_eq!(done.result().unwrap(), 1 << 20);
        assert!(contents(&file) == data);
    });
}

#[test]
fn write_of_nothing_returns_zero() {
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        assert_eq!(write(cq, sq, &file, &[], 5).result().unwrap(), 0);
        assert_eq!(contents(&file), b"0123456789");
    });
}

#[test]
fn write_at_offset_max_uses_and_moves_the_position() {
    each_ring!(|cq, sq| {
        let mut file = file(b"0123456789");
        file.seek(SeekFrom::Start(2)).unwrap();
        for (text, position) in [(b"abc", 5), (b"def", 8)] {
            let done = write(cq, sq, &file, text, u64::MAX);
            assert_eq!(done.result().unwrap(), 3);
            assert_eq!(file.stream_position().unwrap(), position);
        }
        write(cq, sq, &file, b"z", 9).result().unwrap();
        assert_eq!(file.stream_position().unwrap(), 8);
        assert_eq!(contents(&file), b"01abcdef8z");
    });
}

#[test]
fn write_to_a_file_for_appending_ignores_the_offset() {
    each_ring!(|cq, sq| {
        let path = tempfile::NamedTempFile::new().unwrap();
        let file = File::options().append(true).open(path.path()).unwrap();
        for text in ["one", "two", "three"] {
            write(cq, sq, &file, text.as_bytes(), 0).result().unwrap();
        }
        assert_eq!(contents(path.as_file()), b"onetwothree");
    });
}

#[test]
fn write_to_a_pipe_ignores_the_offset() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        for offset in [0, 5, 1 << 40, u64::MAX] {
            let done = write(cq, sq, &writer, b"abcdef", offset);
            assert_eq!(done.result().unwrap(), 6);
            assert_eq!(drain(&mut reader, 0, 6), b"abcdef");
        }
    });
}

#[test]
fn write_of_more_than_a_pipe_holds_is_short_and_fails_its_chain() {
    // Pipes are tried without waiting since Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let room = fill(&writer);
        drain(&mut reader, 0, room);
        let data = bytes(2 * room);
        let write = Write {
            fd: writer.as_raw_fd(),
            ptr: data.as_ptr().cast(),
            len: len(&data),
            offset: 0,
        };
        // SAFETY: the data and the pipe stay until the completion has been taken.
        unsafe { sq.push_with_flags(&write, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        let done = wait(cq, sq, 2);
        let written = usize::try_from(done[0].result().unwrap()).unwrap();
        assert!((1..=room).contains(&written), "{written} of {room}");
        assert_eq!(done[1].raw_result(), -libc::ECANCELED);
        assert!(drain(&mut reader, 0, written) == data[..written]);
    });
}

#[test]
fn write_to_a_full_pipe_waits_for_room() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            // The kernel waits for descriptors that do not since Linux 5.15.
            if nonblocking && !needs::knows(OpCode::MKDIRAT) {
                continue;
            }
            let (mut reader, writer) = io::pipe().unwrap();
            let size = fill(&writer);
            if nonblocking {
                set_nonblocking(&writer);
            }
            let data = *b"late";
            let write = Write {
                fd: writer.as_raw_fd(),
                ptr: data.as_ptr().cast(),
                len: 4,
                offset: 0,
            };
            // SAFETY: the data and the pipe stay until the completion has been taken.
            unsafe { sq.push(&write, PENDING) }.unwrap();
            submit_pending(cq, sq);
            drain(&mut reader, 0, size);
            assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 4);
            assert_eq!(drain(&mut reader, 0, 4), b"late");
        }
    });
}

#[test]
fn write_that_may_not_wait_gives_eagain() {
    // Pipes take the flag since Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    let (_reader, writer) = io::pipe().unwrap();
    fill(&writer);
    each_ring!(|cq, sq| {
        let data = *b"never";
        let write = Write {
            fd: writer.as_raw_fd(),
            ptr: data.as_ptr().cast(),
            len: 5,
            offset: 0,
        };
        let nowait = libc::RWF_NOWAIT.cast_unsigned();
        // SAFETY: the data and the pipe stay until the completion has been taken.
        unsafe { sq.push_with(&write, 0, |sqe| sqe.insert_op_flags(nowait)) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EAGAIN);
    });
}

#[test]
fn write_cancelled_has_written_nothing() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let size = fill(&writer);
        let data = *b"never";
        let write = Write {
            fd: writer.as_raw_fd(),
            ptr: data.as_ptr().cast(),
            len: 5,
            offset: 0,
        };
        // SAFETY: the data and the pipe stay until the completion has been taken.
        unsafe { sq.push(&write, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        drain(&mut reader, 0, size);
        assert_eq!(cq.try_next().unwrap(), None);
        drop(writer);
        assert_eq!(
            reader.read(&mut [0]).unwrap(),
            0,
            "it was written after all"
        );
    });
}

#[test]
fn write_that_nobody_reads_gives_epipe_and_a_signal() {
    each_ring!(|cq, sq| {
        // Rust programs ignore the signal. Blocked, it is kept all the same.
        let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is valid for writes.
        unsafe { libc::sigemptyset(pipe.as_mut_ptr()) };
        // SAFETY: the set is initialised.
        unsafe { libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE) };
        // SAFETY: the set is initialised; the old mask is not wanted.
        let result =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), ptr::null_mut()) };
        assert_eq!(result, 0);
        let (socket, other) = UnixStream::pair().unwrap();
        drop(other);
        let done = write(cq, sq, &socket, b"never", 0);
        assert_eq!(done.raw_result(), -libc::EPIPE);
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: set and time are initialised; what the signal says else is not wanted.
        let signal = unsafe { libc::sigtimedwait(pipe.as_ptr(), ptr::null_mut(), &raw const now) };
        assert_eq!(signal, libc::SIGPIPE);
    });
}

#[test]
fn write_to_what_is_not_open_for_writing_gives_ebadf() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let read_only = File::open(path.path()).unwrap();
    each_ring!(|cq, sq| {
        for fd in [-1, read_only.as_raw_fd()] {
            assert_eq!(write(cq, sq, &fd, b"x", 0).raw_result(), -libc::EBADF);
        }
    });
}

#[test]
fn write_from_memory_that_is_not_mapped_gives_efault() {
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        let write = Write {
            fd: file.as_raw_fd(),
            ptr: ptr::without_provenance(1),
            len: 8,
            offset: 0,
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        unsafe { sq.push(&write, 0) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EFAULT);
        assert_eq!(contents(&file), b"0123456789");
    });
}

#[test]
fn write_to_a_full_disk_gives_enospc() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    each_ring!(|cq, sq| {
        assert_eq!(write(cq, sq, &full, b"x", 0).raw_result(), -libc::ENOSPC);
    });
}

#[test]
fn writev_writes_the_buffers_in_order() {
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        let buffers = [&b"ab"[..], b"", b"cde", b"f"].map(IoSlice::new);
        assert_eq!(writev(cq, sq, &file, &buffers, 7).result().unwrap(), 6);
        assert_eq!(contents(&file), b"0123456abcdef");
    });
}

#[test]
fn writev_at_offset_max_uses_and_moves_the_position() {
    each_ring!(|cq, sq| {
        let mut file = file(b"0123456789");
        file.seek(SeekFrom::Start(4)).unwrap();
        let buffers = [&b"ab"[..], b"c"].map(IoSlice::new);
        assert_eq!(
            writev(cq, sq, &file, &buffers, u64::MAX).result().unwrap(),
            3
        );
        assert_eq!(file.stream_position().unwrap(), 7);
        assert_eq!(contents(&file), b"0123abc789");
    });
}

#[test]
fn writev_of_more_than_1024_buffers_gives_einval() {
    let data = bytes(1025);
    let buffers: Vec<_> = data.chunks(1).map(IoSlice::new).collect();
    each_ring!(|cq, sq| {
        let file = file(&[]);
        let done = writev(cq, sq, &file, &buffers, 0);
        assert_eq!(done.raw_result(), -libc::EINVAL);
        assert_eq!(contents(&file), b"");
        let done = writev(cq, sq, &file, &buffers[..1024], 0);
        assert_eq!(done.result().unwrap(), 1024);
        assert!(contents(&file) == data[..1024]);
    });
}

#[test]
fn writev_of_an_array_or_from_memory_that_is_not_mapped_gives_efault() {
    let nowhere = libc::iovec {
        iov_base: ptr::without_provenance_mut(1),
        iov_len: 8,
    };
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        for iovecs in [&raw const nowhere, ptr::without_provenance(8)] {
            let operation = Writev {
                fd: file.as_raw_fd(),
                iovecs,
                nr_vecs: 1,
                offset: 0,
            };
            // SAFETY: the array, or the memory that it names, lies where nothing is mapped, so the
            // kernel reads nothing there.
            unsafe { sq.push(&operation, 0) }.unwrap();
            assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EFAULT);
        }
        assert_eq!(contents(&file), b"0123456789");
    });
}

#[test]
fn writev_keeps_no_array_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let size = fill(&writer);
        let data = *b"abcdef";
        let mut buffers = [&data[..4], &data[4..]].map(IoSlice::new);
        let operation = Writev {
            fd: writer.as_raw_fd(),
            iovecs: buffers.as_ptr().cast(),
            nr_vecs: 2,
            offset: 0,
        };
        // SAFETY: the array stays until the entry has been submitted, the data and the pipe until
        // the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        buffers = [IoSlice::new(&[]), IoSlice::new(&[])];
        drain(&mut reader, 0, size);
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 6);
        assert!(buffers.iter().all(|buffer| buffer.is_empty()));
        assert_eq!(drain(&mut reader, 0, 6), b"abcdef");
    });
}

#[test]
fn writev_cancelled_has_written_nothing() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let size = fill(&writer);
        let buffers = [&b"ne"[..], b"ver"].map(IoSlice::new);
        let operation = Writev {
            fd: writer.as_raw_fd(),
            iovecs: buffers.as_ptr().cast(),
            nr_vecs: 2,
            offset: 0,
        };
        // SAFETY: the array, the data and the pipe stay until the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        drain(&mut reader, 0, size);
        drop(writer);
        assert_eq!(
            reader.read(&mut [0]).unwrap(),
            0,
            "it was written after all"
        );
    });
}

/// Writes from a registered buffer, and waits for the completion.
///
/// # Safety
///
/// The memory is valid for reads if the kernel takes it for a part of a registered buffer.
#[track_caller]
unsafe fn write_fixed<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    (buf, nbytes): (*const c_void, u32),
    offset: u64,
    buf_index: u16,
) -> Completion {
    let write = WriteFixed {
        fd,
        buf,
        nbytes,
        offset,
        buf_index,
    };
    // SAFETY: the caller's promise, until the completion has been taken.
    unsafe { sq.push(&write, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

#[test]
fn write_fixed_writes_parts_of_registered_buffers() {
    each_ring!(|cq, sq| {
        let file = file(&[]);
        let (mut a, mut b) = (bytes(5000), bytes(9000));
        b.reverse();
        let starts = [a.as_ptr(), b.as_ptr()];
        let slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        // SAFETY: the memory stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&slices) }.unwrap();
        let mut offset = 0;
        for (index, start, n) in [(0u16, 0, 5000), (1, 0, 100), (1, 4000, 5000)] {
            let at = starts[usize::from(index)].wrapping_add(start);
            let fd = file.as_raw_fd();
            // SAFETY: the part lies in the buffer with this index.
            let done = unsafe { write_fixed(cq, sq, fd, (at.cast(), n), offset, index) };
            assert_eq!(done.result().unwrap().cast_unsigned(), n);
            offset += u64::from(n);
        }
        sq.unregister_buffers().unwrap();
        assert!(contents(&file) == [&a[..], &b[..100], &b[4000..]].concat());
    });
}

#[test]
fn write_fixed_outside_the_buffer_or_without_one_gives_efault() {
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        let fd = file.as_raw_fd();
        let mut memory = bytes(64);
        let start = memory.as_ptr();
        // SAFETY: without a registered buffer nothing is read.
        let done = unsafe { write_fixed(cq, sq, fd, (start.cast(), 8), 0, 0) };
        assert_eq!(done.raw_result(), -libc::EFAULT, "nothing registered");
        let inner = IoSliceMut::new(&mut memory[16..48]);
        // SAFETY: the memory stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&[inner]) }.unwrap();
        for (what, from, n, index) in [
            ("before it", 8, 8, 0),
            ("across its start", 15, 2, 0),
            ("across its end", 47, 2, 0),
            ("behind it", 48, 8, 0),
            ("the next index", 16, 8, 1),
            ("the last index", 16, 8, u16::MAX),
        ] {
            let at = start.wrapping_add(from);
            // SAFETY: all of it lies in the memory.
            let done = unsafe { write_fixed(cq, sq, fd, (at.cast(), n), 0, index) };
            assert_eq!(done.raw_result(), -libc::EFAULT, "{what}");
        }
        sq.unregister_buffers().unwrap();
        assert_eq!(contents(&file), b"0123456789");
    });
}

#[test]
fn write_fixed_cancelled_has_written_nothing() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        let size = fill(&writer);
        let mut data = *b"never";
        let buf = data.as_ptr().cast();
        // SAFETY: the data stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&[IoSliceMut::new(&mut data)]) }.unwrap();
        let write = WriteFixed {
            fd: writer.as_raw_fd(),
            buf,
            nbytes: 5,
            offset: 0,
            buf_index: 0,
        };
        // SAFETY: the data and the pipe stay until the completion has been taken.
        unsafe { sq.push(&write, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        sq.unregister_buffers().unwrap();
        drain(&mut reader, 0, size);
        drop(writer);
        assert_eq!(
            reader.read(&mut [0]).unwrap(),
            0,
            "it was written after all"
        );
    });
}
