//! Buffers for the kernel to pick from.

use std::ffi::c_void;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Gives the kernel buffers that receives and reads can pick from.
///
/// They form a group, and [`Sqe::select_buffer`] has an operation take one. Each is used once; to
/// use it again, provide it again. A [`BufferRing`](crate::BufferRing) does the same without an
/// operation each time.
///
/// # Result
///
/// 0 or more; kernels differ in whether it is the number of buffers.
///
/// # Errors
///
/// * `E2BIG` if `nr` is 0 or above 65535 (newer kernels: 65536).
/// * `EINVAL` if `len` is 0, if numbers would exceed 65535, or if the group is a
///   [`BufferRing`](crate::BufferRing).
/// * `EOVERFLOW` if the group would hold too many, or the memory wraps around.
/// * `EFAULT` if the memory is not the program's, `ENOMEM` if the kernel has none.
///
/// # Safety
///
/// * `addr` points to `nr` times `len` bytes that are valid for reads and writes. From the push on
///   nothing else reads or writes them, buffer by buffer, until a completion hands the buffer
///   over: one with its number as [`Completion::buffer_id`](crate::Completion::buffer_id), or that
///   of an operation that removes it from the group; or until the ring is closed and all
///   operations that could pick it have ended.
///
/// Since Linux 5.7. C: `io_uring_prep_provide_buffers(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_provide_buffers", "IORING_OP_PROVIDE_BUFFERS"))]
pub struct ProvideBuffers {
    /// The first byte of the first buffer. The others follow without a gap.
    pub addr: *mut c_void,
    /// The size of each buffer in bytes.
    pub len: u32,
    /// How many buffers there are.
    pub nr: u32,
    /// The group that they go to, which need not exist.
    pub bgid: u16,
    /// The number of the first buffer. The others count up.
    pub bid: u16,
}

impl Operation for ProvideBuffers {
    const OPCODE: OpCode = OpCode::PROVIDE_BUFFERS;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(
            self.nr.cast_signed(),
            self.addr,
            self.len,
            u64::from(self.bid),
        );
        sqe.set_buffer_index(self.bgid);
    }
}

/// Takes buffers out of a group that [`ProvideBuffers`] has filled.
///
/// # Result
///
/// The number of buffers that were removed, which is less than `nr` if there were no more. They
/// belong to the caller again.
///
/// # Errors
///
/// * `ENOENT` if there is no such group.
/// * `EINVAL` if `nr` is 0 or above 65535 (newer kernels: 65536), or if the group is a
///   [`BufferRing`](crate::BufferRing).
///
/// # Notes
///
/// Which buffers remain is not told: a group is best emptied whole.
///
/// Since Linux 5.7. C: `io_uring_prep_remove_buffers(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_remove_buffers", "IORING_OP_REMOVE_BUFFERS"))]
pub struct RemoveBuffers {
    /// How many to remove at the most.
    pub nr: u32,
    /// The group.
    pub bgid: u16,
}

impl Operation for RemoveBuffers {
    const OPCODE: OpCode = OpCode::REMOVE_BUFFERS;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.nr.cast_signed(), ptr::null::<c_void>(), 0, 0);
        sqe.set_buffer_index(self.bgid);
    }
}
