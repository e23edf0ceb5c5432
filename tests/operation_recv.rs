//! Receiving: once, and again and again into buffers of a group.

#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;
use std::slice;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, ProvideBuffers, Recv, RecvMulti};
use lio_uring::{
    BufferRing, Completion, CompletionFlags, CompletionQueue, IoUring, IoUringParams,
    RecvSendFlags, Sqe, SqeFlags, SubmissionQueue,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{PENDING, cancel, next, run, submit_pending, wait};
use sockets::{bytes, count, tcp};

/// What memory holds that nothing has been received into.
const UNTOUCHED: u8 = 0xaa;
const GROUP: u16 = 5;

fn recv_of(socket: &impl AsRawFd, buffer: &mut [u8], flags: i32) -> Recv {
    Recv {
        sockfd: socket.as_raw_fd(),
        buf: buffer.as_mut_ptr().cast(),
        len: buffer.len().try_into().expect("a small buffer"),
        flags,
    }
}

/// Receives, and waits for the completion.
#[track_caller]
fn recv<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    flags: i32,
) -> Completion {
    // SAFETY: buffer and socket are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &recv_of(socket, buffer, flags), |_| ()) }
}

#[test]
fn recv_gets_what_was_sent_and_leaves_the_rest_of_the_buffer() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"hello").unwrap();
        let mut buffer = [UNTOUCHED; 8];
        assert_eq!(count(recv(cq, sq, &here, &mut buffer, 0)), 5);
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(buffer[5..], [UNTOUCHED; 3]);
        let (here, mut there) = tcp();
        there.write_all(&bytes(1000)).unwrap();
        let mut buffer = [UNTOUCHED; 2000];
        let n = count(recv(cq, sq, &here, &mut buffer, 0));
        assert_eq!(buffer[..n], bytes(1000)[..n]);
        assert_eq!(buffer[n..], [UNTOUCHED; 2000][n..]);
    });
}

#[test]
fn recv_keeps_the_bounds_of_datagrams() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        for text in ["first", "", "the third is too long"] {
            there.send(text.as_bytes()).unwrap();
        }
        for (wanted, n) in [("first", 5), ("", 0), ("the thir", 8)] {
            let mut buffer = [UNTOUCHED; 8];
            assert_eq!(count(recv(cq, sq, &here, &mut buffer, 0)), n);
            assert_eq!(&buffer[..n], wanted.as_bytes());
            assert!(buffer[n..].iter().all(|byte| *byte == UNTOUCHED));
        }
        let mut buffer = [UNTOUCHED; 8];
        there.send(b"twelve bytes").unwrap();
        let done = recv(cq, sq, &here, &mut buffer, libc::MSG_TRUNC);
        assert_eq!(count(done), 12, "the size of the whole datagram");
        assert_eq!(&buffer, b"twelve b");
    });
}

#[test]
fn recv_at_the_end_of_a_stream_returns_zero() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"last").unwrap();
        drop(there);
        let mut buffer = [UNTOUCHED; 8];
        assert_eq!(count(recv(cq, sq, &here, &mut buffer, 0)), 4);
        assert_eq!(&buffer[..4], b"last");
        for _ in 0..2 {
            let mut buffer = [UNTOUCHED; 8];
            assert_eq!(count(recv(cq, sq, &here, &mut buffer, 0)), 0);
            assert_eq!(buffer, [UNTOUCHED; 8]);
        }
    });
}

#[test]
fn recv_that_peeks_leaves_the_data() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"hello").unwrap();
        for flags in [libc::MSG_PEEK, 0] {
            let mut buffer = [0; 5];
            assert_eq!(count(recv(cq, sq, &here, &mut buffer, flags)), 5);
            assert_eq!(&buffer, b"hello");
        }
    });
}

/// Receives `abcdef` in two halves, the first of which says that there is more, if the kernel does.
#[track_caller]
fn received_in_halves<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    told: bool,
) {
    for (text, more) in [(b"abc", told), (b"def", false)] {
        let mut buffer = [0; 3];
        let done = recv(cq, sq, socket, &mut buffer, 0);
        assert_eq!((count(done), &buffer), (3, text));
        let nonempty = done.flags().contains(CompletionFlags::SOCK_NONEMPTY);
        assert_eq!(nonempty, more);
        assert!(!done.more());
    }
}

