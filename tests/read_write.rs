//! Writing a file and reading it back in every way, on rings of every kind, and up to limits.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Operation, ProvideBuffers, Read, ReadFixed, Readv, Write, WriteFixed, Writev,
};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, SqeFlags, SubmissionQueue};

#[path = "support/child.rs"]
mod child;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::next;

const SIZE: usize = 512;
const COUNT: usize = 16;

/// How a file is written and read.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    Vectored,
    /// From and to a registered buffer.
    Fixed,
}

/// Memory that the kernel writes to while the test knows its address alone.
struct Memory(*mut [[u8; SIZE]; COUNT]);

impl Memory {
    fn new() -> Self {
        Self(Box::into_raw(Box::new([[0; SIZE]; COUNT])))
    }

    fn address(&self, i: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(i * SIZE)
    }

    fn vector(&self, i: usize) -> libc::iovec {
        libc::iovec {
            iov_base: self.address(i).cast(),
            iov_len: SIZE,
        }
    }

    /// Only while nothing is in flight.
    fn contents(&mut self) -> &mut [[u8; SIZE]; COUNT] {
        // SAFETY: the memory is a box's, and nothing is in flight.
        unsafe { &mut *self.0 }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was a box's, and nothing is in flight.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

#[track_caller]
fn push<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    i: usize,
    flags: SqeFlags,
) {
    // SAFETY: the test keeps memory, vectors and file until all completions have been taken.
    if unsafe { sq.push_with_flags(operation, i as u64, flags) }.is_err() {
        sq.submit().expect("a submission");
        sq.wait_for_space().expect("room");
        // SAFETY: as above.
        unsafe { sq.push_with_flags(operation, i as u64, flags) }.expect("room");
    }
}

/// Takes the completions of as many operations as there are blocks.
#[track_caller]
fn take_all<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, what: &str) {
    sq.submit().expect("a submission");
    let mut seen = [false; COUNT];
    for _ in 0..COUNT {
        let done = next(cq);
        assert_eq!(done.raw_result(), 512, "{what}: {done:?}");
        seen[usize::try_from(done.user_data()).expect("a number")] = true;
    }
    assert_eq!(seen, [true; COUNT], "{what}");
}

/// Writes blocks in disorder, and reads them back in another one.
#[track_caller]
fn there_and_back<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    way: Way,
    fd: RawFd,
    flags: SqeFlags,
) {
    let what = format!("{way:?} {flags:?} {:?}", sq.setup_flags());
    let mut memory = Memory::new();
    for (i, block) in memory.contents().iter_mut().enumerate() {
        block.fill(u8::try_from(i + 1).expect("few"));
    }
    let written = *memory.contents();
    let whole = [libc::iovec {
        iov_base: memory.0.cast(),
        iov_len: SIZE * COUNT,
    }];
    if matches!(way, Way::Fixed) {
        // SAFETY: the memory stays until the buffer is unregistered.
        unsafe { sq.register_buffers(&whole) }.expect("a buffer");
    }
    let vectors: Vec<_> = (0..COUNT).map(|i| [memory.vector(i)]).collect();
    for i in (0..COUNT).map(|i| i * 5 % COUNT) {
        let (ptr, offset) = (memory.address(i), (i * SIZE) as u64);
        match way {
            Way::Plain => {
                let ptr = ptr.cast();
                let write = Write {
                    fd,
                    ptr,
                    len: 512,
                    offset,
                };
                push(sq, &write, i, flags);
            }
            Way::Vectored => {
                let iovecs = vectors[i].as_ptr();
                let write = Writev {
                    fd,
                    iovecs,
                    nr_vecs: 1,
                    offset,
                };
                push(sq, &write, i, flags);
            }
            Way::Fixed => {
                let buf = ptr.cast();
                let write = WriteFixed {
                    fd,
                    buf,
                    nbytes: 512,
                    offset,
                    buf_index: 0,
                };
                push(sq, &write, i, flags);
            }
        }
    }
    take_all(cq, sq, &what);
    memory.contents().as_flattened_mut().fill(0);
    for i in (0..COUNT).map(|i| i * 11 % COUNT) {
        let (ptr, offset) = (memory.address(i).cast(), (i * SIZE) as u64);
        match way {
            Way::Plain => push(
                sq,
                &Read {
                    fd,
                    ptr,
                    len: 512,
                    offset,
                },
                i,
                flags,
            ),
            Way::Vectored => {
                let iovecs = vectors[i].as_ptr();
                let read = Readv {
                    fd,
                    iovecs,
                    nr_vecs: 1,
                    offset,
                };
                push(sq, &read, i, flags);
            }
            Way::Fixed => {
                let read = ReadFixed {
                    fd,
                    buf: ptr,
                    nbytes: 512,
                    offset,
                    buf_index: 0,
                };
                push(sq, &read, i, flags);
            }
        }
    }
    take_all(cq, sq, &what);
    assert!(*memory.contents() == written, "{what}: other contents");
    if matches!(way, Way::Fixed) {
        sq.unregister_buffers().expect("there is one");
    }
}

