//! Names in directories: removing, making, renaming.

use std::ffi::c_char;
use std::os::fd::RawFd;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Removes a name of a file, or an empty directory.
///
/// Like `unlinkat(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `dfd` cannot be a registered file.
/// * `EINVAL` with a flag other than `AT_REMOVEDIR`.
/// * Those of `unlinkat(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `unlinkat(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `path` points to a C string, [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.11. C: `io_uring_prep_unlinkat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_unlinkat", "IORING_OP_UNLINKAT", "rmdir"))]
pub struct Unlinkat {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// `AT_REMOVEDIR` to remove a directory, otherwise 0.
    pub flags: i32,
}

impl Operation for Unlinkat {
    const OPCODE: OpCode = OpCode::UNLINKAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, 0, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Makes a directory.
///
/// Like `mkdirat(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `dfd` cannot be a registered file.
/// * Those of `mkdirat(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `mkdirat(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `path` points to a C string, [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.15. C: `io_uring_prep_mkdirat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_mkdirat", "IORING_OP_MKDIRAT"))]
pub struct Mkdirat {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// The permissions, before the umask.
    pub mode: libc::mode_t,
}

impl Operation for Mkdirat {
    const OPCODE: OpCode = OpCode::MKDIRAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, self.mode, 0);
    }
}

/// Renames or moves a file or directory within a file system.
///
/// Like `renameat2(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): neither directory can be a
///   registered file.
/// * `EEXIST` with `RENAME_NOREPLACE` if the new name is there.
/// * `EXDEV` if the new name is on another file system.
/// * Those of `renameat2(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `renameat2(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `oldpath` and `newpath` point to C strings, [argument memory](crate::operation#memory).
/// * `olddfd` and `newdfd` are directories that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.11. C: `io_uring_prep_renameat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_renameat", "IORING_OP_RENAMEAT"))]
pub struct Renameat {
    /// The directory that a relative `oldpath` starts from.
    pub olddfd: RawFd,
    /// What is renamed.
    pub oldpath: *const c_char,
    /// The directory that a relative `newpath` starts from.
    pub newdfd: RawFd,
    /// Its new name.
    pub newpath: *const c_char,
    /// `RENAME_*`, or 0 to replace what has the new name.
    pub flags: u32,
}

impl Operation for Renameat {
    const OPCODE: OpCode = OpCode::RENAMEAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let newdfd = self.newdfd.cast_unsigned();
        sqe.read_write(self.olddfd, self.oldpath, newdfd, self.newpath as u64);
        sqe.insert_op_flags(self.flags);
    }
}
