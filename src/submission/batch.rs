//! Pushing many operations at a time.

use super::SubmissionQueue;
use super::slots::Slots;
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
    pub(super) slots: Slots<S>,
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
        if self.slots.free() == 0 {
            self.queue.look_for_room(1)?;
            self.slots.head = self.queue.slots.head;
        }
        let mut sqe = Sqe::of(operation);
        settings(&mut sqe);
        sqe.set_user_data(user_data);
        // SAFETY: a slot is free, and the ring lives as long as the queue.
        unsafe { self.slots.write(sqe) };
        self.queue.slots.take_over(&self.slots);
        Ok(())
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
        let pushed = unsafe { self.queue.push_large_with(operation, user_data, settings) };
        self.slots = self.queue.slots;
        pushed
    }

    /// How many more operations can be pushed before the queue is full.
    #[inline]
    pub fn space_left(&mut self) -> u32 {
        let free = self.queue.space_left();
        self.slots.head = self.queue.slots.head;
        free
    }

    /// Hands all queued entries to the kernel; see [`SubmissionQueue::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries are still queued.
    #[inline]
    pub fn submit(self) -> Result<u32, SubmitError> {
        self.queue.submit()
    }

    /// Hands all queued entries to the kernel and waits; see [`SubmissionQueue::submit_and_wait`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    #[inline]
    pub fn submit_and_wait(self, n: u32) -> Result<u32, SubmitError> {
        self.queue.submit_and_wait(n)
    }
}
