//! Streams of the owned layer: what comes, in which order, why they end, and that they go on.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lio_uring::owned::{
    AcceptMulti, BufferGroup, BufferGroupParams, Cancelled, Descriptor, End, Lent, Multishot, Nop,
    PollMulti, ReadMulti, ReadPicked, Recv, RecvBundle, RecvMulti, RecvMultiBundle, RecvPicked,
    Ring, Stream, Ticket, Ticks,
};

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

/// A group of buffers, or nothing if the kernel is too old for one.
fn group(ring: &Ring, count: u16, bytes: u32) -> Option<BufferGroup> {
    kernel::since(
        5,
        19,
        ring.register_group(BufferGroupParams::new(count, bytes)),
    )
}

/// Receives into the buffers of a group.
fn receive<'r, S: Descriptor + 'static>(
    ring: &'r Ring,
    socket: S,
    buffers: &BufferGroup,
) -> Stream<&'r Ring, RecvMulti<S>> {
    let buffers = buffers.clone();
    let recv = RecvMulti {
        socket,
        buffers,
        flags: 0,
    };
    ring.push_stream(recv).expect("room")
}

fn address_of(client: &TcpStream) -> SocketAddr {
    client.local_addr().expect("one")
}

/// The next item, which must come.
#[track_caller]
fn next<O: Multishot>(stream: &mut Stream<&Ring, O>) -> O::Item {
    let item = stream.wait_next().expect("a submission");
    item.expect("it goes on").expect("no error")
}

/// Waits for the end.
#[track_caller]
fn end<O: Multishot>(stream: &mut Stream<&Ring, O>) -> Option<End> {
    assert!(stream.wait_next().expect("a submission").is_none());
    stream.end()
}

#[test]
fn accepts_come_in_order_and_end_when_they_are_cancelled() {
    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("one");
    let mut connections = ring.push_stream(AcceptMulti { listener }).expect("room");
    ring.submit().expect("a submission");
    assert!(connections.try_next().is_none());
    for _ in 0..3 {
        let clients = [(); 4].map(|()| TcpStream::connect(address).expect("connected"));
        let mut addresses = BTreeSet::from(clients.each_ref().map(address_of));
        for _ in &clients {
            let accepted = TcpStream::from(next(&mut connections));
            let peer = accepted.peer_addr().expect("one");
            assert!(addresses.remove(&peer), "{peer}");
        }
    }
    let request = connections.cancel().expect("room");
    assert_eq!(
        request.wait().expect("a submission").expect("no error"),
        Cancelled::Stopped
    );
    assert_eq!(end(&mut connections), Some(End::Cancelled));
    assert!(
        connections
            .wait_next()
            .expect("nothing to wait for")
            .is_none()
    );

    // It goes on as if nothing had been.
    connections.rearm().expect("room");
    let client = TcpStream::connect(address).expect("connected");
    let accepted = TcpStream::from(next(&mut connections));
    assert_eq!(
        accepted.peer_addr().expect("one"),
        client.local_addr().expect("one")
    );
}

#[test]
fn what_was_accepted_and_not_taken_is_closed() {
    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    for taken in 0..3 {
        let ring = Rc::new(ring());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("one");
        let stream = ring.push_stream_shared(AcceptMulti { listener });
        let mut connections = stream.expect("room");
        ring.submit().expect("a submission");
        let mut clients = [(); 5].map(|()| TcpStream::connect(address).expect("connected"));
        for _ in 0..taken {
            let accepted = connections.wait_next().expect("a submission");
            drop(accepted.expect("it goes on").expect("no error"));
        }
        // Looked at, and not.
        ring.submit().expect("a submission");
        drop(connections);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
        for client in &mut clients {
            let limit = Some(Duration::from_secs(60));
            client.set_read_timeout(limit).expect("a limit");
            let got = client.read(&mut [0; 8]);
            let kind = got.as_ref().map_err(io::Error::kind);
            assert!(
                matches!(kind, Ok(0) | Err(ErrorKind::ConnectionReset)),
                "{got:?}"
            );
        }
    }
}

