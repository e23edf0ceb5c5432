//! Busy polling of network devices while the ring waits.

use std::time::Duration;

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

/// How a ring polls the devices of its sockets while it waits for completions.
///
/// Polling takes processor time, and spares small packets the way through an interrupt.
///
/// C: `struct io_uring_napi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the settings that C's structure has"
)]
pub struct Napi {
    /// How long a wait polls at the most before it sleeps, in whole microseconds. Zero does not
    /// poll.
    pub busy_poll: Duration,
    /// Whether polling goes before the device's own interrupts, as `SO_PREFER_BUSY_POLL` does.
    pub prefer_busy_poll: bool,
}

impl Napi {
    fn to_raw(self) -> sys::io_uring_napi {
        sys::io_uring_napi {
            busy_poll_to: u32::try_from(self.busy_poll.as_micros()).unwrap_or(u32::MAX),
            prefer_busy_poll: self.prefer_busy_poll.into(),
            pad: [0; 3],
            resv: 0,
        }
    }

    fn from_raw(raw: sys::io_uring_napi) -> Self {
        Self {
            busy_poll: Duration::from_micros(raw.busy_poll_to.into()),
            prefer_busy_poll: raw.prefer_busy_poll != 0,
        }
    }
}

/// What a refused setting can be for.
const NEEDS: &str = "Linux 6.9, and a ring without IOPOLL";

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Sets how the ring polls network devices while it waits, and returns how it did before.
    ///
    /// The ring learns the devices from the sockets that it waits for.
    ///
    /// Since Linux 6.9. C: `io_uring_register_napi(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::Refused`] on a ring with IOPOLL, or an older kernel.
    /// * `EOPNOTSUPP` if the kernel was built without busy polling.
    pub fn register_napi(&mut self, napi: Napi) -> Result<Napi, RegisterError> {
        let mut raw = napi.to_raw();
        // SAFETY: the ring is set up, and the pointer is to a value of the right type.
        let result = unsafe { sys::io_uring_register_napi(self.ring().as_mut_ptr(), &raw mut raw) };
        check(result, "set busy polling", NEEDS)?;
        Ok(Napi::from_raw(raw))
    }

    /// Ends the polling of network devices, and returns how it was set.
    ///
    /// Since Linux 6.9. C: `io_uring_unregister_napi(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_napi`](Self::register_napi).
    pub fn unregister_napi(&mut self) -> Result<Napi, RegisterError> {
        let mut raw = Napi::default().to_raw();
        // SAFETY: as for `register_napi`.
        let result =
            unsafe { sys::io_uring_unregister_napi(self.ring().as_mut_ptr(), &raw mut raw) };
        check(result, "end busy polling", NEEDS)?;
        Ok(Napi::from_raw(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_too_long_for_the_field_is_the_longest() {
        let napi = Napi {
            busy_poll: Duration::MAX,
            prefer_busy_poll: true,
        };
        assert_eq!(napi.to_raw().busy_poll_to, u32::MAX);
        assert_eq!(napi.to_raw().prefer_busy_poll, 1);
    }
}
