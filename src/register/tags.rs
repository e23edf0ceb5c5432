//! Tags: completions that tell when the ring has let go of what was registered.
//!
//! A file or buffer that was replaced or taken back is kept until the last operation that uses it
//! has ended. A tag that is not 0 becomes the user data of a completion, with the result 0, which
//! is posted at that moment. Before Linux 6.13 none is posted for what is taken back with its whole
//! table.

use std::os::fd::RawFd;

use super::buffers::{self, IoVector, explain_memlock};
use super::check;
use super::files::{self, explain_limit};
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

/// What a refused registration can be for.
const NEEDS: &str = "Linux 5.13, at least one place, and a tag for each";
const NEEDS_UPDATE: &str = "Linux 5.13, places within the table, and a tag for each";

/// Refuses lists of different lengths: the kernel would read past the end of the shorter one.
fn same_length<A>(
    things: &[A],
    tags: &[u64],
    action: &'static str,
    needs: &'static str,
) -> Result<(), RegisterError> {
    let result = if things.len() == tags.len() {
        0
    } else {
        -libc::EINVAL
    };
    check(result, action, needs).map(drop)
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers open files, as [`register_files`](Self::register_files) does, each with a tag.
    ///
    /// When a place has been emptied, replaced or unregistered, and no operation uses the file any
    /// more, a completion with its tag as the user data and the result 0 is posted. A tag of 0
    /// posts nothing. Before Linux 6.13 [`unregister_files`](Self::unregister_files) posts none: it
    /// returns when nothing uses the files.
    ///
    /// Since Linux 5.13. C: `io_uring_register_files_tags(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_files`](Self::register_files), and [`RegisterCause::Refused`] if there
    /// are not as many tags as descriptors, or if an empty place has a tag.
    ///
    /// # Safety
    ///
    /// Whoever takes the ring's completions tells the tags from the user data of operations. If
    /// one were taken for an operation's, it would look as if that had ended.
    pub unsafe fn register_files_tags(
        &mut self,
        fds: &[RawFd],
        tags: &[u64],
    ) -> Result<(), RegisterError> {
        const ACTION: &str = "register files with tags";
        same_length(fds, tags, ACTION, NEEDS)?;
        // SAFETY: the kernel copies both arrays, which have the length that is given.
        let result = unsafe {
            sys::io_uring_register_files_tags(
                self.ring().as_mut_ptr(),
                fds.as_ptr(),
                tags.as_ptr().cast(),
                files::count(fds),
            )
        };
        check(result, ACTION, NEEDS)
            .map(drop)
            .map_err(explain_limit)
    }

    /// Replaces registered files, as [`register_files_update`](Self::register_files_update) does,
    /// and their tags, and returns how many.
    ///
    /// A place that is left as it is, with -2, must have the tag 0 here, and keeps its own.
    ///
    /// Since Linux 5.13. C: `io_uring_register_files_update_tag(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_files_update`](Self::register_files_update), and
    /// [`RegisterCause::Refused`] if there are not as many tags as descriptors, or if the first
    /// place is to be empty and have a tag.
    ///
    /// # Safety
    ///
    /// That of [`register_files_tags`](Self::register_files_tags).
    pub unsafe fn register_files_update_tags(
        &mut self,
        offset: u32,
        fds: &[RawFd],
        tags: &[u64],
    ) -> Result<u32, RegisterError> {
        const ACTION: &str = "update registered files with tags";
        same_length(fds, tags, ACTION, NEEDS_UPDATE)?;
        // SAFETY: the kernel copies both arrays, which have the length that is given.
        let result = unsafe {
            sys::io_uring_register_files_update_tag(
                self.ring().as_mut_ptr(),
                offset,
                fds.as_ptr(),
                tags.as_ptr().cast(),
                files::count(fds),
            )
        };
        check(result, ACTION, NEEDS_UPDATE)
    }

    /// Registers buffers, as [`register_buffers`](Self::register_buffers) does, each with a tag.
    ///
    /// When a buffer has been replaced or unregistered, and no operation uses it any more, a
    /// completion with its tag as the user data and the result 0 is posted: its memory is free. A
    /// tag of 0 posts nothing. Before Linux 6.13
    /// [`unregister_buffers`](Self::unregister_buffers) posts none: it returns when nothing uses
    /// the buffers.
    ///
    /// Since Linux 5.13. C: `io_uring_register_buffers_tags(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_buffers`](Self::register_buffers), and [`RegisterCause::Refused`] if
    /// there are not as many tags as buffers, or if an empty place has a tag.
    ///
    /// # Safety
    ///
    /// That of [`register_buffers`](Self::register_buffers) and that of
    /// [`register_files_tags`](Self::register_files_tags).
    pub unsafe fn register_buffers_tags<V: IoVector>(
        &mut self,
        buffers: &[V],
        tags: &[u64],
    ) -> Result<(), RegisterError> {
        const ACTION: &str = "register buffers with tags";
        same_length(buffers, tags, ACTION, NEEDS)?;
        // SAFETY: the elements have the layout of `iovec`, and the kernel copies both arrays, which
        // have the length that is given. The memory is the caller's promise.
        let result = unsafe {
            sys::io_uring_register_buffers_tags(
                self.ring().as_mut_ptr(),
                buffers.as_ptr().cast(),
                tags.as_ptr().cast(),
                buffers::count(buffers),
            )
        };
        check(result, ACTION, NEEDS)
            .map(drop)
            .map_err(|error| explain_memlock(error, buffers))
    }

    /// Replaces registered buffers, as
    /// [`register_buffers_update`](Self::register_buffers_update) does, and their tags, and returns
    /// how many.
    ///
    /// Since Linux 5.13. C: `io_uring_register_buffers_update_tag(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`register_buffers_update`](Self::register_buffers_update), and
    /// [`RegisterCause::Refused`] if there are not as many tags as buffers, or if the first place
    /// is to be empty and have a tag.
    ///
    /// # Safety
    ///
    /// That of [`register_buffers_tags`](Self::register_buffers_tags).
    pub unsafe fn register_buffers_update_tags<V: IoVector>(
        &mut self,
        offset: u32,
        buffers: &[V],
        tags: &[u64],
    ) -> Result<u32, RegisterError> {
        const ACTION: &str = "update registered buffers with tags";
        same_length(buffers, tags, ACTION, NEEDS_UPDATE)?;
        // SAFETY: as for `register_buffers_tags`.
        let result = unsafe {
            sys::io_uring_register_buffers_update_tag(
                self.ring().as_mut_ptr(),
                offset,
                buffers.as_ptr().cast(),
                tags.as_ptr().cast(),
                buffers::count(buffers),
            )
        };
        check(result, ACTION, NEEDS_UPDATE).map_err(|error| explain_memlock(error, buffers))
    }
}
