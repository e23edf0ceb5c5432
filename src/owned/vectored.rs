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

/// An array of places as an entry has it: where it is, and how many they are. More than the kernel
/// takes is refused.
pub(super) fn array(places: &[Place]) -> (*const libc::iovec, u32) {
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    (places.as_ptr().cast(), count)
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
pub struct Readv<F, V: Buffers> {
    file: F,
    buffers: V,
    offset: u64,
    flags: i32,
    places: V::Places,
}

impl<F, V: Buffers> Readv<F, V> {
    /// Reads at this offset, or at the file's position if it is `u64::MAX`, into as much room as the
    /// buffers have.
    pub fn new(file: F, buffers: V, offset: u64) -> Self {
        Self {
            file,
            buffers,
            offset,
            flags: 0,
            places: V::nowhere(),
        }
    }

    /// With `RWF_*` flags, as `RWF_NOWAIT`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }
}

// SAFETY: the entry names the file, which is owned, and the places, which are part of the value or
// elsewhere in memory, and not changed. They name the rooms of the buffers, which are different ones,
// owned and not used until it has ended.
unsafe impl<F: Descriptor, V: Buffers<Buffer: BufferMut>> Operation for Readv<F, V> {
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        self.places = self.buffers.places(Place::of_room);
        let (iovecs, nr_vecs) = array(self.places.as_ref());
        let target = self.file.target();
        target.entry(&operation::Readv2 {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: self.offset,
            flags: self.flags,
        })
    }

    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        let count = count(done).map(|bytes| {
            // SAFETY: so many bytes were read into the rooms, in their order.
            unsafe { self.buffers.fill(bytes) }
        });
        (count, self.buffers)
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
pub struct Writev<F, V: Buffers> {
    file: F,
    buffers: V,
    offset: u64,
    flags: i32,
    places: V::Places,
}

impl<F, V: Buffers> Writev<F, V> {
    /// Writes all the buffers at this offset, or at the file's position if it is `u64::MAX`.
    pub fn new(file: F, buffers: V, offset: u64) -> Self {
        Self {
            file,
            buffers,
            offset,
            flags: 0,
            places: V::nowhere(),
        }
    }

    /// With `RWF_*` flags, as `RWF_DSYNC`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }
}

// SAFETY: as for `Readv`, with the bytes of the buffers, which are not written to.
unsafe impl<F: Descriptor, V: Buffers<Buffer: Buffer>> Operation for Writev<F, V> {
    type Output = (io::Result<usize>, V);

    fn entry(&mut self) -> Sqe {
        self.places = self.buffers.places(|buffer| Place::of_bytes(buffer));
        let (iovecs, nr_vecs) = array(self.places.as_ref());
        let target = self.file.target();
        target.entry(&operation::Writev2 {
            fd: target.number(),
            iovecs,
            nr_vecs,
            offset: self.offset,
            flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffers)
    }
}
