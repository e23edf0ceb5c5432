//! Receiving messages again and again, and taking the buffers apart that they are in.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, RecvmsgMulti, RecvmsgOut};
use lio_uring::{Completion, CompletionQueue, Sqe, SubmissionQueue};

#[path = "support/group.rs"]
mod group;
#[path = "support/messages.rs"]
mod messages;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use group::{Buffers, select};
use messages::{control_room, descriptors, message, part, rights, set_control_len};
use rings::{PENDING, cancel, next, run, submit_pending};
use sockets::{ADDRESS_SIZE, from_kernel, set_option, udp};

const SIZE: usize = 128;
/// The size of what every message begins with.
const HEADER: usize = 16;

/// Whether the kernel has the operation: since Linux 6.0, as `SEND_ZC`.
#[track_caller]
fn has_it() -> bool {
    needs::operations(&[OpCode::SEND_ZC])
}

/// A message that asks for this much room for the address and for control data.
fn layout(name: u32, control: usize) -> libc::msghdr {
    let mut msg = message(&[]);
    msg.msg_iov = ptr::null_mut();
    msg.msg_namelen = name;
    set_control_len(&mut msg, control);
    msg
}

fn multi_of(socket: &impl AsRawFd, msg: &mut libc::msghdr, flags: i32) -> RecvmsgMulti {
    RecvmsgMulti {
        fd: socket.as_raw_fd(),
        msg,
        flags,
    }
}

/// Pushes the operation, and submits it.
#[track_caller]
fn start<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    msg: &mut libc::msghdr,
    flags: i32,
) {
    // SAFETY: the group's buffers are valid for ever, the message until the entry has been
    // submitted, and the tests keep their sockets.
    unsafe { sq.push_with(&multi_of(socket, msg, flags), PENDING, select) }.expect("room");
    sq.submit().expect("a submission");
}

/// Takes the next completion, which is not the last.
#[track_caller]
fn message_of<T: Threads>(cq: &mut CompletionQueue<T>) -> Completion {
    let done = next(cq);
    assert_eq!((done.user_data(), done.more()), (PENDING, true));
    done
}

/// Takes the next completion, which is the last and brings nothing.
#[track_caller]
fn assert_ended<T: Threads>(cq: &mut CompletionQueue<T>, errno: i32) {
    let done = next(cq);
    assert_eq!((done.raw_result(), done.more()), (-errno, false));
    assert_eq!((done.user_data(), done.buffer_id()), (PENDING, None));
}

#[test]
fn recvmsg_multi_brings_each_datagram_with_its_sender_until_it_is_cancelled() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let peers = [udp(), udp()];
        let buffers = Buffers::new(4, SIZE);
        let mut ring = buffers.ring(sq);
        let mut msg = layout(ADDRESS_SIZE.into(), 0);
        // One is there already.
        peers[0].0.send_to(b"datagram 00", to).unwrap();
        start(sq, &here, &mut msg, 0);
        for i in 0..30 {
            let (bytes, id) = buffers.take(message_of(cq));
            assert_eq!(bytes.len(), HEADER + 16 + 11);
            let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
            assert_eq!(out.payload(), format!("datagram {i:02}").as_bytes());
            assert_eq!(out.payload_len(), 11);
            assert_eq!((out.name_len(), out.flags()), (16, 0));
            assert_eq!(from_kernel(out.name()), peers[i % 2].1);
            assert_eq!(
                (out.control(), out.control_messages().count()),
                (&[][..], 0)
            );
            assert_eq!(usize::from(id), i % 4);
            // It is used again, so the ring goes around.
            buffers.add(&mut ring, id);
            let text = format!("datagram {:02}", i + 1);
            peers[(i + 1) % 2].0.send_to(text.as_bytes(), to).unwrap();
        }
        let (bytes, _) = buffers.take(message_of(cq));
        assert_eq!(bytes[HEADER + 16..], *b"datagram 30");
        let last = cancel(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ECANCELED, false));
        assert_eq!(last.buffer_id(), None);
        peers[0].0.send_to(b"kept", to).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(here.recv(&mut buffer).unwrap(), 4);
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn recvmsg_multi_needs_the_message_no_more_once_it_is_submitted() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, from) = udp();
        let buffers = Buffers::new(4, SIZE);
        let _ring = buffers.ring(sq);
        let asked = layout(ADDRESS_SIZE.into(), 24);
        let mut msg = asked;
        start(sq, &here, &mut msg, 0);
        msg.msg_namelen = 3;
        msg.msg_controllen = 0;
        for text in ["first", "second"] {
            there.send_to(text.as_bytes(), to).unwrap();
            let (bytes, _) = buffers.take(message_of(cq));
            let out = RecvmsgOut::parse(&bytes, &asked).unwrap();
            assert_eq!(out.payload(), text.as_bytes());
            assert_eq!(from_kernel(out.name()), from);
        }
        assert_eq!((msg.msg_namelen, msg.msg_controllen), (3, 0));
    });
}

