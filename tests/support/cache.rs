//! What of a file is in memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// The number of cachestat(2), the same everywhere.
const CACHESTAT: libc::c_long = 451;

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

/// How many pages of a range of a file are not on the disk, those that are on the way there included.
/// `None` before Linux 6.5, which does not say.
#[track_caller]
#[allow(dead_code, reason = "an advice is about what is written")]
pub(crate) fn unwritten_pages(file: &File, place: u64, len: u64) -> Option<u64> {
    let range = [place, len];
    // Cached, dirty, being written, and two that tell of those that are gone.
    let mut pages = [0_u64; 5];
    // SAFETY: the call reads a range of two numbers and writes five.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            pages.as_mut_ptr(),
            0,
        )
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "{error}");
        return None;
    }
    Some(pages[1] + pages[2])
}

/// Checks which pages are in memory after something that has the kernel drop some of them. It is done
/// again until they are gone: the kernel keeps a page that somebody uses at the moment, be it the
/// kernel's own thread that has just written it out.
#[track_caller]
#[allow(dead_code, reason = "writing drops nothing")]
pub(crate) fn assert_cached_after<const N: usize>(
    file: &File,
    places: [u64; N],
    wanted: [bool; N],
    mut drop_some: impl FnMut(),
) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        drop_some();
        let left = places.map(|place| is_cached(file, place));
        if left == wanted || Instant::now() > end {
            assert_eq!(left, wanted, "in memory at {places:?}");
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
