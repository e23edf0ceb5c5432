//! Extended attributes: reading and setting them, by path or by descriptor.

use std::ffi::{c_char, c_void};
use std::os::fd::RawFd;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Reads an extended attribute of the file with a path.
///
/// Like `getxattr(2)`.
///
/// # Result
///
/// The size of the value in bytes. If `len` is 0, nothing is written, and it is the room that the
/// value needs.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE).
/// * `ENODATA` if there is no such attribute.
/// * `ERANGE` if `len` is too small, but not 0, and if the name is empty or longer than 255 bytes.
/// * `EOPNOTSUPP` if the file system has no such attributes.
/// * Those of `getxattr(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `getxattr(2)` itself does not end a chain: what is linked behind it runs.
///
/// # Safety
///
/// * `name` and `path` point to C strings, [argument memory](crate::operation#memory).
/// * `value` points to `len` bytes that are valid for writes, and that nothing else reads or
///   writes, until the completion.
///
/// Since Linux 5.19. C: `io_uring_prep_getxattr(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_getxattr", "IORING_OP_GETXATTR"))]
pub struct Getxattr {
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: *const c_char,
    /// Where the value goes.
    pub value: *mut c_void,
    /// The path of the file. Symbolic links are followed.
    pub path: *const c_char,
    /// The room at `value` in bytes.
    pub len: u32,
}

impl Operation for Getxattr {
    const OPCODE: OpCode = OpCode::GETXATTR;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, self.name, self.len, self.value as u64);
        sqe.set_address3(self.path as u64);
    }
}

/// Sets an extended attribute of the file with a path.
///
/// Like `setxattr(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE).
/// * `EEXIST` with `XATTR_CREATE` if the attribute is there, `ENODATA` with `XATTR_REPLACE` if it is
///   not.
/// * `ERANGE` if the name is empty or longer than 255 bytes, `E2BIG` if `len` is above 65536.
/// * `EOPNOTSUPP` if the file system has no such attributes.
/// * Those of `setxattr(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `setxattr(2)` itself does not end a chain: what is linked behind it runs.
///
/// # Safety
///
/// * `name` and `path` point to C strings and `value` to `len` bytes, all of them
///   [argument memory](crate::operation#memory).
///
/// Since Linux 5.19. C: `io_uring_prep_setxattr(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_setxattr", "IORING_OP_SETXATTR"))]
pub struct Setxattr {
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: *const c_char,
    /// The value.
    pub value: *const c_void,
    /// The path of the file. Symbolic links are followed.
    pub path: *const c_char,
    /// `XATTR_CREATE`, `XATTR_REPLACE`, or 0.
    pub flags: i32,
    /// The size of the value in bytes.
    pub len: u32,
}

impl Operation for Setxattr {
    const OPCODE: OpCode = OpCode::SETXATTR;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, self.name, self.len, self.value as u64);
        sqe.set_address3(self.path as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}

/// Reads an extended attribute of an open file.
///
/// Like `fgetxattr(2)`.
///
/// # Result
///
/// The size of the value in bytes. If `len` is 0, nothing is written, and it is the room that the
/// value needs.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE) before Linux 6.13: `fd` cannot be a
///   registered file there.
/// * `ENODATA` if there is no such attribute.
/// * `ERANGE` if `len` is too small, but not 0, and if the name is empty or longer than 255 bytes.
/// * `EOPNOTSUPP` if the file system has no such attributes.
/// * Those of `fgetxattr(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `fgetxattr(2)` itself does not end a chain: what is linked behind it runs.
///
/// # Safety
///
/// * `name` points to a C string, [argument memory](crate::operation#memory).
/// * `value` points to `len` bytes that are valid for writes, and that nothing else reads or
///   writes, until the completion.
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_fgetxattr(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fgetxattr", "IORING_OP_FGETXATTR"))]
pub struct Fgetxattr {
    /// The file.
    pub fd: RawFd,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: *const c_char,
    /// Where the value goes.
    pub value: *mut c_void,
    /// The room at `value` in bytes.
    pub len: u32,
}

impl Operation for Fgetxattr {
    const OPCODE: OpCode = OpCode::FGETXATTR;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.name, self.len, self.value as u64);
    }
}

/// Sets an extended attribute of an open file.
///
/// Like `fsetxattr(2)`.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE) before Linux 6.13: `fd` cannot be a
///   registered file there.
/// * `EEXIST` with `XATTR_CREATE` if the attribute is there, `ENODATA` with `XATTR_REPLACE` if it is
///   not.
/// * `ERANGE` if the name is empty or longer than 255 bytes, `E2BIG` if `len` is above 65536.
/// * `EOPNOTSUPP` if the file system has no such attributes.
/// * Those of `fsetxattr(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `fsetxattr(2)` itself does not end a chain: what is linked behind it runs.
///
/// # Safety
///
/// * `name` points to a C string and `value` to `len` bytes, both
///   [argument memory](crate::operation#memory).
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_fsetxattr(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fsetxattr", "IORING_OP_FSETXATTR"))]
pub struct Fsetxattr {
    /// The file.
    pub fd: RawFd,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: *const c_char,
    /// The value.
    pub value: *const c_void,
    /// `XATTR_CREATE`, `XATTR_REPLACE`, or 0.
    pub flags: i32,
    /// The size of the value in bytes.
    pub len: u32,
}

impl Operation for Fsetxattr {
    const OPCODE: OpCode = OpCode::FSETXATTR;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, self.name, self.len, self.value as u64);
        sqe.insert_op_flags(self.flags.cast_unsigned());
    }
}
