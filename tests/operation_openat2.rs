//! Opening files with limits on where their paths may lead.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, OpenHow, Openat2, Openat2Direct};
use lio_uring::{CompletionQueue, FileSlot, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/late.rs"]
mod late;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use folder::Folder;
use late::run_late;
use rings::run;
use slots::{is_empty, read_slot};

fn reading(resolve: u64) -> OpenHow {
    OpenHow {
        flags: libc::O_CLOEXEC.cast_unsigned().into(),
        mode: 0,
        resolve,
    }
}

/// The file of a descriptor that the kernel has just made, or its error.
fn made(result: i32) -> Result<File, i32> {
    if result < 0 {
        return Err(-result);
    }
    // SAFETY: the descriptor is new, and its completion is taken once.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(result) }))
}

/// Opens a file, or returns the errno.
#[track_caller]
fn openat2<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    how: OpenHow,
) -> Result<File, i32> {
    let openat2 = Openat2 {
        dfd,
        path: path.as_ptr(),
        how: &raw const how,
    };
    // SAFETY: the path is borrowed and the rest valid until the completion has been taken, and this
    // test's own rings take any directory.
    made(unsafe { run(cq, sq, &openat2, |_| ()) }.raw_result())
}

/// Opens a file for reading with limits, and returns what is in it, or the errno.
#[track_caller]
fn text<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    resolve: u64,
) -> Result<String, i32> {
    let scoped = resolve & (libc::RESOLVE_BENEATH | libc::RESOLVE_IN_ROOT) != 0;
    // Meanwhile somebody may rename something, wherever it is.
    let disturbed = |opened: &Result<File, i32>| scoped && matches!(opened, Err(libc::EAGAIN));
    let file = (0..100)
        .map(|_| openat2(cq, sq, dfd, path, reading(resolve)))
        .find(|opened| !disturbed(opened))
        .expect("a moment without renames")?;
    Ok(io::read_to_string(file).expect("a file of text"))
}

/// A folder with a link to a file in it, one to a file above it and one to nowhere in it.
fn folder_of_links() -> Folder {
    let folder = Folder::new();
    for (target, name) in [
        ("one", "inward"),
        ("../../proc/version", "outward"),
        ("/one", "root"),
    ] {
        symlink(target, folder.path.path().join(name)).expect("room on the disk");
    }
    folder
}

#[test]
fn openat2_gives_a_descriptor_of_the_file() {
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let file = openat2(cq, sq, folder.fd(), c"one", reading(0)).unwrap();
        // SAFETY: the descriptor is open, and the command takes nothing.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        assert_eq!(io::read_to_string(file).unwrap(), "one");
        let absolute = folder.c_path("two");
        assert_eq!(text(cq, sq, -1, &absolute, 0).unwrap(), "two");
    });
}

#[test]
fn openat2_creates_a_file_with_the_mode_once() {
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let how = OpenHow {
            flags: flags.cast_unsigned().into(),
            mode: 0o600,
            resolve: 0,
        };
        let mut file = openat2(cq, sq, folder.fd(), c"new", how).unwrap();
        file.write_all(b"fresh").unwrap();
        assert_eq!(folder.text("new"), "fresh");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = openat2(cq, sq, folder.fd(), c"new", how);
        assert_eq!(again.unwrap_err(), libc::EEXIST);
    });
}

#[test]
fn openat2_refuses_what_openat_ignores() {
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (none, one) = (reading(0), folder.fd());
        for (how, why) in [
            (
                OpenHow {
                    mode: 0o600,
                    ..none
                },
                "a mode without a creation",
            ),
            (
                OpenHow {
                    mode: 1 << 16,
                    ..none
                },
                "a mode that is none",
            ),
            (
                OpenHow {
                    flags: 1 << 40,
                    ..none
                },
                "an unknown flag",
            ),
            (
                OpenHow {
                    resolve: 1 << 40,
                    ..none
                },
                "an unknown limit",
            ),
            (
                reading(libc::RESOLVE_BENEATH | libc::RESOLVE_IN_ROOT),
                "limits that contradict each other",
            ),
        ] {
            let error = openat2(cq, sq, one, c"one", how).unwrap_err();
            assert_eq!(error, libc::EINVAL, "{why}");
        }
    });
}

#[test]
fn openat2_without_links_does_not_follow_them() {
    each_ring!(|cq, sq| {
        let folder = folder_of_links();
        let (fd, limit) = (folder.fd(), libc::RESOLVE_NO_SYMLINKS);
        assert_eq!(text(cq, sq, fd, c"inward", 0).unwrap(), "one");
        assert_eq!(text(cq, sq, fd, c"one", limit).unwrap(), "one");
        let error = text(cq, sq, fd, c"inward", limit).unwrap_err();
        assert_eq!(error, libc::ELOOP);
    });
}

#[test]
fn openat2_without_magic_links_follows_ordinary_ones_alone() {
    each_ring!(|cq, sq| {
        let folder = folder_of_links();
        let limit = libc::RESOLVE_NO_MAGICLINKS;
        let path = format!("/proc/self/fd/{}/one\0", folder.fd());
        let magic = CStr::from_bytes_with_nul(path.as_bytes()).unwrap();
        assert_eq!(text(cq, sq, -1, magic, 0).unwrap(), "one");
        let error = text(cq, sq, -1, magic, limit).unwrap_err();
        assert_eq!(error, libc::ELOOP);
        let ordinary = text(cq, sq, folder.fd(), c"inward", limit);
        assert_eq!(ordinary.unwrap(), "one");
    });
}

