//! Sockets without descriptors: made in slots, and all of a server that way.

#![cfg(target_os = "linux")]

use std::io::Read as _;
use std::os::fd::AsRawFd;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use lio_uring::kind::Threads;
use lio_uring::operation::{
    AcceptMultiDirect, Bind, Connect, Listen, OpCode, Shutdown, SocketDirect,
};
use lio_uring::{CompletionQueue, FileSlot, SqeFlags, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/socket_slots.rs"]
mod socket_slots;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{PENDING, cancel, results, run, submit_pending};
use socket_slots::{assert_connected, close, fixed, recv, recv_of, send, send_of};
use sockets::{ADDRESS_SIZE, listener, to_kernel};

const STREAM: SocketDirect = SocketDirect {
    domain: libc::AF_INET,
    r#type: libc::SOCK_STREAM,
    protocol: 0,
    file_index: FileSlot::At(0),
    flags: 0,
};

/// Whether slots can be picked by the kernel, tables be empty and sockets be made: since 5.19.
#[track_caller]
fn has_slots() -> bool {
    needs::operations(&[OpCode::SOCKET])
}

/// Makes a socket, and returns the result.
#[track_caller]
fn make<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &SocketDirect,
) -> i32 {
    // SAFETY: it points to nothing, and the slots are the test's own.
    unsafe { run(cq, sq, socket, |_| ()) }.raw_result()
}

#[test]
fn socket_direct_connects_through_its_slot() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let address = to_kernel(here);
        sq.register_files_sparse(4).unwrap();
        for file_index in [FileSlot::At(2), FileSlot::Allocate] {
            let socket = SocketDirect {
                file_index,
                ..STREAM
            };
            let made = make(cq, sq, &socket);
            let slot = if file_index == FileSlot::Allocate {
                assert!([0, 1, 3].contains(&made), "{made}");
                made
            } else {
                assert_eq!(made, 0);
                2
            };
            let connect = Connect {
                fd: slot,
                addr: (&raw const address).cast(),
                addrlen: ADDRESS_SIZE.into(),
            };
            // SAFETY: the address stays until the completion has been taken.
            let done = unsafe { run(cq, sq, &connect, fixed) };
            assert_eq!(done.result().unwrap(), 0);
            let (mut peer, _) = listener.accept().unwrap();
            assert_connected(cq, sq, slot, &mut peer);
        }
    });
}

#[test]
fn socket_direct_replaces_what_its_slot_held() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = sockets::tcp();
        sq.register_files(&[here.as_raw_fd()]).unwrap();
        drop(here);
        send(cq, sq, 0, b"before");
        assert_eq!(make(cq, sq, &STREAM), 0);
        let mut all = Vec::new();
        there.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"before", "it is closed");
        let mut buffer = [0; 4];
        // SAFETY: the buffer is left alone until the completion has been taken.
        let done = unsafe { run(cq, sq, &recv_of(0, &mut buffer), fixed) };
        assert_eq!(done.raw_result(), -libc::ENOTCONN, "of the new socket");
    });
}

#[test]
fn socket_direct_that_cannot_be_gives_the_documented_errors() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let any = SocketDirect {
            file_index: FileSlot::Allocate,
            ..STREAM
        };
        assert_eq!(make(cq, sq, &STREAM), -libc::ENXIO, "without a table");
        assert_eq!(make(cq, sq, &any), -libc::ENFILE, "without a table");
        sq.register_files_sparse(1).unwrap();
        let outside = SocketDirect {
            file_index: FileSlot::At(1),
            ..STREAM
        };
        let cloexec = SocketDirect {
            r#type: libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            ..any
        };
        let flags = SocketDirect { flags: 1, ..any };
        let family = SocketDirect { domain: -1, ..any };
        for (what, socket, errno) in [
            ("outside of it", outside, libc::EINVAL),
            ("inherited", cloexec, libc::EINVAL),
            ("with flags", flags, libc::EINVAL),
            ("of no family", family, libc::EAFNOSUPPORT),
        ] {
            assert_eq!(make(cq, sq, &socket), -errno, "{what}");
        }
        assert_eq!(make(cq, sq, &any), 0);
        assert_eq!(make(cq, sq, &any), -libc::ENFILE, "the table is full");
    });
}

