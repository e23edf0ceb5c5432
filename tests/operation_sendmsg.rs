//! Sending messages: parts, addresses, descriptors.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, Read, Recvmsg, Sendmsg};
use lio_uring::{Completion, CompletionQueue, Features, RecvSendFlags, SqeFlags, SubmissionQueue};

#[path = "support/messages.rs"]
mod messages;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use messages::{control_room, data_of, descriptors, message, part, rights, room, set_control_len};
use rings::{PENDING, cancel, next, results, run, submit_pending};
use sockets::{ADDRESS_SIZE, assert_empty, count, fill, take, tcp, to_kernel, udp};

fn sendmsg_of(socket: &impl AsRawFd, msg: &libc::msghdr, flags: i32) -> Sendmsg {
    Sendmsg {
        fd: socket.as_raw_fd(),
        msg,
        flags,
    }
}

/// Sends a message of these parts, and waits for the completion.
#[track_caller]
fn send_parts<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    parts: &[&[u8]],
    flags: i32,
) -> Completion {
    let parts: Vec<_> = parts.iter().map(|bytes| part(bytes)).collect();
    let msg = message(&parts);
    // SAFETY: all of the message and the socket stay until the completion has been taken.
    unsafe { run(cq, sq, &sendmsg_of(socket, &msg, flags), |_| ()) }
}

#[test]
fn sendmsg_sends_the_parts_in_their_order() {
    each_ring!(|cq, sq| {
        let parts = [&b"one"[..], b"", b"three", b"4"];
        let (here, mut there) = UnixStream::pair().unwrap();
        assert_eq!(count(send_parts(cq, sq, &here, &parts, 0)), 9);
        assert_eq!(take(&mut there, 9), b"onethree4");
        let (here, mut there) = tcp();
        assert_eq!(count(send_parts(cq, sq, &here, &parts, 0)), 9);
        assert_eq!(take(&mut there, 9), b"onethree4");
        let (here, there) = UnixDatagram::pair().unwrap();
        for (parts, whole) in [(&parts[..], "onethree4"), (&[], ""), (&parts[..1], "one")] {
            let sent = count(send_parts(cq, sq, &here, parts, 0));
            let mut buffer = [0; 16];
            assert_eq!(
                (sent, there.recv(&mut buffer).unwrap()),
                (whole.len(), sent)
            );
            assert_eq!(&buffer[..sent], whole.as_bytes());
        }
    });
}

#[test]
fn sendmsg_of_1024_parts_is_sent_and_of_more_is_refused() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let parts = vec![&b"ab"[..]; 1025];
        messages::assert_too_many(send_parts(cq, sq, &here, &parts, 0));
        assert_eq!(count(send_parts(cq, sq, &here, &parts[1..], 0)), 2048);
        assert_eq!(take(&mut there, 2048), b"ab".repeat(1024));
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_reaches_each_of_several_destinations() {
    each_ring!(|cq, sq| {
        let (here, from) = udp();
        let peers = [udp(), udp(), udp()];
        let addresses = peers.each_ref().map(|(_, address)| to_kernel(*address));
        let texts = ["to the first", "", "to the third"];
        let parts = texts.map(|text| [part(text.as_bytes())]);
        let mut messages = parts.each_ref().map(|part| message(part));
        for (i, (msg, address)) in messages.iter_mut().zip(&addresses).enumerate() {
            msg.msg_name = ptr::from_ref(address).cast_mut().cast();
            msg.msg_namelen = ADDRESS_SIZE.into();
            let sendmsg = sendmsg_of(&here, msg, 0);
            // SAFETY: the messages, what they name and the socket stay until the completions have
            // been taken.
            unsafe { sq.push(&sendmsg, i as u64) }.unwrap();
        }
        assert_eq!(results(cq, sq, 3), [(0, 12), (1, 0), (2, 12)]);
        for ((peer, _), text) in peers.iter().zip(texts) {
            let mut buffer = [0; 16];
            let (n, sender) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..n], sender), (text.as_bytes(), from));
            assert_empty(peer);
        }
    });
}