#[test]
fn recv_tells_whether_the_socket_has_more() {
    // The flag came with Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        there.write_all(b"abcdef").unwrap();
        received_in_halves(cq, sq, &here, true);
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"abcdef").unwrap();
        let told = !kernel::older_than(6, 17);
        received_in_halves(cq, sq, &here, told);
    });
}

#[test]
fn recv_of_everything_waits_until_all_has_come() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let operation = recv_of(&here, &mut buffer, libc::MSG_WAITALL);
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        for part in ["ab", "c", "defg"] {
            submit_pending(cq, sq);
            there.write_all(part.as_bytes()).unwrap();
        }
        submit_pending(cq, sq);
        there.write_all(b"hi").unwrap();
        assert_eq!(count(next(cq)), 8);
        assert_eq!(&buffer, b"abcdefgh");
        let mut rest = [0];
        assert_eq!((count(recv(cq, sq, &here, &mut rest, 0)), &rest), (1, b"i"));
    });
}

#[test]
fn recv_of_everything_is_short_at_the_end_and_fails_its_chain() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (flags, nop) in [(libc::MSG_WAITALL, -libc::ECANCELED), (0, 0)] {
            let (here, mut there) = UnixStream::pair().unwrap();
            there.write_all(b"part").unwrap();
            drop(there);
            let mut buffer = [UNTOUCHED; 8];
            let operation = recv_of(&here, &mut buffer, flags);
            // SAFETY: the buffer is left alone and the socket open until the completion has been
            // taken.
            unsafe { sq.push_with_flags(&operation, 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            let results: Vec<_> = wait(cq, sq, 2).iter().map(Completion::raw_result).collect();
            assert_eq!(results, [4, nop]);
            assert_eq!(&buffer[..4], b"part");
        }
    });
}

#[test]
fn recv_of_everything_cancelled_says_what_had_come() {
    // Since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let operation = recv_of(&here, &mut buffer, libc::MSG_WAITALL);
        there.write_all(b"part").unwrap();
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(count(cancel(cq, sq)), 4);
        assert_eq!(&buffer[..4], b"part");
        there.write_all(b"next").unwrap();
        assert_eq!(buffer[4..], [UNTOUCHED; 4]);
    });
}

#[test]
fn recv_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let done = recv(cq, sq, &here, &mut buffer, libc::MSG_DONTWAIT);
        assert_eq!(done.raw_result(), -libc::EAGAIN);
        assert_eq!(buffer, [UNTOUCHED; 8]);
    });
}

#[test]
fn recv_waits_for_data() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            // The kernel waits for descriptors that do not since Linux 5.15.
            if nonblocking && !needs::knows(OpCode::MKDIRAT) {
                continue;
            }
            let (here, mut there) = UnixStream::pair().unwrap();
            here.set_nonblocking(nonblocking).unwrap();
            let mut buffer = [UNTOUCHED; 8];
            let operation = recv_of(&here, &mut buffer, 0);
            // SAFETY: the buffer is left alone until the completion has been taken, and the socket
            // is open until the entry has been submitted.
            unsafe { sq.push(&operation, PENDING) }.unwrap();
            submit_pending(cq, sq);
            drop(here);
            there.write_all(b"late").unwrap();
            assert_eq!(count(next(cq)), 4);
            assert_eq!(&buffer[..4], b"late");
        }
    });
}

#[test]
fn recv_that_polls_first_receives() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"hello").unwrap();
        let mut buffer = [0; 5];
        let operation = recv_of(&here, &mut buffer, 0);
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &operation, |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
            })
        };
        assert_eq!((count(done), &buffer), (5, b"hello"));
    });
}

#[test]
fn recv_cancelled_leaves_the_memory_and_the_data() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let operation = recv_of(&here, &mut buffer, 0);
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        there.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(buffer, [UNTOUCHED; 8]);
        let mut kept = [0; 4];
        assert_eq!(
            (count(recv(cq, sq, &here, &mut kept, 0)), &kept),
            (4, b"kept")
        );
    });
}

