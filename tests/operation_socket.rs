//! Sockets: making, naming, listening, accepting, connecting, shutting down.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Accept, AcceptMulti, Bind, Connect, Listen, Nop, OpCode, Read, Recv, Send, Shutdown, Socket,
};
use lio_uring::{
    AcceptFlags, Completion, CompletionQueue, FileSlot, Sqe, SqeFlags, SubmissionQueue,
};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{PENDING, cancel, run, submit_pending, wait};
use sockets::listener;

/// What memory holds that nothing has been written to.
const UNTOUCHED: u8 = 0xaa;
const ADDRESS_SIZE: libc::socklen_t = 16;
const _: () = assert!(size_of::<libc::sockaddr_in>() == ADDRESS_SIZE as usize);

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

fn at(slot: u32) -> impl FnOnce(&mut Sqe) {
    move |sqe| sqe.set_target(FileSlot::At(slot))
}

fn allocate(sqe: &mut Sqe) {
    sqe.set_target(FileSlot::Allocate);
}

/// The descriptor that an operation has made.
#[track_caller]
fn made(done: Completion) -> OwnedFd {
    let fd = done.result().expect("a descriptor");
    // SAFETY: the descriptor is new, and its completion is taken once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// An address as the kernel takes it.
fn address(address: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else {
        panic!("{address} is no address of version 4")
    };
    libc::sockaddr_in {
        sin_family: libc::AF_INET.try_into().expect("a small number"),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// An address as the kernel gives it.
fn from_kernel(address: &libc::sockaddr_in) -> SocketAddr {
    assert_eq!(i32::from(address.sin_family), libc::AF_INET);
    let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
    SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into()
}

fn socket_option(socket: &impl AsRawFd, name: i32) -> i32 {
    let mut value = -1;
    let mut length = 4;
    // SAFETY: the value has room for the 4 bytes that the length says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!((result, length), (0, 4));
    value
}

/// Whether the descriptor is closed on `exec`, and whether it is `O_NONBLOCK`.
fn descriptor_flags(fd: &impl AsRawFd) -> (bool, bool) {
    // SAFETY: the descriptor is open, and the command takes nothing.
    let descriptor = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    // SAFETY: as above.
    let status = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    (
        descriptor & libc::FD_CLOEXEC != 0,
        status & libc::O_NONBLOCK != 0,
    )
}

/// Fails unless the bytes that go into the one end come out of the other, both ways.
#[track_caller]
fn assert_connected(a: OwnedFd, b: OwnedFd) {
    let (mut a, mut b) = (TcpStream::from(a), TcpStream::from(b));
    let mut text = [0; 4];
    a.write_all(b"ping").expect("a connection");
    b.read_exact(&mut text).expect("a connection");
    assert_eq!(&text, b"ping");
    b.write_all(b"pong").expect("a connection");
    a.read_exact(&mut text).expect("a connection");
    assert_eq!(&text, b"pong");
}

const STREAM: Socket = Socket {
    domain: libc::AF_INET,
    r#type: libc::SOCK_STREAM,
    protocol: 0,
    flags: 0,
};

/// Makes a socket.
#[track_caller]
fn socket<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &Socket,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    // SAFETY: the operation points to nothing.
    unsafe { run(cq, sq, socket, settings) }
}

#[test]
fn socket_makes_one_of_the_kind_with_the_flags() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        for domain in [libc::AF_INET, libc::AF_UNIX] {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                for flags in [
                    0,
                    libc::SOCK_CLOEXEC,
                    libc::SOCK_NONBLOCK,
                    libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                ] {
                    let operation = Socket {
                        domain,
                        r#type: kind | flags,
                        protocol: 0,
                        flags: 0,
                    };
                    let socket = made(socket(cq, sq, &operation, |_| ()));
                    assert_eq!(socket_option(&socket, libc::SO_DOMAIN), domain);
                    assert_eq!(socket_option(&socket, libc::SO_TYPE), kind);
                    let wanted = (
                        flags & libc::SOCK_CLOEXEC != 0,
                        flags & libc::SOCK_NONBLOCK != 0,
                    );
                    assert_eq!(descriptor_flags(&socket), wanted);
                }
            }
        }
        let udp = Socket {
            r#type: libc::SOCK_DGRAM,
            protocol: libc::IPPROTO_UDP,
            ..STREAM
        };
        let socket = made(socket(cq, sq, &udp, |_| ()));
        assert_eq!(socket_option(&socket, libc::SO_PROTOCOL), libc::IPPROTO_UDP);
    });
}

