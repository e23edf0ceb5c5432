//! Opening and closing.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use super::drain::NOBODY;
use super::operation::Operation;
use super::socket::descriptor;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Opens a file.
///
/// # Output
///
/// The file, `File::from` it. It is closed if nobody takes it.
///
/// See [`operation::Openat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Open {
    /// Its path, from the working directory unless it is absolute.
    pub path: CString,
    /// `O_*`. `O_CLOEXEC` is added.
    pub flags: i32,
    /// The mode of a file that is made, as `0o666`, of which the process's mask is taken away.
    pub mode: libc::mode_t,
}

// SAFETY: the entry names the path, which is owned, elsewhere in memory, and not changed.
unsafe impl Operation for Open {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Openat {
            dfd: libc::AT_FDCWD,
            path: self.path.as_ptr(),
            flags: self.flags | libc::O_CLOEXEC,
            mode: self.mode,
        })
    }

    fn complete(self, done: Completion) -> Self::Output {
        descriptor(done)
    }
}

/// Closes a descriptor.
///
/// It is closed even if the ring ends before.
///
/// See [`operation::Close`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Close {
    /// The descriptor.
    pub fd: OwnedFd,
}

// SAFETY: the entry names the descriptor, which is owned, and given up only if it was closed.
unsafe impl Operation for Close {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Close {
            fd: self.fd.as_raw_fd(),
        })
    }

    fn complete(self, done: Completion) -> Self::Output {
        if done.user_data() != NOBODY {
            // Whatever went wrong, the kernel has taken the number away before it found out.
            let _closed = self.fd.into_raw_fd();
        }
        done.result().map(drop)
    }
}
