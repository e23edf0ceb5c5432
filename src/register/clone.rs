//! Registered buffers of one ring in another.

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

/// Which registered buffers are taken over from another ring, and where they go.
///
/// The default is all of them, at the same indices, into a ring that has none.
///
/// C: `struct io_uring_clone_buffers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "it clones when it is given to a queue"]
pub struct CloneBuffers {
    source_offset: u32,
    offset: u32,
    count: u32,
    replace: bool,
}

impl CloneBuffers {
    /// All buffers, at the same indices.
    pub const fn all() -> Self {
        Self {
            source_offset: 0,
            offset: 0,
            count: 0,
            replace: false,
        }
    }

    /// `count` buffers, from the index `source_offset` of the other ring on, to this ring's index
    /// `offset` on. A count of 0 means all from there on.
    ///
    /// Since Linux 6.13.
    pub const fn range(source_offset: u32, offset: u32, count: u32) -> Self {
        Self {
            source_offset,
            offset,
            count,
            replace: false,
        }
    }

    /// Replaces buffers that this ring has, instead of refusing to.
    ///
    /// Since Linux 6.13. C: `IORING_REGISTER_DST_REPLACE`.
    pub const fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers buffers that another ring has registered, without pinning their memory again.
    ///
    /// Both rings then have them, and each keeps them until they are unregistered there.
    ///
    /// Since Linux 6.12. C: `io_uring_clone_buffers_offset(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::NotRegistered`] if the other ring has none.
    /// * [`RegisterCause::AlreadyRegistered`] if this ring has some, without
    ///   [`replace`](CloneBuffers::replace).
    /// * `EOVERFLOW` or [`RegisterCause::Refused`] if the range is not within the other ring's
    ///   table, or if the rings belong to different users.
    ///
    /// # Safety
    ///
    /// The memory stays allocated, and is used for nothing else, until the buffers are unregistered
    /// or replaced in *both* rings and all operations that name them have ended.
    pub unsafe fn register_clone_buffers<T2: Threads, S2: SqeSize>(
        &mut self,
        source: &SubmissionQueue<T2, S2>,
        which: CloneBuffers,
    ) -> Result<(), RegisterError> {
        let flags = if which.replace {
            sys::IORING_REGISTER_DST_REPLACE
        } else {
            0
        };
        // liburing names the source by its index among the thread's registered rings if it has one:
        // such a ring is on the thread that made it, and so is this call.
        // SAFETY: both rings are set up, and lending their structures lasts for the call alone. The
        // memory is the caller's promise.
        let result = unsafe {
            sys::io_uring_clone_buffers_offset(
                self.ring().as_mut_ptr(),
                source.ring().as_mut_ptr(),
                which.offset,
                which.source_offset,
                which.count,
                flags,
            )
        };
        check(
            result,
            "register another ring's buffers",
            "Linux 6.12, 6.13 for parts and for replacing, a range within both tables, and rings \
             of one user",
        )
        .map(drop)
    }
}
