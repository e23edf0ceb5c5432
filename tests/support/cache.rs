//! What of a file is in memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

/// Whether the page at a place of a file is in memory.
#[track_caller]
pub(crate) fn is_cached(file: &File, place: u64) -> bool {
    let place = place.try_into().expect("a place in a file");
    // SAFETY: the kernel chooses where the mapping goes, and nothing looks into it.
    let mapping = unsafe {
        libc::mmap(
            ptr::null_mut(),
            1,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            place,
        )
    };
    assert_ne!(mapping, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    let mut resident = 0;
    // SAFETY: the page is mapped, and its answer is one byte.
    let result = unsafe { libc::mincore(mapping, 1, &raw mut resident) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: the mapping is this function's, and nothing points into it.
    unsafe { libc::munmap(mapping, 1) };
    resident & 1 == 1
}
