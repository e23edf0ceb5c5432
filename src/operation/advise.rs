//! Announcing how a file will be used.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;

/// Announces how a range of a file will be read.
///
/// Like `posix_fadvise(2)`, with a length of 32 bits.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if the advice is unknown, and since Linux 7.1 if `offset` is above `i64::MAX`.
/// * `ESPIPE` if `fd` is a pipe.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.6. C: `io_uring_prep_fadvise(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fadvise", "IORING_OP_FADVISE", "posix_fadvise"))]
pub struct Fadvise {
    /// The file.
    pub fd: RawFd,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes, or 0 for all that follows `offset`.
    pub len: u32,
    /// `POSIX_FADV_*`.
    pub advice: i32,
}

impl Operation for Fadvise {
    const OPCODE: OpCode = OpCode::FADVISE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), self.len, self.offset);
        sqe.insert_op_flags(self.advice.cast_unsigned());
    }
}

/// Announces how a range of a file of any length will be read.
///
/// Like [`Fadvise`], with a length of 64 bits.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if `len` is above `i64::MAX`, and on a kernel that takes 32 bits only.
/// * Those of [`Fadvise`].
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 6.11. C: `io_uring_prep_fadvise64(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fadvise64", "IORING_OP_FADVISE"))]
pub struct Fadvise64 {
    /// The file.
    pub fd: RawFd,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes, or 0 for all that follows `offset`.
    pub len: u64,
    /// `POSIX_FADV_*`.
    pub advice: i32,
}

impl Operation for Fadvise64 {
    const OPCODE: OpCode = OpCode::FADVISE;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.11").or("Fadvise");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, self.offset);
        sqe.set_address(self.len);
        sqe.insert_op_flags(self.advice.cast_unsigned());
    }
}
