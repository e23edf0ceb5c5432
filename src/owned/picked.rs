//! Receiving and reading into buffers that the kernel picks from a group.

use std::io;

use super::buffer_group::{BufferGroup, Bundle, Lent};
use super::descriptor::Descriptor;
use super::operation::Operation;
use super::stream::Multishot;
use super::transfer::recv_flags;
use crate::completion::Completion;
use crate::entry::{RecvSendFlags, Sqe};
use crate::kind::{OneThread, Threads};
use crate::operation;

/// The entry of a receive into a group's buffers.
fn receive<S: Descriptor, T: Threads>(
    socket: &S,
    buffers: &BufferGroup<T>,
    flags: i32,
    multishot: bool,
    bundle: bool,
) -> Sqe {
    let target = socket.target();
    let (sockfd, buf, len) = (target.number(), std::ptr::null_mut(), 0);
    // Waiting for more, the kernel goes on writing to buffers that it has told of, or given to others.
    let flags = recv_flags(flags) & !libc::MSG_WAITALL;
    let mut sqe = if multishot {
        target.entry(&operation::RecvMulti {
            sockfd,
            buf,
            len,
            flags,
        })
    } else {
        target.entry(&operation::Recv {
            sockfd,
            buf,
            len,
            flags,
        })
    };
    buffers.select(&mut sqe);
    if bundle {
        sqe.insert_recv_send_flags(if buffers.is_incremental() {
            REFUSED
        } else {
            RecvSendFlags::BUNDLE
        });
    }
    sqe
}

/// A flag that no kernel knows, for what some kernels would take and do wrong.
pub(super) const REFUSED: RecvSendFlags = RecvSendFlags::from_bits_retain(1 << 15);

/// The entry of a read into a group's buffer.
fn read<F: Descriptor, T: Threads>(
    file: &F,
    buffers: &BufferGroup<T>,
    entry: impl FnOnce(super::Target) -> Sqe,
) -> Sqe {
    let mut sqe = entry(file.target());
    buffers.select(&mut sqe);
    if buffers.is_incremental() {
        sqe.insert_io_priority(REFUSED_PRIORITY);
    }
    sqe
}

/// A class of priorities that there is not.
const REFUSED_PRIORITY: u16 = 7 << 13;

/// Receives from a socket, into a buffer of a group that is picked when there is something to
/// receive.
///
/// # Output
///
/// What was received; nothing, if the peer has ended its side. `ENOBUFS` if the group had no buffer
/// left: nothing is lost.
///
/// # Cancellation
///
/// What has been received when nobody waits for it any longer is lost. The buffer goes back.
///
/// See [`operation::Recv`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvPicked<S, T: Threads = OneThread> {
    /// The socket.
    pub socket: S,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// `MSG_*`, or 0. `MSG_TRUNC` and `MSG_WAITALL` are taken away.
    pub flags: i32,
}

// SAFETY: the entry names the socket and the group, which are owned. The group's buffers are nobody
// else's until they are lent.
unsafe impl<S: Descriptor, T: Threads> Operation for RecvPicked<S, T> {
    type Output = io::Result<Option<Lent<T>>>;

    fn entry(&mut self) -> Sqe {
        receive(&self.socket, &self.buffers, self.flags, false, false)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        filled(done, self.buffers.lend(&done))
    }
}

/// What a completion brings, unless it is an error, or nothing was put into the buffer.
fn filled<B>(done: Completion, lent: Option<B>) -> io::Result<Option<B>> {
    done.result().map(|bytes| lent.filter(|_| bytes > 0))
}

/// Receives from a socket again and again, each time into a buffer of a group.
///
/// # Items
///
/// What was received, piece by piece. The stream ends as [`End::Finished`](super::End) when the peer
/// has ended its side, and with an empty datagram; as [`End::Exhausted`](super::End) when the group
/// had no buffer left, which loses nothing: give buffers back and arm it again.
///
/// See [`operation::RecvMulti`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvMulti<S, T: Threads = OneThread> {
    /// The socket.
    pub socket: S,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// `MSG_*`, or 0. `MSG_TRUNC` and `MSG_WAITALL` are taken away.
    pub flags: i32,
}

// SAFETY: as for `RecvPicked`.
unsafe impl<S: Descriptor, T: Threads> Multishot for RecvMulti<S, T> {
    type Item = Lent<T>;

