//! What is registered with a ring of the owned layer: files in places, and pools of buffers.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "support/outcome.rs"]
mod outcome;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use lio_uring::owned::{
    AcceptDirect, AcceptMultiDirect, Buffer as _, CloseDirect, End, Install, OpenDirect, Operation,
    Read, ReadFixed, ReadvFixed, Recv, RegisteredPool, Ring, Send, SendHeader, SendMsgZcFixed,
    SendZcFixed, Slot, Slots, SocketDirect, Write, WriteFixed, WritevFixed,
};
use lio_uring::{BufferPool, RegisterCause};

use outcome::errno;

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

#[track_caller]
fn run<O: Operation + 'static>(ring: &Ring, operation: O) -> O::Output {
    ring.push(operation)
        .expect("room")
        .wait()
        .expect("a submission")
}

fn slots(ring: &Ring, named: u32) -> Slots {
    ring.register_slots(named).expect("places")
}

fn read(file: Slot) -> Read<Slot, Vec<u8>> {
    Read {
        file,
        buffer: vec![0; 64],
        offset: 0,
    }
}

#[test]
fn files_in_places_are_read_and_written() {
    let ring = ring();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let slots = slots(&ring, 2);
    assert_eq!(slots.available(), 2);
    let slot = slots
        .insert(File::create_new(&path).expect("a file"))
        .expect("a place");
    let (written, _) = run(
        &ring,
        Write {
            file: slot,
            buffer: b"through a place",
            offset: 0,
        },
    );
    assert_eq!(written.expect("no error"), 15);
    assert_eq!(slots.available(), 2);
    assert_eq!(fs::read(&path).expect("the file"), b"through a place");

    let slot = slots
        .insert(File::open(&path).expect("a file"))
        .expect("a place");
    let other = slots
        .insert(File::open("/dev/null").expect("a file"))
        .expect("a place");
    assert!(!slot.is(&other));
    assert!(slots.take().is_none());
    assert_eq!(
        errno(slots.insert(File::open(&path).expect("a file"))),
        libc::ENFILE
    );
    let (count, text) = run(&ring, read(slot.clone()));
    assert_eq!(
        (count.expect("no error"), &*text),
        (15, b"through a place".as_slice())
    );
    let (count, _) = run(&ring, read(other));
    assert_eq!(count.expect("no error"), 0);
    assert_eq!(slots.available(), 1);
}

#[test]
fn place_is_closed_with_its_last_handle() {
    let ring = ring();
    let slots = slots(&ring, 1);
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let slot = slots.insert(socket).expect("a place");
    let recv = ring.push(Recv {
        socket: slot.clone(),
        buffer: vec![0; 8],
        flags: 0,
    });
    let recv = recv.expect("room");
    drop(slot);
    ring.submit().expect("a submission");
    peer.write_all(b"still").expect("it is open");
    let (count, text) = recv.wait().expect("a submission");
    assert_eq!((count.expect("no error"), &*text), (5, b"still".as_slice()));
    assert_eq!(peer.read(&mut [0; 8]).expect("no error"), 0, "the end");
    assert_eq!(slots.available(), 1);
}

#[test]
fn places_of_another_ring_are_refused() {
    let (ring, other) = (ring(), ring());
    let (own, others) = (slots(&ring, 1), slots(&other, 1));
    let _own = own
        .insert(File::open("/proc/self/comm").expect("a file"))
        .expect("a place");
    let slot = others
        .insert(File::open("/proc/self/exe").expect("a file"))
        .expect("a place");
    let (count, _) = run(&ring, read(slot.clone()));
    assert_eq!(errno(count), libc::EBADF);
    let (count, start) = run(&other, read(slot));
    assert_eq!(
        (count.expect("no error"), &start[..4]),
        (64, b"\x7fELF".as_slice())
    );
}

