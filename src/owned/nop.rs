//! Doing nothing.

use std::io;

use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// Does nothing, and ends.
///
/// See [`operation::Nop`].
#[derive(Clone, Copy, Debug)]
pub struct Nop;

// SAFETY: the entry points to nothing.
unsafe impl Operation for Nop {
    type Output = io::Result<()>;

    #[inline]
    fn entry(&mut self) -> Sqe {
        Sqe::of(&operation::Nop)
    }

    #[inline]
    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}