#[test]
fn recvmsg_multi_brings_several_control_messages() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
        set_option(&here, libc::IPPROTO_IP, libc::IP_RECVTTL, 1);
        let (there, _) = udp();
        set_option(&there, libc::IPPROTO_IP, libc::IP_TTL, 77);
        let buffers = Buffers::new(4, SIZE);
        let _ring = buffers.ring(sq);
        // A time stamp is two numbers of 64 bits.
        let mut msg = layout(0, control_room(16) + control_room(4));
        start(sq, &here, &mut msg, 0);
        there.send_to(b"with ttl", to).unwrap();
        let (bytes, _) = buffers.take(message_of(cq));
        let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
        assert_eq!((out.payload(), out.name()), (&b"with ttl"[..], &[][..]));
        assert_eq!(out.flags() & libc::MSG_CTRUNC, 0);
        let all: Vec<_> = out.control_messages().collect();
        let [time, ttl] = all[..] else {
            panic!("{all:?}")
        };
        let kinds = (time.level, time.r#type, time.data.len());
        assert_eq!(kinds, (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, 16));
        let nanoseconds = i64::from_ne_bytes(time.data[8..].try_into().unwrap());
        assert!((0..1_000_000_000).contains(&nanoseconds), "{nanoseconds}");
        let kinds = (ttl.level, ttl.r#type, ttl.data);
        assert_eq!(
            kinds,
            (libc::IPPROTO_IP, libc::IP_TTL, &77i32.to_ne_bytes()[..])
        );
    });
}

#[test]
fn recvmsg_multi_brings_descriptors() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let buffers = Buffers::new(4, SIZE);
        let _ring = buffers.ring(sq);
        let mut msg = layout(0, control_room(8));
        start(sq, &here, &mut msg, libc::MSG_CMSG_CLOEXEC);
        for n in 1..=2 {
            let (readers, writers): (Vec<_>, Vec<_>) = (0..n).map(|_| io::pipe().unwrap()).unzip();
            let fds: Vec<RawFd> = readers.iter().map(AsRawFd::as_raw_fd).collect();
            let mut control = rights(&fds);
            let parts = [part(b"files")];
            let mut sent = message(&parts);
            sent.msg_control = control.as_mut_ptr().cast();
            set_control_len(&mut sent, control.len());
            // SAFETY: the message and what it names are valid.
            let result = unsafe { libc::sendmsg(there.as_raw_fd(), &raw const sent, 0) };
            assert_eq!(result, 5);
            drop(readers);

            let (bytes, _) = buffers.take(message_of(cq));
            let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
            assert_eq!((out.payload(), out.name_len()), (&b"files"[..], 0));
            let all: Vec<_> = out.control_messages().collect();
            let [passed] = all[..] else { panic!("{all:?}") };
            let kind = (passed.level, passed.r#type);
            assert_eq!(kind, (libc::SOL_SOCKET, libc::SCM_RIGHTS));
            // SAFETY: they have just come.
            let fds: Vec<OwnedFd> = unsafe { descriptors(passed.data) };
            assert_eq!(fds.len(), n);
            for (fd, mut writer) in fds.into_iter().zip(writers) {
                writer.write_all(b"through").unwrap();
                drop(writer);
                let mut through = String::new();
                File::from(fd).read_to_string(&mut through).unwrap();
                assert_eq!(through, "through");
            }
        }
    });
}

