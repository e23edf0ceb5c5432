//! Buffers given to the kernel with an operation, and what it does with them.

#![cfg(target_os = "linux")]

use std::ffi::c_void;
use std::io::{self, PipeReader, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::slice;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, ProvideBuffers, Read, Recv};
use lio_uring::{Completion, CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{run, wait};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;

/// Memory that is never freed, so that the kernel may have it for ever.
#[derive(Clone, Copy)]
struct Memory {
    start: *mut u8,
    size: usize,
}

impl Memory {
    fn new(size: usize) -> Self {
        let start = Vec::leak(vec![UNTOUCHED; size]).as_mut_ptr();
        Self { start, size }
    }

    fn at(&self, place: usize) -> *mut c_void {
        assert!(place <= self.size);
        self.start.wrapping_add(place).cast()
    }

    /// The bytes of one buffer, if they have been handed over.
    ///
    /// # Safety
    ///
    /// A completion has named the buffer since it was provided, or it was never provided.
    unsafe fn bytes(&self, place: usize, n: usize) -> &'static [u8] {
        assert!(place + n <= self.size);
        // SAFETY: all of it lies in the memory, and the caller says that it is not the kernel's.
        unsafe { slice::from_raw_parts(self.start.wrapping_add(place), n) }
    }
}

/// Gives a group buffers, and returns the result.
#[track_caller]
fn provide<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    provide: &ProvideBuffers,
) -> i32 {
    // SAFETY: the tests provide memory that is never freed, look at it when completions hand it
    // over, or have the kernel refuse it.
    unsafe { run(cq, sq, provide, |_| ()) }.raw_result()
}

/// A pipe with this in it.
fn pipe(text: &[u8]) -> PipeReader {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(text).expect("room");
    reader
}

/// Reads up to `len` bytes into a buffer of a group.
#[track_caller]
fn read<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    len: u32,
    group: u16,
) -> Completion {
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: ptr::null_mut(),
        len,
        offset: 0,
    };
    // SAFETY: the buffers of the groups are never freed, and the file is borrowed.
    unsafe { run(cq, sq, &read, |sqe| sqe.select_buffer(group)) }
}

#[test]
fn provide_buffers_numbers_them_and_each_is_used_once() {
    each_ring!(|cq, sq| {
        let memory = Memory::new(40);
        let three = ProvideBuffers {
            addr: memory.at(0),
            len: 10,
            nr: 3,
            bgid: 9,
            bid: 1000,
        };
        let result = provide(cq, sq, &three);
        assert!(result == 0 || result == 3, "{result}");
        let file = pipe(b"abcdefghijklmnopqrstuvwxyz");
        let mut used = Vec::new();
        for (len, wanted) in [(10, "abcdefghij"), (4, "klmn"), (10, "opqrstuvwx")] {
            let done = read(cq, sq, &file, len, 9);
            assert_eq!(done.result().unwrap().cast_unsigned(), len);
            let id = done.buffer_id().expect("a buffer");
            assert!((1000..1003).contains(&id), "{id}");
            let place = 10 * usize::from(id - 1000);
            // SAFETY: the completion has named the buffer.
            let bytes = unsafe { memory.bytes(place, 10) };
            assert_eq!(&bytes[..wanted.len()], wanted.as_bytes());
            assert!(bytes[wanted.len()..].iter().all(|byte| *byte == UNTOUCHED));
            used.push(id);
        }
        used.sort_unstable();
        assert_eq!(used, [1000, 1001, 1002]);
        let done = read(cq, sq, &file, 10, 9);
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ENOBUFS, None)
        );
        // SAFETY: the last ten bytes were not provided.
        assert_eq!(unsafe { memory.bytes(30, 10) }, [UNTOUCHED; 10]);
    });
}

#[test]
fn provide_buffers_again_makes_a_used_buffer_serve_again() {
    each_ring!(|cq, sq| {
        let memory = Memory::new(4);
        let one = ProvideBuffers {
            addr: memory.at(0),
            len: 4,
            nr: 1,
            bgid: 0,
            bid: u16::MAX,
        };
        let file = pipe(b"onetwosix");
        for wanted in [b"one", b"two", b"six"] {
            assert!(provide(cq, sq, &one) >= 0);
            let done = read(cq, sq, &file, 3, 0);
            assert_eq!(
                (done.result().unwrap(), done.buffer_id()),
                (3, Some(u16::MAX))
            );
            // SAFETY: the completion has named the buffer.
            assert_eq!(unsafe { memory.bytes(0, 3) }, wanted);
        }
    });
}

#[test]
fn provide_buffers_of_two_groups_stay_apart() {
    each_ring!(|cq, sq| {
        let memory = Memory::new(20);
        for (bgid, place) in [(1, 0), (u16::MAX, 10)] {
            let one = ProvideBuffers {
                addr: memory.at(place),
                len: 10,
                nr: 1,
                bgid,
                bid: 5,
            };
            assert!(provide(cq, sq, &one) >= 0);
        }
        let file = pipe(b"onetwo");
        assert_eq!(read(cq, sq, &file, 3, u16::MAX).result().unwrap(), 3);
        // SAFETY: the completion has named the buffer of this group.
        assert_eq!(&unsafe { memory.bytes(10, 10) }[..3], b"one");
        let done = read(cq, sq, &file, 3, u16::MAX);
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
        assert_eq!(read(cq, sq, &file, 3, 1).result().unwrap(), 3);
        // SAFETY: and this one that of the other.
        assert_eq!(&unsafe { memory.bytes(0, 10) }[..3], b"two");
        assert_eq!(read(cq, sq, &file, 3, 2).raw_result(), -libc::ENOBUFS);
    });
}

