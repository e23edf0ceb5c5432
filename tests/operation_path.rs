//! Names in directories: removing, making, renaming.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{Mkdirat, Nop, OpCode, Openat, Renameat, Unlinkat};
use lio_uring::{Completion, CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/late.rs"]
mod late;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use folder::{Folder, c_path};
use late::run_late;
use rings::{run, wait};

fn fixed(sqe: &mut Sqe) {
    sqe.insert_flags(SqeFlags::FIXED_FILE);
}

/// Removes a name.
#[track_caller]
fn unlinkat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    flags: i32,
) -> i32 {
    let unlinkat = Unlinkat {
        dfd,
        path: path.as_ptr(),
        flags,
    };
    // SAFETY: the path is borrowed until the completion has been taken.
    unsafe { run(cq, sq, &unlinkat, |_| ()) }.raw_result()
}

#[test]
fn unlinkat_removes_a_name_and_nothing_else() {
    if !needs::operations(&[OpCode::UNLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let open = File::open(folder.path.path().join("one")).unwrap();
        assert_eq!(unlinkat(cq, sq, folder.fd(), c"one", 0), 0);
        assert!(!folder.has("one"));
        assert!(folder.has("two") && folder.has("empty"));
        assert_eq!(
            io::read_to_string(open).unwrap(),
            "one",
            "the file lives on"
        );
        let two = folder.c_path("two");
        assert_eq!(unlinkat(cq, sq, libc::AT_FDCWD, &two, 0), 0);
        assert!(!folder.has("two"));
    });
}

#[test]
fn unlinkat_removes_an_empty_directory_if_asked_to() {
    if !needs::operations(&[OpCode::UNLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let remove = libc::AT_REMOVEDIR;
        assert_eq!(unlinkat(cq, sq, folder.fd(), c"empty", 0), -libc::EISDIR);
        assert_eq!(unlinkat(cq, sq, folder.fd(), c"empty", remove), 0);
        assert!(!folder.has("empty"));
        let done = unlinkat(cq, sq, folder.fd(), c"one", remove);
        assert_eq!(done, -libc::ENOTDIR);
        let done = unlinkat(cq, sq, libc::AT_FDCWD, &folder.c_path(""), remove);
        assert_eq!(done, -libc::ENOTEMPTY);
        assert!(folder.has("one"));
    });
}

#[test]
fn unlinkat_that_cannot_be_leaves_the_name() {
    if !needs::operations(&[OpCode::UNLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        assert_eq!(unlinkat(cq, sq, folder.fd(), c"three", 0), -libc::ENOENT);
        for unknown in [1, libc::AT_SYMLINK_FOLLOW, libc::AT_REMOVEDIR | 1] {
            let done = unlinkat(cq, sq, folder.fd(), c"one", unknown);
            assert_eq!(done, -libc::EINVAL, "flags {unknown:#x}");
        }
        assert_eq!(unlinkat(cq, sq, -1, c"one", 0), -libc::EBADF);
        sq.register_files(&[folder.fd()]).unwrap();
        let by_index = Unlinkat {
            dfd: 0,
            path: c"one".as_ptr(),
            flags: 0,
        };
        // SAFETY: the path is valid for ever.
        let done = unsafe { run(cq, sq, &by_index, fixed) }.raw_result();
        assert_eq!(done, -libc::EBADF);
        let nowhere = Unlinkat {
            path: ptr::without_provenance(1),
            ..by_index
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) }.raw_result();
        assert_eq!(done, -libc::EFAULT);
        assert!(folder.has("one"));
    });
}

#[test]
fn unlinkat_keeps_no_path_once_it_is_submitted() {
    if !needs::operations(&[OpCode::UNLINKAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let mut path = *b"one\0";
        let unlinkat = Unlinkat {
            dfd: folder.fd(),
            path: path.as_ptr().cast(),
            flags: 0,
        };
        // SAFETY: the path stays until the entry has been submitted, the directory until the
        // completion has been taken.
        let done = unsafe { run_late(cq, sq, &unlinkat, || path = *b"two\0") };
        assert_eq!((done, &path), (0, b"two\0"));
        assert!(!folder.has("one") && folder.has("two"));
    });
}

/// Makes a directory.
#[track_caller]
fn mkdirat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    mode: libc::mode_t,
) -> i32 {
    let mkdirat = Mkdirat {
        dfd,
        path: path.as_ptr(),
        mode,
    };
    // SAFETY: the path is borrowed until the completion has been taken.
    unsafe { run(cq, sq, &mkdirat, |_| ()) }.raw_result()
}