#[test]
fn recvmsg_multi_says_what_was_cut_off() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        for flags in [0, libc::MSG_TRUNC] {
            let (here, to) = udp();
            set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1);
            let (there, from) = udp();
            let buffers = Buffers::new(4, SIZE);
            let _ring = buffers.ring(sq);
            // No time stamp fits, and of the address only family, port and two bytes.
            let mut msg = layout(6, 8);
            start(sq, &here, &mut msg, flags);
            there.send_to(&sockets::bytes(500), to).unwrap();
            let (bytes, _) = buffers.take(message_of(cq));
            assert_eq!(bytes.len(), SIZE);
            let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
            let kept = SIZE - HEADER - 6 - 8;
            assert_eq!(out.payload(), sockets::bytes(kept));
            let told = if flags == 0 { kept } else { 500 };
            assert_eq!(out.payload_len() as usize, told);
            let both = libc::MSG_TRUNC | libc::MSG_CTRUNC;
            assert_eq!(out.flags() & both, both);
            assert_eq!((out.name().len(), out.name_len()), (6, 16));
            assert_eq!(out.name()[2..4], from.port().to_be_bytes());
            assert_eq!(out.control_messages().next(), None);
            assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        }
    });
}

#[test]
fn recvmsg_multi_takes_no_more_of_a_buffer_than_its_iovec_says() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        for (limit, kept) in [(0, 40), (HEADER + 10, 10)] {
            let (here, there) = UnixDatagram::pair().unwrap();
            let buffers = Buffers::new(4, SIZE);
            let _ring = buffers.ring(sq);
            let parts = [libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: limit,
            }];
            let mut msg = message(&parts);
            start(sq, &here, &mut msg, 0);
            there.send(&sockets::bytes(40)).unwrap();
            let (bytes, _) = buffers.take(message_of(cq));
            let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
            assert_eq!(out.payload(), sockets::bytes(kept));
            assert_eq!(out.flags() & libc::MSG_TRUNC != 0, kept < 40);
            assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        }
    });
}

#[test]
fn recvmsg_multi_ends_without_buffers_and_loses_nothing() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, _) = udp();
        let buffers = Buffers::new(2, SIZE);
        let mut msg = layout(0, 0);
        // Buffers that were provided the other way will do, too.
        buffers.provide(cq, sq, 0, 2);
        start(sq, &here, &mut msg, 0);
        let mut used = Vec::new();
        for text in ["first", "second", "third"] {
            there.send_to(text.as_bytes(), to).unwrap();
            if text == "third" {
                assert_ended(cq, libc::ENOBUFS);
                buffers.provide(cq, sq, used[1], 1);
                start(sq, &here, &mut msg, 0);
            }
            let (bytes, id) = buffers.take(message_of(cq));
            let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
            assert_eq!(out.payload(), text.as_bytes());
            used.push(id);
        }
        assert_eq!(used[2], used[1]);
        there.send_to(b"fourth", to).unwrap();
        assert_ended(cq, libc::ENOBUFS);
        let mut buffer = [0; 8];
        assert_eq!(here.recv(&mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"fourth");
    });
}

#[test]
fn recvmsg_multi_into_buffers_that_are_too_small_gives_efault() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, _) = udp();
        let buffers = Buffers::new(2, SIZE);
        let _ring = buffers.ring(sq);
        for (name, control) in [(0, SIZE), (128, 0), (100, 16)] {
            there.send_to(b"kept", to).unwrap();
            let mut msg = layout(name, control);
            start(sq, &here, &mut msg, 0);
            let done = next(cq);
            assert_eq!((done.raw_result(), done.more()), (-libc::EFAULT, false));
            let mut buffer = [0; 8];
            assert_eq!(here.recv(&mut buffer).unwrap(), 4);
        }
    });
}

