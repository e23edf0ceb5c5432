//! Descriptors that rings signal when something completes.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

#[track_caller]
pub(crate) fn eventfd() -> OwnedFd {
    // SAFETY: the call has no conditions.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
