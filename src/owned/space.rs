//! A file's space and its length.

use std::io;

use super::descriptor::Descriptor;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Allocates, zeroes or removes space of a file.
///
/// It is done even if nobody waits for it any longer.
///
/// See [`operation::Fallocate`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Allocate<F> {
    /// The file, open for writing.
    pub file: F,
    /// `FALLOC_FL_*`, or 0 to allocate and to grow the file if the range goes beyond its end.
    pub mode: i32,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes.
    pub len: u64,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for Allocate<F> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Fallocate {
            fd: target.number(),
            mode: self.mode,
            offset: self.offset,
            len: self.len,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Sets the length of a file: cuts off what is behind it, or adds zeros.
///
/// It is set even if nobody waits for it any longer. Kernels before 6.9 do not have it: `EINVAL`.
///
/// See [`operation::Ftruncate`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Truncate<F> {
    /// The file, open for writing.
    pub file: F,
    /// Its new length in bytes.
    pub len: u64,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for Truncate<F> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Ftruncate {
            fd: target.number(),
            // One that does not fit is negative, which is refused.
            len: self.len.cast_signed(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
