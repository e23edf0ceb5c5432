//! An eventfd that is signalled when completions come in.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering;

use super::check;
use crate::completion::CompletionQueue;
use crate::error::RegisterError;
use crate::kind::{CqeSize, SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Has an eventfd signalled for each completion.
    ///
    /// The ring takes a reference of its own; the descriptor may be closed afterwards. Readers
    /// take completions until there are none, and only then wait for the eventfd again.
    ///
    /// Before Linux 6.1 it waits until nothing is in flight, and so may the two functions below.
    ///
    /// Since Linux 5.2. C: `io_uring_register_eventfd(3)`.
    ///
    /// # Errors
    ///
    /// * `AlreadyRegistered` until it is unregistered.
    /// * `EINVAL` or `BadDescriptor` if it is not an eventfd.
    pub fn register_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe {
            sys::io_uring_register_eventfd(self.ring().as_mut_ptr(), eventfd.as_raw_fd())
        };
        check(result, "register an eventfd", "Linux 5.2, and an eventfd").map(drop)
    }

    /// Has an eventfd signalled for completions that kernel workers make, and no others.
    ///
    /// Since Linux 5.6. C: `io_uring_register_eventfd_async(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_eventfd`](Self::register_eventfd).
    pub fn register_eventfd_async(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe {
            sys::io_uring_register_eventfd_async(self.ring().as_mut_ptr(), eventfd.as_raw_fd())
        };
        check(result, "register an eventfd", "Linux 5.6, and an eventfd").map(drop)
    }

    /// Takes the eventfd back.
    ///
    /// Since Linux 5.2. C: `io_uring_unregister_eventfd(3)`.
    ///
    /// # Errors
    ///
    /// `NotRegistered` if there is none.
    pub fn unregister_eventfd(&mut self) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_unregister_eventfd(self.ring().as_mut_ptr()) };
        check(result, "unregister the eventfd", "Linux 5.2").map(drop)
    }
}

impl<T: Threads, C: CqeSize> CompletionQueue<T, C> {
    /// Whether completions signal the registered eventfd.
    ///
    /// C: `io_uring_cq_eventfd_enabled(3)`.
    pub fn eventfd_enabled(&self) -> bool {
        self.ring().cq_flags().is_none_or(|flags| {
            flags.load(Ordering::Relaxed) & sys::IORING_CQ_EVENTFD_DISABLED == 0
        })
    }

    /// Lets completions signal the registered eventfd again.
    ///
    /// C: `io_uring_cq_eventfd_toggle(3)`.
    pub fn enable_eventfd(&mut self) {
        if let Some(flags) = self.ring().cq_flags() {
            let others = flags.load(Ordering::Relaxed) & !sys::IORING_CQ_EVENTFD_DISABLED;
            flags.store(others, Ordering::Relaxed);
        }
    }

    /// Keeps completions from signalling the registered eventfd, and returns whether the kernel
    /// can: since Linux 5.8.
    ///
    /// C: `io_uring_cq_eventfd_toggle(3)`.
    pub fn disable_eventfd(&mut self) -> bool {
        let flags = self.ring().cq_flags();
        if let Some(flags) = flags {
            let others = flags.load(Ordering::Relaxed);
            flags.store(others | sys::IORING_CQ_EVENTFD_DISABLED, Ordering::Relaxed);
        }
        flags.is_some()
    }
}
