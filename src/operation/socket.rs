//! Sockets: making, naming, listening, accepting.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
use crate::entry::{AcceptFlags, FileSlot, Sqe};

/// Makes a socket.
///
/// Like `socket(2)`.
///
/// # Result
///
/// The new descriptor, which belongs to the caller. With [`Sqe::set_target`] there is none, and the
/// result is 0 or the index of the slot.
///
/// # Errors
///
/// * `EINVAL` if `flags` is not 0.
/// * Those of [`Sqe::set_target`] and of `socket(2)`.
///
/// # Cancellation
///
/// If the cancellation comes too late, the result is a descriptor, and someone has to close it.
///
/// Since Linux 5.19. C: `io_uring_prep_socket(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_socket", "IORING_OP_SOCKET"))]
pub struct Socket {
    /// `AF_*`.
    pub domain: i32,
    /// `SOCK_*`: the kind of socket, with `SOCK_CLOEXEC` and `SOCK_NONBLOCK` where wanted.
    pub r#type: i32,
    /// `IPPROTO_*`, or 0.
    pub protocol: i32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for Socket {
    const OPCODE: OpCode = OpCode::SOCKET;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let protocol = self.protocol.cast_unsigned();
        let kind = i64::from(self.r#type).cast_unsigned();
        sqe.read_write(self.domain, ptr::null::<c_void>(), protocol, kind);
        sqe.insert_op_flags(self.flags);
    }
}

/// Makes a socket as a registered file, without a descriptor.
///
/// Like [`Socket`] with [`Sqe::set_target`].
///
/// # Result
///
/// 0, or with [`FileSlot::Allocate`] the slot that the socket has gone to.
///
/// # Errors
///
/// * `EINVAL` if `flags` is not 0, and with `SOCK_CLOEXEC`: what is registered is not inherited
///   anyway.
/// * Those of [`Socket`].
///
/// # Cancellation
///
/// If the cancellation comes too late, the socket is there, and someone has to empty the slot.
///
/// # Safety
///
/// * Nothing relies on what `file_index` held: its file is replaced.
///
/// Since Linux 5.19. C: `io_uring_prep_socket_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_socket_direct",
    "io_uring_prep_socket_direct_alloc",
    "IORING_OP_SOCKET"
))]
pub struct SocketDirect {
    /// `AF_*`.
    pub domain: i32,
    /// `SOCK_*`: the kind of socket, with `SOCK_NONBLOCK` where wanted.
    pub r#type: i32,
    /// `IPPROTO_*`, or 0.
    pub protocol: i32,
    /// Where the socket goes among the registered files.
    pub file_index: FileSlot,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for SocketDirect {
    const OPCODE: OpCode = OpCode::SOCKET;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let protocol = self.protocol.cast_unsigned();
        let kind = i64::from(self.r#type).cast_unsigned();
        sqe.read_write(self.domain, ptr::null::<c_void>(), protocol, kind);
        sqe.insert_op_flags(self.flags);
        sqe.set_target(self.file_index);
    }
}

/// Gives a socket its local address.
///
/// Like `bind(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * Those of `bind(2)`.
///
/// # Safety
///
/// * `addr` points to `addrlen` bytes, [argument memory](crate::operation#memory).
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 6.11. C: `io_uring_prep_bind(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_bind", "IORING_OP_BIND"))]
pub struct Bind {
    /// The socket.
    pub fd: RawFd,
    /// The address.
    pub addr: *const libc::sockaddr,
    /// The size of the address in bytes.
    pub addrlen: libc::socklen_t,
}

impl Operation for Bind {
    const OPCODE: OpCode = OpCode::BIND;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, u64::from(self.addrlen));
    }
}

/// Has a socket take connections.
///
/// Like `listen(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * Those of `listen(2)`.
///
/// # Safety
///
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 6.11. C: `io_uring_prep_listen(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_listen", "IORING_OP_LISTEN"))]
pub struct Listen {
    /// The socket.
    pub fd: RawFd,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
}

impl Operation for Listen {
    const OPCODE: OpCode = OpCode::LISTEN;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let backlog = self.backlog.cast_unsigned();
        sqe.read_write(self.fd, ptr::null::<c_void>(), backlog, 0);
    }
}

/// Accepts a connection.
///
/// Like `accept4(2)`, but waits for one even if the socket is `O_NONBLOCK`;
/// [`AcceptFlags::DONTWAIT`] does not wait.
///
/// # Result
///
/// The descriptor of the connection, which belongs to the caller. With [`Sqe::set_target`] there is
/// none, and the result is 0 or the index of the slot.
///
/// # Errors
///
/// * `EAGAIN` with [`AcceptFlags::DONTWAIT`] if no connection is waiting; on older kernels with
///   `O_NONBLOCK` too.
/// * `EMFILE` or `ENFILE` if there is no room for a descriptor.
/// * Those of [`Sqe::set_target`]. Except for `O_CLOEXEC`, which is refused at once, the connection
///   was accepted then, and is closed.
/// * Those of `accept4(2)`.
///
/// # Cancellation
///
/// If the cancellation comes too late, the result is a descriptor, and someone has to close it.
///
/// # Safety
///
/// * `addr` is null, or points to as many bytes as `addrlen` says, valid for writes, that nothing
///   else reads or writes, until the completion.
/// * `addrlen` is null if `addr` is, or else valid for reads and writes until the completion, with
///   nothing else reading or writing it.
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 5.5. C: `io_uring_prep_accept(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_accept", "IORING_OP_ACCEPT"))]
pub struct Accept {
    /// The listening socket.
    pub fd: RawFd,
    /// Where the address of the peer goes, or null.
    pub addr: *mut libc::sockaddr,
    /// Holds the room at `addr` in bytes, and at completion the size of the address.
    pub addrlen: *mut libc::socklen_t,
    /// `SOCK_CLOEXEC` and `SOCK_NONBLOCK`, for the new descriptor.
    pub flags: i32,
}

impl Operation for Accept {
    const OPCODE: OpCode = OpCode::ACCEPT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, self.addrlen as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Accepts a connection as a registered file, without a descriptor.
///
/// Like [`Accept`] with [`Sqe::set_target`].
///
/// # Result
///
/// 0, or with [`FileSlot::Allocate`] the slot that the connection has gone to.
///
/// # Errors
///
/// * `EINVAL` with `SOCK_CLOEXEC`: what is registered is not inherited anyway.
/// * Those of [`Accept`].
///
/// # Cancellation
///
/// If the cancellation comes too late, the connection is there, and someone has to empty the slot.
///
/// # Safety
///
/// * `addr` and `addrlen` are as those of [`Accept`].
/// * `fd` is a socket that the caller may use.
/// * Nothing relies on what `file_index` held: its file is replaced.
///
/// Since Linux 5.15. C: `io_uring_prep_accept_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_accept_direct", "IORING_OP_ACCEPT"))]
pub struct AcceptDirect {
    /// The listening socket.
    pub fd: RawFd,
    /// Where the address of the peer goes, or null.
    pub addr: *mut libc::sockaddr,
    /// Holds the room at `addr` in bytes, and at completion the size of the address.
    pub addrlen: *mut libc::socklen_t,
    /// `SOCK_NONBLOCK`, for the connection.
    pub flags: i32,
    /// Where the connection goes among the registered files.
    pub file_index: FileSlot,
}

impl Operation for AcceptDirect {
    const OPCODE: OpCode = OpCode::ACCEPT;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.15").or("Accept");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, self.addrlen as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.set_target(self.file_index);
    }
}

/// Accepts connections, one after the other, until it is told to stop.
///
/// Like [`Accept`] in an endless loop.
///
/// # Result
///
/// One completion for each connection, its result as that of [`Accept`]. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come. The first completion for
/// which it does not is the last: mostly an error, but it can be a connection as well, when the
/// completion queue is full. To go on, push it again.
///
/// # Errors
///
/// * `EINVAL` with [`FileSlot::At`](crate::FileSlot::At): each connection needs a slot of its own,
///   so only [`FileSlot::Allocate`](crate::FileSlot::Allocate) will do.
/// * Those of [`Accept`]; each of them ends it.
///
/// # Cancellation
///
/// Connections may come in until the last completion, whose result is `ECANCELED`. Someone has to
/// close them.
///
/// # Notes
///
/// Each connection writes its address over the one before, and reads `addrlen` anew, so that an
/// address can be lost before it is read. `addr` is better null, and the peer asked with
/// `getpeername(2)`.
///
/// # Safety
///
/// * `addr` and `addrlen` are null, or as those of [`Accept`], until the last completion. They are
///   written at each completion, at any time: they can only be read after the last.
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_multishot_accept(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_multishot_accept",
    "IORING_OP_ACCEPT",
    "IORING_ACCEPT_MULTISHOT"
))]
pub struct AcceptMulti {
    /// The listening socket.
    pub fd: RawFd,
    /// Where the addresses of the peers go, one over the other, or null.
    pub addr: *mut libc::sockaddr,
    /// Holds the room at `addr` in bytes, and after each connection the size of its address.
    pub addrlen: *mut libc::socklen_t,
    /// `SOCK_CLOEXEC` and `SOCK_NONBLOCK`, for the new descriptors.
    pub flags: i32,
}

impl Operation for AcceptMulti {
    const OPCODE: OpCode = OpCode::ACCEPT;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.19").or("Accept");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, self.addrlen as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_accept_flags(AcceptFlags::MULTISHOT);
    }
}