#[test]
fn socket_of_no_kind_or_with_flags_fails() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let with = |domain, r#type, protocol, flags| Socket {
            domain,
            r#type,
            protocol,
            flags,
        };
        let (inet, stream) = (libc::AF_INET, libc::SOCK_STREAM);
        for (operation, errno) in [
            (with(inet, stream, 0, 1), libc::EINVAL),
            (with(-1, stream, 0, 0), libc::EAFNOSUPPORT),
            (with(inet, stream | 1 << 30, 0, 0), libc::EINVAL),
            (
                with(inet, stream, libc::IPPROTO_UDP, 0),
                libc::EPROTONOSUPPORT,
            ),
        ] {
            let done = socket(cq, sq, &operation, |_| ());
            assert_eq!(done.raw_result(), -errno, "{operation:?}");
        }
    });
}

/// Connects a socket.
#[track_caller]
fn connect<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    peer: SocketAddr,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    let peer = address(peer);
    let connect = Connect {
        fd,
        addr: (&raw const peer).cast(),
        addrlen: ADDRESS_SIZE,
    };
    // SAFETY: the address stays until the completion has been taken.
    unsafe { run(cq, sq, &connect, settings) }
}

#[test]
fn socket_into_a_slot_connects_and_sends_through_the_slot() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(4).unwrap();
        assert_eq!(socket(cq, sq, &STREAM, at(3)).result().unwrap(), 0);
        let slot = socket(cq, sq, &STREAM, allocate).result().unwrap();
        assert_eq!(slot, 0);
        for slot in [3, slot] {
            assert_eq!(connect(cq, sq, slot, here, fixed).result().unwrap(), 0);
            let (mut peer, _) = listener.accept().unwrap();
            let text = *b"through the slot";
            let send = Send {
                sockfd: slot,
                buf: text.as_ptr().cast(),
                len: 16,
                flags: 0,
            };
            // SAFETY: the text stays until the completion has been taken.
            let done = unsafe { run(cq, sq, &send, fixed) };
            assert_eq!(done.result().unwrap(), 16);
            let mut arrived = [0; 16];
            peer.read_exact(&mut arrived).unwrap();
            assert_eq!(arrived, text);
        }
    });
}

#[test]
fn socket_into_a_slot_that_cannot_be_fails() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        assert_eq!(socket(cq, sq, &STREAM, at(0)).raw_result(), -libc::ENXIO);
        assert_eq!(
            socket(cq, sq, &STREAM, allocate).raw_result(),
            -libc::ENFILE
        );
        sq.register_files_sparse(1).unwrap();
        assert_eq!(socket(cq, sq, &STREAM, at(1)).raw_result(), -libc::EINVAL);
        let cloexec = Socket {
            r#type: libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            ..STREAM
        };
        assert_eq!(socket(cq, sq, &cloexec, at(0)).raw_result(), -libc::EINVAL);
        assert_eq!(socket(cq, sq, &STREAM, allocate).result().unwrap(), 0);
        let done = socket(cq, sq, &STREAM, allocate);
        assert_eq!(done.raw_result(), -libc::ENFILE, "the table is full");
    });
}

/// Binds a socket.
#[track_caller]
fn bind<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    local: SocketAddr,
) -> Completion {
    let local = address(local);
    let bind = Bind {
        fd: socket.as_raw_fd(),
        addr: (&raw const local).cast(),
        addrlen: ADDRESS_SIZE,
    };
    // SAFETY: the address stays until the completion has been taken, and the socket is borrowed.
    unsafe { run(cq, sq, &bind, |_| ()) }
}

