//! A ring before it is enabled.

use crate::error::{RegisterError, SetupError};
use crate::kind::{AnyThread, Cqe16, CqeSize, OneThread, Sqe64, SqeSize, Threads};
use crate::params::{IoUringParams, SetupFlags};
use crate::register::{Restrictions, restrict};
use crate::ring::{Halves, IoUring};
use crate::submission::SubmissionQueue;

/// A ring that was made disabled: things can be registered with it, restrictions among them, but
/// nothing is submitted until it is enabled.
///
/// It becomes the usual halves, or a ring for one thread. What cannot be done to a ring that is
/// enabled is a method here and nowhere else.
///
/// ```
/// use lio_uring::IoUring;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = IoUring::builder().entries(8).disabled()?;
/// ring.submission().register_files(&[0])?;
/// let mut ring = ring.enable_ring()?;
/// ring.submit()?;
/// # Ok(())
/// # }
/// ```
///
/// A ring that is enabled cannot be restricted any more:
///
/// ```compile_fail,E0382
/// use lio_uring::{IoUringParams, Restrictions};
///
/// let mut ring = IoUringParams::default().disabled().unwrap();
/// let (_cq, _sq) = ring.enable().unwrap();
/// ring.restrict(&Restrictions::new()).unwrap();
/// ```
///
/// From [`IoUringParams::disabled`].
#[derive(Debug)]
#[must_use = "a disabled ring carries nothing out"]
pub struct Disabled<T: Threads = AnyThread, S: SqeSize = Sqe64, C: CqeSize = Cqe16> {
    halves: Halves<T, S, C>,
}

impl<T: Threads, S: SqeSize, C: CqeSize> IoUringParams<T, S, C> {
    /// Makes the ring disabled, so that it can be restricted before it is used.
    ///
    /// Since Linux 5.10. C: `IORING_SETUP_R_DISABLED`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn disabled(self) -> Result<Disabled<T, S, C>, SetupError> {
        let halves = self.r_disabled().halves()?;
        debug_assert!(halves.1.setup_flags().contains(SetupFlags::R_DISABLED));
        Ok(Disabled { halves })
    }
}

impl<T: Threads, S: SqeSize, C: CqeSize> Disabled<T, S, C> {
    /// The submission queue, with all that can be registered. Submitting fails.
    pub fn submission(&mut self) -> &mut SubmissionQueue<T, S> {
        &mut self.halves.1
    }

    /// Forbids everything but what the restrictions allow, from the moment when the ring is enabled.
    ///
    /// A ring for one thread may also take its own descriptor back from the thread, which dropping
    /// it does. A [`BufferRing`](crate::BufferRing) that may not be unregistered leaks its memory
    /// when it is dropped.
    ///
    /// Since Linux 5.10. C: `io_uring_register_restrictions(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`](crate::RegisterCause::AlreadyRegistered) the second
    ///   time.
    /// * [`RegisterCause::Refused`](crate::RegisterCause::Refused) if an operation or registration
    ///   is allowed that the kernel does not have.
    pub fn restrict(&mut self, restrictions: &Restrictions) -> Result<(), RegisterError> {
        restrict(self.halves.1.ring(), restrictions)
    }

    /// Enables the ring and returns its two halves.
    ///
    /// Since Linux 5.10. C: `io_uring_enable_rings(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::NotAllowed`](crate::RegisterCause::NotAllowed) if the queue from
    /// [`submission`](Self::submission) has enabled it. The ring is closed.
    pub fn enable(mut self) -> Result<Halves<T, S, C>, RegisterError> {
        self.halves.1.enable()?;
        Ok(self.halves)
    }
}

impl<S: SqeSize, C: CqeSize> Disabled<OneThread, S, C> {
    /// Enables the ring and returns it in one value.
    ///
    /// Since Linux 5.10. C: `io_uring_enable_rings(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`enable`](Self::enable).
    pub fn enable_ring(self) -> Result<IoUring<S, C>, RegisterError> {
        self.enable().map(IoUring::from_halves)
    }
}
