//! Sending: with a copy of the data, and without.

use std::ffi::c_void;
use std::os::fd::RawFd;

use super::{OpCode, Operation};
use crate::entry::{RecvSendFlags, Sqe};

/// Sends on a socket.
///
/// Like `send(2)`, but waits for room even if the socket is `O_NONBLOCK`; `MSG_DONTWAIT` does not
/// wait. There is no `SIGPIPE` (since Linux 5.12).
///
/// # Result
///
/// The number of bytes that the socket took, which on a stream may be less than `len`. With
/// `MSG_WAITALL` it is less only after an error or a cancellation (since Linux 5.19).
///
/// # Errors
///
/// * `EAGAIN` with `MSG_DONTWAIT` if there is no room.
/// * `EPIPE` or `ECONNRESET` if the peer is gone.
/// * `ENOBUFS` if a buffer group was selected and is empty.
/// * Those of `send(2)`.
///
/// # Cancellation
///
/// A cancelled send has transferred nothing; with `MSG_WAITALL`, if some of the data was sent, the
/// result is how much.
///
/// # Notes
///
/// In a chain a short send counts as a failure only with `MSG_WAITALL`.
/// [`RecvSendFlags`] are added with [`Sqe::insert_recv_send_flags`].
///
/// # Safety
///
/// * `buf` points to `len` bytes that are valid for reads, and that nothing writes, until the
///   completion. With a buffer group selected it is not used.
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 5.6. C: `io_uring_prep_send(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_send", "IORING_OP_SEND"))]
pub struct Send {
    /// The socket.
    pub sockfd: RawFd,
    /// Where the bytes come from.
    pub buf: *const c_void,
    /// How many bytes to send.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for Send {
    const OPCODE: OpCode = OpCode::SEND;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Sends on a socket straight from the caller's memory, without a copy.
///
/// Like [`Send`], and like `send(2)` with `MSG_ZEROCOPY`, whose notification comes as a completion
/// here. It pays for large pieces of data on real network devices; the loopback device copies.
///
/// # Result
///
/// Two completions with the same user data:
///
/// 1. The result: the number of bytes that the socket took, as of [`Send`], or an error. If
///    [`Completion::more`](crate::Completion::more) holds, a notification follows, after an error
///    too; if not, there is no second completion.
/// 2. The notification:
///    [`Completion::is_notification`](crate::Completion::is_notification) holds, and the memory
///    belongs to the caller again. Its result is 0, or with
///    [`SEND_ZC_REPORT_USAGE`](RecvSendFlags::SEND_ZC_REPORT_USAGE) tells whether the data was
///    copied after all: then [`Completion::raw_result`](crate::Completion::raw_result) is
///    `i32::MIN`, which is no error.
///
/// # Errors
///
/// * `EOPNOTSUPP` if the protocol cannot do it, as that of `AF_UNIX`.
/// * `EINVAL` with [`CQE_SKIP_SUCCESS`](crate::SqeFlags::CQE_SKIP_SUCCESS).
/// * `ENOMEM` if the memory would exceed the limit of locked memory.
/// * `EFAULT` with [`FIXED_BUF`](RecvSendFlags::FIXED_BUF) if the bytes are not all inside the
///   registered buffer.
/// * Those of [`Send`].
///
/// # Cancellation
///
/// As of [`Send`], until the first completion. It does not hasten the notification, which comes
/// when the network lets go of the data: for TCP when the peer has acknowledged it.
///
/// # Notes
///
/// To send from a registered buffer, add [`FIXED_BUF`](RecvSendFlags::FIXED_BUF) to `zc_flags`
/// and name the buffer with [`Sqe::set_buffer_index`].
///
/// # Safety
///
/// * `buf` points to `len` bytes that are valid for reads, and that nothing writes, until the
///   **last** completion: the notification, or a first completion without
///   [`MORE`](crate::CompletionFlags::MORE).
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.0. C: `io_uring_prep_send_zc(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_send_zc",
    "io_uring_prep_send_zc_fixed",
    "IORING_OP_SEND_ZC",
    "IORING_NOTIF_USAGE_ZC_COPIED",
    "MSG_ZEROCOPY"
))]
pub struct SendZc {
    /// The socket.
    pub sockfd: RawFd,
    /// Where the bytes come from.
    pub buf: *const c_void,
    /// How many bytes to send.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
    /// Modes of sending.
    pub zc_flags: RecvSendFlags,
}

impl Operation for SendZc {
    const OPCODE: OpCode = OpCode::SEND_ZC;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(self.zc_flags);
    }
}
