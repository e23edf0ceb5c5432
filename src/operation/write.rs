//! Writing: plain, vectored, from a registered buffer.

use std::ffi::c_void;
use std::os::fd::RawFd;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;

/// Writes to a file at an offset.
///
/// Like `pwrite(2)`, with two differences: an offset of `u64::MAX` writes at the file's position
/// and moves it, as `write(2)` does, and room that is not there is waited for, even with
/// `O_NONBLOCK`. Pipes, sockets and terminals ignore the offset, and so do files opened with
/// `O_APPEND`.
///
/// # Result
///
/// The number of bytes written, which may be less than `len`.
///
/// # Errors
///
/// * `EAGAIN` with `RWF_NOWAIT` if it would have to wait; on older kernels with `O_NONBLOCK` too.
/// * `EFAULT` if the memory is not mapped.
/// * `EPIPE` if nobody reads the pipe or socket any more, together with the signal `SIGPIPE`.
/// * Those of `pwrite(2)`.
///
/// # Cancellation
///
/// A cancelled write has transferred nothing. A write to a regular file that has begun cannot be
/// cancelled.
///
/// # Notes
///
/// `RWF_*` flags are added with [`Sqe::insert_op_flags`], an I/O priority with
/// [`Sqe::insert_io_priority`]. In a chain a short write counts as a failure.
///
/// # Safety
///
/// * `ptr` points to `len` bytes that are valid for reads, and that nothing writes, until the
///   completion.
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 5.6. C: `io_uring_prep_write(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_write", "IORING_OP_WRITE"))]
pub struct Write {
    /// The descriptor to write to.
    pub fd: RawFd,
    /// Where the bytes come from.
    pub ptr: *const c_void,
    /// How many bytes to write at the most.
    pub len: u32,
    /// Where in the file to write, in bytes.
    pub offset: u64,
}

impl Operation for Write {
    const OPCODE: OpCode = OpCode::WRITE;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Writev");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.ptr, self.len, self.offset);
    }
}

/// Writes several buffers, one after the other, to a file at an offset.
///
/// Like `pwritev(2)`, with the differences that [`Write`] has.
///
/// # Result
///
/// The number of bytes written from all buffers together, which may be less than they hold.
///
/// # Errors
///
/// * `EINVAL` with more than 1024 buffers.
/// * `EFAULT` if the array or the memory that it names is not mapped.
/// * Those of [`Write`].
///
/// # Cancellation
///
/// As of [`Write`].
///
/// # Safety
///
/// * `iovecs` points to `nr_vecs` elements, [argument memory](crate::operation#memory).
/// * Each of them names bytes that are valid for reads, and that nothing writes, until the
///   completion.
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 5.1. C: `io_uring_prep_writev(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_writev", "IORING_OP_WRITEV"))]
pub struct Writev {
    /// The descriptor to write to.
    pub fd: RawFd,
    /// The buffers, in the order in which they are written.
    pub iovecs: *const libc::iovec,
    /// The number of buffers.
    pub nr_vecs: u32,
    /// Where in the file to write, in bytes.
    pub offset: u64,
}

impl Operation for Writev {
    const OPCODE: OpCode = OpCode::WRITEV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
    }
}

/// Writes to a file at an offset, from several buffers, with flags.
///
/// Like `pwritev2(2)`: [`Writev`] with `RWF_*` flags, which for the other writes are added with
/// [`Sqe::insert_op_flags`].
///
/// # Result
///
/// As of [`Writev`].
///
/// # Errors
///
/// * `EOPNOTSUPP` or `EINVAL` if the file or the kernel does not have a flag.
/// * `EAGAIN` with `RWF_NOWAIT` if it would have to wait.
/// * Those of [`Writev`].
///
/// # Cancellation
///
/// As of [`Writev`].
///
/// # Safety
///
/// * That of [`Writev`].
///
/// Since Linux 5.1. C: `io_uring_prep_writev2(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_writev2", "IORING_OP_WRITEV"))]
pub struct Writev2 {
    /// The descriptor to write to.
    pub fd: RawFd,
    /// The buffers, in the order in which they are written.
    pub iovecs: *const libc::iovec,
    /// The number of buffers.
    pub nr_vecs: u32,
    /// Where in the file to write, in bytes.
    pub offset: u64,
    /// `RWF_*`.
    pub flags: i32,
}

impl Operation for Writev2 {
    const OPCODE: OpCode = OpCode::WRITEV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Writes to a file at an offset from a registered buffer.
///
/// Like [`Write`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// The number of bytes written, which may be less than `nbytes`.
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or the bytes are not all inside it.
/// * Those of [`Write`].
///
/// # Cancellation
///
/// As of [`Write`].
///
/// # Safety
///
/// * `buf` points to `nbytes` bytes that are valid for reads, and that nothing writes, until the
///   completion. Being registered keeps the memory mapped in the kernel, not the Rust value in it
///   alive.
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 5.1. C: `io_uring_prep_write_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_write_fixed", "IORING_OP_WRITE_FIXED"))]
pub struct WriteFixed {
    /// The descriptor to write to.
    pub fd: RawFd,
    /// Where the bytes come from: an address inside the registered buffer.
    pub buf: *const c_void,
    /// How many bytes to write at the most.
    pub nbytes: u32,
    /// Where in the file to write, in bytes.
    pub offset: u64,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for WriteFixed {
    const OPCODE: OpCode = OpCode::WRITE_FIXED;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.buf, self.nbytes, self.offset);
        sqe.set_buffer_index(self.buf_index);
    }
}

/// Writes to a file at an offset, from parts of a registered buffer, one after the other.
///
/// Like [`Writev2`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// As of [`Writev`].
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or one of the parts is not inside it.
/// * `EINVAL` with more than 1024 parts.
/// * Those of [`Writev2`].
///
/// # Cancellation
///
/// As of [`Writev`].
///
/// # Safety
///
/// * `iovecs` points to `nr_vecs` elements, [argument memory](crate::operation#memory).
/// * Each of them names bytes that are valid for reads, and that nothing writes,
///   until the completion. Being registered keeps the memory mapped in the kernel, not the Rust
///   value in it alive.
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 6.15. C: `io_uring_prep_writev_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_writev_fixed", "IORING_OP_WRITEV_FIXED"))]
pub struct WritevFixed {
    /// The descriptor to write to.
    pub fd: RawFd,
    /// The parts: addresses inside the registered buffer, in the order in which they are written.
    pub iovecs: *const libc::iovec,
    /// The number of parts.
    pub nr_vecs: u32,
    /// Where in the file to write, in bytes.
    pub offset: u64,
    /// `RWF_*`.
    pub flags: i32,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for WritevFixed {
    const OPCODE: OpCode = OpCode::WRITEV_FIXED;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Writev");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.set_buffer_index(self.buf_index);
    }
}