/// A port of this machine, or any with 0.
fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A socket of the plain kind that is not bound.
fn unbound(kind: i32) -> OwnedFd {
    // SAFETY: the call has no conditions.
    let fd = unsafe { libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[test]
fn bind_gives_the_socket_its_address() {
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let socket = unbound(libc::SOCK_DGRAM);
        assert_eq!(bind(cq, sq, &socket, local(0)).result().unwrap(), 0);
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
        assert_ne!(address.port(), 0);
        let other = UdpSocket::bind(local(0)).unwrap();
        other.send_to(b"hello", address).unwrap();
        let mut text = [0; 8];
        let (n, from) = socket.recv_from(&mut text).unwrap();
        assert_eq!(
            (&text[..n], from),
            (&b"hello"[..], other.local_addr().unwrap())
        );
    });
}

#[test]
fn bind_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let taken = UdpSocket::bind(local(0)).unwrap();
        let address = taken.local_addr().unwrap();
        let socket = unbound(libc::SOCK_DGRAM);
        let done = bind(cq, sq, &socket, address);
        assert_eq!(done.raw_result(), -libc::EADDRINUSE);
        let done = bind(cq, sq, &taken, local(0));
        assert_eq!(done.raw_result(), -libc::EINVAL, "it is bound");
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        let done = bind(cq, sq, &socket, foreign);
        assert_eq!(done.raw_result(), -libc::EADDRNOTAVAIL);
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(
            bind(cq, sq, &reader, local(0)).raw_result(),
            -libc::ENOTSOCK
        );
        assert_eq!(bind(cq, sq, &-1, local(0)).raw_result(), -libc::EBADF);
        let nowhere = Bind {
            fd: socket.as_raw_fd(),
            addr: ptr::without_provenance(1),
            addrlen: ADDRESS_SIZE,
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}

/// Has a socket take connections.
#[track_caller]
fn listen<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
) -> Completion {
    let listen = Listen {
        fd: socket.as_raw_fd(),
        backlog: 16,
    };
    // SAFETY: the socket is borrowed.
    unsafe { run(cq, sq, &listen, |_| ()) }
}

#[test]
fn listen_has_a_bound_socket_take_connections() {
    if !needs::operations(&[OpCode::LISTEN]) {
        return;
    }
    each_ring!(|cq, sq| {
        let server = made(socket(cq, sq, &STREAM, |_| ()));
        bind(cq, sq, &server, local(0)).result().unwrap();
        assert_eq!(socket_option(&server, libc::SO_ACCEPTCONN), 0);
        assert_eq!(listen(cq, sq, &server).result().unwrap(), 0);
        assert_eq!(socket_option(&server, libc::SO_ACCEPTCONN), 1);
        let server = TcpListener::from(server);
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (connection, _) = server.accept().unwrap();
        assert_connected(client.into(), connection.into());
    });
}

#[test]
fn listen_on_what_takes_no_connections_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::LISTEN]) {
        return;
    }
    each_ring!(|cq, sq| {
        let socket = unbound(libc::SOCK_DGRAM);
        assert_eq!(listen(cq, sq, &socket).raw_result(), -libc::EOPNOTSUPP);
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(listen(cq, sq, &reader).raw_result(), -libc::ENOTSOCK);
        assert_eq!(listen(cq, sq, &-1).raw_result(), -libc::EBADF);
    });
}

/// Waits until a socket has something to accept.
#[track_caller]
fn await_connection(listener: &impl AsRawFd) {
    let mut poll = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: there is one structure, and it is valid for writes.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 60_000) };
    assert_eq!(ready, 1, "no connection");
}

/// Accepts without asking for the address.
fn accept_of(listener: &impl AsRawFd, flags: i32) -> Accept {
    Accept {
        fd: listener.as_raw_fd(),
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags,
    }
}

#[test]
fn accept_of_a_waiting_connection_talks_to_it() {
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        for flags in [
            0,
            libc::SOCK_CLOEXEC,
            libc::SOCK_NONBLOCK,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        ] {
            let client = TcpStream::connect(here).unwrap();
            // SAFETY: the address is null, and the listener stays.
            let done = unsafe { run(cq, sq, &accept_of(&listener, flags), |_| ()) };
            let connection = made(done);
            let wanted = (
                flags & libc::SOCK_CLOEXEC != 0,
                flags & libc::SOCK_NONBLOCK != 0,
            );
            assert_eq!(descriptor_flags(&connection), wanted);
            let connection = TcpStream::from(connection);
            connection.set_nonblocking(false).unwrap();
            assert_connected(client.into(), connection.into());
        }
    });
}

