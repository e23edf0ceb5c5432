//! Receiving messages: with an address, with control data, into several buffers.

use std::os::fd::RawFd;

use super::{Needs, OpCode, Operation};
use crate::entry::{RecvSendFlags, Sqe};

/// Receives a message from a socket.
///
/// Like `recvmsg(2)`, but waits for data even if the socket is `O_NONBLOCK`; `MSG_DONTWAIT` does not
/// wait.
///
/// # Result
///
/// The number of bytes received, as of [`Recv`](super::Recv). `msg` tells then how long the address
/// and the control data are, and its flags whether something was cut off.
///
/// # Errors
///
/// * `EMSGSIZE` with more than 1024 buffers, on some kernels `EINVAL`.
/// * `EINVAL` with more than one if a buffer group was selected.
/// * `EFAULT` if the message, or something that it names, is not mapped.
/// * Those of [`Recv`](super::Recv) and of `recvmsg(2)`.
///
/// # Cancellation
///
/// As of [`Recv`](super::Recv).
///
/// # Notes
///
/// In a chain a short receive counts as a failure only with `MSG_WAITALL`.
/// [`RecvSendFlags`] are added with [`Sqe::insert_recv_send_flags`].
///
/// # Safety
///
/// * `msg`, the room for the address, that for control data and the bytes that each `iovec` names
///   are valid for writes, and nothing else reads or writes them, until the completion. With a
///   buffer group selected, the `iovec` names none.
/// * The array of `iovec` is [argument memory](crate::operation#memory).
/// * `fd` is a socket that the caller may use, and descriptors that come with the message belong to
///   the caller.
///
/// Since Linux 5.3. C: `io_uring_prep_recvmsg(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_recvmsg", "IORING_OP_RECVMSG"))]
pub struct Recvmsg {
    /// The socket.
    pub fd: RawFd,
    /// Where the message goes.
    pub msg: *mut libc::msghdr,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for Recvmsg {
    const OPCODE: OpCode = OpCode::RECVMSG;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.msg, 1, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Receives messages from a socket again and again, each into a buffer of a group.
///
/// Like [`Recvmsg`] in a loop that ends with the buffers. Each buffer takes a whole message: a
/// header, the address, the control data and the bytes, in this order;
/// [`RecvmsgOut`](super::RecvmsgOut) takes it apart. It must be pushed with a buffer group:
/// `push_with(&op, user_data, |sqe| sqe.select_buffer(group))`.
///
/// # Result
///
/// One completion for each message: its result is the number of bytes in the buffer, the header and
/// the room for address and control data included, and
/// [`Completion::buffer_id`](crate::Completion::buffer_id) the buffer, which belongs to the caller
/// until it is provided anew. As long as [`Completion::more`](crate::Completion::more) holds, more
/// will come.
///
/// The first completion for which it does not is the last: an error, or a message like any other if
/// the kernel had to stop, as when the completion queue is full. The end of a stream is a message
/// without bytes, and it is the last; so is an empty datagram. To go on, push it again.
///
/// # Errors
///
/// * `EINVAL` without a buffer group, with `MSG_WAITALL`, and with more than one `iovec`.
/// * `ENOBUFS` if the group has no buffer left. It ends the operation and loses no data: provide
///   buffers and push it again.
/// * `EFAULT` if a buffer is too small for the header and the room that `msg` asks for.
/// * Those of [`Recvmsg`]; each of them ends it.
///
/// # Cancellation
///
/// Messages may come in until the last completion, whose result is `ECANCELED`.
///
/// # Notes
///
/// An `iovec` is not needed. If `msg` names one, its length is the most that a message may take of a
/// buffer, header and all, and 0 is no limit.
///
/// # Safety
///
/// * `msg`, and an `iovec` if it names one, are [argument memory](crate::operation#memory). They are
///   not written, and nothing else that they point to is used.
/// * The buffers of the group are written: they fulfil the conditions under which they were
///   provided.
/// * `fd` is a socket that the caller may use, and descriptors that come with messages belong to
///   the caller.
///
/// Since Linux 6.0. C: `io_uring_prep_recvmsg_multishot(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_recvmsg_multishot",
    "IORING_OP_RECVMSG",
    "IORING_RECV_MULTISHOT"
))]
pub struct RecvmsgMulti {
    /// The socket.
    pub fd: RawFd,
    /// `msg_namelen` and `msg_controllen` are the room that each buffer is to have for the address and
    /// for control data.
    pub msg: *mut libc::msghdr,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for RecvmsgMulti {
    const OPCODE: OpCode = OpCode::RECVMSG;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.0").or("Recvmsg");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.msg, 1, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(RecvSendFlags::RECV_MULTISHOT);
    }
}
