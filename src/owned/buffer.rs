//! Memory that can be lent to the kernel.

use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;

use crate::buffer_pool::PoolBuffer;

/// Memory that the kernel can read from.
///
/// # Safety
///
/// Implementors promise that, until the value is moved, dropped or used mutably, so many bytes at
/// the address are initialized and neither freed nor written to, whatever else happens.
pub unsafe trait Buffer {
    /// Where the bytes begin.
    fn address(&self) -> *const u8;

    /// How many bytes there are.
    fn bytes(&self) -> usize;

    /// The bytes from `range.start` on up to `range.end`, both cut to what there is, to be written
    /// or sent instead of all; or the room there, to be read into. The buffer comes back within the
    /// [`View`].
    ///
    /// ```
    /// #![forbid(unsafe_code)]
    /// use std::fs::File;
    /// use lio_uring::owned::{Buffer, Read, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let path = tempfile::NamedTempFile::new()?;
    /// # std::fs::write(&path, "behind it")?;
    /// let ring = Ring::new(8)?;
    /// let mut text = b"what was there and ".to_vec();
    /// text.reserve(100);
    /// let behind = 19..119;
    /// let read = Read { file: File::open(&path)?, buffer: text.view(behind), offset: 0 };
    /// let (count, view) = ring.push(read)?.wait()?;
    /// assert_eq!(count?, 9);
    /// assert_eq!(view.into_inner(), b"what was there and behind it");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Room that is read into begins no later than where what is initialized ends: of a vector, at its
    /// length. A vector that was read into ends with what was read.
    fn view(self, range: Range<u32>) -> View<Self>
    where
        Self: Sized,
    {
        View {
            buffer: self,
            start: range.start,
            end: range.end,
        }
    }
}

/// Memory that the kernel can write to.
///
/// # Safety
///
/// Implementors promise that, until the value is moved, dropped or used otherwise, so many bytes at
/// the address are valid for writes and used by nobody else; that as many of them are initialized as
/// `initialized` says; and that `filled` does no more than note that they are.
pub unsafe trait BufferMut {
    /// Where there is room.
    fn room(&mut self) -> *mut u8;

    /// How many bytes there is room for.
    fn capacity(&self) -> usize;

    /// How many bytes from the beginning on are initialized. A [view](Buffer::view) that is read into
    /// begins no later than behind them.
    fn initialized(&self) -> usize {
        0
    }

    /// Notes how many bytes from the beginning on were written, after a read that did not fail, or had
    /// been initialized before.
    ///
    /// A vector has this length then. What has a length of its own keeps it.
    ///
    /// # Safety
    ///
    /// So many bytes are initialized, and there is room for as many.
    unsafe fn filled(&mut self, bytes: usize);
}

/// Part of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct View<B> {
    buffer: B,
    start: u32,
    end: u32,
}

impl<B> View<B> {
    /// Where in the buffer the part begins.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The whole buffer again.
    pub fn into_inner(self) -> B {
        self.buffer
    }

    /// The whole buffer.
    pub(super) fn whole(&self) -> &B {
        &self.buffer
    }

    /// The part that is within so many bytes: its beginning and its length.
    fn within(&self, bytes: usize) -> (usize, usize) {
        let end = (self.end as usize).min(bytes);
        let start = (self.start as usize).min(end);
        (start, end - start)
    }
}

// SAFETY: part of memory for which the same holds.
unsafe impl<B: Buffer> Buffer for View<B> {
    fn address(&self) -> *const u8 {
        let (start, _) = self.within(self.buffer.bytes());
        self.buffer.address().wrapping_add(start)
    }

    fn bytes(&self) -> usize {
        self.within(self.buffer.bytes()).1
    }
}

impl<B: BufferMut> View<B> {
    /// The part that can be read into: its beginning and its length.
    fn part_of_room(&self) -> (usize, usize) {
        let capacity = self.buffer.capacity();
        let end = (self.end as usize).min(capacity);
        let start = (self.start as usize)
            .min(self.buffer.initialized())
            .min(end);
        (start, end - start)
    }
}

// SAFETY: part of memory for which the same holds. What is before it is initialized, so that whatever is
// of the part is from the buffer's beginning on.
unsafe impl<B: BufferMut> BufferMut for View<B> {
    fn room(&mut self) -> *mut u8 {
        let (start, _) = self.part_of_room();
        self.buffer.room().wrapping_add(start)
    }

    fn capacity(&self) -> usize {
        self.part_of_room().1
    }

    fn initialized(&self) -> usize {
        let (start, len) = self.part_of_room();
        self.buffer.initialized().saturating_sub(start).min(len)
    }

    unsafe fn filled(&mut self, bytes: usize) {
        let (start, _) = self.part_of_room();
        // SAFETY: the caller's promise, and those before the part are initialized.
        unsafe { self.buffer.filled(start + bytes) };
    }
}

// SAFETY: the vector's memory moves only when the vector is used mutably. Between its length and its
// capacity there is room.
unsafe impl BufferMut for Vec<u8> {
    #[inline]
    fn room(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity()
    }

