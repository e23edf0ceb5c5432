//! Reading into parts of a registered buffer and writing from them.

#![cfg(target_os = "linux")]

use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use libc::{RWF_APPEND, RWF_NOWAIT};
use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, Operation, ReadvFixed, WritevFixed};
use lio_uring::{CompletionQueue, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{contents, file};
use rings::{PENDING, cancel, run, submit_pending, wait};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;

/// Runs an operation, and returns its result.
#[track_caller]
fn result<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    // SAFETY: the tests keep the buffers and the arrays of them until this returns, or name
    // addresses where nothing is mapped.
    unsafe { run(cq, sq, operation, |_| ()) }.raw_result()
}

/// Memory that is registered with a ring, all but its first and last 16 bytes.
struct Registered {
    memory: Box<[u8; 96]>,
    start: *mut u8,
}

impl Registered {
    /// Registers it at the index 1.
    #[track_caller]
    fn new<T: Threads>(sq: &mut SubmissionQueue<T>) -> Self {
        let mut memory = Box::new([UNTOUCHED; 96]);
        let start = memory.as_mut_ptr();
        sq.register_buffers_sparse(2).expect("a table");
        let inner = IoSliceMut::new(&mut memory[16..80]);
        // SAFETY: the memory is looked at when the buffers are unregistered.
        unsafe { sq.register_buffers_update(1, &[inner]) }.expect("a buffer");
        Self { memory, start }
    }

    /// Parts of it, as places and lengths.
    fn parts<const N: usize>(&self, parts: [(usize, usize); N]) -> [libc::iovec; N] {
        parts.map(|(place, iov_len)| {
            assert!(place + iov_len <= 96);
            libc::iovec {
                iov_base: self.start.wrapping_add(place).cast(),
                iov_len,
            }
        })
    }

    /// What it holds in the end.
    #[track_caller]
    fn end<T: Threads>(self, sq: &mut SubmissionQueue<T>) -> [u8; 96] {
        sq.unregister_buffers().expect("buffers");
        *self.memory
    }
}

fn readv_fixed_of(fd: RawFd, parts: &[libc::iovec], offset: u64) -> ReadvFixed {
    ReadvFixed {
        fd,
        iovecs: parts.as_ptr(),
        nr_vecs: parts.len().try_into().expect("few parts"),
        offset,
        flags: 0,
        buf_index: 1,
    }
}

fn writev_fixed_of(fd: RawFd, parts: &[libc::iovec], offset: u64) -> WritevFixed {
    WritevFixed {
        fd,
        iovecs: parts.as_ptr(),
        nr_vecs: parts.len().try_into().expect("few parts"),
        offset,
        flags: 0,
        buf_index: 1,
    }
}

#[test]
fn readv_fixed_fills_the_parts_in_their_order() {
    if !needs::operations(&[OpCode::READV_FIXED]) {
        return;
    }
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let buffer = Registered::new(sq);
        let parts = buffer.parts([(70, 3), (16, 2), (40, 8)]);
        assert_eq!(
            result(cq, sq, &readv_fixed_of(file.as_raw_fd(), &parts, 1)),
            9
        );
        let mut wanted = [UNTOUCHED; 96];
        wanted[70..73].copy_from_slice(b"123");
        wanted[16..18].copy_from_slice(b"45");
        wanted[40..44].copy_from_slice(b"6789");
        assert_eq!(buffer.end(sq), wanted);
    });
}

#[test]
fn readv_fixed_takes_flags() {
    if !needs::operations(&[OpCode::READV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let buffer = Registered::new(sq);
        let parts = buffer.parts([(16, 2), (20, 2)]);
        let read = ReadvFixed {
            flags: RWF_NOWAIT,
            ..readv_fixed_of(reader.as_raw_fd(), &parts, 0)
        };
        assert_eq!(result(cq, sq, &read), -libc::EAGAIN);
        writer.write_all(b"abc").unwrap();
        assert_eq!(result(cq, sq, &read), 3);
        let memory = buffer.end(sq);
        assert_eq!(&memory[16..22], b"ab\xaa\xaac\xaa");
    });
}

#[test]
fn readv_fixed_outside_the_buffer_or_without_one_gives_efault() {
    if !needs::operations(&[OpCode::READV_FIXED]) {
        return;
    }
    let file = file(b"0123456789");
    let fd = file.as_raw_fd();
    each_ring!(|cq, sq| {
        let buffer = Registered::new(sq);
        for wrong in [(0, 8), (15, 2), (79, 2), (80, 8)] {
            let parts = buffer.parts([(16, 1), wrong]);
            let done = result(cq, sq, &readv_fixed_of(fd, &parts, 0));
            assert_eq!(done, -libc::EFAULT, "{wrong:?}");
        }
        let parts = buffer.parts([(16, 1)]);
        let good = readv_fixed_of(fd, &parts, 0);
        for buf_index in [0, 2, u16::MAX] {
            let done = result(cq, sq, &ReadvFixed { buf_index, ..good });
            assert_eq!(done, -libc::EFAULT, "{buf_index}");
        }
        let nowhere = ReadvFixed {
            iovecs: ptr::without_provenance(8),
            ..good
        };
        assert_eq!(result(cq, sq, &nowhere), -libc::EFAULT);
        let many = vec![parts[0]; 1025];
        assert_eq!(result(cq, sq, &readv_fixed_of(fd, &many, 0)), -libc::EINVAL);
        assert_eq!(result(cq, sq, &readv_fixed_of(-1, &parts, 0)), -libc::EBADF);
        assert_eq!(buffer.end(sq), [UNTOUCHED; 96]);
    });
}