#[test]
fn openat2_without_mounts_stays_on_its_file_system() {
    let root = File::open("/").unwrap();
    let proc = File::open("/proc").unwrap();
    let version = fs::read_to_string("/proc/version").unwrap();
    each_ring!(|cq, sq| {
        let limit = libc::RESOLVE_NO_XDEV;
        let (root, proc) = (root.as_raw_fd(), proc.as_raw_fd());
        let inside = text(cq, sq, proc, c"version", limit).unwrap();
        assert_eq!(inside, version);
        let free = text(cq, sq, root, c"proc/version", 0).unwrap();
        assert_eq!(free, version);
        for (dfd, path) in [(root, c"proc/version"), (proc, c"../etc")] {
            let error = text(cq, sq, dfd, path, limit).unwrap_err();
            assert_eq!(error, libc::EXDEV, "{path:?}");
        }
    });
}

#[test]
fn openat2_beneath_does_not_leave_its_directory() {
    each_ring!(|cq, sq| {
        let folder = folder_of_links();
        let (fd, limit) = (folder.fd(), libc::RESOLVE_BENEATH);
        for inside in [c"one", c"inward", c"empty/../one"] {
            assert_eq!(text(cq, sq, fd, inside, limit).unwrap(), "one");
        }
        let absolute = folder.c_path("one");
        for outside in [c"..", c"../one", c"outward", c"root", &absolute] {
            let error = text(cq, sq, fd, outside, limit).unwrap_err();
            assert_eq!(error, libc::EXDEV, "{outside:?}");
        }
    });
}

#[test]
fn openat2_in_root_takes_its_directory_for_the_root() {
    each_ring!(|cq, sq| {
        let folder = folder_of_links();
        let (fd, limit) = (folder.fd(), libc::RESOLVE_IN_ROOT);
        for inside in [c"one", c"/one", c"/../../one", c"inward", c"root"] {
            let found = text(cq, sq, fd, inside, limit);
            assert_eq!(found.as_deref(), Ok("one"), "{inside:?}");
        }
        let absolute = folder.c_path("one");
        for outside in [c"outward", &absolute] {
            let error = text(cq, sq, fd, outside, limit).unwrap_err();
            assert_eq!(error, libc::ENOENT, "{outside:?}");
        }
    });
}

#[test]
fn openat2_of_what_is_cached_does_not_wait() {
    // The limit came with Linux 5.12.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (fd, limit) = (folder.fd(), libc::RESOLVE_CACHED);
        assert_eq!(folder.text("one"), "one");
        // Meanwhile somebody may mount something, wherever it is.
        let cached = (0..100).find_map(|_| text(cq, sq, fd, c"one", limit).ok());
        assert_eq!(cached.as_deref(), Some("one"));
        // Nobody has asked for this name yet, and a new file is not in the cache.
        let error = text(cq, sq, fd, c"three", limit).unwrap_err();
        assert_eq!(error, libc::EAGAIN);
        let create = OpenHow {
            flags: (libc::O_WRONLY | libc::O_CREAT).cast_unsigned().into(),
            mode: 0o600,
            resolve: limit,
        };
        let error = openat2(cq, sq, fd, c"four", create).unwrap_err();
        assert_eq!(error, libc::EAGAIN);
        assert!(!folder.has("four"));
    });
}

#[test]
fn openat2_that_cannot_be_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let fd = folder.fd();
        for (dfd, path, errno) in [
            (fd, c"three", libc::ENOENT),
            (fd, c"one/two", libc::ENOTDIR),
            (-1, c"one", libc::EBADF),
        ] {
            let error = text(cq, sq, dfd, path, 0).unwrap_err();
            assert_eq!(error, errno, "{path:?}");
        }
        let how = reading(0);
        let openat2 = Openat2 {
            dfd: 0,
            path: c"one".as_ptr(),
            how: &raw const how,
        };
        let nowhere = Openat2 {
            dfd: fd,
            how: ptr::without_provenance(4096),
            ..openat2
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        let nowhere = Openat2 {
            path: ptr::without_provenance(4096),
            ..openat2
        };
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        sq.register_files(&[fd]).unwrap();
        let fixed = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::FIXED_FILE);
        // SAFETY: the arguments are valid until the completion has been taken.
        let done = unsafe { run(cq, sq, &openat2, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
    });
}

#[test]
fn openat2_keeps_no_arguments_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (mut path, mut how) = (*b"one\0", reading(0));
        let openat2 = Openat2 {
            dfd: folder.fd(),
            path: path.as_ptr().cast(),
            how: &raw const how,
        };
        let spoil = || (path, how.flags) = (*b"two\0", u64::MAX);
        // SAFETY: the arguments stay until the entry has been submitted, the directory until the
        // completion has been taken.
        let file = made(unsafe { run_late(cq, sq, &openat2, spoil) }).unwrap();
        assert_eq!((&path, how.flags), (b"two\0", u64::MAX));
        assert_eq!(io::read_to_string(file).unwrap(), "one");
    });
}

#[test]
fn openat2_into_a_slot_keeps_the_limits() {
    // Opening into slots came with Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = folder_of_links();
        sq.register_files(&[-1; 2]).unwrap();
        let how = OpenHow {
            flags: 0,
            ..reading(libc::RESOLVE_BENEATH)
        };
        for (path, slot, result) in [(c"outward", 0, -libc::EXDEV), (c"inward", 1, 0)] {
            let operation = Openat2Direct {
                dfd: folder.fd(),
                path: path.as_ptr(),
                how: &raw const how,
                file_index: FileSlot::At(slot),
            };
            // SAFETY: the arguments are valid until the completion has been taken, and the slots
            // are this test's.
            let done = unsafe { run(cq, sq, &operation, |_| ()) };
            assert_eq!(done.raw_result(), result, "{path:?}");
        }
        assert!(is_empty(cq, sq, 0));
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"one");
    });
}
