//! Names in directories: making and removing them, renaming, linking.

use std::ffi::CString;
use std::io;

use super::directory::{Cwd, Directory};
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Makes a directory.
///
/// It is made even if nobody waits for it any longer.
///
/// See [`operation::Mkdirat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct MakeDirectory<D = Cwd> {
    /// What a relative path starts from.
    pub directory: D,
    /// The path of the new directory.
    pub path: CString,
    /// Its mode, as `0o777`, of which the process's mask is taken away.
    pub mode: libc::mode_t,
}

// SAFETY: the entry names the directory and the path, which are owned; the path is elsewhere in
// memory, and not changed.
unsafe impl<D: Directory> Operation for MakeDirectory<D> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Mkdirat {
            dfd: self.directory.number(),
            path: self.path.as_ptr(),
            mode: self.mode,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Removes a name of a file, or an empty directory.
///
/// It is removed even if nobody waits for it any longer.
///
/// See [`operation::Unlinkat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Remove<D = Cwd> {
    /// What a relative path starts from.
    pub directory: D,
    /// The path.
    pub path: CString,
    /// `AT_REMOVEDIR` to remove a directory, otherwise 0.
    pub flags: i32,
}

// SAFETY: as for `MakeDirectory`.
unsafe impl<D: Directory> Operation for Remove<D> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Unlinkat {
            dfd: self.directory.number(),
            path: self.path.as_ptr(),
            flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Renames or moves a file or directory within a file system.
///
/// It is renamed even if nobody waits for it any longer.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::fs::{self, File};
/// use std::sync::Arc;
/// use lio_uring::owned::{Rename, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// fs::write(path.join("draft"), "text")?;
/// let directory = Arc::new(File::open(path)?);
/// let ring = Ring::new(8)?;
/// let rename = Rename {
///     from_directory: Arc::clone(&directory),
///     from: c"draft".into(),
///     to_directory: directory,
///     to: c"letter".into(),
///     flags: 0,
/// };
/// ring.push(rename)?.wait()??;
/// assert_eq!(fs::read_to_string(path.join("letter"))?, "text");
/// # Ok(())
/// # }
/// ```
///
/// See [`operation::Renameat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Rename<D = Cwd, E = D> {
    /// What a relative `from` starts from.
    pub from_directory: D,
    /// What is renamed.
    pub from: CString,
    /// What a relative `to` starts from.
    pub to_directory: E,
    /// Its new name.
    pub to: CString,
    /// `RENAME_NOREPLACE`, `RENAME_EXCHANGE`, or 0 to replace what has the new name.
    pub flags: u32,
}

// SAFETY: as for `MakeDirectory`, for both paths.
unsafe impl<D: Directory, E: Directory> Operation for Rename<D, E> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Renameat {
            olddfd: self.from_directory.number(),
            oldpath: self.from.as_ptr(),
            newdfd: self.to_directory.number(),
            newpath: self.to.as_ptr(),
            flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Gives a file another name within its file system.
///
/// It is given even if nobody waits for it any longer.
///
/// See [`operation::Linkat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Link<D = Cwd, E = D> {
    /// What a relative `from` starts from; with `AT_EMPTY_PATH` any file.
    pub from_directory: D,
    /// The file.
    pub from: CString,
    /// What a relative `to` starts from.
    pub to_directory: E,
    /// Its further name.
    pub to: CString,
    /// `AT_SYMLINK_FOLLOW`, `AT_EMPTY_PATH`, or 0.
    pub flags: i32,
}

// SAFETY: as for `MakeDirectory`, for both paths.
unsafe impl<D: Directory, E: Directory> Operation for Link<D, E> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Linkat {
            olddfd: self.from_directory.number(),
            oldpath: self.from.as_ptr(),
            newdfd: self.to_directory.number(),
            newpath: self.to.as_ptr(),
            flags: self.flags,
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// Makes a symbolic link.
///
/// It is made even if nobody waits for it any longer.
///
/// See [`operation::Symlinkat`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Symlink<D = Cwd> {
    /// What the link says. It need not exist.
    pub target: CString,
    /// What a relative path starts from.
    pub directory: D,
    /// The path of the link.
    pub path: CString,
}

// SAFETY: as for `MakeDirectory`, for both paths.
unsafe impl<D: Directory> Operation for Symlink<D> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Symlinkat {
            target: self.target.as_ptr(),
            newdirfd: self.directory.number(),
            linkpath: self.path.as_ptr(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
