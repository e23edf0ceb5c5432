//! Commands of sockets: amounts, options, addresses, time stamps.

#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{CmdGetsockname, CmdSock, OpCode, SocketOp};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use rings::run;
use sockets::{ADDRESS_SIZE, await_data, fill, from_kernel, listener, option, take, tcp, udp};

/// Whether the kernel has the commands for amounts and options: the last came with Linux 6.7.
#[track_caller]
fn has_commands() -> bool {
    needs::operations(&[OpCode::FUTEX_WAIT])
}

fn none(_: &mut Sqe) {}

/// A command that uses no memory.
fn command_of(cmd_op: SocketOp, fd: RawFd) -> CmdSock {
    CmdSock {
        cmd_op,
        fd,
        level: 0,
        optname: 0,
        optval: ptr::null_mut(),
        optlen: 0,
    }
}

/// How much can be received, or has not arrived.
#[track_caller]
fn amount<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    cmd_op: SocketOp,
    socket: &impl AsRawFd,
) -> i32 {
    let command = command_of(cmd_op, socket.as_raw_fd());
    // SAFETY: it uses no memory, and the socket is borrowed.
    unsafe { run(cq, sq, &command, none) }.raw_result()
}

#[test]
fn siocinq_tells_how_much_can_be_received() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        assert_eq!(amount(cq, sq, SocketOp::SIOCINQ, &here), 0);
        there.write_all(b"seven b").unwrap();
        await_data(&here, 7);
        assert_eq!(amount(cq, sq, SocketOp::SIOCINQ, &here), 7);
        take(&mut &here, 3);
        assert_eq!(amount(cq, sq, SocketOp::SIOCINQ, &here), 4);
        let (here, to) = udp();
        let (there, _) = udp();
        there.send_to(b"first", to).unwrap();
        there.send_to(b"second, and longer", to).unwrap();
        await_data(&here, 5);
        let first = amount(cq, sq, SocketOp::SIOCINQ, &here);
        assert_eq!(first, 5, "of the first datagram");
    });
}

#[test]
fn siocoutq_tells_how_much_has_not_arrived() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        assert_eq!(amount(cq, sq, SocketOp::SIOCOUTQ, &here), 0);
        let filled = fill(&here);
        let waiting = amount(cq, sq, SocketOp::SIOCOUTQ, &here);
        let waiting = usize::try_from(waiting).unwrap();
        assert!(0 < waiting && waiting <= filled, "{waiting} of {filled}");
        take(&mut there, filled);
    });
}

#[test]
fn amounts_of_what_has_none_give_the_documented_errors() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, _) = listener();
        let (unix, _peer) = UnixStream::pair().unwrap();
        let (pipe, _writer) = io::pipe().unwrap();
        let (connection, _peer) = tcp();
        for cmd_op in [SocketOp::SIOCINQ, SocketOp::SIOCOUTQ] {
            assert_eq!(amount(cq, sq, cmd_op, &listener), -libc::EINVAL);
            assert_eq!(amount(cq, sq, cmd_op, &unix), -libc::EOPNOTSUPP);
            assert_eq!(amount(cq, sq, cmd_op, &pipe), -libc::EOPNOTSUPP);
            assert_eq!(amount(cq, sq, cmd_op, &-1), -libc::EBADF);
        }
        let unknown = SocketOp(u32::MAX);
        assert_eq!(amount(cq, sq, unknown, &connection), -libc::EOPNOTSUPP);
    });
}

/// Reads an option, of which the value has 4 bytes of room and `optlen` are asked for.
#[track_caller]
fn getsockopt<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    (level, optname): (i32, i32),
    optlen: i32,
    settings: impl FnOnce(&mut Sqe),
) -> (i32, i32) {
    assert!(optlen <= 4);
    let mut value = -1i32;
    let command = CmdSock {
        level,
        optname,
        optval: (&raw mut value).cast(),
        optlen,
        ..command_of(SocketOp::GETSOCKOPT, fd)
    };
    // SAFETY: the value has the room, and nothing else uses it until the completion has been taken.
    let done = unsafe { run(cq, sq, &command, settings) };
    (done.raw_result(), value)
}

