//! The groups of buffers of a ring.

use super::ring_id::own;
use crate::completion::{Completion, CompletionFlags};
use crate::entry::Sqe;
use crate::error::{RegisterCause, RegisterError};
use crate::kind::Threads;
use crate::register::{BufferCursor, BufferRing, BufferRingParams};
use crate::submission::SubmissionQueue;

/// The lowest number of a group. Older kernels remember those below.
const FIRST: u16 = 64;

/// What numbers are given to groups, and where the kernel is in those whose buffers are used up piece
/// by piece.
#[derive(Debug)]
pub(super) struct Groups {
    /// The number for the next one.
    next: u16,
    cursors: Vec<(u16, BufferCursor)>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            cursors: Vec::new(),
        }
    }

    /// Registers a group under the next number that is not taken.
    pub(super) fn register<T: Threads>(
        &mut self,
        queue: &mut SubmissionQueue<T>,
        entries: u16,
        incremental: bool,
    ) -> Result<BufferRing<T>, RegisterError> {
        own(queue.ring())?;
        let mut tries = u16::MAX;
        loop {
            let group = self.next;
            self.next = group.wrapping_add(1).max(FIRST);
            tries -= 1;
            let mut params = BufferRingParams::new(entries, group);
            if incremental {
                params = params.incremental();
            }
            match queue.register_buffer_ring_with(params) {
                Err(error) if error.cause == RegisterCause::AlreadyRegistered && tries > 0 => {}
                Err(error) => return Err(error),
                Ok(ring) => {
                    self.begin(group, incremental);
                    return Ok(ring);
                }
            }
        }
    }

    /// Notes that a group is used from its first buffer on, piece by piece or not.
    fn begin(&mut self, group: u16, incremental: bool) {
        self.cursors.retain(|(number, _)| *number != group);
        if incremental {
            self.cursors.push((group, BufferCursor::new()));
        }
    }

    /// Where in its buffer the bytes of a completion begin, if it names one. It is told of each
    /// completion once, in their order.
    pub(super) fn offset(&mut self, group: u16, done: &Completion) -> u32 {
        if !done.flags().contains(CompletionFlags::BUFFER) {
            return 0;
        }
        let cursor = self.cursors.iter_mut().find(|(number, _)| *number == group);
        let piece = cursor.and_then(|(_, cursor)| cursor.advance(done));
        piece.map_or(0, |piece| piece.offset)
    }
}

/// What is noted of an operation that may take its buffer from a group.
#[inline]
pub(super) fn note_of(sqe: &Sqe) -> i32 {
    sqe.buffer_group().into()
}

/// The group that was noted.
pub(super) fn group_of(note: i32) -> u16 {
    u16::try_from(note).unwrap_or_default()
}
