//! Messages to rings.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::access::{KEY, RingRef, WaitableRef};
use super::mail;
use super::operation::Operation;
use super::ring_id::failing;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::error::SubmitError;
use crate::operation::{self, MsgRingFlags};
use crate::register::register_sync_msg;

/// Where messages to a ring go: from other rings with [`Message`], and from threads that have none with
/// [`send`](Self::send).
///
/// A clone is another way to the same ring. It does not keep the ring: when that has been dropped or
/// closed, messages are errors.
///
/// From [`Ring::mailbox`](super::Ring::mailbox) and [`TokioRing::mailbox`](super::TokioRing::mailbox).
pub struct Mailbox {
    /// A descriptor of a ring of this layer, which takes what is not a slot's for a message.
    ring: Weak<OwnedFd>,
    /// Keeps it open while an entry names it.
    held: Option<Arc<OwnedFd>>,
}

impl Mailbox {
    /// The highest number that a message can have: all but one of 63 bits.
    pub const MAX: u64 = mail::MAX;

    /// Of a ring that has this descriptor, and understands messages.
    pub(super) fn new(ring: &Arc<OwnedFd>) -> Self {
        Self {
            ring: Arc::downgrade(ring),
            held: None,
        }
    }

    /// Sends a message in a system call of its own. It wakes who waits for messages there.
    ///
    /// # Errors
    ///
    /// * `EPIPE` if the ring is gone, `EINVAL` for a number above [`MAX`](Self::MAX).
    /// * `EOPNOTSUPP` before Linux 6.13.
    /// * `EBADFD` if the ring is not enabled yet, `EOWNERDEAD` if its thread has ended.
    /// * `EOVERFLOW` or `ENOMEM` if it has no room for the message.
    pub fn send(&self, number: u64, value: u32) -> io::Result<()> {
        let data = mail::user_data(number).ok_or_else(|| error(libc::EINVAL))?;
        let ring = self.ring.upgrade().ok_or_else(|| error(libc::EPIPE))?;
        let message = message(&ring, value, data);
        // SAFETY: the ring is one of this layer, and takes this for a message.
        let sent = unsafe { register_sync_msg(&message) };
        sent.map_err(|failed| match failed.errno {
            // Without a ring older kernels register nothing.
            libc::EBADF | libc::EINVAL => error(libc::EOPNOTSUPP),
            _ => failed.into(),
        })
    }
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// What the kernel is given.
fn message(ring: &OwnedFd, value: u32, data: u64) -> operation::MsgRing {
    operation::MsgRing {
        fd: ring.as_raw_fd(),
        len: value,
        data,
        flags: MsgRingFlags::empty(),
    }
}

impl Clone for Mailbox {
    fn clone(&self) -> Self {
        Self {
            ring: Weak::clone(&self.ring),
            held: None,
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("is_open", &(self.ring.strong_count() > 0))
            .finish_non_exhaustive()
    }
}

/// Sends a message to a ring: to another, or to the one that it is pushed to.
///
/// It wakes who waits for messages there, and needs no lock between threads. Messages of one ring to
/// another arrive in the order in which they were sent.
///
/// # Output
///
/// Nothing, when the message is in the ring's queue; or an error:
///
/// * `EPIPE` if the ring is gone, `EINVAL` for a number above [`Mailbox::MAX`].
/// * `EBADFD` if the ring is not enabled yet.
/// * `EOVERFLOW` or `ENOMEM` if it has no room for the message.
/// * `EOWNERDEAD` if its thread has ended. Newer kernels take the message all the same, and nobody gets
///   it.
///
/// # Cancellation
///
/// It is sent all the same when nobody waits for its output any longer.
///
/// ```
/// #![forbid(unsafe_code)]
/// use lio_uring::owned::{Message, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// let (here, there) = (Ring::new(8)?, Ring::new(8)?);
/// let to = there.mailbox()?;
/// let mut messages = there.messages().expect("nobody else takes them");
/// here.push(Message { to, number: 5, value: 7 })?.wait()??;
/// assert_eq!(messages.wait()?, (5, 7));
/// # Ok(())
/// # }
/// ```
///
/// Since Linux 5.18; `EINVAL` before. See [`operation::MsgRing`].
#[derive(Clone, Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Message {
    /// The ring.
    pub to: Mailbox,
    /// What the message is about: anything up to [`Mailbox::MAX`].
    pub number: u64,
    /// More of it.
    pub value: u32,
}

// SAFETY: the entry names a descriptor alone, which is held. It is that of a ring of this layer, which
// takes what the entry sends for a message.
unsafe impl Operation for Message {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let data = mail::user_data(self.number);
        self.to.held = data.and_then(|_| self.to.ring.upgrade());
        match (&self.to.held, data) {
            (Some(ring), Some(data)) => Sqe::of(&message(ring, self.value, data)),
            // It fails, and goes nowhere.
            _ => failing(),
        }
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        if self.number > Mailbox::MAX {
            return Err(error(libc::EINVAL));
        }
        if self.to.held.is_none() {
            return Err(error(libc::EPIPE));
        }
        done.result().map(drop)
    }
}

