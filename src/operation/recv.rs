//! Receiving bytes: once, again and again, and straight from a network device.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
use crate::entry::{RecvSendFlags, Sqe};
use crate::params::SetupFlags;

/// Receives from a socket.
///
/// Like `recv(2)`, but waits for data even if the socket is `O_NONBLOCK`; `MSG_DONTWAIT` does not
/// wait.
///
/// # Result
///
/// The number of bytes received, which may be less than `len`; with `MSG_WAITALL` less only after
/// an error, a cancellation or the end (since Linux 5.19). 0 when a stream's peer has ended it, or
/// for an empty datagram.
/// [`SOCK_NONEMPTY`](crate::CompletionFlags::SOCK_NONEMPTY) tells that there is more to receive.
///
/// # Errors
///
/// * `EAGAIN` with `MSG_DONTWAIT` if nothing is there.
/// * `ENOBUFS` if a buffer group was selected and is empty.
/// * `ECONNRESET` if the peer has reset the connection.
/// * Those of `recv(2)`.
///
/// # Cancellation
///
/// Loses nothing: a cancelled receive has taken nothing from the socket; with `MSG_WAITALL`, if
/// something had come, that is the result. If the cancellation comes too late, the result is data
/// like any other.
///
/// # Notes
///
/// In a chain a short receive counts as a failure only with `MSG_WAITALL`.
/// [`RecvSendFlags`] are added with [`Sqe::insert_recv_send_flags`].
///
/// # Safety
///
/// * `buf` points to `len` bytes that are valid for writes, and that nothing else reads or writes,
///   until the completion. With a buffer group selected it is not used.
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 5.6. C: `io_uring_prep_recv(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_recv", "IORING_OP_RECV"))]
pub struct Recv {
    /// The socket.
    pub sockfd: RawFd,
    /// Where the bytes go.
    pub buf: *mut c_void,
    /// How many bytes to receive at the most.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for Recv {
    const OPCODE: OpCode = OpCode::RECV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Receives from a socket again and again, each time into a buffer of a group.
///
/// Like [`Recv`] in a loop that ends with the data or the buffers. It must be pushed with a buffer
/// group: `push_with(&op, user_data, |sqe| sqe.select_buffer(group))`.
///
/// # Result
///
/// One completion for each piece of data: its result is the number of bytes, and
/// [`Completion::buffer_id`](crate::Completion::buffer_id) the buffer that they are in, which
/// belongs to the caller until it is provided anew. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come.
///
/// The first completion for which it does not is the last: 0 without a buffer when the peer has
/// ended the stream, or for an empty datagram; an error; or data like any other if the kernel had
/// to stop, as when the completion queue is full. To go on, push it again.
///
/// # Errors
///
/// * `EINVAL` without a buffer group, with `MSG_WAITALL`, and on older kernels if `len` is not 0.
/// * `ENOBUFS` if the group has no buffer left. It ends the operation and loses no data: provide
///   buffers and push it again. If the kernel does not know that the socket is empty, as with Unix
///   sockets before Linux 6.17, it comes right after the last buffer.
/// * Those of [`Recv`]; each of them ends it.
///
/// # Cancellation
///
/// Data may come in until the last completion, whose result is `ECANCELED`.
///
/// # Notes
///
/// On newer kernels [`Sqe::set_file_index`] sets how many bytes are to come in all. The operation
/// ends with the piece that reaches the number, which can go beyond it; in bundles it does not.
///
/// Linux 6.17 and 6.18 may not tell the end of a Unix stream that came together with the last data;
/// later versions of 6.18 do, 6.18.44 among them.
///
/// # Safety
///
/// * The buffers of the group, not `buf`, are written: they fulfil the conditions under which they
///   were provided.
/// * `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.0. C: `io_uring_prep_recv_multishot(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_recv_multishot",
    "IORING_OP_RECV",
    "IORING_RECV_MULTISHOT"
))]
pub struct RecvMulti {
    /// The socket.
    pub sockfd: RawFd,
    /// Null.
    pub buf: *mut c_void,
    /// 0 for whole buffers; on newer kernels the most that a completion may bring.
    pub len: u32,
    /// `MSG_*`.
    pub flags: i32,
}

impl Operation for RecvMulti {
    const OPCODE: OpCode = OpCode::RECV;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.0").or("Recv");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, self.buf, self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(RecvSendFlags::RECV_MULTISHOT);
    }
}

/// Receives from a TCP socket into memory that the network device itself writes to.
///
/// Like [`RecvMulti`], without a copy and without a buffer group. The device's queue and the memory
/// are registered beforehand:
/// [`register_zero_copy_receive`](crate::SubmissionQueue::register_zero_copy_receive). Data that
/// does not come through the queue, as over loopback, is copied into the memory.
///
/// # Result
///
/// One completion for each piece of data: its result is the number of bytes, and the first number of
/// [`Completion::extra`](crate::Completion::extra) is where they are: an offset into the registered
/// memory in its lower 48 bits, the memory's number above them.
/// [`ReceiveArea::take`](crate::ReceiveArea::take) makes a slice of it. The bytes belong to the caller
/// until they are [given back](crate::ZeroCopyReceive::give_back). As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come.
///
/// The first completion for which it does not is the last and brings no data: 0 at the end of the
/// stream or when `len` bytes have come, or an error. To go on, push it again.
///
/// # Errors
///
/// * `EINVAL` if nothing is registered under `zcrx_ifq_idx`, or if `flags` is not 0.
/// * `EPROTONOSUPPORT` if the socket is not one of TCP.
/// * `ENOMEM` if data has to be copied and the registered memory has no room left, `ENOSPC` if the
///   completion queue has none. Nothing is lost; see the notes.
/// * `ENOTCONN`, `ECONNRESET` and others of `recv(2)`.
///
/// # Cancellation
///
/// Data may come in until the last completion, whose result is `ECANCELED`.
///
/// # Notes
///
/// Before Linux 7.2 an operation that runs out of room in the midst of the data does not always end:
/// it waits for more to come in, also when room has been given back and although the socket has bytes
/// to read. If nothing comes, because all has been sent or the socket is full, it waits for ever.
/// There, cancel it and push it again if nothing completes while the socket has bytes (`FIONREAD`);
/// or have more memory, and a longer completion queue, than the sockets have data.
///
/// # Safety
///
/// `sockfd` is a socket that the caller may use.
///
/// Since Linux 6.15. C: `IORING_OP_RECV_ZC`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "IORING_OP_RECV_ZC",
    "io_uring_zcrx_cqe",
    "IORING_ZCRX_AREA_SHIFT",
    "IORING_ZCRX_AREA_MASK"
))]
pub struct RecvZc {
    /// The socket.
    pub sockfd: RawFd,
    /// The number that registering the device's queue gave.
    pub zcrx_ifq_idx: u32,
    /// How many bytes to receive in all, or 0 for no limit.
    pub len: u32,
    /// 0: the kernel takes no `MSG_*` yet.
    pub flags: i32,
}

impl Operation for RecvZc {
    const OPCODE: OpCode = OpCode::RECV_ZC;
    const NEEDS: Needs = Needs::code(Self::OPCODE).with_ring(&[
        SetupFlags::DEFER_TASKRUN,
        SetupFlags::CQE32.union(SetupFlags::CQE_MIXED),
    ]);

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.sockfd, ptr::null::<c_void>(), self.len, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.insert_recv_send_flags(RecvSendFlags::RECV_MULTISHOT);
        sqe.set_file_index(self.zcrx_ifq_idx);
    }
}
