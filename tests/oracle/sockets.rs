//! Sockets, sending, receiving.

use std::ffi::c_void;
use std::ptr;

use lio_uring::RecvSendFlags;
use lio_uring::operation::{
    Accept, AcceptMulti, Bind, Connect, Listen, Recv, RecvMulti, Send, SendZc, Shutdown, Socket,
};
use lio_uring::sys;

use crate::with_arguments;

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
