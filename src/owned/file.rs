//! Reading and writing files.

use std::io;

use super::buffer::{Buffer, BufferMut, entry_len};
use super::descriptor::Descriptor;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, FsyncFlags};

/// How many bytes an operation has moved.
pub(super) fn count(done: Completion) -> io::Result<usize> {
    done.result()
        .map(|count| usize::try_from(count).unwrap_or_default())
}

/// How something ended that can wait on a kernel worker. Stopped there, it ends on some kernels with
/// an error that is for the kernel's own use, where others say `EINTR`.
pub(super) fn stoppable(done: Completion) -> Completion {
    const ERESTARTSYS: i32 = 512;
    let res = match done.res.wrapping_neg() {
        ERESTARTSYS => -libc::EINTR,
        _ => done.res,
    };
    Completion { res, ..done }
}

/// Reads from a file at an offset, into as much room as the buffer has.
///
/// # Output
///
/// How many bytes were read, 0 at the file's end, and the buffer. A vector's length is that number;
/// it is unchanged after an error.
///
/// See [`operation::Read`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Read<F, B> {
    /// The file.
    pub file: F,
    /// Where the bytes go.
    pub buffer: B,
    /// Where in the file they are, or `u64::MAX` for its position.
    pub offset: u64,
}

// SAFETY: the entry names the buffer's room and the file, which are owned and not used until it has
// ended.
unsafe impl<F: Descriptor, B: BufferMut> Operation for Read<F, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Read {
            fd: target.number(),
            ptr: self.buffer.room().cast(),
            len: entry_len(self.buffer.capacity()),
            offset: self.offset,
        })
    }

    #[inline]
    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        (fill(&mut self.buffer, done), self.buffer)
    }
}

/// Notes in a buffer how much was read into it.
#[inline]
pub(super) fn fill<B: BufferMut>(buffer: &mut B, done: Completion) -> io::Result<usize> {
    let bytes = count(done)?.min(buffer.capacity());
    // SAFETY: the kernel has written so many bytes into the room that it was given.
    unsafe { buffer.filled(bytes) };
    Ok(bytes)
}

/// Writes a buffer to a file at an offset.
///
/// # Output
///
/// How many bytes were written, which can be fewer, and the buffer.
///
/// See [`operation::Write`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Write<F, B> {
    /// The file.
    pub file: F,
    /// What is written.
    pub buffer: B,
    /// Where in the file it goes, or `u64::MAX` for its position.
    pub offset: u64,
}

// SAFETY: the entry names the buffer's bytes and the file, which are owned and not used until it has
// ended.
unsafe impl<F: Descriptor, B: Buffer> Operation for Write<F, B> {
    type Output = (io::Result<usize>, B);

    #[inline]
    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Write {
            fd: target.number(),
            ptr: self.buffer.address().cast(),
            len: entry_len(self.buffer.bytes()),
            offset: self.offset,
        })
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffer)
    }
}

/// Brings a file's changes to its storage.
///
/// See [`operation::Fsync`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Fsync<F> {
    /// The file.
    pub file: F,
    /// Whether metadata that a later read does not need may be left out.
    pub flags: FsyncFlags,
}

// SAFETY: the entry names the file alone, which is owned.
unsafe impl<F: Descriptor> Operation for Fsync<F> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Fsync {
            fd: target.number(),
            fsync_flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
