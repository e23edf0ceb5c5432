//! Extended attributes that are not there, not possible or not allowed.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use lio_uring::operation::{Fgetxattr, Fsetxattr, Getxattr, Nop, OpCode, Setxattr};
use lio_uring::{Sqe, SqeFlags};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/xattrs.rs"]
mod xattrs;

use closed_fd::closed_fd;
use folder::Folder;
use rings::{results, run};
use xattrs::{UNTOUCHED, attribute, fgetxattr, fsetxattr, getxattr, setxattr};

#[test]
fn xattr_that_is_not_there_or_not_possible_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    let long = [&b"user."[..], &[b'x'; 251], b"\0"].concat();
    let long = CStr::from_bytes_with_nul(&long).unwrap();
    assert_eq!(long.count_bytes(), 256);
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (one, three) = (folder.c_path("one"), folder.c_path("three"));
        let file = File::open(folder.path.path().join("one")).unwrap();
        let fd = file.as_raw_fd();
        let mut value = [UNTOUCHED; 8];
        for (path, name, reading, setting) in [
            (&one, c"user.text", libc::ENODATA, 0),
            (&three, c"user.text", libc::ENOENT, libc::ENOENT),
            (&one, c"", libc::ERANGE, libc::ERANGE),
            (&one, long, libc::ERANGE, libc::ERANGE),
            (&one, c"nonsense.text", libc::EOPNOTSUPP, libc::EOPNOTSUPP),
            (&one, c"user.", libc::EINVAL, libc::EINVAL),
        ] {
            let done = getxattr(cq, sq, path, name, &mut value);
            assert_eq!(done, -reading, "reading {name:?} of {path:?}");
            let done = setxattr(cq, sq, path, name, b"value", 0);
            assert_eq!(done, -setting, "setting {name:?} of {path:?}");
            if path == &one && setting != 0 {
                let done = fgetxattr(cq, sq, fd, name, &mut value);
                assert_eq!(done, -reading, "reading {name:?}");
                let done = fsetxattr(cq, sq, fd, name, b"value", 0);
                assert_eq!(done, -setting, "setting {name:?}");
            }
        }
        assert_eq!(value, [UNTOUCHED; 8]);
    });
}

#[test]
fn setxattr_of_more_than_an_attribute_may_hold_gives_e2big() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::FSETXATTR]) {
        return;
    }
    let value = vec![1; 65537];
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let one = folder.c_path("one");
        let done = setxattr(cq, sq, &one, c"user.text", &value, 0);
        assert_eq!(done, -libc::E2BIG);
        let done = fsetxattr(cq, sq, folder.fd(), c"user.text", &value, 0);
        assert_eq!(done, -libc::E2BIG);
        assert_eq!(attribute(&one, c"user.text"), None);
    });
}

#[test]
fn xattr_on_a_file_system_without_them_gives_eopnotsupp() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    let comm = File::options()
        .write(true)
        .open("/proc/thread-self/comm")
        .unwrap();
    let (path, fd) = (c"/proc/self/comm", comm.as_raw_fd());
    each_ring!(|cq, sq| {
        let mut value = [UNTOUCHED; 8];
        let results = [
            setxattr(cq, sq, path, c"user.text", b"value", 0),
            fsetxattr(cq, sq, fd, c"user.text", b"value", 0),
            getxattr(cq, sq, path, c"user.text", &mut value),
            fgetxattr(cq, sq, fd, c"user.text", &mut value),
        ];
        assert_eq!(results, [-libc::EOPNOTSUPP; 4]);
        assert_eq!(value, [UNTOUCHED; 8]);
    });
}

#[test]
fn xattr_by_path_of_a_registered_file_gives_ebadf() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    let fixed = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::FIXED_FILE);
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.c_path("one");
        let mut value = [UNTOUCHED; 5];
        let set = Setxattr {
            name: c"user.text".as_ptr(),
            value: b"value".as_ptr().cast(),
            path: path.as_ptr(),
            flags: 0,
            len: 5,
        };
        let get = Getxattr {
            name: c"user.text".as_ptr(),
            value: value.as_mut_ptr().cast(),
            path: path.as_ptr(),
            len: 5,
        };
        sq.register_files(&[folder.fd()]).unwrap();
        // SAFETY: path, name and value are valid until the completion has been taken.
        let done = unsafe { run(cq, sq, &set, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &get, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
        assert_eq!(value, [UNTOUCHED; 5]);
        assert_eq!(attribute(&path, c"user.text"), None);
    });
}

#[test]
fn xattr_of_what_is_not_open_gives_ebadf() {
    if !needs::operations(&[OpCode::FSETXATTR, OpCode::FGETXATTR]) {
        return;
    }
    let closed = closed_fd();
    each_ring!(|cq, sq| {
        let mut value = [UNTOUCHED; 8];
        for fd in [-1, closed] {
            let done = fsetxattr(cq, sq, fd, c"user.text", b"value", 0);
            assert_eq!(done, -libc::EBADF);
            let done = fgetxattr(cq, sq, fd, c"user.text", &mut value);
            assert_eq!(done, -libc::EBADF);
        }
        assert_eq!(value, [UNTOUCHED; 8]);
    });
}

#[test]
fn xattr_errors_of_the_calls_do_not_end_a_chain() {
    // They did before Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.c_path("one");
        let (name, replace) = (c"user.text".as_ptr(), libc::XATTR_REPLACE);
        let (value, nowhere) = (b"value".as_ptr().cast(), ptr::null_mut());
        let path = path.as_ptr();
        let fd = folder.fd();
        let set = Setxattr {
            name,
            value,
            path,
            flags: replace,
            len: 5,
        };
        let get = Getxattr {
            name,
            value: nowhere,
            path,
            len: 0,
        };
        let fset = Fsetxattr {
            fd,
            name,
            value,
            flags: replace,
            len: 5,
        };
        let fget = Fgetxattr {
            fd,
            name,
            value: nowhere,
            len: 0,
        };
        // SAFETY: what the operations point to is valid until all have completed.
        unsafe { sq.push_with_flags(&set, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&get, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&fset, 3, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&fget, 4, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 5) }.unwrap();
        let missing = -libc::ENODATA;
        assert_eq!(
            results(cq, sq, 5),
            [
                (1, missing),
                (2, missing),
                (3, missing),
                (4, missing),
                (5, 0)
            ]
        );
    });
}