#[test]
fn getsockopt_reads_options_of_the_socket() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (stream, _peer) = tcp();
        let (datagrams, _) = udp();
        let kind = (libc::SOL_SOCKET, libc::SO_TYPE);
        let size = (libc::SOL_SOCKET, libc::SO_RCVBUF);
        let fd = stream.as_raw_fd();
        let got = getsockopt(cq, sq, fd, kind, 4, none);
        assert_eq!(got, (4, libc::SOCK_STREAM));
        let got = getsockopt(cq, sq, datagrams.as_raw_fd(), kind, 4, none);
        assert_eq!(got, (4, libc::SOCK_DGRAM));
        let wanted = option(&stream, libc::SOL_SOCKET, libc::SO_RCVBUF);
        assert_eq!(getsockopt(cq, sq, fd, size, 4, none), (4, wanted));
        // Of a value only as much is written as there is room.
        let (n, value) = getsockopt(cq, sq, fd, kind, 2, none);
        assert_eq!((n, value.to_ne_bytes()[..2].to_vec()), (2, vec![1, 0]));
        assert_eq!(value.to_ne_bytes()[2..], [0xff; 2]);
        sq.register_files(&[-1, datagrams.as_raw_fd()]).unwrap();
        let got = getsockopt(cq, sq, 1, kind, 4, |sqe| {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
        });
        assert_eq!(got, (4, libc::SOCK_DGRAM), "through a slot");
    });
}

#[test]
fn getsockopt_that_cannot_be_gives_the_documented_errors() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (stream, _peer) = tcp();
        let (pipe, _writer) = io::pipe().unwrap();
        let fd = stream.as_raw_fd();
        let kind = (libc::SOL_SOCKET, libc::SO_TYPE);
        let nodelay = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
        for (what, fd, option, optlen, errno) in [
            ("of another level", fd, nodelay, 4, libc::EOPNOTSUPP),
            (
                "of no number",
                fd,
                (libc::SOL_SOCKET, -1),
                4,
                libc::ENOPROTOOPT,
            ),
            ("of negative size", fd, kind, -1, libc::EINVAL),
            ("of a pipe", pipe.as_raw_fd(), kind, 4, libc::EOPNOTSUPP),
            ("of nothing", -1, kind, 4, libc::EBADF),
        ] {
            let got = getsockopt(cq, sq, fd, option, optlen, none);
            assert_eq!(got, (-errno, -1), "{what}");
        }
        let nowhere = CmdSock {
            level: libc::SOL_SOCKET,
            optname: libc::SO_TYPE,
            optval: ptr::without_provenance_mut(1),
            optlen: 4,
            ..command_of(SocketOp::GETSOCKOPT, fd)
        };
        // SAFETY: nothing is mapped there, so the kernel writes nothing.
        let done = unsafe { run(cq, sq, &nowhere, none) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}

/// Sets an option.
#[track_caller]
fn setsockopt<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    (level, optname): (i32, i32),
    mut value: i32,
    optlen: i32,
) -> i32 {
    assert!(optlen <= 4);
    let command = CmdSock {
        level,
        optname,
        optval: (&raw mut value).cast(),
        optlen,
        ..command_of(SocketOp::SETSOCKOPT, fd)
    };
    // SAFETY: the value stays until the completion has been taken.
    unsafe { run(cq, sq, &command, none) }.raw_result()
}

#[test]
fn setsockopt_sets_options_of_every_level() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (stream, _peer) = tcp();
        for (level, name, value) in [
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0),
            (libc::SOL_SOCKET, libc::SO_PRIORITY, 3),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
            (libc::IPPROTO_IP, libc::IP_TTL, 5),
        ] {
            let fd = stream.as_raw_fd();
            let result = setsockopt(cq, sq, fd, (level, name), value, 4);
            assert_eq!((result, option(&stream, level, name)), (0, value));
        }
    });
}

#[test]
fn setsockopt_that_cannot_be_gives_the_errors_of_the_call() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (stream, _peer) = tcp();
        let (pipe, _writer) = io::pipe().unwrap();
        let fd = stream.as_raw_fd();
        let keep = (libc::SOL_SOCKET, libc::SO_KEEPALIVE);
        for (what, fd, option, optlen, errno) in [
            (
                "of no number",
                fd,
                (libc::SOL_SOCKET, -1),
                4,
                libc::ENOPROTOOPT,
            ),
            ("of too few bytes", fd, keep, 2, libc::EINVAL),
            ("of negative size", fd, keep, -1, libc::EINVAL),
            ("of a pipe", pipe.as_raw_fd(), keep, 4, libc::EOPNOTSUPP),
            ("of nothing", -1, keep, 4, libc::EBADF),
        ] {
            let result = setsockopt(cq, sq, fd, option, 1, optlen);
            assert_eq!(result, -errno, "{what}");
        }
        let nowhere = CmdSock {
            level: libc::SOL_SOCKET,
            optname: libc::SO_KEEPALIVE,
            optval: ptr::without_provenance_mut(1),
            optlen: 4,
            ..command_of(SocketOp::SETSOCKOPT, fd)
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, none) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert_eq!(option(&stream, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    });
}

