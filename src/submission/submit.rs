//! Handing entries to the kernel.

#![expect(
    clippy::inline_always,
    reason = "the system call belongs into the caller's own loop: see `enter`"
)]

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::SubmissionQueue;
use crate::enter::Gate;
use crate::error::SubmitError;
use crate::kind::{SqeSize, Threads};
use crate::params::SetupFlags;
use crate::ring::{Ring, is_held_up};
use crate::sys;
use crate::wait::{self, Errno, Wait, Waited};

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Hands all queued entries to the kernel, and returns how many it took.
    ///
    /// It can take fewer: after an entry that it refuses at once it stops, unless the ring was
    /// made with [`submit_all`](crate::IoUringParams::submit_all). The refused entry counts as
    /// taken and completes with its error; the rest is still queued. On a ring with SQPOLL the
    /// result is how many entries were newly shown to the kernel's thread, which is woken if it
    /// sleeps.
    ///
    /// If the ring's flags say that the kernel holds completions back, or work that it puts off,
    /// the call fetches them, even without anything to submit. A loop of this and
    /// [`completions`](crate::CompletionQueue::completions) so sees the end of every operation,
    /// also beside others that end at once.
    ///
    /// C: `io_uring_submit(3)`, which on a ring with IOPOLL always polls as well.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries are still queued.
    #[inline(always)]
    pub fn submit(&mut self) -> Result<u32, SubmitError> {
        if self.special {
            return self.submit_specially();
        }
        let queued = self.slots.occupied();
        let fetch = self.fetch_flag();
        if queued | fetch == 0 {
            return Ok(0);
        }
        self.publish();
        let result = self.gate.submit(queued, fetch);
        self.slots.set_head(self.ring_head.load(Ordering::Relaxed));
        if result < 0 {
            self.submit_again(result, fetch)
        } else {
            Ok(result.cast_unsigned())
        }
    }

    /// Hands all queued entries to the kernel and waits until `n` completions are ready, in one
    /// system call if nothing comes between. Returns how many entries it took.
    ///
    /// A signal does not end the wait, and a submission that stops at a refused entry goes on
    /// behind it. More completions than the queue has room for are never ready at once, so `n` is
    /// cut to that. Without anything in flight it waits forever. With 0 it submits and fetches what
    /// the kernel has put off, as `io_uring_submit_and_get_events(3)` does. Rings with SQPOLL or
    /// `SQ_REWIND`, and short submissions, take more than one system call.
    ///
    /// Wait with one half only: the kernel counts what is in the queue, so a completion that the
    /// other half takes while this one is on its way into the kernel is not waited for again, but
    /// missed.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    #[inline(always)]
    #[doc(alias = "io_uring_submit_and_get_events")]
    pub fn submit_and_wait(&mut self, n: u32) -> Result<u32, SubmitError> {
        if self.special {
            return self.submit_specially_and_wait(n);
        }
        let tail = self.slots.tail();
        let queued = tail.wrapping_sub(self.slots.head());
        // Completions count from here on, whoever takes them.
        let start = self.cq_head.load(Ordering::Relaxed);
        self.ring_tail.store(tail, Ordering::Release);
        let result = self.gate.wait(queued, n);
        let came = self.cq_tail.load(Ordering::Acquire).wrapping_sub(start);
        if result.cast_unsigned() == queued && came >= n {
            self.slots.add_to_head(queued);
            Ok(queued)
        } else {
            self.wait_again(result, start, n)
        }
    }

    /// Hands all queued entries to the kernel and waits as `wait` says.
    ///
    /// Running out of time is not an error.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    pub fn submit_and_wait_with(&mut self, wait: &Wait<'_>) -> Result<Waited, SubmitError> {
        self.wait_from(self.cq_head.load(Ordering::Relaxed), wait)
    }

    /// The same, with the head of the completion queue when the wait began.
    fn wait_from(&mut self, start: u32, wait: &Wait<'_>) -> Result<Waited, SubmitError> {
        self.submit_and(|ring, gate, to_submit| wait::wait(ring, gate, start, to_submit, wait))
    }

    /// Shows the kernel all queued entries, on any kind of ring, and has `enter` hand them over: it
    /// is given the ring, its gate and the number of entries.
    pub(crate) fn submit_and(
        &mut self,
        enter: impl FnOnce(&Arc<Ring>, Gate, u32) -> Result<Waited, Errno>,
    ) -> Result<Waited, SubmitError> {
        let flags = self.ring.flags();
        let mut submitted = 0;
        let to_submit = if flags.contains(SetupFlags::SQ_REWIND) {
            // Entries move when a part of them is taken, so submitting is a step of its own.
            while self.slots.tail() != 0 {
                submitted += self.submit_rewinding(0)?;
            }
            0
        } else {
            self.publish();
            if flags.contains(SetupFlags::SQPOLL) {
                self.show_to_thread()
            } else {
                self.slots.occupied()
            }
        };
        let entered = enter(&self.ring, self.gate, to_submit);
        // A rewinding ring's head and tail, which the kernel ignores, stay 0.
        self.slots.set_head(self.ring_head.load(Ordering::Acquire));
        let mut waited =
            entered.map_err(|Errno(errno)| SubmitError::new(errno, self.unsubmitted()))?;
        waited.submitted += submitted;
        Ok(waited)
    }

    /// Waits until the kernel's thread has made room in the queue, on a ring with SQPOLL. Returns
    /// how many entries it showed to the thread for that, as [`submit`](Self::submit) does. Returns
    /// at once if there is room, and on other rings, where only submitting makes room.
    ///
    /// Since Linux 5.10. C: `io_uring_sqring_wait`.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; `EINVAL` on an older kernel.
    pub fn wait_for_space(&mut self) -> Result<u32, SubmitError> {
        if !self.ring.flags().contains(SetupFlags::SQPOLL) {
            return Ok(0);
        }
        let mut shown = 0;
        while self.space_left() == 0 {
            // What was pushed and never shown to the thread would keep the queue full for ever.
            shown += self.submit()?;
            let result = self.gate.submit(0, sys::IORING_ENTER_SQ_WAIT);
            if result < 0 && result != -libc::EINTR {
                return Err(SubmitError::new(-result, self.unsubmitted()));
            }
        }
        Ok(shown)
    }

    /// Shows the kernel all that was pushed.
    #[inline]
    pub(crate) fn publish(&self) {
        // Release: the entries were written before.
        self.ring_tail.store(self.slots.tail(), Ordering::Release);
    }

    /// The flag that fetches what the kernel holds back, if there is something: it would be held back
    /// for as long as other completions come, since nobody waits then.
    #[inline(always)]
    fn fetch_flag(&self) -> u32 {
        if is_held_up(self.sq_flags) {
            sys::IORING_ENTER_GETEVENTS
        } else {
            0
        }
    }

    /// Goes on after a submission that failed.
    #[cold]
    fn submit_again(&mut self, mut result: i32, fetch: u32) -> Result<u32, SubmitError> {
        while result == -libc::EINTR {
            result = self.gate.submit(self.slots.occupied(), fetch);
            self.slots.set_head(self.ring_head.load(Ordering::Relaxed));
        }
        u32::try_from(result).map_err(|_| SubmitError::new(-result, self.unsubmitted()))
    }

    /// Goes on after a wait that ended early, for whatever reason.
    #[cold]
    fn wait_again(&mut self, result: i32, start: u32, n: u32) -> Result<u32, SubmitError> {
        self.slots.set_head(self.ring_head.load(Ordering::Relaxed));
        if result < 0 && result != -libc::EINTR {
            return Err(SubmitError::new(-result, self.unsubmitted()));
        }
        let submitted = u32::try_from(result).unwrap_or(0);
        let rest = self.wait_from(start, &Wait::for_completions(n))?;
        Ok(submitted + rest.submitted)
    }

    #[cold]
    fn submit_specially(&mut self) -> Result<u32, SubmitError> {
        let fetch = self.fetch_flag();
        if self.ring.flags().contains(SetupFlags::SQ_REWIND) {
            return self.submit_rewinding(fetch);
        }
        self.publish();
        let shown = self.show_to_thread();
        let flags = self.ring.wake_up() | fetch;
        if flags != 0 {
            let result = self.gate.submit(shown, flags);
            if result < 0 && result != -libc::EINTR {
                return Err(SubmitError::new(-result, self.unsubmitted()));
            }
        }
        Ok(shown)
    }

    #[cold]
    #[inline(never)]
    fn submit_specially_and_wait(&mut self, n: u32) -> Result<u32, SubmitError> {
        self.submit_and_wait_with(&Wait::for_completions(n))
            .map(|done| done.submitted)
    }

    /// Counts what the kernel's thread is newly shown, and orders the tail's store before the look
    /// at whether the thread sleeps: it looks at the tail after it has said so.
    fn show_to_thread(&mut self) -> u32 {
        fence(Ordering::SeqCst);
        let shown = self.slots.tail().wrapping_sub(self.published);
        self.published = self.slots.tail();
        shown
    }

    /// Submits from the first slot on, as the kernel does with `SQ_REWIND`, and moves what it did not
    /// take there.
    fn submit_rewinding(&mut self, fetch: u32) -> Result<u32, SubmitError> {
        let queued = self.slots.tail();
        if queued | fetch == 0 {
            return Ok(0);
        }
        let mut result = self.gate.submit(queued, fetch);
        while result == -libc::EINTR {
            result = self.gate.submit(queued, fetch);
        }
        // The head and the tail that the kernel ignores stay 0, as it asks.
        let taken = match u32::try_from(result) {
            Ok(0) if queued > 0 => return Err(SubmitError::new(libc::EAGAIN, queued)),
            Ok(taken) => taken,
            Err(_) => return Err(SubmitError::new(-result, queued)),
        };
        self.slots.rewind(taken);
        Ok(taken)
    }
}
