//! Opening files and closing descriptors.

use std::ffi::{c_char, c_void};
use std::os::fd::RawFd;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Opens a file, which it may create.
///
/// Like `openat(2)`, always with `O_LARGEFILE`.
///
/// # Result
///
/// The new descriptor, which belongs to the caller. With [`Sqe::set_target`] there is none, and the
/// result is 0 or the index of the slot.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `dfd` cannot be a registered file.
/// * Those of [`Sqe::set_target`] and of `openat(2)`.
///
/// # Cancellation
///
/// If the cancellation comes too late, the result is a descriptor, and someone has to close it. If
/// an open is interrupted that waits, as that of a named pipe does on a kernel worker, the error
/// can be 512 (`ERESTARTSYS`), which the kernel otherwise turns into `EINTR`.
///
/// # Safety
///
/// * `path` points to a C string, [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.6. C: `io_uring_prep_openat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_openat", "IORING_OP_OPENAT"))]
pub struct Openat {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// `O_*`, the access mode among them.
    pub flags: i32,
    /// The permissions of a file that is created, before the umask.
    pub mode: libc::mode_t,
}

impl Operation for Openat {
    const OPCODE: OpCode = OpCode::OPENAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, self.mode, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Closes a descriptor.
///
/// Like `close(2)`. Operations that have started with the descriptor keep the file open until they
/// complete; closing it does not end them.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` if there is no such descriptor, if it is a ring's, and with
///   [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE).
/// * Those of `close(2)`: the descriptor is gone then, too.
///
/// # Cancellation
///
/// A cancelled close has not closed anything.
///
/// # Notes
///
/// To empty a slot of the registered files instead, `fd` is 0 and the slot is named with
/// [`Sqe::set_target`] (since Linux 5.15).
///
/// # Safety
///
/// * `fd` belongs to the caller, who gives it up: nothing uses or closes it any more.
///
/// Since Linux 5.6. C: `io_uring_prep_close(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_close", "io_uring_prep_close_direct", "IORING_OP_CLOSE"))]
pub struct Close {
    /// The descriptor to close.
    pub fd: RawFd,
}

impl Operation for Close {
    const OPCODE: OpCode = OpCode::CLOSE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
    }
}
