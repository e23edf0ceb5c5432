//! What stands for an operation that completes again and again.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::task::{Context, Poll};

use super::access::{KEY, RingRef, WaitableRef};
use super::cancel::CancelRequest;
use super::core::Core;
use super::places::SlotId;
use super::ring::Full;
use super::slot;
use super::ticket::{Ticket, Unpushed};
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::error::SubmitError;

/// An operation that completes again and again, each time with an item, until it is stopped or the
/// kernel gives it up.
///
/// # Safety
///
/// What implementors of [`Operation`](super::Operation) promise; but the operation completes any
/// number of times, with `IORING_CQE_F_MORE` each time but the last.
pub unsafe trait Multishot: Sized {
    /// What each completion brings.
    type Item;

    /// The entry. The value stays where it is from here on. It is asked again when the operation is
    /// armed again.
    fn entry(&mut self) -> Sqe;

    /// Makes the item of a completion; nothing, if it says that there are no more.
    ///
    /// # Errors
    ///
    /// What the completion says, which is the last then. `ENOBUFS` and `ECANCELED` become
    /// [`End::Exhausted`] and [`End::Cancelled`].
    ///
    /// # Safety
    ///
    /// The completion is one of the operation's own, as the ring passes it on, and this is called once
    /// for it.
    unsafe fn item(&self, done: Completion) -> io::Result<Option<Self::Item>>;
}

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// There is nothing more: the peer has ended its side.
    Finished,
    /// The kernel has stopped although there can be more: its queue of completions was full, or it
    /// is too old to go on after the first item. [`rearm`](Stream::rearm) goes on.
    Stopped,
    /// The group had no buffer left. [`rearm`](Stream::rearm) goes on when some were given back.
    Exhausted,
    /// It was asked to stop.
    Cancelled,
    /// The last item was an error.
    Failed,
}

/// Stands for an operation with many results, and gets them in order.
///
/// What has come is kept until it is taken, so a stream that nobody asks keeps descriptors open and
/// buffers away from their group.
///
/// Dropping it ends the operation and disposes of what has come, and of what still comes: descriptors
/// are closed, buffers go back.
///
/// With the feature `stream` it is a `Stream` of the crate `futures-core`.
#[must_use = "dropping a stream ends its operation"]
pub struct Stream<R: RingRef, O: Multishot> {
    ring: R,
    id: SlotId,
    end: Option<End>,
    _operation: PhantomData<fn() -> O>,
}

impl<R: RingRef, O: Multishot> Stream<R, O> {
    pub(super) fn push(ring: R, operation: O) -> Result<Self, Full<O>> {
        let (unpushed, sqe) = Unpushed::place(&ring, operation, O::entry)?;
        let id = unpushed.id();
        // SAFETY: the entry is that of the operation in this slot.
        let pushed = ring.with(KEY, |core| unsafe { core.push_stream(id, &sqe) });
        if pushed.is_err() {
            return Err(Full(unpushed.take()));
        }
        unpushed.leave_to_kernel();
        Ok(Self {
            ring,
            id,
            end: None,
            _operation: PhantomData,
        })
    }

    /// The slot.
    pub(super) fn id(&self) -> SlotId {
        self.id
    }

    /// Why it has ended, once all its items have been taken.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Takes the next item if it has come. Does not look for completions.
    pub fn try_next(&mut self) -> Option<io::Result<O::Item>> {
        while self.end.is_none() {
            let done = self.ring.with(KEY, |core| core.store.next_item(self.id))?;
            if let Some(item) = self.item(done) {
                return Some(item);
            }
        }
        None
    }

