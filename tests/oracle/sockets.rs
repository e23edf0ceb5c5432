//! Sockets, sending, receiving, messages, commands of sockets.

use std::ffi::c_void;
use std::ptr;

use lio_uring::RecvSendFlags;
use lio_uring::operation::{
    Accept, AcceptMulti, Bind, CmdGetsockname, CmdSock, Connect, Listen, Recv, RecvMulti, RecvZc,
    Recvmsg, RecvmsgMulti, Send, SendBundle, SendZc, SendZcFixed, Sendmsg, SendmsgZc,
    SendmsgZcFixed, Sendto, Shutdown, Socket, SocketOp,
};
use lio_uring::sys;

use crate::{assert_same, empty, entry_with, with_arguments};

#[test]
fn sockets() {
    with_arguments(|any| {
        let (fd, int, protocol) = (any.int(), any.int(), any.int());
        let (flags, size) = (any.word(), any.word());
        let (addr, addrlen) = (
            any.pointer::<libc::sockaddr>(),
            any.pointer::<libc::socklen_t>(),
        );
        same!(
            Socket {
                domain: fd,
                r#type: int,
                protocol,
                flags
            },
            io_uring_prep_socket(fd, int, protocol, flags)
        );
        same!(
            Bind {
                fd,
                addr,
                addrlen: size
            },
            io_uring_prep_bind(fd, addr, size)
        );
        same!(Listen { fd, backlog: int }, io_uring_prep_listen(fd, int));
        same!(
            Accept {
                fd,
                addr,
                addrlen,
                flags: int
            },
            io_uring_prep_accept(fd, addr, addrlen, int)
        );
        same!(
            AcceptMulti {
                fd,
                addr,
                addrlen,
                flags: int
            },
            io_uring_prep_multishot_accept(fd, addr, addrlen, int)
        );
        same!(
            Connect {
                fd,
                addr,
                addrlen: size
            },
            io_uring_prep_connect(fd, addr, size)
        );
        same!(Shutdown { fd, how: int }, io_uring_prep_shutdown(fd, int));
    });
}

#[test]
fn sending_and_receiving() {
    with_arguments(|any| {
        let (sockfd, flags, len, index) = (any.int(), any.int(), any.word(), any.half());
        let (buf, size) = (any.pointer::<c_void>(), len as usize);
        let zc_flags = RecvSendFlags::from_bits_retain(any.half());
        let bits = u32::from(zc_flags.bits());
        same!(
            Send {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_send(sockfd, buf, size, flags)
        );
        same!(
            Send { sockfd, buf: ptr::null(), len, flags }
                => |sqe| sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE),
            io_uring_prep_send_bundle(sockfd, size, flags)
        );
        same!(
            SendBundle { sockfd, len, flags },
            io_uring_prep_send_bundle(sockfd, size, flags)
        );
        let addr = any.pointer::<libc::sockaddr>().cast_const();
        same!(
            Sendto {
                sockfd,
                buf,
                len,
                flags,
                addr,
                addrlen: index
            },
            io_uring_prep_sendto(sockfd, buf, size, flags, addr, u32::from(index))
        );
        same!(
            SendZc {
                sockfd,
                buf,
                len,
                flags,
                zc_flags
            },
            io_uring_prep_send_zc(sockfd, buf, size, flags, bits)
        );
        same!(
            SendZc { sockfd, buf, len, flags, zc_flags: zc_flags | RecvSendFlags::FIXED_BUF }
                => |sqe| sqe.set_buffer_index(index),
            io_uring_prep_send_zc_fixed(sockfd, buf, size, flags, bits, u32::from(index))
        );
        same!(
            SendZcFixed {
                sockfd,
                buf,
                len,
                flags,
                zc_flags,
                buf_index: index
            },
            io_uring_prep_send_zc_fixed(sockfd, buf, size, flags, bits, u32::from(index))
        );
        same!(
            Recv {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_recv(sockfd, buf, size, flags)
        );
        same!(
            RecvMulti {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_recv_multishot(sockfd, buf, size, flags)
        );
    });
}

#[test]
fn messages() {
    with_arguments(|any| {
        let (fd, flags, buf_index) = (any.int(), any.int(), any.half());
        let msg = any.pointer::<libc::msghdr>();
        let bits = flags.cast_unsigned();
        same!(
            Sendmsg { fd, msg, flags },
            io_uring_prep_sendmsg(fd, msg, bits)
        );
        same!(
            SendmsgZc { fd, msg, flags },
            io_uring_prep_sendmsg_zc(fd, msg, bits)
        );
        same!(
            SendmsgZcFixed {
                fd,
                msg,
                flags,
                buf_index
            },
            io_uring_prep_sendmsg_zc_fixed(fd, msg, bits, u32::from(buf_index))
        );
        same!(
            Recvmsg { fd, msg, flags },
            io_uring_prep_recvmsg(fd, msg, bits)
        );
        same!(
            RecvmsgMulti { fd, msg, flags },
            io_uring_prep_recvmsg_multishot(fd, msg, bits)
        );
    });
}

#[test]
fn receiving_without_a_copy() {
    with_arguments(|any| {
        let (sockfd, zcrx_ifq_idx, len, flags) = (any.int(), any.word(), any.word(), any.int());
        let operation = RecvZc {
            sockfd,
            zcrx_ifq_idx,
            len,
            flags,
        };
        // liburing has no function for it: this is how its own examples prepare the entry.
        let mut theirs = empty();
        let code = sys::IORING_OP_RECV_ZC.cast_signed();
        // SAFETY: the function writes to the entry and follows no other pointer.
        unsafe { sys::io_uring_prep_rw(code, &raw mut theirs, sockfd, ptr::null(), len, 0) };
        theirs.__bindgen_anon_3.msg_flags = flags.cast_unsigned();
        theirs.__bindgen_anon_5.zcrx_ifq_idx = zcrx_ifq_idx;
        theirs.ioprio |= RecvSendFlags::RECV_MULTISHOT.bits();
        let ours = entry_with(&operation, |_| ());
        assert_same(&ours, theirs, "io_uring_prep_rw", &operation);
    });
}

#[test]
fn commands() {
    with_arguments(|any| {
        let (op, fd, level, optname) = (any.int(), any.int(), any.int(), any.int());
        let (optval, optlen) = (any.pointer::<c_void>(), any.int());
        let sockaddr = any.pointer::<libc::sockaddr>();
        let sockaddr_len = any.pointer::<libc::socklen_t>();
        same!(
            CmdSock {
                cmd_op: SocketOp(op.cast_unsigned()),
                fd,
                level,
                optname,
                optval,
                optlen
            },
            io_uring_prep_cmd_sock(op, fd, level, optname, optval, optlen)
        );
        same!(
            CmdGetsockname {
                fd,
                sockaddr,
                sockaddr_len,
                peer: optlen
            },
            io_uring_prep_cmd_getsockname(fd, sockaddr, sockaddr_len, optlen)
        );
    });
}