/// Accepts connections as registered files, one after the other, until it is told to stop.
///
/// Like [`AcceptMulti`] with [`FileSlot::Allocate`]: the kernel picks a slot for each connection.
///
/// # Result
///
/// One completion for each connection, its result the slot that the connection has gone to. As long
/// as [`Completion::more`](crate::Completion::more) holds, more will come. The first completion for
/// which it does not is the last: mostly an error, but it can be a connection as well, when the
/// completion queue is full. To go on, push it again.
///
/// # Errors
///
/// * `ENFILE` if the table is full or there is none. The connection is closed.
/// * `EINVAL` with `SOCK_CLOEXEC`: what is registered is not inherited anyway.
/// * Those of [`AcceptMulti`]; each of them ends it.
///
/// # Cancellation
///
/// Connections may come in until the last completion, whose result is `ECANCELED`. Someone has to
/// empty their slots.
///
/// # Notes
///
/// As of [`AcceptMulti`]: `addr` is better null.
///
/// # Safety
///
/// * `addr` and `addrlen` are as those of [`AcceptMulti`].
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_multishot_accept_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_multishot_accept_direct",
    "IORING_OP_ACCEPT",
    "IORING_ACCEPT_MULTISHOT"
))]
pub struct AcceptMultiDirect {
    /// The listening socket.
    pub fd: RawFd,
    /// Where the addresses of the peers go, one over the other, or null.
    pub addr: *mut libc::sockaddr,
    /// Holds the room at `addr` in bytes, and after each connection the size of its address.
    pub addrlen: *mut libc::socklen_t,
    /// `SOCK_NONBLOCK`, for the connections.
    pub flags: i32,
}

impl Operation for AcceptMultiDirect {
    const OPCODE: OpCode = OpCode::ACCEPT;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.19").or("AcceptDirect");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, self.addrlen as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_accept_flags(AcceptFlags::MULTISHOT);
        sqe.set_target(FileSlot::Allocate);
    }
}
