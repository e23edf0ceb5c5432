//! Pipes: making them, and moving data through them.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::{FileSlot, Sqe};
use crate::sys;

/// Makes a pipe.
///
/// Like `pipe2(2)`.
///
/// # Result
///
/// 0; the two descriptors, which belong to the caller, are in `fds`: the first is for reading, the
/// second for writing.
///
/// # Errors
///
/// * `EINVAL` with a flag other than `O_CLOEXEC`, `O_NONBLOCK`, `O_DIRECT` and
///   `O_NOTIFICATION_PIPE`.
/// * `EMFILE` or `ENFILE` if there is no room for the descriptors.
/// * `EFAULT` if the memory is not mapped writable.
///
/// # Cancellation
///
/// If the cancellation comes too late, the descriptors are there, and someone has to close them.
///
/// # Safety
///
/// * `fds` points to two descriptors that are valid for writes, and that nothing else reads or
///   writes, until the completion.
///
/// Since Linux 6.16. C: `io_uring_prep_pipe(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_pipe", "IORING_OP_PIPE", "pipe2"))]
pub struct Pipe {
    /// Where the two descriptors go.
    pub fds: *mut RawFd,
    /// `O_CLOEXEC`, `O_NONBLOCK`, `O_DIRECT`, or 0.
    pub pipe_flags: i32,
}

impl Operation for Pipe {
    const OPCODE: OpCode = OpCode::PIPE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, self.fds, 0, 0);
        sqe.insert_op_flags(self.pipe_flags.cast_unsigned());
    }
}

/// Makes a pipe of two registered files, without descriptors.
///
/// Like [`Pipe`].
///
/// # Result
///
/// 0; the two slots are in `fds`: the first is the end for reading, the second that for writing. With
/// [`FileSlot::At`] kernels before 6.19, later patch releases of 6.18 aside, leave 0 in both.
///
/// # Errors
///
/// * `EINVAL` with `O_CLOEXEC`: what is registered is not inherited anyway.
/// * Those of [`Sqe::set_target`] and of [`Pipe`].
///
/// # Cancellation
///
/// If the cancellation comes too late, the pipe is there, and someone has to empty the slots.
///
/// # Notes
///
/// Name slots that are both in the table: if the second is not, those older kernels leave the first
/// filled and empty slot 0.
///
/// # Safety
///
/// * `fds` points to two descriptors that are valid for writes, and that nothing else reads or
///   writes, until the completion.
/// * Nothing relies on what `file_index` and the slot behind it held: their files are replaced.
///
/// Since Linux 6.16. C: `io_uring_prep_pipe_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_pipe_direct", "IORING_OP_PIPE"))]
pub struct PipeDirect {
    /// Where the numbers of the two slots go.
    pub fds: *mut RawFd,
    /// `O_NONBLOCK`, `O_DIRECT`, or 0.
    pub pipe_flags: i32,
    /// Where the end for reading goes among the registered files; that for writing goes to the next
    /// slot.
    pub file_index: FileSlot,
}

impl Operation for PipeDirect {
    const OPCODE: OpCode = OpCode::PIPE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, self.fds, 0, 0);
        sqe.insert_op_flags(self.pipe_flags.cast_unsigned());
        sqe.set_target(self.file_index);
    }
}

/// Together with the flags of [`Splice`] or [`Tee`]: `fd_in` is an index into the registered files.
///
/// Since Linux 5.7. C: `SPLICE_F_FD_IN_FIXED`.
pub const SPLICE_F_FD_IN_FIXED: u32 = sys::SPLICE_F_FD_IN_FIXED;

/// Moves data from a file to a pipe, or from a pipe to a file, without copying it to the program.
///
/// Like `splice(2)`. One of the two descriptors must be a pipe, or both.
///
/// # Result
///
/// The number of bytes moved, which may be less than `nbytes`; 0 at the end of the data.
///
/// # Errors
///
/// * `EBADF` if `fd_in` is not open for reading or `fd_out` not for writing.
/// * `EINVAL` if neither is a pipe, if one cannot do it, or with an unknown flag.
/// * `ESPIPE` if a pipe has an offset other than -1.
/// * `EAGAIN` with `SPLICE_F_NONBLOCK` if the pipe is empty or full.
/// * Those of `splice(2)`.
///
/// # Cancellation
///
/// The error of a transfer that waits is 512 (`ERESTARTSYS`), which the kernel otherwise turns into
/// `EINTR`. The cancellation says `EALREADY`.
///
/// # Notes
///
/// It runs on a kernel worker, which waits with it. In a chain a short transfer counts as a failure.
/// [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE) is about `fd_out`; for `fd_in` there is
/// [`SPLICE_F_FD_IN_FIXED`].
///
/// # Safety
///
/// * `fd_in` and `fd_out` are descriptors that the caller may use. `fd_in` stays open until the
///   completion.
///
/// Since Linux 5.7. C: `io_uring_prep_splice(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_splice", "IORING_OP_SPLICE", "sendfile"))]
pub struct Splice {
    /// Where the data comes from.
    pub fd_in: RawFd,
    /// Where in it to begin, or -1 for a pipe and for the file's position.
    pub off_in: i64,
    /// Where the data goes.
    pub fd_out: RawFd,
    /// Where in it to begin, or -1 for a pipe and for the file's position.
    pub off_out: i64,
    /// How many bytes to move at the most.
    pub nbytes: u32,
    /// `SPLICE_F_*`.
    pub splice_flags: u32,
}

impl Operation for Splice {
    const OPCODE: OpCode = OpCode::SPLICE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let offset = self.off_out.cast_unsigned();
        sqe.read_write(self.fd_out, ptr::null::<c_void>(), self.nbytes, offset);
        sqe.set_address(self.off_in.cast_unsigned());
        sqe.set_file_index(self.fd_in.cast_unsigned());
        sqe.insert_op_flags(self.splice_flags);
    }
}

/// Copies data from one pipe to another, and leaves it in the first.
///
/// Like `tee(2)`.
///
/// # Result
///
/// The number of bytes copied, which may be less than `nbytes`; 0 at the end of the data.
///
/// # Errors
///
/// * `EBADF` if `fd_in` is not open for reading or `fd_out` not for writing.
/// * `EINVAL` if both are not pipes, if they are the same, or with an unknown flag.
/// * `EAGAIN` with `SPLICE_F_NONBLOCK` if the one is empty or the other full.
///
/// # Cancellation
///
/// As of [`Splice`].
///
/// # Notes
///
/// As of [`Splice`].
///
/// # Safety
///
/// * `fd_in` and `fd_out` are descriptors that the caller may use. `fd_in` stays open until the
///   completion.
///
/// Since Linux 5.8. C: `io_uring_prep_tee(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_tee", "IORING_OP_TEE"))]
pub struct Tee {
    /// The pipe that the data comes from.
    pub fd_in: RawFd,
    /// The pipe that the data goes to.
    pub fd_out: RawFd,
    /// How many bytes to copy at the most.
    pub nbytes: u32,
    /// `SPLICE_F_*`.
    pub splice_flags: u32,
}

impl Operation for Tee {
    const OPCODE: OpCode = OpCode::TEE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd_out, ptr::null::<c_void>(), self.nbytes, 0);
        sqe.set_file_index(self.fd_in.cast_unsigned());
        sqe.insert_op_flags(self.splice_flags);
    }
}
