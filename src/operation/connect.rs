//! Connections: making them, ending them.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Connects a socket to a peer.
///
/// Like `connect(2)`, but waits for the connection even if the socket is `O_NONBLOCK`: there is no
/// `EINPROGRESS`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `ECONNREFUSED`, `ETIMEDOUT` and the others of `connect(2)`.
///
/// # Cancellation
///
/// The attempt may go on without the operation. Close the socket; it is of no more use.
///
/// # Safety
///
/// * `addr` points to `addrlen` bytes, [argument memory](crate::operation#memory).
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 5.5. C: `io_uring_prep_connect(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_connect", "IORING_OP_CONNECT"))]
pub struct Connect {
    /// The socket.
    pub fd: RawFd,
    /// The address of the peer.
    pub addr: *const libc::sockaddr,
    /// The size of the address in bytes.
    pub addrlen: libc::socklen_t,
}

impl Operation for Connect {
    const OPCODE: OpCode = OpCode::CONNECT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.addr, 0, u64::from(self.addrlen));
    }
}

/// Ends one or both directions of a connection.
///
/// Like `shutdown(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if `how` is none of the three.
/// * Those of `shutdown(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `shutdown(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `fd` is a socket that the caller may use.
///
/// Since Linux 5.11. C: `io_uring_prep_shutdown(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_shutdown", "IORING_OP_SHUTDOWN"))]
pub struct Shutdown {
    /// The socket.
    pub fd: RawFd,
    /// `SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`.
    pub how: i32,
}

impl Operation for Shutdown {
    const OPCODE: OpCode = OpCode::SHUTDOWN;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let how = self.how.cast_unsigned();
        sqe.read_write(self.fd, ptr::null::<c_void>(), how, 0);
    }
}
