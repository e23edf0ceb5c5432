//! Reading: what comes, how much of it, and what is left alone.

#![cfg(target_os = "linux")]

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, IoSliceMut, PipeReader, PipeWriter, Read as _, Seek, SeekFrom, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::slice;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, ProvideBuffers, Read, ReadFixed, Readv};
use lio_uring::{Completion, CompletionQueue, SqeFlags, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{bytes, file};
use rings::{PENDING, cancel, submit_pending, wait};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;

fn len(buffer: &[u8]) -> u32 {
    buffer.len().try_into().expect("a small buffer")
}

/// Reads, and waits for the completion.
#[track_caller]
fn read<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    buffer: &mut [u8],
    offset: u64,
) -> Completion {
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: buffer.as_mut_ptr().cast(),
        len: len(buffer),
        offset,
    };
    // SAFETY: the buffer and the file are borrowed until the completion has been taken.
    unsafe { sq.push(&read, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

/// Reads into several buffers, and waits for the completion.
#[track_caller]
fn readv<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    buffers: &mut [IoSliceMut<'_>],
    offset: u64,
) -> Completion {
    let readv = Readv {
        fd: file.as_raw_fd(),
        iovecs: buffers.as_mut_ptr().cast(),
        nr_vecs: buffers.len().try_into().expect("few buffers"),
        offset,
    };
    // SAFETY: an `IoSliceMut` has the layout of `iovec`; the buffers, the array of them and the
    // file are borrowed until the completion has been taken.
    unsafe { sq.push(&readv, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

fn set_nonblocking(fd: &impl AsRawFd) {
    // SAFETY: the descriptor is open, and the command takes a number.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0);
}

/// Gives a group `n` buffers of `size` bytes, numbered from 0.
#[track_caller]
fn provide<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    group: u16,
    memory: &'static mut [u8],
    size: u32,
) {
    let provide = ProvideBuffers {
        addr: memory.as_mut_ptr().cast(),
        len: size,
        nr: len(memory) / size,
        bgid: group,
        bid: 0,
    };
    // SAFETY: the memory is borrowed for ever; whoever calls this reads it only as completions
    // hand it over.
    unsafe { sq.push(&provide, 0) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    done.result().expect("buffers can be provided");
}

#[test]
fn read_at_an_offset_gets_the_bytes_there() {
    let contents = bytes(10_000);
    let file = file(&contents);
    each_ring!(|cq, sq| {
        for offset in [0, 1, 4095, 4096, 9000] {
            let mut buffer = [0; 1000];
            let done = read(cq, sq, &file, &mut buffer, offset as u64);
            assert_eq!(done.result().unwrap(), 1000);
            assert_eq!(buffer, contents[offset..offset + 1000]);
            assert_eq!(done.flags().bits(), 0);
        }
    });
}

#[test]
fn read_near_the_end_is_short_and_leaves_the_rest_of_the_buffer() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let mut buffer = [UNTOUCHED; 16];
        let done = read(cq, sq, &file, &mut buffer, 7);
        assert_eq!(done.result().unwrap(), 3);
        assert_eq!(&buffer[..3], b"789");
        assert_eq!(buffer[3..], [UNTOUCHED; 13]);
    });
}

#[test]
fn read_past_the_end_returns_zero() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        for offset in [10, 1 << 20] {
            let mut buffer = [UNTOUCHED; 16];
            let done = read(cq, sq, &file, &mut buffer, offset);
            assert_eq!(done.result().unwrap(), 0);
            assert_eq!(buffer, [UNTOUCHED; 16]);
        }
    });
}

#[test]
fn read_of_nothing_returns_zero() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let done = read(cq, sq, &file, &mut [], 0);
        assert_eq!(done.result().unwrap(), 0);
    });
}

