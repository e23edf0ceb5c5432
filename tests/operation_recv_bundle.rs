//! Receiving into several buffers of a group in one go, and no more than a given number of bytes.

#![cfg(target_os = "linux")]

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, Recv, RecvMulti};
use lio_uring::{
    BufferRing, BufferRingParams, Completion, CompletionFlags, CompletionQueue, RecvSendFlags, Sqe,
    SubmissionQueue,
};

#[path = "support/group.rs"]
mod group;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use group::{Buffers, GROUP, select};
use rings::{PENDING, cancel, next, run, submit_pending};
use sockets::{assert_empty, await_data, bytes, count, take, tcp, udp};

const SIZE: usize = 64;

/// Whether the kernel has bundles: since Linux 6.10.
#[track_caller]
fn has_bundles() -> bool {
    needs::operations(&[OpCode::BIND])
}

fn bundle(sqe: &mut Sqe) {
    select(sqe);
    sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
}

fn recv_of(socket: &impl AsRawFd) -> Recv {
    Recv {
        sockfd: socket.as_raw_fd(),
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    }
}

fn multi_of(socket: &impl AsRawFd, len: u32) -> RecvMulti {
    RecvMulti {
        sockfd: socket.as_raw_fd(),
        buf: ptr::null_mut(),
        len,
        flags: 0,
    }
}

/// Buffers in the order in which the kernel uses them.
struct Group<T: Threads> {
    buffers: Buffers,
    ring: BufferRing<T>,
    order: VecDeque<u16>,
}

impl<T: Threads> Group<T> {
    #[track_caller]
    fn new(sq: &mut SubmissionQueue<T>, n: u16) -> Self {
        let buffers = Buffers::new(n, SIZE);
        let ring = buffers.ring(sq);
        Self {
            buffers,
            ring,
            order: (0..n).collect(),
        }
    }

    /// The bytes that a completion has brought, in as many buffers as they need.
    #[track_caller]
    fn take(&mut self, done: Completion) -> Vec<u8> {
        let mut left = count(done);
        let mut text = Vec::new();
        assert_eq!(done.buffer_id(), self.order.front().copied());
        while left > 0 {
            let id = self.order.pop_front().expect("a buffer");
            let n = left.min(SIZE);
            // SAFETY: the completion hands it over.
            text.extend(unsafe { self.buffers.read(id, n) });
            self.give(id);
            left -= n;
        }
        text
    }

    /// Adds a buffer anew.
    fn give(&mut self, id: u16) {
        self.buffers.add(&mut self.ring, id);
        self.order.push_back(id);
    }
}

#[test]
fn recv_multi_in_bundles_keeps_the_order_of_the_data() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let data = bytes(300_000);
        let (here, mut there) = tcp();
        let mut group = Group::new(sq, 16);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Pieces of all lengths; the connection ends with the last.
                let mut left = &data[..];
                for n in (1..=999).cycle() {
                    let (piece, rest) = left.split_at(n.min(left.len()));
                    there.write_all(piece).expect("a connection");
                    left = rest;
                    if left.is_empty() {
                        break;
                    }
                }
                there
                    .shutdown(std::net::Shutdown::Write)
                    .expect("a connection");
            });
            let mut text = Vec::new();
            let (mut several, mut restarts) = (0, -1);
            'all: loop {
                // SAFETY: the group's buffers are valid for ever, and the socket stays.
                unsafe { sq.push_with(&multi_of(&here, 0), PENDING, bundle) }.unwrap();
                sq.submit().unwrap();
                restarts += 1;
                loop {
                    let done = next(cq);
                    match done.raw_result() {
                        0 => break 'all,
                        error if error == -libc::ENOBUFS => {}
                        n => {
                            several += i32::from(n > 64);
                            text.extend(group.take(done));
                        }
                    }
                    if !done.more() {
                        break;
                    }
                }
            }
            assert!(text == data);
            println!("{several} filled several buffers, and it ended {restarts} times");
        });
    });
}

/// Receives into a bundle.
#[track_caller]
fn recv<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
) -> Completion {
    // SAFETY: the group's buffers are valid for ever, and the socket is borrowed.
    unsafe { run(cq, sq, &recv_of(socket), bundle) }
}

#[test]
fn recv_in_bundles_of_provided_buffers_uses_them_in_order() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let buffers = Buffers::new(4, SIZE);
        buffers.provide(cq, sq, 0, 4);
        there.write_all(&bytes(230)).unwrap();
        await_data(&here, 230);
        let (mut text, mut place) = (Vec::new(), 0);
        // How many a completion is for is the kernel's affair.
        while text.len() < 230 {
            let done = recv(cq, sq, &here);
            assert_eq!(done.buffer_id(), Some(place));
            let mut left = count(done);
            while left > 0 {
                let n = left.min(SIZE);
                // SAFETY: the completion hands the buffer over.
                text.extend(unsafe { buffers.read(place, n) });
                place += 1;
                left -= n;
            }
        }
        assert_eq!((place, text), (4, bytes(230)));
        there.write_all(b"kept").unwrap();
        let done = recv(cq, sq, &here);
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ENOBUFS, None)
        );
        assert_eq!(take(&mut &here, 4), b"kept");
    });
}

