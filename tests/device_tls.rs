//! Sockets that the kernel encrypts.
#![cfg(target_os = "linux")]

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, Recv, Send};
use lio_uring::{CompletionQueue, SubmissionQueue};

#[path = "support/device.rs"]
mod device;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use device::pattern;

const SOL_TLS: i32 = 282;

/// Two ends of a connection over the loopback device.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let client = TcpStream::connect(address).expect("somebody listens");
    let (server, _) = listener.accept().expect("somebody connects");
    (client, server)
}

#[track_caller]
fn set<V>(socket: &TcpStream, level: i32, option: i32, value: &V) {
    // SAFETY: the value is as long as it says.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const *value).cast(),
            size_of::<V>().try_into().expect("a small value"),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Encrypts what a socket sends, and decrypts what its peer receives.
#[track_caller]
fn encrypt(sender: &TcpStream, receiver: Option<&TcpStream>, key: u8) {
    let info = libc::tls12_crypto_info_aes_gcm_128 {
        info: libc::tls_crypto_info {
            version: libc::TLS_1_2_VERSION,
            cipher_type: libc::TLS_CIPHER_AES_GCM_128,
        },
        iv: [key; 8],
        key: [key; 16],
        salt: [key; 4],
        rec_seq: [0; 8],
    };
    set(sender, SOL_TLS, libc::TLS_TX, &info);
    if let Some(receiver) = receiver {
        set(receiver, SOL_TLS, libc::TLS_RX, &info);
    }
}

/// Two ends of a connection that is encrypted both ways.
#[track_caller]
fn encrypted() -> (TcpStream, TcpStream) {
    let (a, b) = tcp();
    for end in [&a, &b] {
        set(end, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls\0");
    }
    encrypt(&a, Some(&b), 7);
    encrypt(&b, Some(&a), 9);
    (a, b)
}

fn send_of(socket: &TcpStream, bytes: &[u8]) -> Send {
    Send {
        sockfd: socket.as_raw_fd(),
        buf: bytes.as_ptr().cast(),
        len: bytes.len().try_into().expect("a few bytes"),
        flags: 0,
    }
}

/// Receives once, and returns what came.
#[track_caller]
fn receive<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &TcpStream,
) -> Vec<u8> {
    let mut memory = vec![0; 32_768];
    let recv = Recv {
        sockfd: socket.as_raw_fd(),
        buf: memory.as_mut_ptr().cast(),
        len: memory.len().try_into().expect("little memory"),
        flags: 0,
    };
    // SAFETY: the memory and the socket are there until the completion.
    let done = unsafe { rings::run(cq, sq, &recv, |_| ()) };
    memory.truncate(done.result().expect("data").try_into().expect("a count"));
    memory
}

/// Sends, and returns how many bytes were taken.
#[track_caller]
fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &TcpStream,
    bytes: &[u8],
) -> usize {
    // SAFETY: the bytes and the socket are there until the completion.
    let done = unsafe { rings::run(cq, sq, &send_of(socket, bytes), |_| ()) };
    done.result()
        .expect("a sent message")
        .try_into()
        .expect("a count")
}

#[test]
fn messages_arrive_both_ways() {
    if !device::is_there("tls") {
        return;
    }
    each_ring!(|cq, sq| {
        let (a, b) = encrypted();
        for round in 0..20 {
            for (from, to, len) in [(&a, &b, 18), (&b, &a, 5000)] {
                let bytes = pattern(round, len);
                assert_eq!(send(cq, sq, from, &bytes), len);
                assert_eq!(receive(cq, sq, to), bytes);
            }
        }
    });
}

#[test]
fn stream_of_many_records_arrives() {
    if !device::is_there("tls") {
        return;
    }
    each_ring!(|cq, sq| {
        let (a, b) = encrypted();
        let bytes = pattern(3, 200_000);
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < bytes.len() {
            if sent < bytes.len() {
                let end = bytes.len().min(sent + 40_000);
                sent += send(cq, sq, &a, &bytes[sent..end]);
            }
            while received.len() < sent {
                received.extend(receive(cq, sq, &b));
            }
        }
        assert_eq!(received, bytes);
    });
}

#[test]
fn what_is_on_the_wire_is_encrypted() {
    if !device::is_there("tls") {
        return;
    }
    each_ring!(|cq, sq| {
        let (a, b) = tcp();
        set(&a, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls\0");
        encrypt(&a, None, 7);
        let bytes = pattern(1, 100);
        assert_eq!(send(cq, sq, &a, &bytes), 100);
        let wire = receive(cq, sq, &b);
        // A record of data, version 1.2, and its length.
        assert_eq!(wire[..3], [23, 3, 3]);
        assert_eq!(
            usize::from(u16::from_be_bytes([wire[3], wire[4]])),
            wire.len() - 5
        );
        assert!(wire.len() > 100);
        assert!(!wire.windows(10).any(|window| window == &bytes[..10]));
    });
}

#[test]
fn record_that_was_changed_on_the_way_is_an_error() {
    if !device::is_there("tls") {
        return;
    }
    each_ring!(|cq, sq| {
        let (a, b) = tcp();
        set(&b, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls\0");
        let (other, _peer) = tcp();
        set(&other, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls\0");
        encrypt(&other, Some(&b), 7);
        let forged = [&[23, 3, 3, 0, 40][..], &[5; 40]].concat();
        assert_eq!(send(cq, sq, &a, &forged), 45);
        let mut memory = [0; 64];
        let recv = Recv {
            sockfd: b.as_raw_fd(),
            buf: memory.as_mut_ptr().cast(),
            len: memory.len().try_into().expect("little memory"),
            flags: 0,
        };
        // SAFETY: the memory and the socket are there until the completion.
        let done = unsafe { rings::run(cq, sq, &recv, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EBADMSG);
    });
}

#[test]
fn receive_waits_for_a_record_and_is_cancelled() {
    if !device::is_there("tls") || !needs::operations(&[OpCode::ASYNC_CANCEL]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (a, b) = encrypted();
        let mut memory = [0; 64];
        let recv = Recv {
            sockfd: b.as_raw_fd(),
            buf: memory.as_mut_ptr().cast(),
            len: memory.len().try_into().expect("little memory"),
            flags: 0,
        };
        // SAFETY: the memory and the socket are there until the completion.
        unsafe { sq.push(&recv, rings::PENDING) }.unwrap();
        rings::submit_pending(cq, sq);
        assert_eq!(rings::cancel(cq, sq).raw_result(), -libc::ECANCELED);
        assert_eq!(send(cq, sq, &a, b"kept"), 4);
        assert_eq!(receive(cq, sq, &b), b"kept");
    });
}
