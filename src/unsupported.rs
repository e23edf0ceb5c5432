//! What this library is on systems other than Linux: the answer that io_uring cannot be used.
//!
//! So a program that asks first, and has another way of doing its I/O, compiles everywhere.

use std::convert::Infallible;
use std::io;

/// Whether io_uring can be used here.
///
/// It has the variants that it has on Linux, so that one `match` serves everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can: never here.
    Available {
        /// What the kernel said of itself.
        features: Infallible,
    },
    /// It cannot, for this reason.
    Unavailable(SetupError),
}

impl Availability {
    /// Whether io_uring can be used.
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available { .. })
    }

    /// Why it cannot be used.
    pub fn unavailable(&self) -> Option<&SetupError> {
        match self {
            Self::Available { features } => match *features {},
            Self::Unavailable(error) => Some(error),
        }
    }
}

/// Says that io_uring cannot be used here.
pub fn availability() -> Availability {
    Availability::Unavailable(SetupError {
        cause: SetupCause::UnsupportedOs,
    })
}

/// Why there can be no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not make an io_uring: {cause}")]
pub struct SetupError {
    cause: SetupCause,
}

impl SetupError {
    /// The number that Linux would give, `ENOSYS`. It means nothing to this system.
    pub fn errno(&self) -> i32 {
        38
    }

    /// Why there can be no ring.
    pub fn cause(&self) -> &SetupCause {
        &self.cause
    }
}

impl From<SetupError> for io::Error {
    /// Becomes an error of the kind [`Unsupported`](io::ErrorKind::Unsupported).
    fn from(error: SetupError) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

/// The causes that a ring's creation can fail for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupCause {
    /// This is not Linux.
    #[error("io_uring is a feature of Linux; use another way of doing I/O here")]
    UnsupportedOs,
}
