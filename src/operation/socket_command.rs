//! Commands of sockets: options, names, amounts, time stamps.

use std::ffi::c_void;
use std::os::fd::RawFd;

use super::command::{command, side_by_side};
use super::{Needs, OpCode, Operation, Timespec};
use crate::completion::CompletionFlags;
use crate::entry::Sqe;
use crate::params::SetupFlags;
use crate::sys;

/// Which command [`CmdSock`] runs.
///
/// All that liburing 2.15 knows are constants of this type; a later kernel's are reachable as
/// `SocketOp(number)`.
///
/// C: `enum io_uring_socket_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketOp(pub u32);

impl SocketOp {
    /// How many bytes can be received; the result. Uses no other field.
    ///
    /// Since Linux 6.5. C: `SOCKET_URING_OP_SIOCINQ`.
    pub const SIOCINQ: Self = Self(sys::SOCKET_URING_OP_SIOCINQ);
    /// How many bytes have not been sent or acknowledged; the result. Uses no other field.
    ///
    /// Since Linux 6.5. C: `SOCKET_URING_OP_SIOCOUTQ`.
    pub const SIOCOUTQ: Self = Self(sys::SOCKET_URING_OP_SIOCOUTQ);
    /// Reads an option, of the level `SOL_SOCKET` only. The result is its size.
    ///
    /// Since Linux 6.7. C: `SOCKET_URING_OP_GETSOCKOPT`.
    pub const GETSOCKOPT: Self = Self(sys::SOCKET_URING_OP_GETSOCKOPT);
    /// Sets an option. The result is 0.
    ///
    /// Since Linux 6.7. C: `SOCKET_URING_OP_SETSOCKOPT`.
    pub const SETSOCKOPT: Self = Self(sys::SOCKET_URING_OP_SETSOCKOPT);
    /// Reports the time stamps of what is sent, again and again; [`TxTimestamp`] reads them. Uses no
    /// other field, and needs completions of 32 bytes.
    ///
    /// Since Linux 6.17. C: `SOCKET_URING_OP_TX_TIMESTAMP`.
    pub const TX_TIMESTAMP: Self = Self(sys::SOCKET_URING_OP_TX_TIMESTAMP);
    /// Tells the socket's address or its peer's; what [`CmdGetsockname`] is.
    ///
    /// Since Linux 6.19. C: `SOCKET_URING_OP_GETSOCKNAME`.
    pub const GETSOCKNAME: Self = Self(sys::SOCKET_URING_OP_GETSOCKNAME);

    /// What a [`CmdSock`] with this command needs, for [`Probe::meets`](crate::Probe::meets); `None`
    /// for a command that this library does not know.
    pub const fn needs(self) -> Option<Needs> {
        const LARGE_COMPLETIONS: &[SetupFlags] = &[SetupFlags::CQE32.union(SetupFlags::CQE_MIXED)];
        Some(match self {
            Self::SIOCINQ | Self::SIOCOUTQ => CmdSock::NEEDS,
            Self::GETSOCKOPT | Self::SETSOCKOPT => Needs::form(OpCode::URING_CMD, "6.7"),
            Self::TX_TIMESTAMP => {
                Needs::form(OpCode::URING_CMD, "6.17").with_ring(LARGE_COMPLETIONS)
            }
            Self::GETSOCKNAME => CmdGetsockname::NEEDS,
            _ => return None,
        })
    }
}