#[test]
fn read_at_offset_max_uses_and_moves_the_position() {
    let mut file = file(b"0123456789");
    each_ring!(|cq, sq| {
        file.seek(SeekFrom::Start(2)).unwrap();
        for (wanted, position) in [(b"234", 5), (b"567", 8)] {
            let mut buffer = [0; 3];
            let done = read(cq, sq, &file, &mut buffer, u64::MAX);
            assert_eq!(done.result().unwrap(), 3);
            assert_eq!(&buffer, wanted);
            assert_eq!(file.stream_position().unwrap(), position);
        }
    });
}

#[test]
fn read_at_another_offset_leaves_the_position() {
    let mut file = file(b"0123456789");
    file.seek(SeekFrom::Start(2)).unwrap();
    each_ring!(|cq, sq| {
        let mut buffer = [0; 3];
        read(cq, sq, &file, &mut buffer, 6).result().unwrap();
        assert_eq!(&buffer, b"678");
        assert_eq!(file.stream_position().unwrap(), 2);
    });
}

#[test]
fn read_of_a_pipe_ignores_the_offset_and_may_be_short() {
    each_ring!(|cq, sq| {
        for offset in [0, 5, 1 << 40, u64::MAX] {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"abcdef").unwrap();
            let mut buffer = [UNTOUCHED; 8];
            let done = read(cq, sq, &reader, &mut buffer, offset);
            assert_eq!(done.result().unwrap(), 6);
            assert_eq!(&buffer[..6], b"abcdef");
            assert_eq!(buffer[6..], [UNTOUCHED; 2]);
        }
    });
}

#[test]
fn read_of_a_pipe_without_a_writer_returns_zero() {
    each_ring!(|cq, sq| {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let done = read(cq, sq, &reader, &mut [0; 8], 0);
        assert_eq!(done.result().unwrap(), 0);
    });
}

/// Reads an empty pipe, has `meanwhile` do something with its ends, writes, and checks that the
/// read gets what was written.
#[track_caller]
fn waits_for_data<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    flags: SqeFlags,
    (reader, mut writer): (PipeReader, PipeWriter),
    meanwhile: impl FnOnce(PipeReader) -> Option<PipeReader>,
) {
    let mut buffer = [UNTOUCHED; 8];
    let read = Read {
        fd: reader.as_raw_fd(),
        ptr: buffer.as_mut_ptr().cast(),
        len: 8,
        offset: 0,
    };
    // SAFETY: the buffer is not touched until the completion has been taken, and the descriptor is
    // open until the entry has been submitted.
    unsafe { sq.push_with_flags(&read, PENDING, flags) }.expect("room");
    submit_pending(cq, sq);
    let _reader = meanwhile(reader);
    writer.write_all(b"late").expect("the pipe has a reader");
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.result().expect("a read"), 4);
    assert_eq!(&buffer[..4], b"late");
    assert_eq!(buffer[4..], [UNTOUCHED; 4]);
}

#[test]
fn read_of_an_empty_pipe_waits_for_data() {
    each_ring!(|cq, sq| {
        for flags in [SqeFlags::empty(), SqeFlags::ASYNC] {
            waits_for_data(cq, sq, flags, io::pipe().unwrap(), Some);
        }
    });
}

#[test]
fn read_of_a_nonblocking_pipe_waits_for_data_all_the_same() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, writer) = io::pipe().unwrap();
        set_nonblocking(&reader);
        waits_for_data(cq, sq, SqeFlags::empty(), (reader, writer), Some);
    });
}

#[test]
fn read_goes_on_when_its_descriptor_is_closed() {
    each_ring!(|cq, sq| {
        let close = |reader| {
            drop(reader);
            None
        };
        waits_for_data(cq, sq, SqeFlags::empty(), io::pipe().unwrap(), close);
    });
}

#[test]
fn read_that_may_not_wait_gives_eagain() {
    // Pipes take the flag since Linux 6.4.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    let (reader, _writer) = io::pipe().unwrap();
    each_ring!(|cq, sq| {
        let mut buffer = [UNTOUCHED; 8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: buffer.as_mut_ptr().cast(),
            len: 8,
            offset: 0,
        };
        let nowait = libc::RWF_NOWAIT.cast_unsigned();
        // SAFETY: the buffer is not touched until the completion has been taken, and the pipe is
        // open all the while.
        unsafe { sq.push_with(&read, 0, |sqe| sqe.insert_op_flags(nowait)) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EAGAIN);
        assert_eq!(buffer, [UNTOUCHED; 8]);
    });
}

