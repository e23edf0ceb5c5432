//! What can change about the way from a completion queue to its ring.

use std::io;

use super::CompletionQueue;
use crate::enter::Gate;
#[cfg(doc)]
use crate::features::Features;
use crate::kind::{CqeSize, Threads};
use crate::ring::Run;

impl<T: Threads, C: CqeSize> CompletionQueue<T, C> {
    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    /// Looks up anew how the ring is entered.
    pub(crate) fn refresh_gate(&mut self) {
        self.gate = self.gate.refreshed(self.ring.raw());
    }

    /// Looks up anew where the queue lies. What is ready has kept its place in the counting.
    pub(crate) fn refresh_memory(&mut self) {
        let raw = self.ring.raw();
        let head = self.run.position();
        self.run = Run::new(raw.cq.cqes.cast(), raw.cq.ring_mask);
        self.run.begin(head, 0);
        self.ring_head = self.ring.cq_head();
        self.ring_tail = self.ring.cq_tail();
        self.sq_flags = self.ring.sq_flags();
    }

    /// Whether the kernel counts this half's waits as waits for I/O, as it does at first, in the
    /// load and the processor's statistics. Long waits for sockets make idle processors look busy.
    ///
    /// Each half has its own setting. Since Linux 6.15. C: `io_uring_set_iowait(3)`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` without [`Features::NO_IOWAIT`].
    pub fn set_iowait(&mut self, counted: bool) -> io::Result<()> {
        self.gate.set_iowait(counted, self.ring.features())
    }
}