#[test]
fn recv_in_bundles_of_incremental_buffers_leaves_no_gap() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let params = BufferRingParams::new(4, GROUP).incremental();
        let made = sq.register_buffer_ring_with(params);
        let Some(mut ring) = kernel::since(6, 12, made) else {
            return;
        };
        let buffers = Buffers::new(4, SIZE);
        (0..4).for_each(|id| buffers.add(&mut ring, id));
        let (here, mut there) = tcp();
        let data = bytes(180);
        let mut total = 0;
        for n in [100, 20, 1, 59] {
            there.write_all(&data[total..total + n]).unwrap();
            await_data(&here, n);
            let end = total + n;
            while total < end {
                let done = recv(cq, sq, &here);
                let first = u16::try_from(total / SIZE).unwrap();
                assert_eq!(done.buffer_id(), Some(first));
                total += count(done);
                let more = done.flags().contains(CompletionFlags::BUF_MORE);
                let without = [((6, 18), 44), ((7, 0), 13)];
                if more || !kernel::may_have_bug((6, 16), &without, "bundles leave out BUF_MORE") {
                    assert_eq!(more, total % SIZE != 0, "{total}");
                }
            }
        }
        let mut text = Vec::new();
        for (id, n) in [(0, SIZE), (1, SIZE), (2, 180 - 2 * SIZE)] {
            // SAFETY: no operation is under way that could write to it.
            text.extend(unsafe { buffers.read(id, n) });
        }
        assert_eq!(text, data);
        assert_eq!(ring.available().unwrap(), 2, "the third is not full");
    });
}

#[test]
fn recv_in_a_bundle_without_a_group_is_an_ordinary_one() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"ordinary").unwrap();
        let mut buffer = [0; 16];
        let recv = Recv {
            buf: buffer.as_mut_ptr().cast(),
            len: 16,
            ..recv_of(&here)
        };
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &recv, |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
            })
        };
        assert_eq!((count(done), done.buffer_id()), (8, None));
        assert_eq!(&buffer[..8], b"ordinary");
    });
}

#[test]
fn recv_multi_in_bundles_cancelled_leaves_the_buffers_and_the_data() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut group = Group::new(sq, 4);
        // SAFETY: the group's buffers are valid for ever, and the socket stays.
        unsafe { sq.push_with(&multi_of(&here, 0), PENDING, bundle) }.unwrap();
        submit_pending(cq, sq);
        there.write_all(b"some").unwrap();
        let done = next(cq);
        assert_eq!((group.take(done), done.more()), (b"some".to_vec(), true));
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        assert_eq!(last.buffer_id(), None);
        assert_eq!(group.ring.available().unwrap(), 4);
        there.write_all(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(take(&mut &here, 4), b"kept");
    });
}

/// Receives a stream of 110 bytes with a multishot operation of these bounds, a piece and the whole,
/// and returns how long the pieces were; or nothing if the kernel refuses the bounds.
#[track_caller]
fn pieces<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (len, total): (u32, u32),
    mode: RecvSendFlags,
) -> Option<Vec<usize>> {
    let (here, mut there) = tcp();
    let mut group = Group::new(sq, 16);
    there.write_all(&bytes(110)).expect("a connection");
    await_data(&here, 110);
    // SAFETY: the group's buffers are valid for ever, and the socket stays.
    unsafe {
        sq.push_with(&multi_of(&here, len), PENDING, |sqe| {
            select(sqe);
            sqe.insert_recv_send_flags(mode);
            sqe.set_file_index(total);
        })
    }
    .expect("room");
    drop(there);
    sq.submit().expect("a submission");
    let (mut pieces, mut text) = (Vec::new(), Vec::new());
    loop {
        let done = next(cq);
        if done.raw_result() == -libc::EINVAL {
            return kernel::since(6, 17, Err(done.result().expect_err("it is negative")));
        }
        pieces.push(count(done));
        if done.raw_result() > 0 {
            text.extend(group.take(done));
        }
        if !done.more() {
            assert_eq!(text, bytes(110)[..text.len()]);
            return Some(pieces);
        }
    }
}

#[test]
fn recv_multi_brings_no_more_at_once_than_it_is_told() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let none = RecvSendFlags::empty();
        for len in [10, 50, 64, 100] {
            let Some(pieces) = pieces(cq, sq, (len, 0), none) else {
                return;
            };
            let piece = SIZE.min(len as usize);
            let mut wanted = vec![piece; 110 / piece];
            wanted.extend(Some(110 % piece).filter(|rest| *rest > 0));
            wanted.push(0);
            assert_eq!(pieces, wanted, "{len}");
        }
    });
}

#[test]
fn recv_multi_ends_when_as_much_has_come_as_it_is_told() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (single, bundle) = (RecvSendFlags::empty(), RecvSendFlags::BUNDLE);
        for (len, total, mode, wanted) in [
            (10, 30, single, &[10, 10, 10][..]),
            (10, 35, single, &[10, 10, 10, 10]),
            (10, 35, bundle, &[10, 10, 10, 5]),
            (0, 64, single, &[64]),
            (0, 100, single, &[64, 46]),
        ] {
            let Some(pieces) = pieces(cq, sq, (len, total), mode) else {
                return;
            };
            assert_eq!(pieces, wanted, "{len}, {total}, {mode:?}");
        }
    });
}

#[test]
fn recv_in_a_bundle_puts_one_datagram_into_the_buffers_that_its_length_fills() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        for len in [4 * SIZE, 2 * SIZE] {
            let ((here, to), (there, _)) = (udp(), udp());
            let mut group = Group::new(sq, 4);
            let mut operation = recv_of(&here);
            operation.len = len.try_into().unwrap();
            for n in [150, SIZE, 1, 4 * SIZE, 5 * SIZE] {
                there.send_to(&bytes(n), to).unwrap();
                there.send_to(b"next", to).unwrap();
                // SAFETY: the group's buffers are valid for ever, and the socket stays.
                let done = unsafe { run(cq, sq, &operation, bundle) };
                assert_eq!(group.take(done), bytes(n.min(len)), "{n} of {len}");
                // SAFETY: as above.
                let done = unsafe { run(cq, sq, &operation, bundle) };
                assert_eq!(group.take(done), b"next", "{n} of {len}");
            }
            assert_empty(&here);
        }
    });
}