#[test]
fn read_cancelled_leaves_the_memory_and_the_data() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: buffer.as_mut_ptr().cast(),
            len: 8,
            offset: 0,
        };
        // SAFETY: the buffer is not touched until the completion has been taken, and the pipe is
        // open all the while.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(buffer, [UNTOUCHED; 8]);
        let mut kept = [0; 4];
        reader.read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    });
}

#[test]
fn read_of_what_is_not_open_for_reading_gives_ebadf() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let write_only = File::options().write(true).open(path.path()).unwrap();
    each_ring!(|cq, sq| {
        for fd in [-1, write_only.as_raw_fd()] {
            let done = read(cq, sq, &fd, &mut [0; 8], 0);
            assert_eq!(done.raw_result(), -libc::EBADF);
        }
    });
}

#[test]
fn read_of_a_directory_gives_eisdir() {
    let folder = File::open("/").unwrap();
    each_ring!(|cq, sq| {
        let done = read(cq, sq, &folder, &mut [0; 8], 0);
        assert_eq!(done.raw_result(), -libc::EISDIR);
    });
}

#[test]
fn read_into_memory_that_is_not_writable_gives_efault() {
    static CONSTANT: [u8; 8] = *b"constant";
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        for ptr in [CONSTANT.as_ptr().cast_mut(), ptr::without_provenance_mut(1)] {
            let read = Read {
                fd: file.as_raw_fd(),
                ptr: ptr.cast(),
                len: 8,
                offset: 0,
            };
            // SAFETY: the one memory is mapped for reading alone and the other not at all, so
            // the kernel writes to neither.
            unsafe { sq.push(&read, 0) }.unwrap();
            assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EFAULT);
        }
    });
    assert_eq!(&CONSTANT, b"constant");
}

#[test]
fn read_that_is_short_fails_its_chain() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        for (offset, nop) in [(0, 0), (7, -libc::ECANCELED), (10, -libc::ECANCELED)] {
            let mut buffer = [0; 10];
            let read = Read {
                fd: file.as_raw_fd(),
                ptr: buffer.as_mut_ptr().cast(),
                len: 10,
                offset,
            };
            // SAFETY: the buffer and the file are not touched until the completion has been taken.
            unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            let results: Vec<_> = wait(cq, sq, 2).iter().map(Completion::raw_result).collect();
            assert_eq!(results, [10 - i32::try_from(offset).unwrap(), nop]);
        }
    });
}

/// Reads into a buffer of a group.
#[track_caller]
fn read_selecting<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    length: u32,
    group: u16,
) -> Completion {
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: ptr::null_mut(),
        len: length,
        offset: 0,
    };
    // SAFETY: the pointer is not used, and the buffers of the group are valid for ever. The file is
    // borrowed.
    unsafe { sq.push_with(&read, 0, |sqe| sqe.select_buffer(group)) }.expect("room");
    wait(cq, sq, 1)[0]
}

#[test]
fn read_with_a_buffer_group_gets_a_buffer_each_until_there_is_none() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let memory: *mut [u8] = Vec::leak(vec![UNTOUCHED; 16]);
        // SAFETY: the memory is leaked, and this is its only borrow while the kernel has it.
        provide(cq, sq, 3, unsafe { &mut *memory }, 8);
        let mut used = Vec::new();
        for wanted in ["01234567", "012345"] {
            let done = read_selecting(cq, sq, &file, len(wanted.as_bytes()), 3);
            assert_eq!(
                done.result().unwrap().cast_unsigned(),
                len(wanted.as_bytes())
            );
            let id = done.buffer_id().expect("a buffer");
            let start = memory.cast::<u8>().wrapping_add(8 * usize::from(id));
            // SAFETY: the completion hands this buffer over, which lies in the memory.
            let buffer = unsafe { slice::from_raw_parts(start, 8) };
            assert_eq!(&buffer[..wanted.len()], wanted.as_bytes());
            assert!(buffer[wanted.len()..].iter().all(|byte| *byte == UNTOUCHED));
            used.push(id);
        }
        used.sort_unstable();
        assert_eq!(used, [0, 1]);
        let done = read_selecting(cq, sq, &file, 8, 3);
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
        assert_eq!(done.buffer_id(), None);
    });
}

