//! The memory that data is received into, and the pieces of it that completions give.

use std::fmt;

use crate::completion::Completion;
#[cfg(doc)]
use crate::operation::RecvZc;
use crate::params::Mapping;
#[cfg(doc)]
use crate::register::ZeroCopyReceive;
use crate::sys;

/// The bits of a place that name the area.
const AREA: u64 = sys::IORING_ZCRX_AREA_MASK.cast_unsigned();

/// The memory of a [`ZeroCopyReceive`].
///
/// Threads can share it: each takes what its own ring has received, and hands the pieces back to the
/// thread that has the [`ZeroCopyReceive`].
///
/// C: `struct io_uring_zcrx_area_reg`.
pub struct ReceiveArea {
    /// Nothing if it is a dma-buf, which is not mapped here.
    memory: Option<Mapping>,
    bytes: u64,
    /// What places in the area have in their upper bits.
    token: u64,
}

impl ReceiveArea {
    /// If there is memory, it has so many bytes at least.
    pub(super) fn new(memory: Option<Mapping>, bytes: u64, token: u64) -> Self {
        debug_assert!(
            memory
                .as_ref()
                .is_none_or(|memory| memory.len() as u64 >= bytes)
        );
        Self {
            memory,
            bytes,
            token,
        }
    }

    /// How many bytes there are, free and taken.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the kernel refuses an empty area"
    )]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// The data that a completion of [`RecvZc`] brings.
    ///
    /// `None` for one that brings none, as the last of each operation does, and for one whose data
    /// would not lie in this area.
    ///
    /// C: `struct io_uring_zcrx_cqe`.
    ///
    /// # Safety
    ///
    /// * The completion is one of a [`RecvZc`] with this registration, on the ring that it was made
    ///   with or on one that it was imported into.
    /// * The same completion is taken once. Copies of it are the same.
    #[inline]
    pub unsafe fn take<E>(&self, completion: &Completion<E>) -> Option<Received<'_>>
    where
        E: Copy + Into<Option<[u64; 2]>>,
    {
        let [place, _] = completion.extra().into()?;
        let len = u32::try_from(completion.raw_result()).ok()?;
        let offset = place & !AREA;
        let ours = place & AREA == self.token && offset + u64::from(len) <= self.bytes;
        (ours && len > 0).then_some(Received {
            area: self,
            offset,
            len,
        })
    }
}

impl fmt::Debug for ReceiveArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveArea")
            .field("len", &self.bytes)
            .field("mapped", &self.memory.is_some())
            .finish_non_exhaustive()
    }
}

/// A piece of data that was received, in the memory that the kernel or the network device has put
/// it into.
///
/// [`ZeroCopyReceive::give_back`] makes its room available again. If it is dropped instead, that
/// room stays unused until the ring is closed.
///
/// From [`ReceiveArea::take`].
#[must_use = "its room is used again only when it has been given back"]
pub struct Received<'a> {
    area: &'a ReceiveArea,
    offset: u64,
    len: u32,
}

impl<'a> Received<'a> {
    /// The data.
    ///
    /// # Panics
    ///
    /// If the area is a dma-buf: the program that has mapped it finds the data at
    /// [`offset`](Self::offset).
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let memory = self.area.memory.as_ref();
        let start = memory.expect("the area is not a dma-buf").address();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the offset is below the length of a mapping"
        )]
        let offset = self.offset as usize;
        // SAFETY: the piece lies in the area, and the area in its mapping.
        let data = unsafe { start.add(offset) };
        // SAFETY: as above; the mapping stays as long as the area, which is borrowed. The kernel
        // writes there again only after the piece has been given back, which consumes this value,
        // or when the ring is closed, which the owner of the area keeps open. Whoever took the piece
        // has promised that nobody else has.
        unsafe { std::slice::from_raw_parts(data.as_ptr(), self.len as usize) }
    }

    /// Where in the area the data begins, in bytes.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes there are.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a completion without data gives no such value"
    )]
    pub fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn area(&self) -> &'a ReceiveArea {
        self.area
    }

    /// The place as the kernel is told it.
    pub(super) fn place(&self) -> u64 {
        self.area.token | self.offset
    }
}

impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("offset", &self.offset)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn area(token: u64) -> ReceiveArea {
        let memory = Mapping::anonymous(4 * 4096, libc::MAP_PRIVATE).expect("memory");
        ReceiveArea::new(Some(memory), 4 * PAGE, token)
    }

    fn completion<E>(res: i32, extra: E) -> Completion<E> {
        Completion {
            user_data: 0,
            res,
            flags: sys::IORING_CQE_F_MORE,
            extra,
        }
    }

    /// The piece that a completion gives, as offset and length. None of these is a kernel's.
    fn taken<E>(area: &ReceiveArea, completion: Completion<E>) -> Option<(u64, u32)>
    where
        E: Copy + Into<Option<[u64; 2]>>,
    {
        // SAFETY: nothing but this value refers to the memory, which no kernel writes.
        let received = unsafe { area.take(&completion) }?;
        assert_eq!(received.bytes().len(), received.len() as usize);
        assert!(received.bytes().iter().all(|byte| *byte == 0));
        Some((received.offset(), received.len()))
    }

    #[test]
    fn completions_give_the_piece_that_they_name() {
        let token = 3 << sys::IORING_ZCRX_AREA_SHIFT;
        let area = area(token);
        for (offset, len) in [(0, 1), (0, 16384), (100, 4000), (16383, 1), (12288, 4096)] {
            let res = i32::try_from(len).expect("a length");
            let place = [token | offset, 0];
            let wanted = Some((offset, len));
            assert_eq!(taken(&area, completion(res, place)), wanted);
            assert_eq!(taken(&area, completion(res, Some(place))), wanted);
        }
    }

    #[test]
    fn forged_completions_give_nothing() {
        let token = 3 << sys::IORING_ZCRX_AREA_SHIFT;
        let area = area(token);
        for (res, place) in [
            (1, token | (4 * PAGE)),
            (2, token | (4 * PAGE - 1)),
            (16385, token),
            (i32::MAX, token),
            (i32::MAX, u64::MAX),
            (1, token | !AREA),
            (i32::MAX, token | !AREA),
            (1, 0),
            (1, 2 << sys::IORING_ZCRX_AREA_SHIFT),
            (1, 7 << sys::IORING_ZCRX_AREA_SHIFT),
            (0, token),
            (-1, token),
            (i32::MIN, token),
        ] {
            assert_eq!(taken(&area, completion(res, [place, 0])), None, "{place:x}");
        }
        assert_eq!(taken(&area, completion(1, None)), None);
    }

    #[test]
    fn dma_buf_gives_places_and_no_bytes() {
        let area = ReceiveArea::new(None, PAGE, 0);
        // SAFETY: there is no memory.
        let received = unsafe { area.take(&completion(10, [4, 0])) }.expect("a place");
        assert_eq!((received.offset(), received.len()), (4, 10));
        let bytes = std::panic::AssertUnwindSafe(|| received.bytes().len());
        assert!(std::panic::catch_unwind(bytes).is_err());
    }
}
