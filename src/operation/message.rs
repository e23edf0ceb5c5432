//! Messages from one ring to another.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{OpCode, Operation};
use crate::entry::Sqe;
use crate::sys;

bitflags! {
    /// How [`MsgRing`] arrives.
    ///
    /// C: `IORING_MSG_RING_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MsgRingFlags: u32 {
        /// Posts nothing to the target. For messages that pass a descriptor; `EINVAL` otherwise.
        ///
        /// Since Linux 6.0. C: `IORING_MSG_RING_CQE_SKIP`.
        const CQE_SKIP = sys::IORING_MSG_RING_CQE_SKIP;
        /// The completion carries the flags that [`Sqe::set_file_index`] has set.
        ///
        /// Since Linux 6.3. C: `IORING_MSG_RING_FLAGS_PASS`.
        const FLAGS_PASS = sys::IORING_MSG_RING_FLAGS_PASS;
    }
}

/// Posts a completion to another ring, or to the same.
///
/// It wakes whoever waits there, and needs no lock between threads.
///
/// # Result
///
/// 0 here. At the target a completion whose user data is `data` and whose result is `len`; if `len`
/// is above `i32::MAX`, [`Completion::raw_result`](crate::Completion::raw_result) is its bits.
///
/// # Errors
///
/// * `EBADFD` if `fd` is not a ring, or one that is not enabled yet.
/// * `EOVERFLOW` or `ENOMEM` if the target has no room for the completion.
/// * `EOWNERDEAD` if the thread that the target belongs to has ended. Newer kernels take the message
///   all the same, and nobody gets it.
/// * `EINVAL` with [`CQE_SKIP`](MsgRingFlags::CQE_SKIP).
///
/// # Safety
///
/// * `fd` is a ring that the caller may use, and whoever takes completions from it is prepared for
///   this one. Often user data is taken for a pointer there, or for a promise that some memory is
///   free.
///
/// Since Linux 5.18. C: `io_uring_prep_msg_ring(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_msg_ring",
    "io_uring_prep_msg_ring_cqe_flags",
    "IORING_OP_MSG_RING"
))]
pub struct MsgRing {
    /// The ring that the message goes to.
    pub fd: RawFd,
    /// The result of the completion there.
    pub len: u32,
    /// The user data of the completion there.
    pub data: u64,
    /// How it arrives.
    pub flags: MsgRingFlags,
}

impl Operation for MsgRing {
    const OPCODE: OpCode = OpCode::MSG_RING;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), self.len, self.data);
        sqe.insert_op_flags(self.flags.bits());
    }
}
