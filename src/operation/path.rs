//! Names in directories: removing, making, renaming, linking.

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
#[doc(alias(
    "io_uring_prep_unlinkat",
    "io_uring_prep_unlink",
    "IORING_OP_UNLINKAT",
    "rmdir"
))]
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
#[doc(alias("io_uring_prep_mkdirat", "io_uring_prep_mkdir", "IORING_OP_MKDIRAT"))]
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
#[doc(alias("io_uring_prep_renameat", "io_uring_prep_rename", "IORING_OP_RENAMEAT"))]
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

/// Makes a symbolic link.
///
/// Like `symlinkat(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `newdirfd` cannot be a registered
///   file.
/// * `EEXIST` if the name is there already.
/// * Those of `symlinkat(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `symlinkat(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `target` and `linkpath` point to C strings, [argument memory](crate::operation#memory).
/// * `newdirfd` is a directory that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.15. C: `io_uring_prep_symlinkat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_symlinkat",
    "io_uring_prep_symlink",
    "IORING_OP_SYMLINKAT"
))]
pub struct Symlinkat {
    /// What the link says. It need not exist.
    pub target: *const c_char,
    /// The directory that a relative `linkpath` starts from.
    pub newdirfd: RawFd,
    /// The name of the link.
    pub linkpath: *const c_char,
}

impl Operation for Symlinkat {
    const OPCODE: OpCode = OpCode::SYMLINKAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.newdirfd, self.target, 0, self.linkpath as u64);
    }
}

/// Gives a file another name within its file system.
///
/// Like `linkat(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): neither directory can be a
///   registered file.
/// * `EEXIST` if the new name is there already.
/// * `EXDEV` if it is on another file system.
/// * Those of `linkat(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `linkat(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * `oldpath` and `newpath` point to C strings, [argument memory](crate::operation#memory).
/// * `olddfd` and `newdfd` are directories that the caller may use, or `AT_FDCWD`; with
///   `AT_EMPTY_PATH` `olddfd` is any file.
///
/// Since Linux 5.15. C: `io_uring_prep_linkat(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_linkat", "io_uring_prep_link", "IORING_OP_LINKAT"))]
pub struct Linkat {
    /// The directory that a relative `oldpath` starts from.
    pub olddfd: RawFd,
    /// The file.
    pub oldpath: *const c_char,
    /// The directory that a relative `newpath` starts from.
    pub newdfd: RawFd,
    /// Its further name.
    pub newpath: *const c_char,
    /// `AT_SYMLINK_FOLLOW`, `AT_EMPTY_PATH`, or 0.
    pub flags: i32,
}

impl Operation for Linkat {
    const OPCODE: OpCode = OpCode::LINKAT;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let newdfd = self.newdfd.cast_unsigned();
        sqe.read_write(self.olddfd, self.oldpath, newdfd, self.newpath as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}