#[test]
fn recv_from_a_peer_that_has_reset_gives_econnreset() {
    each_ring!(|cq, sq| {
        let (here, there) = tcp();
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the value has the type and the size of the option.
        let result = unsafe {
            libc::setsockopt(
                there.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const at_once).cast(),
                size_of::<libc::linger>().try_into().unwrap(),
            )
        };
        assert_eq!(result, 0);
        let mut buffer = [UNTOUCHED; 8];
        let operation = recv_of(&here, &mut buffer, 0);
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        unsafe { sq.push(&operation, PENDING) }.unwrap();
        submit_pending(cq, sq);
        drop(there);
        assert_eq!(next(cq).raw_result(), -libc::ECONNRESET);
        assert_eq!(buffer, [UNTOUCHED; 8]);
    });
}

#[test]
fn recv_on_what_cannot_gives_the_errors_of_the_call() {
    static CONSTANT: [u8; 8] = *b"constant";
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        for (fd, errno) in [(reader.as_raw_fd(), libc::ENOTSOCK), (-1, libc::EBADF)] {
            let done = recv(cq, sq, &fd, &mut buffer, 0);
            assert_eq!(done.raw_result(), -errno);
        }
        assert_eq!(buffer, [UNTOUCHED; 8]);
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"12345678").unwrap();
        let constant = Recv {
            sockfd: here.as_raw_fd(),
            buf: CONSTANT.as_ptr().cast_mut().cast(),
            len: 8,
            flags: 0,
        };
        // SAFETY: the memory is mapped for reading alone, so the kernel writes nothing.
        let done = unsafe { run(cq, sq, &constant, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}

/// Memory for the buffers of a group, 8 bytes each.
struct Buffers {
    start: *mut u8,
    n: u16,
}

impl Buffers {
    /// It is never freed, so that a test that fails does not take it from the kernel.
    fn new(n: u16) -> Self {
        let start = Vec::leak(vec![UNTOUCHED; 8 * usize::from(n)]).as_mut_ptr();
        Self { start, n }
    }

    fn at(&self, id: u16) -> *mut u8 {
        assert!(id < self.n, "there is no buffer {id}");
        self.start.wrapping_add(8 * usize::from(id))
    }

    /// The bytes that a completion has brought, and the number of their buffer.
    #[track_caller]
    fn take(&self, done: Completion) -> (Vec<u8>, u16) {
        let n = count(done);
        let id = done.buffer_id().expect("a buffer");
        // SAFETY: the completion hands this buffer over.
        let buffer = unsafe { slice::from_raw_parts(self.at(id), 8) };
        assert!(buffer[n..].iter().all(|byte| *byte == UNTOUCHED));
        let text = buffer[..n].to_vec();
        // SAFETY: as above; the slice is not used any more.
        unsafe { self.at(id).write_bytes(UNTOUCHED, 8) };
        (text, id)
    }

    /// Adds a buffer to a ring, and shows it.
    fn add<T: Threads>(&self, ring: &mut BufferRing<T>, id: u16) {
        // SAFETY: the memory is never freed, and used again only when a completion hands it over;
        // the tests add no buffer twice.
        unsafe { ring.add(self.at(id).cast(), 8, id) };
        ring.publish();
    }

    /// Gives the kernel `nr` buffers from `id` on with an operation.
    #[track_caller]
    fn provide<T: Threads>(
        &self,
        cq: &mut CompletionQueue<T>,
        sq: &mut SubmissionQueue<T>,
        id: u16,
        nr: u16,
    ) {
        let provide = ProvideBuffers {
            addr: self.at(id).cast(),
            len: 8,
            nr: nr.into(),
            bgid: GROUP,
            bid: id,
        };
        // SAFETY: as for `add`.
        let done = unsafe { run(cq, sq, &provide, |_| ()) };
        done.result().expect("buffers can be provided");
    }
}

fn select(sqe: &mut Sqe) {
    sqe.select_buffer(GROUP);
}

/// Receives into a buffer of the group.
#[track_caller]
fn recv_selecting<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    len: u32,
) -> Completion {
    let recv = Recv {
        sockfd: socket.as_raw_fd(),
        buf: ptr::null_mut(),
        len,
        flags: 0,
    };
    // SAFETY: the group's buffers are valid for ever, and the socket is borrowed.
    unsafe { run(cq, sq, &recv, select) }
}

