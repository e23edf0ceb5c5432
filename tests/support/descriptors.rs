//! The descriptors of the whole process, for tests that run in a child process.

use std::fs;
use std::io;

/// How many descriptors the process has open.
#[track_caller]
pub(crate) fn open_descriptors() -> usize {
    let listed = fs::read_dir("/proc/self/fd").expect("the folder is there");
    // One is the listing's own.
    listed.count() - 1
}

/// Takes the room for further descriptors from the process, for good.
#[track_caller]
pub(crate) fn allow_no_more() {
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value of the right type.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
