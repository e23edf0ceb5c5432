//! What comes of operations of the owned layer.

use std::io;

use lio_uring::owned::{Operation, Ring};

/// Carries an operation out on a ring of its own, and returns what comes of it.
#[track_caller]
#[allow(dead_code, reason = "some tests have a ring")]
pub(crate) fn run<O: Operation + 'static>(operation: O) -> O::Output {
    let ring = Ring::new(2).expect("a ring");
    let output = ring.push(operation).expect("room").wait();
    assert_eq!(ring.operations(), 0);
    output.expect("an end")
}

/// The errno of a failed operation.
#[track_caller]
#[allow(dead_code, reason = "not every test looks at errors")]
pub(crate) fn errno<T>(result: io::Result<T>) -> i32 {
    let error = result.err().expect("an error");
    error.raw_os_error().expect("one of the kernel's")
}