#[test]
fn recv_with_provided_buffers_takes_one_each_until_there_is_none() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(2);
        buffers.provide(cq, sq, 0, 2);
        there.write_all(b"abcdefghijklmnop").unwrap();
        let (one, first) = buffers.take(recv_selecting(cq, sq, &here, 8));
        let (two, second) = buffers.take(recv_selecting(cq, sq, &here, 3));
        assert_eq!((&one[..], &two[..]), (&b"abcdefgh"[..], &b"ijk"[..]));
        assert_ne!(first, second);
        let done = recv_selecting(cq, sq, &here, 8);
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ENOBUFS, None)
        );
        buffers.provide(cq, sq, second, 1);
        let (rest, again) = buffers.take(recv_selecting(cq, sq, &here, 8));
        assert_eq!((&rest[..], again), (&b"lmnop"[..], second));
    });
}

#[test]
fn recv_with_a_buffer_ring_takes_one_each_in_order_until_there_is_none() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(2);
        let mut ring = sq.register_buffer_ring(2, GROUP).unwrap();
        buffers.add(&mut ring, 1);
        buffers.add(&mut ring, 0);
        there.write_all(b"abcdefghijklmnop").unwrap();
        for (len, wanted, wanted_id) in [(0, "abcdefgh", 1), (3, "ijk", 0)] {
            let (text, id) = buffers.take(recv_selecting(cq, sq, &here, len));
            assert_eq!((&text[..], id), (wanted.as_bytes(), wanted_id));
        }
        let done = recv_selecting(cq, sq, &here, 8);
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ENOBUFS, None)
        );
        buffers.add(&mut ring, 1);
        let (rest, id) = buffers.take(recv_selecting(cq, sq, &here, 0));
        assert_eq!((&rest[..], id), (&b"lmnop"[..], 1));
    });
}

#[test]
fn recv_that_waits_takes_a_buffer_only_for_data() {
    // Buffer rings came with Linux 5.19, and can be looked at since 6.8.
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(1);
        let mut ring = sq.register_buffer_ring(1, GROUP).unwrap();
        buffers.add(&mut ring, 0);
        let recv = Recv {
            sockfd: here.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 8,
            flags: 0,
        };
        // SAFETY: the group's buffers are valid for ever, and the socket stays.
        unsafe { sq.push_with(&recv, PENDING, select) }.unwrap();
        submit_pending(cq, sq);
        let done = cancel(cq, sq);
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ECANCELED, None)
        );
        assert_eq!(ring.available().unwrap(), 1);
        there.write_all(b"kept").unwrap();
        let (text, id) = buffers.take(recv_selecting(cq, sq, &here, 8));
        assert_eq!((&text[..], id), (&b"kept"[..], 0));
        assert_eq!(ring.available().unwrap(), 0);
    });
}

#[test]
fn recv_in_a_bundle_fills_several_buffers() {
    // Bundles came with Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for id in 0..4 {
            buffers.add(&mut ring, id);
        }
        there.write_all(b"abcdefghijklmnopqrst").unwrap();
        let recv = Recv {
            sockfd: here.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        // SAFETY: the group's buffers are valid for ever, and the socket stays.
        let done = unsafe {
            run(cq, sq, &recv, |sqe| {
                sqe.select_buffer(GROUP);
                sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
            })
        };
        // The completion names the first of those that it has filled. The kernel may leave some
        // for later.
        let n = count(done);
        if kernel::older_than(6, 17) {
            // It does not know how much a Unix socket has.
            assert!((1..=20).contains(&n), "{n}");
        } else {
            assert!((9..=20).contains(&n), "{n}");
        }
        assert_eq!(done.buffer_id(), Some(0));
        let used = n.div_ceil(8);
        // SAFETY: it hands these over, which lie one behind the other.
        let filled = unsafe { slice::from_raw_parts(buffers.at(0), 8 * used) };
        assert_eq!(filled[..n], b"abcdefghijklmnopqrst"[..n]);
        assert!(filled[n..].iter().all(|byte| *byte == UNTOUCHED));
        assert_eq!(usize::from(ring.available().unwrap()), 4 - used);
    });
}

