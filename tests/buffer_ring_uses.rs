//! Provided-buffer rings under load, shared, converted, and where their memory is the kernel's.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::operation::{OpCode, ProvideBuffers, Read, RecvMulti, RemoveBuffers};
use lio_uring::{
    BufferCursor, BufferRing, BufferRingParams, Completion, CompletionFlags, CompletionQueue,
    IoUring, IoUringParams, SubmissionQueue, sys, with_capacity,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/liburing_ring.rs"]
mod liburing_ring;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/rings.rs"]
mod rings;

use liburing_ring::{LiburingRing, check};
use rings::next;

const SIZE: usize = 32;
const LEN: u32 = 32;

/// A group of buffers, all with the kernel.
struct Group {
    ring: BufferRing,
    memory: Box<[[u8; SIZE]]>,
}

impl Group {
    /// Nothing if the kernel knows no such rings.
    #[track_caller]
    fn new(sq: &mut SubmissionQueue, since: (u32, u32), params: BufferRingParams) -> Option<Self> {
        let ring = kernel::since(since.0, since.1, sq.register_buffer_ring_with(params))?;
        let memory = vec![[0; SIZE]; ring.capacity().into()].into_boxed_slice();
        let mut group = Self { ring, memory };
        for id in 0..group.ring.capacity() {
            group.give(id);
        }
        Some(group)
    }

    fn give(&mut self, id: u16) {
        let buffer = &mut self.memory[usize::from(id)];
        // SAFETY: the memory lives as long as the ring, and is read only after a completion has
        // given it back.
        unsafe { self.ring.add(buffer.as_mut_ptr().cast(), LEN, id) };
        self.ring.publish();
    }

    /// What a completion has brought, in a buffer that is then the test's.
    #[track_caller]
    fn bytes(&self, done: &Completion) -> (u16, &[u8]) {
        let len = usize::try_from(done.result().expect("data")).expect("a length");
        let id = done.buffer_id().expect("a buffer");
        (id, &self.memory[usize::from(id)][..len])
    }
}

/// Pushes a receive into buffers of a group that goes on.
#[track_caller]
fn push_recv_multi(sq: &mut SubmissionQueue, socket: &UnixStream, group: u16, user_data: u64) {
    let recv = RecvMulti {
        sockfd: socket.as_raw_fd(),
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    };
    // SAFETY: the test keeps the group's buffers and the socket until it has ended.
    unsafe { sq.push_with(&recv, user_data, |sqe| sqe.select_buffer(group)) }.expect("room");
}

/// Reads a part of a file into a buffer of a group.
#[track_caller]
fn read(
    cq: &mut CompletionQueue,
    sq: &mut SubmissionQueue,
    file: &impl AsRawFd,
    offset: u64,
    group: u16,
) -> Completion {
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: ptr::null_mut(),
        len: 8,
        offset,
    };
    // SAFETY: the test keeps the group's buffers and the file until it has ended.
    unsafe { sq.push_with(&read, 1, |sqe| sqe.select_buffer(group)) }.expect("room");
    sq.submit().expect("a submission");
    next(cq)
}

/// A file that holds the bytes from 0 to 255.
fn file() -> File {
    let file = tempfile::tempfile().expect("a file");
    let bytes: Vec<_> = (0..=255).collect();
    file.write_all_at(&bytes, 0).expect("room in the file");
    file
}

/// The bytes that are in that file from an offset on.
fn eight(offset: u64) -> [u8; 8] {
    let first = u8::try_from(offset).expect("within the file");
    std::array::from_fn(|i| first + u8::try_from(i).expect("less than 8"))
}