#[test]
fn mkdirat_makes_a_directory_with_the_mode() {
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        assert_eq!(mkdirat(cq, sq, folder.fd(), c"new", 0o700), 0);
        let new = folder.path.path().join("new");
        let metadata = fs::metadata(&new).unwrap();
        assert!(metadata.is_dir());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        let deeper = c_path(&new.join("deeper"));
        assert_eq!(mkdirat(cq, sq, libc::AT_FDCWD, &deeper, 0o500), 0);
        let metadata = fs::metadata(new.join("deeper")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o500);
    });
}

#[test]
fn mkdirat_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        assert_eq!(mkdirat(cq, sq, fd, c"empty", 0o700), -libc::EEXIST);
        assert_eq!(mkdirat(cq, sq, fd, c"no/new", 0o700), -libc::ENOENT);
        assert_eq!(mkdirat(cq, sq, fd, c"one/new", 0o700), -libc::ENOTDIR);
        assert_eq!(mkdirat(cq, sq, -1, c"new", 0o700), -libc::EBADF);
        sq.register_files(&[fd]).unwrap();
        let by_index = Mkdirat {
            dfd: 0,
            path: c"new".as_ptr(),
            mode: 0o700,
        };
        // SAFETY: the path is valid for ever.
        let done = unsafe { run(cq, sq, &by_index, fixed) }.raw_result();
        assert_eq!(done, -libc::EBADF);
        assert!(!folder.has("new"));
    });
}

#[test]
fn mkdirat_keeps_no_path_once_it_is_submitted() {
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let mut path = *b"new\0";
        let mkdirat = Mkdirat {
            dfd: folder.fd(),
            path: path.as_ptr().cast(),
            mode: 0o700,
        };
        // SAFETY: the path stays until the entry has been submitted, the directory until the
        // completion has been taken.
        let done = unsafe { run_late(cq, sq, &mkdirat, || path = *b"bad\0") };
        assert_eq!((done, &path), (0, b"bad\0"));
        assert!(folder.has("new") && !folder.has("bad"));
    });
}

/// Renames `oldpath` in one directory to `newpath` in another.
#[track_caller]
fn renameat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (olddfd, oldpath): (RawFd, &CStr),
    (newdfd, newpath): (RawFd, &CStr),
    flags: u32,
) -> i32 {
    let renameat = Renameat {
        olddfd,
        oldpath: oldpath.as_ptr(),
        newdfd,
        newpath: newpath.as_ptr(),
        flags,
    };
    // SAFETY: the paths are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &renameat, |_| ()) }.raw_result()
}

#[test]
fn renameat_renames_and_replaces() {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        assert_eq!(renameat(cq, sq, (fd, c"one"), (fd, c"new"), 0), 0);
        assert!(!folder.has("one"));
        assert_eq!(folder.text("new"), "one");
        assert_eq!(renameat(cq, sq, (fd, c"new"), (fd, c"two"), 0), 0);
        assert!(!folder.has("new"));
        assert_eq!(folder.text("two"), "one");
        assert_eq!(renameat(cq, sq, (fd, c"empty"), (fd, c"full"), 0), 0);
        assert!(folder.has("full") && !folder.has("empty"));
    });
}

#[test]
fn renameat_moves_from_one_directory_to_another() {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let inner = File::open(folder.path.path().join("empty")).unwrap();
        let to = (inner.as_raw_fd(), c"moved");
        assert_eq!(renameat(cq, sq, (folder.fd(), c"one"), to, 0), 0);
        assert!(!folder.has("one"));
        assert_eq!(folder.text("empty/moved"), "one");
        let absolute = folder.c_path("back");
        assert_eq!(renameat(cq, sq, to, (-1, &absolute), 0), 0);
        assert_eq!(folder.text("back"), "one");
    });
}

#[test]
fn renameat_may_not_replace_or_may_exchange() {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (one, two) = ((folder.fd(), c"one"), (folder.fd(), c"two"));
        let done = renameat(cq, sq, one, two, libc::RENAME_NOREPLACE);
        assert_eq!(done, -libc::EEXIST);
        assert_eq!((&*folder.text("one"), &*folder.text("two")), ("one", "two"));
        let done = renameat(cq, sq, one, two, libc::RENAME_EXCHANGE);
        assert_eq!(done, 0);
        assert_eq!((&*folder.text("one"), &*folder.text("two")), ("two", "one"));
        let new = (folder.fd(), c"new");
        let done = renameat(cq, sq, one, new, libc::RENAME_NOREPLACE);
        assert_eq!(done, 0);
        assert_eq!(folder.text("new"), "two");
    });
}

