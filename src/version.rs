//! The version of liburing that is compiled in.

use crate::sys;

/// The version of liburing that is compiled in: major and minor.
///
/// C: `io_uring_major_version(3)`, `io_uring_minor_version(3)`. There is nothing for
/// `io_uring_check_version(3)`, which is true when the library is *older* than asked: compare.
pub fn liburing_version() -> (u32, u32) {
    // SAFETY: the call has no conditions.
    let major = unsafe { sys::io_uring_major_version() };
    // SAFETY: as above.
    let minor = unsafe { sys::io_uring_minor_version() };
    (major.cast_unsigned(), minor.cast_unsigned())
}
