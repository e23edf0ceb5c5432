//! Personalities: credentials that operations can run with, whoever submits them.

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers the calling thread's credentials as they are now, and returns their number, from
    /// 1 on.
    ///
    /// An operation that is pushed with [`Sqe::set_personality`](crate::Sqe::set_personality) runs
    /// with them, even after the thread has given them up. So a server can open files as one user
    /// after it has become another.
    ///
    /// Since Linux 5.6. C: `io_uring_register_personality(3)`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `EBUSY` or `ENOSPC` when all 65535 numbers are taken.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel gives numbers that fit into an entry's 16 bits"
    )]
    pub fn register_personality(&mut self) -> Result<u16, RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_register_personality(self.ring().as_mut_ptr()) };
        check(result, "register a personality", "Linux 5.6").map(|id| id as u16)
    }

    /// Takes credentials back. Operations that are under way keep them.
    ///
    /// Since Linux 5.6. C: `io_uring_unregister_personality(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] if no credentials are registered under this number.
    pub fn unregister_personality(&mut self, id: u16) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe {
            sys::io_uring_unregister_personality(self.ring().as_mut_ptr(), i32::from(id))
        };
        check(
            result,
            "unregister a personality",
            "Linux 5.6, and a number that is registered",
        )
        .map(drop)
    }
}
