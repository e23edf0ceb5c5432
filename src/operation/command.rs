//! Commands that a driver or a file system defines for its own files.

use std::os::fd::RawFd;

use bitflags::bitflags;

use super::{LargeOperation, Needs, OpCode, Operation};
use crate::entry::{LargeSqe, Sqe};
use crate::params::SetupFlags;
use crate::sys;

bitflags! {
    /// How a command takes its memory. [`Sqe::insert_command_flags`] adds them.
    ///
    /// C: `IORING_URING_CMD_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct UringCmdFlags: u32 {
        /// The memory lies in the registered buffer that [`Sqe::set_buffer_index`] names.
        ///
        /// Since Linux 6.1. C: `IORING_URING_CMD_FIXED`.
        const FIXED = sys::IORING_URING_CMD_FIXED;
    }
}

/// Two numbers of 32 bits that lie one behind the other in an entry.
#[inline]
pub(super) fn side_by_side(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "big") {
        u64::from(first) << 32 | u64::from(second)
    } else {
        u64::from(second) << 32 | u64::from(first)
    }
}

/// Writes what all commands have.
#[inline]
pub(super) fn command(sqe: &mut Sqe, cmd_op: u32, fd: RawFd) {
    sqe.read_write(fd, std::ptr::null::<u8>(), 0, side_by_side(cmd_op, 0));
}

/// Divides a command's 80 bytes among the two halves of its entry.
#[inline]
fn write_data(sqe: &mut LargeSqe, cmd: &[u8; 80]) {
    let (ordinary, behind) = cmd.split_at(16);
    let mut first = [0; 16];
    first.copy_from_slice(ordinary);
    sqe.entry.set_command_data(first);
    sqe.data.copy_from_slice(behind);
}

/// Runs a command of a driver or file system, with 16 bytes of data.
///
/// Like `ioctl(2)`, for files whose driver takes such commands: those of `nvme`, `ublk`, `fuse`,
/// block devices, sockets. For sockets there is [`CmdSock`](super::CmdSock), for block devices
/// [`CmdDiscard`].
///
/// # Result
///
/// What the command says. Some commands answer in [`Completion::extra`](crate::Completion::extra) as
/// well, some complete several times.
///
/// # Errors
///
/// * `EOPNOTSUPP` if the file takes no commands, and on a ring with IOPOLL if none is polled for.
/// * `EINVAL` or `EOPNOTSUPP` if its driver does not know the command; block devices and sockets
///   differ in that.
/// * Those of the command.
///
/// # Cancellation
///
/// The driver decides. Most commands cannot be cancelled once they have begun.
///
/// # Notes
///
/// Commands that use further fields of the entry have them set with [`Sqe`]'s setters:
/// [`set_address`](Sqe::set_address), [`set_len`](Sqe::set_len),
/// [`insert_command_flags`](Sqe::insert_command_flags).
///
/// # Safety
///
/// * What the command does is sound: it may read and write whatever memory its data names, and
///   change the device.
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_uring_cmd(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_uring_cmd", "IORING_OP_URING_CMD", "ioctl"))]
pub struct UringCmd {
    /// The command's code.
    pub cmd_op: u32,
    /// The file.
    pub fd: RawFd,
    /// The command's data, the last 16 bytes of the entry.
    pub cmd: [u8; 16],
}

impl Operation for UringCmd {
    const OPCODE: OpCode = OpCode::URING_CMD;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        command(sqe, self.cmd_op, self.fd);
        sqe.set_command_data(self.cmd);
    }
}

/// Runs a command of a driver, with 80 bytes of data, on a ring whose entries all have 128 bytes.
///
/// Like [`UringCmd`]. On a ring of mixed entries [`UringCmd128`] does the same; pushing this one
/// there does not compile.
///
/// # Result
///
/// As of [`UringCmd`].
///
/// # Errors
///
/// * Those of [`UringCmd`].
///
/// # Cancellation
///
/// As of [`UringCmd`].
///
/// # Safety
///
/// * That of [`UringCmd`].
///
/// Since Linux 5.19. C: `io_uring_prep_uring_cmd(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_uring_cmd", "IORING_OP_URING_CMD"))]
pub struct UringCmdLarge {
    /// The command's code.
    pub cmd_op: u32,
    /// The file.
    pub fd: RawFd,
    /// The command's data, the last 80 bytes of the entry.
    pub cmd: [u8; 80],
}

impl LargeOperation for UringCmdLarge {
    const OPCODE: OpCode = OpCode::URING_CMD;
    const NEEDS: Needs = Needs::code(Self::OPCODE).with_ring(&[SetupFlags::SQE128]);

    #[inline]
    fn prepare(&self, sqe: &mut LargeSqe) {
        command(&mut sqe.entry, self.cmd_op, self.fd);
        write_data(sqe, &self.cmd);
    }
}

/// Runs a command of a driver, with 80 bytes of data.
///
/// Like [`UringCmd`].
///
/// # Result
///
/// As of [`UringCmd`].
///
/// # Errors
///
/// * Those of [`UringCmd`].
///
/// # Cancellation
///
/// As of [`UringCmd`].
///
/// # Safety
///
/// * That of [`UringCmd`].
///
/// Since Linux 6.19. C: `io_uring_prep_uring_cmd128(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_uring_cmd128", "IORING_OP_URING_CMD128"))]
pub struct UringCmd128 {
    /// The command's code.
    pub cmd_op: u32,
    /// The file.
    pub fd: RawFd,
    /// The command's data, the last 80 bytes of the entry.
    pub cmd: [u8; 80],
}

impl LargeOperation for UringCmd128 {
    const OPCODE: OpCode = OpCode::URING_CMD128;
    const NEEDS: Needs =
        Needs::code(Self::OPCODE).with_ring(&[SetupFlags::SQE128.union(SetupFlags::SQE_MIXED)]);

    #[inline]
    fn prepare(&self, sqe: &mut LargeSqe) {
        command(&mut sqe.entry, self.cmd_op, self.fd);
        write_data(sqe, &self.cmd);
    }
}

/// Tells a block device that a range of it is no longer needed.
///
/// Like the request `BLKDISCARD` of `ioctl(2)`. What the range holds is lost.
///
/// # Result
///
/// 0.
///
/// # Errors
///
/// * `EBADF` if the device is not open for writing.
/// * `EINVAL` if the range is not made of whole blocks, is empty, or reaches past the end. On Linux 7.0
///   an NVMe disk refuses any range unless the entry has [`SqeFlags::ASYNC`](crate::SqeFlags::ASYNC).
/// * `EOPNOTSUPP` if `fd` is no block device, or one that cannot do it.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may write to, and nobody relies on what the range holds: a
///   mounted file system does.
///
/// Since Linux 6.12. C: `io_uring_prep_cmd_discard(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_cmd_discard",
    "IORING_OP_URING_CMD",
    "BLOCK_URING_CMD_DISCARD",
    "BLKDISCARD"
))]
pub struct CmdDiscard {
    /// The block device.
    pub fd: RawFd,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes.
    pub nbytes: u64,
}

impl Operation for CmdDiscard {
    const OPCODE: OpCode = OpCode::URING_CMD;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "6.12");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        command(sqe, sys::BLOCK_URING_CMD_DISCARD, self.fd);
        sqe.set_address(self.offset);
        sqe.set_address3(self.nbytes);
    }
}