/// Takes the next completion, which is the last and brings a message without bytes.
#[track_caller]
fn assert_ended_in_nothing<T: Threads>(
    cq: &mut CompletionQueue<T>,
    buffers: &Buffers,
    msg: &libc::msghdr,
) {
    let done = next(cq);
    assert_eq!((done.user_data(), done.more()), (PENDING, false));
    let (bytes, _) = buffers.take(done);
    let out = RecvmsgOut::parse(&bytes, msg).expect("a message");
    assert_eq!((out.payload(), out.payload_len()), (&[][..], 0));
}

#[test]
fn recvmsg_multi_ends_with_a_stream_and_with_an_empty_datagram() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let buffers = Buffers::new(4, SIZE);
        let _ring = buffers.ring(sq);
        let mut msg = layout(0, 0);
        let (here, mut there) = UnixStream::pair().unwrap();
        start(sq, &here, &mut msg, 0);
        there.write_all(b"a stream").unwrap();
        let (bytes, _) = buffers.take(message_of(cq));
        let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
        assert_eq!(out.payload(), b"a stream");
        drop(there);
        assert_ended_in_nothing(cq, &buffers, &msg);
        let (here, there) = UnixDatagram::pair().unwrap();
        start(sq, &here, &mut msg, 0);
        there.send(b"").unwrap();
        assert_ended_in_nothing(cq, &buffers, &msg);
    });
}

#[test]
fn recvmsg_multi_that_cannot_be_gives_the_documented_errors() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        let buffers = Buffers::new(2, SIZE);
        let _ring = buffers.ring(sq);
        let parts = [part(b""), part(b"")];
        let mut two = message(&parts);
        let mut msg = layout(0, 0);
        let nowhere = RecvmsgMulti {
            msg: ptr::without_provenance_mut(1),
            ..multi_of(&here, &mut msg, 0)
        };
        let none: fn(&mut Sqe) = |_| ();
        let with: fn(&mut Sqe) = select;
        for (what, multi, settings, errno) in [
            ("no group", multi_of(&here, &mut msg, 0), none, libc::EINVAL),
            (
                "all of it",
                multi_of(&here, &mut msg, libc::MSG_WAITALL),
                with,
                libc::EINVAL,
            ),
            (
                "two parts",
                multi_of(&here, &mut two, 0),
                with,
                libc::EINVAL,
            ),
            ("not mapped", nowhere, with, libc::EFAULT),
            (
                "a pipe",
                multi_of(&reader, &mut msg, 0),
                with,
                libc::ENOTSOCK,
            ),
            ("nothing", multi_of(&-1, &mut msg, 0), with, libc::EBADF),
        ] {
            // SAFETY: the group's buffers are valid for ever, the messages and the sockets stay.
            let done = unsafe { run(cq, sq, &multi, settings) };
            assert_eq!((done.raw_result(), done.more()), (-errno, false), "{what}");
        }
    });
}

#[test]
fn recvmsg_multi_waits_with_the_socket_of_a_slot() {
    if !has_it() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let buffers = Buffers::new(2, SIZE);
        let _ring = buffers.ring(sq);
        sq.register_files(&[-1, here.as_raw_fd()]).unwrap();
        let mut msg = layout(0, 0);
        let multi = multi_of(&1, &mut msg, 0);
        // SAFETY: the group's buffers are valid for ever, the message until the entry has been
        // submitted, and the slot holds the socket.
        unsafe {
            sq.push_with(&multi, PENDING, |sqe| {
                select(sqe);
                sqe.insert_flags(lio_uring::SqeFlags::FIXED_FILE);
            })
        }
        .unwrap();
        submit_pending(cq, sq);
        there.send(b"through a slot").unwrap();
        let (bytes, _) = buffers.take(message_of(cq));
        let out = RecvmsgOut::parse(&bytes, &msg).unwrap();
        assert_eq!(out.payload(), b"through a slot");
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}