#[test]
fn renameat_that_cannot_be_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return;
    }
    let proc = File::open("/proc").unwrap();
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        let (one, new) = ((fd, c"one"), (fd, c"new"));
        for (from, to, flags, errno) in [
            ((fd, c"three"), new, 0, libc::ENOENT),
            (one, (fd, c"empty"), 0, libc::EISDIR),
            ((fd, c"empty"), (fd, c"empty/inner"), 0, libc::EINVAL),
            (one, (proc.as_raw_fd(), c"new"), 0, libc::EXDEV),
            (one, new, 1 << 31, libc::EINVAL),
            ((-1, c"one"), new, 0, libc::EBADF),
            (one, (-1, c"new"), 0, libc::EBADF),
        ] {
            let done = renameat(cq, sq, from, to, flags);
            assert_eq!(done, -errno, "{from:?} to {to:?}");
        }
        sq.register_files(&[fd]).unwrap();
        let by_index = Renameat {
            olddfd: 0,
            oldpath: c"one".as_ptr(),
            newdfd: 0,
            newpath: c"new".as_ptr(),
            flags: 0,
        };
        // SAFETY: the paths are valid for ever.
        let done = unsafe { run(cq, sq, &by_index, fixed) }.raw_result();
        assert_eq!(done, -libc::EBADF);
        assert!(folder.has("one") && !folder.has("new"));
    });
}

#[test]
fn renameat_keeps_no_path_once_it_is_submitted() {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (mut old, mut new) = (*b"one\0", *b"new\0");
        let renameat = Renameat {
            olddfd: folder.fd(),
            oldpath: old.as_ptr().cast(),
            newdfd: folder.fd(),
            newpath: new.as_ptr().cast(),
            flags: 0,
        };
        let spoil = || (old, new) = (*b"two\0", *b"bad\0");
        // SAFETY: the paths stay until the entry has been submitted, the directory until the
        // completion has been taken.
        let done = unsafe { run_late(cq, sq, &renameat, spoil) };
        assert_eq!((done, &old, &new), (0, b"two\0", b"bad\0"));
        assert!(!folder.has("one") && folder.has("two") && !folder.has("bad"));
        assert_eq!(folder.text("new"), "one");
    });
}

#[test]
fn operations_behind_a_failure_are_cancelled_and_change_nothing() {
    if !needs::operations(&[OpCode::UNLINKAT, OpCode::RENAMEAT, OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let dfd = folder.fd();
        let fails = Openat {
            dfd,
            path: c"three".as_ptr(),
            flags: 0,
            mode: 0,
        };
        let removes = Unlinkat {
            dfd,
            path: c"one".as_ptr(),
            flags: 0,
        };
        let makes = Mkdirat {
            dfd,
            path: c"new".as_ptr(),
            mode: 0o700,
        };
        let renames = Renameat {
            olddfd: dfd,
            oldpath: c"two".as_ptr(),
            newdfd: dfd,
            newpath: c"three".as_ptr(),
            flags: 0,
        };
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&fails, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&removes, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&makes, 3, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above, for both paths.
        unsafe { sq.push(&renames, 4) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 4).iter().map(Completion::raw_result).collect();
        assert_eq!(results[0], -libc::ENOENT);
        assert_eq!(results[1..], [-libc::ECANCELED; 3]);
        assert!(folder.has("one") && folder.has("two"));
        assert!(!folder.has("new") && !folder.has("three"));
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
        let dfd = folder.fd();
        let unlinkat = Unlinkat {
            dfd,
            path: c"three".as_ptr(),
            flags: 0,
        };
        let mkdirat = Mkdirat {
            dfd,
            path: c"one".as_ptr(),
            mode: 0o700,
        };
        let renameat = Renameat {
            olddfd: dfd,
            oldpath: c"three".as_ptr(),
            newdfd: dfd,
            newpath: c"one".as_ptr(),
            flags: 0,
        };
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&unlinkat, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&mkdirat, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above, for both paths.
        unsafe { sq.push_with_flags(&renameat, 3, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 4) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 4).iter().map(Completion::raw_result).collect();
        assert_eq!(results, [-libc::ENOENT, -libc::EEXIST, -libc::ENOENT, 0]);
    });
}
