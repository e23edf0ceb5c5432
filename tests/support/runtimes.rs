//! Running a test on tokio's runtimes, of one thread and of many.

use std::time::Duration;

use lio_uring::owned::TokioRing;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(120);

#[allow(dead_code, reason = "not every test needs them by themselves")]
pub(crate) fn runtimes() -> [(&'static str, Runtime); 2] {
    [
        (
            "current_thread",
            Builder::new_current_thread().enable_all().build(),
        ),
        (
            "multi_thread",
            Builder::new_multi_thread()
                .worker_threads(4)
                .enable_all()
                .build(),
        ),
    ]
    .map(|(name, runtime)| (name, runtime.expect("a runtime")))
}

/// Runs a test on both kinds of runtime, and ends it if it stalls.
pub(crate) fn on_each<F: Future<Output = ()> + std::marker::Send + 'static>(test: impl Fn() -> F) {
    for (name, runtime) in runtimes() {
        let done = runtime.block_on(async { timeout(LIMIT, tokio::spawn(test())).await });
        done.unwrap_or_else(|_| panic!("stalled on {name}"))
            .unwrap_or_else(|error| panic!("on {name}: {error}"));
    }
}

pub(crate) fn ring(entries: u32) -> TokioRing {
    TokioRing::new(entries).expect("a ring")
}

/// Waits until nothing is in flight.
pub(crate) async fn settle(uring: &TokioRing) {
    while uring.operations() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
