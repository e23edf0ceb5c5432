//! Messages to rings.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::access::{KEY, RingRef, WaitableRef};
use super::core::Core;
use super::door::{self, Door, Passage};
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
/// From [`Ring::mailbox`](super::Ring::mailbox) and `TokioRing::mailbox`.
pub struct Mailbox {
    door: Weak<Door>,
}

impl Mailbox {
    /// The highest number that a message can have: all but one of 63 bits.
    pub const MAX: u64 = mail::MAX;

    /// How many messages a ring can have that nobody has taken yet.
    pub const LIMIT: u32 = door::LIMIT;

    pub(super) fn new(door: &Arc<Door>) -> Self {
        Self {
            door: Arc::downgrade(door),
        }
    }

    /// Makes way for a message with this number: what the message is sent to, and what it arrives with.
    fn enter(&self, number: u64) -> Result<(Passage, u64), Closed> {
        let data = mail::user_data(number).ok_or(Closed(libc::EINVAL))?;
        let door = self.door.upgrade().ok_or(Closed(libc::EPIPE))?;
        let passage = door.enter().ok_or(Closed(libc::EAGAIN))?;
        Ok((passage, data))
    }

    /// Sends a message in a system call of its own. It wakes who waits for messages there.
    ///
    /// # Errors
    ///
    /// * `EPIPE` if the ring is gone, `EINVAL` for a number above [`MAX`](Self::MAX).
    /// * `EAGAIN` if it has [as many messages](Self::LIMIT) as it can have until some are taken.
    /// * `EOPNOTSUPP` before Linux 6.13.
    /// * `EBADFD` if the ring is not enabled yet, `EOWNERDEAD` if its thread has ended.
    /// * `EOVERFLOW` or `ENOMEM` if it has no room for the message.
    pub fn send(&self, number: u64, value: u32) -> io::Result<()> {
        let (passage, data) = self.enter(number)?;
        let message = message(&passage, value, data);
        // SAFETY: the ring is one of this layer, and takes this for a message.
        let sent = unsafe { register_sync_msg(&message) };
        match sent {
            Ok(()) => {
                passage.pass();
                Ok(())
            }
            // Without a ring older kernels register nothing.
            Err(failed) if [libc::EBADF, libc::EINVAL].contains(&failed.errno) => {
                Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
            }
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Why a message cannot be sent: the error's number.
#[derive(Clone, Copy, Debug)]
struct Closed(i32);

impl From<Closed> for io::Error {
    fn from(closed: Closed) -> Self {
        Self::from_raw_os_error(closed.0)
    }
}

/// What the kernel is given.
fn message(passage: &Passage, value: u32, data: u64) -> operation::MsgRing {
    operation::MsgRing {
        fd: passage.as_raw_fd(),
        len: value,
        data,
        flags: MsgRingFlags::empty(),
    }
}

impl Clone for Mailbox {
    fn clone(&self) -> Self {
        Self {
            door: Weak::clone(&self.door),
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("is_open", &(self.door.strong_count() > 0))
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
/// * `EAGAIN` if it has [as many messages](Mailbox::LIMIT) as it can have until some are taken.
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
/// here.push(Message::new(to, 5, 7))?.wait()??;
/// assert_eq!(messages.wait()?, (5, 7));
/// # Ok(())
/// # }
/// ```
///
/// Since Linux 5.18; `EINVAL` before. See [`operation::MsgRing`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct Message {
    to: Mailbox,
    number: u64,
    value: u32,
    /// What its entry names, or why it fails.
    passage: Result<Passage, Closed>,
}

impl Message {
    /// A message about a number, anything up to [`Mailbox::MAX`], with a value.
    pub fn new(to: Mailbox, number: u64, value: u32) -> Self {
        Self {
            to,
            number,
            value,
            passage: Err(Closed(libc::ECANCELED)),
        }
    }
}

// SAFETY: the entry names a descriptor alone, which is held. It is that of a ring of this layer, which
// takes what the entry sends for a message.
unsafe impl Operation for Message {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        // It may have been asked before, and not been pushed.
        self.passage = Err(Closed(libc::ECANCELED));
        match self.to.enter(self.number) {
            Ok((passage, data)) => {
                let sqe = Sqe::of(&message(&passage, self.value, data));
                self.passage = Ok(passage);
                sqe
            }
            Err(closed) => {
                self.passage = Err(closed);
                // It fails, and goes nowhere.
                failing()
            }
        }
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        let passage = self.passage?;
        done.result().map(|_| passage.pass())
    }
}

/// Takes the messages that a ring has got, in the order in which they came: the number and the value
/// of each.
///
/// What has come is kept until it is taken, also while there is none of these, up to
/// [`Mailbox::LIMIT`]. With the feature `stream` it is a `Stream` of the crate `futures-core`, which
/// never ends.
///
/// From [`Ring::messages`](super::Ring::messages) and
/// `TokioRing::messages`.
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
        self.ring.with(KEY, Core::take_message)
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
