//! Queues of bytes that the kernel sends: all of them, in their order, whatever comes in between.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use lio_uring::owned::{
    Descriptor, End, Full, Multishot as _, Nop, Ring, SendBundle, SendQueue, Stream,
};

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

/// A queue, or nothing if the kernel is too old to send from one.
fn queue(ring: &Ring, count: u16, bytes: u32) -> Option<SendQueue> {
    if kernel::lacks(6, 10, "bundles") {
        return None;
    }
    Some(ring.register_send_queue(count, bytes).expect("a queue"))
}

/// Bytes of which no two stretches are the same.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// How many bytes are more than a socket has room for.
const MUCH: usize = 1 << 20;

/// A queue with so many bytes, and the bytes.
fn full_queue(ring: &Ring) -> Option<(SendQueue, Vec<u8>)> {
    let mut queue = queue(ring, 16, 1 << 16)?;
    let bytes = bytes(MUCH);
    queue.write_all(&bytes).expect("room");
    Some((queue, bytes))
}

/// Reads so many bytes.
fn reader(mut peer: UnixStream) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut got = vec![0; MUCH];
        peer.read_exact(&mut got).expect("all of it");
        got
    })
}

/// Sends what is in a queue until it is empty, or it fails. Returns how many bytes were sent.
fn send_all<S: Descriptor + 'static>(
    ring: &Ring,
    socket: S,
    queue: &SendQueue,
) -> (usize, io::Result<End>) {
    let bundle = SendBundle::new(socket, queue.clone());
    let mut sending = ring.push_stream(bundle).expect("room");
    let mut sent = 0;
    while let Some(item) = sending.wait_next().expect("a submission") {
        match item {
            Ok(bytes) => sent += bytes,
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, Ok(sending.end().expect("the end")))
}

#[test]
fn all_is_sent_in_its_order_also_what_is_written_meanwhile() {
    let ring = ring();
    // The places of the ring of buffers are counted in 16 bits, and come round.
    for (count, size, total) in [(8, 1000, 1 << 20), (5, 3, 300_000), (1, 7, 1000)] {
        let Some(mut queue) = queue(&ring, count, size) else {
            return;
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let socket = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
        let (mut peer, _) = listener.accept().expect("a connection");
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).expect("no error");
            got
        });
        let wanted = bytes(total);
        let mut left = &wanted[..];
        let mut sent = 0;
        let mut sending: Option<Stream<_, SendBundle<_>>> = None;
        while sent < total {
            // At most this many, so that writes end in the midst of buffers, too.
            let some = left.len().min(2 * size as usize + 1);
            match queue.write(&left[..some]) {
                Ok(written) => left = &left[written..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let Some(sending) = &mut sending else {
                let socket = socket.try_clone().expect("a descriptor");
                let bundle = SendBundle::new(socket, queue.clone());
                sending = Some(ring.push_stream(bundle).expect("room"));
                ring.submit().expect("a submission");
                continue;
            };
            match sending.end() {
                None => {}
                Some(End::Stopped | End::Exhausted) if !queue.is_empty() => {
                    sending.rearm().expect("room");
                }
                Some(End::Stopped | End::Exhausted) => continue,
                Some(end) => panic!("{end:?}"),
            }
            if let Some(bytes) = sending.wait_next().expect("a submission") {
                sent += bytes.expect("no error");
            }
        }
        assert_eq!(sent, total);
        assert!(queue.is_empty());
        assert_eq!((queue.len(), queue.free()), (0, usize::from(count)));
        drop((sending, socket));
        assert!(reader.join().expect("no panic") == wanted, "{size}");
    }
}

#[test]
fn writes_take_what_there_is_room_for() {
    let ring = ring();
    let Some(mut queue) = queue(&ring, 3, 10) else {
        return;
    };
    assert_eq!(queue.write(b"").expect("nothing"), 0);
    assert_eq!((queue.len(), queue.free()), (0, 3));
    assert_eq!(queue.write(&[1; 12]).expect("room"), 12);
    assert_eq!((queue.len(), queue.free()), (12, 1));
    assert_eq!(queue.write(&[2; 12]).expect("room"), 10);
    let full = queue.write(&[3]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let (sent, end) = send_all(&ring, socket, &queue);
    assert_eq!((sent, end.expect("no error")), (22, End::Stopped));
    assert_eq!((queue.len(), queue.free()), (0, 3));
    let mut got = Vec::new();
    peer.read_to_end(&mut got).expect("data");
    assert_eq!(got, [[1; 12].as_slice(), &[2; 10]].concat());
}

#[test]
fn empty_queue_sends_nothing() {
    let ring = ring();
    let Some(queue) = queue(&ring, 3, 10) else {
        return;
    };
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let (sent, end) = send_all(&ring, socket, &queue);
    assert_eq!((sent, end.expect("no error")), (0, End::Exhausted));
}

#[test]
fn what_was_not_sent_stays_in_the_queue_from_its_first_byte_on() {
    const COUNT: u16 = 64;
    const SIZE: u32 = 10_001;
    let ring = ring();
    let Some(mut queue) = queue(&ring, COUNT, SIZE) else {
        return;
    };
    let wanted = bytes(usize::from(COUNT) * SIZE as usize);
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let (mut left, mut sent, mut got) = (&wanted[..], 0, Vec::new());
    let mut broken_off = 0;
    // It is sent in many goes, of which each is stopped when the socket has no room.
    while got.len() < wanted.len() {
        if let Ok(written) = queue.write(left) {
            left = &left[written..];
        }
        let bundle = SendBundle::new(Rc::clone(&socket), queue.clone());
        let mut sending = ring.push_stream(bundle).expect("room");
        ring.submit().expect("a submission");
        let cancel = sending.cancel().expect("room");
        cancel.wait().expect("a submission").expect("no error");
        while let Some(bytes) = sending.wait_next().expect("a submission") {
            sent += bytes.expect("no error");
        }
        broken_off += i32::from(!queue.is_empty());
        assert_eq!(queue.len(), wanted.len() - left.len() - sent);
        drop(sending);
        let mut some = vec![0; 30_000.min(sent - got.len())];
        peer.read_exact(&mut some).expect("what was sent");
        got.append(&mut some);
        assert!(wanted.starts_with(&got), "up to {}", got.len());
    }
    assert!(broken_off > 1, "it was never stopped with something left");
    assert_eq!((queue.len(), queue.free()), (0, usize::from(COUNT)));
}

#[test]
fn stream_that_is_dropped_leaves_the_rest_in_the_queue() {
    let ring = ring();
    let Some((queue, wanted)) = full_queue(&ring) else {
        return;
    };
    let (socket, peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let sending = ring
        .push_stream(SendBundle::new(Rc::clone(&socket), queue.clone()))
        .expect("room");
    ring.submit().expect("a submission");
    drop(sending);
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
    let sent = wanted.len() - queue.len();
    assert!(sent > 0 && sent < wanted.len(), "{sent}");
    let reader = reader(peer);
    let (rest, end) = send_all(&ring, socket, &queue);
    assert_eq!((sent + rest, end.expect("no error")), (MUCH, End::Stopped));
    assert!(reader.join().expect("no panic") == wanted);
}

#[test]
fn one_sends_at_a_time() {
    let ring = ring();
    let Some((queue, wanted)) = full_queue(&ring) else {
        return;
    };
    let (socket, peer) = UnixStream::pair().expect("a pair");
    let (other, mut nothing) = UnixStream::pair().expect("a pair");
    let mut first = ring
        .push_stream(SendBundle::new(socket, queue.clone()))
        .expect("room");
    ring.submit().expect("a submission");
    let (sent, refused) = send_all(&ring, other, &queue);
    let errno = refused.unwrap_err().raw_os_error();
    assert_eq!((sent, errno), (0, Some(libc::EINVAL)));
    let reader = reader(peer);
    while let Some(bytes) = first.wait_next().expect("a submission") {
        bytes.expect("no error");
    }
    assert!(reader.join().expect("no panic") == wanted);
    assert_eq!(nothing.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn one_that_has_ended_does_not_end_another() {
    let ring = ring();
    let Some(mut queue) = queue(&ring, 16, 1 << 16) else {
        return;
    };
    let (socket, peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let begin = || {
        let bundle = SendBundle::new(Rc::clone(&socket), queue.clone());
        ring.push_stream(bundle).expect("room")
    };
    let mut old = begin();
    assert!(old.wait_next().expect("a submission").is_none());
    let wanted = bytes(MUCH);
    (&queue).write_all(&wanted).expect("room");
    let mut sending = begin();
    ring.submit().expect("a submission");
    drop(old);
    // Nor do those that are only asked for an entry, or do not get so far.
    let mut by_hand = SendBundle::new(Rc::clone(&socket), queue.clone());
    let _entries = [by_hand.entry(), by_hand.entry()];
    drop(by_hand);
    let item = begin().wait_next().expect("a submission").expect("an item");
    assert_eq!(item.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let reader = reader(peer);
    while !queue.is_empty() {
        while let Some(bytes) = sending.wait_next().expect("a submission") {
            bytes.expect("no error");
        }
        if !queue.is_empty() {
            sending.rearm().expect("room");
        }
    }
    assert!(reader.join().expect("no panic") == wanted);
    queue.flush().expect("nothing to do");
}

#[test]
fn rests_are_put_back_where_sixteen_bits_come_round() {
    let ring = ring();
    for (count, size) in [(300, 17), (1, 1000), (33, 400)] {
        let Some(queue) = queue(&ring, count, size) else {
            return;
        };
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        peer.set_nonblocking(true).expect("a flag");
        let socket = Rc::new(socket);
        let wanted = bytes(4_000_000);
        let mut dice = bytes(1 << 16).into_iter().cycle();
        let mut dice = move || usize::from(dice.next().expect("it goes round"));
        let (mut left, mut got, mut added) = (&wanted[..], Vec::new(), 0);
        while added < 100_000 && got.len() < wanted.len() {
            for _ in 0..2 {
                let free = queue.free();
                let some = left.len().min(1 + dice() * 20);
                if let Ok(written) = (&queue).write(&left[..some]) {
                    left = &left[written..];
                }
                added += free - queue.free();
            }
            let bundle = SendBundle::new(Rc::clone(&socket), queue.clone());
            let mut sending = ring.push_stream(bundle).expect("room");
            ring.submit().expect("a submission");
            if dice() % 2 == 0 {
                let cancel = sending.cancel().expect("room");
                cancel.wait().expect("a submission").expect("no error");
                while let Some(bytes) = sending.wait_next().expect("a submission") {
                    bytes.expect("no error");
                }
            }
            drop(sending);
            while ring.operations() > 0 {
                ring.submit_and_wait(1).expect("a submission");
            }
            // What is not sent is added once more.
            added += usize::from(count) - queue.free();
            let mut some = vec![0; 1 + dice() * 20];
            while let Ok(bytes) = peer.read(&mut some) {
                got.extend_from_slice(&some[..bytes]);
                if dice() % 2 == 0 {
                    break;
                }
            }
            assert!(
                wanted.starts_with(&got),
                "{count} of {size}, up to {}",
                got.len()
            );
        }
        assert!(added > 1 << 16 || got.len() == wanted.len());
    }
}

#[test]
fn more_than_the_kernel_takes_at_a_time_is_sent_by_rearming() {
    let ring = ring();
    let Some(mut queue) = queue(&ring, 1024, 1000) else {
        return;
    };
    let wanted = bytes(1024 * 1000);
    queue.write_all(&wanted).expect("room");
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).expect("no error");
        got
    });
    let bundle = SendBundle::new(socket, queue.clone());
    let mut sending = ring.push_stream(bundle).expect("room");
    while !queue.is_empty() {
        while let Some(bytes) = sending.wait_next().expect("a submission") {
            bytes.expect("no error");
        }
        assert_eq!(sending.end(), Some(End::Stopped));
        if !queue.is_empty() {
            sending.rearm().expect("room");
        }
    }
    drop(sending);
    assert!(reader.join().expect("no panic") == wanted);
}

/// What somebody does to a queue, its stream and the other end of the socket, at random.
fn sends_at_random(seed: u64, wanted: &[u8]) -> Option<()> {
    const COUNT: u16 = 8;
    let mut random = fastrand::Rng::with_seed(seed);
    let ring = ring();
    let mut queue = queue(&ring, COUNT, random.u32(1..5000))?;
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    peer.set_nonblocking(true).expect("a socket");
    let socket = Rc::new(socket);
    let (mut written, mut got) = (0, Vec::new());
    let mut streams = Vec::new();
    for _ in 0..300 {
        match random.u8(..12) {
            0..3 => {
                let more = &wanted[written..][..random.usize(..MUCH / 64)];
                match queue.write(more) {
                    Ok(count) => written += count,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            3..5 if streams.len() < 4 => {
                let bundle = SendBundle::new(Rc::clone(&socket), queue.clone());
                streams.extend(ring.push_stream(bundle));
            }
            5..7 => ring.submit().expect("a submission"),
            7..9 => {
                for stream in &mut streams {
                    if let Some(Err(error)) = stream.try_next() {
                        // It was stopped, or another one sends.
                        let stopped = [libc::ECANCELED, libc::EINTR, libc::EINVAL].map(Some);
                        let is_stopped = stopped.contains(&error.raw_os_error());
                        assert!(is_stopped, "seed {seed}: {error}");
                    }
                    if stream.end().is_some() && random.bool() {
                        let _full_or_armed = stream.rearm();
                    }
                }
            }
            9 if !streams.is_empty() => drop(streams[0].cancel()),
            10 if !streams.is_empty() => drop(streams.swap_remove(random.usize(..streams.len()))),
            _ => {
                let mut some = vec![0; random.usize(..30_000)];
                if let Ok(count) = peer.read(&mut some) {
                    got.extend_from_slice(&some[..count]);
                }
            }
        }
    }
    drop(streams);
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
    peer.set_nonblocking(false).expect("a socket");
    let reader = thread::spawn(move || {
        peer.read_to_end(&mut got).expect("no error");
        got
    });
    while !queue.is_empty() {
        send_all(&ring, Rc::clone(&socket), &queue)
            .1
            .expect("no error");
    }
    assert_eq!(queue.free(), usize::from(COUNT), "seed {seed}");
    drop((ring, queue, socket));
    let got = reader.join().expect("no panic");
    assert_eq!(got.len(), written, "seed {seed}");
    assert!(
        got == wanted[..written],
        "seed {seed}: other bytes than were written"
    );
    Some(())
}

#[test]
fn whatever_is_done_at_random_all_is_sent_once_in_its_order() {
    let wanted = bytes(4 * MUCH);
    for seed in 0..100 {
        if sends_at_random(seed, &wanted).is_none() {
            return;
        }
    }
}

#[test]
fn operation_that_is_given_back_lets_others_send() {
    let ring = Ring::new(1).expect("a ring");
    let Some(mut queue) = queue(&ring, 2, 16) else {
        return;
    };
    queue.write_all(b"once").expect("room");
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let other = socket.try_clone().expect("a descriptor");
    let nop = ring.push(Nop).expect("room");
    let bundle = SendBundle::new(other, queue.clone());
    let Err(Full(back)) = ring.push_stream(bundle) else {
        panic!("there is no room");
    };
    nop.wait().expect("a submission").expect("no error");
    let mut sending = ring.push_stream(back).expect("room");
    assert_eq!(
        sending
            .wait_next()
            .expect("a submission")
            .expect("an item")
            .expect("no error"),
        4
    );
    drop(sending);
    queue.write_all(b" more").expect("room");
    let nop = ring.push(Nop).expect("room");
    let bundle = SendBundle::new(peer.try_clone().expect("a descriptor"), queue.clone());
    drop(ring.push_stream(bundle).map(drop).unwrap_err());
    nop.wait().expect("a submission").expect("no error");
    let (sent, end) = send_all(&ring, socket, &queue);
    assert_eq!((sent, end.expect("no error")), (5, End::Stopped));
    let mut got = String::new();
    peer.read_to_string(&mut got).expect("text");
    assert_eq!(got, "once more");
}

#[test]
fn peer_that_is_gone_is_an_error_and_nothing_is_lost() {
    let ring = ring();
    let Some(mut queue) = queue(&ring, 4, 16) else {
        return;
    };
    queue.write_all(b"to whom it may concern").expect("room");
    let (socket, peer) = UnixStream::pair().expect("a pair");
    drop(peer);
    let (sent, end) = send_all(&ring, socket, &queue);
    assert_eq!(
        (sent, end.unwrap_err().raw_os_error()),
        (0, Some(libc::EPIPE))
    );
    assert_eq!((queue.len(), queue.free()), (22, 2));
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let (sent, end) = send_all(&ring, socket, &queue);
    assert_eq!((sent, end.expect("no error")), (22, End::Stopped));
    let mut got = String::new();
    peer.read_to_string(&mut got).expect("text");
    assert_eq!(got, "to whom it may concern");
}

#[test]
fn queue_of_another_ring_is_refused() {
    let (ring, other) = (ring(), ring());
    let Some(mut queue) = queue(&other, 4, 16) else {
        return;
    };
    // So that there is a group of that number.
    let _own = ring.register_send_queue(4, 16).expect("a queue");
    queue.write_all(b"not here").expect("room");
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let (_, end) = send_all(&ring, socket, &queue);
    assert_eq!(end.unwrap_err().raw_os_error(), Some(libc::EBADF));
    assert_eq!(peer.read(&mut [0]).expect("the end"), 0);
    assert_eq!(queue.len(), 8);
}

#[test]
fn queue_outlives_its_ring() {
    let ring = ring();
    let Some(mut queue) = queue(&ring, 4, 16) else {
        return;
    };
    queue.write_all(b"before").expect("room");
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let sending = ring
        .push_stream(SendBundle::new(socket, queue.clone()))
        .expect("room");
    drop(sending);
    drop(ring);
    queue.write_all(b"and after").expect("room");
    assert_eq!(queue.len(), 15);
}
