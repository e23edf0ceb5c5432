//! Reading: plain, vectored, into a registered buffer, again and again.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
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
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Readv");

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

/// Reads from a file at an offset, into several buffers, with flags.
///
/// Like `preadv2(2)`: [`Readv`] with `RWF_*` flags, which for the other reads are added with
/// [`Sqe::insert_op_flags`].
///
/// # Result
///
/// As of [`Readv`].
///
/// # Errors
///
/// * `EOPNOTSUPP` or `EINVAL` if the file or the kernel does not have a flag.
/// * `EAGAIN` with `RWF_NOWAIT` if nothing is ready.
/// * Those of [`Readv`].
///
/// # Cancellation
///
/// As of [`Readv`].
///
/// # Safety
///
/// * That of [`Readv`].
///
/// Since Linux 5.1. C: `io_uring_prep_readv2(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_readv2", "IORING_OP_READV"))]
pub struct Readv2 {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// The buffers, in the order in which they are filled.
    pub iovecs: *const libc::iovec,
    /// The number of buffers.
    pub nr_vecs: u32,
    /// Where in the file to read, in bytes.
    pub offset: u64,
    /// `RWF_*`.
    pub flags: i32,
}

impl Operation for Readv2 {
    const OPCODE: OpCode = OpCode::READV;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
        sqe.insert_op_flags(self.flags.cast_unsigned());
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

/// Reads from a file at an offset, into parts of a registered buffer, one after the other.
///
/// Like [`Readv2`], without the work of looking up and holding the memory each time.
///
/// # Result
///
/// As of [`Readv`].
///
/// # Errors
///
/// * `EFAULT` if no buffer is registered at `buf_index`, or one of the parts is not inside it.
/// * `EINVAL` with more than 1024 parts.
/// * Those of [`Readv2`].
///
/// # Cancellation
///
/// As of [`Readv`].
///
/// # Safety
///
/// * `iovecs` points to `nr_vecs` elements, [argument memory](crate::operation#memory).
/// * Each of them names bytes that are valid for writes, and that nothing else reads or writes,
///   until the completion. Being registered keeps the memory mapped in the kernel, not the Rust
///   value in it alive.
/// * `fd` is a descriptor that the caller may read from.
///
/// Since Linux 6.15. C: `io_uring_prep_readv_fixed(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_readv_fixed", "IORING_OP_READV_FIXED"))]
pub struct ReadvFixed {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// The parts: addresses inside the registered buffer, in the order in which they are filled.
    pub iovecs: *const libc::iovec,
    /// The number of parts.
    pub nr_vecs: u32,
    /// Where in the file to read, in bytes.
    pub offset: u64,
    /// `RWF_*`.
    pub flags: i32,
    /// The place of the buffer among the registered ones.
    pub buf_index: u16,
}

impl Operation for ReadvFixed {
    const OPCODE: OpCode = OpCode::READV_FIXED;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Readv");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.iovecs, self.nr_vecs, self.offset);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.set_buffer_index(self.buf_index);
    }
}

/// Reads from a file again and again, each time into a buffer of a group.
///
/// For what becomes readable again and again: pipes, sockets, terminals, eventfds. It needs no
/// [`Sqe::select_buffer`]: the group is a field.
///
/// # Result
///
/// One completion for each piece of data: its result is the number of bytes, and
/// [`Completion::buffer_id`](crate::Completion::buffer_id) the buffer that they are in, which
/// belongs to the caller until it is provided anew. As long as
/// [`Completion::more`](crate::Completion::more) holds, more will come.
///
/// The first completion for which it does not is the last: 0 at the end of the data; an error; or
/// data like any other if the kernel had to stop, as when the completion queue is full. To go on,
/// push it again.
///
/// # Errors
///
/// * `EBADFD` if the file cannot be waited for, as regular files cannot.
/// * `EINVAL` if `nbytes` is not 0.
/// * `ENOBUFS` if the group has no buffer left, or there is no such group. It ends the operation
///   and loses no data: provide buffers and push it again.
/// * Those of [`Read`]; each of them ends it.
///
/// # Cancellation
///
/// Data may come in until the last completion, whose result is `ECANCELED`.
///
/// # Safety
///
/// * The buffers of the group are written: they fulfil the conditions under which they were
///   provided.
/// * `fd` is a descriptor that the caller may read from.
///
/// Since Linux 6.7. C: `io_uring_prep_read_multishot(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_read_multishot", "IORING_OP_READ_MULTISHOT"))]
pub struct ReadMulti {
    /// The descriptor to read from.
    pub fd: RawFd,
    /// 0: a read fills whole buffers.
    pub nbytes: u32,
    /// Where in the file to read, in bytes: `u64::MAX` or 0 for files that have no position.
    pub offset: u64,
    /// The group that the buffers are taken from.
    pub buf_group: u16,
}

impl Operation for ReadMulti {
    const OPCODE: OpCode = OpCode::READ_MULTISHOT;
    const NEEDS: Needs = Needs::code(Self::OPCODE).or("Read");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), self.nbytes, self.offset);
        sqe.select_buffer(self.buf_group);
    }
}
