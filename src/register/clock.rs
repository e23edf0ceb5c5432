//! The clock that waits go by.

use std::time::Duration;

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

/// A clock for the limits of waits.
///
/// C: `clockid_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// Stands still while the system is suspended. What rings start with.
    ///
    /// C: `CLOCK_MONOTONIC`.
    #[default]
    Monotonic,
    /// Goes on while the system is suspended.
    ///
    /// C: `CLOCK_BOOTTIME`.
    Boottime,
}

impl Clock {
    /// The time that the clock shows, counted from its zero.
    ///
    /// C: `clock_gettime(2)`.
    pub fn now(self) -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a value of the right type. The call cannot fail for a clock that
        // every kernel with io_uring has.
        unsafe { libc::clock_gettime(self.id(), &raw mut time) };
        // Both count up from 0.
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn id(self) -> libc::clockid_t {
        match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boottime => libc::CLOCK_BOOTTIME,
        }
    }
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Chooses the clock that the ring's waits go by.
    ///
    /// It decides when [`Wait::timeout`](crate::Wait::timeout) and
    /// [`Wait::clock_deadline`](crate::Wait::clock_deadline) end a wait. A
    /// [`Wait::deadline`](crate::Wait::deadline) goes by the clock of
    /// [`Instant`](std::time::Instant) whatever the ring's is.
    ///
    /// Since Linux 6.12. C: `io_uring_register_clock(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn register_clock(&mut self, clock: Clock) -> Result<(), RegisterError> {
        let mut argument = sys::io_uring_clock_register {
            clockid: clock.id().cast_unsigned(),
            __resv: [0; 3],
        };
        // SAFETY: the ring is set up, and the pointer is to a value of the right type.
        let result =
            unsafe { sys::io_uring_register_clock(self.ring().as_mut_ptr(), &raw mut argument) };
        check(result, "choose the clock", "Linux 6.12")?;
        self.ring().set_clock(clock);
        Ok(())
    }
}
