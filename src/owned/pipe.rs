//! Making pipes.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Makes a pipe.
///
/// # Output
///
/// Its two ends, that for reading first. They are closed if nobody takes them.
///
/// Kernels before 6.16 do not have it: `EINVAL`.
///
/// See [`operation::Pipe`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Pipe {
    flags: i32,
    ends: [RawFd; 2],
}

impl Pipe {
    /// With the flags `O_NONBLOCK`, `O_DIRECT`, or 0. `O_CLOEXEC` is added.
    pub fn new(flags: i32) -> Self {
        Self {
            flags: flags | libc::O_CLOEXEC,
            ends: [-1; 2],
        }
    }
}

// SAFETY: the entry names the ends, which are part of the value, and not used until it has ended.
unsafe impl Operation for Pipe {
    type Output = io::Result<(OwnedFd, OwnedFd)>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Pipe {
            fds: (&raw mut self.ends).cast(),
            pipe_flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result()?;
        // SAFETY: the kernel has just made both, for whoever takes this completion.
        let [reader, writer] = self.ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok((reader, writer))
    }
}
