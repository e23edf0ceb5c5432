//! The ring for one thread.

#![expect(
    clippy::inline_always,
    reason = "the system call belongs into the caller's own loop: see `enter`"
)]

use std::io;
use std::os::fd::BorrowedFd;

use super::Halves;
use crate::completion::{Completion, CompletionQueue, Completions};
use crate::entry::{Sqe, SqeFlags};
use crate::error::{QueueFull, SetupError, SubmitError};
#[cfg(doc)]
use crate::features::Features;
use crate::kind::{Cqe16, CqeSize, OneThread, Sqe64, SqeSize, Threads};
use crate::operation::Operation;
use crate::params::IoUringParams;
use crate::submission::SubmissionQueue;

/// A ring for the thread that makes it, which can do more than one whose halves may part.
///
/// It takes the fastest flags that the running kernel accepts: `SINGLE_ISSUER` and `DEFER_TASKRUN`
/// (Linux 6.1), or `COOP_TASKRUN` (5.19), and it registers its own descriptor with the thread (5.18).
/// [`builder`](Self::builder) chooses otherwise.
///
/// It cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// let ring = lio_uring::IoUring::new(8).unwrap();
/// std::thread::spawn(move || drop(ring));
/// ```
///
/// nor can its queues, even for a while:
///
/// ```compile_fail,E0277
/// let mut ring = lio_uring::IoUring::new(8).unwrap();
/// let (_, sq) = ring.queues();
/// std::thread::scope(|scope| {
///     scope.spawn(move || sq.submit());
/// });
/// ```
#[derive(Debug)]
pub struct IoUring<S: SqeSize = Sqe64, C: CqeSize = Cqe16> {
    pub(super) sq: SubmissionQueue<OneThread, S>,
    pub(super) cq: CompletionQueue<OneThread, C>,
}

impl IoUring {
    /// Makes a ring for this thread with the fastest flags that the kernel accepts.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn new(entries: u32) -> Result<Self, SetupError> {
        Self::builder().entries(entries).build()
    }

    /// Parameters of a ring for this thread; [`build`](IoUringParams::build) makes it.
    pub fn builder() -> IoUringParams<OneThread> {
        IoUringParams::one_thread()
    }

    /// Makes a ring as `params` say and returns its two halves.
    ///
    /// They can go to threads of their own, unless the parameters bind the ring to one thread:
    ///
    /// ```compile_fail,E0277
    /// use lio_uring::{IoUring, IoUringParams};
    ///
    /// let params = IoUringParams::default().single_issuer();
    /// let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    /// std::thread::spawn(move || sq.submit());
    /// ```
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn with_params<T: Threads, S: SqeSize, C: CqeSize>(
        params: IoUringParams<T, S, C>,
    ) -> Result<Halves<T, S, C>, SetupError> {
        params.halves()
    }
}

impl<S: SqeSize, C: CqeSize> IoUring<S, C> {
    pub(crate) fn from_halves((cq, sq): Halves<OneThread, S, C>) -> Self {
        Self { sq, cq }
    }

    /// Both queues at once, for code that is written for the halves.
    #[inline]
    pub fn queues(
        &mut self,
    ) -> (
        &mut CompletionQueue<OneThread, C>,
        &mut SubmissionQueue<OneThread, S>,
    ) {
        (&mut self.cq, &mut self.sq)
    }

    /// The submission queue, with all that can be pushed, submitted and registered.
    #[inline]
    pub fn submission(&mut self) -> &mut SubmissionQueue<OneThread, S> {
        &mut self.sq
    }

    /// The completion queue, with all ways to take completions.
    #[inline]
    pub fn completion(&mut self) -> &mut CompletionQueue<OneThread, C> {
        &mut self.cq
    }

    /// Queues an operation; see [`SubmissionQueue::push`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push`].
    #[inline]
    pub unsafe fn push<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.sq.push(operation, user_data) }
    }

    /// Queues an operation with flags; see [`SubmissionQueue::push_with_flags`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push`].
    #[inline]
    pub unsafe fn push_with_flags<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        flags: SqeFlags,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.sq.push_with_flags(operation, user_data, flags) }
    }

    /// Queues an operation with further settings; see [`SubmissionQueue::push_with`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push`].
    #[inline]
    pub unsafe fn push_with<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut Sqe),
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.sq.push_with(operation, user_data, settings) }
    }

    /// Hands all queued entries to the kernel; see [`SubmissionQueue::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; the entries that were not taken are still queued.
    #[inline(always)]
    pub fn submit(&mut self) -> Result<u32, SubmitError> {
        self.sq.submit()
    }

    /// Hands all queued entries to the kernel and waits until `n` completions are ready; see
    /// [`SubmissionQueue::submit_and_wait`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; the entries that were not taken are still queued.
    #[inline(always)]
    pub fn submit_and_wait(&mut self, n: u32) -> Result<u32, SubmitError> {
        self.sq.submit_and_wait(n)
    }

    /// Hands all queued entries to the kernel, waits until `n` completions are ready, and iterates
    /// over all that are, taking them: [`submit_and_wait`](Self::submit_and_wait) and
    /// [`completions`](Self::completions) in one call.
    ///
    /// ```
    /// # use lio_uring::{IoUring, operation::Nop};
    /// # fn main() -> std::io::Result<()> {
    /// let mut ring = IoUring::new(8)?;
    /// // SAFETY: a NOP points to nothing.
    /// unsafe { ring.submission().push_all((0..4).map(|n| (Nop, n))) }?;
    /// let mut sum = 0;
    /// for completion in ring.submit_and_take(4)? {
    ///     sum += completion.user_data();
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; the entries that were not taken are still queued, and completions still to
    /// be taken.
    #[inline(always)]
    pub fn submit_and_take(
        &mut self,
        n: u32,
    ) -> Result<Completions<'_, OneThread, C>, SubmitError> {
        self.sq.submit_and_wait(n)?;
        let ready = self.cq.ready();
        Ok(self.cq.take_all(ready))
    }

    /// Takes the next completion, waiting for it; see [`CompletionQueue::next`].
    ///
    /// # Errors
    ///
    /// Those of [`CompletionQueue::next`].
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "the name of the completion queue's method"
    )]
    pub fn next(&mut self) -> io::Result<Completion<C::Extra>> {
        self.cq.next()
    }

    /// Takes the next completion if there is one; see [`CompletionQueue::try_next`].
    ///
    /// # Errors
    ///
    /// Those of [`CompletionQueue::next`].
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<Completion<C::Extra>>> {
        self.cq.try_next()
    }

    /// Iterates over the completions that are ready; see [`CompletionQueue::completions`].
    #[inline]
    pub fn completions(&mut self) -> Completions<'_, OneThread, C> {
        self.cq.completions()
    }

    /// Whether the kernel counts the ring's waits as waits for I/O; see
    /// [`CompletionQueue::set_iowait`].
    ///
    /// Since Linux 6.15. C: `io_uring_set_iowait(3)`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` without [`Features::NO_IOWAIT`].
    pub fn set_iowait(&mut self, counted: bool) -> io::Result<()> {
        self.sq.set_iowait(counted)?;
        self.cq.set_iowait(counted)
    }

    /// The ring's descriptor, to be polled for readiness: it is readable when a completion is
    /// ready. `None` with [`registered_fd_only`](IoUringParams::registered_fd_only).
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sq.fd()
    }
}