#[test]
fn accept_writes_the_address_of_the_peer() {
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let client = TcpStream::connect(here).unwrap();
        // Room for more than the address, which says so afterwards.
        let mut room = [UNTOUCHED; 32];
        let mut addrlen = 32;
        let accept = Accept {
            addr: room.as_mut_ptr().cast(),
            addrlen: &raw mut addrlen,
            ..accept_of(&listener, 0)
        };
        // SAFETY: there are 32 bytes of room, and nothing else uses them or the size until the
        // completion has been taken.
        let connection = made(unsafe { run(cq, sq, &accept, |_| ()) });
        assert_eq!(addrlen, ADDRESS_SIZE);
        // SAFETY: an address is made of integers, and the room is large enough.
        let peer = unsafe { room.as_ptr().cast::<libc::sockaddr_in>().read_unaligned() };
        assert_eq!(from_kernel(&peer), client.local_addr().unwrap());
        assert_eq!(room[16..], [UNTOUCHED; 16]);
        assert_connected(client.into(), connection);
    });
}

#[test]
fn accept_waits_for_a_connection() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            // The kernel waits for descriptors that do not since about Linux 5.19.
            if nonblocking && !needs::knows(OpCode::SEND_ZC) {
                continue;
            }
            let (listener, here) = listener();
            listener.set_nonblocking(nonblocking).unwrap();
            // SAFETY: the address is null, and the listener stays.
            unsafe { sq.push(&accept_of(&listener, 0), PENDING) }.unwrap();
            submit_pending(cq, sq);
            let client = TcpStream::connect(here).unwrap();
            let done = wait(cq, sq, 1)[0];
            assert_connected(client.into(), made(done));
        }
    });
}

#[test]
fn accept_that_may_not_wait_gives_eagain() {
    // The flag came with Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let accept = accept_of(&listener, 0);
        let dontwait = |sqe: &mut Sqe| sqe.insert_accept_flags(AcceptFlags::DONTWAIT);
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe { run(cq, sq, &accept, dontwait) };
        assert_eq!(done.raw_result(), -libc::EAGAIN);
        let client = TcpStream::connect(here).unwrap();
        await_connection(&listener);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &accept, dontwait) };
        assert_connected(client.into(), made(done));
    });
}

#[test]
fn accept_that_polls_first_accepts() {
    // The flag came with Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let client = TcpStream::connect(here).unwrap();
        let accept = accept_of(&listener, 0);
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe {
            run(cq, sq, &accept, |sqe| {
                sqe.insert_accept_flags(AcceptFlags::POLL_FIRST);
            })
        };
        assert_connected(client.into(), made(done));
    });
}

#[test]
fn accept_cancelled_leaves_the_memory_and_the_connection() {
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let mut room = [UNTOUCHED; 32];
        let mut addrlen = 32;
        let accept = Accept {
            addr: room.as_mut_ptr().cast(),
            addrlen: &raw mut addrlen,
            ..accept_of(&listener, 0)
        };
        // SAFETY: nothing else uses the room and its size until the completion has been taken, and
        // the listener stays.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        let client = TcpStream::connect(here).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert_eq!((room, addrlen), ([UNTOUCHED; 32], 32));
        assert_connected(client.into(), connection.into());
    });
}

#[test]
fn accept_on_what_does_not_listen_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        let idle = unbound(libc::SOCK_STREAM);
        let datagrams = unbound(libc::SOCK_DGRAM);
        for (fd, errno) in [
            (idle.as_raw_fd(), libc::EINVAL),
            (datagrams.as_raw_fd(), libc::EOPNOTSUPP),
            (reader.as_raw_fd(), libc::ENOTSOCK),
            (-1, libc::EBADF),
        ] {
            // SAFETY: the address is null.
            let done = unsafe { run(cq, sq, &accept_of(&fd, 0), |_| ()) };
            assert_eq!(done.raw_result(), -errno);
        }
    });
}

/// Receives up to 16 bytes through a slot of the registered files.
#[track_caller]
fn recv_slot<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: i32,
) -> Vec<u8> {
    let mut buffer = [0; 16];
    let recv = Recv {
        sockfd: slot,
        buf: buffer.as_mut_ptr().cast(),
        len: 16,
        flags: 0,
    };
    // SAFETY: the buffer is left alone until the completion has been taken, and the slots hold
    // sockets of this test.
    let n = unsafe { run(cq, sq, &recv, fixed) }.result();
    buffer[..usize::try_from(n.expect("data")).expect("a count")].to_vec()
}

