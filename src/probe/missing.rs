//! What the running kernel lacks for an operation.

use crate::features::Features;
use crate::operation::OpCode;

/// What the running kernel lacks for an operation; printed, it says what to use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}{} cannot be relied on: {cause}{}", came(*.since), use_instead(*.instead))]
pub struct Missing {
    pub(super) name: &'static str,
    pub(super) since: Option<&'static str>,
    pub(super) cause: MissingCause,
    pub(super) instead: Option<&'static str>,
}

fn came(since: Option<&str>) -> String {
    since.map_or(String::new(), |since| {
        format!(", which came with Linux {since},")
    })
}

fn use_instead(instead: Option<&str>) -> String {
    instead.map_or(String::new(), |instead| format!("; use {instead}"))
}

impl Missing {
    /// What is missing.
    pub fn cause(&self) -> MissingCause {
        self.cause
    }

    /// The first kernel that has the operation, as text: `"6.0"`.
    pub fn since(&self) -> Option<&'static str> {
        self.since
    }

    /// The name of an operation that does the same with more work.
    pub fn instead(&self) -> Option<&'static str> {
        self.instead
    }
}

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
        /// The newest release of which the kernel has something.
        shown: &'static str,
    },
    /// The kernel has the code, and there is nothing that would tell whether it has the form.
    #[error(
        "the kernel has io_uring of Linux {shown} at least, and whether it has this, only trying \
         tells"
    )]
    Unknown {
        /// The newest release of which the kernel has something.
        shown: &'static str,
    },
}
