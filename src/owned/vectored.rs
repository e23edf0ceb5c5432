//! Reading into several buffers, and writing several.

use std::io;

use super::buffer::{Buffer, BufferMut};
use super::buffers::{Buffers, Place};
use super::descriptor::Descriptor;
use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// A file, several buffers, and where they are.
#[derive(Debug)]
pub(super) struct Vectored<F, V: Buffers> {
    pub(super) file: F,
    pub(super) buffers: V,
    pub(super) offset: u64,
    pub(super) flags: i32,
    places: V::Places,
}

impl<F, V: Buffers> Vectored<F, V> {
    pub(super) fn new(file: F, buffers: V, offset: u64) -> Self {
        Self {
            file,
            buffers,
            offset,
            flags: 0,
            places: V::nowhere(),
        }
    }

    /// The rooms of the buffers, as an entry has them: where the array is, and how many they are.
    pub(super) fn rooms(&mut self) -> (*const libc::iovec, u32)
    where
        V::Buffer: BufferMut,
    {
        self.places = self.buffers.places(Place::of_room);
        self.array()
    }

    /// The bytes of the buffers, in the same way.
    pub(super) fn bytes(&mut self) -> (*const libc::iovec, u32)
    where
        V::Buffer: Buffer,
    {
        self.places = self.buffers.places(|buffer| Place::of_bytes(buffer));
        self.array()
    }

    /// More than the kernel takes is refused.
    fn array(&self) -> (*const libc::iovec, u32) {
        let places = self.places.as_ref();
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
        (places.as_ptr().cast(), count)
    }

    /// What a read brings.
    ///
    /// # Safety
    ///
    /// The completion is that of a read into the rooms, in their order.
    pub(super) unsafe fn into_read(mut self, done: Completion) -> (io::Result<usize>, V)
    where
        V::Buffer: BufferMut,
    {
        let count = count(done).map(|bytes| {
            // SAFETY: so many bytes were read into the rooms.
            unsafe { self.buffers.fill(bytes) }
        });
        (count, self.buffers)
    }

    /// What a write brings.
    pub(super) fn into_written(self, done: Completion) -> (io::Result<usize>, V) {
        (count(done), self.buffers)
    }
}

/// Reads from a file at an offset into several buffers, one after the other.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::fs::File;
/// use lio_uring::owned::{Readv, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// # let path = tempfile::NamedTempFile::new()?;
/// # std::fs::write(&path, "head and body")?;
/// let ring = Ring::new(8)?;
/// let buffers = [Vec::with_capacity(4), Vec::with_capacity(100)];
/// let read = Readv::new(File::open(&path)?, buffers, 0);
/// let (count, [head, body]) = ring.push(read)?.wait()?;
/// assert_eq!((count?, &head[..], &body[..]), (13, &b"head"[..], &b" and body"[..]));
/// # Ok(())
/// # }
/// ```
///
/// # Output
///
/// How many bytes were read, 0 at the file's end, and the buffers. They are filled in their order, and
/// vectors have the length of what was read into them: those that nothing was left for are empty.
/// After an error all are unchanged. More than 1024 buffers are one: `EINVAL`.
///
/// See [`operation::Readv2`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Readv<F, V: Buffers>(Vectored<F, V>);

impl<F, V: Buffers> Readv<F, V> {
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

// SAFETY: the entry names the file, which is owned, and the places, which are part of the value or
// elsewhere in memory, and not changed. They name the rooms of the buffers, which are different ones,
// owned and not used until it has ended.
unsafe impl<F: Descriptor, V: Buffers<Buffer: BufferMut>> Operation for Readv<F, V> {
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        let Self(read) = self;
        let (iovecs, nr_vecs) = read.rooms();
        let target = read.file.target();
        target.entry(&operation::Readv2 {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: read.offset,
            flags: read.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        // SAFETY: the caller's promise.
        unsafe { self.0.into_read(done) }
    }
}

/// Writes several buffers, one after the other, to a file at an offset.
///
/// # Output
///
/// How many bytes were written, which can be fewer, and the buffers. More than 1024 of them are an
/// error: `EINVAL`.
///
/// See [`operation::Writev2`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Writev<F, V: Buffers>(Vectored<F, V>);

impl<F, V: Buffers> Writev<F, V> {
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

// SAFETY: as for `Readv`, with the bytes of the buffers, which are not written to.
unsafe impl<F: Descriptor, V: Buffers<Buffer: Buffer>> Operation for Writev<F, V> {
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        let Self(write) = self;
        let (iovecs, nr_vecs) = write.bytes();
        let target = write.file.target();
        target.entry(&operation::Writev2 {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: write.offset,
            flags: write.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        self.0.into_written(done)
    }
}