#[test]
fn readv_fixed_cancelled_leaves_the_memory_and_the_data() {
    if !needs::operations(&[OpCode::READV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let buffer = Registered::new(sq);
        let parts = buffer.parts([(16, 8), (30, 8)]);
        let read = readv_fixed_of(reader.as_raw_fd(), &parts, 0);
        // SAFETY: buffer, array and pipe stay until the completion has been taken.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"k").unwrap();
        reader.read_exact(&mut [0]).unwrap();
        assert_eq!(buffer.end(sq), [UNTOUCHED; 96]);
    });
}

#[test]
fn readv_fixed_waits_for_data_and_keeps_no_array() {
    if !needs::operations(&[OpCode::READV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let buffer = Registered::new(sq);
        let mut parts = buffer.parts([(50, 2), (16, 2)]);
        let read = readv_fixed_of(reader.as_raw_fd(), &parts, 0);
        // SAFETY: buffer and pipe stay until the completion has been taken, the array until the
        // entry has been submitted.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        submit_pending(cq, sq);
        parts.fill(libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        });
        writer.write_all(b"abcd").unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 4);
        let memory = buffer.end(sq);
        assert_eq!((&memory[50..52], &memory[16..18]), (&b"ab"[..], &b"cd"[..]));
        assert!(parts.iter().all(|part| part.iov_base.is_null()));
    });
}

/// Memory that is registered with a ring and holds the alphabet from its first byte there.
#[track_caller]
fn alphabet<T: Threads>(sq: &mut SubmissionQueue<T>) -> Registered {
    let buffer = Registered::new(sq);
    for (place, letter) in (16..).zip(b'a'..=b'z') {
        // SAFETY: the place is in the memory, and nothing else uses it now.
        unsafe { buffer.start.wrapping_add(place).write(letter) };
    }
    buffer
}

#[test]
fn writev_fixed_writes_the_parts_in_their_order() {
    if !needs::operations(&[OpCode::WRITEV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = file(b"..........");
        let buffer = alphabet(sq);
        let parts = buffer.parts([(39, 3), (16, 2), (20, 1)]);
        let write = writev_fixed_of(file.as_raw_fd(), &parts, 2);
        assert_eq!(result(cq, sq, &write), 6);
        assert_eq!(contents(&file), b"..xyzabe..");
        let append = WritevFixed {
            flags: RWF_APPEND,
            ..write
        };
        assert_eq!(result(cq, sq, &append), 6);
        assert_eq!(contents(&file), b"..xyzabe..xyzabe");
        assert_eq!(&buffer.end(sq)[16..18], b"ab");
    });
}

#[test]
fn writev_fixed_outside_the_buffer_or_without_one_gives_efault() {
    if !needs::operations(&[OpCode::WRITEV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = file(b"kept");
        let fd = file.as_raw_fd();
        let buffer = alphabet(sq);
        for wrong in [(0, 8), (15, 2), (79, 2), (80, 8)] {
            let parts = buffer.parts([(16, 1), wrong]);
            let done = result(cq, sq, &writev_fixed_of(fd, &parts, 0));
            assert_eq!(done, -libc::EFAULT, "{wrong:?}");
        }
        let parts = buffer.parts([(16, 1)]);
        let good = writev_fixed_of(fd, &parts, 0);
        for buf_index in [0, 2, u16::MAX] {
            let done = result(cq, sq, &WritevFixed { buf_index, ..good });
            assert_eq!(done, -libc::EFAULT, "{buf_index}");
        }
        let many = vec![parts[0]; 1025];
        assert_eq!(
            result(cq, sq, &writev_fixed_of(fd, &many, 0)),
            -libc::EINVAL
        );
        assert_eq!(
            result(cq, sq, &writev_fixed_of(-1, &parts, 0)),
            -libc::EBADF
        );
        assert_eq!(contents(&file), b"kept");
        buffer.end(sq);
    });
}

#[test]
fn writev_fixed_cancelled_has_written_nothing() {
    if !needs::operations(&[OpCode::WRITEV_FIXED]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        // SAFETY: the descriptor is open, and the command takes nothing.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        let mut all = vec![b'.'; usize::try_from(size).unwrap()];
        writer.write_all(&all).unwrap();
        let buffer = alphabet(sq);
        let parts = buffer.parts([(16, 4), (30, 4)]);
        let write = writev_fixed_of(writer.as_raw_fd(), &parts, 0);
        // SAFETY: buffer, array and pipe stay until the completion has been taken.
        unsafe { sq.push(&write, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        drop(writer);
        all.clear();
        reader.read_to_end(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == b'.'));
        buffer.end(sq);
    });
}