#[test]
fn stream_gives_its_operation_back_when_it_has_ended() {
    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("one");
    let mut connections = ring.push_stream(AcceptMulti { listener }).expect("room");
    connections = connections.into_operation().expect_err("it has not ended");
    drop(connections.cancel().expect("room"));
    assert_eq!(end(&mut connections), Some(End::Cancelled));
    let operation = connections.into_operation().expect("it has ended");
    assert_eq!(operation.listener.local_addr().expect("one"), address);
    ring.push(Nop)
        .expect("room")
        .wait()
        .expect("a submission")
        .expect("no error");
    assert_eq!(ring.operations(), 0);
}

#[test]
fn polls_tell_each_time() {
    if kernel::lacks(5, 13, "polls that go on") {
        return;
    }
    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let events = u32::from(libc::POLLIN.cast_unsigned());
    let mut readable = ring
        .push_stream(PollMulti {
            file: socket,
            events,
        })
        .expect("room");
    ring.submit().expect("a submission");
    for _ in 0..3 {
        assert!(readable.try_next().is_none());
        peer.write_all(b"!").expect("room");
        assert_ne!(next(&mut readable) & events, 0);
        while readable.try_next().is_some() {}
    }
}

#[test]
fn ticks_come_again_and_again() {
    let ring = ring();
    let mut ticks = ring
        .push_stream(Ticks::new(Duration::from_millis(1)))
        .expect("room");
    if kernel::older_than(6, 4) {
        let error = ticks.wait_next().expect("a submission").expect("an answer");
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(ticks.end(), Some(End::Failed));
        assert!(ticks.wait_next().expect("nothing to wait for").is_none());
        return;
    }
    for _ in 0..5 {
        next(&mut ticks);
    }
    assert_eq!(ticks.end(), None);
}

#[test]
fn streams_are_futures() {
    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("one");
    let clients = [(); 3].map(|()| TcpStream::connect(address).expect("connected"));
    let served = ring.block_on(async {
        let mut connections = ring.push_stream(AcceptMulti { listener }).expect("room");
        let mut addresses = BTreeSet::from(clients.each_ref().map(address_of));
        for _ in &clients {
            let accepted = connections
                .next()
                .await
                .expect("it goes on")
                .expect("no error");
            let peer = TcpStream::from(accepted).peer_addr().expect("one");
            assert!(addresses.remove(&peer), "{peer}");
        }
        drop(connections.cancel().expect("room"));
        assert!(connections.next().await.is_none());
        connections.end()
    });
    assert_eq!(served.expect("a submission"), Some(End::Cancelled));
}

#[test]
fn receives_fill_the_buffers_of_a_group_and_end_when_it_has_none_left() {
    let ring = ring();
    let Some(buffers) = group(&ring, 4, 16) else {
        return;
    };
    if kernel::lacks(6, 0, "receives that go on") {
        return;
    }
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sender
        .connect(receiver.local_addr().expect("one"))
        .expect("connected");
    let mut arrivals = receive(&ring, receiver, &buffers);
    ring.submit().expect("a submission");
    let send = |text: &str| assert_eq!(sender.send(text.as_bytes()).expect("sent"), text.len());
    for round in 0..5 {
        let mut kept: Vec<Lent> = Vec::new();
        for i in 0..4 {
            send(&format!("{round} {i}"));
            kept.push(next(&mut arrivals));
        }
        assert_eq!(buffers.provided(), 0);
        send("one more");
        assert_eq!(end(&mut arrivals), Some(End::Exhausted));
        for (i, lent) in kept.iter().enumerate() {
            assert_eq!(**lent, *format!("{round} {i}").as_bytes());
        }
        // In another order than they came.
        kept.swap(0, 2);
        drop(kept);
        assert_eq!(buffers.provided(), 4);
        arrivals.rearm().expect("room");
        // Nothing was lost.
        assert_eq!(*next(&mut arrivals), *b"one more");
    }
}

