//! Driving one future on the thread that has the ring.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::ring::Ring;
use crate::error::SubmitError;

/// Notes that the future wants to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Ring {
    /// Polls a future until it is ready, and waits for the ring's operations in between.
    ///
    /// For futures that wait for operations of this ring alone, by way of combinators too. One that
    /// waits for something else is polled again only when an operation ends: a wake-up from another
    /// thread does not end the wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lio_uring::owned::{Nop, Ring, Sleep};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// ring.block_on(async {
    ///     ring.push(Nop)?.await?;
    ///     ring.push(Sleep::new(Duration::from_millis(1)))?.await
    /// })?
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SubmitError`] if the ring could not be waited on. The future is dropped.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, SubmitError> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        loop {
            while woken.0.swap(false, Ordering::Acquire) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Ok(output);
                }
            }
            match self.submit_and_wait(1) {
                Err(error) if !woken.0.load(Ordering::Acquire) => return Err(error),
                _ => {}
            }
        }
    }
}
