//! Names in directories: linking, symbolically and not.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{Linkat, Nop, OpCode, Openat, Symlinkat};
use lio_uring::{CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

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

use folder::Folder;
use late::run_late;
use rings::{results, run};

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

/// Makes a symbolic link.
#[track_caller]
fn symlinkat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    target: &CStr,
    newdirfd: RawFd,
    linkpath: &CStr,
) -> i32 {
    let symlinkat = Symlinkat {
        target: target.as_ptr(),
        newdirfd,
        linkpath: linkpath.as_ptr(),
    };
    // SAFETY: the paths are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &symlinkat, |_| ()) }.raw_result()
}

/// Links `oldpath` in one directory to `newpath` in another.
#[track_caller]
fn linkat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (olddfd, oldpath): (RawFd, &CStr),
    (newdfd, newpath): (RawFd, &CStr),
    flags: i32,
) -> i32 {
    let linkat = Linkat {
        olddfd,
        oldpath: oldpath.as_ptr(),
        newdfd,
        newpath: newpath.as_ptr(),
        flags,
    };
    // SAFETY: the paths are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &linkat, |_| ()) }.raw_result()
}

/// What a symbolic link in a folder says.
#[track_caller]
fn target(folder: &Folder, name: &str) -> String {
    let target = fs::read_link(folder.path.path().join(name)).expect("a symbolic link");
    target.into_os_string().into_string().expect("text")
}

/// The number of the file that a name in a folder stands for, links not followed, and how many
/// names it has.
#[track_caller]
fn inode(folder: &Folder, name: &str) -> (u64, u64) {
    let path = folder.path.path().join(name);
    let metadata = fs::symlink_metadata(path).expect("a file of this name");
    (metadata.ino(), metadata.nlink())
}

#[test]
fn symlinkat_makes_a_link_that_says_its_target() {
    if !needs::operations(&[OpCode::SYMLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        assert_eq!(symlinkat(cq, sq, c"one", folder.fd(), c"link"), 0);
        assert_eq!(target(&folder, "link"), "one");
        assert_eq!(folder.text("link"), "one");
        let absolute = folder.c_path("empty/absolute");
        assert_eq!(symlinkat(cq, sq, c"../two", -1, &absolute), 0);
        assert_eq!(folder.text("empty/absolute"), "two");
        let nowhere = c"/no/such/file";
        assert_eq!(symlinkat(cq, sq, nowhere, folder.fd(), c"dead"), 0);
        assert_eq!(target(&folder, "dead"), "/no/such/file");
    });
}

#[test]
fn symlinkat_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::SYMLINKAT]) {
        return;
    }
    let long = format!("{}\0", "x".repeat(256));
    let long = CStr::from_bytes_with_nul(long.as_bytes()).unwrap();
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        symlink("one", folder.path.path().join("link")).unwrap();
        let fd = folder.fd();
        for (text, dfd, path, errno) in [
            (c"two", fd, c"one", libc::EEXIST),
            (c"two", fd, c"link", libc::EEXIST),
            (c"two", fd, c"no/link", libc::ENOENT),
            (c"", fd, c"new", libc::ENOENT),
            (c"two", fd, c"one/link", libc::ENOTDIR),
            (c"two", fd, long, libc::ENAMETOOLONG),
            (c"two", -1, c"new", libc::EBADF),
        ] {
            let done = symlinkat(cq, sq, text, dfd, path);
            assert_eq!(done, -errno, "{path:?} to {text:?}");
        }
        assert_eq!(target(&folder, "link"), "one");
        sq.register_files(&[fd]).unwrap();
        let by_index = Symlinkat {
            target: c"one".as_ptr(),
            newdirfd: 0,
            linkpath: c"new".as_ptr(),
        };
        // SAFETY: the paths are valid for ever.
        let done = unsafe { run(cq, sq, &by_index, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
        let nowhere = Symlinkat {
            target: ptr::without_provenance(1),
            ..by_index
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert!(!folder.has("new"));
    });
}