#[test]
fn receives_of_two_sockets_share_a_group_and_tell_the_end() {
    let ring = ring();
    let Some(buffers) = group(&ring, 8, 64) else {
        return;
    };
    if kernel::lacks(6, 0, "receives that go on") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let connect = || {
        let client = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
        (client, listener.accept().expect("a connection").0)
    };
    let ((one, mut to_one), (two, mut to_two)) = (connect(), connect());
    let (mut one, mut two) = (receive(&ring, one, &buffers), receive(&ring, two, &buffers));
    ring.submit().expect("a submission");
    for round in 0..20u8 {
        to_one.write_all(&[round; 10]).expect("room");
        to_two.write_all(&[100 + round; 20]).expect("room");
        let (from_two, from_one) = (next(&mut two), next(&mut one));
        assert_eq!(*from_two, [100 + round; 20]);
        assert_eq!(*from_one, [round; 10]);
    }
    drop(to_one);
    assert_eq!(end(&mut one), Some(End::Finished));
    to_two.write_all(b"still there").expect("room");
    assert_eq!(*next(&mut two), *b"still there");
    assert_eq!(buffers.provided(), 8);
}

#[test]
fn single_receives_and_reads_take_a_buffer_when_there_is_something() {
    let ring = ring();
    let Some(buffers) = group(&ring, 1, 32) else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let recv = || RecvPicked {
        socket: Rc::clone(&socket),
        buffers: buffers.clone(),
        flags: 0,
    };
    let first = ring.push(recv()).expect("room");
    ring.submit().expect("a submission");
    peer.write_all(b"first").expect("room");
    let lent = first
        .wait()
        .expect("a submission")
        .expect("no error")
        .expect("data");
    assert_eq!(*lent, *b"first");
    peer.write_all(b"second").expect("room");
    let second = ring.push(recv()).expect("room");
    let error = second.wait().expect("a submission").expect_err("no buffer");
    assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
    drop(lent);
    let read = ReadPicked {
        file: Rc::clone(&socket),
        buffers: buffers.clone(),
        offset: u64::MAX,
    };
    let lent = ring.push(read).expect("room").wait().expect("a submission");
    assert_eq!(*lent.expect("no error").expect("data"), *b"second");
    drop(peer);
    let nothing = ring
        .push(recv())
        .expect("room")
        .wait()
        .expect("a submission");
    assert!(nothing.expect("no error").is_none());
    assert_eq!(buffers.provided(), 1);
}

#[test]
fn reads_of_a_pipe_go_on_until_its_end() {
    let ring = ring();
    let Some(buffers) = group(&ring, 4, 8) else {
        return;
    };
    if kernel::lacks(6, 7, "reads that go on") {
        return;
    }
    let (file, mut writer) = io::pipe().expect("a pipe");
    let read = ReadMulti {
        file,
        buffers: buffers.clone(),
    };
    let mut pieces = ring.push_stream(read).expect("room");
    ring.submit().expect("a submission");
    for text in ["one", "two", "three", "four", "five", "six"] {
        writer.write_all(text.as_bytes()).expect("room");
        assert_eq!(*next(&mut pieces), *text.as_bytes());
    }
    drop(writer);
    assert_eq!(end(&mut pieces), Some(End::Finished));
    assert_eq!(buffers.provided(), 4);
}

#[test]
fn incremental_buffers_are_lent_piece_by_piece() {
    let ring = ring();
    let params = BufferGroupParams::new(2, 64).incremental();
    let Some(buffers) = kernel::since(6, 12, ring.register_group(params)) else {
        return;
    };
    let (mut sockets, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (socket, peer) = UnixStream::pair().expect("a pair");
        sockets.push(receive(&ring, socket, &buffers));
        peers.push(peer);
    }
    ring.submit().expect("a submission");
    for round in 0..40u8 {
        // What comes for both lies in one buffer, and the later piece is looked at first.
        for (i, peer) in (0u8..).zip(&mut peers) {
            peer.write_all(&[round + 100 * i; 13]).expect("room");
            ring.submit_and_wait(1).expect("a submission");
        }
        let mut got = [Vec::new(), Vec::new()];
        let mut kept = Vec::new();
        while got.iter().any(|got| got.len() < 13) {
            for (stream, got) in sockets.iter_mut().zip(&mut got).rev() {
                if got.len() < 13 {
                    let piece = next(stream);
                    got.extend_from_slice(&piece);
                    kept.push(piece);
                }
            }
        }
        for (i, got) in (0u8..).zip(got) {
            assert_eq!(got, [round + 100 * i; 13], "round {round}");
        }
    }
}