#[test]
fn sendmsg_passes_descriptors_on() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        let mut control = rights(&[reader.as_raw_fd(), null.as_raw_fd()]);
        let parts = [part(b"two files")];
        let mut msg = message(&parts);
        msg.msg_control = control.as_mut_ptr().cast();
        set_control_len(&mut msg, control.len());
        // SAFETY: all of the message, the files and the socket stay until the completion has been
        // taken.
        let done = unsafe { run(cq, sq, &sendmsg_of(&here, &msg, 0), |_| ()) };
        assert_eq!(count(done), 9);
        drop(reader);

        let (mut text, mut space) = ([0; 9], [0; control_room(8)]);
        let parts = [room(&mut text)];
        let mut msg = message(&parts);
        msg.msg_control = space.as_mut_ptr().cast();
        set_control_len(&mut msg, space.len());
        let recvmsg = Recvmsg {
            fd: there.as_raw_fd(),
            msg: &raw mut msg,
            flags: libc::MSG_CMSG_CLOEXEC,
        };
        // SAFETY: all of the message and the socket stay until the completion has been taken, and
        // nothing else uses them.
        assert_eq!(count(unsafe { run(cq, sq, &recvmsg, |_| ()) }), 9);
        assert_eq!(&text, b"two files");
        let data = data_of(&space, libc::SOL_SOCKET, libc::SCM_RIGHTS);
        // SAFETY: they have just come.
        let [pipe, null] = <[OwnedFd; 2]>::try_from(unsafe { descriptors(data) }).unwrap();
        writer.write_all(b"through the pipe").unwrap();
        drop(writer);
        let mut through = String::new();
        File::from(pipe).read_to_string(&mut through).unwrap();
        assert_eq!(through, "through the pipe");
        assert_eq!(File::from(null).read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn sendmsg_needs_the_message_no_more_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        assert!(sq.features().contains(Features::SUBMIT_STABLE));
        let (here, _) = udp();
        let (there, address) = udp();
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
        let mut address = to_kernel(address);
        let mut parts = [part(b"the first "), part(b"and the second")];
        let mut msg = message(&parts);
        msg.msg_name = (&raw mut address).cast();
        msg.msg_namelen = ADDRESS_SIZE.into();
        // SAFETY: the message, the address and the array stay until the entry has been submitted,
        // the texts are constants, and the socket stays.
        unsafe { sq.push(&sendmsg_of(&here, &msg, 0), 2) }.unwrap();
        submit_pending(cq, sq);
        address.sin_port = 0;
        parts.fill(part(b"nothing of this"));
        msg = message(&[]);
        // It is sent only now, behind the read.
        writer.write_all(b"!").unwrap();
        assert_eq!(results(cq, sq, 2), [(1, 1), (2, 24)]);
        let mut buffer = [0; 32];
        assert_eq!(there.recv(&mut buffer).unwrap(), 24);
        assert_eq!(&buffer[..24], b"the first and the second");
        assert_eq!(
            (address.sin_port, msg.msg_namelen, parts[0].iov_len),
            (0, 0, 15)
        );
    });
}

#[test]
fn sendmsg_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let done = send_parts(cq, sq, &here, &[b"never"], libc::MSG_DONTWAIT);
        assert_eq!(done.raw_result(), -libc::EAGAIN);
        take(&mut there, filled);
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_waits_for_room() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            // The kernel waits for descriptors that do not since Linux 5.15.
            if nonblocking && !needs::knows(OpCode::MKDIRAT) {
                continue;
            }
            let (here, mut there) = UnixStream::pair().unwrap();
            here.set_nonblocking(nonblocking).unwrap();
            let filled = fill(&here);
            let parts = [part(b"la"), part(b"te")];
            let msg = message(&parts);
            // SAFETY: all of the message and the socket stay until the completion has been taken.
            unsafe { sq.push(&sendmsg_of(&here, &msg, 0), PENDING) }.unwrap();
            submit_pending(cq, sq);
            take(&mut there, filled);
            assert_eq!(count(next(cq)), 4);
            assert_eq!(take(&mut there, 4), b"late");
        }
    });
}

