//! What stands for an operation of a scope that completes again and again.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::ManuallyDrop;
use std::task::{Context, Poll};

use super::cancel::CancelRequest;
use super::members::Members;
use super::ring::{Full, Ring};
use super::scoped::Scoped;
use super::stream::{End, Multishot, Stream};
use super::ticket::Ticket;
use crate::error::SubmitError;

/// Stands for an operation with many results that was pushed within a scope, as a [`Stream`] does.
///
/// When the closure has returned, the scope ends the operation and disposes of what nobody has taken.
/// A stream that is still there then, in an operation of the same scope, stands for nothing any longer:
/// it can only be dropped.
///
/// With the feature `stream` it is a `Stream` of the crate `futures-core`.
#[must_use = "dropping a stream ends its operation"]
pub struct ScopedStream<'scope, O: Multishot> {
    stream: ManuallyDrop<Stream<&'scope Ring, Scoped<'scope, O>>>,
    members: &'scope Members,
}

impl<'scope, O: Multishot> ScopedStream<'scope, O> {
    pub(super) fn new(
        stream: Stream<&'scope Ring, Scoped<'scope, O>>,
        members: &'scope Members,
    ) -> Self {
        Self {
            stream: ManuallyDrop::new(stream),
            members,
        }
    }

    /// The stream, which is still good.
    fn into_stream(self) -> Stream<&'scope Ring, Scoped<'scope, O>> {
        self.members.assert_open();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it is not dropped after this, and taken once.
        unsafe { ManuallyDrop::take(&mut this.stream) }
    }

    /// Why it has ended, once all its items have been taken.
    pub fn end(&self) -> Option<End> {
        self.stream.end()
    }

    /// Takes the next item if it has come. Does not look for completions.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn try_next(&mut self) -> Option<io::Result<O::Item>> {
        self.members.assert_open();
        self.stream.try_next()
    }

    /// Takes the next item, or says that it waits for one. `None` when the stream has ended.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<O::Item>>> {
        self.members.assert_open();
        self.stream.poll_next(context)
    }

    /// The next item. `None` when the stream has ended: see [`end`](Self::end).
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub async fn next(&mut self) -> Option<io::Result<O::Item>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// See [`Stream::wait_next`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is lost.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn wait_next(&mut self) -> Result<Option<io::Result<O::Item>>, SubmitError> {
        self.members.assert_open();
        self.stream.wait_next()
    }

    /// See [`Stream::rearm`].
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for its entry until what was pushed is submitted.
    ///
    /// # Panics
    ///
    /// If it has not ended, and after the closure has returned.
    pub fn rearm(&mut self) -> Result<(), Full<()>> {
        self.members.assert_open();
        self.stream.rearm()
    }

    /// See [`Stream::cancel`].
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for the request.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn cancel(&self) -> Result<Ticket<&'scope Ring, CancelRequest>, Full<()>> {
        self.members.assert_open();
        self.stream.cancel()
    }

    /// The operation, with what it owns and borrows, once the stream has ended.
    ///
    /// # Errors
    ///
    /// Otherwise the stream.
    ///
    /// # Panics
    ///
    /// After the closure has returned.
    pub fn into_operation(self) -> Result<O, Self> {
        let members = self.members;
        match self.into_stream().into_operation() {
            Ok(scoped) => Ok(scoped.into_operation()),
            Err(stream) => Err(Self::new(stream, members)),
        }
    }
}

#[cfg(feature = "stream")]
impl<O: Multishot> futures_core::Stream for ScopedStream<'_, O> {
    type Item = io::Result<O::Item>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Self::poll_next(&mut self, context)
    }
}

impl<O: Multishot> Drop for ScopedStream<'_, O> {
    fn drop(&mut self) {
        // Otherwise the scope has let go of the operation, and its slot may be another's.
        if !self.members.are_ending() {
            // SAFETY: a value is dropped once, and one that was taken is not.
            unsafe { ManuallyDrop::drop(&mut self.stream) };
        }
    }
}

impl<O: Multishot> fmt::Debug for ScopedStream<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedStream")
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}
