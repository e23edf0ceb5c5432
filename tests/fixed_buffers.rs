//! Parts of registered buffers, wherever they begin and end.
#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::ptr::{self, NonNull};

use lio_uring::kind::Threads;
use lio_uring::operation::ReadFixed;
use lio_uring::{CompletionQueue, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::next;

const PAGE: usize = 4096;
const FILE: usize = 16 * PAGE;

/// Pages of memory of their own.
struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    /// In huge pages as far as the kernel likes to.
    fn new(bytes: usize) -> Self {
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: the mapping is so long; where the kernel has no huge pages this does nothing.
        unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
        let start = NonNull::new(start.cast()).expect("an address");
        Self { start, bytes }
    }

    fn vector(&self, offset: usize, len: usize) -> libc::iovec {
        libc::iovec {
            iov_base: self.start.as_ptr().wrapping_add(offset).cast(),
            iov_len: len,
        }
    }

    /// Only while nothing is in flight.
    fn contents(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is so long, and nothing else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping was made for this value, and nothing is in flight.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// The byte of the file at an offset. Pages differ, and places in a page.
fn byte(offset: usize) -> u8 {
    u8::try_from(offset % 251).expect("less than 256")
}

/// A file with those bytes, opened for reading with these flags.
fn file(flags: i32) -> Option<File> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text: Vec<_> = (0..FILE).map(byte).collect();
    file.as_file()
        .write_all_at(&text, 0)
        .expect("room in the file");
    file.as_file().sync_all().expect("a file on a disk");
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(file.path());
    // A file system in memory has direct reads since then, and others always had them.
    kernel::since(6, 6, opened)
}

/// Pushes a read into the registered buffer 0.
#[track_caller]
fn push<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    file: &File,
    memory: &Pages,
    (to, len): (usize, usize),
    offset: usize,
) {
    let read = ReadFixed {
        fd: file.as_raw_fd(),
        buf: memory.vector(to, len).iov_base,
        nbytes: len.try_into().expect("less than 4 GiB"),
        offset: offset as u64,
        buf_index: 0,
    };
    // SAFETY: the test keeps memory and file until the completion has been taken.
    unsafe { sq.push(&read, to as u64) }.expect("room");
}

#[track_caller]
fn take<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, lens: &[usize]) {
    sq.submit().expect("a submission");
    let mut got: Vec<_> = lens
        .iter()
        .map(|_| usize::try_from(next(cq).result().expect("data")).expect("a length"))
        .collect();
    got.sort_unstable();
    let mut lens = lens.to_vec();
    lens.sort_unstable();
    assert_eq!(got, lens);
}

#[test]
fn reads_to_odd_places_fill_these_and_nothing_else() {
    let file = file(0).unwrap();
    each_ring!(|cq, sq| {
        // The buffer itself begins and ends within a page.
        let mut memory = Pages::new(8 * PAGE);
        let buffer = [memory.vector(100, 7 * PAGE)];
        // SAFETY: the memory stays until the buffer is unregistered.
        unsafe { sq.register_buffers(&buffer) }.unwrap();
        for (to, len) in [
            (100, 1),
            (101, 4095),
            (511, 513),
            (4095, 2),
            (4096, 4096),
            (4097, 8191),
            (100, 7 * PAGE),
            (7 * PAGE - 1, 101),
        ] {
            for offset in [0, 1, 511, 4095, 4097] {
                memory.contents().fill(0xff);
                push(sq, &file, &memory, (to, len), offset);
                take(cq, sq, &[len]);
                let contents = memory.contents();
                let wanted: Vec<_> = (offset..offset + len).map(byte).collect();
                assert!(contents[to..to + len] == wanted, "{len} at {to}");
                assert!(contents[..to].iter().all(|byte| *byte == 0xff));
                assert!(contents[to + len..].iter().all(|byte| *byte == 0xff));
            }
        }
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn direct_reads_to_odd_segments_get_the_bytes_there() {
    let Some(file) = file(libc::O_DIRECT) else {
        return;
    };
    each_ring!(|cq, sq| {
        let mut memory = Pages::new(8 * PAGE);
        // Segments of the buffer that begin on a sector and not on a page.
        let buffer = [memory.vector(512, 7 * PAGE)];
        // SAFETY: the memory stays until the buffer is unregistered.
        unsafe { sq.register_buffers(&buffer) }.unwrap();
        for (to, len) in [(512, 512), (3584, 1024), (4096, 4096), (2560, 3 * PAGE)] {
            for offset in [0, 512, 3584, 4096] {
                memory.contents().fill(0);
                push(sq, &file, &memory, (to, len), offset);
                take(cq, sq, &[len]);
                let wanted: Vec<_> = (offset..offset + len).map(byte).collect();
                assert!(memory.contents()[to..to + len] == wanted, "{len} at {to}");
            }
        }
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn direct_reads_into_a_buffer_of_merged_pages_go_where_they_should() {
    const BUFFER: usize = 1 << 22;
    const HUGE: usize = 1 << 21;
    let Some(file) = file(libc::O_DIRECT) else {
        return;
    };
    each_ring!(|cq, sq| {
        let mut memory = Pages::new(BUFFER);
        memory.contents().fill(0xff);
        let buffer = [memory.vector(0, BUFFER)];
        // SAFETY: the memory stays until the buffer is unregistered.
        unsafe { sq.register_buffers(&buffer) }.unwrap();
        // Behind the first page, around the middle, at the end.
        for first in [PAGE, HUGE - PAGE, HUGE + 2 * PAGE, BUFFER - 3 * PAGE] {
            for i in 0..3 {
                push(sq, &file, &memory, (first + i * PAGE, PAGE), i * PAGE);
            }
            take(cq, sq, &[PAGE; 3]);
            let contents = memory.contents();
            let wanted: Vec<_> = (0..3 * PAGE).map(byte).collect();
            assert!(contents[first..first + 3 * PAGE] == wanted, "at {first}");
            contents[first..first + 3 * PAGE].fill(0xff);
            assert!(contents.iter().all(|byte| *byte == 0xff), "at {first}");
        }
        sq.unregister_buffers().unwrap();
    });
}
