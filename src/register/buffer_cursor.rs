//! Where in a buffer of an incremental group a completion's bytes are.

use crate::completion::{Completion, CompletionFlags};

/// Finds the piece of a buffer that a completion means, in a group whose buffers are used up piece
/// by piece.
///
/// A completion names the buffer and the number of bytes, not where in the buffer they are: behind
/// those of the completion before. So one cursor for the group is shown each of its completions, in
/// the order in which they are taken.
///
/// That is the order in which the kernel fills buffers for receives, and for reads of pipes. A read
/// of a regular file takes its piece by the length it asks for, so a cursor is wrong after one that
/// got less, as at the end of the file. So does an operation that a worker carries out, as with
/// [`SqeFlags::ASYNC`](crate::SqeFlags::ASYNC), and when it starts: such operations do not go
/// together with a cursor. Neither do bundles, whose bytes can be in several buffers.
///
/// ```
/// # use lio_uring::BufferCursor;
/// # fn example(mut cq: lio_uring::CompletionQueue, buffers: &[Box<[u8]>]) -> std::io::Result<()> {
/// let mut cursor = BufferCursor::new();
/// let completion = cq.next()?;
/// if let Some(piece) = cursor.advance(&completion) {
///     let bytes = &buffers[usize::from(piece.id)][piece.range()];
///     if piece.last {
///         // The buffer is the program's again, to be added anew when `bytes` are done with.
///     }
/// # let _ = bytes;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BufferCursor {
    /// The buffer that is partly used.
    id: u16,
    /// Where its next piece begins; 0 if none is partly used.
    offset: u32,
}

/// A piece of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferPiece {
    /// The buffer's number.
    pub id: u16,
    /// Where in the buffer the piece begins, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub len: u32,
    /// Whether the kernel has let go of the buffer.
    pub last: bool,
}

impl BufferPiece {
    /// The piece's place in the buffer.
    pub fn range(&self) -> std::ops::Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.len as usize)
    }
}

impl BufferCursor {
    /// A cursor at the start of the group's first buffer.
    pub const fn new() -> Self {
        Self { id: 0, offset: 0 }
    }

    /// The piece that a completion means, behind that of the completion before. `None` if it names
    /// no buffer.
    pub fn advance<E: Copy>(&mut self, completion: &Completion<E>) -> Option<BufferPiece> {
        let id = completion.buffer_id()?;
        let offset = if self.id == id { self.offset } else { 0 };
        let len = u32::try_from(completion.raw_result()).unwrap_or(0);
        let last = !completion.flags().contains(CompletionFlags::BUF_MORE);
        *self = Self {
            id,
            offset: if last { 0 } else { offset.saturating_add(len) },
        };
        Some(BufferPiece {
            id,
            offset,
            len,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    fn completion(res: i32, id: u16, more: bool) -> Completion {
        let mut flags = sys::IORING_CQE_F_BUFFER | u32::from(id) << sys::IORING_CQE_BUFFER_SHIFT;
        if more {
            flags |= sys::IORING_CQE_F_BUF_MORE;
        }
        Completion {
            user_data: 0,
            res,
            flags,
            extra: (),
        }
    }

    fn piece(id: u16, offset: u32, len: u32, last: bool) -> BufferPiece {
        BufferPiece {
            id,
            offset,
            len,
            last,
        }
    }

    #[test]
    fn pieces_follow_each_other() {
        let mut cursor = BufferCursor::new();
        for (completion, wanted) in [
            (completion(10, 3, true), piece(3, 0, 10, false)),
            (completion(5, 3, true), piece(3, 10, 5, false)),
            (completion(1, 3, false), piece(3, 15, 1, true)),
            (completion(7, 3, false), piece(3, 0, 7, true)),
            (completion(7, 4, true), piece(4, 0, 7, false)),
        ] {
            assert_eq!(cursor.advance(&completion), Some(wanted));
        }
    }

    #[test]
    fn completions_that_cannot_be_do_not_panic() {
        let mut cursor = BufferCursor::new();
        for res in [i32::MAX, i32::MAX, i32::MAX, i32::MIN, -1, 0] {
            let piece = cursor.advance(&completion(res, 1, true)).expect("a buffer");
            let _ = piece.range();
        }
        let none = Completion {
            user_data: 0,
            res: 5,
            flags: 0,
            extra: (),
        };
        assert_eq!(cursor.advance(&none), None);
    }
}