fn multi_of(sockfd: RawFd) -> RecvMulti {
    RecvMulti {
        sockfd,
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    }
}

/// Pushes a receive that goes on, and submits it.
#[track_caller]
fn start<T: Threads>(sq: &mut SubmissionQueue<T>, socket: &impl AsRawFd) {
    // SAFETY: the group's buffers are valid for ever, and the tests keep their sockets.
    unsafe { sq.push_with(&multi_of(socket.as_raw_fd()), PENDING, select) }.expect("room");
    sq.submit().expect("a submission");
}

#[test]
fn recv_multi_with_a_buffer_ring_receives_until_it_is_cancelled() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for id in 0..4 {
            buffers.add(&mut ring, id);
        }
        // One piece is there already.
        there.write_all(b"piece 00").unwrap();
        start(sq, &here);
        for i in 0..50 {
            let done = next(cq);
            assert_eq!((done.user_data(), done.more()), (PENDING, true));
            let (text, id) = buffers.take(done);
            assert_eq!(text, format!("piece {i:02}").as_bytes());
            assert_eq!(id, i % 4);
            // It is used again, so the ring goes around.
            buffers.add(&mut ring, id);
            let piece = format!("piece {:02}", i + 1);
            there.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(buffers.take(next(cq)).0, b"piece 50");
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        assert_eq!(last.buffer_id(), None);
        there.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        let mut kept = [0; 4];
        assert_eq!(
            (count(recv(cq, sq, &here, &mut kept, 0)), &kept),
            (4, b"kept")
        );
    });
}

#[test]
fn recv_multi_with_provided_buffers_receives_until_there_is_none() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(3);
        buffers.provide(cq, sq, 0, 3);
        there.write_all(b"abcdefghijklmnopqrstuvwxyz").unwrap();
        start(sq, &here);
        let mut ids = Vec::new();
        for wanted in ["abcdefgh", "ijklmnop", "qrstuvwx"] {
            let done = next(cq);
            assert_eq!((done.user_data(), done.more()), (PENDING, true));
            let (text, id) = buffers.take(done);
            assert_eq!(text, wanted.as_bytes());
            ids.push(id);
        }
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2]);
        let last = next(cq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ENOBUFS, false));
        assert_eq!(last.buffer_id(), None);
        // Nothing was lost, and a buffer that is provided anew serves again.
        buffers.provide(cq, sq, 1, 1);
        start(sq, &here);
        let (text, id) = buffers.take(next(cq));
        assert_eq!((&text[..], id), (&b"yz"[..], 1));
        let last = if kernel::older_than(6, 17) {
            // It does not know that a Unix socket is empty, and looks for a buffer first.
            (next(cq), -libc::ENOBUFS)
        } else {
            (cancel(cq, sq), -libc::ECANCELED)
        };
        assert_eq!((last.0.raw_result(), last.0.more()), (last.1, false));
    });
}

#[test]
fn recv_multi_with_an_empty_buffer_ring_ends_and_goes_on_when_pushed_again() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(2);
        let mut ring = sq.register_buffer_ring(2, GROUP).unwrap();
        let data = bytes(100);
        there.write_all(&data).unwrap();
        let mut received = Vec::new();
        start(sq, &here);
        let mut mine = vec![0, 1];
        loop {
            let done = next(cq);
            if done.raw_result() == -libc::ENOBUFS {
                assert!(!done.more());
                // Both are at hand, since the kernel has none.
                assert_eq!(mine.len(), 2);
                for id in mine.drain(..) {
                    buffers.add(&mut ring, id);
                }
                start(sq, &here);
                continue;
            }
            assert!(done.more());
            let (text, id) = buffers.take(done);
            received.extend(text);
            mine.push(id);
            if received.len() == data.len() {
                break;
            }
        }
        assert_eq!(received, data);
    });
}

#[test]
fn recv_multi_ends_with_the_stream() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for id in 0..4 {
            buffers.add(&mut ring, id);
        }
        start(sq, &here);
        there.write_all(b"last").unwrap();
        drop(there);
        let done = next(cq);
        assert!(done.more());
        assert_eq!(buffers.take(done).0, b"last");
        let without = [((6, 18), 44), ((6, 19), 14)];
        if kernel::may_have_bug((6, 17), &without, "the end of a Unix stream is not told") {
            return;
        }
        let done = next(cq);
        assert_eq!((done.result().unwrap(), done.more()), (0, false));
        assert_eq!(done.buffer_id(), None);
    });
}

