//! Receiving messages: parts, addresses, control data, and what is cut off.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, Recvmsg};
use lio_uring::{
    Completion, CompletionFlags, CompletionQueue, RecvSendFlags, SqeFlags, SubmissionQueue,
};

#[path = "support/group.rs"]
mod group;
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

use group::{Buffers, UNTOUCHED, select};
use messages::{
    control_len, control_room, data_of, descriptors, message, rights, room, set_control_len,
};
use rings::{PENDING, cancel, next, results, run, submit_pending};
use sockets::{ADDRESS_SIZE, bytes, count, from_kernel, set_option, tcp, udp};

fn recvmsg_of(socket: &impl AsRawFd, msg: &mut libc::msghdr, flags: i32) -> Recvmsg {
    Recvmsg {
        fd: socket.as_raw_fd(),
        msg,
        flags,
    }
}

/// What a message was received into.
struct Received {
    done: Completion,
    parts: [[u8; 4]; 2],
    address: [u8; 32],
    address_len: u32,
    control: Vec<u8>,
    flags: i32,
}

/// Receives into two parts of 4 bytes, with room for control data, and waits for the completion.
#[track_caller]
fn recvmsg<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    control_room: usize,
    flags: i32,
) -> Received {
    let (mut one, mut two) = ([UNTOUCHED; 4], [UNTOUCHED; 4]);
    let mut address = [UNTOUCHED; 32];
    let mut control = vec![0; control_room];
    let parts = [room(&mut one), room(&mut two)];
    let mut msg = message(&parts);
    msg.msg_name = address.as_mut_ptr().cast();
    msg.msg_namelen = 32;
    msg.msg_control = control.as_mut_ptr().cast();
    set_control_len(&mut msg, control.len());
    // SAFETY: all of the message and the socket stay until the completion has been taken, and
    // nothing else uses them.
    let done = unsafe { run(cq, sq, &recvmsg_of(socket, &mut msg, flags), |_| ()) };
    control.truncate(control_len(&msg));
    Received {
        done,
        parts: [one, two],
        address,
        address_len: msg.msg_namelen,
        control,
        flags: msg.msg_flags,
    }
}

/// The flag that the kernel may set for Unix sockets although nothing was cut off.
fn cut_off_by_mistake() -> i32 {
    let may = kernel::may_have_bug((6, 17), &[((6, 18), 15)], "MSG_CTRUNC without a reason");
    if may { libc::MSG_CTRUNC } else { 0 }
}

#[test]
fn recvmsg_fills_the_parts_in_their_order() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"abcdef").unwrap();
        let got = recvmsg(cq, sq, &here, 0, 0);
        let flags = got.flags & !cut_off_by_mistake();
        assert_eq!((count(got.done), flags), (6, 0));
        assert_eq!(got.parts, [*b"abcd", [b'e', b'f', UNTOUCHED, UNTOUCHED]]);
        let (here, mut there) = tcp();
        there.write_all(b"abcdefghij").unwrap();
        for (text, n) in [(*b"abcdefgh", 8), (*b"ij\xaa\xaa\xaa\xaa\xaa\xaa", 2)] {
            let got = recvmsg(cq, sq, &here, 0, 0);
            assert_eq!((count(got.done), got.parts.concat()), (n, text.to_vec()));
        }
        drop(there);
        let got = recvmsg(cq, sq, &here, 0, 0);
        assert_eq!((count(got.done), got.parts), (0, [[UNTOUCHED; 4]; 2]));
    });
}

#[test]
fn recvmsg_of_a_datagram_tells_its_sender_and_whether_it_was_cut_off() {
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, from) = udp();
        for (text, cut) in [("short", 0), ("", 0), ("too long by much", libc::MSG_TRUNC)] {
            for flags in [0, libc::MSG_TRUNC] {
                there.send_to(text.as_bytes(), to).unwrap();
                let got = recvmsg(cq, sq, &here, 0, flags);
                let n = text.len().min(8);
                let told = if flags == 0 { n } else { text.len() };
                assert_eq!((count(got.done), got.flags & libc::MSG_TRUNC), (told, cut));
                assert_eq!(got.parts.concat()[..n], text.as_bytes()[..n]);
                assert!(got.parts.concat()[n..].iter().all(|b| *b == UNTOUCHED));
                assert_eq!(got.address_len, ADDRESS_SIZE.into());
                assert_eq!(from_kernel(&got.address), from);
                assert_eq!(got.address[16..], [UNTOUCHED; 16]);
            }
        }
    });
}

