//! Opening files and closing descriptors.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
use crate::entry::{FileSlot, Sqe};
use crate::sys;

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
#[doc(alias("io_uring_prep_openat", "io_uring_prep_open", "IORING_OP_OPENAT"))]
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

/// Opens a file as a registered one, without a descriptor.
///
/// Like [`Openat`] with [`Sqe::set_target`].
///
/// # Result
///
/// 0, or with [`FileSlot::Allocate`] the slot that the file has gone to.
///
/// # Errors
///
/// * `EINVAL` with `O_CLOEXEC`: what is registered is not inherited anyway.
/// * Those of [`Openat`].
///
/// # Cancellation
///
/// If the cancellation comes too late, the file is open, and someone has to empty the slot.
///
/// # Safety
///
/// * `path` points to a C string, [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
/// * Nothing relies on what `file_index` held: its file is replaced.
///
/// Since Linux 5.15. C: `io_uring_prep_openat_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_openat_direct",
    "io_uring_prep_open_direct",
    "IORING_OP_OPENAT"
))]
pub struct OpenatDirect {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// `O_*`, the access mode among them.
    pub flags: i32,
    /// The permissions of a file that is created, before the umask.
    pub mode: libc::mode_t,
    /// Where the file goes among the registered ones.
    pub file_index: FileSlot,
}

impl Operation for OpenatDirect {
    const OPCODE: OpCode = OpCode::OPENAT;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.15").or("Openat");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, self.mode, 0);
        sqe.insert_op_flags(self.flags.cast_unsigned());
        sqe.set_target(self.file_index);
    }
}

/// How [`Openat2`] opens a file.
///
/// C: `struct open_how`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenHow {
    /// `O_*`, the access mode among them. Unknown ones are refused.
    pub flags: u64,
    /// The permissions of a file that is created, before the umask. 0 if none is.
    pub mode: u64,
    /// `RESOLVE_*`: where the path may not lead.
    pub resolve: u64,
}

const _: () = assert!(size_of::<OpenHow>() == size_of::<sys::open_how>());
const _: () = assert!(align_of::<OpenHow>() == align_of::<sys::open_how>());
const _: () = assert!(
    offset_of!(OpenHow, flags) == offset_of!(sys::open_how, flags)
        && offset_of!(OpenHow, mode) == offset_of!(sys::open_how, mode)
        && offset_of!(OpenHow, resolve) == offset_of!(sys::open_how, resolve)
);

#[expect(clippy::cast_possible_truncation, reason = "24 bytes")]
const SIZE_OF_HOW: u32 = size_of::<OpenHow>() as u32;

/// Opens a file, with limits on where its path may lead.
///
/// Like `openat2(2)`.
///
/// # Result
///
/// The new descriptor, which belongs to the caller. With [`Sqe::set_target`] there is none, and the
/// result is 0 or the index of the slot.
///
/// # Errors
///
/// * `EBADF` with [`FIXED_FILE`](crate::SqeFlags::FIXED_FILE): `dfd` cannot be a registered file.
/// * `EINVAL` with a flag that the kernel does not know, or with a mode when nothing is created.
/// * `EXDEV` or `ELOOP` if the path leads where `resolve` says that it may not.
/// * `EAGAIN` with `RESOLVE_CACHED` if the path is not all in the cache.
/// * Those of [`Sqe::set_target`] and of `openat2(2)`.
///
/// # Cancellation
///
/// If the cancellation comes too late, the result is a descriptor, and someone has to close it.
///
/// # Safety
///
/// * `path` points to a C string and `how` to a value, both
///   [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
///
/// Since Linux 5.6. C: `io_uring_prep_openat2(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_openat2", "IORING_OP_OPENAT2"))]
pub struct Openat2 {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// How it is opened.
    pub how: *const OpenHow,
}

impl Operation for Openat2 {
    const OPCODE: OpCode = OpCode::OPENAT2;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, SIZE_OF_HOW, self.how as u64);
    }
}

/// Opens a file as a registered one, with limits on where its path may lead.
///
/// Like [`Openat2`] with [`Sqe::set_target`].
///
/// # Result
///
/// 0, or with [`FileSlot::Allocate`] the slot that the file has gone to.
///
/// # Errors
///
/// * `EINVAL` with `O_CLOEXEC`: what is registered is not inherited anyway.
/// * Those of [`Openat2`].
///
/// # Cancellation
///
/// If the cancellation comes too late, the file is open, and someone has to empty the slot.
///
/// # Safety
///
/// * `path` points to a C string and `how` to a value, both
///   [argument memory](crate::operation#memory).
/// * `dfd` is a directory that the caller may use, or `AT_FDCWD`.
/// * Nothing relies on what `file_index` held: its file is replaced.
///
/// Since Linux 5.15. C: `io_uring_prep_openat2_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_openat2_direct", "IORING_OP_OPENAT2"))]
pub struct Openat2Direct {
    /// The directory that a relative path starts from.
    pub dfd: RawFd,
    /// The path.
    pub path: *const c_char,
    /// How it is opened.
    pub how: *const OpenHow,
    /// Where the file goes among the registered ones.
    pub file_index: FileSlot,
}

impl Operation for Openat2Direct {
    const OPCODE: OpCode = OpCode::OPENAT2;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.15").or("Openat2");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.dfd, self.path, SIZE_OF_HOW, self.how as u64);
        sqe.set_target(self.file_index);
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
/// A registered file is closed by [`CloseFixed`](super::CloseFixed).
///
/// # Safety
///
/// * `fd` belongs to the caller, who gives it up: nothing uses or closes it any more.
///
/// Since Linux 5.6. C: `io_uring_prep_close(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_close", "IORING_OP_CLOSE"))]
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
