//! Sending without a copy: messages, several buffers, addresses, and when the memory is free.

#![cfg(target_os = "linux")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use lio_uring::operation::{Nop, OpCode, SendZc, SendmsgZc};
use lio_uring::{RecvSendFlags, Sqe, SqeFlags};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/zero_copy.rs"]
mod zero_copy;

use messages::{message, part};
use rings::next;
use sockets::{ADDRESS_SIZE, assert_empty, bytes, count, take, tcp, to_kernel, udp};
use zero_copy::{assert_cancelled_sends_nothing, both, run_zc};

/// Whether the kernel sends messages without a copy: since Linux 6.1.
#[track_caller]
fn has_messages() -> bool {
    needs::operations(&[OpCode::SENDMSG_ZC])
}

fn sendmsg_of(socket: &impl AsRawFd, msg: &libc::msghdr) -> SendmsgZc {
    SendmsgZc {
        fd: socket.as_raw_fd(),
        msg,
        flags: 0,
    }
}

fn zc_of(socket: &impl AsRawFd, data: &[u8]) -> SendZc {
    SendZc {
        sockfd: socket.as_raw_fd(),
        buf: data.as_ptr().cast(),
        len: data.len().try_into().expect("a small buffer"),
        flags: 0,
        zc_flags: RecvSendFlags::empty(),
    }
}

#[test]
fn sendmsg_zc_needs_the_memory_until_the_notification() {
    if !has_messages() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let (mut one, mut two) = (bytes(1000), bytes(3000));
        let parts = [part(&one), part(b"between"), part(&two)];
        let mut msg = message(&parts);
        // SAFETY: the parts and the socket stay until the last completion has been taken, the
        // message until the entry has been submitted.
        unsafe { sq.push(&sendmsg_of(&here, &msg), 7) }.unwrap();
        sq.submit().unwrap();
        msg.msg_iov = ptr::null_mut();
        let (result, notification) = both(cq);
        assert_eq!((count(result), result.more()), (4007, true));
        assert_eq!(notification.expect("a notification").raw_result(), 0);
        one.fill(0xff);
        two.fill(0xff);
        let wanted = [bytes(1000), b"between".to_vec(), bytes(3000)].concat();
        assert!(take(&mut there, 4007) == wanted, "the data of before");
        assert!(msg.msg_iov.is_null());
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_zc_of_everything_sends_more_than_there_is_room_for() {
    if !has_messages() {
        return;
    }
    let data = bytes(8 << 20);
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let parts = [part(&data[..1 << 20]), part(&data[1 << 20..])];
        let msg = message(&parts);
        thread::scope(|scope| {
            let reader = scope.spawn(|| take(&mut there, 8 << 20));
            let sendmsg = SendmsgZc {
                flags: libc::MSG_WAITALL,
                ..sendmsg_of(&here, &msg)
            };
            // SAFETY: all of the message and the socket stay until the last completion has been
            // taken.
            let (result, _) = unsafe { run_zc(cq, sq, &sendmsg, |_| ()) };
            assert_eq!(count(result), 8 << 20);
            assert!(reader.join().unwrap() == data);
        });
    });
}

#[test]
fn sendmsg_zc_over_the_loopback_device_reports_that_it_has_copied() {
    // The flag came with Linux 6.2.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let parts = [part(b"a mess"), part(b"age")];
        let msg = message(&parts);
        let settings =
            |sqe: &mut Sqe| sqe.insert_recv_send_flags(RecvSendFlags::SEND_ZC_REPORT_USAGE);
        // SAFETY: all of the message and the socket stay until the last completion has been taken.
        let done = unsafe { run_zc(cq, sq, &sendmsg_of(&here, &msg), settings) };
        assert_eq!(count(done.0), 9);
        assert_eq!(done.1.expect("a notification").raw_result(), i32::MIN);
        assert_eq!(take(&mut there, 9), b"a message");
    });
}

#[test]
fn zero_copy_reaches_each_of_several_destinations() {
    if !has_messages() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, from) = udp();
        let peers = [udp(), udp(), udp()];
        for (i, (_, to)) in peers.iter().enumerate() {
            let mut address = to_kernel(*to);
            let data = [b'0' + u8::try_from(i).unwrap(); 1000];
            if i == 1 {
                let parts = [part(&data)];
                let mut msg = message(&parts);
                msg.msg_name = (&raw mut address).cast();
                msg.msg_namelen = ADDRESS_SIZE.into();
                // SAFETY: all of the message and the socket stay until the last completion has
                // been taken.
                let (result, _) = unsafe { run_zc(cq, sq, &sendmsg_of(&here, &msg), |_| ()) };
                assert_eq!(count(result), 1000);
                continue;
            }
            let settings = |sqe: &mut Sqe| {
                sqe.set_destination((&raw const address).cast(), ADDRESS_SIZE);
            };
            // SAFETY: data, address and socket stay until the last completion has been taken.
            let (result, _) = unsafe { run_zc(cq, sq, &zc_of(&here, &data), settings) };
            assert_eq!(count(result), 1000);
        }
        for ((peer, _), digit) in peers.iter().zip(b'0'..) {
            let mut buffer = [0; 1200];
            assert_eq!(peer.recv_from(&mut buffer).unwrap(), (1000, from));
            assert_eq!(buffer[..1000], [digit; 1000]);
            assert_empty(peer);
        }
    });
}

