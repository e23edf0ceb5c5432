//! Messages to a ring, from a thread that has none.

use super::check;
use crate::Sqe;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
#[cfg(doc)]
use crate::operation::MsgRing;
use crate::operation::Operation;
use crate::sys;

/// Posts a completion to a ring in a call of its own, without a ring to send from.
///
/// The message is a [`MsgRing`]. When it returns, the completion is in the target's queue, or on
/// its way there if the target belongs to another thread.
///
/// ```
/// use std::os::fd::AsRawFd;
/// use lio_uring::operation::{MsgRing, MsgRingFlags};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut cq, _sq) = lio_uring::with_capacity(8)?;
/// let message = MsgRing { fd: cq.as_raw_fd(), len: 5, data: 7, flags: MsgRingFlags::empty() };
/// // SAFETY: whoever takes completions from the ring, here, knows this one.
/// # let sent =
/// unsafe { lio_uring::register_sync_msg(&message) }
/// # ; if sent.is_err() { return Ok(()); } sent
/// ?;
/// let completion = cq.next()?;
/// assert_eq!((completion.user_data(), completion.result()?), (7, 5));
/// # Ok(())
/// # }
/// ```
///
/// Since Linux 6.13. C: `io_uring_register_sync_msg(3)`.
///
/// # Errors
///
/// * `EBADFD` if the target is not a ring, or one that is not enabled yet; `EBADF` if it is not
///   open.
/// * [`RegisterCause::Refused`] for any operation but [`MsgRing`], and for one that passes a
///   descriptor: there is no ring to pass it from.
/// * `EOVERFLOW` or `ENOMEM` if the target has no room for the completion.
///
/// # Safety
///
/// That of [`MsgRing`].
pub unsafe fn register_sync_msg<O: Operation>(message: &O) -> Result<(), RegisterError> {
    let mut sqe = Sqe::of(message);
    // SAFETY: the pointer is to an entry, which the kernel copies. It takes messages alone, and
    // what the message does at the target is the caller's promise.
    let result = unsafe { sys::io_uring_register_sync_msg((&raw mut sqe).cast()) };
    check(
        result,
        "send a message",
        "Linux 6.13, and a message of data",
    )
    .map(drop)
}
