//! Announcing how memory will be used.

use std::ffi::c_void;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;

/// Announces how a range of the program's memory will be used.
///
/// Like `madvise(2)`, with a length of 32 bits.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if `addr` is not the start of a page, or if the advice is unknown or not possible
///   there.
/// * `ENOMEM` if the range is not mapped as a whole.
/// * Those of `madvise(2)`.
///
/// # Notes
///
/// Since Linux 6.0 an error of `madvise(2)` itself does not end a chain: what is linked behind it
/// runs.
///
/// # Safety
///
/// * The advice takes nothing away that someone relies on: `MADV_DONTNEED`, `MADV_FREE` and
///   `MADV_REMOVE` lose what the range holds, others change what a child process finds there.
///
/// Since Linux 5.6. C: `io_uring_prep_madvise(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_madvise", "IORING_OP_MADVISE"))]
pub struct Madvise {
    /// The start of the range.
    pub addr: *mut c_void,
    /// Its length in bytes, of which the last page is taken whole.
    pub length: u32,
    /// `MADV_*`.
    pub advice: i32,
}

impl Operation for Madvise {
    const OPCODE: OpCode = OpCode::MADVISE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, self.addr, self.length, 0);
        sqe.insert_op_flags(self.advice.cast_unsigned());
    }
}

/// Announces how a range of the program's memory of any length will be used.
///
/// Like [`Madvise`], with a length of 64 bits.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EINVAL` if the range wraps around, and on a kernel that takes 32 bits only.
/// * Those of [`Madvise`].
///
/// # Notes
///
/// As of [`Madvise`].
///
/// # Safety
///
/// * The advice takes nothing away that someone relies on: `MADV_DONTNEED`, `MADV_FREE` and
///   `MADV_REMOVE` lose what the range holds, others change what a child process finds there.
///
/// Since Linux 6.11. C: `io_uring_prep_madvise64(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_madvise64", "IORING_OP_MADVISE"))]
pub struct Madvise64 {
    /// The start of the range.
    pub addr: *mut c_void,
    /// Its length in bytes, of which the last page is taken whole.
    pub length: u64,
    /// `MADV_*`.
    pub advice: i32,
}

impl Operation for Madvise64 {
    const OPCODE: OpCode = OpCode::MADVISE;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.11").or("Madvise");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, self.addr, 0, self.length);
        sqe.insert_op_flags(self.advice.cast_unsigned());
    }
}
