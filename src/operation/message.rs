//! Messages from one ring to another.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{Needs, OpCode, Operation};
use crate::entry::{FileSlot, Sqe};
use crate::sys;

bitflags! {
    /// How [`MsgRing`], [`MsgRingCqeFlags`] and [`MsgRingFd`] arrive.
    ///
    /// C: `IORING_MSG_RING_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MsgRingFlags: u32 {
        /// Posts nothing to the target. For [`MsgRingFd`]; `EINVAL` otherwise.
        ///
        /// Since Linux 6.0. C: `IORING_MSG_RING_CQE_SKIP`.
        const CQE_SKIP = sys::IORING_MSG_RING_CQE_SKIP;
        /// The completion carries flags that the sender chooses; what [`MsgRingCqeFlags`] is.
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
#[doc(alias("io_uring_prep_msg_ring", "IORING_OP_MSG_RING", "IORING_MSG_DATA"))]
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

/// Posts a completion with flags to another ring, or to the same.
///
/// Like [`MsgRing`].
///
/// # Result
///
/// As of [`MsgRing`]. [`Completion::flags`](crate::Completion::flags) of the completion at the
/// target is `cqe_flags`.
///
/// # Errors
///
/// * Those of [`MsgRing`].
///
/// # Safety
///
/// * `fd` is a ring that the caller may use, and whoever takes completions from it is prepared for
///   this one and for its flags. They may claim that a buffer has been filled, that memory is free,
///   or that an operation has not ended.
///
/// Since Linux 6.3. C: `io_uring_prep_msg_ring_cqe_flags(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_msg_ring_cqe_flags",
    "IORING_OP_MSG_RING",
    "IORING_MSG_RING_FLAGS_PASS"
))]
pub struct MsgRingCqeFlags {
    /// The ring that the message goes to.
    pub fd: RawFd,
    /// The result of the completion there.
    pub len: u32,
    /// The user data of the completion there.
    pub data: u64,
    /// How it arrives. [`FLAGS_PASS`](MsgRingFlags::FLAGS_PASS) is added.
    pub flags: MsgRingFlags,
    /// The flags of the completion there.
    pub cqe_flags: u32,
}

impl Operation for MsgRingCqeFlags {
    const OPCODE: OpCode = OpCode::MSG_RING;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.3");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), self.len, self.data);
        sqe.insert_op_flags((self.flags | MsgRingFlags::FLAGS_PASS).bits());
        sqe.set_file_index(self.cqe_flags);
    }
}

/// Gives a registered file to another ring, which holds it from then on as well.
///
/// # Result
///
/// 0, or with [`FileSlot::Allocate`] the slot of the target that the file has gone to. At the target
/// a completion whose user data is `data` and whose result is the same, except with
/// [`CQE_SKIP`](MsgRingFlags::CQE_SKIP).
///
/// # Errors
///
/// * `EBADF` if `source_fd` is an empty slot or none.
/// * `EBADFD` if `fd` is not a ring, or one that is not enabled yet.
/// * `EINVAL` if the target is the ring itself, or if `target_fd` is outside its table.
/// * `ENXIO` if the target has no registered files; with [`FileSlot::Allocate`] `ENFILE` if its table
///   is full or there is none.
/// * `EOVERFLOW` if the target has no room for the completion. It has the file then, all the same.
/// * `EOWNERDEAD` if the thread that the target belongs to has ended. Linux 6.1 answers 0
///   instead.
///
/// # Cancellation
///
/// If the cancellation comes too late, the target has the file.
///
/// # Safety
///
/// * `fd` is a ring that the caller may use; whoever takes completions from it is prepared for this
///   one, and nobody relies on what `target_fd` held there: its file is replaced.
/// * The caller may use the file in `source_fd`, and whoever registered it allows for another holder
///   of it.
///
/// Since Linux 6.0. C: `io_uring_prep_msg_ring_fd(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_msg_ring_fd",
    "io_uring_prep_msg_ring_fd_alloc",
    "IORING_OP_MSG_RING",
    "IORING_MSG_SEND_FD"
))]
pub struct MsgRingFd {
    /// The ring that the file goes to.
    pub fd: RawFd,
    /// The slot of this ring that holds the file.
    pub source_fd: u32,
    /// The slot of the target that it goes to.
    pub target_fd: FileSlot,
    /// The user data of the completion at the target.
    pub data: u64,
    /// How it arrives.
    pub flags: MsgRingFlags,
}

impl Operation for MsgRingFd {
    const OPCODE: OpCode = OpCode::MSG_RING;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.0");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, self.data);
        sqe.set_address(u64::from(sys::IORING_MSG_SEND_FD));
        sqe.set_address3(u64::from(self.source_fd));
        sqe.set_target(self.target_fd);
        sqe.insert_op_flags(self.flags.bits());
    }
}