#[test]
fn symlinkat_keeps_no_path_once_it_is_submitted() {
    if !needs::operations(&[OpCode::SYMLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (mut text, mut link) = (*b"one\0", *b"new\0");
        let symlinkat = Symlinkat {
            target: text.as_ptr().cast(),
            newdirfd: folder.fd(),
            linkpath: link.as_ptr().cast(),
        };
        let spoil = || (text, link) = (*b"two\0", *b"bad\0");
        // SAFETY: the paths stay until the entry has been submitted, the directory until the
        // completion has been taken.
        let done = unsafe { run_late(cq, sq, &symlinkat, spoil) };
        assert_eq!((done, &text, &link), (0, b"two\0", b"bad\0"));
        assert_eq!(target(&folder, "new"), "one");
        assert!(!folder.has("bad"));
    });
}

#[test]
fn linkat_gives_the_file_another_name() {
    if !needs::operations(&[OpCode::LINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        let inner = File::open(folder.path.path().join("empty")).unwrap();
        let to = (inner.as_raw_fd(), c"inner");
        assert_eq!(linkat(cq, sq, (fd, c"one"), (fd, c"new"), 0), 0);
        assert_eq!(linkat(cq, sq, (fd, c"one"), to, 0), 0);
        let absolute = (folder.c_path("empty/inner"), folder.c_path("last"));
        let (from, to) = ((-1, &*absolute.0), (-1, &*absolute.1));
        assert_eq!(linkat(cq, sq, from, to, 0), 0);
        let one = inode(&folder, "one");
        assert_eq!(one.1, 4);
        for name in ["new", "empty/inner", "last"] {
            assert_eq!(inode(&folder, name), one);
            assert_eq!(folder.text(name), "one");
        }
    });
}

#[test]
fn linkat_follows_a_symbolic_link_only_if_asked_to() {
    if !needs::operations(&[OpCode::LINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        symlink("one", folder.path.path().join("link")).unwrap();
        let link = (folder.fd(), c"link");
        assert_eq!(linkat(cq, sq, link, (folder.fd(), c"itself"), 0), 0);
        assert_eq!(inode(&folder, "itself"), inode(&folder, "link"));
        assert_eq!(target(&folder, "itself"), "one");
        let follow = libc::AT_SYMLINK_FOLLOW;
        let followed = (folder.fd(), c"followed");
        assert_eq!(linkat(cq, sq, link, followed, follow), 0);
        assert_eq!(inode(&folder, "followed"), inode(&folder, "one"));
    });
}

/// A file in a folder that has no name there.
#[track_caller]
fn nameless(folder: &Path) -> File {
    let mut file = File::options()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(folder)
        .expect("a file system with such files");
    file.write_all(b"nameless").expect("room on the disk");
    file
}

#[test]
fn linkat_gives_an_open_file_its_first_name() {
    if !needs::operations(&[OpCode::LINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let file = nameless(folder.path.path());
        let linkat = Linkat {
            olddfd: file.as_raw_fd(),
            oldpath: c"".as_ptr(),
            newdfd: folder.fd(),
            newpath: c"named".as_ptr(),
            flags: libc::AT_EMPTY_PATH,
        };
        // SAFETY: the paths are valid for ever, and the file is open.
        let done = unsafe { run(cq, sq, &linkat, |_| ()) };
        // Whoever has opened the file may do this since Linux 6.10, before that root alone.
        if kernel::since(6, 10, done.result()).is_none() {
            return;
        }
        assert_eq!(folder.text("named"), "nameless");
        assert_eq!(inode(&folder, "named").1, 1);
    });
}

