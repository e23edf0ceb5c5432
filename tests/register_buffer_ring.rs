//! Provided-buffer rings: of every kind, filled, counted, given back.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use lio_uring::operation::{Recv, RecvMulti, Send};
use lio_uring::{
    BufferCursor, BufferRing, BufferRingParams, Completion, CompletionFlags, CompletionQueue,
    Features, IoUring, IoUringParams, RecvSendFlags, RegisterCause, SubmissionQueue, with_capacity,
};

const SIZE: usize = 64;
const LEN: u32 = 64;

/// A group of buffers, and a socket to receive from into them.
struct Group {
    ring: BufferRing,
    memory: Box<[[u8; SIZE]]>,
    cq: CompletionQueue,
    sq: SubmissionQueue,
    here: UnixStream,
    there: UnixStream,
}

impl Group {
    /// All buffers of the group are with the kernel. Nothing if it knows no such rings.
    #[track_caller]
    fn new(since: (u32, u32), params: BufferRingParams) -> Option<Self> {
        let (cq, mut sq) = with_capacity(8).expect("a ring");
        let ring = sq.register_buffer_ring_with(params);
        let ring = kernel::since(since.0, since.1, ring)?;
        let (here, there) = UnixStream::pair().expect("sockets");
        let memory = vec![[0; SIZE]; ring.capacity().into()].into_boxed_slice();
        let mut group = Self {
            ring,
            memory,
            cq,
            sq,
            here,
            there,
        };
        for id in 0..group.ring.capacity() {
            group.give(id);
        }
        group.ring.publish();
        Some(group)
    }

    fn give(&mut self, id: u16) {
        let buffer = &mut self.memory[usize::from(id)];
        // SAFETY: the memory lives as long as the ring, and is read only after a completion has
        // given it back.
        unsafe { self.ring.add(buffer.as_mut_ptr().cast(), LEN, id) };
    }

