//! Descriptors that are not open.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// A descriptor that was open and is not any more, too high for another test to open it again.
#[track_caller]
pub(crate) fn closed_fd() -> RawFd {
    // Opened once: what one test opens and closes again, another may just be trying.
    static HIGH: OnceLock<RawFd> = OnceLock::new();
    *HIGH.get_or_init(|| {
        let null = File::open("/dev/null").expect("the file is there");
        // SAFETY: the call has no conditions.
        let high = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
        assert!(high >= 900, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new, and nothing else has it.
        drop(unsafe { OwnedFd::from_raw_fd(high) });
        high
    })
}
