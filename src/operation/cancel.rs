//! Asking for other operations to end.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use bitflags::bitflags;

use super::{Needs, OpCode, Operation};
use crate::entry::Sqe;
use crate::sys;

bitflags! {
    /// Which operations [`Cancel`] means.
    ///
    /// C: `IORING_ASYNC_CANCEL_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CancelFlags: u32 {
        /// All that match, not only the first found.
        ///
        /// Since Linux 5.19. C: `IORING_ASYNC_CANCEL_ALL`.
        const ALL = sys::IORING_ASYNC_CANCEL_ALL;
        /// Those on one file, whatever their user data; what [`CancelFd`] is.
        ///
        /// Since Linux 5.19. C: `IORING_ASYNC_CANCEL_FD`.
        const FD = sys::IORING_ASYNC_CANCEL_FD;
        /// Every operation of the ring. Not together with [`FD`](Self::FD) or [`OP`](Self::OP).
        ///
        /// Since Linux 5.19. C: `IORING_ASYNC_CANCEL_ANY`.
        const ANY = sys::IORING_ASYNC_CANCEL_ANY;
        /// Together with [`FD`](Self::FD): the descriptor is an index into the registered files.
        ///
        /// Since Linux 6.0. C: `IORING_ASYNC_CANCEL_FD_FIXED`.
        const FD_FIXED = sys::IORING_ASYNC_CANCEL_FD_FIXED;
        /// Together with [`FD`](Self::FD) or [`OP`](Self::OP): the user data must match as well.
        ///
        /// For [`CancelFd`] the user data goes into the entry by `sqe.set_address(user_data)`.
        ///
        /// Since Linux 6.6. C: `IORING_ASYNC_CANCEL_USERDATA`.
        const USERDATA = sys::IORING_ASYNC_CANCEL_USERDATA;
        /// Those with one code, whatever their user data.
        ///
        /// The code goes into the entry by `sqe.set_len(code.0.into())`.
        ///
        /// Since Linux 6.6. C: `IORING_ASYNC_CANCEL_OP`.
        const OP = sys::IORING_ASYNC_CANCEL_OP;
    }
}

/// Asks for other operations of the same ring to end.
///
/// What is asked to end still completes, before or after this: with `ECANCELED` if it was stopped,
/// with `EINTR` if it was interrupted at work, or as if nothing had been asked. Only that
/// completion says that the kernel has let go of its memory.
///
/// # Result
///
/// 0 if the operation was found and stopped, or 1 if it was waiting for a futex or a child process.
/// With [`ALL`](CancelFlags::ALL) or [`ANY`](CancelFlags::ANY), the number of operations found,
/// which may be 0; all that wait for a futex count as one, and so do all that wait for a child
/// process.
///
/// # Errors
///
/// * `ENOENT` if none was found: it has completed, or was not submitted.
/// * `EALREADY` if it was found at work. It may end soon, or run to its end: disk I/O does.
/// * `EINVAL` with a combination of flags that is not possible, or one that the kernel does not
///   know.
///
/// # Notes
///
/// If several operations share the user data, one of them is meant, without a promise which;
/// with [`ALL`](CancelFlags::ALL), every one.
///
/// Since Linux 5.5. C: `io_uring_prep_cancel64(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_cancel64",
    "io_uring_prep_cancel",
    "IORING_OP_ASYNC_CANCEL"
))]
pub struct Cancel {
    /// The user data that the operation was pushed with.
    pub user_data: u64,
    /// Which operations are meant; empty for one with this user data.
    pub flags: CancelFlags,
}

impl Operation for Cancel {
    const OPCODE: OpCode = OpCode::ASYNC_CANCEL;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(-1, ptr::null::<c_void>(), 0, 0);
        sqe.set_address(self.user_data);
        sqe.insert_op_flags(self.flags.bits());
    }
}

/// Asks for operations on one file to end.
///
/// Like [`Cancel`], which says what becomes of them.
///
/// # Result
///
/// 0 if an operation was found and stopped. With [`ALL`](CancelFlags::ALL), the number of operations
/// found, which may be 0.
///
/// # Errors
///
/// * `EBADF` if there is no such file.
/// * Those of [`Cancel`].
///
/// # Notes
///
/// What waits for no file, as a timer, a futex or a child process does, is not found.
///
/// # Safety
///
/// * `fd` is a descriptor that the caller may use.
///
/// Since Linux 5.19. C: `io_uring_prep_cancel_fd(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_prep_cancel_fd",
    "IORING_OP_ASYNC_CANCEL",
    "IORING_ASYNC_CANCEL_FD"
))]
pub struct CancelFd {
    /// The file, or with [`FD_FIXED`](CancelFlags::FD_FIXED) the index of a registered one.
    pub fd: RawFd,
    /// Which operations are meant; empty for one on this file. [`FD`](CancelFlags::FD) is added.
    pub flags: CancelFlags,
}

impl Operation for CancelFd {
    const OPCODE: OpCode = OpCode::ASYNC_CANCEL;
    const NEEDS: Needs = Needs::form(Self::OPCODE, "5.19").or("Cancel");

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        sqe.read_write(self.fd, ptr::null::<c_void>(), 0, 0);
        sqe.insert_op_flags((self.flags | CancelFlags::FD).bits());
    }
}
