//! Credentials that operations run with, whoever submits them.
#![cfg(target_os = "linux")]

#[path = "support/child.rs"]
mod child;
#[path = "support/ordinary_user.rs"]
mod ordinary_user;

use std::ffi::CString;
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use lio_uring::operation::{Nop, Openat};
use lio_uring::{CompletionQueue, RegisterCause, SubmissionQueue, with_capacity};

use ordinary_user::{become_ordinary_user, is_root};

/// Opens a file with these credentials, 0 for the thread's own, and returns the result.
fn open(
    (cq, sq): &mut (CompletionQueue, SubmissionQueue),
    path: &CString,
    personality: u16,
) -> i32 {
    let open = Openat {
        dfd: libc::AT_FDCWD,
        path: path.as_ptr(),
        flags: libc::O_RDONLY | libc::O_CLOEXEC,
        mode: 0,
    };
    // SAFETY: the path lives until the completion has been taken.
    unsafe { sq.push_with(&open, 1, |sqe| sqe.set_personality(personality)) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    cq.next().expect("a completion").raw_result()
}

#[test]
fn personality_of_root_opens_what_the_user_may_not() {
    child::in_child(
        "personality_of_root_opens_what_the_user_may_not",
        || is_root().then_some(()),
        || {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600))
                .expect("it is ours");
            let path = CString::new(file.path().as_os_str().as_bytes()).expect("no zero in it");
            let mut ring = with_capacity(8).expect("a ring");
            let root = ring.1.register_personality().expect("credentials");
            assert!(root > 0);
            become_ordinary_user(&[]);
            let user = ring.1.register_personality().expect("credentials");
            assert_ne!(root, user);

            assert_eq!(open(&mut ring, &path, 0), -libc::EACCES);
            assert_eq!(open(&mut ring, &path, user), -libc::EACCES);
            let fd = open(&mut ring, &path, root);
            assert!(fd >= 0, "{fd}");
            // SAFETY: the descriptor is new, and nothing else has it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });

            ring.1
                .unregister_personality(root)
                .expect("it is registered");
            assert_eq!(open(&mut ring, &path, root), -libc::EINVAL);
        },
    );
}

#[test]
fn personality_that_nobody_registered_is_refused() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    for id in [0, 1, u16::MAX] {
        let error = sq.unregister_personality(id).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(
            matches!(error.cause(), RegisterCause::Refused { .. }),
            "{error}"
        );
    }
    let id = sq.register_personality().unwrap();
    sq.unregister_personality(id).unwrap();
    sq.unregister_personality(id).unwrap_err();

    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_with(&Nop, 1, |sqe| sqe.set_personality(id)) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().raw_result(), -libc::EINVAL);
}
