//! The table of registered files: filling it, emptying it, making descriptors of what is in it.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{Needs, OpCode, Operation};
use crate::entry::{FileSlot, Sqe, SqeFlags};
use crate::sys;

/// Empties a slot of the registered files.
///
/// Operations that have started with the file keep it open until they complete. So do, before Linux
/// 6.13 or so, all that have started with any registered file.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `ENXIO` without registered files.
/// * `EINVAL` if `file_index` is outside the table.
/// * `EBADF` if the slot is empty, and with [`FIXED_FILE`](SqeFlags::FIXED_FILE).
///
/// # Cancellation
///
/// A cancelled close has not emptied anything.
///
/// # Safety
///
/// * The caller gives up the file in the slot: nothing names the slot any more.
///
/// Since Linux 5.15. C: `io_uring_prep_close_direct(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_close_direct", "IORING_OP_CLOSE"))]
pub struct CloseFixed {
    /// The slot to empty.
    pub file_index: u32,
}

impl Operation for CloseFixed {
    const OPCODE: OpCode = OpCode::CLOSE;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.15").or("FilesUpdate");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(0, ptr::null::<c_void>(), 0, 0);
        sqe.set_target(FileSlot::At(self.file_index));
    }
}

/// Puts files into slots of the registered files, or empties slots.
///
/// Like [`register_files_update`](crate::SubmissionQueue::register_files_update), as an operation.
/// The table holds the files themselves: their descriptors can be closed afterwards.
///
/// # Result
///
/// The number of slots that were updated, which is less than `nr_fds` if a descriptor was wrong or,
/// with [`FileSlot::Allocate`], if the table became full. With [`FileSlot::Allocate`] that many
/// descriptors in `fds` are replaced by the numbers of the slots that their files have gone to.
///
/// # Errors
///
/// * `ENXIO` without registered files.
/// * `EINVAL` if `nr_fds` is 0, if the slots are not all inside the table, and with
///   [`FIXED_FILE`](SqeFlags::FIXED_FILE).
/// * `EOVERFLOW` if `offset` and `nr_fds` together exceed 32 bits.
/// * `EBADF` if the first descriptor is wrong or a ring's.
/// * `ENFILE` with [`FileSlot::Allocate`] if the table is full.
/// * `EFAULT` if the array is not mapped, or with [`FileSlot::Allocate`] not writable.
///
/// # Notes
///
/// In `fds` -1 empties a slot and -2 (C: `IORING_REGISTER_FILES_SKIP`) leaves it as it is. Neither
/// is possible with [`FileSlot::Allocate`].
///
/// # Safety
///
/// * `fds` points to `nr_fds` descriptors, or -1 or -2, valid for reads until the completion. With
///   [`FileSlot::Allocate`] it is valid for writes, too, and nothing else reads or writes it.
/// * The descriptors are the caller's to use and stay open until the completion; nothing relies on what
///   the slots held.
///
/// Since Linux 5.6. C: `io_uring_prep_files_update(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_files_update",
    "IORING_OP_FILES_UPDATE",
    "IORING_REGISTER_FILES_SKIP"
))]
pub struct FilesUpdate {
    /// The descriptors.
    pub fds: *mut RawFd,
    /// How many there are.
    pub nr_fds: u32,
    /// The slot of the first. The others follow.
    pub offset: FileSlot,
}

impl Operation for FilesUpdate {
    const OPCODE: OpCode = OpCode::FILES_UPDATE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let offset = match self.offset {
            // The highest number would stand for any slot; no table is as long as the one below.
            FileSlot::At(index) => u64::from(index.min(u32::MAX - 1)),
            FileSlot::Allocate => i64::from(sys::IORING_FILE_INDEX_ALLOC).cast_unsigned(),
        };
        sqe.read_write(-1, self.fds, self.nr_fds, offset);
    }
}

bitflags! {
    /// How [`FixedFdInstall`] makes its descriptor.
    ///
    /// C: `IORING_FIXED_FD_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FixedFdInstallFlags: u32 {
        /// The descriptor is not closed on `execve(2)`, as it is without this flag.
        ///
        /// Since Linux 6.8. C: `IORING_FIXED_FD_NO_CLOEXEC`.
        const NO_CLOEXEC = sys::IORING_FIXED_FD_NO_CLOEXEC;
    }
}

/// Makes a descriptor of a registered file.
///
/// The file stays registered as well. It needs no [`FIXED_FILE`](SqeFlags::FIXED_FILE): `fd` is
/// always the index of a slot.
///
/// # Result
///
/// The new descriptor, which belongs to the caller.
///
/// # Errors
///
/// * `EBADF` if the slot is empty or there is no such slot.
/// * `EMFILE` if the process has no room for a descriptor.
/// * `EPERM` with a [personality](Sqe::set_personality).
///
/// # Cancellation
///
/// If the cancellation comes too late, the result is a descriptor, and someone has to close it.
///
/// # Safety
///
/// * The caller may use the file in the slot, and whoever registered it allows for a descriptor of
///   it that lives on after the slot has been emptied.
///
/// Since Linux 6.8. C: `io_uring_prep_fixed_fd_install(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_fixed_fd_install", "IORING_OP_FIXED_FD_INSTALL"))]
pub struct FixedFdInstall {
    /// The slot of the registered file.
    pub fd: RawFd,
    /// How the descriptor is made.
    pub flags: FixedFdInstallFlags,
}

impl Operation for FixedFdInstall {
    const OPCODE: OpCode = OpCode::FIXED_FD_INSTALL;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
        sqe.insert_flags(SqeFlags::FIXED_FILE);
        sqe.insert_op_flags(self.flags.bits());
    }
}
