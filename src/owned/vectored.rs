//! Reading into several buffers, and writing several.

use std::fmt;
use std::io;

use super::buffer::{Buffer, BufferMut};
use super::descriptor::Descriptor;
use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Several buffers of one type, one after the other: a vector of them, or an array.
///
/// An array costs no allocation.
pub trait Buffers: Several {}

impl<B> Buffers for Vec<B> {}
impl<B, const N: usize> Buffers for [B; N] {}

/// What the kernel is told of several buffers. So that nobody else implements [`Buffers`].
#[expect(unnameable_types, reason = "its purpose")]
pub trait Several {
    /// One of the buffers.
    type Buffer;

    /// Where they are, and how long each is.
    #[doc(hidden)]
    type Places: AsRef<[Place]> + fmt::Debug;

    /// What is there before they are known.
    #[doc(hidden)]
    fn nowhere() -> Self::Places;

    /// Finds out where they are.
    #[doc(hidden)]
    fn places(&mut self, place: impl FnMut(&mut Self::Buffer) -> Place) -> Self::Places;

    /// All of them.
    #[doc(hidden)]
    fn each(&mut self) -> &mut [Self::Buffer];
}

/// Where a buffer is, and how long.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
#[expect(unnameable_types, reason = "what operations keep for the kernel")]
pub struct Place(libc::iovec);

// SAFETY: it is an address and a number. Who uses the memory there is decided by whoever has the
// buffer.
unsafe impl Send for Place {}

// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    const NOWHERE: Self = Self::new(std::ptr::null_mut(), 0);

    const fn new(address: *mut u8, bytes: usize) -> Self {
        Self(libc::iovec {
            iov_base: address.cast(),
            iov_len: bytes,
        })
    }
}

impl<B> Several for Vec<B> {
    type Buffer = B;
    type Places = Box<[Place]>;

    fn nowhere() -> Self::Places {
        Box::default()
    }

    fn places(&mut self, place: impl FnMut(&mut B) -> Place) -> Self::Places {
        self.iter_mut().map(place).collect()
    }

    fn each(&mut self) -> &mut [B] {
        self
    }
}

impl<B, const N: usize> Several for [B; N] {
    type Buffer = B;
    type Places = [Place; N];

    fn nowhere() -> Self::Places {
        [Place::NOWHERE; N]
    }

    fn places(&mut self, place: impl FnMut(&mut B) -> Place) -> Self::Places {
        self.each_mut().map(place)
    }

    fn each(&mut self) -> &mut [B] {
        self
    }
}

/// An array of places as an entry has it: where it is, and how many they are. More than the kernel
/// takes is refused.
fn array(places: &[Place]) -> (*const libc::iovec, u32) {
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
        let place = |buffer: &mut V::Buffer| Place::new(buffer.room(), buffer.capacity());
        self.places = self.buffers.places(place);
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

    fn complete(mut self, done: Completion) -> Self::Output {
        let count = count(done);
        if let Ok(count) = &count {
            let mut left = *count;
            for buffer in self.buffers.each() {
                let bytes = left.min(buffer.capacity());
                // SAFETY: the kernel has filled the rooms in their order, so that this one has as
                // many bytes of those that the rooms before it did not hold.
                unsafe { buffer.filled(bytes) };
                left -= bytes;
            }
        }
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
        let place =
            |buffer: &mut V::Buffer| Place::new(buffer.address().cast_mut(), buffer.bytes());
        self.places = self.buffers.places(place);
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

    fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffers)
    }
}
