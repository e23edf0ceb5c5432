//! Cancellation in a call of its own, that waits for what it has found.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::check;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::operation::{CancelFlags, OpCode};
use crate::submission::SubmissionQueue;
use crate::sys;

/// Which operations a synchronous cancellation means, and how long it waits for them.
///
/// One operation unless [`all`](Self::all) says otherwise.
///
/// ```
/// use lio_uring::{SyncCancel, SyncCancelled};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (_cq, mut sq) = lio_uring::with_capacity(8)?;
/// # if sq.register_sync_cancel(&SyncCancel::any()).is_err() { return Ok(()); }
/// let cancelled = sq.register_sync_cancel(&SyncCancel::user_data(7))?;
/// assert_eq!(cancelled, SyncCancelled::NotFound);
/// # Ok(())
/// # }
/// ```
///
/// C: `struct io_uring_sync_cancel_reg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it cancels when it is given to a queue"]
pub struct SyncCancel {
    user_data: u64,
    fd: RawFd,
    opcode: OpCode,
    flags: CancelFlags,
    timeout: Option<Duration>,
}

impl SyncCancel {
    const fn with(flags: CancelFlags) -> Self {
        Self {
            user_data: 0,
            fd: -1,
            opcode: OpCode::NOP,
            flags,
            timeout: None,
        }
    }

    /// An operation that was pushed with this user data.
    pub const fn user_data(user_data: u64) -> Self {
        Self {
            user_data,
            ..Self::with(CancelFlags::empty())
        }
    }

    /// An operation on this file.
    pub const fn fd(fd: RawFd) -> Self {
        Self {
            fd,
            ..Self::with(CancelFlags::FD)
        }
    }

    /// An operation on the registered file with this index.
    pub const fn fixed_file(index: u32) -> Self {
        Self {
            fd: index.cast_signed(),
            ..Self::with(CancelFlags::FD.union(CancelFlags::FD_FIXED))
        }
    }

    /// An operation with this code.
    ///
    /// Since Linux 6.6.
    pub const fn opcode(opcode: OpCode) -> Self {
        Self {
            opcode,
            ..Self::with(CancelFlags::OP)
        }
    }

    /// All operations of the ring.
    pub const fn any() -> Self {
        Self::with(CancelFlags::ANY)
    }

    /// All operations that match, not only the first found.
    pub const fn all(mut self) -> Self {
        self.flags = self.flags.union(CancelFlags::ALL);
        self
    }

    /// Only those that were pushed with this user data, of those on a file or with a code.
    ///
    /// Since Linux 6.6.
    pub const fn and_user_data(mut self, user_data: u64) -> Self {
        self.user_data = user_data;
        self.flags = self.flags.union(CancelFlags::USERDATA);
        self
    }

    /// Waits for this long at the most for an operation that is being carried out.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn to_raw(self, timeout: Option<Duration>) -> sys::io_uring_sync_cancel_reg {
        sys::io_uring_sync_cancel_reg {
            addr: self.user_data,
            fd: self.fd,
            flags: self.flags.bits(),
            timeout: timeout.map_or(
                sys::__kernel_timespec {
                    tv_sec: -1,
                    tv_nsec: -1,
                },
                |timeout| sys::__kernel_timespec {
                    // The kernel adds it to its own clock: a century is as good as for ever.
                    tv_sec: timeout.as_secs().min(u32::MAX.into()).cast_signed(),
                    tv_nsec: timeout.subsec_nanos().into(),
                },
            ),
            opcode: self.opcode.0,
            pad: [0; 7],
            pad2: [0; 3],
        }
    }
}

/// How a synchronous cancellation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncCancelled {
    /// Operations were found, and will complete.
    ///
    /// With [`all`](SyncCancel::all) or [`any`](SyncCancel::any) this is how many. It is 0 if one
    /// operation was meant, or if there was something to wait for.
    Found(u32),
    /// No operation was found: it has completed, or was not submitted.
    NotFound,
    /// An operation was still being carried out when the time had run out.
    TimedOut,
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Asks for operations to end, and waits until those that a kernel worker is carrying out have
    /// let themselves be interrupted.
    ///
    /// What was found still completes, as with [`Cancel`](crate::operation::Cancel), and only its
    /// completion says that the kernel has let go of its memory: block I/O, and a worker that
    /// cannot be interrupted, go on after this has returned. Without a
    /// [`timeout`](SyncCancel::timeout) it may wait for ever.
    ///
    /// A signal does not end the wait.
    ///
    /// Since Linux 6.0. C: `io_uring_register_sync_cancel(3)`.
    ///
    /// # Errors
    ///
    /// * `EINVAL` with a choice that the kernel does not know.
    /// * `EBADF` if there is no such file.
    pub fn register_sync_cancel(
        &mut self,
        cancel: &SyncCancel,
    ) -> Result<SyncCancelled, RegisterError> {
        let end = cancel
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let mut raw = cancel.to_raw(left);
            // SAFETY: the ring is set up, and the pointer is to a value of the right type.
            let result = unsafe {
                sys::io_uring_register_sync_cancel(self.ring().as_mut_ptr(), &raw mut raw)
            };
            return match result.wrapping_neg() {
                libc::EINTR => continue,
                libc::ENOENT => Ok(SyncCancelled::NotFound),
                libc::ETIME => Ok(SyncCancelled::TimedOut),
                _ => check(
                    result,
                    "cancel operations",
                    "Linux 6.0, and choices that the kernel knows and that go together",
                )
                .map(SyncCancelled::Found),
            };
        }
    }
}
