//! Pushing many operations at a time.

#![expect(
    clippy::inline_always,
    reason = "the system call belongs into the caller's own loop: see `enter`"
)]

use super::SubmissionQueue;
use crate::entry::{LargeSqe, Sqe, SqeFlags};
use crate::error::{QueueFull, SubmitError};
use crate::kind::{AnyThread, HasLargeSqe, Sqe64, SqeSize, Threads};
use crate::operation::{LargeOperation, Operation};

/// Pushes many operations to a submission queue.
///
/// From [`SubmissionQueue::batch`] or [`SubmissionQueue::reserve`].
#[derive(Debug)]
#[must_use = "a batch pushes nothing by itself"]
pub struct Batch<'q, T: Threads = AnyThread, S: SqeSize = Sqe64> {
    pub(super) queue: &'q mut SubmissionQueue<T, S>,
}

impl<T: Threads, S: SqeSize> Batch<'_, T, S> {
    /// Queues an operation; see [`SubmissionQueue::push`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
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
        unsafe { self.push_with(operation, user_data, |_| ()) }
    }

    /// Queues an operation with flags; see [`SubmissionQueue::push_with_flags`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_with_flags`].
    #[inline]
    pub unsafe fn push_with_flags<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        flags: SqeFlags,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.push_with(operation, user_data, |sqe| sqe.insert_flags(flags)) }
    }

    /// Queues an operation with further settings; see [`SubmissionQueue::push_with`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_with`].
    #[inline]
    pub unsafe fn push_with<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut Sqe),
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.queue.push_with(operation, user_data, settings) }
    }

    /// Queues an operation that needs an entry of 128 bytes; see
    /// [`SubmissionQueue::push_large_with`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_large_with`].
    pub unsafe fn push_large_with<O: LargeOperation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut LargeSqe),
    ) -> Result<(), QueueFull>
    where
        S: HasLargeSqe,
    {
        // SAFETY: the caller's promise.
        unsafe { self.queue.push_large_with(operation, user_data, settings) }
    }

    /// How many more operations can be pushed before the queue is full.
    #[inline]
    pub fn space_left(&mut self) -> u32 {
        self.queue.space_left()
    }

    /// Hands all queued entries to the kernel; see [`SubmissionQueue::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries are still queued.
    #[inline(always)]
    pub fn submit(self) -> Result<u32, SubmitError> {
        self.queue.submit()
    }

    /// Hands all queued entries to the kernel and waits; see [`SubmissionQueue::submit_and_wait`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    #[inline(always)]
    pub fn submit_and_wait(self, n: u32) -> Result<u32, SubmitError> {
        self.queue.submit_and_wait(n)
    }
}
