//! What an operation works on.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::ring_id::RingId;
use crate::entry::{Sqe, SqeFlags};
use crate::operation::Operation;

/// Where an operation finds its file or socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A descriptor.
    Fd(RawFd),
    /// A registered file.
    Slot {
        /// Its index.
        index: u32,
        /// The ring that it is registered with.
        ring: RingId,
    },
}

impl Target {
    /// What goes into the entry's place for a descriptor.
    #[inline]
    pub(super) fn number(self) -> RawFd {
        match self {
            Self::Fd(fd) => fd,
            Self::Slot { index, .. } => index.cast_signed(),
        }
    }

    /// The entry of an operation that was given this target's number.
    #[inline]
    pub(super) fn entry<O: Operation>(self, operation: &O) -> Sqe {
        let mut sqe = Sqe::of(operation);
        if let Self::Slot { .. } = self {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
        }
        self.require(&mut sqe);
        sqe
    }

    /// Notes in an entry which ring it is for, if the target is registered with one.
    #[inline]
    pub(super) fn require(self, sqe: &mut Sqe) {
        if let Self::Slot { ring, .. } = self {
            ring.require(sqe);
        }
    }
}

/// A file or socket that stays open as long as the value lives.
///
/// All that is [`AsFd`] and owns what it names, or shares it: `File`, `TcpStream`, `OwnedFd`,
/// `Arc<File>`, `Rc<UnixStream>`, `&'static File`. An operation keeps it until it has ended, so that
/// the number cannot meanwhile become that of another file. What is used again and again is shared
/// as an `Arc` or an `Rc`.
///
/// # Safety
///
/// Implementors promise that the target is open and stays the same until the value is dropped.
pub unsafe trait Descriptor {
    /// Where the kernel finds it.
    fn target(&self) -> Target;
}

// SAFETY: a borrowed descriptor is open as long as what it is borrowed from. That is not changed
// while the operation has it.
unsafe impl<T: AsFd> Descriptor for T {
    #[inline]
    fn target(&self) -> Target {
        Target::Fd(self.as_fd().as_raw_fd())
    }
}