#[test]
fn small_group_is_drained_and_filled_again_and_again() {
    let (mut cq, mut sq) = with_capacity(16).unwrap();
    let params = BufferRingParams::new(4, 70);
    let Some(mut group) = Group::new(&mut sq, (5, 19), params) else {
        return;
    };
    let file = file();
    for round in 0..200_u64 {
        // Twice as many as there are buffers.
        for i in 0..8 {
            let read = Read {
                fd: file.as_raw_fd(),
                ptr: ptr::null_mut(),
                len: 8,
                offset: 8 * i + round % 100,
            };
            // SAFETY: the group's buffers and the file stay until all have ended.
            unsafe { sq.push_with(&read, i, |sqe| sqe.select_buffer(70)) }.unwrap();
        }
        sq.submit().unwrap();
        let mut taken = Vec::new();
        let mut without = 0;
        for _ in 0..8 {
            let done = next(&mut cq);
            if done.raw_result() == -libc::ENOBUFS {
                without += 1;
                continue;
            }
            let (id, bytes) = group.bytes(&done);
            assert_eq!(bytes, eight(8 * done.user_data() + round % 100));
            taken.push(id);
        }
        assert_eq!((taken.len(), without), (4, 4), "round {round}");
        // In another order each time.
        taken.rotate_left(usize::try_from(round % 4).unwrap());
        for id in &taken {
            group.give(*id);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3]);
    }
}

#[test]
fn several_receives_share_a_group() {
    // Receives that go on came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    let (mut cq, mut sq) = with_capacity(16).unwrap();
    let params = BufferRingParams::new(8, 71);
    let mut group = Group::new(&mut sq, (5, 19), params).expect("they are older");
    let mut pairs: Vec<_> = (0..4).map(|_| UnixStream::pair().unwrap()).collect();
    for (i, (here, _)) in pairs.iter().enumerate() {
        push_recv_multi(&mut sq, here, 71, i as u64);
    }
    sq.submit().unwrap();
    let mut sent: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut got: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for round in 0..100_u8 {
        for (i, (_, there)) in (0..).zip(&mut pairs) {
            let message = [round ^ i; 20];
            there.write_all(&message).unwrap();
            sent.entry(i.into()).or_default().extend(message);
        }
        while sent != got {
            let done = next(&mut cq);
            let (id, bytes) = group.bytes(&done);
            got.entry(done.user_data()).or_default().extend(bytes);
            assert!(done.more());
            group.give(id);
        }
    }
    drop(pairs);
    for _ in 0..4 {
        let end = next(&mut cq);
        assert_eq!((end.raw_result(), end.more()), (0, false));
    }
}

#[test]
fn mapped_group_of_a_ring_in_memory_of_the_programs() {
    let params = IoUringParams::default().entries(8).no_mmap();
    let Some((mut cq, mut sq)) = kernel::since(6, 5, IoUring::with_params(params)) else {
        return;
    };
    let params = BufferRingParams::new(4, 72).mapped();
    let mut group = Group::new(&mut sq, (6, 4), params).expect("they are older");
    let file = file();
    for i in 0..20 {
        let done = read(&mut cq, &mut sq, &file, 8 * i, 72);
        let (id, bytes) = group.bytes(&done);
        assert_eq!((u64::from(id), bytes), (i % 4, &eight(8 * i)[..]));
        group.give(id);
    }
}

