//! Reading: plain, vectored, into a registered buffer.

use std::ffi::c_void;
use std::os::fd::RawFd;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Reads from a file at an offset.
///
/// Like `pread(2)`, with two differences: an offset of `u64::MAX` reads at the file's position and
/// moves it, as `read(2)` does, and what is not ready is waited for, even with `O_NONBLOCK`. Pipes,
/// sockets and terminals ignore the offset.
///
/// # Result
///
/// The number of bytes read, which may be less than `len`; 0 at the end of the file.
///
/// # Errors
///
/// * `EAGAIN` with `RWF_NOWAIT` if nothing is ready; on older kernels with `O_NONBLOCK` too.
/// * `ENOBUFS` if a buffer group was selected and is empty.
/// * `EFAULT` if the memory is not mapped writable.
/// * Those of `pread(2)`.
///
/// # Cancellation
///
/// A cancelled read has transferred nothing. A read of a regular file that the storage device is
/// carrying out cannot be cancelled.
///
/// # Notes
///
/// `RWF_*` flags are added with [`Sqe::insert_op_flags`], an I/O priority with
/// [`Sqe::insert_io_priority`]. In a chain a short read counts as a failure.
///
/// # Safety
///
/// * `ptr` points to `len` bytes that are valid for writes, and that nothing else reads or writes,
///   until the completion. With a buffer group selected it is not used.
/// * `fd` is a descriptor that the caller may read from.
///
/// Since Linux 5.6. C: `io_uring_prep_read(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_read", "IORING_OP_READ"))]
pub struct Read {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// Where the bytes go.
    pub ptr: *mut c_void,
    /// How many bytes to read at the most.
    pub len: u32,
    /// Where in the file to read, in bytes.
    pub offset: u64,
}

impl Operation for Read {
    const OPCODE: OpCode = OpCode::READ;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.ptr, self.len, self.offset);
    }
}

/// Reads from a file at an offset into several buffers, one after the other.
///
/// Like `preadv(2)`, with the differences that [`Read`] has.
///
/// # Result
///
/// The number of bytes read into all buffers together, which may be less than they hold; 0 at the
/// end of the file.
///
/// # Errors
///
/// * `EINVAL` with more than 1024 buffers, or other than one if a buffer group was selected.
/// * `EFAULT` if the array or the memory that it names is not mapped.
/// * Those of [`Read`].
///
/// # Cancellation
///
/// As of [`Read`].
///
/// # Safety
///
/// * `iovecs` points to `nr_vecs` elements, [argument memory](crate::operation#memory).
/// * Each of them names bytes that are valid for writes, and that nothing else reads or writes,
///   until the completion. With a buffer group selected they are not used.
/// * `fd` is a descriptor that the caller may read from.
///
/// Since Linux 5.1. C: `io_uring_prep_readv(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_readv", "IORING_OP_READV"))]
pub struct Readv {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// The buffers, in the order in which they are filled.
    pub iovecs: *const libc::iovec,
    /// The number of buffers.
    pub nr_vecs: u32,
    /// Where in the file to read, in bytes.
    pub offset: u64,
}

impl Operation for Readv {
    const OPCODE: OpCode = OpCode::READV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
    }
}

/// Reads from a file at an offset into a registered buffer.
///
/// Like [`Read`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// The number of bytes read, which may be less than `nbytes`; 0 at the end of the file.
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or the bytes are not all inside it.
/// * Those of [`Read`].
///
/// # Cancellation
///
/// As of [`Read`].
///
/// # Safety
///
/// * `buf` points to `nbytes` bytes that are valid for writes, and that nothing else reads or
///   writes, until the completion. Being registered keeps the memory mapped in the kernel, not the
///   Rust value in it alive.
/// * `fd` is a descriptor that the caller may read from.
///
/// Since Linux 5.1. C: `io_uring_prep_read_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_read_fixed", "IORING_OP_READ_FIXED"))]
pub struct ReadFixed {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// Where the bytes go: an address inside the registered buffer.
    pub buf: *mut c_void,
    /// How many bytes to read at the most.
    pub nbytes: u32,
    /// Where in the file to read, in bytes.
    pub offset: u64,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for ReadFixed {
    const OPCODE: OpCode = OpCode::READ_FIXED;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.buf, self.nbytes, self.offset);
        sqe.set_buffer_index(self.buf_index);
    }
}