#[test]
fn files_are_opened_and_closed_in_a_place() {
    if kernel::lacks(5, 15, "opening into places") {
        return;
    }
    let ring = ring();
    let slots = slots(&ring, 2);
    let slot = slots.take().expect("a place");
    let (count, _) = run(&ring, read(slot.clone()));
    assert_eq!(errno(count), libc::EBADF, "nothing is there");
    let open = |path: &str, slot: &Slot| OpenDirect {
        path: CString::new(path).expect("no NUL"),
        flags: libc::O_RDONLY,
        mode: 0,
        slot: slot.clone(),
    };
    let opened = run(&ring, open("/proc/self/exe", &slot)).expect("no error");
    assert!(opened.is(&slot));
    assert_eq!(run(&ring, read(slot.clone())).1[..4], *b"\x7fELF");
    // Another file in the same place.
    drop(run(&ring, open("/dev/zero", &slot)).expect("no error"));
    assert_eq!(run(&ring, read(slot.clone())).1[..4], [0; 4]);
    let error = run(&ring, open("/nowhere", &slot));
    assert_eq!(errno(error), libc::ENOENT);

    let (closed, slot) = run(&ring, CloseDirect { slot });
    closed.expect("no error");
    let (count, _) = run(&ring, read(slot.clone()));
    assert_eq!(errno(count), libc::EBADF);
    let (closed, slot) = run(&ring, CloseDirect { slot });
    assert_eq!(errno(closed), libc::EBADF, "nothing is there");
    drop((slot, opened));
    assert_eq!(slots.available(), 2);
}

#[test]
fn sockets_are_made_and_accepted_in_places() {
    if kernel::lacks(5, 19, "sockets in places") {
        return;
    }
    let ring = ring();
    let slots = slots(&ring, 4);
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let address = listener.local_addr().expect("one");
    let socket = SocketDirect {
        domain: libc::AF_INET,
        kind: libc::SOCK_STREAM,
        protocol: 0,
        slot: slots.take().expect("a place"),
    };
    let socket = run(&ring, socket).expect("no error");
    let accept = AcceptDirect {
        listener: Rc::clone(&listener),
        slot: slots.take().expect("a place"),
    };
    let accept = ring.push(accept).expect("room");
    let connect = lio_uring::owned::Connect {
        socket: socket.clone(),
        address: address.into(),
    };
    run(&ring, connect).expect("no error");
    let accepted = accept.wait().expect("a submission").expect("no error");
    let send = Send {
        socket: accepted,
        buffer: b"hello",
        flags: 0,
    };
    // The connection goes with it, the data first.
    assert_eq!(run(&ring, send).0.expect("no error"), 5);
    for wanted in [b"hello".as_slice(), b""] {
        let recv = Recv {
            socket: socket.clone(),
            buffer: vec![0; 64],
            flags: 0,
        };
        let (count, text) = run(&ring, recv);
        assert_eq!(count.expect("no error"), wanted.len());
        assert_eq!(text[..wanted.len()], *wanted);
    }
}

#[test]
fn connections_are_accepted_into_places_that_the_kernel_picks() {
    let ring = ring();
    if kernel::lacks(5, 19, "accepts that go on in places") {
        return;
    }
    let slots = ring.register_picked_slots(3).expect("places");
    assert!(slots.take().is_none());
    let refused = slots.insert(File::open("/dev/null").expect("a file"));
    assert_eq!(errno(refused), libc::ENFILE);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("one");
    let accept = AcceptMultiDirect {
        listener,
        slots: slots.clone(),
    };
    let mut connections = ring.push_stream(accept).expect("room");
    for _ in 0..3 {
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).expect("connected");
            let slot = connections.wait_next().expect("a submission");
            let slot = slot.expect("it goes on").expect("no error");
            let send = Send {
                socket: slot.clone(),
                buffer: b"hello",
                flags: 0,
            };
            assert_eq!(run(&ring, send).0.expect("no error"), 5);
            let mut text = [0; 5];
            client.read_exact(&mut text).expect("data");
            assert_eq!(&text, b"hello");
            kept.push((client, slot));
        }
        // There is no place for one more, and it is told.
        let mut client = TcpStream::connect(address).expect("connected");
        let none = connections
            .wait_next()
            .expect("a submission")
            .expect("an error");
        assert_eq!(errno(none), libc::ENFILE);
        assert_eq!(connections.end(), Some(End::Failed));
        let got = client.read(&mut [0; 8]);
        assert!(matches!(got, Ok(0) | Err(_)), "{got:?}");
        for (mut client, slot) in kept {
            drop(slot);
            assert_eq!(client.read(&mut [0; 8]).expect("no error"), 0, "the end");
        }
        connections.rearm().expect("room");
    }
}

