//! Taking back what was pushed and not submitted.

use std::sync::atomic::Ordering;

use super::SubmissionQueue;
use crate::entry::Sqe;
use crate::kind::{Sqe64, Threads};
use crate::operation::Nop;
use crate::params::SetupFlags;

impl<T: Threads> SubmissionQueue<T, Sqe64> {
    /// Turns what was pushed and not submitted into NOPs with the `user_data` `instead`, which the
    /// kernel has yet to take, and passes on what the entries had, except for those that have
    /// `instead` already.
    pub(crate) fn withdraw(&mut self, instead: u64, mut withdrawn: impl FnMut(u64)) {
        let first = if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.published
        } else {
            self.slots.set_head(self.ring_head.load(Ordering::Acquire));
            self.slots.head()
        };
        let queued = self.slots.tail().wrapping_sub(first);
        for position in (0..queued).map(|n| first.wrapping_add(n)) {
            // SAFETY: it was pushed, and is not submitted: a kernel without its thread reads entries
            // only when it is entered, with it up to the tail that was published.
            let entry = unsafe { self.slots.entry(position) };
            let user_data = entry.user_data();
            if user_data != instead {
                withdrawn(user_data);
                *entry = Sqe::with_user_data(&Nop, instead);
            }
        }
    }
}
