//! Extended attributes: setting and reading them, by path and by descriptor.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::ptr;

use lio_uring::operation::{Fgetxattr, Fsetxattr, Getxattr, OpCode, Setxattr};
use lio_uring::{Sqe, SqeFlags};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/late.rs"]
mod late;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/xattrs.rs"]
mod xattrs;

use folder::{Folder, c_path};
use late::run_late;
use rings::run;
use xattrs::{UNTOUCHED, attribute, fgetxattr, fsetxattr, getxattr, setxattr};

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

/// Names, and the values that the tests give to attributes of these names.
fn attributes() -> [(&'static CStr, Vec<u8>); 5] {
    [
        (c"user.text", b"text/plain".to_vec()),
        (c"user.name with spaces = \xff", b"value".to_vec()),
        (c"user.binary", (0..=255).collect()),
        (c"user.empty", Vec::new()),
        (c"user.long", vec![7; 300]),
    ]
}

#[test]
fn setxattr_sets_what_getxattr_reads() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        for path in [folder.c_path("one"), folder.c_path("empty")] {
            for (name, value) in attributes() {
                assert_eq!(setxattr(cq, sq, &path, name, &value, 0), 0);
                assert_eq!(attribute(&path, name).as_ref(), Some(&value));
                let mut read = [UNTOUCHED; 400];
                let n = getxattr(cq, sq, &path, name, &mut read);
                let n = usize::try_from(n).unwrap();
                assert_eq!(read[..n], value);
                assert!(read[n..].iter().all(|byte| *byte == UNTOUCHED));
            }
        }
        assert_eq!(folder.text("one"), "one");
        let other = folder.c_path("two");
        assert_eq!(attribute(&other, c"user.text"), None);
    });
}

#[test]
fn fsetxattr_sets_what_fgetxattr_reads() {
    if !needs::operations(&[OpCode::FSETXATTR, OpCode::FGETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.path.path().join("one");
        let file = File::options().write(true).open(&path).unwrap();
        for (fd, path) in [
            (file.as_raw_fd(), path),
            (folder.fd(), folder.path.path().into()),
        ] {
            for (name, value) in attributes() {
                assert_eq!(fsetxattr(cq, sq, fd, name, &value, 0), 0);
                assert_eq!(attribute(&c_path(&path), name).as_ref(), Some(&value));
                let mut read = [UNTOUCHED; 400];
                let n = fgetxattr(cq, sq, fd, name, &mut read);
                let n = usize::try_from(n).unwrap();
                assert_eq!(read[..n], value);
                assert!(read[n..].iter().all(|byte| *byte == UNTOUCHED));
            }
        }
    });
}

#[test]
fn setxattr_replaces_unless_told_otherwise() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::FSETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.c_path("one");
        let file = File::open(folder.path.path().join("one")).unwrap();
        let (create, replace) = (libc::XATTR_CREATE, libc::XATTR_REPLACE);
        for (flags, value, result, left) in [
            (replace, "first", -libc::ENODATA, None),
            (create, "second", 0, Some("second")),
            (create, "third", -libc::EEXIST, Some("second")),
            (replace, "4th", 0, Some("4th")),
            (0, "fifth", 0, Some("fifth")),
            (1 << 30, "sixth", -libc::EINVAL, Some("fifth")),
        ] {
            let done = setxattr(cq, sq, &path, c"user.path", value.as_bytes(), flags);
            assert_eq!(done, result, "{value} by path");
            let fd = file.as_raw_fd();
            let done = fsetxattr(cq, sq, fd, c"user.file", value.as_bytes(), flags);
            assert_eq!(done, result, "{value} by descriptor");
            for name in [c"user.path", c"user.file"] {
                let left = left.map(|value| value.as_bytes().to_vec());
                assert_eq!(attribute(&path, name), left, "{name:?}");
            }
        }
    });
}