#[test]
fn accept_into_a_slot_that_cannot_be_closes_the_connection() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let accept = accept_of(&listener, 0);
        let mut client = TcpStream::connect(here).unwrap();
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe { run(cq, sq, &accept, at(0)) };
        assert_eq!(done.raw_result(), -libc::ENXIO, "without a table");
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");

        sq.register_files_sparse(1).unwrap();
        let mut client = TcpStream::connect(here).unwrap();
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &accept, at(1)) };
        assert_eq!(done.raw_result(), -libc::EINVAL, "outside of it");
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");
    });
}

#[test]
fn accept_into_a_slot_receives_through_the_slot() {
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let accept = accept_of(&listener, 0);
        sq.register_files_sparse(3).unwrap();
        let mut client = TcpStream::connect(here).unwrap();
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe { run(cq, sq, &accept, at(1)) };
        assert_eq!(done.result().unwrap(), 0);
        client.write_all(b"one").unwrap();
        assert_eq!(recv_slot(cq, sq, 1), b"one");

        let mut client = TcpStream::connect(here).unwrap();
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &accept, allocate) };
        let slot = done.result().unwrap();
        assert!(slot == 0 || slot == 2, "slot {slot}");
        client.write_all(b"two").unwrap();
        assert_eq!(recv_slot(cq, sq, slot), b"two");

        let cloexec = accept_of(&listener, libc::SOCK_CLOEXEC);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &cloexec, at(2)) };
        assert_eq!(done.raw_result(), -libc::EINVAL, "with SOCK_CLOEXEC");
    });
}

/// Accepts again and again without asking for addresses.
fn accept_all_of(listener: &impl AsRawFd) -> AcceptMulti {
    AcceptMulti {
        fd: listener.as_raw_fd(),
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags: 0,
    }
}

#[test]
fn accept_multi_gives_one_completion_each_until_it_is_cancelled() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        // Some wait already, and some come later.
        let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(here).unwrap()).collect();
        // SAFETY: the address is null, and the listener stays.
        unsafe { sq.push(&accept_all_of(&listener), PENDING) }.unwrap();
        let mut done = wait(cq, sq, 3);
        for _ in 0..4 {
            clients.push(TcpStream::connect(here).unwrap());
            done.extend(wait(cq, sq, 1));
        }
        let mut peers = Vec::new();
        for done in done {
            assert_eq!((done.user_data(), done.more()), (PENDING, true));
            let connection = TcpStream::from(made(done));
            let peer = connection.peer_addr().unwrap();
            let client = clients
                .iter()
                .position(|client| client.local_addr().unwrap() == peer)
                .expect("the connection is one of ours");
            assert_connected(clients.remove(client).into(), connection.into());
            peers.push(peer);
        }
        assert!(clients.is_empty());
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        let client = TcpStream::connect(here).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert_connected(client.into(), connection.into());
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn accept_multi_writes_the_address_of_each_peer() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let mut address = address(local(0));
        let mut addrlen = ADDRESS_SIZE;
        let accept = AcceptMulti {
            addr: (&raw mut address).cast(),
            addrlen: &raw mut addrlen,
            ..accept_all_of(&listener)
        };
        // SAFETY: nothing else uses the address and its size until the last completion has been
        // taken, and the listener stays.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        submit_pending(cq, sq);
        let _first = TcpStream::connect(here).unwrap();
        drop(made(wait(cq, sq, 1)[0]));
        let second = TcpStream::connect(here).unwrap();
        drop(made(wait(cq, sq, 1)[0]));
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        assert_eq!(addrlen, ADDRESS_SIZE);
        assert_eq!(from_kernel(&address), second.local_addr().unwrap());
    });
}