#[test]
fn recv_multi_ends_with_an_empty_datagram() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for id in 0..4 {
            buffers.add(&mut ring, id);
        }
        for text in ["one", "", "two"] {
            there.send(text.as_bytes()).unwrap();
        }
        start(sq, &here);
        assert_eq!(buffers.take(next(cq)).0, b"one");
        let done = next(cq);
        assert_eq!((done.result().unwrap(), done.more()), (0, false));
        assert_eq!(done.buffer_id(), None);
        start(sq, &here);
        assert_eq!(buffers.take(next(cq)).0, b"two");
    });
}

#[test]
fn recv_multi_ends_with_an_error_of_the_socket() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        let buffers = Buffers::new(1);
        let mut ring = sq.register_buffer_ring(1, GROUP).unwrap();
        buffers.add(&mut ring, 0);
        start(sq, &reader);
        let done = next(cq);
        assert_eq!((done.raw_result(), done.more()), (-libc::ENOTSOCK, false));
    });
}

#[test]
fn recv_multi_without_a_buffer_group_or_of_everything_gives_einval() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"kept").unwrap();
        let plain = multi_of(here.as_raw_fd());
        // SAFETY: without a group there is nothing to be written to.
        let done = unsafe { run(cq, sq, &plain, |_| ()) };
        assert_eq!((done.raw_result(), done.more()), (-libc::EINVAL, false));
        let everything = RecvMulti {
            flags: libc::MSG_WAITALL,
            ..plain
        };
        // SAFETY: the group has no buffers.
        let done = unsafe { run(cq, sq, &everything, select) };
        assert_eq!((done.raw_result(), done.more()), (-libc::EINVAL, false));
        let mut kept = [0; 4];
        assert_eq!(
            (count(recv(cq, sq, &here, &mut kept, 0)), &kept),
            (4, b"kept")
        );
    });
}

#[test]
fn recv_multi_with_a_length_is_refused_or_keeps_to_it() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = Buffers::new(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for id in 0..4 {
            buffers.add(&mut ring, id);
        }
        there.write_all(b"abcdefg").unwrap();
        let three = RecvMulti {
            len: 3,
            ..multi_of(here.as_raw_fd())
        };
        // SAFETY: the group's buffers are valid for ever, and the socket stays.
        unsafe { sq.push_with(&three, PENDING, select) }.unwrap();
        sq.submit().unwrap();
        let mut done = next(cq);
        if done.raw_result() == -libc::EINVAL {
            println!("the kernel refuses a length");
            assert!(!done.more());
        } else {
            for (i, wanted) in ["abc", "def", "g"].into_iter().enumerate() {
                if i > 0 {
                    done = next(cq);
                }
                assert!(done.more());
                assert_eq!(buffers.take(done).0, wanted.as_bytes());
            }
            assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        }
    });
}

#[test]
fn recv_multi_on_a_full_completion_queue_loses_nothing() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    let params = IoUringParams::default().entries(2).cqsize(2);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (here, there) = UnixDatagram::pair().unwrap();
    let buffers = Buffers::new(64);
    let mut ring = sq.register_buffer_ring(64, GROUP).unwrap();
    for id in 0..64 {
        buffers.add(&mut ring, id);
    }
    // More than the queue has room for, less than the socket holds.
    let send = |i: u8| there.send(&[i; 3]).unwrap();
    (0..8).for_each(|i| assert_eq!(send(i), 3));
    start(&mut sq, &here);
    let mut restarts = 0;
    for i in 0..40 {
        let done = next(&mut cq);
        assert_eq!(done.user_data(), PENDING);
        assert_eq!(buffers.take(done).0, [i; 3], "they come in order");
        if i < 32 {
            send(i + 8);
        }
        if !done.more() {
            start(&mut sq, &here);
            restarts += 1;
        }
    }
    println!("it ended {restarts} times");
    assert_eq!(cq.lost(), 0);
}
