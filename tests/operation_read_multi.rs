//! Reading again and again into buffers of a group: what comes, and what ends it.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::slice;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, ProvideBuffers, ReadMulti};
use lio_uring::{
    BufferCursor, BufferRing, BufferRingParams, Completion, CompletionQueue, IoUring,
    IoUringParams, SqeFlags, SubmissionQueue,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{PENDING, cancel, next, run, submit_pending};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;
const GROUP: u16 = 5;
/// The size of a buffer.
const SIZE: u16 = 8;

/// Memory for buffers of the group.
struct Buffers {
    start: *mut u8,
    n: u16,
}

impl Buffers {
    /// It is never freed, so that a test that fails does not take it from the kernel.
    fn new(n: u16) -> Self {
        let start = Vec::leak(vec![UNTOUCHED; usize::from(SIZE * n)]).as_mut_ptr();
        Self { start, n }
    }

    /// Registers them all as a ring of buffers.
    #[track_caller]
    fn register<T: Threads>(&self, sq: &mut SubmissionQueue<T>) -> BufferRing<T> {
        let entries = self.n.next_power_of_two();
        let mut ring = sq.register_buffer_ring(entries, GROUP).expect("a group");
        for id in 0..self.n {
            self.add(&mut ring, id);
        }
        ring
    }

    fn at(&self, id: u16) -> *mut u8 {
        assert!(id < self.n, "there is no buffer {id}");
        self.start.wrapping_add(usize::from(SIZE * id))
    }

    fn add<T: Threads>(&self, ring: &mut BufferRing<T>, id: u16) {
        // SAFETY: the memory is never freed, and used again only when a completion hands it over;
        // the tests add no buffer twice.
        unsafe { ring.add(self.at(id).cast(), SIZE.into(), id) };
        ring.publish();
    }

    /// The bytes that a completion has brought, and the number of their buffer.
    #[track_caller]
    fn take(&self, done: Completion) -> (Vec<u8>, u16) {
        let n = usize::try_from(done.result().expect("data")).expect("a count");
        let id = done.buffer_id().expect("a buffer");
        // SAFETY: the completion hands this buffer over.
        let buffer = unsafe { slice::from_raw_parts(self.at(id), SIZE.into()) };
        assert!(buffer[n..].iter().all(|byte| *byte == UNTOUCHED));
        let text = buffer[..n].to_vec();
        // SAFETY: as above; the slice is not used any more.
        unsafe { self.at(id).write_bytes(UNTOUCHED, SIZE.into()) };
        (text, id)
    }
}

fn multi_of(fd: RawFd) -> ReadMulti {
    ReadMulti {
        fd,
        nbytes: 0,
        offset: 0,
        buf_group: GROUP,
    }
}

/// Pushes a read that goes on.
#[track_caller]
fn push<T: Threads>(sq: &mut SubmissionQueue<T>, file: &impl AsRawFd) {
    // SAFETY: the group's buffers are valid for ever, and the tests keep their files.
    unsafe { sq.push(&multi_of(file.as_raw_fd()), PENDING) }.expect("room");
}

/// Takes a completion of the read that goes on.
#[track_caller]
fn more<T: Threads>(cq: &mut CompletionQueue<T>) -> Completion {
    let done = next(cq);
    assert_eq!((done.user_data(), done.more()), (PENDING, true), "{done:?}");
    done
}

/// Takes the last completion, which has no buffer, and returns its result.
#[track_caller]
fn last<T: Threads>(cq: &mut CompletionQueue<T>) -> i32 {
    let done = next(cq);
    assert_eq!((done.user_data(), done.more()), (PENDING, false));
    assert_eq!(done.buffer_id(), None);
    done.raw_result()
}

#[test]
fn read_multi_reads_until_it_is_cancelled() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = buffers.register(sq);
        push(sq, &reader);
        submit_pending(cq, sq);
        for i in 0..50 {
            let piece = format!("piece {i:02}");
            writer.write_all(&piece.as_bytes()[..5 + i % 4]).unwrap();
            let (text, id) = buffers.take(more(cq));
            assert_eq!(text, &piece.as_bytes()[..5 + i % 4]);
            // It is used again, so the ring goes around.
            assert_eq!(usize::from(id), i % 4);
            buffers.add(&mut ring, id);
        }
        let end = cancel(cq, sq);
        assert_eq!((end.raw_result(), end.more()), (-libc::ECANCELED, false));
        assert_eq!(end.buffer_id(), None);
        writer.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        let mut kept = [0; 4];
        reader.read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    });
}

