//! Descriptors that messages bring.

use std::mem;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::operation::{ControlMessage, ControlMessages};

/// `SCM_PIDFD`, which not every C library has.
const SCM_PIDFD: i32 = 4;

/// What the kernel has made descriptors for in a message's control data.
#[derive(Debug)]
pub(super) struct Passed {
    descriptors: Vec<OwnedFd>,
    pidfd: Option<OwnedFd>,
}

impl Passed {
    pub(super) const fn new() -> Self {
        Self {
            descriptors: Vec::new(),
            pidfd: None,
        }
    }

    /// Closes those that nobody has taken.
    pub(super) fn clear(&mut self) {
        self.descriptors.clear();
        self.pidfd = None;
    }

    /// Owns the descriptors that control data has brought.
    ///
    /// # Safety
    ///
    /// The kernel has written the data, or there are zeros, and nobody else. It is looked at once for
    /// each message, on behalf of whom the message is for.
    pub(super) unsafe fn own(&mut self, control: &[u8]) {
        for message in ControlMessages::of(control).filter(is_descriptors) {
            let numbers = message.data.chunks_exact(size_of::<RawFd>()).map(|number| {
                let number = number.try_into().expect("as many bytes as a number has");
                RawFd::from_ne_bytes(number)
            });
            // Of a process that has gone there is an error instead.
            for number in numbers.filter(|number| *number >= 0) {
                // SAFETY: the kernel has just made it, for whoever the message is for, and has
                // written its number; the caller sees to it that it is looked at once.
                let fd = unsafe { OwnedFd::from_raw_fd(number) };
                if message.r#type == SCM_PIDFD {
                    self.pidfd = Some(fd);
                } else {
                    self.descriptors.push(fd);
                }
            }
        }
    }

    pub(super) fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    pub(super) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.descriptors)
    }

    pub(super) fn take_pidfd(&mut self) -> Option<OwnedFd> {
        self.pidfd.take()
    }
}

/// Whether the kernel has made descriptors for a control message.
fn is_descriptors(message: &ControlMessage<'_>) -> bool {
    message.level == libc::SOL_SOCKET && [libc::SCM_RIGHTS, SCM_PIDFD].contains(&message.r#type)
}

/// The messages of control data that bring no descriptors.
pub(super) fn others(control: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    ControlMessages::of(control).filter(|message| !is_descriptors(message))
}
