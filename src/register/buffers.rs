//! Registered buffers: memory that the kernel keeps pinned, for `ReadFixed` and `WriteFixed`.

use std::io::{IoSlice, IoSliceMut};
use std::ptr;

use super::{Resource, check, limit};
use crate::error::{RegisterCause, RegisterError};
use crate::kind::{SqeSize, Threads};
use crate::ring::Ring;
use crate::submission::SubmissionQueue;
use crate::sys;

mod sealed {
    #[expect(
        unnameable_types,
        reason = "so that nobody else implements what needs it"
    )]
    pub trait Sealed {}
}

/// A stretch of memory that has the layout of the C library's `iovec`.
pub trait IoVector: sealed::Sealed {
    /// Its address and its length in bytes.
    #[doc(hidden)]
    fn place(&self) -> (usize, usize);
}

macro_rules! io_vectors {
    ($($vector:ty: |$value:ident| $address:expr, $bytes:expr;)+) => {
        $(
            const _: () = assert!(size_of::<$vector>() == size_of::<libc::iovec>());
            impl sealed::Sealed for $vector {}
            impl IoVector for $vector {
                fn place(&self) -> (usize, usize) {
                    let $value = self;
                    ($address.addr(), $bytes)
                }
            }
        )+
    };
}

io_vectors! {
    IoSlice<'_>: |slice| slice.as_ptr(), slice.len();
    IoSliceMut<'_>: |slice| slice.as_ptr(), slice.len();
    libc::iovec: |vector| vector.iov_base, vector.iov_len;
}

/// What a refused registration of buffers can be for.
const NEEDS: &str = "1 to 16384 buffers, of lengths that there can be";

/// Registering pins memory, which counts against `RLIMIT_MEMLOCK` for ordinary users.
pub(super) fn explain_memlock<V: IoVector>(error: RegisterError, buffers: &[V]) -> RegisterError {
    if error.errno != libc::ENOMEM {
        return error;
    }
    // SAFETY: the call has no conditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let pinned = |buffer: &V| {
        let (start, bytes) = buffer.place();
        let pages = (start % page).saturating_add(bytes).div_ceil(page);
        u64::try_from(pages.saturating_mul(page)).unwrap_or(u64::MAX)
    };
    let needed = buffers.iter().map(pinned).fold(0, u64::saturating_add);
    let cause = RegisterCause::Memlock {
        needed,
        limit: limit(Resource::LockedMemory),
    };
    RegisterError { cause, ..error }
}

/// A number of elements as the kernel takes it. What does not fit is too many anyway.
pub(super) fn count<E>(elements: &[E]) -> u32 {
    u32::try_from(elements.len()).unwrap_or(u32::MAX)
}

/// Takes all registered buffers back, if there are any.
pub(crate) fn unregister_buffers(ring: &Ring) {
    // SAFETY: the ring is set up.
    unsafe { sys::io_uring_unregister_buffers(ring.as_mut_ptr()) };
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers buffers, which [`ReadFixed`](crate::operation::ReadFixed) and
    /// [`WriteFixed`](crate::operation::WriteFixed) then name by their index.
    ///
    /// The kernel pins their memory, once, instead of for each operation. At most 16384 buffers,
    /// each of at most 1 GiB.
    ///
    /// Since Linux 5.1. C: `io_uring_register_buffers(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] until they are unregistered.
    /// * [`RegisterCause::Memlock`] if an ordinary user may not lock that much.
    /// * [`RegisterCause::BadMemory`] if a buffer is not mapped, or larger than 1 GiB.
    ///
    /// # Safety
    ///
    /// The memory stays allocated, and is used for nothing else, until the buffers are
    /// unregistered or replaced and all operations that name them have ended. Until then an
    /// operation that names one reads or writes memory that no borrow shows.
    pub unsafe fn register_buffers<V: IoVector>(
        &mut self,
        buffers: &[V],
    ) -> Result<(), RegisterError> {
        // SAFETY: the elements have the layout of `iovec`, and the kernel copies the array. The
        // memory is the caller's promise.
        let result = unsafe {
            sys::io_uring_register_buffers(
                self.ring().as_mut_ptr(),
                buffers.as_ptr().cast(),
                count(buffers),
            )
        };
        check(result, "register buffers", NEEDS)
            .map(drop)
            .map_err(|error| explain_memlock(error, buffers))
    }

    /// Registers a table with room for `n` buffers, all of them missing.
    ///
    /// [`register_buffers_update`](Self::register_buffers_update) fills it.
    ///
    /// Since Linux 5.19. C: `io_uring_register_buffers_sparse(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::AlreadyRegistered`] until they are unregistered.
    pub fn register_buffers_sparse(&mut self, n: u32) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_register_buffers_sparse(self.ring().as_mut_ptr(), n) };
        check(
            result,
            "register a table of buffers",
            "Linux 5.19, and 1 to 16384 buffers",
        )
        .map(drop)
    }

    /// Replaces registered buffers from the index `offset` on, and returns how many.
    ///
    /// An `iovec` with a null pointer and length 0 leaves the place empty. Operations that are
    /// under way keep the buffer that they started with.
    ///
    /// Since Linux 5.13. C: `io_uring_register_buffers_update_tag(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::NotRegistered`] without a table.
    /// * [`RegisterCause::Memlock`] and [`RegisterCause::BadMemory`] as for
    ///   [`register_buffers`](Self::register_buffers).
    ///
    /// # Safety
    ///
    /// That of [`register_buffers`](Self::register_buffers).
    pub unsafe fn register_buffers_update<V: IoVector>(
        &mut self,
        offset: u32,
        buffers: &[V],
    ) -> Result<u32, RegisterError> {
        // SAFETY: as for `register_buffers`; there are no tags.
        let result = unsafe {
            sys::io_uring_register_buffers_update_tag(
                self.ring().as_mut_ptr(),
                offset,
                buffers.as_ptr().cast(),
                ptr::null(),
                count(buffers),
            )
        };
        check(
            result,
            "update registered buffers",
            "Linux 5.13, and places within the table",
        )
        .map_err(|error| explain_memlock(error, buffers))
    }

    /// Takes all registered buffers back.
    ///
    /// Operations that name one and are under way go on using it. Before Linux 6.13 or so the call
    /// waits for them instead.
    ///
    /// Since Linux 5.1. C: `io_uring_unregister_buffers(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::NotRegistered`] if there are none.
    pub fn unregister_buffers(&mut self) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_unregister_buffers(self.ring().as_mut_ptr()) };
        check(result, "unregister buffers", "Linux 5.1").map(drop)
    }
}
