//! Doing nothing.

use std::ffi::c_void;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

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
