//! What is known of a file.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::directory::{Cwd, Directory};
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Tells a file's size, times, owner and other properties.
///
/// ```
/// #![forbid(unsafe_code)]
/// use lio_uring::owned::{Cwd, Ring, Statx};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let metadata = ring.push(Statx::new(Cwd, c"/proc/self"))?.wait()??;
/// assert!(metadata.is_dir());
/// let itself = Statx::new(Cwd, c"/proc/self").flags(libc::AT_SYMLINK_NOFOLLOW);
/// assert!(ring.push(itself)?.wait()??.is_symlink());
/// # Ok(())
/// # }
/// ```
///
/// # Output
///
/// The [`Metadata`].
///
/// See [`operation::Statx`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Statx<D = Cwd> {
    directory: D,
    /// `None` for the directory, or whatever file it is, itself.
    path: Option<CString>,
    flags: i32,
    mask: u32,
    answer: Metadata,
}

impl<D: Directory> Statx<D> {
    /// Of the file with a path, which starts from the directory unless it is absolute. Symbolic links
    /// are followed.
    pub fn new(directory: D, path: impl Into<CString>) -> Self {
        Self::at(directory, Some(path.into()))
    }

    /// Of an open file.
    ///
    /// A registered file cannot be asked for, for the kernel.
    pub fn of(file: D) -> Self
    where
        D: AsFd,
    {
        Self::at(file, None)
    }

    fn at(directory: D, path: Option<CString>) -> Self {
        Self {
            directory,
            path,
            flags: 0,
            mask: libc::STATX_BASIC_STATS | libc::STATX_BTIME,
            answer: Metadata::empty(),
        }
    }

    /// With `AT_*` flags, as `AT_SYMLINK_NOFOLLOW` or `AT_STATX_DONT_SYNC`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }

    /// What is wanted, `STATX_*`. Without this it is all that [`Metadata`] has methods for.
    pub fn mask(mut self, mask: u32) -> Self {
        self.mask = mask;
        self
    }
}

// SAFETY: the entry names the directory and the path, which are owned; the path is elsewhere in
// memory, and not changed. The answer is part of the value, and not used until it has ended.
unsafe impl<D: Directory> Operation for Statx<D> {
    type Output = io::Result<Metadata>;

    fn entry(&mut self) -> Sqe {
        let (path, more) = match &self.path {
            Some(path) => (path.as_ptr(), 0),
            None => (c"".as_ptr(), libc::AT_EMPTY_PATH),
        };
        Sqe::of(&operation::Statx {
            dfd: self.directory.number(),
            path,
            flags: self.flags | more,
            mask: self.mask,
            statxbuf: &raw mut self.answer.0,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.answer)
    }
}

/// What the kernel has told of a file.
///
/// A number that was not asked for, or that the file system does not have, is 0.
#[derive(Clone, Copy)]
pub struct Metadata(libc::statx);

#[expect(
    clippy::len_without_is_empty,
    reason = "it is a file's, as in the standard library"
)]
impl Metadata {
    fn empty() -> Self {
        // SAFETY: the structure consists of numbers, which can be zero.
        Self(unsafe { mem::zeroed() })
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// The type and the permissions, as `S_IFREG | 0o644`.
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    /// Whether it is a symbolic link, which it can be only if links were not followed.
    pub fn is_symlink(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    fn is(&self, kind: libc::mode_t) -> bool {
        self.mode() & libc::S_IFMT == kind
    }

    /// The user that it belongs to.
    pub fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    /// The group that it belongs to.
    pub fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// Its number within its file system.
    pub fn ino(&self) -> u64 {
        self.0.stx_ino
    }

    /// How many names it has.
    pub fn nlink(&self) -> u32 {
        self.0.stx_nlink
    }

    /// How many blocks of 512 bytes it takes up.
    pub fn blocks(&self) -> u64 {
        self.0.stx_blocks
    }

    /// The device that it is on, as `stat(2)` tells it.
    pub fn dev(&self) -> u64 {
        libc::makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// When it was last read, if that was asked for and is known.
    pub fn accessed(&self) -> Option<SystemTime> {
        self.time(libc::STATX_ATIME, self.0.stx_atime)
    }

    /// When its contents were last changed, if that was asked for and is known.
    pub fn modified(&self) -> Option<SystemTime> {
        self.time(libc::STATX_MTIME, self.0.stx_mtime)
    }

    /// When anything of it was last changed, if that was asked for and is known.
    pub fn changed(&self) -> Option<SystemTime> {
        self.time(libc::STATX_CTIME, self.0.stx_ctime)
    }

    /// When it was made, if that was asked for and the file system knows.
    pub fn created(&self) -> Option<SystemTime> {
        self.time(libc::STATX_BTIME, self.0.stx_btime)
    }

    fn time(&self, bit: u32, time: libc::statx_timestamp) -> Option<SystemTime> {
        if self.0.stx_mask & bit == 0 {
            return None;
        }
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        let whole = if time.tv_sec < 0 {
            UNIX_EPOCH.checked_sub(seconds)
        } else {
            UNIX_EPOCH.checked_add(seconds)
        };
        whole?.checked_add(Duration::from_nanos(time.tv_nsec.into()))
    }

    /// All that the kernel has told, and in `stx_mask` what of it is known.
    pub fn as_raw(&self) -> &libc::statx {
        &self.0
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("mode", &format_args!("{:#o}", self.mode()))
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}
