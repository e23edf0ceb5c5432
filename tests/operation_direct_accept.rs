//! Accepting connections into slots of the registered files, without descriptors.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{AcceptDirect, AcceptMultiDirect, OpCode};
use lio_uring::{AcceptFlags, CompletionQueue, FileSlot, Sqe, SubmissionQueue};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/socket_slots.rs"]
mod socket_slots;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{PENDING, cancel, next, run, submit_pending};
use socket_slots::{assert_connected, close};
use sockets::{ADDRESS_SIZE, from_kernel, listener};

/// What memory holds that nothing has been written to.
const UNTOUCHED: u8 = 0xaa;

/// Whether slots can be picked by the kernel, tables be empty and sockets be made: since 5.19.
#[track_caller]
fn has_slots() -> bool {
    needs::operations(&[OpCode::SOCKET])
}

fn accept_of(listener: &impl AsRawFd, file_index: FileSlot) -> AcceptDirect {
    AcceptDirect {
        fd: listener.as_raw_fd(),
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags: 0,
        file_index,
    }
}

/// Accepts a connection, and returns the result.
#[track_caller]
fn accept<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    accept: &AcceptDirect,
) -> i32 {
    assert!(accept.addr.is_null());
    // SAFETY: the address is null, and the tests keep their listeners.
    unsafe { run(cq, sq, accept, |_| ()) }.raw_result()
}

#[test]
fn accept_direct_talks_through_its_slot_and_tells_the_peer() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(3).unwrap();
        for file_index in [FileSlot::At(1), FileSlot::Allocate] {
            let (mut room, mut addrlen) = ([UNTOUCHED; 32], 32);
            let accept = AcceptDirect {
                addr: room.as_mut_ptr().cast(),
                addrlen: &raw mut addrlen,
                flags: libc::SOCK_NONBLOCK,
                ..accept_of(&listener, file_index)
            };
            // SAFETY: nothing else uses the room and its size until the completion has been taken,
            // and the listener stays.
            unsafe { sq.push(&accept, PENDING) }.unwrap();
            submit_pending(cq, sq);
            let mut peer = TcpStream::connect(here).unwrap();
            let done = next(cq);
            let result = done.result().unwrap();
            let slot = if file_index == FileSlot::Allocate {
                assert_ne!(result, 1, "it is taken");
                result
            } else {
                assert_eq!(result, 0);
                1
            };
            assert_eq!(addrlen, ADDRESS_SIZE.into());
            assert_eq!(from_kernel(&room), peer.local_addr().unwrap());
            assert_eq!(room[16..], [UNTOUCHED; 16]);
            assert_connected(cq, sq, slot, &mut peer);
        }
    });
}

#[test]
fn accept_direct_that_cannot_be_closes_the_connection_or_leaves_it() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        for (index, errno) in [
            (FileSlot::At(0), libc::ENXIO),
            (FileSlot::Allocate, libc::ENFILE),
        ] {
            let mut peer = TcpStream::connect(here).unwrap();
            let result = accept(cq, sq, &accept_of(&listener, index));
            assert_eq!(result, -errno, "without a table");
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
        }
        sq.register_files_sparse(1).unwrap();
        let mut peer = TcpStream::connect(here).unwrap();
        let result = accept(cq, sq, &accept_of(&listener, FileSlot::At(1)));
        assert_eq!(result, -libc::EINVAL, "outside of it");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");

        let mut peer = TcpStream::connect(here).unwrap();
        let inherited = AcceptDirect {
            flags: libc::SOCK_CLOEXEC,
            ..accept_of(&listener, FileSlot::Allocate)
        };
        assert_eq!(accept(cq, sq, &inherited), -libc::EINVAL);
        // It is refused before anything is accepted.
        assert_eq!(accept(cq, sq, &accept_of(&listener, FileSlot::Allocate)), 0);
        assert_connected(cq, sq, 0, &mut peer);

        let mut peer = TcpStream::connect(here).unwrap();
        let result = accept(cq, sq, &accept_of(&listener, FileSlot::Allocate));
        assert_eq!(result, -libc::ENFILE, "the table is full");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
    });
}

#[test]
fn accept_direct_cancelled_leaves_the_slot_and_the_connection() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let (old, mut other) = sockets::tcp();
        sq.register_files(&[old.as_raw_fd()]).unwrap();
        let waiting = accept_of(&listener, FileSlot::At(0));
        // SAFETY: the address is null, and the listener stays.
        unsafe { sq.push(&waiting, PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        assert_connected(cq, sq, 0, &mut other);
        let mut peer = TcpStream::connect(here).unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!(accept(cq, sq, &waiting), 0);
        assert_connected(cq, sq, 0, &mut peer);
    });
}

