//! Sending what waits in a queue.

use std::io;

use super::descriptor::Descriptor;
use super::picked::REFUSED;
use super::send_queue::{SendQueue, Sender};
use super::stream::Multishot;
use super::transfer::send_flags;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::kind::{OneThread, Threads};
use crate::operation;

/// Sends what is in a queue, several buffers in one go.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::io::{Read as _, Write as _};
/// use std::os::unix::net::UnixStream;
/// use lio_uring::Features;
/// use lio_uring::owned::{Ring, SendBundle};
///
/// # fn main() -> std::io::Result<()> {
/// # if !lio_uring::with_capacity(2)?.1.features().contains(Features::RECVSEND_BUNDLE) {
/// #     return Ok(());
/// # }
/// let ring = Ring::new(8)?;
/// let (socket, mut peer) = UnixStream::pair()?;
/// let mut queue = ring.register_send_queue(8, 4096)?;
/// queue.write_all(b"one and ")?;
/// queue.write_all(b"the other")?;
/// let mut sending = ring.push_stream(SendBundle::new(socket, queue.clone()))?;
/// loop {
///     while let Some(bytes) = sending.wait_next()? {
///         bytes?;
///     }
///     if queue.is_empty() {
///         break;
///     }
///     sending.rearm()?;
/// }
/// let mut text = [0; 17];
/// peer.read_exact(&mut text)?;
/// assert_eq!(&text, b"one and the other");
/// # Ok(())
/// # }
/// ```
///
/// # Items
///
/// How many bytes were sent. The stream ends as [`End::Stopped`](super::End) when the kernel sends no
/// more, as [`End::Exhausted`](super::End) if there was nothing to send. The queue need not be empty
/// then: the kernel takes 256 buffers at a time, stops when it has had to wait for the socket, and may
/// not see what is written while it sends. [`rearm`](super::Stream::rearm) sends the rest.
///
/// `EINVAL` if another operation sends from the queue, or is to be pushed again: from when it is pushed,
/// or given back for want of room, until its stream has ended or it is dropped.
///
/// After an error, or a cancellation, the queue has what was not sent, from its first byte on. The
/// socket can have taken some that nobody was told of if the error was not its own.
///
/// Since Linux 6.10; `EOPNOTSUPP` before. See [`operation::SendBundle`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendBundle<S, T: Threads = OneThread> {
    socket: S,
    queue: SendQueue<T>,
    flags: i32,
    sender: Option<Sender>,
}

impl<S, T: Threads> SendBundle<S, T> {
    /// Sends what is in this queue.
    pub fn new(socket: S, queue: SendQueue<T>) -> Self {
        Self {
            socket,
            queue,
            flags: 0,
            sender: None,
        }
    }

    /// With `MSG_*` flags. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }

    /// The queue.
    pub fn queue(&self) -> &SendQueue<T> {
        &self.queue
    }

    /// Lets others send from the queue, if this has until now.
    fn end(&self) {
        if let Some(sender) = self.sender {
            self.queue.end(sender);
        }
    }
}

// SAFETY: the entry names the socket and the group of the queue's buffers, which are owned. What is in
// the buffers is not written to until it was sent, or the operation has ended.
unsafe impl<S: Descriptor, T: Threads> Multishot for SendBundle<S, T> {
    type Item = usize;

    fn entry(&mut self) -> Sqe {
        self.end();
        self.sender = self.queue.begin();
        let target = self.socket.target();
        let mut sqe = target.entry(&operation::SendBundle {
            sockfd: target.number(),
            len: 0,
            flags: send_flags(self.flags),
        });
        self.queue.select(&mut sqe);
        if self.sender.is_none() {
            sqe.insert_recv_send_flags(REFUSED);
        }
        sqe
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<usize>> {
        let sent = done.result().map(i32::cast_unsigned);
        if let (Ok(bytes), Some(_)) = (&sent, self.sender) {
            self.queue.note_sent(*bytes);
        }
        if !done.more() {
            self.end();
        }
        sent.map(|bytes| Some(bytes as usize))
    }
}

impl<S, T: Threads> Drop for SendBundle<S, T> {
    fn drop(&mut self) {
        // It may never have been pushed.
        self.end();
    }
}