#[test]
fn incremental_buffers_are_refused_where_kernels_go_wrong_with_them() {
    let ring = ring();
    let params = BufferGroupParams::new(2, 64).incremental();
    let Some(buffers) = kernel::since(6, 12, ring.register_group(params)) else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    peer.write_all(b"something").expect("room");
    let socket = Rc::new(socket);
    let bundle = RecvBundle {
        socket: Rc::clone(&socket),
        buffers: buffers.clone(),
        flags: 0,
    };
    let error = ring
        .push(bundle)
        .expect("room")
        .wait()
        .expect("a submission")
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    let read = ReadPicked {
        file: socket,
        buffers,
        offset: u64::MAX,
    };
    let error = ring
        .push(read)
        .expect("room")
        .wait()
        .expect("a submission")
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn bundles_lie_in_as_many_buffers_as_they_take() {
    let ring = ring();
    let Some(buffers) = group(&ring, 8, 10) else {
        return;
    };
    if kernel::lacks(6, 10, "bundles") {
        return;
    }
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let bytes: Vec<u8> = (0..=255).collect();
    let mut at = 0;
    let mut kept = Vec::new();
    for (round, len) in [5, 10, 25, 1, 40, 33, 80, 12].into_iter().enumerate() {
        peer.write_all(&bytes[at..at + len]).expect("room");
        let mut got = Vec::new();
        while got.len() < len {
            let bundle = RecvBundle {
                socket: Rc::clone(&socket),
                buffers: buffers.clone(),
                flags: 0,
            };
            let bundle = ring
                .push(bundle)
                .expect("room")
                .wait()
                .expect("a submission");
            let bundle = match bundle {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    kept.clear();
                    continue;
                }
                bundle => bundle.expect("no error").expect("data"),
            };
            assert_eq!(
                bundle.slices().map(<[u8]>::len).sum::<usize>(),
                bundle.len()
            );
            got.extend(bundle.to_vec());
            // Every other is kept for a while, so that buffers come back in another order.
            if round % 2 == 0 {
                kept.push(bundle);
            }
        }
        assert_eq!(got, bytes[at..at + len], "round {round}");
        at += len;
    }
    kept.clear();
    assert_eq!(buffers.provided(), 8);

    let socket = Rc::into_inner(socket).expect("the only owner");
    let recv = RecvMultiBundle {
        socket,
        buffers: buffers.clone(),
        flags: 0,
    };
    let mut bundles = ring.push_stream(recv).expect("room");
    ring.submit().expect("a submission");
    for _ in 0..10 {
        peer.write_all(&bytes[..35]).expect("room");
        let mut got = Vec::new();
        while got.len() < 35 {
            got.extend(next(&mut bundles).to_vec());
        }
        assert_eq!(got, bytes[..35]);
    }
}

#[test]
fn group_of_another_ring_is_refused() {
    let (ring, other) = (ring(), self::ring());
    let Some(buffers) = group(&other, 2, 64) else {
        return;
    };
    // One with the same number.
    let own = group(&ring, 2, 64);
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    peer.write_all(b"something").expect("room");
    let recv = RecvPicked {
        socket,
        buffers,
        flags: 0,
    };
    let error = ring
        .push(recv)
        .expect("room")
        .wait()
        .expect("a submission")
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert_eq!(own.map(|own| own.provided()), Some(2));
}