#[test]
fn getxattr_without_room_tells_the_size() {
    if !needs::operations(&[OpCode::GETXATTR, OpCode::FGETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.c_path("one");
        let file = File::open(folder.path.path().join("one")).unwrap();
        let fd = file.as_raw_fd();
        assert_eq!(setxattr(cq, sq, &path, c"user.text", b"12345", 0), 0);
        let mut value = [UNTOUCHED; 5];
        for (room, result) in [(0, 5), (1, -libc::ERANGE), (4, -libc::ERANGE)] {
            let done = getxattr(cq, sq, &path, c"user.text", &mut value[..room]);
            assert_eq!(done, result, "room for {room}");
            let done = fgetxattr(cq, sq, fd, c"user.text", &mut value[..room]);
            assert_eq!(done, result, "room for {room}");
            assert_eq!(value, [UNTOUCHED; 5]);
        }
        assert_eq!(getxattr(cq, sq, &path, c"user.text", &mut value), 5);
        assert_eq!(&value, b"12345");
        // Where the value would go does not matter then.
        let size = Getxattr {
            name: c"user.text".as_ptr(),
            value: ptr::null_mut(),
            path: path.as_ptr(),
            len: 0,
        };
        // SAFETY: the path is valid until the completion has been taken, and there is no value.
        let done = unsafe { run(cq, sq, &size, |_| ()) };
        assert_eq!(done.raw_result(), 5);
    });
}

#[test]
fn xattr_by_path_follows_symbolic_links() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        symlink("one", folder.path.path().join("link")).unwrap();
        let (one, link) = (folder.c_path("one"), folder.c_path("link"));
        assert_eq!(setxattr(cq, sq, &link, c"user.text", b"value", 0), 0);
        assert_eq!(attribute(&one, c"user.text").unwrap(), b"value");
        assert_eq!(attribute(&link, c"user.text"), None);
        let mut value = [0; 5];
        assert_eq!(getxattr(cq, sq, &link, c"user.text", &mut value), 5);
        assert_eq!(&value, b"value");
    });
}

#[test]
fn fsetxattr_and_fgetxattr_take_a_registered_file() {
    if !needs::operations(&[OpCode::FSETXATTR, OpCode::FGETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let mut value = [UNTOUCHED; 5];
        let fset = Fsetxattr {
            fd: 1,
            name: c"user.text".as_ptr(),
            value: b"value".as_ptr().cast(),
            flags: 0,
            len: 5,
        };
        let fget = Fgetxattr {
            fd: 1,
            name: c"user.text".as_ptr(),
            value: value.as_mut_ptr().cast(),
            len: 5,
        };
        let one = File::open(folder.path.path().join("one")).unwrap();
        sq.register_files(&[-1, one.as_raw_fd()]).unwrap();
        // SAFETY: name and value are valid until the completion has been taken, and the slot holds
        // a file of this test.
        let set = unsafe { run(cq, sq, &fset, fixed) }.raw_result();
        // SAFETY: as above.
        let got = unsafe { run(cq, sq, &fget, fixed) }.raw_result();
        let held = attribute(&folder.c_path("one"), c"user.text");
        if kernel::older_than(6, 13) {
            assert_eq!((set, got), (-libc::EBADF, -libc::EBADF));
            assert_eq!((held, value), (None, [UNTOUCHED; 5]));
        } else {
            assert_eq!((set, got), (0, 5));
            assert_eq!((held, &value), (Some(b"value".to_vec()), b"value"));
        }
    });
}

#[test]
fn xattr_keeps_no_arguments_once_it_is_submitted() {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let path = folder.c_path("one");
        let one = path.clone().into_bytes_with_nul();
        let two = folder.c_path("two").into_bytes_with_nul();
        let (mut file, mut name, mut value) = (one.clone(), *b"user.a\0", *b"first");
        let setxattr = Setxattr {
            name: name.as_ptr().cast(),
            value: value.as_ptr().cast(),
            path: file.as_ptr().cast(),
            flags: 0,
            len: 5,
        };
        let spoil = || {
            file.copy_from_slice(&two);
            (name, value) = (*b"user.b\0", *b"other");
        };
        // SAFETY: the arguments stay until the entry has been submitted.
        assert_eq!(unsafe { run_late(cq, sq, &setxattr, spoil) }, 0);
        assert_eq!((&name, &value), (b"user.b\0", b"other"));
        assert_eq!(attribute(&path, c"user.a").unwrap(), b"first");
        assert_eq!(attribute(&path, c"user.b"), None);

        let (mut file, mut name, mut read) = (one, *b"user.a\0", [0; 5]);
        let getxattr = Getxattr {
            name: name.as_ptr().cast(),
            value: read.as_mut_ptr().cast(),
            path: file.as_ptr().cast(),
            len: 5,
        };
        let spoil = || {
            file.copy_from_slice(&two);
            name = *b"user.b\0";
        };
        // SAFETY: name and path stay until the entry has been submitted, and the value is left
        // alone until the completion has been taken.
        assert_eq!(unsafe { run_late(cq, sq, &getxattr, spoil) }, 5);
        assert_eq!((&name, &read), (b"user.b\0", b"first"));
    });
}
