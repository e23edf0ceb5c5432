//! Tasks that wait for what a random sequence holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

/// A task that counts how often it is woken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task(Arc<Wakes>);

#[derive(Debug, Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    fn wakes(&self) -> u32 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// The wait that begins when this task has polled something.
    pub(crate) fn wait(&self) -> Wait {
        Wait {
            task: self.clone(),
            wakes: self.wakes(),
        }
    }

    /// How many wakers and waits it has besides this.
    pub(crate) fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// A task that waits for something.
#[derive(Debug)]
pub(crate) struct Wait {
    task: Task,
    /// How often it had been woken before.
    wakes: u32,
}

impl Wait {
    /// Fails if the task was not woken since then.
    pub(crate) fn assert_woken(&self) {
        assert!(self.task.wakes() > self.wakes, "nobody was woken");
    }
}
