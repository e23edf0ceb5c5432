//! Doing nothing, in several ways.

use std::ffi::c_void;
use std::ptr;

use bitflags::bitflags;

use super::{LargeOperation, Needs, OpCode, Operation};
use crate::entry::{LargeSqe, Sqe};
use crate::params::SetupFlags;
use crate::sys;

/// Does nothing, and completes.
///
/// Wakes whoever waits for completions, ends a chain, or shows what the ring itself costs.
///
/// # Result
///
/// 0.
///
/// Since Linux 5.1. C: `io_uring_prep_nop(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_nop", "IORING_OP_NOP"))]
pub struct Nop;

impl Operation for Nop {
    const OPCODE: OpCode = OpCode::NOP;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, ptr::null::<c_void>(), 0, 0);
    }
}

bitflags! {
    /// What [`NopWith`] does beyond nothing.
    ///
    /// C: `IORING_NOP_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NopFlags: u32 {
        /// The result is [`NopWith::result`].
        ///
        /// Since Linux 6.10. C: `IORING_NOP_INJECT_RESULT`.
        const INJECT_RESULT = sys::IORING_NOP_INJECT_RESULT;
        /// The completion has 32 bytes, and [`NopWith::extra`] in the second half of them.
        ///
        /// Since Linux 6.18. C: `IORING_NOP_CQE32`.
        const CQE32 = sys::IORING_NOP_CQE32;
    }
}

/// Does nothing, and completes as it was told.
///
/// A stand-in for another operation: it fails, breaks a chain or fills completions at will.
///
/// # Result
///
/// 0, or with [`INJECT_RESULT`](NopFlags::INJECT_RESULT) whatever `result` says; a negative errno is
/// an error.
///
/// # Errors
///
/// * `EINVAL` with [`CQE32`](NopFlags::CQE32) on a ring whose completions have 16 bytes, and with a
///   flag that the kernel does not know.
///
/// # Notes
///
/// In a chain a negative `result` counts as a failure.
///
/// Since Linux 6.10. C: `io_uring_prep_nop(3)`.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias("io_uring_prep_nop", "IORING_OP_NOP"))]
pub struct NopWith {
    /// What it does.
    pub flags: NopFlags,
    /// The result, with [`INJECT_RESULT`](NopFlags::INJECT_RESULT).
    pub result: i32,
    /// What [`Completion::extra`](crate::Completion::extra) holds, with [`CQE32`](NopFlags::CQE32).
    pub extra: [u64; 2],
}

impl Operation for NopWith {
    const OPCODE: OpCode = OpCode::NOP;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.10");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let [first, second] = self.extra;
        sqe.read_write(
            -1,
            ptr::null::<c_void>(),
            self.result.cast_unsigned(),
            first,
        );
        sqe.set_address(second);
        sqe.insert_op_flags(self.flags.bits());
    }
}

/// Does nothing, from an entry of 128 bytes, and completes.
///
/// # Result
///
/// 0.
///
/// Since Linux 6.19. C: `io_uring_prep_nop128(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_nop128", "IORING_OP_NOP128"))]
pub struct Nop128;

impl LargeOperation for Nop128 {
    const OPCODE: OpCode = OpCode::NOP128;
    const NEEDS: Needs =
        Needs::code(Self::OPCODE).with_ring(&[SetupFlags::SQE128.union(SetupFlags::SQE_MIXED)]);

    #[inline]
    fn prepare(&self, sqe: &mut LargeSqe) {
        sqe.entry.read_write(-1, ptr::null::<c_void>(), 0, 0);
    }
}