/// Runs a command of a socket.
///
/// Like `getsockopt(2)`, `setsockopt(2)` or `ioctl(2)`, as `cmd_op` says.
///
/// # Result
///
/// What [`SocketOp`] says of the command.
///
/// With [`TX_TIMESTAMP`](SocketOp::TX_TIMESTAMP) one completion for each time stamp, its result the
/// number of what was sent, as `SOF_TIMESTAMPING_OPT_ID` counts. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come; the first completion for
/// which it does not is the last, and an error.
///
/// # Errors
///
/// * `EOPNOTSUPP` if the kernel does not know the command; if `fd` is no socket; if it is one of
///   `AF_UNIX`, for amounts, and on older kernels for options; and if an option to be read is of
///   another level than `SOL_SOCKET`.
/// * `EINVAL` with [`TX_TIMESTAMP`](SocketOp::TX_TIMESTAMP) on a ring whose completions have 16
///   bytes, with a negative `optlen`, and for the amounts of a listening socket.
/// * `EFAULT` if the memory is not mapped.
/// * Those of the calls that it is like.
///
/// # Cancellation
///
/// Only [`TX_TIMESTAMP`](SocketOp::TX_TIMESTAMP) waits. Time stamps may come in until the last
/// completion, whose result is `ECANCELED`.
///
/// # Safety
///
/// * `optval` points to `optlen` bytes until the completion: valid for writes to read an option, with
///   nothing else reading or writing them, and for reads to set it. Other commands do not use it.
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 6.5. C: `io_uring_prep_cmd_sock(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_cmd_sock",
    "IORING_OP_URING_CMD",
    "getsockopt",
    "setsockopt"
))]
pub struct CmdSock {
    /// The command.
    pub cmd_op: SocketOp,
    /// The socket.
    pub fd: RawFd,
    /// `SOL_SOCKET`, `IPPROTO_TCP` and so on: whose option it is.
    pub level: i32,
    /// The option.
    pub optname: i32,
    /// The option's value, or where it goes.
    pub optval: *mut c_void,
    /// The size of the value in bytes.
    pub optlen: i32,
}

impl Operation for CmdSock {
    const OPCODE: OpCode = OpCode::URING_CMD;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.5");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        command(sqe, self.cmd_op.0, self.fd);
        let (level, name) = (self.level.cast_unsigned(), self.optname.cast_unsigned());
        sqe.set_address(side_by_side(level, name));
        sqe.set_file_index(self.optlen.cast_unsigned());
        sqe.set_address3(self.optval as u64);
    }
}

/// Tells the address of a socket, or that of its peer.
///
/// Like `getsockname(2)` or `getpeername(2)`. The socket may be a registered file, which those calls
/// cannot be asked about.
///
/// # Result
///
/// 0; the address is at `sockaddr`, its size in `sockaddr_len`.
///
/// # Errors
///
/// * `EOPNOTSUPP` on a kernel before 6.19.
/// * `EINVAL` if `peer` is neither 0 nor 1.
/// * `EFAULT` if the memory is not mapped writable.
/// * Those of `getsockname(2)` and `getpeername(2)`.
///
/// # Safety
///
/// * `sockaddr` points to as many bytes as `sockaddr_len` says, valid for writes, and `sockaddr_len`
///   is valid for reads and writes; nothing else reads or writes them, until the completion.
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 6.19. C: `io_uring_prep_cmd_getsockname(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_cmd_getsockname", "IORING_OP_URING_CMD", "getpeername"))]
pub struct CmdGetsockname {
    /// The socket.
    pub fd: RawFd,
    /// Where the address goes.
    pub sockaddr: *mut libc::sockaddr,
    /// Holds the room at `sockaddr` in bytes, and at completion the size of the address.
    pub sockaddr_len: *mut libc::socklen_t,
    /// 0 for the socket's own address, 1 for the peer's.
    pub peer: i32,
}

impl Operation for CmdGetsockname {
    const OPCODE: OpCode = OpCode::URING_CMD;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.19");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        command(sqe, SocketOp::GETSOCKNAME.0, self.fd);
        sqe.set_address(self.sockaddr as u64);
        sqe.set_address3(self.sockaddr_len as u64);
        sqe.set_file_index(self.peer.cast_unsigned());
    }
}

/// When something was sent, as [`SocketOp::TX_TIMESTAMP`] reports it.
///
/// C: `struct io_timespec`, `IORING_TIMESTAMP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias(
    "io_timespec",
    "IORING_TIMESTAMP_TYPE_SHIFT",
    "IORING_TIMESTAMP_HW_SHIFT"
))]
pub struct TxTimestamp {
    /// The time.
    pub time: Timespec,
    /// `SCM_TSTAMP_SND`, `SCM_TSTAMP_SCHED`, `SCM_TSTAMP_ACK` or `SCM_TSTAMP_COMPLETION`: which of
    /// the events of sending it was.
    pub r#type: u32,
    /// Whether the network device has made the time stamp, on its own clock.
    pub hardware: bool,
}

impl TxTimestamp {
    /// Reads [`Completion::flags`](crate::Completion::flags) and
    /// [`Completion::extra`](crate::Completion::extra).
    pub fn new(flags: CompletionFlags, extra: [u64; 2]) -> Self {
        let [seconds, nanoseconds] = extra;
        Self {
            time: Timespec {
                tv_sec: seconds.cast_signed(),
                tv_nsec: nanoseconds.cast_signed(),
            },
            r#type: flags.bits() >> sys::IORING_TIMESTAMP_TYPE_SHIFT,
            hardware: flags.contains(CompletionFlags::TSTAMP_HW),
        }
    }
}