#[test]
fn provide_buffers_linked_before_a_receive_serves_it() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"hello").unwrap();
        let memory = Memory::new(8);
        let one = ProvideBuffers {
            addr: memory.at(0),
            len: 8,
            nr: 1,
            bgid: 3,
            bid: 4,
        };
        // SAFETY: the memory is never freed, and looked at when the completion has named it.
        unsafe { sq.push_with_flags(&one, 1, SqeFlags::IO_LINK) }.unwrap();
        let recv = Recv {
            sockfd: here.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 8,
            flags: 0,
        };
        // SAFETY: the buffers of the group are never freed, and the socket stays.
        unsafe { sq.push_with(&recv, 2, |sqe| sqe.select_buffer(3)) }.unwrap();
        let done = wait(cq, sq, 2)[1];
        assert_eq!((done.result().unwrap(), done.buffer_id()), (5, Some(4)));
        // SAFETY: the completion has named the buffer.
        assert_eq!(&unsafe { memory.bytes(0, 8) }[..5], b"hello");
    });
}

#[test]
fn provide_buffers_behind_a_failure_provides_nothing() {
    each_ring!(|cq, sq| {
        let file = pipe(b"kept");
        let short = Read {
            fd: file.as_raw_fd(),
            ptr: ptr::without_provenance_mut(1),
            len: 8,
            offset: 0,
        };
        // SAFETY: nothing is mapped there, so nothing is written.
        unsafe { sq.push_with_flags(&short, 1, SqeFlags::IO_LINK) }.unwrap();
        let memory = Memory::new(8);
        let one = ProvideBuffers {
            addr: memory.at(0),
            len: 8,
            nr: 1,
            bgid: 3,
            bid: 4,
        };
        // SAFETY: the memory is never freed.
        unsafe { sq.push(&one, 2) }.unwrap();
        assert_eq!(wait(cq, sq, 2)[1].raw_result(), -libc::ECANCELED);
        assert_eq!(read(cq, sq, &file, 8, 3).raw_result(), -libc::ENOBUFS);
    });
}

#[test]
fn provide_buffers_that_cannot_be_gives_the_documented_errors() {
    let memory = Memory::new(16);
    let one = ProvideBuffers {
        addr: memory.at(0),
        len: 8,
        nr: 1,
        bgid: 3,
        bid: 4,
    };
    each_ring!(|cq, sq| {
        for nr in [0, 65_537, u32::MAX, 1 << 31] {
            let result = provide(cq, sq, &ProvideBuffers { nr, ..one });
            assert_eq!(result, -libc::E2BIG, "{nr} buffers");
        }
        let wraps = ProvideBuffers {
            addr: ptr::without_provenance_mut(usize::MAX - 7),
            len: 16,
            ..one
        };
        assert_eq!(provide(cq, sq, &wraps), -libc::EOVERFLOW);
        let kernels = ProvideBuffers {
            addr: ptr::without_provenance_mut(usize::MAX - 4095),
            ..one
        };
        assert_eq!(provide(cq, sq, &kernels), -libc::EFAULT);
        // Older kernels count on from 0.
        if needs::knows(OpCode::READ_MULTISHOT) {
            let unnumbered = ProvideBuffers {
                nr: 2,
                bid: u16::MAX,
                ..one
            };
            assert_eq!(provide(cq, sq, &unnumbered), -libc::EINVAL);
        }
        // Refused since about Linux 6.15.
        if needs::knows(OpCode::EPOLL_WAIT) {
            let result = provide(cq, sq, &ProvideBuffers { len: 0, ..one });
            assert_eq!(result, -libc::EINVAL);
        }
        let file = pipe(b"kept");
        assert_eq!(read(cq, sq, &file, 8, 3).raw_result(), -libc::ENOBUFS);
    });
}

#[test]
fn provide_buffers_for_a_buffer_ring_gives_einval() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let _ring = sq.register_buffer_ring(4, 3).unwrap();
        let memory = Memory::new(8);
        let one = ProvideBuffers {
            addr: memory.at(0),
            len: 8,
            nr: 1,
            bgid: 3,
            bid: 4,
        };
        assert_eq!(provide(cq, sq, &one), -libc::EINVAL);
        // And a group that has buffers cannot become a ring.
        assert!(provide(cq, sq, &ProvideBuffers { bgid: 4, ..one }) >= 0);
        let error = sq.register_buffer_ring(4, 4).unwrap_err();
        assert_eq!(error.errno(), libc::EEXIST);
    });
}

#[test]
fn provide_buffers_beyond_65535_overflows_or_adds() {
    each_ring!(|cq, sq| {
        let memory = Memory::new(65_535);
        let many = ProvideBuffers {
            addr: memory.at(0),
            len: 1,
            nr: 65_535,
            bgid: 3,
            bid: 0,
        };
        assert!(provide(cq, sq, &many) >= 0);
        let other = Memory::new(1);
        let more = ProvideBuffers {
            addr: other.at(0),
            nr: 1,
            bid: u16::MAX,
            ..many
        };
        // There is a limit since about Linux 6.17.
        let result = provide(cq, sq, &more);
        assert!(result >= 0 || result == -libc::EOVERFLOW, "{result}");
        let file = pipe(b"x");
        let done = read(cq, sq, &file, 1, 3);
        assert_eq!(done.result().unwrap(), 1);
        let bytes = match done.buffer_id().expect("a buffer") {
            // SAFETY: the completion has named the buffer.
            u16::MAX => unsafe { other.bytes(0, 1) },
            // SAFETY: as above.
            id => unsafe { memory.bytes(id.into(), 1) },
        };
        assert_eq!(bytes, b"x");
    });
}
