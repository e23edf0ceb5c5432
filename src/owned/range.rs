//! Ranges of a file, as the cache holds them.

use std::io;

use super::descriptor::Descriptor;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Starts or awaits the writing of a file's cached data to its storage device.
///
/// What must survive a power failure needs [`Fsync`](super::Fsync): neither metadata nor the
/// device's own cache is flushed. It is done even if nobody waits for it any longer.
///
/// See [`operation::SyncFileRange`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SyncRange<F> {
    /// The file.
    pub file: F,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes, or 0 for all that follows `offset`.
    pub len: u32,
    /// `SYNC_FILE_RANGE_*`.
    pub flags: u32,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for SyncRange<F> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::SyncFileRange {
            fd: target.number(),
            len: self.len,
            offset: self.offset,
            flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Announces how a range of a file will be read.
///
/// It is announced even if nobody waits for it any longer.
///
/// See [`operation::Fadvise`] and [`operation::Fadvise64`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Advise<F> {
    /// The file.
    pub file: F,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// The length of the range in bytes, or 0 for all that follows `offset`. One of more than 32
    /// bits is refused by kernels before 6.11: `EINVAL`.
    pub len: u64,
    /// `POSIX_FADV_*`.
    pub advice: i32,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for Advise<F> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        match u32::try_from(self.len) {
            // The older form, which all kernels have.
            Ok(len) => target.entry(&operation::Fadvise {
                fd: target.number(),
                offset: self.offset,
                len,
                advice: self.advice,
            }),
            Err(_) => target.entry(&operation::Fadvise64 {
                fd: target.number(),
                offset: self.offset,
                len: self.len,
                advice: self.advice,
            }),
        }
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