#[test]
fn groups_are_unregistered_and_what_was_lent_stays_longer() {
    let ring = ring();
    let Some(buffers) = group(&ring, 2, 64) else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    peer.write_all(b"lent").expect("room");
    let recv = RecvPicked {
        socket,
        buffers,
        flags: 0,
    };
    let lent = ring.push(recv).expect("room").wait().expect("a submission");
    let lent = lent.expect("no error").expect("data");
    for _ in 0..200 {
        drop(group(&ring, 1, 64).expect("as before"));
    }
    drop(ring);
    assert_eq!(*lent, *b"lent");
}

#[test]
fn receives_into_groups_do_not_wait_for_more() {
    let ring = ring();
    let made = [
        Some(BufferGroupParams::new(4, 16)),
        (!kernel::older_than(6, 12)).then(|| BufferGroupParams::new(4, 16).incremental()),
    ];
    for params in made.into_iter().flatten() {
        let Some(buffers) = kernel::since(5, 19, ring.register_group(params)) else {
            return;
        };
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let socket = Rc::new(socket);
        // The kernel would go on writing behind what it has told of.
        let recv = || RecvPicked {
            socket: Rc::clone(&socket),
            buffers: buffers.clone(),
            flags: libc::MSG_WAITALL,
        };
        let mut kept = Vec::new();
        for text in [b"one", b"two"] {
            let ticket = ring.push(recv()).expect("room");
            peer.write_all(text).expect("room");
            let piece = ticket.wait().expect("a submission").expect("no error");
            kept.push(piece.expect("data"));
            assert_eq!(**kept.last().expect("one"), *text);
        }
        assert_eq!(*kept[0], *b"one");
        if !params.eq(&made[0].expect("one")) || kernel::older_than(6, 10) {
            continue;
        }
        let bundle = RecvBundle {
            socket: Rc::clone(&socket),
            buffers: buffers.clone(),
            flags: libc::MSG_WAITALL,
        };
        let ticket = ring.push(bundle).expect("room");
        peer.write_all(b"three").expect("room");
        let bundle = ticket.wait().expect("a submission").expect("no error");
        assert_eq!(bundle.expect("data").to_vec(), b"three");
    }
}

type Next = Ticket<Rc<Ring>, Recv<UnixStream, Vec<u8>>>;

thread_local! {
    /// What the waker below uses, which is dropped on this thread alone here.
    static RING: Rc<Ring> = Rc::new(Ring::new(8).expect("a ring"));
    static NEXT: RefCell<Option<Next>> = const { RefCell::new(None) };
}

/// Has the operation whose waker it was end, and another one take its slot.
struct LeavesItsSlot(Mutex<Option<UnixStream>>);

impl Wake for LeavesItsSlot {
    fn wake(self: Arc<Self>) {}
}

impl Drop for LeavesItsSlot {
    fn drop(&mut self) {
        let ring = RING.with(Rc::clone);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
        let socket = self.0.get_mut().expect("no panic").take();
        let socket = socket.expect("a socket");
        let buffer = vec![0; 16];
        let flags = 0;
        let recv = Recv {
            socket,
            buffer,
            flags,
        };
        NEXT.set(Some(ring.push_shared(recv).expect("room")));
        resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn stream_whose_waker_panics_when_it_is_dropped_leaves_other_operations_alone() {
    let ring = RING.with(Rc::clone);
    let (file, _peer) = UnixStream::pair().expect("a pair");
    let (socket, mut sender) = UnixStream::pair().expect("a pair");
    let events = u32::from(libc::POLLIN.cast_unsigned());
    let poll = PollMulti { file, events };
    let mut stream = ring.push_stream_shared(poll).expect("room");
    let waker = Waker::from(Arc::new(LeavesItsSlot(Mutex::new(Some(socket)))));
    let polled = stream.poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(stream)));
    assert!(dropped.is_err(), "the panic comes through");
    sender.write_all(b"its own").expect("room");
    let next = NEXT.take().expect("another operation");
    let (count, bytes) = next.wait().expect("a wait");
    assert_eq!(
        (count.expect("some bytes"), &bytes[..7]),
        (7, &b"its own"[..])
    );
    assert_eq!(ring.operations(), 0);
}