#[test]
fn accept_multi_into_slots_ends_when_the_table_is_full() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(2).unwrap();
        // SAFETY: the address is null, and the listener stays.
        unsafe { sq.push_with(&accept_all_of(&listener), PENDING, allocate) }.unwrap();
        submit_pending(cq, sq);
        for slot in 0..2 {
            let mut client = TcpStream::connect(here).unwrap();
            let done = wait(cq, sq, 1)[0];
            assert_eq!((done.result().unwrap(), done.more()), (slot, true));
            client.write_all(b"to a slot").unwrap();
            assert_eq!(recv_slot(cq, sq, slot), b"to a slot");
        }
        let mut client = TcpStream::connect(here).unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!((done.raw_result(), done.more()), (-libc::ENFILE, false));
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");
    });
}

#[test]
fn accept_multi_into_one_slot_or_without_a_listener_fails() {
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, _) = listener();
        sq.register_files_sparse(2).unwrap();
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe { run(cq, sq, &accept_all_of(&listener), at(0)) };
        assert_eq!((done.raw_result(), done.more()), (-libc::EINVAL, false));
        let idle = unbound(libc::SOCK_STREAM);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &accept_all_of(&idle), |_| ()) };
        assert_eq!((done.raw_result(), done.more()), (-libc::EINVAL, false));
    });
}

#[test]
fn connect_reaches_the_listener() {
    each_ring!(|cq, sq| {
        for kind in [0, libc::SOCK_NONBLOCK] {
            let (listener, here) = listener();
            let client = unbound(libc::SOCK_STREAM | kind);
            let done = connect(cq, sq, client.as_raw_fd(), here, |_| ());
            assert_eq!(done.result().unwrap(), 0);
            let (connection, _) = listener.accept().unwrap();
            let client = TcpStream::from(client);
            client.set_nonblocking(false).unwrap();
            assert_connected(client.into(), connection.into());
        }
    });
}

#[test]
fn connect_keeps_no_address_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut byte = [0u8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: byte.as_mut_ptr().cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone and the pipe open until the completion has been taken.
        unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.unwrap();
        let client = unbound(libc::SOCK_STREAM);
        let mut peer = address(here);
        let connect = Connect {
            fd: client.as_raw_fd(),
            addr: (&raw const peer).cast(),
            addrlen: ADDRESS_SIZE,
        };
        // SAFETY: the address stays until the entry has been submitted, the socket until the
        // completion has been taken.
        unsafe { sq.push(&connect, 2) }.unwrap();
        submit_pending(cq, sq);
        peer.sin_port = 0;
        // The attempt starts only now, behind the read.
        writer.write_all(b"!").unwrap();
        let done = wait(cq, sq, 2);
        assert_eq!((done[1].result().unwrap(), peer.sin_port), (0, 0));
        let (connection, _) = listener.accept().unwrap();
        assert_connected(client, connection.into());
    });
}

#[test]
fn connect_to_nobody_gives_econnrefused() {
    each_ring!(|cq, sq| {
        // A port that is bound, and so is nobody else's, but does not listen.
        let silent = unbound(libc::SOCK_STREAM);
        let address = address(local(0));
        // SAFETY: the address has the size that is given.
        let result = unsafe {
            libc::bind(
                silent.as_raw_fd(),
                (&raw const address).cast(),
                ADDRESS_SIZE,
            )
        };
        assert_eq!(result, 0);
        let silent = TcpListener::from(silent);
        let client = unbound(libc::SOCK_STREAM);
        let there = silent.local_addr().unwrap();
        let done = connect(cq, sq, client.as_raw_fd(), there, |_| ());
        assert_eq!(done.raw_result(), -libc::ECONNREFUSED);
    });
}

#[test]
fn connect_of_what_cannot_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (_listener, here) = listener();
        let connected = TcpStream::connect(here).unwrap();
        let done = connect(cq, sq, connected.as_raw_fd(), here, |_| ());
        assert_eq!(done.raw_result(), -libc::EISCONN);
        let (reader, _writer) = io::pipe().unwrap();
        let done = connect(cq, sq, reader.as_raw_fd(), here, |_| ());
        assert_eq!(done.raw_result(), -libc::ENOTSOCK);
        let nowhere = Connect {
            fd: connected.as_raw_fd(),
            addr: ptr::without_provenance(1),
            addrlen: ADDRESS_SIZE,
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}

