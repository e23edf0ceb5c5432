//! Opening and closing.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use bitflags::bitflags;

use super::directory::{Cwd, Directory};
use super::drain::NOBODY;
use super::file::stoppable;
use super::operation::Operation;
use super::socket::descriptor;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, OpenHow};

/// Opens a file.
///
/// # Output
///
/// The file, `File::from` it. It is closed if nobody takes it.
///
/// # Cancellation
///
/// What waits, as for the other end of a named pipe, ends with `EINTR` or `ECANCELED`.
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
        openat(&Cwd, &self.path, self.flags, self.mode)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(stoppable(done))
    }
}

/// The entry of an open. What it is given must stay until it has ended.
fn openat(directory: &impl Directory, path: &CStr, flags: i32, mode: libc::mode_t) -> Sqe {
    Sqe::of(&operation::Openat {
        dfd: directory.number(),
        path: path.as_ptr(),
        flags: flags | libc::O_CLOEXEC,
        mode,
    })
}

/// Opens a file whose path starts from an open directory.
///
/// # Output
///
/// That of [`Open`].
///
/// # Cancellation
///
/// As of [`Open`].
///
/// See [`operation::Openat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct OpenAt<D> {
    /// What a relative path starts from.
    pub directory: D,
    /// The path.
    pub path: CString,
    /// `O_*`. `O_CLOEXEC` is added.
    pub flags: i32,
    /// The mode of a file that is made, as `0o666`, of which the process's mask is taken away.
    pub mode: libc::mode_t,
}

// SAFETY: the entry names the directory and the path, which are owned; the path is elsewhere in
// memory, and not changed.
unsafe impl<D: Directory> Operation for OpenAt<D> {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        openat(&self.directory, &self.path, self.flags, self.mode)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(stoppable(done))
    }
}

bitflags! {
    /// Where the path of an [`OpenAt2`] may not lead.
    ///
    /// C: `RESOLVE_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ResolveFlags: u64 {
        /// To another file system.
        ///
        /// C: `RESOLVE_NO_XDEV`.
        const NO_XDEV = libc::RESOLVE_NO_XDEV;
        /// Through a link of the kernel's own, as those in `/proc/self/fd`.
        ///
        /// C: `RESOLVE_NO_MAGICLINKS`.
        const NO_MAGICLINKS = libc::RESOLVE_NO_MAGICLINKS;
        /// Through any symbolic link.
        ///
        /// C: `RESOLVE_NO_SYMLINKS`.
        const NO_SYMLINKS = libc::RESOLVE_NO_SYMLINKS;
        /// Out of the directory that it starts from. An absolute path is refused, too.
        ///
        /// C: `RESOLVE_BENEATH`.
        const BENEATH = libc::RESOLVE_BENEATH;
        /// Out of the directory, which is taken for the root: what leads there leads to the
        /// directory.
        ///
        /// C: `RESOLVE_IN_ROOT`.
        const IN_ROOT = libc::RESOLVE_IN_ROOT;
        /// To what is not in the cache.
        ///
        /// Since Linux 5.12. C: `RESOLVE_CACHED`.
        const CACHED = libc::RESOLVE_CACHED;
    }
}

/// Opens a file, with limits on where its path may lead.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::fs::File;
/// use lio_uring::owned::{OpenAt2, ResolveFlags, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let directory = File::open("/proc/self")?;
/// let beneath = ResolveFlags::BENEATH;
/// let open = OpenAt2::new(directory, c"../self/comm", libc::O_RDONLY, beneath);
/// let refused = ring.push(open)?.wait()?.unwrap_err();
/// assert_eq!(refused.raw_os_error(), Some(libc::EXDEV));
/// # Ok(())
/// # }
/// ```
///
/// # Output
///
/// The file, `File::from` it. It is closed if nobody takes it. The error is `EXDEV` or `ELOOP` if the
/// path leads where it may not, `EAGAIN` if it is not all in the cache and may not leave that.
///
/// # Cancellation
///
/// As of [`Open`].
///
/// See [`operation::Openat2`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct OpenAt2<D = Cwd> {
    directory: D,
    path: CString,
    how: OpenHow,
}

impl<D: Directory> OpenAt2<D> {
    /// With `O_*` flags, to which `O_CLOEXEC` is added, a path that starts from a directory unless it
    /// is absolute.
    pub fn new(directory: D, path: impl Into<CString>, flags: i32, resolve: ResolveFlags) -> Self {
        let flags = flags | libc::O_CLOEXEC;
        Self {
            directory,
            path: path.into(),
            how: OpenHow {
                flags: flags.cast_unsigned().into(),
                mode: 0,
                resolve: resolve.bits(),
            },
        }
    }

    /// With the mode of a file that is made, as `0o666`, of which the process's mask is taken away.
    /// It is refused without `O_CREAT` or `O_TMPFILE`: `EINVAL`.
    pub fn mode(mut self, mode: libc::mode_t) -> Self {
        self.how.mode = mode.into();
        self
    }
}

// SAFETY: as for `OpenAt`. How it is opened is part of the value, and not changed.
unsafe impl<D: Directory> Operation for OpenAt2<D> {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Openat2 {
            dfd: self.directory.number(),
            path: self.path.as_ptr(),
            how: &raw const self.how,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        descriptor(stoppable(done))
    }
}

/// Closes a descriptor.
///
/// It is closed even if the ring ends before. If it is part of a chain that ends before it, the result
/// is `ECANCELED`, and the descriptor stays open: nothing tells that from an error of a file system
/// which has closed it.
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

    unsafe fn complete(self, done: Completion) -> Self::Output {
        if done.user_data() != NOBODY {
            // Whatever went wrong, the kernel has taken the number away before it found out.
            let _closed = self.fd.into_raw_fd();
        }
        done.result().map(drop)
    }
}
