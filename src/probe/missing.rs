//! What the running kernel lacks for an operation.

use std::error::Error;
use std::fmt;

use crate::features::Features;
use crate::operation::{Needs, OpCode};

/// What the running kernel lacks for an operation; printed, it says what to use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The operation's name, if it has a type.
    pub(super) name: Option<&'static str>,
    pub(super) needs: Needs,
    pub(super) cause: MissingCause,
}

impl Missing {
    /// What is missing.
    pub fn cause(&self) -> MissingCause {
        self.cause
    }

    /// The first kernel that has the operation, as text: `"6.0"`.
    pub fn since(&self) -> Option<&'static str> {
        self.needs.since()
    }

    /// The name of an operation that does the same with more work.
    pub fn instead(&self) -> Option<&'static str> {
        self.needs.instead()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name)?,
            None if self.needs.is_form() => write!(f, "this form of {}", self.needs.opcode())?,
            None => write!(f, "{}", self.needs.opcode())?,
        }
        match self.since() {
            Some(since) => write!(f, " needs Linux {since}: {}", self.cause)?,
            None => write!(f, " cannot be used: {}", self.cause)?,
        }
        match self.instead() {
            Some(instead) => write!(f, "; use {instead}"),
            None => Ok(()),
        }
    }
}

impl Error for Missing {}

/// The reasons for which an operation cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MissingCause {
    /// The kernel says that it does not have the code.
    #[error("the kernel has no {code}")]
    Operation {
        /// The code.
        code: OpCode,
    },
    /// The kernel does not name the features.
    #[error("the kernel does not have {features:?}")]
    Features {
        /// Those that are missing.
        features: Features,
    },
    /// The kernel has the code, and what came with the form, or shortly before it, is not there.
    #[error("the kernel has nothing in io_uring that is newer than Linux {shown}")]
    Release {
        /// The newest release that the kernel has something of.
        shown: &'static str,
    },
    /// The kernel has the code, and there is nothing that would tell whether it has the form.
    #[error(
        "the kernel has io_uring of Linux {shown} at least, and whether it has this, only trying \
         tells"
    )]
    Unknown {
        /// The newest release that the kernel has something of.
        shown: &'static str,
    },
}