#[test]
fn options_of_a_unix_socket_come_with_later_kernels() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (unix, _peer) = UnixStream::pair().unwrap();
        let (fd, keep) = (unix.as_raw_fd(), (libc::SOL_SOCKET, libc::SO_KEEPALIVE));
        let result = setsockopt(cq, sq, fd, keep, 1, 4);
        let got = getsockopt(cq, sq, fd, keep, 4, none);
        if result == -libc::EOPNOTSUPP {
            assert_eq!(got, (-libc::EOPNOTSUPP, -1));
        } else {
            assert_eq!((result, got), (0, (4, 1)));
        }
    });
}

/// Asks for an address with this much room for it; gives the result, the size and the room.
#[track_caller]
fn address<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    peer: i32,
    mut len: libc::socklen_t,
    settings: impl FnOnce(&mut Sqe),
) -> (i32, libc::socklen_t, [u8; 32]) {
    assert!(len <= 32);
    let mut room = [0xaa; 32];
    let command = CmdGetsockname {
        fd,
        sockaddr: room.as_mut_ptr().cast(),
        sockaddr_len: &raw mut len,
        peer,
    };
    // SAFETY: nothing else uses the room and its size until the completion has been taken.
    let done = unsafe { run(cq, sq, &command, settings) };
    (done.raw_result(), len, room)
}

/// Whether the kernel tells addresses.
#[track_caller]
fn tells_addresses<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &TcpStream,
) -> bool {
    let (result, ..) = address(cq, sq, socket.as_raw_fd(), 0, 32, none);
    let told = match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    };
    let told = kernel::since_or(6, 19, told, |error| {
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
    });
    told.is_some()
}

#[test]
fn getsockname_tells_both_addresses_of_a_connection() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = tcp();
        if !tells_addresses(cq, sq, &here) {
            return;
        }
        let fd = here.as_raw_fd();
        for (peer, wanted) in [(0, here.local_addr()), (1, there.local_addr())] {
            let (result, len, room) = address(cq, sq, fd, peer, 32, none);
            assert_eq!((result, len), (0, ADDRESS_SIZE.into()));
            assert_eq!(from_kernel(&room), wanted.unwrap());
            assert_eq!(room[16..], [0xaa; 16]);
        }
        // What there is no room for is cut off, and the size is that of the whole.
        let (result, len, room) = address(cq, sq, fd, 0, 4, none);
        assert_eq!((result, len), (0, ADDRESS_SIZE.into()));
        let port = here.local_addr().unwrap().port();
        assert_eq!(room[2..4], port.to_be_bytes());
        assert_eq!(room[4..], [0xaa; 28]);
        sq.register_files(&[-1, there.as_raw_fd()]).unwrap();
        let (result, _, room) = address(cq, sq, 1, 0, 32, |sqe| {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
        });
        assert_eq!(result, 0, "through a slot");
        assert_eq!(from_kernel(&room), there.local_addr().unwrap());
    });
}

#[test]
fn getsockname_that_cannot_be_gives_the_documented_errors() {
    if !has_commands() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _there) = tcp();
        if !tells_addresses(cq, sq, &here) {
            return;
        }
        let (alone, _) = udp();
        let (pipe, _writer) = io::pipe().unwrap();
        for (what, fd, peer, errno) in [
            ("neither", here.as_raw_fd(), 2, libc::EINVAL),
            ("no peer", alone.as_raw_fd(), 1, libc::ENOTCONN),
            ("no socket", pipe.as_raw_fd(), 0, libc::EOPNOTSUPP),
            ("nothing", -1, 0, libc::EBADF),
        ] {
            let (result, len, room) = address(cq, sq, fd, peer, 32, none);
            assert_eq!((result, len, room), (-errno, 32, [0xaa; 32]), "{what}");
        }
        let nowhere = CmdGetsockname {
            fd: here.as_raw_fd(),
            sockaddr: ptr::without_provenance_mut(1),
            sockaddr_len: ptr::without_provenance_mut(1),
            peer: 0,
        };
        // SAFETY: nothing is mapped there, so the kernel writes nothing.
        let done = unsafe { run(cq, sq, &nowhere, none) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}