#[test]
fn recvmsg_with_too_little_room_for_the_address_cuts_it() {
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, from) = udp();
        there.send_to(b"x", to).unwrap();
        let (mut text, mut address) = ([0], [UNTOUCHED; 16]);
        let parts = [room(&mut text)];
        let mut msg = message(&parts);
        msg.msg_name = address.as_mut_ptr().cast();
        msg.msg_namelen = 4;
        // SAFETY: all of the message and the socket stay until the completion has been taken, and
        // nothing else uses them.
        let done = unsafe { run(cq, sq, &recvmsg_of(&here, &mut msg, 0), |_| ()) };
        assert_eq!((count(done), &text), (1, b"x"));
        assert_eq!(
            msg.msg_namelen,
            ADDRESS_SIZE.into(),
            "the size of the whole"
        );
        assert_eq!(address[2..4], from.port().to_be_bytes());
        assert_eq!(address[4..], [UNTOUCHED; 12]);
    });
}

/// Passes the reading end of a pipe on, and returns the other.
fn pass_pipe(socket: &UnixStream) -> io::PipeWriter {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut control = rights(&[reader.as_raw_fd()]);
    let parts = [messages::part(b"a file")];
    let mut msg = message(&parts);
    msg.msg_control = control.as_mut_ptr().cast();
    set_control_len(&mut msg, control.len());
    // SAFETY: the message and what it names are valid.
    let n = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const msg, 0) };
    assert_eq!(n, 6, "{}", io::Error::last_os_error());
    writer
}

#[test]
fn recvmsg_brings_descriptors() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        let mut writer = pass_pipe(&there);
        let got = recvmsg(cq, sq, &here, control_room(4), libc::MSG_CMSG_CLOEXEC);
        assert_eq!(count(got.done), 6);
        assert_eq!(got.parts.concat()[..6], *b"a file");
        assert_eq!(got.flags & libc::MSG_CTRUNC & !cut_off_by_mistake(), 0);
        let data = data_of(&got.control, libc::SOL_SOCKET, libc::SCM_RIGHTS);
        // SAFETY: it has just come.
        let fds = unsafe { descriptors(data) };
        let [pipe] = <[_; 1]>::try_from(fds).unwrap();
        // SAFETY: the descriptor is open, and the command takes nothing.
        let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        writer.write_all(b"through").unwrap();
        let mut through = [0; 7];
        File::from(pipe).read_exact(&mut through).unwrap();
        assert_eq!(&through, b"through");
    });
}

#[test]
fn recvmsg_without_room_for_descriptors_closes_them_and_says_so() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        let mut writer = pass_pipe(&there);
        let got = recvmsg(cq, sq, &here, 0, 0);
        assert_eq!(count(got.done), 6);
        assert_eq!(got.parts.concat()[..6], *b"a file");
        assert_eq!(got.flags & libc::MSG_CTRUNC, libc::MSG_CTRUNC);
        assert_eq!(got.control, b"");
        let error = writer.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "nobody reads");
    });
}

#[test]
fn recvmsg_brings_the_time_at_which_a_datagram_came() {
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1);
        let (there, _) = udp();
        there.send_to(b"now", to).unwrap();
        let got = recvmsg(cq, sq, &here, control_room(16), 0);
        assert_eq!((count(got.done), got.parts[0]), (3, *b"now\xaa"));
        let data = data_of(&got.control, libc::SOL_SOCKET, libc::SCM_TIMESTAMP);
        let seconds = i64::from_ne_bytes(data[..8].try_into().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let off = now.as_secs().abs_diff(seconds.cast_unsigned());
        // A clock can be set in between, but it is not another epoch.
        assert!(off < 1 << 20, "{seconds} is {off} s off");
    });
}

#[test]
fn recvmsg_waits_for_a_message() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            // The kernel waits for descriptors that do not since Linux 5.15.
            if nonblocking && !needs::knows(OpCode::MKDIRAT) {
                continue;
            }
            let (here, there) = UnixDatagram::pair().unwrap();
            here.set_nonblocking(nonblocking).unwrap();
            let (mut one, mut two) = ([UNTOUCHED; 2], [UNTOUCHED; 4]);
            let mut parts = [room(&mut one), room(&mut two)];
            let mut msg = message(&parts);
            // SAFETY: the message and its parts stay until the completion has been taken, and
            // nothing else uses them; the array until the entry has been submitted.
            unsafe { sq.push(&recvmsg_of(&here, &mut msg, 0), PENDING) }.unwrap();
            submit_pending(cq, sq);
            parts.fill(messages::part(b""));
            there.send(b"late").unwrap();
            assert_eq!(count(next(cq)), 4);
            assert_eq!((&one, two), (b"la", [b't', b'e', UNTOUCHED, UNTOUCHED]));
            assert_eq!((parts[0].iov_len, msg.msg_flags), (0, 0));
        }
    });
}

