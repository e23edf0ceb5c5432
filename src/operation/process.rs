//! Child processes.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;

use super::{OpCode, Operation};
use crate::entry::Sqe;

/// Waits until a child process has ended, stopped or gone on.
///
/// Like `waitid(2)`.
///
/// # Result
///
/// 0; `infop` tells which child it was and what has become of it. Its `si_signo` is `SIGCHLD`, or 0
/// if with `WNOHANG` there was nothing to tell.
///
/// # Errors
///
/// * `ECHILD` if the program has no such child.
/// * `EINVAL` if `idtype` or `options` is wrong, or if `flags` is not 0.
/// * `EFAULT` if the memory is not mapped writable. The child is gone then, too.
/// * Those of `waitid(2)`.
///
/// # Cancellation
///
/// A cancelled wait has taken no child, and writes `infop` all the same. If the cancellation comes
/// too late, the result is a child like any other, and it will not be told of again.
///
/// # Notes
///
/// Of `infop` only the fields that `waitid(2)` names are written: begin with zeros. A child that is
/// waited for elsewhere as well, by a [`std::process::Child`] for instance, is told of only once.
///
/// # Safety
///
/// * `infop` is null, or valid for writes until the completion, with nothing else reading or
///   writing it.
/// * With `P_PIDFD` `id` is a descriptor that the caller may use.
///
/// Since Linux 6.7. C: `io_uring_prep_waitid(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias("io_uring_prep_waitid", "IORING_OP_WAITID"))]
pub struct Waitid {
    /// `P_PID`, `P_PGID`, `P_PIDFD` or `P_ALL`: what `id` means.
    pub idtype: libc::idtype_t,
    /// Which child.
    pub id: libc::id_t,
    /// Where the answer goes, or null.
    pub infop: *mut libc::siginfo_t,
    /// `WEXITED`, `WSTOPPED`, `WCONTINUED`, at least one of them, and `WNOHANG`, `WNOWAIT`.
    pub options: i32,
    /// 0: the kernel knows no flag yet.
    pub flags: u32,
}

impl Operation for Waitid {
    const OPCODE: OpCode = OpCode::WAITID;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        let id: RawFd = self.id.cast_signed();
        sqe.read_write(id, ptr::null::<c_void>(), self.idtype, self.infop as u64);
        sqe.insert_op_flags(self.flags);
        sqe.set_file_index(self.options.cast_unsigned());
    }
}