    #[inline]
    fn initialized(&self) -> usize {
        self.len()
    }

    #[inline]
    unsafe fn filled(&mut self, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.set_len(bytes) };
    }
}

/// What owns bytes, of a number that stays the same, and can be written to.
macro_rules! fixed {
    ($($type:ty $(, const $n:ident)?;)+) => {
        $(
            // SAFETY: the bytes are the value's own, and initialized.
            unsafe impl$(<const $n: usize>)? BufferMut for $type {
                #[inline]
                fn room(&mut self) -> *mut u8 {
                    self.as_mut_ptr()
                }

                #[inline]
                fn capacity(&self) -> usize {
                    self.len()
                }

                #[inline]
                fn initialized(&self) -> usize {
                    self.len()
                }

                #[inline]
                unsafe fn filled(&mut self, _: usize) {}
            }
        )+
    };
}

fixed! {
    Box<[u8]>;
    [u8; N], const N;
    PoolBuffer;
}

/// What bytes can be read of, which stay the same as long as it is not used mutably.
macro_rules! readable {
    ($($type:ty $(, const $n:ident)?;)+) => {
        $(
            // SAFETY: the bytes are the value's own, or borrowed by it alone, or shared and immutable, and
            // initialized. They stay where they are until the value is moved or used mutably.
            unsafe impl$(<const $n: usize>)? Buffer for $type {
                #[inline]
                fn address(&self) -> *const u8 {
                    self.as_ptr()
                }

                #[inline]
                fn bytes(&self) -> usize {
                    self.len()
                }
            }
        )+
    };
}

readable! {
    Vec<u8>;
    &mut Vec<u8>;
    Box<[u8]>;
    Box<str>;
    String;
    Arc<[u8]>;
    Rc<[u8]>;
    [u8; N], const N;
    PoolBuffer;
}

/// Bytes that are borrowed: for ever, if they are pushed to a ring.
macro_rules! borrowed {
    ($($type:ty $(, const $n:ident)?;)+) => {
        $(
            // SAFETY: what is borrowed is not written to, and is there as long as the reference.
            unsafe impl$(<const $n: usize>)? Buffer for &$type {
                #[inline]
                fn address(&self) -> *const u8 {
                    (**self).as_ptr()
                }

                #[inline]
                fn bytes(&self) -> usize {
                    (**self).len()
                }
            }
        )+
    };
}

borrowed! {
    [u8];
    str;
    [u8; N], const N;
}

/// Bytes that are borrowed to be written to.
macro_rules! borrowed_mutably {
    ($($type:ty $(, const $n:ident)?;)+) => {
        $(
            // SAFETY: nobody else uses what is borrowed mutably, as long as the reference is there.
            unsafe impl$(<const $n: usize>)? BufferMut for &mut $type {
                #[inline]
                fn room(&mut self) -> *mut u8 {
                    (**self).as_mut_ptr()
                }

                #[inline]
                fn capacity(&self) -> usize {
                    (**self).len()
                }

                #[inline]
                fn initialized(&self) -> usize {
                    (**self).len()
                }

                #[inline]
                unsafe fn filled(&mut self, _: usize) {}
            }

            // SAFETY: as above: nobody else can write to it.
            unsafe impl$(<const $n: usize>)? Buffer for &mut $type {
                #[inline]
                fn address(&self) -> *const u8 {
                    (**self).as_ptr()
                }

                #[inline]
                fn bytes(&self) -> usize {
                    (**self).len()
                }
            }
        )+
    };
}

borrowed_mutably! {
    [u8];
    [u8; N], const N;
}

// SAFETY: as for the vector, which nobody else uses as long as the reference is there.
unsafe impl BufferMut for &mut Vec<u8> {
    #[inline]
    fn room(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    #[inline]
    fn capacity(&self) -> usize {
        (**self).capacity()
    }

    #[inline]
    fn initialized(&self) -> usize {
        (**self).len()
    }

    #[inline]
    unsafe fn filled(&mut self, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.set_len(bytes) };
    }
}

/// Shared bytes, taken by what shares them.
macro_rules! shared {
    ($($pointer:ident)+) => {
        $(
            // SAFETY: what is shared is not written to, and is there as long as the pointer.
            unsafe impl<const N: usize> Buffer for $pointer<[u8; N]> {
                #[inline]
                fn address(&self) -> *const u8 {
                    self.deref().as_ptr()
                }

                #[inline]
                fn bytes(&self) -> usize {
                    N
                }
            }

            // SAFETY: as above: a shared vector is not used mutably.
            unsafe impl Buffer for $pointer<Vec<u8>> {
                #[inline]
                fn address(&self) -> *const u8 {
                    self.deref().as_ptr()
                }

                #[inline]
                fn bytes(&self) -> usize {
                    self.deref().len()
                }
            }
        )+
    };
}

shared!(Arc Rc);

/// A length as an entry has it. Longer memory is used in part.
#[inline]
pub(super) fn entry_len(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
