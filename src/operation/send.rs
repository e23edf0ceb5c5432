//! Sending bytes: with a copy of them, without, and from a group of buffers.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
use crate::entry::{RecvSendFlags, Sqe};
use crate::features::Features;

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

/// Sends a datagram to an address.
///
/// Like `sendto(2)`: [`Send`] with [`Sqe::set_destination`].
///
/// # Result
///
/// As of [`Send`].
///
/// # Errors
///
/// * `EISCONN` if the socket is connected and its protocol allows for no other peer.
/// * `EDESTADDRREQ` if it is not connected and `addr` is null.
/// * `EINVAL` if the address is too short, or too long to be one.
/// * Those of [`Send`] and of `sendto(2)`.
///
/// # Cancellation
///
/// As of [`Send`].
///
/// # Safety
///
/// * `buf` points to `len` bytes that are valid for reads, and that nothing writes, until the
///   completion.
/// * `addr` is null or points to `addrlen` bytes, [argument memory](crate::operation#memory).
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.2. C: `io_uring_prep_sendto(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_sendto", "IORING_OP_SEND"))]
pub struct Sendto {
    /// The socket.
    pub sockfd: RawFd,
    /// Where the bytes come from.
    pub buf: *const c_void,
    /// How many bytes to send.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
    /// The address of the peer.
    pub addr: *const libc::sockaddr,
    /// The size of the address in bytes, for which an entry has 16 bits.
    pub addrlen: u16,
}

impl Operation for Sendto {
    const OPCODE: OpCode = OpCode::SEND;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.2").or("Sendmsg");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.set_destination(self.addr, self.addrlen);
    }
}

/// Sends the buffers of a group, as many as there are, in one go.
///
/// Like [`Send`] with several buffers one after the other, in the order of the
/// [`BufferRing`](crate::BufferRing). It must be pushed with a buffer group:
/// `push_with(&op, user_data, |sqe| sqe.select_buffer(group))`.
///
/// It takes its buffers out of the group as soon as it starts, even if it then waits for room. Of
/// two that wait for the same socket either can be the first: only one at a time keeps the order.
///
/// # Result
///
/// One completion for all buffers, or several, each for some. Its result is the number of bytes that
/// the socket took from its buffers together.
/// [`Completion::buffer_id`](crate::Completion::buffer_id) is the first of them; the others are those
/// that follow it in the [`BufferRing`](crate::BufferRing), up to the one in which the bytes end.
/// They belong to the caller again. As long as [`Completion::more`](crate::Completion::more) holds,
/// more will come; the last completion is the one that has emptied the group, or an error.
///
/// An error that names a buffer means it and those that follow, which are out of the group, too;
/// [`BufferRing::head`](crate::BufferRing::head) tells how many.
///
/// # Errors
///
/// * `ENOBUFS` if the group is empty, `ENOENT` if there is no such group.
/// * `EOPNOTSUPP` on a kernel before 6.10.
/// * Those of [`Send`].
///
/// # Cancellation
///
/// As of [`Send`]. The buffers are out of the group, as after an error.
///
/// # Notes
///
/// Without a buffer group it sends `len` bytes at address 0, which is an `EFAULT`, or on older
/// kernels an `EINVAL`. Of a group of [`ProvideBuffers`](super::ProvideBuffers) each buffer has a
/// completion of its own.
///
/// # Safety
///
/// * The buffers of the group are read: they fulfil the conditions under which they were provided.
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.10. C: `io_uring_prep_send_bundle(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_send_bundle",
    "IORING_OP_SEND",
    "IORING_RECVSEND_BUNDLE"
))]
pub struct SendBundle {
    /// The socket.
    pub sockfd: RawFd,
    /// How many bytes the first completion is to be for at the most, or 0 for as many as possible. It
    /// is for whole buffers, or for the beginning of one; later ones have no limit. Older kernels
    /// take 0 alone.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for SendBundle {
    const OPCODE: OpCode = OpCode::SEND;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.10")
        .with_features(Features::RECVSEND_BUNDLE)
        .or("Send");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, ptr::null::<c_void>(), self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE);
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
/// * Those of [`Send`].
///
/// # Cancellation
///
/// As of [`Send`], until the first completion. It does not hasten the notification, which comes
/// when the network lets go of the data: for TCP when the peer has acknowledged it.
///
/// # Notes
///
/// [`SendZcFixed`] sends from a registered buffer. [`Sqe::set_destination`] says where a datagram
/// goes.
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
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Send");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(self.zc_flags);
    }
}

/// Sends on a socket straight from a registered buffer, without a copy.
///
/// Like [`SendZc`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// Two completions, as of [`SendZc`].
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or the bytes are not all inside it.
/// * Those of [`SendZc`].
///
/// # Cancellation
///
/// As of [`SendZc`].
///
/// # Safety
///
/// * `buf` points to `len` bytes that are valid for reads, and that nothing writes, until the
///   **last** completion, as of [`SendZc`]. Being registered keeps the memory mapped in the kernel,
///   not the Rust value in it alive.
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.0. C: `io_uring_prep_send_zc_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_send_zc_fixed",
    "IORING_OP_SEND_ZC",
    "IORING_RECVSEND_FIXED_BUF"
))]
pub struct SendZcFixed {
    /// The socket.
    pub sockfd: RawFd,
    /// Where the bytes come from: an address inside the registered buffer.
    pub buf: *const c_void,
    /// How many bytes to send.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
    /// Modes of sending. [`FIXED_BUF`](RecvSendFlags::FIXED_BUF) is added.
    pub zc_flags: RecvSendFlags,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for SendZcFixed {
    const OPCODE: OpCode = OpCode::SEND_ZC;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Send");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(self.zc_flags | RecvSendFlags::FIXED_BUF);
        sqe.set_buffer_index(self.buf_index);
    }
}