/// Takes the messages that a ring has got, in the order in which they came: the number and the value
/// of each.
///
/// What has come is kept until it is taken, also while there is none of these: the memory for it grows
/// with what was sent and nobody takes. With the feature
/// `stream` it is a `Stream` of the crate `futures-core`, which never ends.
///
/// From [`Ring::messages`](super::Ring::messages) and
/// [`TokioRing::messages`](super::TokioRing::messages).
pub struct Messages<R: RingRef> {
    ring: R,
}

impl<R: RingRef> Messages<R> {
    /// Of this ring, unless somebody else takes its messages.
    pub(super) fn of(ring: R) -> Option<Self> {
        let attached = ring.with(KEY, |core| core.store.mail.attach());
        attached.then_some(())?;
        Some(Self { ring })
    }

    /// Takes the next message if it has come. Does not look for completions.
    pub fn try_take(&mut self) -> Option<(u64, u32)> {
        self.ring.with(KEY, |core| core.store.mail.take())
    }

    /// Takes the next message, or says that it waits for one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(u64, u32)> {
        loop {
            if let Some(message) = self.try_take() {
                return Poll::Ready(message);
            }
            let waker = context.waker();
            if self.ring.with(KEY, |core| core.store.mail.has_waker(waker)) {
                return Poll::Pending;
            }
            let waker = waker.clone();
            let set = self.ring.with(KEY, |core| core.store.mail.set_waker(waker));
            // Wakers that come back are dropped here, where the ring is not borrowed.
            if set.is_ok() {
                return Poll::Pending;
            }
            // One has come in between, on another thread.
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> (u64, u32) {
        poll_fn(|context| self.poll_next(context)).await
    }
}

impl<R: WaitableRef> Messages<R> {
    /// Hands what was pushed to the kernel, waits for the next message, and takes it. It waits for ever
    /// if nobody sends one.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is lost.
    pub fn wait(&mut self) -> Result<(u64, u32), SubmitError> {
        loop {
            if let Some(message) = self.try_take() {
                return Ok(message);
            }
            if let Err(error) = self.ring.wait_for_one() {
                return self.try_take().ok_or(error);
            }
        }
    }
}

#[cfg(feature = "stream")]
impl<R: RingRef> futures_core::Stream for Messages<R> {
    type Item = (u64, u32);

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Self::poll_next(&mut self, context).map(Some)
    }
}

impl<R: RingRef> Drop for Messages<R> {
    fn drop(&mut self) {
        // Dropped here, where the ring is not borrowed.
        let waker = self.ring.with(KEY, |core| core.store.mail.detach());
        drop(waker);
    }
}

impl<R: RingRef> fmt::Debug for Messages<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Messages(..)")
    }
}