#[test]
fn send_zc_of_several_buffers_sends_them_in_order() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let parts = [part(b"one"), part(b""), part(b"three")];
        let several = SendZc {
            sockfd: here.as_raw_fd(),
            buf: parts.as_ptr().cast(),
            len: 3,
            flags: 0,
            zc_flags: RecvSendFlags::SEND_VECTORIZED,
        };
        // SAFETY: the array, what it names and the socket stay until the last completion has been
        // taken.
        let (result, _) = unsafe { run_zc(cq, sq, &several, |_| ()) };
        if result.raw_result() == -libc::EINVAL && kernel::lacks(6, 17, "sends are of one part") {
            assert_empty(&there);
        } else {
            assert_eq!(count(result), 8);
            assert_eq!(take(&mut there, 8), b"onethree");
        }
    });
}

#[test]
fn zero_copy_in_a_chain_starts_what_is_behind_it() {
    if !has_messages() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let parts = [part(b"linked")];
        let msg = message(&parts);
        // SAFETY: all of the message and the socket stay until the last completion has been taken.
        unsafe { sq.push_with_flags(&sendmsg_of(&here, &msg), 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        sq.submit().unwrap();
        let mut done: Vec<_> = (0..3).map(|_| next(cq)).collect();
        done.sort_by_key(|done| (done.user_data(), done.is_notification()));
        let results: Vec<_> = done
            .iter()
            .map(|d| (d.user_data(), d.raw_result()))
            .collect();
        assert_eq!(results, [(1, 6), (1, 0), (2, 0)]);
        assert!(done[0].more() && done[1].is_notification());
        assert_eq!(take(&mut there, 6), b"linked");
    });
}

#[test]
fn sendmsg_zc_that_cannot_be_gives_the_documented_errors() {
    if !has_messages() {
        return;
    }
    each_ring!(|cq, sq| {
        let (unix, peer) = UnixStream::pair().unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        let (here, there) = tcp();
        let (shut, _other) = tcp();
        shut.shutdown(std::net::Shutdown::Write).unwrap();
        let (alone, _) = udp();
        let parts = [part(b"never")];
        let msg = message(&parts);
        let nowhere = SendmsgZc {
            msg: ptr::without_provenance(1),
            ..sendmsg_of(&here, &msg)
        };
        let broken = [libc::iovec {
            iov_base: ptr::without_provenance_mut(1),
            iov_len: 4,
        }];
        let broken = message(&broken);
        let skip = SqeFlags::CQE_SKIP_SUCCESS;
        let none = SqeFlags::empty();
        for (what, sendmsg, flags, errno) in [
            (
                "of AF_UNIX",
                sendmsg_of(&unix, &msg),
                none,
                libc::EOPNOTSUPP,
            ),
            ("a pipe", sendmsg_of(&writer, &msg), none, libc::ENOTSOCK),
            ("nothing", sendmsg_of(&-1, &msg), none, libc::EBADF),
            ("shut down", sendmsg_of(&shut, &msg), none, libc::EPIPE),
            (
                "no peer",
                sendmsg_of(&alone, &msg),
                none,
                libc::EDESTADDRREQ,
            ),
            ("no message", nowhere, none, libc::EFAULT),
            ("no data", sendmsg_of(&here, &broken), none, libc::EFAULT),
            ("silence", sendmsg_of(&here, &msg), skip, libc::EINVAL),
        ] {
            let settings = |sqe: &mut Sqe| sqe.insert_flags(flags);
            // SAFETY: all of the message and the socket stay until the last completion has been
            // taken; the kernel reads nothing where nothing is mapped.
            let (result, _) = unsafe { run_zc(cq, sq, &sendmsg, settings) };
            assert_eq!(result.raw_result(), -errno, "{what}");
        }
        assert_empty(&there);
        assert_empty(&peer);
    });
}

#[test]
fn sendmsg_zc_cancelled_has_sent_nothing() {
    if !has_messages() {
        return;
    }
    each_ring!(|cq, sq| {
        // They are never freed, for the kernel may use them as long as the test runs.
        let parts = Vec::leak(vec![part(b"never")]);
        let msg = Box::leak(Box::new(message(parts)));
        let pair = tcp();
        let sendmsg = sendmsg_of(&pair.0, msg);
        // SAFETY: message and data are valid for ever, and nothing writes them.
        unsafe { assert_cancelled_sends_nothing(cq, sq, pair, &sendmsg) };
    });
}
