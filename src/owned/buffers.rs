//! Several pieces of memory that are lent to the kernel at once.

use std::fmt;
use std::ptr;

use super::buffer::{Buffer, BufferMut};

/// Several buffers of one type, one after the other: a vector of them, or an array.
///
/// An array costs no allocation where it is read into or written from.
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

    /// Notes that so many bytes were written into the rooms, in their order, and returns for how many
    /// there was room.
    ///
    /// # Safety
    ///
    /// That was done.
    #[doc(hidden)]
    unsafe fn fill(&mut self, bytes: usize) -> usize
    where
        Self::Buffer: BufferMut,
    {
        let mut left = bytes;
        for buffer in self.each() {
            let filled = left.min(buffer.capacity());
            // SAFETY: the caller's promise: this room has as many bytes of those that the rooms before
            // it did not hold.
            unsafe { buffer.filled(filled) };
            left -= filled;
        }
        bytes - left
    }
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
    const NOWHERE: Self = Self::new(ptr::null_mut(), 0);

    const fn new(address: *mut u8, bytes: usize) -> Self {
        Self(libc::iovec {
            iov_base: address.cast(),
            iov_len: bytes,
        })
    }

    /// Where there is room.
    pub(super) fn of_room(buffer: &mut impl BufferMut) -> Self {
        Self::new(buffer.room(), buffer.capacity())
    }

    /// Where the bytes are.
    pub(super) fn of_bytes(buffer: &impl Buffer) -> Self {
        Self::new(buffer.address().cast_mut(), buffer.bytes())
    }

    /// As the kernel takes it.
    pub(super) fn raw(self) -> libc::iovec {
        self.0
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