#[test]
fn read_with_an_unknown_buffer_group_gives_enobufs() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let done = read_selecting(cq, sq, &file, 8, 77);
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
    });
}

#[test]
fn readv_fills_the_buffers_in_order() {
    let contents = bytes(100);
    let file = file(&contents);
    each_ring!(|cq, sq| {
        let (mut a, mut b, mut c) = ([0; 7], [0; 30], [0; 13]);
        let mut buffers = [&mut a[..], &mut b, &mut [], &mut c].map(IoSliceMut::new);
        let done = readv(cq, sq, &file, &mut buffers, 20);
        assert_eq!(done.result().unwrap(), 50);
        assert_eq!([&a[..], &b, &c].concat(), contents[20..70]);
    });
}

#[test]
fn readv_near_the_end_is_short_and_leaves_the_other_buffers() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let (mut a, mut b, mut c) = ([UNTOUCHED; 3], [UNTOUCHED; 3], [UNTOUCHED; 3]);
        let mut buffers = [&mut a[..], &mut b, &mut c].map(IoSliceMut::new);
        let done = readv(cq, sq, &file, &mut buffers, 6);
        assert_eq!(done.result().unwrap(), 4);
        assert_eq!(
            (&a, b, c),
            (b"678", [b'9', UNTOUCHED, UNTOUCHED], [UNTOUCHED; 3])
        );
        let mut buffers = [&mut a[..], &mut b].map(IoSliceMut::new);
        assert_eq!(readv(cq, sq, &file, &mut buffers, 10).result().unwrap(), 0);
        assert_eq!(&a, b"678");
    });
}

#[test]
fn readv_at_offset_max_uses_and_moves_the_position() {
    let mut file = file(b"0123456789");
    each_ring!(|cq, sq| {
        file.seek(SeekFrom::Start(4)).unwrap();
        let mut a = [0; 3];
        let done = readv(cq, sq, &file, &mut [IoSliceMut::new(&mut a)], u64::MAX);
        assert_eq!((done.result().unwrap(), &a), (3, b"456"));
        assert_eq!(file.stream_position().unwrap(), 7);
    });
}

#[test]
fn readv_of_more_than_1024_buffers_gives_einval() {
    let file = file(&bytes(2000));
    each_ring!(|cq, sq| {
        let mut memory = [UNTOUCHED; 1025];
        let mut buffers: Vec<_> = memory.chunks_mut(1).map(IoSliceMut::new).collect();
        let done = readv(cq, sq, &file, &mut buffers, 0);
        assert_eq!(done.raw_result(), -libc::EINVAL);
        let done = readv(cq, sq, &file, &mut buffers[..1024], 0);
        assert_eq!(done.result().unwrap(), 1024);
        assert_eq!(memory[..1024], bytes(1024));
        assert_eq!(memory[1024], UNTOUCHED);
    });
}

#[test]
fn readv_of_an_array_or_into_memory_that_is_not_mapped_gives_efault() {
    let file = file(b"0123456789");
    let nowhere = libc::iovec {
        iov_base: ptr::without_provenance_mut(1),
        iov_len: 8,
    };
    each_ring!(|cq, sq| {
        for iovecs in [&raw const nowhere, ptr::without_provenance(8)] {
            let readv = Readv {
                fd: file.as_raw_fd(),
                iovecs,
                nr_vecs: 1,
                offset: 0,
            };
            // SAFETY: the array, or the memory that it names, lies where nothing is mapped, so the
            // kernel writes nothing.
            unsafe { sq.push(&readv, 0) }.unwrap();
            assert_eq!(wait(cq, sq, 1)[0].raw_result(), -libc::EFAULT);
        }
    });
}