    /// Receives once, with these modes.
    #[track_caller]
    fn receive(&mut self, flags: RecvSendFlags) -> Completion {
        let recv = Recv {
            sockfd: self.here.as_raw_fd(),
            buf: std::ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        let group = self.ring.group();
        // SAFETY: the group's buffers fulfil the conditions under which they were added.
        unsafe {
            self.sq.push_with(&recv, 1, |sqe| {
                sqe.select_buffer(group);
                sqe.insert_recv_send_flags(flags);
            })
        }
        .expect("room");
        self.sq.submit_and_wait(1).expect("a submission");
        self.cq.next().expect("a completion")
    }

    /// Sends bytes and receives them.
    #[track_caller]
    fn pass(&mut self, bytes: &[u8]) -> Completion {
        self.there.write_all(bytes).expect("a socket");
        self.receive(RecvSendFlags::empty())
    }
}

#[test]
fn buffers_are_used_in_order_and_again() {
    let kinds = [
        ((5, 19), BufferRingParams::new(4, 7)),
        ((6, 4), BufferRingParams::new(4, 7).mapped()),
    ];
    for (since, params) in kinds {
        let Some(mut group) = Group::new(since, params) else {
            continue;
        };
        for round in 0..20_u8 {
            let completion = group.pass(&[round; 10]);
            assert_eq!(completion.raw_result(), 10, "{params:?}");
            let id = completion.buffer_id().expect("a buffer");
            assert_eq!(id, u16::from(round % 4));
            assert_eq!(group.memory[usize::from(id)][..10], [round; 10]);
            assert!(!completion.flags().contains(CompletionFlags::BUF_MORE));
            group.give(id);
            group.ring.publish();
        }
    }
}

#[test]
fn buffers_that_are_used_up_end_an_operation_and_lose_nothing() {
    let Some(mut group) = Group::new((5, 19), BufferRingParams::new(2, 0)) else {
        return;
    };
    assert_eq!(group.pass(b"one").buffer_id(), Some(0));
    assert_eq!(group.pass(b"two").buffer_id(), Some(1));
    assert_eq!(group.pass(b"three").raw_result(), -libc::ENOBUFS);
    group.give(1);
    group.ring.publish();
    let completion = group.receive(RecvSendFlags::empty());
    assert_eq!(
        (completion.raw_result(), completion.buffer_id()),
        (5, Some(1))
    );
    assert_eq!(&group.memory[1][..5], b"three");
}

#[test]
fn head_and_available_count_what_the_kernel_has_used() {
    let Some(mut group) = Group::new((5, 19), BufferRingParams::new(4, 0)) else {
        return;
    };
    if kernel::since(6, 8, group.ring.head()).is_none() {
        return;
    }
    let counts = |group: &Group| {
        let head = group.ring.head().expect("a group");
        (head, group.ring.available().expect("a group"))
    };
    assert_eq!(counts(&group), (0, 4));
    let _one = group.pass(b"x");
    assert_eq!(counts(&group), (1, 3));
    group.give(0);
    assert_eq!(counts(&group), (1, 3), "it was not published");
    group.ring.publish();
    assert_eq!(counts(&group), (1, 4));
    for id in 1..7 {
        assert_eq!(group.pass(b"x").buffer_id(), Some(id % 4));
        group.give(id % 4);
        group.ring.publish();
    }
    assert_eq!(counts(&group), (7, 4));
}

#[test]
fn incremental_buffer_is_used_piece_by_piece() {
    let kinds = [
        BufferRingParams::new(2, 3).incremental(),
        BufferRingParams::new(2, 3).incremental().mapped(),
    ];
    for params in kinds {
        let Some(mut group) = Group::new((6, 12), params) else {
            return;
        };
        let mut cursor = BufferCursor::new();
        let mut text = Vec::new();
        let mut pieces = Vec::new();
        for round in 0..10_u8 {
            // Never more than there is left of a buffer, so that the results are foreseeable.
            let sent = [round; 16];
            let completion = group.pass(&sent);
            let piece = cursor.advance(&completion).expect("a buffer");
            let buffer = &group.memory[usize::from(piece.id)];
            text.extend_from_slice(&buffer[piece.range()]);
            assert_eq!(text[text.len() - 16..], sent, "{piece:?}");
            pieces.push((piece.id, piece.offset, piece.last));
            if piece.last {
                group.give(piece.id);
                group.ring.publish();
            }
        }
        let id = |n: u16| n / 4 % 2;
        let wanted: Vec<_> = (0..10)
            .map(|n: u16| (id(n), u32::from(n % 4) * 16, n % 4 == 3))
            .collect();
        assert_eq!(pieces, wanted);
    }
}

#[test]
fn incremental_multishot_receive_follows_the_cursor() {
    let params = BufferRingParams::new(2, 3).incremental();
    let Some(mut group) = Group::new((6, 12), params) else {
        return;
    };
    let recv = RecvMulti {
        sockfd: group.here.as_raw_fd(),
        buf: std::ptr::null_mut(),
        len: 0,
        flags: 0,
    };
    // SAFETY: the group's buffers fulfil the conditions under which they were added.
    unsafe { group.sq.push_with(&recv, 1, |sqe| sqe.select_buffer(3)) }.unwrap();
    group.sq.submit().unwrap();
    let mut cursor = BufferCursor::new();
    for round in 0..8_u8 {
        group.there.write_all(&[round; 16]).unwrap();
        let completion = group.cq.next().unwrap();
        assert!(completion.more());
        let piece = cursor.advance(&completion).unwrap();
        let buffer = &group.memory[usize::from(piece.id)];
        assert_eq!(buffer[piece.range()], [round; 16]);
        if piece.last {
            group.give(piece.id);
            group.ring.publish();
        }
    }
    group.there.shutdown(std::net::Shutdown::Both).unwrap();
    let end = group.cq.next().unwrap();
    assert_eq!((end.raw_result(), end.more()), (0, false));
}

#[test]
fn buffer_with_less_left_than_wanted_is_used_up() {
    let params = BufferRingParams::new(2, 0).incremental().min_left(32);
    let (_cq, mut sq) = with_capacity(8).unwrap();
    match sq.register_buffer_ring_with(params) {
        Err(error) if kernel::older_than(7, 1) => {
            return assert_eq!(error.errno(), libc::EINVAL);
        }
        made => drop(made.unwrap()),
    }
    let Some(mut group) = Group::new((6, 12), params) else {
        return;
    };
    let first = group.pass(&[1; 40]);
    if first.flags().contains(CompletionFlags::BUF_MORE) {
        // The kernel takes no notice of the field.
        assert!(kernel::older_than(7, 1));
        return assert_eq!(group.pass(&[2; 24]).buffer_id(), Some(0));
    }
    // 24 bytes were left.
    assert_eq!(first.buffer_id(), Some(0));
    let second = group.pass(&[2; 32]);
    assert_eq!(second.buffer_id(), Some(1));
    assert!(second.flags().contains(CompletionFlags::BUF_MORE));
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let (_cq, mut sq) = with_capacity(8).unwrap();
    let params = BufferRingParams::new(2, 0).min_left(32);
    match sq.register_buffer_ring_with(params) {
        // Before Linux 6.19 some kernels do not look at the field.
        Ok(_) => assert!(kernel::older_than(6, 19)),
        Err(error) => assert!(
            matches!(error.cause(), RegisterCause::Refused { .. }),
            "{error}"
        ),
    }
    for entries in [0, 3, u16::MAX] {
        let params = BufferRingParams::new(entries, 0).mapped().incremental();
        let error = sq.register_buffer_ring_with(params).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }
}

#[test]
fn mapped_ring_is_gone_when_it_is_dropped() {
    let (_cq, mut sq) = with_capacity(8).unwrap();
    let params = BufferRingParams::new(32_768, 5).mapped();
    for _ in 0..100 {
        let made = sq.register_buffer_ring_with(params);
        let Some(ring) = kernel::since(6, 4, made) else {
            return;
        };
        assert_eq!(ring.capacity(), 32_768);
        let error = sq.register_buffer_ring_with(params).unwrap_err();
        assert_eq!(error.errno(), libc::EEXIST);
    }
}

#[test]
fn mapped_ring_of_a_ring_without_a_descriptor_is_refused() {
    let params = IoUringParams::default()
        .entries(8)
        .no_mmap()
        .registered_fd_only();
    let Some((_cq, mut sq)) = kernel::since(6, 5, IoUring::with_params(params)) else {
        return;
    };
    let mapped = BufferRingParams::new(8, 1).mapped();
    let error = sq.register_buffer_ring_with(mapped).unwrap_err();
    assert_eq!(*error.cause(), RegisterCause::BadDescriptor);
    // The group is free again.
    drop(sq.register_buffer_ring(8, 1).unwrap());
}

#[test]
fn group_outlives_the_queues() {
    for params in [
        BufferRingParams::new(8, 1),
        BufferRingParams::new(8, 1).mapped(),
    ] {
        let Some(group) = Group::new((6, 4), params) else {
            return;
        };
        let Group {
            mut ring,
            mut memory,
            cq,
            sq,
            ..
        } = group;
        drop((cq, sq));
        // SAFETY: the memory lives as long as the ring, which nothing receives into any more.
        unsafe { ring.add(memory[0].as_mut_ptr().cast(), 1, 0) };
        ring.publish();
        std::thread::spawn(move || drop(ring)).join().unwrap();
    }
}

#[test]
fn bundle_fills_buffers_in_the_order_of_adding() {
    let Some(mut group) = Group::new((5, 19), BufferRingParams::new(4, 0)) else {
        return;
    };
    if !group
        .sq
        .features()
        .contains(lio_uring::Features::RECVSEND_BUNDLE)
    {
        assert!(kernel::lacks(6, 10, "bundles"));
        return;
    }
    // Another order than that of the numbers.
    for wanted in 0..4 {
        assert_eq!(group.pass(b"x").buffer_id(), Some(wanted));
    }
    let order = [2, 0, 3, 1];
    for id in order {
        group.give(id);
    }
    group.ring.publish();
    let sent: Vec<u8> = (0..150).collect();
    group.there.write_all(&sent).unwrap();
    // How many buffers the kernel takes at once is its own affair.
    let mut got = Vec::new();
    let mut next = order.iter();
    while got.len() < sent.len() {
        let completion = group.receive(RecvSendFlags::BUNDLE);
        let mut left = usize::try_from(completion.result().unwrap()).unwrap();
        let mut named = completion.buffer_id();
        while left > 0 {
            let id = *next.next().unwrap();
            assert_eq!(named.take().unwrap_or(id), id);
            let len = left.min(SIZE);
            got.extend_from_slice(&group.memory[usize::from(id)][..len]);
            left -= len;
        }
    }
    assert_eq!(got, sent);
}

#[test]
fn bundle_sends_what_the_group_holds() {
    let Some(mut group) = Group::new((5, 19), BufferRingParams::new(2, 0)) else {
        return;
    };
    if !group
        .sq
        .features()
        .contains(lio_uring::Features::RECVSEND_BUNDLE)
    {
        assert!(kernel::lacks(6, 10, "bundles"));
        return;
    }
    group.memory[0] = [b'a'; SIZE];
    group.memory[1] = [b'b'; SIZE];
    let send = Send {
        sockfd: group.here.as_raw_fd(),
        buf: std::ptr::null(),
        len: 0,
        flags: 0,
    };
    // SAFETY: the group's buffers fulfil the conditions under which they were added.
    unsafe {
        group.sq.push_with(&send, 1, |sqe| {
            sqe.select_buffer(0);
            sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
        })
    }
    .unwrap();
    group.sq.submit_and_wait(1).unwrap();
    assert_eq!(group.cq.next().unwrap().raw_result(), 2 * LEN.cast_signed());
    let mut got = [0; 2 * SIZE];
    std::io::Read::read_exact(&mut &group.there, &mut got).unwrap();
    assert_eq!(got, [[b'a'; SIZE], [b'b'; SIZE]].concat()[..]);
}

#[test]
fn a_second_ring_of_a_group_begins_with_its_first_buffer() {
    for number in [3, 64] {
        let Some(mut group) = Group::new((5, 19), BufferRingParams::new(4, number)) else {
            return;
        };
        for id in 0..3 {
            let done = group.pass(b"first");
            assert_eq!((done.result().unwrap(), done.buffer_id()), (5, Some(id)));
        }
        let Group {
            ring,
            cq,
            mut sq,
            here,
            there,
            ..
        } = group;
        drop(ring);
        let ring = sq.register_buffer_ring(4, number);
        if number < 64 && !sq.features().contains(Features::RECVSEND_BUNDLE) {
            let error = ring.expect_err("the kernel would go on at the fourth");
            assert_eq!(error.errno(), libc::EEXIST);
            assert_eq!(*error.cause(), RegisterCause::GroupUsedBefore);
            let unused = sq.register_buffer_ring(4, number + 1).unwrap();
            drop(unused);
            sq.register_buffer_ring(4, number + 1).unwrap();
            continue;
        }
        let mut second = Group {
            ring: ring.unwrap(),
            memory: vec![[0; SIZE]; 4].into_boxed_slice(),
            cq,
            sq,
            here,
            there,
        };
        second.give(2);
        second.ring.publish();
        let done = second.pass(b"second");
        assert_eq!((done.result().unwrap(), done.buffer_id()), (6, Some(2)));
        assert_eq!(&second.memory[2][..6], b"second");
        let done = second.receive(RecvSendFlags::empty());
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
    }
}
