//! Sending messages: with an address, with control data, from several buffers.

use std::os::fd::RawFd;

use super::{Needs, OpCode, Operation};
use crate::entry::{RecvSendFlags, Sqe};

/// Sends a message on a socket.
///
/// Like `sendmsg(2)`, but waits for room even if the socket is `O_NONBLOCK`; `MSG_DONTWAIT` does not
/// wait. There is no `SIGPIPE` (since Linux 5.12).
///
/// # Result
///
/// The number of bytes that the socket took, as of [`Send`](super::Send).
///
/// # Errors
///
/// * `EMSGSIZE` with more than 1024 buffers, on some kernels `EINVAL`.
/// * `EMSGSIZE` if a datagram is too long.
/// * `EFAULT` if the message, or something that it names, is not mapped.
/// * Those of [`Send`](super::Send) and of `sendmsg(2)`.
///
/// # Cancellation
///
/// As of [`Send`](super::Send).
///
/// # Notes
///
/// In a chain a short send counts as a failure only with `MSG_WAITALL`.
/// [`RecvSendFlags`] are added with [`Sqe::insert_recv_send_flags`].
///
/// # Safety
///
/// * `msg`, the address and the array of `iovec` that it names are
///   [argument memory](crate::operation#memory). Its control data stays valid until the completion.
/// * Each `iovec` names bytes that are valid for reads, and that nothing writes, until the
///   completion.
/// * `fd` is a socket that the caller may use, and so are descriptors in the control data.
///
/// Since Linux 5.3. C: `io_uring_prep_sendmsg(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_sendmsg", "IORING_OP_SENDMSG"))]
pub struct Sendmsg {
    /// The socket.
    pub fd: RawFd,
    /// The message.
    pub msg: *const libc::msghdr,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for Sendmsg {
    const OPCODE: OpCode = OpCode::SENDMSG;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.msg, 1, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Sends a message on a socket straight from the caller's memory, without a copy.
///
/// Like [`Sendmsg`] and [`SendZc`](super::SendZc) in one.
///
/// # Result
///
/// Two completions, as of [`SendZc`](super::SendZc).
///
/// # Errors
///
/// * Those of [`Sendmsg`] and of [`SendZc`](super::SendZc).
///
/// # Cancellation
///
/// As of [`SendZc`](super::SendZc).
///
/// # Notes
///
/// [`RecvSendFlags`], such as [`SEND_ZC_REPORT_USAGE`](RecvSendFlags::SEND_ZC_REPORT_USAGE), are
/// added with [`Sqe::insert_recv_send_flags`].
///
/// # Safety
///
/// * `msg`, the address and the array of `iovec` that it names are
///   [argument memory](crate::operation#memory). Its control data stays valid until the first
///   completion.
/// * Each `iovec` names bytes that are valid for reads, and that nothing writes, until the **last**
///   completion: the notification, or a first completion without
///   [`MORE`](crate::CompletionFlags::MORE).
/// * `fd` is a socket that the caller may use, and so are descriptors in the control data.
///
/// Since Linux 6.1. C: `io_uring_prep_sendmsg_zc(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_sendmsg_zc", "IORING_OP_SENDMSG_ZC", "MSG_ZEROCOPY"))]
pub struct SendmsgZc {
    /// The socket.
    pub fd: RawFd,
    /// The message.
    pub msg: *const libc::msghdr,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for SendmsgZc {
    const OPCODE: OpCode = OpCode::SENDMSG_ZC;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Sendmsg");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.msg, 1, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Sends a message on a socket straight from parts of a registered buffer, without a copy.
///
/// Like [`SendmsgZc`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// Two completions, as of [`SendZc`](super::SendZc).
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or one of the parts is not inside it.
/// * `EINVAL` on a kernel that sends single parts of registered buffers only.
/// * Those of [`SendmsgZc`].
///
/// # Cancellation
///
/// As of [`SendZc`](super::SendZc).
///
/// # Safety
///
/// * That of [`SendmsgZc`]. Being registered keeps the memory mapped in the kernel, not the Rust
///   value in it alive.
///
/// Since Linux 6.15. C: `io_uring_prep_sendmsg_zc_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_sendmsg_zc_fixed",
    "IORING_OP_SENDMSG_ZC",
    "IORING_RECVSEND_FIXED_BUF"
))]
pub struct SendmsgZcFixed {
    /// The socket.
    pub fd: RawFd,
    /// The message. Each `iovec` of it names addresses inside the registered buffer.
    pub msg: *const libc::msghdr,
    /// `MSG_*`.
    pub flags: i32,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for SendmsgZcFixed {
    const OPCODE: OpCode = OpCode::SENDMSG_ZC;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.15").or("SendmsgZc");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.msg, 1, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(RecvSendFlags::FIXED_BUF);
        sqe.set_buffer_index(self.buf_index);
    }
}
