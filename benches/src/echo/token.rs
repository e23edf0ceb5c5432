//! What an operation of the servers on a ring is for. It travels as `user_data`.

use std::os::fd::RawFd;

/// What an operation does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Accept,
    Receive,
    Send,
    Close,
}

/// What it does, for which connection, and with which buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) buffer: u16,
    pub(super) fd: RawFd,
}

impl Token {
    /// An operation without a buffer.
    #[inline]
    pub(super) fn new(kind: Kind, fd: RawFd) -> Self {
        Self {
            kind,
            buffer: 0,
            fd,
        }
    }

    #[inline]
    pub(super) fn user_data(self) -> u64 {
        let fd = u64::from(self.fd.cast_unsigned());
        (self.kind as u64) << 48 | u64::from(self.buffer) << 32 | fd
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is taken to pieces")]
    pub(super) fn from_user_data(user_data: u64) -> Self {
        Self {
            kind: match user_data >> 48 {
                0 => Kind::Accept,
                1 => Kind::Receive,
                2 => Kind::Send,
                _ => Kind::Close,
            },
            buffer: (user_data >> 32) as u16,
            fd: (user_data as u32).cast_signed(),
        }
    }
}
