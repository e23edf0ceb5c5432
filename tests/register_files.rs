//! Registered files: the places that the kernel picks.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::operation::Openat;
use lio_uring::{CompletionQueue, FileSlot, RegisterCause, SubmissionQueue, with_capacity};

/// Opens a file into a registered place, and returns the result.
fn open((cq, sq): &mut (CompletionQueue, SubmissionQueue), slot: FileSlot) -> i32 {
    let open = Openat {
        dfd: libc::AT_FDCWD,
        path: c"/dev/null".as_ptr(),
        flags: libc::O_RDONLY,
        mode: 0,
    };
    // SAFETY: the path is valid for ever.
    unsafe { sq.push_with(&open, 1, |sqe| sqe.set_target(slot)) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    cq.next().expect("a completion").raw_result()
}

#[test]
fn range_limits_the_places_that_the_kernel_picks() {
    let mut ring = with_capacity(8).unwrap();
    if kernel::since(5, 19, ring.1.register_files_sparse(16)).is_none() {
        return;
    }
    let ranged = ring.1.register_file_alloc_range(10, 3);
    if kernel::since(6, 0, ranged).is_none() {
        return;
    }
    let mut picked: Vec<_> = (0..3)
        .map(|_| open(&mut ring, FileSlot::Allocate))
        .collect();
    picked.sort_unstable();
    assert_eq!(picked, [10, 11, 12]);
    assert_eq!(open(&mut ring, FileSlot::Allocate), -libc::ENFILE);
    assert_eq!(open(&mut ring, FileSlot::At(2)), 0);

    ring.1.register_file_alloc_range(0, 16).unwrap();
    let picked = open(&mut ring, FileSlot::Allocate);
    assert!(
        (0..16).contains(&picked) && ![2, 10, 11, 12].contains(&picked),
        "{picked}"
    );
}

#[test]
fn range_outside_the_table_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    if kernel::since(5, 19, ring.1.register_files_sparse(4)).is_none() {
        return;
    }
    if kernel::since(6, 0, ring.1.register_file_alloc_range(0, 4)).is_none() {
        return;
    }
    for (offset, len) in [(0, 5), (4, 1), (5, 0)] {
        let error = ring.1.register_file_alloc_range(offset, len).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{offset} {len}");
        assert!(
            matches!(error.cause(), RegisterCause::Refused { .. }),
            "{error}"
        );
    }
    let error = ring.1.register_file_alloc_range(u32::MAX, 2).unwrap_err();
    assert_eq!(error.errno(), libc::EOVERFLOW);

    ring.1.unregister_files().unwrap();
    let error = ring.1.register_file_alloc_range(0, 1).unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
}
