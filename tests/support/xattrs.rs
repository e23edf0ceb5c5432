//! Setting and reading extended attributes on a ring, and reading them without.

#![allow(dead_code, reason = "no test needs all of it")]

use std::ffi::CStr;
use std::io;
use std::os::fd::RawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{Fgetxattr, Fsetxattr, Getxattr, Setxattr};
use lio_uring::{CompletionQueue, SubmissionQueue};

use crate::rings::run;

/// What memory holds where nothing has been read into.
pub(crate) const UNTOUCHED: u8 = 0xaa;

fn length(bytes: &[u8]) -> u32 {
    bytes.len().try_into().expect("few bytes")
}

/// Sets an attribute of the file with a path.
#[track_caller]
pub(crate) fn setxattr<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    path: &CStr,
    name: &CStr,
    value: &[u8],
    flags: i32,
) -> i32 {
    let setxattr = Setxattr {
        name: name.as_ptr(),
        value: value.as_ptr().cast(),
        path: path.as_ptr(),
        flags,
        len: length(value),
    };
    // SAFETY: path, name and value are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &setxattr, |_| ()) }.raw_result()
}

/// Reads an attribute of the file with a path into `value`.
#[track_caller]
pub(crate) fn getxattr<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    path: &CStr,
    name: &CStr,
    value: &mut [u8],
) -> i32 {
    let getxattr = Getxattr {
        name: name.as_ptr(),
        value: value.as_mut_ptr().cast(),
        path: path.as_ptr(),
        len: length(value),
    };
    // SAFETY: path, name and value are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &getxattr, |_| ()) }.raw_result()
}

/// Sets an attribute of an open file.
#[track_caller]
pub(crate) fn fsetxattr<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    name: &CStr,
    value: &[u8],
    flags: i32,
) -> i32 {
    let fsetxattr = Fsetxattr {
        fd,
        name: name.as_ptr(),
        value: value.as_ptr().cast(),
        flags,
        len: length(value),
    };
    // SAFETY: name and value are borrowed until the completion has been taken, and the files are
    // this test's.
    unsafe { run(cq, sq, &fsetxattr, |_| ()) }.raw_result()
}

/// Reads an attribute of an open file into `value`.
#[track_caller]
pub(crate) fn fgetxattr<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    name: &CStr,
    value: &mut [u8],
) -> i32 {
    let fgetxattr = Fgetxattr {
        fd,
        name: name.as_ptr(),
        value: value.as_mut_ptr().cast(),
        len: length(value),
    };
    // SAFETY: name and value are borrowed until the completion has been taken, and the files are
    // this test's.
    unsafe { run(cq, sq, &fgetxattr, |_| ()) }.raw_result()
}

/// What an attribute holds by the system call.
#[track_caller]
pub(crate) fn attribute(path: &CStr, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![UNTOUCHED; 65536];
    // SAFETY: path and name are C strings, and the value is as long as it says.
    let n = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    let Ok(n) = usize::try_from(n) else {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENODATA), "{error}");
        return None;
    };
    value.truncate(n);
    Some(value)
}