#[test]
fn recvmsg_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let got = recvmsg(cq, sq, &here, 16, libc::MSG_DONTWAIT);
        assert_eq!(got.done.raw_result(), -libc::EAGAIN);
        assert_eq!(got.parts, [[UNTOUCHED; 4]; 2]);
        assert_eq!((got.address, got.address_len), ([UNTOUCHED; 32], 32));
    });
}

#[test]
fn recvmsg_cancelled_leaves_the_memory_and_the_message() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let mut text = [UNTOUCHED; 8];
        let parts = [room(&mut text)];
        let mut msg = message(&parts);
        // SAFETY: the message, its part and the socket stay until the completion has been taken,
        // and nothing else uses them.
        unsafe { sq.push(&recvmsg_of(&here, &mut msg, 0), PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        there.send(b"kept").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert_eq!((text, msg.msg_iovlen), ([UNTOUCHED; 8], 1));
        let got = recvmsg(cq, sq, &here, 0, 0);
        assert_eq!((count(got.done), &got.parts[0]), (4, b"kept"));
    });
}

#[test]
fn recvmsg_that_peeks_leaves_the_message() {
    each_ring!(|cq, sq| {
        let (here, there) = UnixDatagram::pair().unwrap();
        there.send(b"hello").unwrap();
        for flags in [libc::MSG_PEEK, 0] {
            let got = recvmsg(cq, sq, &here, 0, flags);
            assert_eq!(
                (count(got.done), &got.parts.concat()[..5]),
                (5, &b"hello"[..])
            );
        }
        let got = recvmsg(cq, sq, &here, 0, libc::MSG_DONTWAIT);
        assert_eq!(got.done.raw_result(), -libc::EAGAIN);
    });
}

#[test]
fn recvmsg_of_everything_waits_until_all_has_come() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let (mut one, mut two) = ([UNTOUCHED; 3], [UNTOUCHED; 5]);
        let parts = [room(&mut one), room(&mut two)];
        let mut msg = message(&parts);
        let recvmsg = recvmsg_of(&here, &mut msg, libc::MSG_WAITALL);
        // SAFETY: all of the message and the socket stay until the completion has been taken, and
        // nothing else uses them.
        unsafe { sq.push(&recvmsg, PENDING) }.unwrap();
        for text in ["ab", "cd", "ef"] {
            submit_pending(cq, sq);
            there.write_all(text.as_bytes()).unwrap();
        }
        submit_pending(cq, sq);
        there.write_all(b"gh").unwrap();
        assert_eq!(count(next(cq)), 8);
        assert_eq!((&one, &two), (b"abc", b"defgh"));
    });
}

#[test]
fn recvmsg_of_everything_that_is_short_fails_its_chain() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (flags, nop) in [(libc::MSG_WAITALL, -libc::ECANCELED), (0, 0)] {
            let (here, mut there) = UnixStream::pair().unwrap();
            there.write_all(b"part").unwrap();
            drop(there);
            let mut text = [UNTOUCHED; 8];
            let parts = [room(&mut text)];
            let mut msg = message(&parts);
            let recvmsg = recvmsg_of(&here, &mut msg, flags);
            // SAFETY: all of the message and the socket stay until the completion has been taken,
            // and nothing else uses them.
            unsafe { sq.push_with_flags(&recvmsg, 1, SqeFlags::IO_LINK) }.unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 2) }.unwrap();
            assert_eq!(results(cq, sq, 2), [(1, 4), (2, nop)]);
            assert_eq!(&text[..4], b"part");
        }
    });
}

#[test]
fn recvmsg_that_polls_first_tells_whether_there_is_more() {
    // Both came with Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        there.write_all(b"abcdef").unwrap();
        for (wanted, more) in [(b"abc", true), (b"def", false)] {
            let mut text = [UNTOUCHED; 3];
            let parts = [room(&mut text)];
            let mut msg = message(&parts);
            // SAFETY: all of the message and the socket stay until the completion has been taken,
            // and nothing else uses them.
            let done = unsafe {
                run(cq, sq, &recvmsg_of(&here, &mut msg, 0), |sqe| {
                    sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
                })
            };
            assert_eq!((count(done), &text), (3, wanted));
            let nonempty = done.flags().contains(CompletionFlags::SOCK_NONEMPTY);
            assert_eq!(nonempty, more);
        }
    });
}

