//! Waiting for what nobody tells of.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until something is so. Fails with `never` if it takes far longer than it should.
#[track_caller]
pub(crate) fn until(never: impl Display, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{never}");
        thread::sleep(Duration::from_millis(1));
    }
}
