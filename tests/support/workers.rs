//! Cancelling what waits on a kernel worker.

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags};
use lio_uring::{CompletionQueue, SubmissionQueue};

use crate::rings::{CANCEL, PENDING, next};

/// The kernel's own error for a wait that was interrupted, which programs should not see.
const ERESTARTSYS: i32 = 512;

/// Cancels the operation [`PENDING`] and checks how it ends: interrupted at its work, or not begun.
#[track_caller]
pub(crate) fn cancel_at_work<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    let cancel = Cancel {
        user_data: PENDING,
        flags: CancelFlags::empty(),
    };
    let (mut ended, mut answer) = (None, -libc::ENOENT);
    // A worker that is just taking it up is not found, and asked again.
    while answer == -libc::ENOENT && ended.is_none() {
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&cancel, CANCEL) }.expect("room");
        sq.submit().expect("a submission");
        let mut done = next(cq);
        if done.user_data() == PENDING {
            ended = Some(done.raw_result());
            done = next(cq);
        }
        assert_eq!(done.user_data(), CANCEL);
        answer = done.raw_result();
        assert!([0, -libc::EALREADY, -libc::ENOENT].contains(&answer));
    }
    let ended = ended.unwrap_or_else(|| next(cq).raw_result());
    let expected = match answer {
        0 => ended == -libc::ECANCELED,
        _ => [-ERESTARTSYS, -libc::EINTR, -libc::ECANCELED].contains(&ended),
    };
    assert!(expected, "{ended}, and the cancellation {answer}");
}
