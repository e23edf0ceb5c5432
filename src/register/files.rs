//! Registered files: descriptors that the ring holds itself, named by their index.

use std::os::fd::RawFd;

use super::{Resource, check, limit};
use crate::error::{RegisterCause, RegisterError};
use crate::kind::{SqeSize, Threads};
use crate::ring::Ring;
use crate::submission::SubmissionQueue;
use crate::sys;

/// The table may not have more places than the process may have descriptors.
pub(super) fn explain_limit(error: RegisterError) -> RegisterError {
    if error.errno != libc::EMFILE {
        return error;
    }
    let cause = RegisterCause::DescriptorLimit {
        limit: limit(Resource::Descriptors),
    };
    RegisterError { cause, ..error }
}

/// A number of descriptors as the kernel takes it. What does not fit is too many anyway.
pub(super) fn count(fds: &[RawFd]) -> u32 {
    u32::try_from(fds.len()).unwrap_or(u32::MAX)
}

/// Puts a file into a place of the table, or takes it out with -1.
pub(crate) fn update_file(ring: &Ring, index: u32, fd: RawFd) -> Result<(), RegisterError> {
    // SAFETY: the ring is set up, and the kernel copies the one descriptor.
    let result =
        unsafe { sys::io_uring_register_files_update(ring.as_mut_ptr(), index, &raw const fd, 1) };
    check(
        result,
        "update a registered file",
        "Linux 5.5, and a place within the table",
    )
    .map(drop)
}

/// Takes all registered files back, if there are any.
pub(crate) fn unregister_files(ring: &Ring) {
    // SAFETY: the ring is set up.
    unsafe { sys::io_uring_unregister_files(ring.as_mut_ptr()) };
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers open files, which operations then name by their index when they are pushed with
    /// [`SqeFlags::FIXED_FILE`](crate::SqeFlags::FIXED_FILE).
    ///
    /// The ring takes a reference of its own to each file: the descriptors may be closed
    /// afterwards. A place with -1 stays empty.
    ///
    /// The function is safe because nothing is done with the files here; pushing an operation that
    /// names one is not.
    ///
    /// If there are more than `RLIMIT_NOFILE` allows, liburing raises the soft limit and tries again.
    ///
    /// Since Linux 5.1, with empty places since 5.5. C: `io_uring_register_files(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] until they are unregistered.
    /// * [`RegisterCause::BadDescriptor`] if one is not open, or is a ring's.
    /// * [`RegisterCause::DescriptorLimit`] if there are more than the hard `RLIMIT_NOFILE` allows.
    pub fn register_files(&mut self, fds: &[RawFd]) -> Result<(), RegisterError> {
        // SAFETY: the kernel copies the array, whose length is given.
        let result = unsafe {
            sys::io_uring_register_files(self.ring().as_mut_ptr(), fds.as_ptr(), count(fds))
        };
        check(result, "register files", "at least one place")
            .map(drop)
            .map_err(explain_limit)
    }

    /// Registers a table with room for `n` files, all of them missing.
    ///
    /// If there are more than `RLIMIT_NOFILE` allows, liburing raises the soft limit and tries again.
    ///
    /// Since Linux 5.19. C: `io_uring_register_files_sparse(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] until they are unregistered.
    /// * [`RegisterCause::DescriptorLimit`] if there are more than the hard `RLIMIT_NOFILE` allows.
    pub fn register_files_sparse(&mut self, n: u32) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_register_files_sparse(self.ring().as_mut_ptr(), n) };
        check(
            result,
            "register a table of files",
            "Linux 5.19, and at least one place",
        )
        .map(drop)
        .map_err(explain_limit)
    }

    /// Replaces registered files from the index `offset` on, and returns how many.
    ///
    /// -1 empties a place, and -2 (`IORING_REGISTER_FILES_SKIP`) leaves it as it is. Operations
    /// that are under way keep the file that they started with.
    ///
    /// If one descriptor is not open, those before it have been replaced, and its own place is
    /// empty; the result is how many were replaced.
    ///
    /// Since Linux 5.5. C: `io_uring_register_files_update(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::NotRegistered`] without a table.
    /// * [`RegisterCause::BadDescriptor`] if the first is not open.
    /// * [`RegisterCause::Refused`] outside the table.
    pub fn register_files_update(
        &mut self,
        offset: u32,
        fds: &[RawFd],
    ) -> Result<u32, RegisterError> {
        // SAFETY: the kernel copies the array, whose length is given.
        let result = unsafe {
            sys::io_uring_register_files_update(
                self.ring().as_mut_ptr(),
                offset,
                fds.as_ptr(),
                count(fds),
            )
        };
        check(
            result,
            "update registered files",
            "Linux 5.5, and places within the table",
        )
    }

    /// Takes all registered files back. The ring closes those that nobody else has open.
    ///
    /// Operations that name one and are under way go on using it. Before Linux 6.13 or so the call
    /// waits for them instead.
    ///
    /// Since Linux 5.1. C: `io_uring_unregister_files(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::NotRegistered`] if there are none.
    pub fn unregister_files(&mut self) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_unregister_files(self.ring().as_mut_ptr()) };
        check(result, "unregister files", "Linux 5.1").map(drop)
    }

    /// Keeps the places that the kernel picks, with [`FileSlot::Allocate`](crate::FileSlot), to
    /// `len` of them from the index `offset` on.
    ///
    /// Other places can still be named. A new table starts with all of it. Linux 6.16 to 6.18 can
    /// pick a place outside of a range that is full after one outside was named; later versions of
    /// 6.18 are mended, 6.18.44 among them.
    ///
    /// Since Linux 6.0. C: `io_uring_register_file_alloc_range(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::Refused`] if the range is not within the table, or if there is none.
    /// * `EOVERFLOW` if it goes beyond what can be counted.
    pub fn register_file_alloc_range(
        &mut self,
        offset: u32,
        len: u32,
    ) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe {
            sys::io_uring_register_file_alloc_range(self.ring().as_mut_ptr(), offset, len)
        };
        check(
            result,
            "update the range of places to pick from",
            "Linux 6.0, and a range within the table",
        )
        .map(drop)
    }
}
