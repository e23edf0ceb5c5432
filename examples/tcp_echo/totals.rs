//! Counts of what the server has done.

use std::fmt;

/// What was done, for people to read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    pub(crate) sends: u64,
    pub(crate) short_sends: u64,
    pub(crate) out_of_buffers: u64,
    pub(crate) paused: u64,
    pub(crate) accept_pauses: u64,
    pub(crate) stale: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "connections  {} accepted, {} closed, {} of them failed",
            self.accepted, self.closed, self.failed
        )?;
        writeln!(
            f,
            "received     {} bytes in {} pieces",
            self.bytes, self.received
        )?;
        writeln!(
            f,
            "sent         {} pieces, {} times only a part at first",
            self.sends, self.short_sends
        )?;
        writeln!(
            f,
            "held back    {} receives without a buffer, {} paused, {} pauses in accepting",
            self.out_of_buffers, self.paused, self.accept_pauses
        )?;
        write!(f, "stale        {} completions", self.stale)
    }
}