#[test]
fn read_multi_divides_what_is_there_among_buffers() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(8);
        let _ring = buffers.register(sq);
        there.write_all(b"abcdefghijklmnopqrstuvwxyz").unwrap();
        push(sq, &here);
        sq.submit().unwrap();
        for (id, wanted) in (0..).zip(["abcdefgh", "ijklmnop", "qrstuvwx", "yz"]) {
            assert_eq!(buffers.take(more(cq)), (wanted.into(), id));
        }
        there.write_all(b"more").unwrap();
        assert_eq!(buffers.take(more(cq)), (b"more".to_vec(), 4));
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn read_multi_reads_each_value_of_an_eventfd() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        // SAFETY: the call has no conditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: the descriptor is new.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        let buffers = Buffers::new(4);
        let _ring = buffers.register(sq);
        push(sq, &event);
        submit_pending(cq, sq);
        for value in [1_u64, 1 << 40, 3] {
            let bytes = (&raw const value).cast();
            // SAFETY: the value is eight bytes, and valid for reads.
            assert_eq!(unsafe { libc::write(fd, bytes, 8) }, 8);
            assert_eq!(buffers.take(more(cq)).0, value.to_ne_bytes());
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn read_multi_takes_the_index_of_a_registered_file() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let buffers = Buffers::new(2);
        let _ring = buffers.register(sq);
        sq.register_files(&[-1, reader.as_raw_fd()]).unwrap();
        // SAFETY: the group's buffers are valid for ever.
        unsafe { sq.push_with_flags(&multi_of(1), PENDING, SqeFlags::FIXED_FILE) }.unwrap();
        submit_pending(cq, sq);
        for text in [b"one", b"two"] {
            writer.write_all(text).unwrap();
            assert_eq!(buffers.take(more(cq)).0, text);
        }
    });
}

#[test]
fn read_multi_ends_with_the_data() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let buffers = Buffers::new(4);
        let _ring = buffers.register(sq);
        push(sq, &reader);
        submit_pending(cq, sq);
        writer.write_all(b"last").unwrap();
        drop(writer);
        assert_eq!(buffers.take(more(cq)).0, b"last");
        let done = next(cq);
        assert_eq!((done.result().unwrap(), done.more()), (0, false));
    });
}

#[test]
fn read_multi_without_a_buffer_ends_and_loses_nothing() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"abcdefghijklmnopqrst").unwrap();
        push(sq, &reader);
        sq.submit().unwrap();
        assert_eq!(last(cq), -libc::ENOBUFS, "there is no group");
        let buffers = Buffers::new(2);
        let mut ring = buffers.register(sq);
        push(sq, &reader);
        sq.submit().unwrap();
        assert_eq!(buffers.take(more(cq)), (b"abcdefgh".to_vec(), 0));
        assert_eq!(buffers.take(more(cq)), (b"ijklmnop".to_vec(), 1));
        assert_eq!(last(cq), -libc::ENOBUFS);
        buffers.add(&mut ring, 1);
        buffers.add(&mut ring, 0);
        push(sq, &reader);
        sq.submit().unwrap();
        assert_eq!(buffers.take(more(cq)), (b"qrst".to_vec(), 1));
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn read_multi_takes_provided_buffers() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let buffers = Buffers::new(2);
        let provide = ProvideBuffers {
            addr: buffers.at(0).cast(),
            len: SIZE.into(),
            nr: 2,
            bgid: GROUP,
            bid: 0,
        };
        // SAFETY: the memory is never freed, and used again only when a completion hands it over.
        let done = unsafe { run(cq, sq, &provide, |_| ()) };
        done.result().expect("buffers can be provided");
        writer.write_all(b"abcdefghijklmnopqrst").unwrap();
        push(sq, &reader);
        sq.submit().unwrap();
        let (one, two) = (buffers.take(more(cq)), buffers.take(more(cq)));
        assert_eq!(
            (&one.0[..], &two.0[..]),
            (&b"abcdefgh"[..], &b"ijklmnop"[..])
        );
        assert_ne!(one.1, two.1);
        assert_eq!(last(cq), -libc::ENOBUFS);
    });
}

