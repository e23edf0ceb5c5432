//! What can be registered with a ring, or set: buffers, files, buffer rings, an eventfd, credentials,
//! the kernel's workers, the clock of waits, busy polling, network queues that receive without a copy.
//!
//! Everything here is a method of [`SubmissionQueue`](crate::SubmissionQueue), except for what
//! concerns completions.

use std::io;

use crate::error::{RegisterCause, RegisterError};
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

mod bpf_filter;
mod buffer_cursor;
mod buffer_ring;
mod buffers;
mod cancel;
mod clock;
mod clone;
mod code;
mod eventfd;
mod files;
mod message;
mod napi;
mod personality;
mod restrictions;
mod tags;
mod wait_region;
mod workers;
mod zero_copy_receive;

pub use bpf_filter::BpfFilter;
pub use buffer_cursor::{BufferCursor, BufferPiece};
pub use buffer_ring::{BufferRing, BufferRingParams};
pub use buffers::IoVector;
pub(crate) use buffers::unregister_buffers;
pub use cancel::{SyncCancel, SyncCancelled};
pub use clock::Clock;
pub use clone::CloneBuffers;
pub use code::RegisterCode;
pub(crate) use files::{unregister_files, update_file};
pub use message::register_sync_msg;
pub use napi::Napi;
pub use restrictions::Restrictions;
pub(crate) use restrictions::restrict;
pub use wait_region::{WaitLimits, WaitRegion};
pub use workers::WorkerLimits;
pub use zero_copy_receive::{ReceiveArea, Received, ZeroCopyReceive, ZeroCopyReceiveParams};

/// Turns the result of one of liburing's registering functions into ours.
///
/// `needs` tells what the kernel can be missing when it just says `EINVAL`.
pub(crate) fn check(
    result: i32,
    action: &'static str,
    needs: &'static str,
) -> Result<u32, RegisterError> {
    u32::try_from(result).map_err(|_| {
        let errno = -result;
        let cause = match errno {
            libc::EBUSY | libc::EEXIST if action.starts_with("register") => {
                RegisterCause::AlreadyRegistered
            }
            libc::EEXIST => RegisterCause::WrongThread,
            libc::ENXIO | libc::ENOENT => RegisterCause::NotRegistered,
            libc::EBADF => RegisterCause::BadDescriptor,
            libc::EOVERFLOW if action.starts_with("update") => RegisterCause::Refused { needs },
            libc::EFAULT | libc::EOVERFLOW | libc::EOPNOTSUPP => RegisterCause::BadMemory,
            libc::EPERM => RegisterCause::NotPermitted,
            libc::EACCES | libc::EBADFD => RegisterCause::NotAllowed,
            libc::EINVAL => RegisterCause::Refused { needs },
            _ => RegisterCause::Other { errno },
        };
        RegisterError {
            action,
            errno,
            cause,
        }
    })
}

/// The same for a registration that needs no ring, and that kernels which do not know it look for
/// one for.
pub(crate) fn check_without_ring(
    result: i32,
    action: &'static str,
    needs: &'static str,
) -> Result<(), RegisterError> {
    check(result, action, needs).map(drop).map_err(|error| {
        if error.errno == libc::EBADF {
            let cause = RegisterCause::Refused { needs };
            RegisterError { cause, ..error }
        } else {
            error
        }
    })
}

/// A resource whose limit stands in the way of rings.
#[derive(Clone, Copy)]
pub(crate) enum Resource {
    LockedMemory,
    Descriptors,
}

/// The soft limit of a resource, or as much as there can be if it is unlimited.
#[allow(
    clippy::useless_conversion,
    reason = "some C libraries count limits in 32 bits"
)]
pub(crate) fn limit(resource: Resource) -> u64 {
    // The C libraries do not agree on the type of these.
    let resource = match resource {
        Resource::LockedMemory => libc::RLIMIT_MEMLOCK,
        Resource::Descriptors => libc::RLIMIT_NOFILE,
    };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value of the right type.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => limit.rlim_cur.into(),
        _ => u64::MAX,
    }
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Enables a ring that was made with [`r_disabled`](crate::IoUringParams::r_disabled).
    ///
    /// Since Linux 5.10. C: `io_uring_enable_rings(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::NotAllowed`] if it is enabled.
    pub fn enable(&mut self) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_enable_rings(self.ring().as_mut_ptr()) };
        check(result, "enable the ring", "Linux 5.10").map(drop)
    }

    /// Asks the kernel which operations it has.
    ///
    /// Since Linux 5.6. C: `io_uring_register_probe(3)`.
    ///
    /// # Errors
    ///
    /// `EINVAL` on an older kernel.
    pub fn probe(&mut self) -> io::Result<crate::Probe> {
        crate::Probe::of(self.ring())
    }
}