#[test]
fn kernel_picks_no_place_where_there_is_none_for_it() {
    if kernel::lacks(5, 19, "accepts that go on in places") {
        return;
    }
    let ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let slots = slots(&ring, 2);
    let accept = AcceptMultiDirect { listener, slots };
    let mut connections = ring.push_stream(accept).expect("room");
    let none = connections
        .wait_next()
        .expect("a submission")
        .expect("an error");
    assert_eq!(errno(none), libc::EINVAL);
}

#[test]
fn registered_file_becomes_a_descriptor() {
    if kernel::lacks(6, 8, "descriptors of registered files") {
        return;
    }
    let ring = ring();
    let slots = slots(&ring, 1);
    let slot = slots
        .insert(File::open("/proc/self/exe").expect("a file"))
        .expect("a place");
    let file = run(&ring, Install { slot }).expect("no error");
    let mut start = [0; 4];
    File::from(file).read_exact(&mut start).expect("data");
    assert_eq!(&start, b"\x7fELF");
}

#[test]
fn places_are_registered_once_and_gone_with_the_last_handle() {
    let ring = ring();
    let first = slots(&ring, 2);
    let slot = first.take().expect("a place");
    let error = ring.register_slots(2).expect_err("there are some");
    assert_eq!(*error.cause(), RegisterCause::AlreadyRegistered);
    drop(first);
    let error = ring.register_slots(2).expect_err("there is still one");
    assert_eq!(*error.cause(), RegisterCause::AlreadyRegistered);
    drop(slot);
    drop(slots(&ring, 2));
    let error = ring.register_slots(u32::MAX).expect_err("too many");
    assert!(
        matches!(error.cause(), RegisterCause::DescriptorLimit { .. }),
        "{error}"
    );
}

fn pool(ring: &Ring, count: u32, bytes: u32) -> RegisteredPool {
    let pool = BufferPool::new(count, bytes).expect("memory");
    ring.register_pool(pool).expect("a registration")
}

#[test]
fn leases_are_read_into_and_written_from() {
    let ring = ring();
    let file = Rc::new(tempfile::tempfile().expect("a file"));
    let pool = pool(&ring, 2, 4096);
    let mut lease = pool.take().expect("a buffer");
    for (byte, value) in lease.iter_mut().zip((0..=255u8).cycle()) {
        *byte = value;
    }
    let (written, lease) = run(
        &ring,
        WriteFixed {
            file: Rc::clone(&file),
            buffer: lease,
            offset: 100,
        },
    );
    assert_eq!(written.expect("no error"), 4096);
    // Part of it, at its beginning.
    let (written, part) = run(
        &ring,
        WriteFixed {
            file: Rc::clone(&file),
            buffer: lease.view(10..60),
            offset: 0,
        },
    );
    assert_eq!(written.expect("no error"), 50);
    drop(part);
    let (read, lease) = run(
        &ring,
        ReadFixed {
            file: Rc::clone(&file),
            buffer: pool.take().expect("a buffer"),
            offset: 0,
        },
    );
    assert_eq!(read.expect("no error"), 4096);
    let wanted: Vec<u8> = (10..60).chain([0; 50]).collect();
    assert_eq!(lease[..100], wanted);
    let values: Vec<u8> = (0..=255u8).cycle().take(3996).collect();
    assert_eq!(lease[100..], values);
    // A lease serves for operations that do not need one.
    let (read, lease) = run(
        &ring,
        Read {
            file,
            buffer: lease,
            offset: 4096,
        },
    );
    assert_eq!(
        (read.expect("no error"), u32::from(lease[0])),
        (100, (4096 - 100) % 256)
    );
}

#[test]
fn leases_are_sent_without_a_copy() {
    if kernel::lacks(6, 0, "sends without a copy") {
        return;
    }
    let ring = ring();
    let pool = pool(&ring, 1, 1 << 16);
    let mut lease = pool.take().expect("a buffer");
    lease.fill(7);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let socket = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
    let (mut peer, _) = listener.accept().expect("a connection");
    let send = SendZcFixed {
        socket,
        buffer: lease,
        flags: libc::MSG_WAITALL,
    };
    let ticket = ring.push(send).expect("room");
    ring.submit().expect("a submission");
    let mut got = vec![0; 1 << 16];
    peer.read_exact(&mut got).expect("data");
    assert!(got.iter().all(|byte| *byte == 7));
    let (count, lease) = ticket.wait().expect("a submission");
    assert_eq!((count.expect("no error"), lease.len()), (1 << 16, 1 << 16));
}