#[test]
fn readv_keeps_no_array_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let (mut a, mut b) = ([0; 3], [0; 3]);
        let mut buffers = [&mut a[..], &mut b].map(IoSliceMut::new);
        let readv = Readv {
            fd: reader.as_raw_fd(),
            iovecs: buffers.as_mut_ptr().cast(),
            nr_vecs: 2,
            offset: 0,
        };
        // SAFETY: the array stays until the entry has been submitted, the buffers and the pipe
        // until the completion has been taken.
        unsafe { sq.push(&readv, PENDING) }.unwrap();
        submit_pending(cq, sq);
        buffers = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])];
        writer.write_all(b"abcdef").unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 6);
        assert!(buffers.iter().all(|buffer| buffer.is_empty()));
        assert_eq!((&a, &b), (b"abc", b"def"));
    });
}

#[test]
fn readv_cancelled_leaves_the_memory_and_the_data() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let (mut a, mut b) = ([UNTOUCHED; 3], [UNTOUCHED; 3]);
        let mut buffers = [&mut a[..], &mut b].map(IoSliceMut::new);
        let readv = Readv {
            fd: reader.as_raw_fd(),
            iovecs: buffers.as_mut_ptr().cast(),
            nr_vecs: 2,
            offset: 0,
        };
        // SAFETY: the array, the buffers and the pipe stay until the completion has been taken.
        unsafe { sq.push(&readv, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"kept").unwrap();
        assert_eq!((a, b), ([UNTOUCHED; 3], [UNTOUCHED; 3]));
        let mut kept = [0; 4];
        reader.read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    });
}

#[test]
fn readv_with_a_buffer_group_takes_exactly_one_buffer() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let memory: *mut [u8] = Vec::leak(vec![UNTOUCHED; 8]);
        // SAFETY: the memory is leaked, and this is its only borrow while the kernel has it.
        provide(cq, sq, 4, unsafe { &mut *memory }, 8);
        for (nr_vecs, result) in [(2, -libc::EINVAL), (1, 8)] {
            let iovecs = [libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 8,
            }; 2];
            let readv = Readv {
                fd: file.as_raw_fd(),
                iovecs: iovecs.as_ptr(),
                nr_vecs,
                offset: 1,
            };
            // SAFETY: the array and the file stay until the completion has been taken; the
            // memory is that of the group.
            unsafe { sq.push_with(&readv, 0, |sqe| sqe.select_buffer(4)) }.unwrap();
            let done = wait(cq, sq, 1)[0];
            assert_eq!(done.raw_result(), result);
            assert_eq!(done.buffer_id(), (result > 0).then_some(0));
        }
        // SAFETY: a completion has handed the buffer over.
        assert_eq!(unsafe { &*memory }, b"12345678");
    });
}

/// Reads into a registered buffer, and waits for the completion.
///
/// # Safety
///
/// Nothing reads or writes the memory meanwhile.
#[track_caller]
unsafe fn read_fixed<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    (buf, nbytes): (*mut c_void, u32),
    offset: u64,
    buf_index: u16,
) -> Completion {
    let read = ReadFixed {
        fd,
        buf,
        nbytes,
        offset,
        buf_index,
    };
    // SAFETY: the caller's promise, until the completion has been taken.
    unsafe { sq.push(&read, 0) }.expect("room");
    wait(cq, sq, 1)[0]
}