#[test]
fn connect_that_waits_is_cancelled() {
    each_ring!(|cq, sq| {
        // A queue of connections that is full lets no other in.
        let server = unbound(libc::SOCK_STREAM);
        let address_0 = address(local(0));
        // SAFETY: the address has the size that is given.
        let result = unsafe {
            libc::bind(
                server.as_raw_fd(),
                (&raw const address_0).cast(),
                ADDRESS_SIZE,
            )
        };
        assert_eq!(result, 0);
        // SAFETY: the call has no conditions.
        assert_eq!(unsafe { libc::listen(server.as_raw_fd(), 0) }, 0);
        let server = TcpListener::from(server);
        let here = server.local_addr().unwrap();
        let _queued = TcpStream::connect(here).unwrap();
        await_connection(&server);

        let client = unbound(libc::SOCK_STREAM);
        let peer = address(here);
        let connect = Connect {
            fd: client.as_raw_fd(),
            addr: (&raw const peer).cast(),
            addrlen: ADDRESS_SIZE,
        };
        // SAFETY: address and socket stay until the completion has been taken.
        unsafe { sq.push(&connect, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

/// Shuts a socket down.
#[track_caller]
fn shutdown<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    how: i32,
) -> i32 {
    let shutdown = Shutdown {
        fd: socket.as_raw_fd(),
        how,
    };
    // SAFETY: the socket is borrowed.
    unsafe { run(cq, sq, &shutdown, |_| ()) }.raw_result()
}

#[test]
fn shutdown_ends_the_directions_that_it_names() {
    if !needs::operations(&[OpCode::SHUTDOWN]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (how, writes, reads) in [
            (libc::SHUT_WR, false, true),
            (libc::SHUT_RD, true, false),
            (libc::SHUT_RDWR, false, false),
        ] {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            here.write_all(b"before").unwrap();
            assert_eq!(shutdown(cq, sq, &here, how), 0);
            let mut text = [0; 6];
            there.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"before", "what was sent arrives");
            assert_eq!(here.write_all(b"behind").is_ok(), writes, "{how}");
            if !writes {
                assert_eq!(there.read(&mut [0]).unwrap(), 0, "the end");
            }
            assert_eq!(there.write_all(b"behind").is_ok(), reads, "{how}");
            if !reads {
                assert_eq!(here.read(&mut [0]).unwrap(), 0, "the end");
            }
        }
    });
}

#[test]
fn shutdown_ends_a_receive_that_waits() {
    if !needs::operations(&[OpCode::SHUTDOWN]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let mut buffer = [UNTOUCHED; 8];
        let recv = Recv {
            sockfd: here.as_raw_fd(),
            buf: buffer.as_mut_ptr().cast(),
            len: 8,
            flags: 0,
        };
        // SAFETY: the buffer is left alone and the socket open until the completion has been taken.
        unsafe { sq.push(&recv, 1) }.unwrap();
        submit_pending(cq, sq);
        let shutdown = Shutdown {
            fd: here.as_raw_fd(),
            how: libc::SHUT_RDWR,
        };
        // SAFETY: the socket stays open.
        unsafe { sq.push(&shutdown, 2) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 2).iter().map(Completion::raw_result).collect();
        assert_eq!(results, [0, 0]);
        assert_eq!(buffer, [UNTOUCHED; 8]);
    });
}

#[test]
fn shutdown_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::SHUTDOWN]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        for how in [3, -1] {
            assert_eq!(shutdown(cq, sq, &here, how), -libc::EINVAL);
        }
        let alone = unbound(libc::SOCK_STREAM);
        assert_eq!(shutdown(cq, sq, &alone, libc::SHUT_WR), -libc::ENOTCONN);
        let file = File::open("/").unwrap();
        assert_eq!(shutdown(cq, sq, &file, libc::SHUT_WR), -libc::ENOTSOCK);
        assert_eq!(shutdown(cq, sq, &-1, libc::SHUT_WR), -libc::EBADF);
    });
}

#[test]
fn shutdown_that_fails_does_not_end_its_chain() {
    // It did before Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let alone = unbound(libc::SOCK_STREAM);
        let shutdown = Shutdown {
            fd: alone.as_raw_fd(),
            how: libc::SHUT_WR,
        };
        // SAFETY: the socket stays open until the completion has been taken.
        unsafe { sq.push_with_flags(&shutdown, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 2).iter().map(Completion::raw_result).collect();
        assert_eq!(results, [-libc::ENOTCONN, 0]);
    });
}
