//! Receives into buffers that are used up piece by piece: bundles, messages, and sending from them.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, RecvMulti, RecvmsgMulti, RecvmsgOut, SendBundle};
use lio_uring::{
    BufferRing, BufferRingParams, CompletionFlags, RecvSendFlags, Sqe, SubmissionQueue,
    with_capacity,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{PENDING, cancel, next};

const GROUP: u16 = 90;
const SIZE: usize = 64;
const COUNT: u16 = 8;

/// The buffers of a group, one behind the other.
struct Buffers(*mut [[u8; SIZE]; COUNT as usize]);

impl Buffers {
    fn new() -> Self {
        Self(Box::into_raw(Box::new([[0; SIZE]; COUNT as usize])))
    }

    /// A group of all of them, in order. Nothing if the kernel knows no such groups.
    #[track_caller]
    fn group<T: Threads>(&self, sq: &mut SubmissionQueue<T>) -> Option<BufferRing<T>> {
        let params = BufferRingParams::new(COUNT, GROUP).incremental();
        let mut ring = kernel::since(6, 12, sq.register_buffer_ring_with(params))?;
        self.give(&mut ring);
        Some(ring)
    }

    fn give<T: Threads>(&self, ring: &mut BufferRing<T>) {
        for id in 0..COUNT {
            let buffer = self.0.cast::<u8>().wrapping_add(usize::from(id) * SIZE);
            // SAFETY: the group is new, and the memory stays until the test has dropped its ring.
            unsafe { ring.add(buffer.cast(), 64, id) };
        }
        ring.publish();
    }

    /// Only of what nothing is received into any more.
    fn all(&self) -> &[u8] {
        // SAFETY: the memory is a box's, and nothing writes to it while the tests look at it.
        unsafe { &*self.0 }.as_flattened()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: it was a box's, and the tests drop it last, when nothing is in flight.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Text in which no place looks like another.
fn text(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from(i % 251).expect("less than 256"))
        .collect()
}

#[test]
fn recv_multi_in_bundles_of_incremental_buffers_keeps_the_order() {
    // Bundles came with Linux 6.10; BIND is of 6.11.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let buffers = Buffers::new();
        let Some(group) = buffers.group(sq) else {
            return;
        };
        let (here, mut there) = UnixStream::pair().unwrap();
        let recv = RecvMulti {
            sockfd: here.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        let settings = |sqe: &mut Sqe| {
            sqe.select_buffer(GROUP);
            sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
        };
        // SAFETY: buffers and socket stay until the last completion.
        unsafe { sq.push_with(&recv, PENDING, settings) }.unwrap();
        sq.submit().unwrap();
        let data = text(500);
        let mut came = 0;
        // Pieces of buffers, whole ones, several, and across their bounds.
        for n in [10, 54, 64, 1, 130, 100, 3, 138] {
            there.write_all(&data[came..came + n]).unwrap();
            let end = came + n;
            while came < end {
                let done = next(cq);
                if !done.more() {
                    let without = [((6, 18), 44), ((7, 0), 13)];
                    let ends = "bundles end with the last of the buffers";
                    assert!(kernel::may_have_bug((6, 12), &without, ends), "{done:?}");
                    // SAFETY: as above.
                    unsafe { sq.push_with(&recv, PENDING, settings) }.unwrap();
                    sq.submit().unwrap();
                }
                assert_eq!(done.buffer_id().map(usize::from), Some(came / SIZE));
                came += usize::try_from(done.result().unwrap()).unwrap();
                let more = done.flags().contains(CompletionFlags::BUF_MORE);
                let without = [((6, 18), 44), ((7, 0), 13)];
                if more || !kernel::may_have_bug((6, 16), &without, "bundles leave out BUF_MORE") {
                    assert_eq!(more, came % SIZE != 0, "{came}");
                }
            }
            assert_eq!(came, end);
            assert_eq!(buffers.all()[..came], data[..came]);
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        drop(group);
    });
}

#[test]
fn send_bundle_of_incremental_buffers_sends_them_in_order() {
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let buffers = Buffers::new();
        let data = text(SIZE * usize::from(COUNT));
        // SAFETY: nothing else has the memory yet.
        unsafe { buffers.0.cast::<u8>().copy_from(data.as_ptr(), data.len()) };
        let Some(group) = buffers.group(sq) else {
            return;
        };
        let (here, mut there) = UnixStream::pair().unwrap();
        let bundle = SendBundle {
            sockfd: here.as_raw_fd(),
            // A part that ends within a buffer; the rest follows by itself.
            len: 100,
            flags: 0,
        };
        // SAFETY: buffers and socket stay until the last completion.
        unsafe { sq.push_with(&bundle, 1, |sqe| sqe.select_buffer(GROUP)) }.unwrap();
        sq.submit().unwrap();
        let mut sent = 0;
        let mut more = true;
        while more {
            let done = next(cq);
            assert_eq!(done.buffer_id().map(usize::from), Some(sent / SIZE));
            sent += usize::try_from(done.result().unwrap()).unwrap();
            more = done.more();
        }
        assert_eq!(sent, data.len());
        let mut got = vec![0; sent];
        there.read_exact(&mut got).unwrap();
        assert_eq!(got, data);
        drop(group);
    });
}