#[test]
fn read_fixed_fills_parts_of_registered_buffers() {
    let contents = bytes(20_000);
    let file = file(&contents);
    each_ring!(|cq, sq| {
        let mut memory = [vec![UNTOUCHED; 5000], vec![UNTOUCHED; 9000]];
        let starts = memory.each_mut().map(Vec::as_mut_ptr);
        let slices = memory.each_mut().map(|buffer| IoSliceMut::new(buffer));
        // SAFETY: the memory stays, and is left alone, until the buffers are unregistered.
        unsafe { sq.register_buffers(&slices) }.unwrap();
        for (index, start, n) in [(0u16, 0, 5000), (1, 0, 100), (1, 4000, 5000)] {
            let at = starts[usize::from(index)].wrapping_add(start);
            // SAFETY: the part lies in the buffer with this index.
            let done = unsafe { read_fixed(cq, sq, file.as_raw_fd(), (at.cast(), n), 333, index) };
            assert_eq!(done.result().unwrap().cast_unsigned(), n);
            // SAFETY: the kernel has filled this part and does nothing with it now.
            let part = unsafe { slice::from_raw_parts(at, n as usize) };
            assert_eq!(part, &contents[333..333 + n as usize]);
        }
        sq.unregister_buffers().unwrap();
        assert!(memory[1][100..4000].iter().all(|byte| *byte == UNTOUCHED));
    });
}

#[test]
fn read_fixed_near_and_past_the_end_is_short() {
    let file = file(b"0123456789");
    each_ring!(|cq, sq| {
        let mut memory = vec![UNTOUCHED; 16];
        let start = memory.as_mut_ptr();
        // SAFETY: the memory stays, and is left alone, until the ring is gone.
        unsafe { sq.register_buffers(&[IoSliceMut::new(&mut memory)]) }.unwrap();
        for (offset, wanted) in [(10, 0), (6, 4)] {
            // SAFETY: the memory is in the buffer.
            let done =
                unsafe { read_fixed(cq, sq, file.as_raw_fd(), (start.cast(), 16), offset, 0) };
            assert_eq!(done.result().unwrap(), wanted);
        }
        sq.unregister_buffers().unwrap();
        assert_eq!(&memory[..4], b"6789");
        assert_eq!(memory[4..], [UNTOUCHED; 12]);
    });
}

#[test]
fn read_fixed_outside_the_buffer_or_without_one_gives_efault() {
    let file = file(&bytes(100));
    each_ring!(|cq, sq| {
        let mut memory = vec![UNTOUCHED; 64];
        let start = memory.as_mut_ptr();
        let fd = file.as_raw_fd();
        // SAFETY: without a registered buffer nothing is written.
        let done = unsafe { read_fixed(cq, sq, fd, (start.cast(), 8), 0, 0) };
        assert_eq!(done.raw_result(), -libc::EFAULT, "nothing registered");
        let inner = IoSliceMut::new(&mut memory[16..48]);
        // SAFETY: the memory stays, and is left alone, until the buffers are unregistered.
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
            let done = unsafe { read_fixed(cq, sq, fd, (at.cast(), n), 0, index) };
            assert_eq!(done.raw_result(), -libc::EFAULT, "{what}");
        }
        sq.unregister_buffers().unwrap();
        assert_eq!(memory, [UNTOUCHED; 64]);
    });
}

#[test]
fn read_fixed_cancelled_leaves_the_memory_and_the_data() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let mut memory = vec![UNTOUCHED; 8];
        let start = memory.as_mut_ptr();
        // SAFETY: the memory stays, and is left alone, until the buffers are unregistered.
        unsafe { sq.register_buffers(&[IoSliceMut::new(&mut memory)]) }.unwrap();
        let read = ReadFixed {
            fd: reader.as_raw_fd(),
            buf: start.cast(),
            nbytes: 8,
            offset: 0,
            buf_index: 0,
        };
        // SAFETY: the buffer is not touched until the completion has been taken, and the pipe is
        // open all the while.
        unsafe { sq.push(&read, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"kept").unwrap();
        sq.unregister_buffers().unwrap();
        assert_eq!(memory, [UNTOUCHED; 8]);
        let mut kept = [0; 4];
        reader.read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    });
}
