//! Busy polling of a network device for which a ring waits.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use lio_uring::kind::Threads;
use lio_uring::operation::{Recv, Send};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, Napi, SubmissionQueue};

#[path = "support/device.rs"]
mod device;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/rings.rs"]
mod rings;

use device::pattern;

const NAPI: Napi = Napi {
    busy_poll: Duration::from_micros(50),
    prefer_busy_poll: true,
};

/// A listener of the guest's second network device, which is in a namespace of its own.
fn listener_behind_the_wire() -> TcpListener {
    let listening = thread::spawn(|| {
        let namespace = File::open("/run/netns/peer").expect("the namespace");
        // SAFETY: the descriptor is open. Only this thread changes its namespace.
        let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        // A socket stays in the namespace that it was made in.
        TcpListener::bind("10.9.0.2:0").expect("a free port")
    });
    listening.join().expect("a listener")
}

/// Sends back what comes over one connection.
fn echo(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("somebody connects");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).expect("data") {
            0 => return,
            n => stream.write_all(&buffer[..n]).expect("a reader"),
        }
    }
}

/// The device queue that a socket's data came from; zero if none is known that could be polled.
fn napi_id(socket: &TcpStream) -> u32 {
    let (mut id, mut len) = (0_u32, 4);
    // SAFETY: the pointers are to values of the right types.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_INCOMING_NAPI_ID,
            (&raw mut id).cast(),
            &raw mut len,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    id
}

/// Sends messages of several sizes to the echo and receives them again.
#[track_caller]
fn messages_return<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &TcpStream,
) {
    for round in 0..50 {
        let bytes = pattern(round, 1 + 20 * usize::from(round));
        let message = Send {
            sockfd: socket.as_raw_fd(),
            buf: bytes.as_ptr().cast(),
            len: bytes.len().try_into().expect("a small message"),
            flags: 0,
        };
        // SAFETY: the bytes and the socket are there until the completion.
        let sent = unsafe { rings::run(cq, sq, &message, |_| ()) };
        assert_eq!(usize::try_from(sent.raw_result()), Ok(bytes.len()));
        let mut back = vec![0; bytes.len()];
        let recv = Recv {
            sockfd: socket.as_raw_fd(),
            buf: back.as_mut_ptr().cast(),
            len: back.len().try_into().expect("a small message"),
            flags: libc::MSG_WAITALL,
        };
        // SAFETY: as above.
        let received = unsafe { rings::run(cq, sq, &recv, |_| ()) };
        assert_eq!(usize::try_from(received.raw_result()), Ok(back.len()));
        assert_eq!(back, bytes);
    }
}

/// Has messages echoed by a ring that polls the device.
#[track_caller]
fn polls<T: Threads>((mut cq, mut sq): (CompletionQueue<T>, SubmissionQueue<T>)) {
    if kernel::since(6, 9, sq.register_napi(NAPI)).is_none() {
        return;
    }
    let listener = listener_behind_the_wire();
    let address: SocketAddr = listener.local_addr().expect("a bound socket");
    let echo = thread::spawn(move || echo(&listener));
    let socket = TcpStream::connect_timeout(&address, rings::LIMIT).expect("a connection");
    socket.set_nodelay(true).expect("an option");
    messages_return(&mut cq, &mut sq, &socket);
    assert_ne!(napi_id(&socket), 0, "nothing was there to be polled");
    assert_eq!(sq.unregister_napi().expect("settings"), NAPI);
    messages_return(&mut cq, &mut sq, &socket);
    drop(socket);
    echo.join().expect("the echo");
}

#[test]
fn messages_of_another_machine_are_polled_for() {
    if device::is_there("net") {
        polls(lio_uring::with_capacity(8).unwrap());
    }
}

#[test]
fn messages_are_polled_for_by_a_ring_for_one_thread() {
    if !device::is_there("net") {
        return;
    }
    let params = IoUringParams::default().entries(8).defer_taskrun();
    if let Some(ring) = kernel::since(6, 1, IoUring::with_params(params)) {
        polls(ring);
    }
}

#[test]
fn messages_are_polled_for_by_the_thread_of_a_ring() {
    if device::is_there("net") {
        let params = IoUringParams::default().entries(8).sqpoll(50);
        polls(IoUring::with_params(params).unwrap());
    }
}
