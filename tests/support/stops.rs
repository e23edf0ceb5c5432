//! Stopping operations of the owned layer that wait on a kernel worker.

use std::io;
use std::thread;
use std::time::Duration;

use lio_uring::owned::{Cancelled, Operation, Ring};

/// Stops an operation when it has had time to begin its wait, and checks how it ends: interrupted at
/// its work, or not begun.
#[track_caller]
pub(crate) fn assert_stops<T, O: Operation<Output = io::Result<T>> + 'static>(
    ring: &Ring,
    operation: O,
) {
    let ticket = ring.push(operation).expect("room");
    ring.submit().expect("a submission");
    thread::sleep(Duration::from_millis(20));
    assert!(!ticket.is_done());
    // A worker that is just taking it up is not found, and asked again.
    loop {
        let request = ticket.cancel().expect("room").wait().expect("an end");
        if request.expect("an answer") != Cancelled::NotFound || ticket.is_done() {
            break;
        }
    }
    let ended = ticket.wait().expect("an end");
    let errno = ended.err().expect("it was stopped").raw_os_error();
    assert!(
        [Some(libc::EINTR), Some(libc::ECANCELED)].contains(&errno),
        "{errno:?}"
    );
}