#[test]
fn accept_direct_that_may_not_wait_or_polls_first() {
    // The flags came with Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(1).unwrap();
        let accept = accept_of(&listener, FileSlot::At(0));
        let dontwait = |sqe: &mut Sqe| sqe.insert_accept_flags(AcceptFlags::DONTWAIT);
        let poll_first = |sqe: &mut Sqe| sqe.insert_accept_flags(AcceptFlags::POLL_FIRST);
        // SAFETY: the address is null, and the listener stays.
        let done = unsafe { run(cq, sq, &accept, dontwait) };
        assert_eq!(done.raw_result(), -libc::EAGAIN);
        let mut peer = TcpStream::connect(here).unwrap();
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &accept, poll_first) };
        assert_eq!(done.result().unwrap(), 0);
        assert_connected(cq, sq, 0, &mut peer);
    });
}

/// Accepts a connection again and again where that ends at once, and returns the result.
#[track_caller]
fn accept_all<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    accept: &AcceptMultiDirect,
) -> i32 {
    assert!(accept.addr.is_null());
    // SAFETY: the address is null, and the tests keep their listeners.
    unsafe { run(cq, sq, accept, |_| ()) }.raw_result()
}

fn accept_all_of(listener: &impl AsRawFd) -> AcceptMultiDirect {
    AcceptMultiDirect {
        fd: listener.as_raw_fd(),
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags: 0,
    }
}

#[test]
fn accept_multi_direct_fills_the_slots_until_there_is_none() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(3).unwrap();
        // SAFETY: the address is null, and the listener stays.
        unsafe { sq.push(&accept_all_of(&listener), PENDING) }.unwrap();
        submit_pending(cq, sq);
        let mut peers = Vec::new();
        for slot in 0..3 {
            peers.push(TcpStream::connect(here).unwrap());
            let done = next(cq);
            assert_eq!((done.user_data(), done.more()), (PENDING, true));
            assert_eq!(done.result().unwrap(), slot);
        }
        // An empty slot serves again.
        close(cq, sq, 1);
        assert_eq!(peers[1].read(&mut [0]).unwrap(), 0, "it is closed");
        peers[1] = TcpStream::connect(here).unwrap();
        let done = next(cq);
        assert_eq!((done.result().unwrap(), done.more()), (1, true));
        for (slot, peer) in (0..).zip(&mut peers) {
            assert_connected(cq, sq, slot, peer);
        }
        let mut peer = TcpStream::connect(here).unwrap();
        let done = next(cq);
        assert_eq!((done.raw_result(), done.more()), (-libc::ENFILE, false));
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
    });
}

#[test]
fn accept_multi_direct_cancelled_leaves_the_next_connection() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        sq.register_files_sparse(2).unwrap();
        let (mut room, mut addrlen) = ([0; 16], ADDRESS_SIZE.into());
        let accept = AcceptMultiDirect {
            addr: room.as_mut_ptr().cast(),
            addrlen: &raw mut addrlen,
            ..accept_all_of(&listener)
        };
        // SAFETY: nothing else uses the room and its size until the last completion has been
        // taken, and the listener stays.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        submit_pending(cq, sq);
        let first = TcpStream::connect(here).unwrap();
        assert_eq!(next(cq).result().unwrap(), 0);
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        assert_eq!(addrlen, ADDRESS_SIZE.into());
        assert_eq!(from_kernel(&room), first.local_addr().unwrap());
        let second = TcpStream::connect(here).unwrap();
        let (_, address) = listener.accept().unwrap();
        assert_eq!(address, second.local_addr().unwrap());
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn accept_multi_direct_that_cannot_be_gives_the_documented_errors() {
    if !has_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let mut peer = TcpStream::connect(here).unwrap();
        let result = accept_all(cq, sq, &accept_all_of(&listener));
        assert_eq!(result, -libc::ENFILE, "without a table");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
        sq.register_files_sparse(1).unwrap();
        let inherited = AcceptMultiDirect {
            flags: libc::SOCK_CLOEXEC,
            ..accept_all_of(&listener)
        };
        let (pipe, _writer) = io::pipe().unwrap();
        for (accept, errno) in [
            (inherited, libc::EINVAL),
            (accept_all_of(&pipe), libc::ENOTSOCK),
            (accept_all_of(&-1), libc::EBADF),
        ] {
            assert_eq!(accept_all(cq, sq, &accept), -errno);
        }
    });
}