/// The address of a socket that has no file, and is nobody else's.
fn abstract_address() -> libc::sockaddr_un {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("\0lio-uring {} {number}", process::id());
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX.try_into().expect("a small number"),
        sun_path: [0; 108],
    };
    for (place, byte) in address.sun_path.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::try_from(byte).expect("letters and digits");
    }
    address
}

#[test]
fn server_and_client_run_on_operations_and_slots_alone() {
    const LISTENER: u32 = 0;
    const CLIENT: u32 = 1;
    // The last of the operations came with Linux 6.11.
    if !needs::operations(&[OpCode::BIND, OpCode::LISTEN]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(4).unwrap();
        let address = abstract_address();
        let addrlen = size_of_val(&address).try_into().unwrap();
        let socket = |slot| SocketDirect {
            domain: libc::AF_UNIX,
            file_index: FileSlot::At(slot),
            ..STREAM
        };
        let bind = Bind {
            fd: LISTENER.cast_signed(),
            addr: (&raw const address).cast(),
            addrlen,
        };
        let listen = Listen {
            fd: LISTENER.cast_signed(),
            backlog: 4,
        };
        let accept = AcceptMultiDirect {
            fd: LISTENER.cast_signed(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
        };
        let chained = SqeFlags::FIXED_FILE | SqeFlags::IO_LINK;
        // SAFETY: the operation points to nothing.
        unsafe { sq.push_with_flags(&socket(LISTENER), 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the address stays until the completion has been taken.
        unsafe { sq.push_with_flags(&bind, 2, chained) }.unwrap();
        // SAFETY: the operation points to nothing.
        unsafe { sq.push_with_flags(&listen, 3, SqeFlags::FIXED_FILE) }.unwrap();
        assert_eq!(results(cq, sq, 3), [(1, 0), (2, 0), (3, 0)]);
        // SAFETY: the address is null.
        unsafe { sq.push_with_flags(&accept, PENDING, SqeFlags::FIXED_FILE) }.unwrap();
        submit_pending(cq, sq);

        for round in 0..3 {
            let connect = Connect {
                fd: CLIENT.cast_signed(),
                addr: (&raw const address).cast(),
                addrlen,
            };
            let request = format!("request {round}");
            let request = send_of(CLIENT.cast_signed(), request.as_bytes());
            // SAFETY: the operation points to nothing.
            unsafe { sq.push_with_flags(&socket(CLIENT), 2, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: the address stays until the completion has been taken.
            unsafe { sq.push_with_flags(&connect, 3, chained) }.unwrap();
            // SAFETY: the text stays until the completion has been taken.
            unsafe { sq.push_with_flags(&request, 4, SqeFlags::FIXED_FILE) }.unwrap();
            let mut done = results(cq, sq, 4);
            let (PENDING, slot) = done.remove(0) else {
                panic!("{done:?}")
            };
            assert_eq!(done, [(2, 0), (3, 0), (4, 9)]);
            assert!(slot == 2 || slot == 3, "slot {slot} is free");

            let received = recv(cq, sq, slot);
            assert_eq!(received, format!("request {round}").as_bytes());
            let answer: Vec<_> = received.iter().rev().copied().collect();
            send(cq, sq, slot, &answer);
            assert_eq!(recv(cq, sq, CLIENT.cast_signed()), answer);
            let shutdown = Shutdown {
                fd: slot,
                how: libc::SHUT_WR,
            };
            // SAFETY: the operation points to nothing.
            unsafe { run(cq, sq, &shutdown, fixed) }.result().unwrap();
            assert_eq!(recv(cq, sq, CLIENT.cast_signed()), b"", "the end");
            close(cq, sq, slot.cast_unsigned());
            close(cq, sq, CLIENT);
        }
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}