#[test]
fn linkat_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::LINKAT]) {
        return;
    }
    let proc = File::open("/proc").unwrap();
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        let (one, new) = ((fd, c"one"), (fd, c"new"));
        for (from, to, flags, errno) in [
            (one, (fd, c"two"), 0, libc::EEXIST),
            (one, (fd, c"empty"), 0, libc::EEXIST),
            ((fd, c"three"), new, 0, libc::ENOENT),
            ((fd, c""), new, 0, libc::ENOENT),
            ((fd, c"empty"), new, 0, libc::EPERM),
            ((proc.as_raw_fd(), c"version"), new, 0, libc::EXDEV),
            (one, new, 1 << 30, libc::EINVAL),
            (one, new, libc::AT_SYMLINK_NOFOLLOW, libc::EINVAL),
            ((-1, c"one"), new, 0, libc::EBADF),
            (one, (-1, c"new"), 0, libc::EBADF),
        ] {
            let done = linkat(cq, sq, from, to, flags);
            assert_eq!(done, -errno, "{from:?} as {to:?}");
        }
        sq.register_files(&[fd]).unwrap();
        let by_index = Linkat {
            olddfd: 0,
            oldpath: c"one".as_ptr(),
            newdfd: 0,
            newpath: c"new".as_ptr(),
            flags: 0,
        };
        // SAFETY: the paths are valid for ever.
        let done = unsafe { run(cq, sq, &by_index, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
        let nowhere = Linkat {
            newpath: ptr::without_provenance(1),
            ..by_index
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert_eq!(inode(&folder, "one").1, 1);
        assert!(!folder.has("new"));
    });
}

#[test]
fn linkat_keeps_no_path_once_it_is_submitted() {
    if !needs::operations(&[OpCode::LINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (mut old, mut new) = (*b"one\0", *b"new\0");
        let linkat = Linkat {
            olddfd: folder.fd(),
            oldpath: old.as_ptr().cast(),
            newdfd: folder.fd(),
            newpath: new.as_ptr().cast(),
            flags: 0,
        };
        let spoil = || (old, new) = (*b"two\0", *b"bad\0");
        // SAFETY: the paths stay until the entry has been submitted, the directory until the
        // completion has been taken.
        let done = unsafe { run_late(cq, sq, &linkat, spoil) };
        assert_eq!((done, &old, &new), (0, b"two\0", b"bad\0"));
        assert_eq!(folder.text("new"), "one");
        assert!(!folder.has("bad"));
    });
}

/// The operations that make one name a link to another, symbolically and not.
fn both(fd: RawFd, old: &'static CStr, new: &'static CStr) -> (Symlinkat, Linkat) {
    let symlinkat = Symlinkat {
        target: old.as_ptr(),
        newdirfd: fd,
        linkpath: new.as_ptr(),
    };
    let linkat = Linkat {
        olddfd: fd,
        oldpath: old.as_ptr(),
        newdfd: fd,
        newpath: new.as_ptr(),
        flags: 0,
    };
    (symlinkat, linkat)
}

#[test]
fn links_behind_a_failure_are_cancelled_and_not_made() {
    if !needs::operations(&[OpCode::SYMLINKAT, OpCode::LINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        let fails = Openat {
            dfd: fd,
            path: c"three".as_ptr(),
            flags: 0,
            mode: 0,
        };
        let (symlinkat, linkat) = both(fd, c"one", c"new");
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above, for both paths.
        unsafe { sq.push_with_flags(&symlinkat, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push(&linkat, 3) }.unwrap();
        let cancelled = -libc::ECANCELED;
        assert_eq!(
            results(cq, sq, 3),
            [(1, -libc::ENOENT), (2, cancelled), (3, cancelled)]
        );
        assert!(!folder.has("new"));
    });
}

#[test]
fn errors_of_the_calls_do_not_end_a_chain() {
    // They did before Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (symlinkat, linkat) = both(folder.fd(), c"one", c"two");
        // SAFETY: the paths are valid for ever.
        unsafe { sq.push_with_flags(&symlinkat, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&linkat, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 3) }.unwrap();
        let exists = -libc::EEXIST;
        assert_eq!(results(cq, sq, 3), [(1, exists), (2, exists), (3, 0)]);
    });
}
