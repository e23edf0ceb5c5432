//! Sockets in slots of the registered files: sending and receiving through them.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::Write as _;
use std::net::TcpStream;
use std::os::fd::RawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{CloseFixed, Recv, Send};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

use crate::rings::run;
use crate::sockets::{count, take};

pub(crate) fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

/// Empties a slot.
#[track_caller]
pub(crate) fn close<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file_index: u32,
) {
    // SAFETY: it points to nothing, and the slots are the test's own.
    let done = unsafe { run(cq, sq, &CloseFixed { file_index }, |_| ()) };
    assert_eq!(done.result().expect("a file in the slot"), 0);
}

pub(crate) fn recv_of(slot: RawFd, buffer: &mut [u8]) -> Recv {
    Recv {
        sockfd: slot,
        buf: buffer.as_mut_ptr().cast(),
        len: buffer.len().try_into().expect("a small buffer"),
        flags: 0,
    }
}

pub(crate) fn send_of(slot: RawFd, data: &[u8]) -> Send {
    Send {
        sockfd: slot,
        buf: data.as_ptr().cast(),
        len: data.len().try_into().expect("a small buffer"),
        flags: 0,
    }
}

/// Receives up to 16 bytes through a slot.
#[track_caller]
pub(crate) fn recv<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: RawFd,
) -> Vec<u8> {
    let mut buffer = [0; 16];
    // SAFETY: the buffer is left alone until the completion has been taken.
    let n = count(unsafe { run(cq, sq, &recv_of(slot, &mut buffer), fixed) });
    buffer[..n].to_vec()
}

/// Sends through a slot.
#[track_caller]
pub(crate) fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: RawFd,
    data: &[u8],
) {
    // SAFETY: the data is borrowed until the completion has been taken.
    let done = unsafe { run(cq, sq, &send_of(slot, data), fixed) };
    assert_eq!(count(done), data.len());
}

/// Fails unless bytes go both ways between a slot and its peer.
#[track_caller]
pub(crate) fn assert_connected<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: RawFd,
    peer: &mut TcpStream,
) {
    peer.write_all(b"to a slot").expect("a connection");
    assert_eq!(recv(cq, sq, slot), b"to a slot");
    send(cq, sq, slot, b"from a slot");
    assert_eq!(take(peer, 11), b"from a slot");
}