#[test]
fn sendmsg_cancelled_has_sent_nothing() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let parts = [part(b"never")];
        let msg = message(&parts);
        // SAFETY: all of the message and the socket stay until the completion has been taken.
        unsafe { sq.push(&sendmsg_of(&here, &msg, 0), PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        take(&mut there, filled);
        assert_empty(&there);
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn sendmsg_of_everything_cancelled_says_how_much_was_sent() {
    // The result says so since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    // More than the buffers of a socket hold.
    let data = sockets::bytes(16 << 20);
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let parts = [part(&data[..100_000]), part(&data[100_000..])];
        let msg = message(&parts);
        let sendmsg = sendmsg_of(&here, &msg, libc::MSG_WAITALL);
        // SAFETY: all of the message and the socket stay until the completion has been taken.
        unsafe { sq.push(&sendmsg, PENDING) }.unwrap();
        submit_pending(cq, sq);
        let sent = count(cancel(cq, sq));
        assert!(0 < sent && sent < data.len(), "{sent}");
        assert!(take(&mut there, sent) == data[..sent]);
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_that_is_short_fails_its_chain_only_if_all_was_wanted() {
    // More than the buffers of a socket hold.
    let data = sockets::bytes(16 << 20);
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let parts = [part(&data)];
        let msg = message(&parts);
        // SAFETY: all of the message and the socket stay until the completion has been taken.
        unsafe { sq.push_with_flags(&sendmsg_of(&here, &msg, 0), 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        let [(1, sent), (2, 0)] = results(cq, sq, 2)[..] else {
            panic!("the chain goes on")
        };
        let sent = usize::try_from(sent).unwrap();
        assert!(0 < sent && sent < data.len(), "{sent}");
        assert!(take(&mut there, sent) == data[..sent]);
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_that_polls_first_is_sent() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let parts = [part(b"polled")];
        let msg = message(&parts);
        // SAFETY: all of the message and the socket stay until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &sendmsg_of(&here, &msg, 0), |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
            })
        };
        assert_eq!(count(done), 6);
        assert_eq!(take(&mut there, 6), b"polled");
    });
}

#[test]
fn sendmsg_of_what_is_not_mapped_gives_efault() {
    each_ring!(|cq, sq| {
        let nowhere = ptr::without_provenance_mut::<libc::c_void>(1);
        let (here, there) = UnixStream::pair().unwrap();
        let fine = [part(b"fine")];
        let broken = [libc::iovec {
            iov_base: nowhere,
            iov_len: 4,
        }];
        let mut array = message(&fine);
        array.msg_iov = nowhere.cast();
        let mut name = message(&fine);
        name.msg_name = nowhere;
        name.msg_namelen = ADDRESS_SIZE.into();
        let mut control = message(&fine);
        control.msg_control = nowhere;
        set_control_len(&mut control, control_room(4));
        let part = message(&broken);
        let (array, name) = (&raw const array, &raw const name);
        let (control, part) = (&raw const control, &raw const part);
        for msg in [nowhere.cast_const().cast(), array, name, control, part] {
            let sendmsg = Sendmsg {
                fd: here.as_raw_fd(),
                msg,
                flags: 0,
            };
            // SAFETY: nothing is mapped where the pointer to nowhere leads; the rest stays.
            let done = unsafe { run(cq, sq, &sendmsg, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EFAULT);
        }
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_on_what_cannot_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (_reader, writer) = io::pipe().unwrap();
        let done = send_parts(cq, sq, &writer, &[b"x"], 0);
        assert_eq!(done.raw_result(), -libc::ENOTSOCK);
        let done = send_parts(cq, sq, &-1, &[b"x"], 0);
        assert_eq!(done.raw_result(), -libc::EBADF);
        let (alone, _) = udp();
        let done = send_parts(cq, sq, &alone, &[b"x"], 0);
        assert_eq!(done.raw_result(), -libc::EDESTADDRREQ);
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let done = send_parts(cq, sq, &here, &[b"x"], libc::MSG_NOSIGNAL);
        assert_eq!(done.raw_result(), -libc::EPIPE);
        let (here, there) = udp();
        here.connect(there).unwrap();
        let done = send_parts(cq, sq, &here, &[&[0; 10_000][..]; 7], 0);
        assert_eq!(done.raw_result(), -libc::EMSGSIZE);
    });
}
