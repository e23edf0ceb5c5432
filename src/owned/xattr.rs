//! Extended attributes.

use std::ffi::CString;
use std::io;

use super::buffer::{Buffer, BufferMut, entry_len};
use super::descriptor::Descriptor;
use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Notes in a buffer how long the value is that was read into it. Into no room nothing is read.
fn fill_value<B: BufferMut>(buffer: &mut B, done: Completion) -> io::Result<usize> {
    let size = count(done)?;
    // SAFETY: the kernel has written the whole value, or nothing if there was no room at all.
    unsafe { buffer.filled(size.min(buffer.capacity())) };
    Ok(size)
}

/// Reads an extended attribute of the file with a path.
///
/// # Output
///
/// The size of the value, and the buffer. A vector's length is that number; it is unchanged after an
/// error. If the buffer has room, but too little, the error is `ERANGE`. If it has none at all,
/// nothing is read, and the number is the room that the value needs.
///
/// Kernels before 5.19 do not have it: `EINVAL`.
///
/// See [`operation::Getxattr`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct GetXattr<B> {
    /// The path of the file, from the working directory unless it is absolute. Symbolic links are
    /// followed.
    pub path: CString,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: CString,
    /// Where the value goes.
    pub buffer: B,
}

// SAFETY: the entry names the path and the name, which are owned, elsewhere in memory, and not
// changed, and the buffer's room, which is owned and not used until it has ended.
unsafe impl<B: BufferMut> Operation for GetXattr<B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Getxattr {
            name: self.name.as_ptr(),
            value: self.buffer.room().cast(),
            path: self.path.as_ptr(),
            len: entry_len(self.buffer.capacity()),
        })
    }

    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        (fill_value(&mut self.buffer, done), self.buffer)
    }
}

/// Sets an extended attribute of the file with a path.
///
/// It is set even if nobody waits for it any longer.
///
/// # Output
///
/// Whether it was set, and the buffer.
///
/// Kernels before 5.19 do not have it: `EINVAL`.
///
/// See [`operation::Setxattr`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SetXattr<B> {
    /// The path of the file, from the working directory unless it is absolute. Symbolic links are
    /// followed.
    pub path: CString,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: CString,
    /// The value.
    pub buffer: B,
    /// `XATTR_CREATE`, `XATTR_REPLACE`, or 0.
    pub flags: i32,
}

// SAFETY: as for `GetXattr`, with the buffer's bytes.
unsafe impl<B: Buffer> Operation for SetXattr<B> {
    type Output = (io::Result<()>, B);

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Setxattr {
            name: self.name.as_ptr(),
            value: self.buffer.address().cast(),
            path: self.path.as_ptr(),
            flags: self.flags,
            len: entry_len(self.buffer.bytes()),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (done.result().map(drop), self.buffer)
    }
}

/// Reads an extended attribute of an open file.
///
/// # Output
///
/// That of [`GetXattr`].
///
/// Kernels before 5.19 do not have it: `EINVAL`. The file can be a registered one since Linux 6.13.
///
/// See [`operation::Fgetxattr`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct FGetXattr<F, B> {
    /// The file.
    pub file: F,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: CString,
    /// Where the value goes.
    pub buffer: B,
}

// SAFETY: as for `GetXattr`. The file is owned, too.
unsafe impl<F: Descriptor, B: BufferMut> Operation for FGetXattr<F, B> {
    type Output = (io::Result<usize>, B);

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Fgetxattr {
            fd: target.number(),
            name: self.name.as_ptr(),
            value: self.buffer.room().cast(),
            len: entry_len(self.buffer.capacity()),
        })
    }

    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        (fill_value(&mut self.buffer, done), self.buffer)
    }
}

/// Sets an extended attribute of an open file.
///
/// It is set even if nobody waits for it any longer.
///
/// # Output
///
/// Whether it was set, and the buffer.
///
/// Kernels before 5.19 do not have it: `EINVAL`. The file can be a registered one since Linux 6.13.
///
/// See [`operation::Fsetxattr`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct FSetXattr<F, B> {
    /// The file.
    pub file: F,
    /// The name of the attribute, its namespace included: `user.mime_type`.
    pub name: CString,
    /// The value.
    pub buffer: B,
    /// `XATTR_CREATE`, `XATTR_REPLACE`, or 0.
    pub flags: i32,
}

// SAFETY: as for `SetXattr`. The file is owned, too.
unsafe impl<F: Descriptor, B: Buffer> Operation for FSetXattr<F, B> {
    type Output = (io::Result<()>, B);

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.file.target();
        target.entry(&operation::Fsetxattr {
            fd: target.number(),
            name: self.name.as_ptr(),
            value: self.buffer.address().cast(),
            flags: self.flags,
            len: entry_len(self.buffer.bytes()),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (done.result().map(drop), self.buffer)
    }
}
