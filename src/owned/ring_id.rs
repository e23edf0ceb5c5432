//! Telling rings apart.

use std::sync::Arc;

use crate::entry::{Sqe, SqeFlags};
use crate::error::{QueueFull, RegisterCause, RegisterError};
use crate::kind::Threads;
use crate::operation::Read;
use crate::ring;
use crate::submission::SubmissionQueue;

/// Stands for a ring, among those whose resources are still there.
///
/// What is registered with a ring, a slot or a group of buffers, has a number that means something
/// else to another. So entries that name such a thing say whose it is, and a ring refuses those of
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingId(u64);

/// Stands for more than one ring.
const SEVERAL: u64 = u64::MAX;

impl RingId {
    /// The ring's. It must be kept as long as this is used.
    pub(super) fn of(ring: &Arc<ring::Ring>) -> Self {
        Self(Arc::as_ptr(ring).addr() as u64)
    }

    /// Notes in an entry that it is meant for this ring alone.
    ///
    /// An entry that names what is registered without saying so is not carried out.
    #[inline]
    pub fn require(self, sqe: &mut Sqe) {
        let noted = sqe.user_data();
        sqe.set_user_data(if noted == 0 || noted == self.0 {
            self.0
        } else {
            SEVERAL
        });
    }

    /// Whether this ring may be given an entry.
    #[inline]
    pub(super) fn accepts(self, sqe: &Sqe) -> bool {
        let noted = sqe.user_data();
        if noted == 0 {
            !sqe.flags()
                .intersects(SqeFlags::FIXED_FILE.union(SqeFlags::BUFFER_SELECT))
        } else {
            noted == self.0
        }
    }
}

/// Pushes an entry under the number of its slot, or, in place of one that is for another ring, what fails.
///
/// # Safety
///
/// As for [`SubmissionQueue::push_raw`].
#[inline]
pub(super) unsafe fn push_own<T: Threads>(
    queue: &mut SubmissionQueue<T>,
    sqe: &Sqe,
    number: u64,
) -> Result<(), QueueFull> {
    let mut instead = None;
    if !RingId::of(queue.ring()).accepts(sqe) {
        instead = Some(refused(sqe));
    }
    // SAFETY: the caller's promise; what fails points to nothing.
    unsafe { queue.push_raw(instead.as_ref().unwrap_or(sqe), number) }
}

/// What fails in place of an entry, tied as that is to what is behind it.
#[cold]
fn refused(sqe: &Sqe) -> Sqe {
    let mut refused = failing();
    let links = SqeFlags::IO_LINK | SqeFlags::IO_HARDLINK;
    refused.insert_flags(sqe.flags().intersection(links));
    refused
}

/// An entry that ends with `EBADF` and does nothing.
pub(super) fn failing() -> Sqe {
    Sqe::of(&Read {
        fd: -1,
        ptr: std::ptr::null_mut(),
        len: 0,
        offset: 0,
    })
}

/// Refuses to register anything in a child process, whose registrations would be its parent's.
pub(super) fn own(ring: &ring::Ring) -> Result<(), RegisterError> {
    if ring.is_own() {
        return Ok(());
    }
    Err(RegisterError {
        action: "register something with a ring of the parent process",
        errno: libc::EPERM,
        cause: RegisterCause::NotAllowed,
    })
}