    fn entry(&mut self) -> Sqe {
        receive(&self.socket, &self.buffers, self.flags, true, false)
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<Lent<T>>> {
        filled(done, self.buffers.lend(&done))
    }
}

/// Receives from a socket as much as there is, into as many buffers of a group as that takes.
///
/// # Output
///
/// As of [`RecvPicked`], in one buffer or several.
///
/// Since Linux 6.10. See [`RecvSendFlags::BUNDLE`](crate::RecvSendFlags::BUNDLE).
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvBundle<S, T: Threads = OneThread> {
    /// The socket.
    pub socket: S,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// `MSG_*`, or 0. `MSG_TRUNC` and `MSG_WAITALL` are taken away.
    pub flags: i32,
}

// SAFETY: as for `RecvPicked`.
unsafe impl<S: Descriptor, T: Threads> Operation for RecvBundle<S, T> {
    type Output = io::Result<Option<Bundle<T>>>;

    fn entry(&mut self) -> Sqe {
        receive(&self.socket, &self.buffers, self.flags, false, true)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        filled(done, self.buffers.lend_bundle(&done))
    }
}

/// Receives from a socket again and again, each time as much as there is, into as many buffers of a
/// group as that takes.
///
/// # Items
///
/// As of [`RecvMulti`], in one buffer or several.
///
/// Since Linux 6.10. See [`RecvSendFlags::BUNDLE`](crate::RecvSendFlags::BUNDLE).
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvMultiBundle<S, T: Threads = OneThread> {
    /// The socket.
    pub socket: S,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// `MSG_*`, or 0. `MSG_TRUNC` and `MSG_WAITALL` are taken away.
    pub flags: i32,
}

// SAFETY: as for `RecvPicked`.
unsafe impl<S: Descriptor, T: Threads> Multishot for RecvMultiBundle<S, T> {
    type Item = Bundle<T>;

    fn entry(&mut self) -> Sqe {
        receive(&self.socket, &self.buffers, self.flags, true, true)
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<Bundle<T>>> {
        filled(done, self.buffers.lend_bundle(&done))
    }
}

/// Reads from a file, into a buffer of a group that is picked when there is something to read.
///
/// # Output
///
/// What was read; nothing at the file's end. `ENOBUFS` if the group had no buffer left; `EINVAL` if
/// the group is [incremental](super::BufferGroupParams::incremental).
///
/// See [`operation::Read`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct ReadPicked<F, T: Threads = OneThread> {
    /// The file.
    pub file: F,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// Where in the file to read, or `u64::MAX` for its position.
    pub offset: u64,
}

// SAFETY: as for `RecvPicked`.
unsafe impl<F: Descriptor, T: Threads> Operation for ReadPicked<F, T> {
    type Output = io::Result<Option<Lent<T>>>;

    fn entry(&mut self) -> Sqe {
        read(&self.file, &self.buffers, |target| {
            target.entry(&operation::Read {
                fd: target.number(),
                ptr: std::ptr::null_mut(),
                len: self.buffers.buffer_len(),
                offset: self.offset,
            })
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        filled(done, self.buffers.lend(&done))
    }
}

/// Reads from a pipe, a terminal or another file that can be waited for, again and again, each time
/// into a buffer of a group.
///
/// # Items
///
/// What was read, piece by piece. The stream ends as that of [`RecvMulti`]; with the error `EBADFD`
/// if the file cannot be waited for; with `EINVAL` if the group is
/// [incremental](super::BufferGroupParams::incremental).
///
/// Since Linux 6.7. See [`operation::ReadMulti`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct ReadMulti<F, T: Threads = OneThread> {
    /// The file.
    pub file: F,
    /// The buffers.
    pub buffers: BufferGroup<T>,
}

// SAFETY: as for `RecvPicked`.
unsafe impl<F: Descriptor, T: Threads> Multishot for ReadMulti<F, T> {
    type Item = Lent<T>;

    fn entry(&mut self) -> Sqe {
        read(&self.file, &self.buffers, |target| {
            target.entry(&operation::ReadMulti {
                fd: target.number(),
                nbytes: 0,
                offset: u64::MAX,
                buf_group: 0,
            })
        })
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<Lent<T>>> {
        filled(done, self.buffers.lend(&done))
    }
}