#[test]
fn several_leases_are_written_read_and_sent_at_once() {
    if kernel::lacks(6, 15, "registered buffers in several parts") {
        return;
    }
    let ring = ring();
    let pool = pool(&ring, 4, 4096);
    let take = |value| {
        let mut lease = pool.take().expect("a buffer");
        lease.fill(value);
        lease
    };
    let file = Rc::new(tempfile::tempfile().expect("a file"));
    // A part of each, the later one first.
    let parts = [take(2).view(1..3), take(1).view(4090..4096)];
    let write = WritevFixed::new(Rc::clone(&file), parts, 10);
    let (written, parts) = run(&ring, write);
    assert_eq!(written.expect("no error"), 8);
    drop(parts);
    let read = ReadvFixed::new(file, vec![take(7).view(0..12), take(7).view(8..20)], 0);
    let (count, leases) = run(&ring, read);
    assert_eq!(count.expect("no error"), 18);
    let [first, second] = <[_; 2]>::try_from(leases).expect("two buffers");
    let (first, second) = (first.into_inner(), second.into_inner());
    assert_eq!(first[..13], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 7]);
    assert_eq!(second[7..15], [7, 1, 1, 1, 1, 1, 1, 7]);
    assert_eq!(second[15..], [7; 4096 - 15]);
    drop((first, second));

    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let socket = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
    let (mut peer, _) = listener.accept().expect("a connection");
    let send = SendMsgZcFixed {
        socket,
        buffers: [take(3), take(4)],
        header: SendHeader::new(),
        flags: libc::MSG_WAITALL,
    };
    let ticket = ring.push(send).expect("room");
    ring.submit().expect("a submission");
    let mut got = vec![0; 8192];
    peer.read_exact(&mut got).expect("data");
    assert_eq!(got, [[3; 4096], [4; 4096]].concat());
    let (count, leases, _) = ticket.wait().expect("a submission");
    assert_eq!(count.expect("no error"), 8192);
    drop(leases);
    let all: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn leases_of_several_rings_are_refused_together() {
    let (ring, other) = (ring(), ring());
    let (own, others) = (pool(&ring, 2, 4096), pool(&other, 1, 4096));
    for order in [[&own, &others], [&others, &own]] {
        let leases = order.map(|pool| pool.take().expect("a buffer"));
        let read = ReadvFixed::new(File::open("/dev/zero").expect("a file"), leases, 0);
        let (count, leases) = run(&ring, read);
        assert_eq!(errno(count), libc::EBADF);
        drop(leases);
    }
    assert!(own.take().is_some() && others.take().is_some());
}

#[test]
fn leases_of_another_ring_are_refused_and_come_back() {
    let (ring, other) = (ring(), ring());
    let (_own, others) = (pool(&ring, 1, 4096), pool(&other, 1, 4096));
    let (count, lease) = run(
        &ring,
        ReadFixed {
            file: File::open("/dev/zero").expect("a file"),
            buffer: others.take().expect("a buffer"),
            offset: 0,
        },
    );
    assert_eq!(errno(count), libc::EBADF);
    drop(lease);
    assert!(others.take().is_some());
}

#[test]
fn pool_stays_registered_as_long_as_something_is_lent() {
    let ring = ring();
    let first = pool(&ring, 2, 4096);
    let lease = first.take().expect("a buffer");
    drop(first);
    let again = || ring.register_pool(BufferPool::new(1, 64).expect("memory"));
    let error = again().expect_err("there is one");
    assert_eq!(*error.cause(), RegisterCause::AlreadyRegistered);
    let (count, lease) = run(
        &ring,
        ReadFixed {
            file: File::open("/dev/zero").expect("a file"),
            buffer: lease,
            offset: 0,
        },
    );
    assert_eq!(count.expect("no error"), 4096);
    drop(lease);
    drop(again().expect("no other"));
}

#[test]
fn what_is_registered_outlives_its_ring() {
    let ring = ring();
    let slots = slots(&ring, 2);
    let slot = slots
        .insert(File::open("/dev/zero").expect("a file"))
        .expect("a place");
    let pool = pool(&ring, 2, 64);
    let mut lease = pool.take().expect("a buffer");
    drop(ring);
    lease.fill(3);
    drop(slot);
    assert_eq!(slots.available(), 2);
    assert_eq!(lease[63], 3);
}