#[test]
fn memory_of_a_mapped_group_stays_after_it_is_unregistered() {
    const BYTES: usize = 512 * size_of::<sys::io_uring_buf>();
    let mut ring = LiburingRing::new(1, 0).unwrap();
    let mut mappings = Vec::new();
    // The kernel keeps groups below 64 elsewhere than the others.
    for group in 60..70 {
        // SAFETY: zero is a value of the structure.
        let mut argument: sys::io_uring_buf_reg = unsafe { mem::zeroed() };
        argument.ring_entries = 512;
        argument.bgid = group;
        let flags = sys::IOU_PBUF_RING_MMAP;
        // SAFETY: the ring is set up, and the memory will be the kernel's.
        let made = unsafe { sys::io_uring_register_buf_ring(ring.raw(), &raw mut argument, flags) };
        if kernel::since(6, 4, check(made)).is_none() {
            break;
        }
        let offset =
            i64::from(sys::IORING_OFF_PBUF_RING) | i64::from(group) << sys::IORING_OFF_PBUF_SHIFT;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let memory = unsafe {
            libc::mmap64(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                ring.fd(),
                offset,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        mappings.push(memory.cast::<u8>());
        // SAFETY: the ring is set up.
        let gone = unsafe { sys::io_uring_unregister_buf_ring(ring.raw(), group.into()) };
        assert_eq!(gone, 0);
    }
    for (byte, memory) in (1..).zip(&mappings) {
        // SAFETY: the mapping is so long, and nobody else's.
        unsafe { memory.write_bytes(byte, BYTES) };
    }
    drop(ring);
    for (byte, memory) in (1..).zip(mappings) {
        // SAFETY: the mapping is so long, and nothing writes to it any more.
        let bytes = unsafe { std::slice::from_raw_parts(memory, BYTES) };
        assert!(bytes.iter().all(|other| *other == byte), "group {byte}");
        // SAFETY: the mapping was made above, and `bytes` is not used after this.
        assert_eq!(unsafe { libc::munmap(memory.cast(), BYTES) }, 0);
    }
}

#[test]
fn group_goes_from_classic_buffers_to_a_ring_and_back() {
    const GROUP: u16 = 73;
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    if kernel::since(5, 19, sq.register_buffer_ring(2, GROUP)).is_none() {
        return;
    }
    let file = file();
    let mut classic = vec![[0_u8; SIZE]; 2].into_boxed_slice();
    let address = classic.as_mut_ptr().cast();
    for round in 0..3 {
        let provide = ProvideBuffers {
            addr: address,
            len: LEN,
            nr: 2,
            bgid: GROUP,
            bid: 30,
        };
        // SAFETY: the buffers stay until the group has none of them any more.
        unsafe { sq.push(&provide, 0) }.unwrap();
        sq.submit().unwrap();
        assert!(next(&mut cq).result().is_ok(), "round {round}");
        // As long as there is one of them, the group is of the other kind.
        let done = read(&mut cq, &mut sq, &file, 8, GROUP);
        assert_eq!(done.raw_result(), 8);
        let id = usize::from(done.buffer_id().unwrap());
        assert_eq!(classic[id - 30][..8], eight(8));
        let error = sq.register_buffer_ring(2, GROUP).unwrap_err();
        assert_eq!(error.errno(), libc::EEXIST);
        let remove = RemoveBuffers { nr: 2, bgid: GROUP };
        // SAFETY: removing points to nothing.
        unsafe { sq.push(&remove, 0) }.unwrap();
        sq.submit().unwrap();
        assert_eq!(next(&mut cq).raw_result(), 1);

        let params = BufferRingParams::new(2, GROUP);
        let Some(group) = Group::new(&mut sq, (5, 19), params) else {
            return;
        };
        let done = read(&mut cq, &mut sq, &file, 16, GROUP);
        let (id, bytes) = group.bytes(&done);
        assert_eq!((id, bytes), (0, &eight(16)[..]));
        // SAFETY: as above.
        unsafe { sq.push(&provide, 0) }.unwrap();
        sq.submit().unwrap();
        assert_eq!(next(&mut cq).raw_result(), -libc::EINVAL, "it is a ring");
    }
}

#[test]
fn reads_of_a_file_take_their_buffers_from_a_group() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let params = BufferRingParams::new(8, 74);
    let Some(mut group) = Group::new(&mut sq, (5, 19), params) else {
        return;
    };
    let file = file();
    for i in 0..8 {
        let done = read(&mut cq, &mut sq, &file, 8 * i, 74);
        let (id, bytes) = group.bytes(&done);
        assert_eq!((u64::from(id), bytes), (i, &eight(8 * i)[..]));
    }
    let done = read(&mut cq, &mut sq, &file, 0, 74);
    assert_eq!(done.raw_result(), -libc::ENOBUFS);
    // A buffer that is given back serves again, for the end of the file too.
    group.give(5);
    let done = read(&mut cq, &mut sq, &file, 252, 74);
    assert_eq!(group.bytes(&done), (5, &[252, 253, 254, 255][..]));
    group.give(2);
    let done = read(&mut cq, &mut sq, &file, 256, 74);
    assert_eq!(done.raw_result(), 0);
}

/// Whether the kernel may leave out that a buffer was used in part, and then go on using it.
fn leaves_out_buf_more() -> bool {
    let without = [((6, 18), 44), ((6, 19), 14)];
    kernel::may_have_bug((6, 16), &without, "reads of files leave out BUF_MORE")
}

#[test]
fn reads_of_a_file_fill_an_incremental_buffer_from_its_start() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let params = BufferRingParams::new(2, 75).incremental();
    let Some(group) = Group::new(&mut sq, (6, 12), params) else {
        return;
    };
    let file = file();
    let mut cursor = BufferCursor::new();
    for i in 0..8_u64 {
        let done = read(&mut cq, &mut sq, &file, 8 * i, 75);
        let more = done.flags().contains(CompletionFlags::BUF_MORE);
        if i == 0 && !more && leaves_out_buf_more() {
            return;
        }
        let piece = cursor.advance(&done).unwrap();
        assert_eq!(u64::from(piece.id), i / 4);
        assert_eq!(u64::from(piece.offset), i % 4 * 8);
        // The last piece of a buffer says that it is the last.
        assert_eq!((more, piece.last), (i % 4 != 3, i % 4 == 3), "piece {i}");
        let buffer = &group.memory[usize::from(piece.id)];
        assert_eq!(buffer[piece.range()], eight(8 * i));
    }
    let all: Vec<_> = (0..64).collect();
    assert_eq!(group.memory.concat(), all);
    let done = read(&mut cq, &mut sq, &file, 0, 75);
    assert_eq!(done.raw_result(), -libc::ENOBUFS);
}