    /// What a completion brings, and whether it ends the stream.
    fn item(&mut self, done: Completion) -> Option<io::Result<O::Item>> {
        let last = !done.more();
        if last {
            // Nothing more comes, even if the operation's code panics.
            self.end = Some(End::Failed);
        }
        let item = self.operation_item(done);
        let (end, item) = match item {
            Ok(Some(item)) => (End::Stopped, Some(Ok(item))),
            Ok(None) => (End::Finished, None),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => (End::Exhausted, None),
                Some(libc::ECANCELED) => (End::Cancelled, None),
                _ => (End::Failed, Some(Err(error))),
            },
        };
        if last {
            self.end = Some(end);
        }
        item
    }

    /// What a completion that was taken from the slot's items brings.
    fn operation_item(&self, done: Completion) -> io::Result<Option<O::Item>> {
        let kept = self.ring.with(KEY, |core| core.kept(self.id));
        // SAFETY: the stream has the slot, which holds such an operation.
        let operation = unsafe { kept.operation::<O>() };
        // SAFETY: nobody else uses it but the kernel, which at most reads it.
        let operation = unsafe { operation.as_ref() };
        // SAFETY: it was just taken from the slot's items.
        unsafe { operation.item(done) }
    }

    /// Takes the next item, or says that it waits for one. `None` when the stream has ended.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<O::Item>>> {
        loop {
            if let Some(item) = self.try_next() {
                return Poll::Ready(Some(item));
            }
            if self.end.is_some() {
                return Poll::Ready(None);
            }
            let (id, waker) = (self.id, context.waker());
            if self.ring.with(KEY, |core| core.store.has_waker(id, waker)) {
                return Poll::Pending;
            }
            let waker = waker.clone();
            // Wakers that come back are dropped here, where the ring is not borrowed.
            if self
                .ring
                .with(KEY, |core| core.store.set_waker(id, waker))
                .is_ok()
            {
                return Poll::Pending;
            }
            // Something has come in between, on another thread.
        }
    }

    /// The next item. `None` when the stream has ended: see [`end`](Self::end).
    pub async fn next(&mut self) -> Option<io::Result<O::Item>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Starts the operation again after it has ended, as it was.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for its entry until what was pushed is submitted.
    ///
    /// # Panics
    ///
    /// If it has not ended.
    pub fn rearm(&mut self) -> Result<(), Full<()>> {
        assert!(self.end.is_some(), "the stream has not ended");
        let kept = self.ring.with(KEY, |core| core.kept(self.id));
        // SAFETY: the stream has the slot, which holds such an operation.
        let mut operation = unsafe { kept.operation::<O>() };
        // SAFETY: nobody else uses it: the kernel has ended it.
        let sqe = unsafe { operation.as_mut() }.entry();
        let push = |core: &mut Core<_>| {
            // SAFETY: the entry is that of the operation in this slot.
            unsafe { core.push_stream(self.id, &sqe) }
        };
        self.ring.with(KEY, push).map_err(|_| Full(()))?;
        self.end = None;
        self.ring.flush();
        Ok(())
    }

    /// Asks the kernel to stop the operation. What has come until then can still be taken, and then
    /// the stream ends.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for the request.
    pub fn cancel(&self) -> Result<Ticket<R, CancelRequest>, Full<()>>
    where
        R: Clone,
    {
        Ticket::push(self.ring.clone(), CancelRequest::new(self.id)).map_err(|_| Full(()))
    }

    /// The operation, with what it owns, once the stream has ended.
    ///
    /// # Errors
    ///
    /// Otherwise the stream.
    pub fn into_operation(mut self) -> Result<O, Self> {
        if self.end.is_none() {
            return Err(self);
        }
        Ok(self.take_operation())
    }

    /// Lets go of an operation that has not ended, and says whether that was so.
    fn abandon(&self) -> bool {
        let abandon = |core: &mut Core<_>| core.abandon(self.id, slot::dispose_item::<O>, true);
        let Ok(waker) = self.ring.with(KEY, abandon) else {
            return false;
        };
        // Dropped here, where the ring is not borrowed.
        drop(waker);
        self.ring.flush();
        true
    }

    /// Takes the operation out of its slot, where it is not used any longer.
    fn take_operation(&mut self) -> O {
        // SAFETY: the stream has the slot, which holds such an operation, and gives it up; the last
        // item was taken.
        let take = |core: &mut Core<_>| unsafe { core.take_out(self.id) };
        let operation = self.ring.with(KEY, take);
        self.id = SlotId::NONE;
        self.ring.freed();
        operation
    }
}

impl<R: WaitableRef, O: Multishot> Stream<R, O> {
    /// Hands what was pushed to the kernel, waits for the next item, and takes it. `None` when the
    /// stream has ended.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is lost.
    pub fn wait_next(&mut self) -> Result<Option<io::Result<O::Item>>, SubmitError> {
        loop {
            if let Some(item) = self.try_next() {
                return Ok(Some(item));
            }
            if self.end.is_some() {
                return Ok(None);
            }
            if let Err(error) = self.ring.wait_for_one() {
                return self.try_next().map(Some).ok_or(error);
            }
        }
    }
}

#[cfg(feature = "stream")]
impl<R: RingRef, O: Multishot> futures_core::Stream for Stream<R, O> {
    type Item = io::Result<O::Item>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Self::poll_next(&mut self, context)
    }
}

impl<R: RingRef, O: Multishot> Drop for Stream<R, O> {
    fn drop(&mut self) {
        /// Abandons the operation if an item panics.
        struct Abandoned<'a, R: RingRef, O: Multishot>(&'a mut Stream<R, O>);
        impl<R: RingRef, O: Multishot> Drop for Abandoned<'_, R, O> {
            fn drop(&mut self) {
                self.0.abandon();
            }
        }

        if self.id == SlotId::NONE {
            return;
        }
        loop {
            let items = Abandoned(self);
            while items.0.try_next().is_some() {}
            // Whatever panics from here on, the slot may be another's by then.
            let _items = ManuallyDrop::new(items);
            if self.end.is_some() {
                drop(self.take_operation());
                return;
            }
            // Otherwise it has ended in between, on another thread.
            if self.abandon() {
                return;
            }
        }
    }
}

impl<R: RingRef, O: Multishot> fmt::Debug for Stream<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
