//! Reading into several registered buffers, and writing several.

use std::io;

use super::buffer::{Buffer, BufferMut};
use super::buffers::Buffers;
use super::descriptor::Descriptor;
use super::operation::Operation;
use super::registered_pool::{Registered, require_all};
use super::vectored::Vectored;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Reads from a file at an offset into several registered buffers, one after the other.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::fs::File;
/// use lio_uring::BufferPool;
/// use lio_uring::operation::OpCode;
/// use lio_uring::owned::{ReadvFixed, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// # if !lio_uring::Probe::new()?.supports(OpCode::READV_FIXED) {
/// #     return Ok(());
/// # }
/// let ring = Ring::new(8)?;
/// let pool = ring.register_pool(BufferPool::new(2, 4096)?)?;
/// let leases = [(); 2].map(|()| pool.take().expect("none is taken yet"));
/// let read = ReadvFixed::new(File::open("/proc/self/exe")?, leases, 0);
/// let (count, [first, _second]) = ring.push(read)?.wait()?;
/// assert_eq!((count?, &first[..4]), (8192, b"\x7fELF".as_slice()));
/// # Ok(())
/// # }
/// ```
///
/// # Output
///
/// That of [`Readv`](super::Readv). `EBADF` if the buffers are not all of the ring's own pool, `EFAULT`
/// if one of them is empty.
///
/// Since Linux 6.15; `EINVAL` before. See [`operation::ReadvFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct ReadvFixed<F, V: Buffers>(Vectored<F, V>);

impl<F, V: Buffers> ReadvFixed<F, V> {
    /// Reads at this offset, or at the file's position if it is `u64::MAX`, into as much room as the
    /// buffers have.
    pub fn new(file: F, buffers: V, offset: u64) -> Self {
        Self(Vectored::new(file, buffers, offset))
    }

    /// With `RWF_*` flags, as `RWF_NOWAIT`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.0.flags = flags;
        self
    }
}

// SAFETY: as for `Readv`.
unsafe impl<F, V> Operation for ReadvFixed<F, V>
where
    F: Descriptor,
    V: Buffers<Buffer: BufferMut + Registered>,
{
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        let Self(read) = self;
        let (iovecs, nr_vecs) = read.rooms();
        let target = read.file.target();
        let sqe = target.entry(&operation::ReadvFixed {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: read.offset,
            flags: read.flags,
            buf_index: 0,
        });
        require_all(read.buffers.each(), sqe)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        // SAFETY: the caller's promise.
        unsafe { self.0.into_read(done) }
    }
}

/// Writes several registered buffers, one after the other, to a file at an offset.
///
/// # Output
///
/// That of [`Writev`](super::Writev). `EBADF` if the buffers are not all of the ring's own pool,
/// `EFAULT` if one of them is empty.
///
/// Since Linux 6.15; `EINVAL` before. See [`operation::WritevFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct WritevFixed<F, V: Buffers>(Vectored<F, V>);

impl<F, V: Buffers> WritevFixed<F, V> {
    /// Writes all the buffers at this offset, or at the file's position if it is `u64::MAX`.
    pub fn new(file: F, buffers: V, offset: u64) -> Self {
        Self(Vectored::new(file, buffers, offset))
    }

    /// With `RWF_*` flags, as `RWF_DSYNC`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.0.flags = flags;
        self
    }
}

// SAFETY: as for `Writev`.
unsafe impl<F, V> Operation for WritevFixed<F, V>
where
    F: Descriptor,
    V: Buffers<Buffer: Buffer + Registered>,
{
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        let Self(write) = self;
        let (iovecs, nr_vecs) = write.bytes();
        let target = write.file.target();
        let sqe = target.entry(&operation::WritevFixed {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: write.offset,
            flags: write.flags,
            buf_index: 0,
        });
        require_all(write.buffers.each(), sqe)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        self.0.into_written(done)
    }
}
