//! Files: flushing, sizing, looking at.

use std::ffi::{c_char, c_void};
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{OpCode, Operation};
use crate::entry::Sqe;
use crate::sys;

bitflags! {
    /// How much [`Fsync`] flushes.
    ///
    /// C: `IORING_FSYNC_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FsyncFlags: u32 {
        /// Leaves out metadata that reading the data does not need, as `fdatasync(2)` does.
        ///
        /// Since Linux 5.1. C: `IORING_FSYNC_DATASYNC`.
        const DATASYNC = sys::IORING_FSYNC_DATASYNC;
    }
}

/// Flushes a file's data and metadata to its storage device.
///
/// Like `fsync(2)`, or `fdatasync(2)` with [`FsyncFlags::DATASYNC`].
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * Those of `fsync(2)`.
///
/// # Notes
///
/// Only what has been written when it starts is flushed. Writes that are in flight are not waited
/// for: link them before it, or push it with [`IO_DRAIN`](crate::SqeFlags::IO_DRAIN).
///
/// It flushes the whole file. The range of `len` bytes at `offset` is flushed after
/// `sqe.read_write(fd, null::<c_void>(), len, offset)`.
///
/// Since Linux 6.0 an error of `fsync(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.1. C: `io_uring_prep_fsync(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fsync", "IORING_OP_FSYNC", "fdatasync"))]
pub struct Fsync {
    /// The file to flush.
    pub fd: RawFd,
    /// How much of it.
    pub fsync_flags: FsyncFlags,
}

impl Operation for Fsync {
    const OPCODE: OpCode = OpCode::FSYNC;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
        sqe.insert_op_flags(self.fsync_flags.bits());
    }
}

/// Starts or awaits the writing of a file's cached data to its storage device.
///
/// Like `sync_file_range(2)`: it flushes no metadata, and the device's own cache stays as it is.
/// What must survive a power failure needs [`Fsync`].
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` with an unknown flag, or if the range does not fit into `i64`.
/// * `ESPIPE` if `fd` is neither a file, a directory, a block device nor a symbolic link.
/// * Those of `sync_file_range(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `sync_file_range(2)` itself does not end a chain: what is linked
/// behind it runs.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.2. C: `io_uring_prep_sync_file_range(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_sync_file_range", "IORING_OP_SYNC_FILE_RANGE"))]
pub struct SyncFileRange {
    /// The file.
    pub fd: RawFd,
    /// The length of the range in bytes, or 0 for all that follows `offset`.
    pub len: u32,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// `SYNC_FILE_RANGE_*`.
    pub flags: u32,
}

impl Operation for SyncFileRange {
    const OPCODE: OpCode = OpCode::SYNC_FILE_RANGE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), self.len, self.offset);
        sqe.insert_op_flags(self.flags);
    }
}

/// Allocates, zeroes or removes space of a file.
///
/// Like `fallocate(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if `len` is 0, or if `offset` or `len` is above `i64::MAX`.
/// * `EOPNOTSUPP` if the file system does not have the mode.
/// * Those of `fallocate(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `fallocate(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 5.6. C: `io_uring_prep_fallocate(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fallocate", "IORING_OP_FALLOCATE"))]
pub struct Fallocate {
    /// The file.
    pub fd: RawFd,
    /// `FALLOC_FL_*`, or 0 to allocate.
    pub mode: i32,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes.
    pub len: u64,
}

impl Operation for Fallocate {
    const OPCODE: OpCode = OpCode::FALLOCATE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let mode = self.mode.cast_unsigned();
        sqe.read_write(self.fd, ptr::null::<c_void>(), mode, self.offset);
        sqe.set_address(self.len);
    }
}

/// Sets the length of a file.
///
/// Like `ftruncate(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if `len` is negative, or the file is not open for writing.
/// * Those of `ftruncate(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `ftruncate(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may write to.
///
/// Since Linux 6.9. C: `io_uring_prep_ftruncate(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_ftruncate", "IORING_OP_FTRUNCATE"))]
pub struct Ftruncate {
    /// The file.
    pub fd: RawFd,
    /// Its new length in bytes.
    pub len: i64,
}

impl Operation for Ftruncate {
    const OPCODE: OpCode = OpCode::FTRUNCATE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, self.len.cast_unsigned());
    }
}

/// Tells a file's size, times, owner and other properties.
///
/// Like `statx(2)`.
///
/// # Result
///
/// 0; the answer is in `statxbuf`, and its `stx_mask` says which fields are filled.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `dfd` cannot be a registered file.
/// * `EFAULT` if the path or the buffer is not mapped.
/// * Those of `statx(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `statx(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `path` points to a C string that stays valid until the completion: unlike other operations,
///   this one reads its path as late as that on kernels before 5.18.
/// * `statxbuf` points to memory that is valid for writes, and that nothing else reads or writes,
///   until the completion.
/// * `dfd` is a directory that the caller may use, or with `AT_EMPTY_PATH` any file, or `AT_FDCWD`.
///
/// Since Linux 5.6. C: `io_uring_prep_statx(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_statx", "IORING_OP_STATX"))]
pub struct Statx {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// `AT_*`.
    pub flags: i32,
    /// `STATX_*`: the fields that are wanted.
    pub mask: u32,
    /// Where the answer goes.
    pub statxbuf: *mut libc::statx,
}

impl Operation for Statx {
    const OPCODE: OpCode = OpCode::STATX;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, self.mask, self.statxbuf as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}