#[test]
fn read_multi_fills_an_incremental_buffer_piece_by_piece() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let params = BufferRingParams::new(2, GROUP).incremental();
        let made = sq.register_buffer_ring_with(params);
        let Some(mut ring) = kernel::since(6, 12, made) else {
            return;
        };
        let buffers = Buffers::new(2);
        for id in [1, 0] {
            buffers.add(&mut ring, id);
        }
        let mut cursor = BufferCursor::new();
        push(sq, &reader);
        submit_pending(cq, sq);
        for (text, id, offset, ends) in [
            ("abc", 1, 0, false),
            ("de", 1, 3, false),
            ("fgh", 1, 5, true),
            ("ijkl", 0, 0, false),
        ] {
            writer.write_all(text.as_bytes()).unwrap();
            let piece = cursor.advance(&more(cq)).expect("a buffer");
            assert_eq!((piece.id, piece.offset, piece.last), (id, offset, ends));
            let start = buffers.at(id).wrapping_add(offset as usize);
            // SAFETY: the completion hands this piece over.
            let bytes = unsafe { slice::from_raw_parts(start, piece.len as usize) };
            assert_eq!(bytes, text.as_bytes());
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

#[test]
fn read_multi_of_what_cannot_be_waited_for_fails() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"text").unwrap();
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"kept").unwrap();
        let buffers = Buffers::new(1);
        let mut ring = buffers.register(sq);
        for (fd, errno) in [
            (file.as_raw_fd(), libc::EBADFD),
            (writer.as_raw_fd(), libc::EBADF),
            (-1, libc::EBADF),
        ] {
            // SAFETY: the group's buffers are valid for ever.
            unsafe { sq.push(&multi_of(fd), PENDING) }.unwrap();
            sq.submit().unwrap();
            assert_eq!(last(cq), -errno);
        }
        // The buffer is still there.
        push(sq, &reader);
        sq.submit().unwrap();
        assert_eq!(buffers.take(more(cq)), (b"kept".to_vec(), 0));
        buffers.add(&mut ring, 0);
    });
}

#[test]
fn read_multi_with_a_length_is_refused_or_keeps_to_it() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"abcde").unwrap();
        let buffers = Buffers::new(4);
        let _ring = buffers.register(sq);
        let short = ReadMulti {
            nbytes: 3,
            ..multi_of(reader.as_raw_fd())
        };
        // SAFETY: the group's buffers are valid for ever.
        unsafe { sq.push(&short, PENDING) }.unwrap();
        sq.submit().unwrap();
        let done = next(cq);
        println!("{done:?}");
        if done.raw_result() == -libc::EINVAL {
            assert!(!done.more());
        } else {
            assert_eq!(buffers.take(done).0, b"abc");
            assert_eq!(buffers.take(next(cq)).0, b"de");
        }
    });
}

#[test]
fn read_multi_on_a_full_completion_queue_loses_nothing() {
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    let params = IoUringParams::default().entries(2).cqsize(2);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let buffers = Buffers::new(8);
    let _ring = buffers.register(&mut sq);
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 9) }.unwrap();
    sq.submit().unwrap();
    let text = b"abcdefghijklmnopqrstuvwxyz0123456789";
    writer.write_all(text).unwrap();
    push(&mut sq, &reader);
    sq.submit().unwrap();
    assert_eq!(next(&mut cq).user_data(), 9);
    let mut read = Vec::new();
    while read.len() < text.len() {
        let done = next(&mut cq);
        read.extend(buffers.take(done).0);
        if !done.more() {
            push(&mut sq, &reader);
            sq.submit().unwrap();
        }
    }
    assert_eq!(read, text);
}
