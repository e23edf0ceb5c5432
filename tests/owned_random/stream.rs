//! Streams, among the tickets of a random sequence.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll as Polled};

use lio_uring::owned::{
    AcceptMulti, BufferGroup, Cancelled, End, Lent, Multishot, RecvMulti, RecvPicked, Ring, Stream,
};

use crate::task::{Task, Wait};
use crate::{ACCEPTS, BYTES, Held, Kind, POLLS, Sequence, is_stopped, number};

/// How many buffers there are in the group of a sequence.
pub(crate) const GROUP: u16 = 8;

const STREAMS: Kind = Kind {
    is_stream: true,
    ..POLLS
};
const ACCEPTS_ALL: Kind = Kind {
    is_stream: true,
    ..ACCEPTS
};

/// A stream, and what its items must be.
struct WithStream<'r, O: Multishot, C> {
    stream: Stream<&'r Ring, O>,
    check: C,
    kind: Kind,
    /// How often it is armed again.
    again: u32,
    wait: Option<Wait>,
}

impl<'r, O: Multishot + 'r, C: FnMut(O::Item) + 'r> WithStream<'r, O, C> {
    fn item(&mut self, item: io::Result<O::Item>) {
        if let Some(wait) = self.wait.take() {
            wait.assert_woken();
        }
        match item {
            Ok(item) => (self.check)(item),
            Err(error) => assert!(is_stopped(&error), "{error}"),
        }
    }

    /// Goes on, if it has ended and may.
    fn go_on(mut self: Box<Self>) -> Option<Box<dyn Held<'r> + 'r>> {
        let Some(end) = self.stream.end() else {
            return Some(self);
        };
        if end == End::Failed || self.again == 0 {
            assert!(self.stream.into_operation().is_ok(), "it has ended");
            return None;
        }
        if self.stream.rearm().is_ok() {
            self.again -= 1;
        }
        Some(self)
    }
}

impl<'r, O: Multishot + 'r, C: FnMut(O::Item) + 'r> Held<'r> for WithStream<'r, O, C> {
    fn try_take(mut self: Box<Self>) -> Option<Box<dyn Held<'r> + 'r>> {
        while let Some(item) = self.stream.try_next() {
            self.item(item);
        }
        self.go_on()
    }

    fn poll(mut self: Box<Self>, task: &Task) -> Option<Box<dyn Held<'r> + 'r>> {
        let waker = task.waker();
        match self.stream.poll_next(&mut Context::from_waker(&waker)) {
            Polled::Ready(Some(item)) => self.item(item),
            Polled::Ready(None) => self.wait = None,
            Polled::Pending => self.wait = Some(task.wait()),
        }
        Some(self)
    }

    fn assert_woken(&self) {
        // That is seen when an item is taken.
    }

    fn wait(self: Box<Self>) {
        unreachable!("it does not end by itself");
    }

    fn cancel(&self) {
        if let Ok(cancel) = self.stream.cancel() {
            let answer = cancel.wait().expect("a wait").expect("an answer");
            assert!(answer != Cancelled::Running, "nothing runs on a worker");
        }
    }

    fn forget(self: Box<Self>) {
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        std::mem::forget(self.stream);
    }

    fn kind(&self) -> Kind {
        self.kind
    }
}

impl<'r> Sequence<'r> {
    fn held_stream<O, C>(
        &mut self,
        kind: Kind,
        operation: O,
        check: C,
    ) -> Option<Box<dyn Held<'r> + 'r>>
    where
        O: Multishot + 'static,
        C: FnMut(O::Item) + 'r,
    {
        let stream = self.ring.push_stream(operation).ok()?;
        Some(Box::new(WithStream {
            stream,
            check,
            kind,
            again: self.random.u32(..4),
            wait: None,
        }))
    }

    /// What must be in a piece that was received. Some are kept for a while.
    fn check_piece(&mut self) -> impl FnMut(Lent) + use<'r> {
        let received = Rc::clone(&self.received);
        let lent = Rc::clone(&self.lent);
        let mut random = self.random.fork();
        move |piece: Lent| {
            assert_eq!(piece.len(), BYTES);
            let number = number(&piece);
            assert!(received.borrow_mut().insert(number), "received twice");
            if random.bool() {
                lent.borrow_mut().push((number, piece));
            }
        }
    }

    /// Pushes something that takes buffers from the group, or goes on and on.
    pub(crate) fn push_stream(&mut self, buffers: &BufferGroup) -> Option<Box<dyn Held<'r> + 'r>> {
        let buffers = buffers.clone();
        match self.random.u8(..3) {
            0 => {
                let listener = self.lasting(&self.world.listener);
                let accept = AcceptMulti { listener };
                self.held_stream(ACCEPTS_ALL, accept, |accepted: OwnedFd| drop(accepted))
            }
            1 => {
                let recv = RecvMulti {
                    socket: self.lasting(&self.world.local),
                    buffers,
                    flags: 0,
                };
                let check = self.check_piece();
                self.held_stream(STREAMS, recv, check)
            }
            _ => {
                let recv = RecvPicked {
                    socket: self.lasting(&self.world.local),
                    buffers,
                    flags: 0,
                };
                let mut check = self.check_piece();
                self.held(
                    POLLS,
                    recv,
                    move |piece: io::Result<Option<Lent>>| match piece {
                        Ok(piece) => check(piece.expect("messages are not empty")),
                        Err(error) => {
                            let exhausted = error.raw_os_error() == Some(libc::ENOBUFS);
                            assert!(exhausted || is_stopped(&error), "{error}");
                        }
                    },
                )
            }
        }
    }
}