/// All ways on a ring.
#[track_caller]
fn all_ways<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    for way in [Way::Plain, Way::Vectored, Way::Fixed] {
        for flags in [SqeFlags::empty(), SqeFlags::ASYNC] {
            let file = tempfile::tempfile().expect("a file");
            there_and_back(cq, sq, way, file.as_raw_fd(), flags);
            sq.register_files(&[-1, file.as_raw_fd()]).expect("a table");
            drop(file);
            there_and_back(cq, sq, way, 1, flags | SqeFlags::FIXED_FILE);
            sq.unregister_files().expect("there is one");
        }
    }
}

#[test]
fn what_is_written_is_read_on_rings_of_both_kinds() {
    each_ring!(|cq, sq| {
        all_ways(cq, sq);
    });
}

#[test]
fn what_is_written_is_read_on_a_ring_with_sqpoll() {
    let params = IoUringParams::default().entries(16).sqpoll(100);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    all_ways(&mut cq, &mut sq);
}

#[test]
fn reads_into_provided_buffers_get_what_was_written() {
    each_ring!(|cq, sq| {
        let file = tempfile::tempfile().unwrap();
        let mut memory = Memory::new();
        for (i, block) in memory.contents().iter_mut().enumerate() {
            block.fill(u8::try_from(i + 1).unwrap());
        }
        file.write_all_at(memory.contents().as_flattened(), 0)
            .unwrap();
        memory.contents().as_flattened_mut().fill(0);
        let provide = ProvideBuffers {
            addr: memory.0.cast(),
            len: 512,
            nr: 16,
            bgid: 9,
            bid: 0,
        };
        // SAFETY: the memory stays until all of it has been used.
        unsafe { sq.push(&provide, 0) }.unwrap();
        sq.submit().unwrap();
        assert!(next(cq).result().is_ok());
        for i in 0..16 {
            let read = Read {
                fd: file.as_raw_fd(),
                ptr: ptr::null_mut(),
                len: 512,
                offset: 512 * i,
            };
            // SAFETY: as above, and the file stays.
            unsafe { sq.push_with(&read, i, |sqe| sqe.select_buffer(9)) }.unwrap();
        }
        sq.submit().unwrap();
        for _ in 0..16 {
            let done = next(cq);
            assert_eq!(done.raw_result(), 512);
            let id = usize::from(done.buffer_id().unwrap());
            let byte = u8::try_from(done.user_data() + 1).unwrap();
            assert_eq!(memory.contents()[id], [byte; SIZE]);
        }
    });
}

/// Lowers the size that files of this process may have.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the pointer leads to a value of the right type.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    // SAFETY: the signal is ignored, in a process of this test's own.
    let before = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
}

#[test]
fn writes_beyond_the_largest_file_are_short_or_give_efbig() {
    const NAME: &str = "writes_beyond_the_largest_file_are_short_or_give_efbig";
    child::in_child(
        NAME,
        || Some(()),
        || {
            let file: File = tempfile::tempfile().unwrap();
            limit_files(1000);
            let text = [7_u8; SIZE];
            each_ring!(|cq, sq| {
                for flags in [SqeFlags::empty(), SqeFlags::ASYNC] {
                    for (offset, wanted) in [(488, 512), (600, 400), (1000, -libc::EFBIG)] {
                        let write = Write {
                            fd: file.as_raw_fd(),
                            ptr: text.as_ptr().cast(),
                            len: 512,
                            offset,
                        };
                        push(sq, &write, 0, flags);
                        sq.submit().unwrap();
                        let done = next(cq);
                        assert_eq!(done.raw_result(), wanted, "{flags:?} at {offset}");
                    }
                }
            });
            assert_eq!(file.metadata().unwrap().len(), 1000);
        },
    );
}