#[test]
fn short_and_empty_reads_leave_the_rest_of_an_incremental_buffer() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"pipe").unwrap();
    drop(writer);
    let file = file();
    // A read of a file uses up what it asks for, however little it gets.
    for (fd, offset, got, used) in [
        (reader.as_raw_fd(), 0, 4, 4),
        (reader.as_raw_fd(), 0, 0, 0),
        (file.as_raw_fd(), 8, 8, 8),
        (file.as_raw_fd(), 252, 4, 8),
        (file.as_raw_fd(), 256, 0, 8),
    ] {
        let params = BufferRingParams::new(1, 77).incremental();
        let Some(group) = Group::new(&mut sq, (6, 12), params) else {
            return;
        };
        let done = read(&mut cq, &mut sq, &fd, offset, 77);
        assert_eq!(done.raw_result(), got);
        let more = done.flags().contains(CompletionFlags::BUF_MORE);
        assert!(more || leaves_out_buf_more(), "{done:?}");
        let next = read(&mut cq, &mut sq, &file, 100, 77);
        assert_eq!(next.raw_result(), 8);
        assert_eq!(group.memory[0][used..used + 8], eight(100), "{done:?}");
    }
}

#[test]
fn receive_that_overwrites_its_group_harms_nobody() {
    let mut ring = LiburingRing::new(4, 0).unwrap();
    for (since, flags) in [((5, 19), 0), ((6, 12), sys::IOU_PBUF_RING_INC)] {
        let mut errno = 0;
        // SAFETY: the ring is set up, and the number is valid for writes.
        let group =
            unsafe { sys::io_uring_setup_buf_ring(ring.raw(), 2, 76, flags, &raw mut errno) };
        let made = if group.is_null() {
            check(errno)
        } else {
            Ok(())
        };
        if kernel::since(since.0, since.1, made).is_none() {
            break;
        }
        // SAFETY: the group has room, and is a page of memory that nothing else is in.
        unsafe { sys::io_uring_buf_ring_add(group, group.cast(), 4096, 0, 1, 0) };
        // SAFETY: one was added.
        unsafe { sys::io_uring_buf_ring_advance(group, 1) };
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(&[0; 32]).unwrap();
        let sqe = ring.entry();
        // SAFETY: the entry is the ring's.
        unsafe { sys::io_uring_prep_recv(sqe, here.as_raw_fd(), ptr::null_mut(), 0, 0) };
        // SAFETY: as above.
        unsafe { sys::io_uring_sqe_set_flags(sqe, sys::IOSQE_BUFFER_SELECT) };
        // SAFETY: as above.
        unsafe { sys::io_uring_sqe_set_buf_group(sqe, 76) };
        // SAFETY: the group's memory stays.
        assert_eq!(unsafe { ring.submit() }, 1);
        assert_eq!(ring.next().1, 32);
        // SAFETY: the group was made above, and nothing uses it.
        let freed = unsafe { sys::io_uring_free_buf_ring(ring.raw(), group, 2, 76) };
        assert_eq!(freed, 0);
    }
}