#[test]
fn recvmsg_multi_uses_no_piece_that_is_too_small_for_its_header() {
    const HEADER: usize = 32;
    const LARGE: usize = 1024;
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let params = BufferRingParams::new(4, GROUP).incremental().min_left(32);
    let made = sq.register_buffer_ring_with(params);
    // Some kernels before Linux 7.1 know the least length, and others take no notice of it.
    let Some(mut ring) = kernel::since_or(7, 1, made, |error| {
        assert_eq!(error.errno(), libc::EINVAL, "{error}");
    }) else {
        return;
    };
    let mut memory = vec![[0_u8; LARGE]; 4].into_boxed_slice();
    let start = memory.as_mut_ptr();
    for id in 0..4 {
        let buffer = start.wrapping_add(usize::from(id));
        // SAFETY: the memory stays until the ring is dropped, and is read when completions have
        // named its parts.
        unsafe { ring.add(buffer.cast(), 1024, id) };
    }
    ring.publish();
    let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // SAFETY: zero is a value of the structure.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_namelen = 16;
    let recv = RecvmsgMulti {
        fd: here.as_raw_fd(),
        msg: &raw mut msg,
        flags: 0,
    };
    // SAFETY: buffers, message and socket stay until the last completion.
    unsafe { sq.push_with(&recv, PENDING, |sqe| sqe.select_buffer(GROUP)) }.unwrap();
    sq.submit().unwrap();
    let data = text(480);
    let mut places = Vec::new();
    let (mut last, mut offset) = (0, 0);
    // Two fill a buffer. Three of the others leave 13 bytes of one.
    for len in [480, 480, 305, 305, 305, 305, 305, 305, 305] {
        there
            .send_to(&data[..len], here.local_addr().unwrap())
            .unwrap();
        let done = next(&mut cq);
        let bytes = usize::try_from(done.result().unwrap()).unwrap();
        assert_eq!((bytes, done.more()), (HEADER + len, true));
        let id = done.buffer_id().unwrap();
        if id != last {
            (last, offset) = (id, 0);
        }
        let piece = start
            .cast::<u8>()
            .wrapping_add(usize::from(id) * LARGE + offset);
        // SAFETY: the completion has given this part of the memory to the test.
        let piece = unsafe { std::slice::from_raw_parts(piece, bytes) };
        let out = RecvmsgOut::parse(piece, &msg).expect("a message");
        assert_eq!(out.payload(), &data[..len]);
        offset += bytes;
        places.push(id);
        // What is left of the buffer has room for a header, or is given back.
        let more = done.flags().contains(CompletionFlags::BUF_MORE);
        if more != (LARGE - offset >= HEADER) {
            assert!(more && kernel::older_than(7, 1), "{done:?}, {offset}");
            return;
        }
    }
    assert_eq!(places, [0, 0, 1, 1, 1, 2, 2, 2, 3]);
}