#[test]
fn recvmsg_into_1024_parts_is_received_and_into_more_is_refused() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(&bytes(2048)).unwrap();
        let mut text = vec![UNTOUCHED; 2048];
        let mut parts: Vec<_> = text.chunks_mut(2).map(room).collect();
        parts.push(messages::part(b""));
        for n in [1025, 1024] {
            let mut msg = message(&parts[..n]);
            // SAFETY: all of the message and the socket stay until the completion has been taken,
            // and nothing else uses them.
            let done = unsafe { run(cq, sq, &recvmsg_of(&here, &mut msg, 0), |_| ()) };
            if n == 1024 {
                assert_eq!(count(done), 2048);
            } else {
                messages::assert_too_many(done);
            }
        }
        assert_eq!(text, bytes(2048));
    });
}

#[test]
fn recvmsg_into_what_is_not_mapped_gives_efault() {
    each_ring!(|cq, sq| {
        let nowhere = ptr::without_provenance_mut::<libc::c_void>(1);
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"kept").unwrap();
        let mut array = message(&[]);
        array.msg_iov = nowhere.cast();
        array.msg_iovlen = 1;
        let broken = [libc::iovec {
            iov_base: nowhere,
            iov_len: 4,
        }];
        let mut part = message(&broken);
        for msg in [nowhere.cast(), &raw mut array, &raw mut part] {
            let recvmsg = Recvmsg {
                fd: here.as_raw_fd(),
                msg,
                flags: 0,
            };
            // SAFETY: nothing is mapped where the pointer to nowhere leads; the rest stays.
            let done = unsafe { run(cq, sq, &recvmsg, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EFAULT);
        }
        let got = recvmsg(cq, sq, &here, 0, 0);
        assert_eq!((count(got.done), &got.parts[0]), (4, b"kept"));
    });
}

#[test]
fn recvmsg_from_what_cannot_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        for (fd, errno) in [(reader.as_raw_fd(), libc::ENOTSOCK), (-1, libc::EBADF)] {
            let got = recvmsg(cq, sq, &fd, 0, 0);
            assert_eq!(got.done.raw_result(), -errno);
            assert_eq!(got.parts, [[UNTOUCHED; 4]; 2]);
        }
    });
}

#[test]
fn recvmsg_into_a_buffer_of_a_group_names_the_buffer_and_the_sender() {
    each_ring!(|cq, sq| {
        let (here, to) = udp();
        let (there, from) = udp();
        let buffers = Buffers::new(2, 8);
        buffers.provide(cq, sq, 0, 2);
        for (len, n) in [(8, Some(8)), (3, Some(3)), (8, None)] {
            there.send_to(b"datagrams of some length", to).unwrap();
            let parts = [libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: len,
            }];
            let mut address = [0; 16];
            let mut msg = message(&parts);
            msg.msg_name = address.as_mut_ptr().cast();
            msg.msg_namelen = ADDRESS_SIZE.into();
            // SAFETY: the group's buffers are valid for ever; the message and the socket stay until
            // the completion has been taken, and nothing else uses them.
            let done = unsafe { run(cq, sq, &recvmsg_of(&here, &mut msg, 0), select) };
            let Some(n) = n else {
                assert_eq!(done.raw_result(), -libc::ENOBUFS);
                continue;
            };
            assert_eq!(msg.msg_flags & libc::MSG_TRUNC, libc::MSG_TRUNC);
            assert_eq!(buffers.take(done).0, b"datagram"[..n]);
            assert_eq!(from_kernel(&address), from);
        }
    });
}

#[test]
fn recvmsg_into_a_buffer_of_a_group_takes_no_two_parts() {
    each_ring!(|cq, sq| {
        let (here, _there) = UnixStream::pair().unwrap();
        let (mut one, mut two) = ([UNTOUCHED; 4], [UNTOUCHED; 4]);
        let parts = [room(&mut one), room(&mut two)];
        let mut msg = message(&parts);
        // SAFETY: all of the message and the socket stay until the completion has been taken, and
        // nothing else uses them.
        let done = unsafe { run(cq, sq, &recvmsg_of(&here, &mut msg, 0), select) };
        assert_eq!(done.raw_result(), -libc::EINVAL);
        assert_eq!((one, two), ([UNTOUCHED; 4], [UNTOUCHED; 4]));
    });
}
