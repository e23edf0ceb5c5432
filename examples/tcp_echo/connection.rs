//! One connection: what it has in flight, and what comes next.
//!
//! The life of a connection:
//!
//! 1. *Open*: a multishot receive is armed. Each chunk that it brings joins the queue, and the
//!    first of the queue is being sent. There is never more than one send, so the order is kept.
//!    While the queue holds more than its share of the buffers, the receive is paused.
//! 2. *Ended*: the peer has closed its side, or the server stops. What is queued is still sent.
//! 3. *Failed*: the connection was reset, or is given up. It is shut down, which ends whatever is
//!    in flight, and what is queued is dropped.
//! 4. *Closing*: nothing is in flight any more, and the descriptor is being closed.
//!
//! The slot is given to another connection only after the close has completed.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;

use lio_uring::operation::{Cancel, CancelFlags, Close, RecvMulti, Send, Shutdown};
use lio_uring::{Completion, QueueFull};

use crate::buffers::{Buffers, Queue};
use crate::entries::{Entries, Kind, Token};

/// What came of a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes.
    Data(u32),
    /// No data, but no error either: it ended, or was paused.
    Nothing,
    /// It found no buffer, and the connection has to be woken when there is one.
    NoBuffer,
    /// The connection is of no more use.
    Failed,
}

/// What came of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    Part,
    Nothing,
    /// The connection is of no more use.
    Failed,
}

/// How far a connection's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is to be received.
    Ended,
    Failed,
}

/// The state of the multishot receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    Idle,
    Armed,
    /// It found no buffer.
    Waiting,
}

pub(crate) struct Connection {
    /// Open until nothing is in flight but the close.
    fd: Option<OwnedFd>,
    phase: Phase,
    queue: Queue,
    /// How many of its operations have not ended.
    in_flight: u8,
    receive: Receive,
    /// A cancellation of the receive is in flight.
    pausing: bool,
    /// A send is in flight, from the first buffer of the queue.
    sending: bool,
}

impl Connection {
    fn new(fd: OwnedFd) -> Self {
        Self {
            fd: Some(fd),
            phase: Phase::Open,
            queue: Queue::EMPTY,
            in_flight: 0,
            receive: Receive::Idle,
            pausing: false,
            sending: false,
        }
    }

    fn fd(&self) -> RawFd {
        self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub(crate) fn holds_buffers(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Lets a receive that found no buffer be armed again, by [`advance`](Self::advance).
    pub(crate) fn wake(&mut self) {
        if self.receive == Receive::Waiting {
            self.receive = Receive::Idle;
        }
    }

    /// Starts what can be started: at most two operations. To be called after each change.
    pub(crate) fn advance(
        &mut self,
        token: Token,
        buffers: &Buffers,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        let finished = match self.phase {
            Phase::Open => false,
            Phase::Ended => self.queue.is_empty(),
            Phase::Failed => true,
        };
        if finished {
            return if self.in_flight == 0 {
                self.close(token, entries)
            } else {
                Ok(())
            };
        }
        if !self.sending {
            self.send(token, buffers, entries)?;
        }
        let room = self.queue.len() <= buffers.fair_share() / 2;
        if room && self.phase == Phase::Open && self.receive == Receive::Idle {
            self.receive(token, buffers.group(), entries)?;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        token: Token,
        group: u16,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        let receive = RecvMulti {
            sockfd: self.fd(),
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        let token = token.with(Kind::Receive);
        // SAFETY: the group's buffers fulfil the conditions that `Buffers` has provided them
        // under. The socket is this connection's, and stays open while something is in flight.
        unsafe { entries.push_with(&receive, token, |sqe| sqe.select_buffer(group)) }?;
        self.in_flight += 1;
        self.receive = Receive::Armed;
        Ok(())
    }

    fn send(
        &mut self,
        token: Token,
        buffers: &Buffers,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        let Some(chunk) = buffers.front(&self.queue) else {
            return Ok(());
        };
        let (buf, len) = (chunk.data, chunk.len);
        let send = Send {
            sockfd: self.fd(),
            buf,
            len,
            flags: libc::MSG_NOSIGNAL,
        };
        // SAFETY: a completion has named the buffer, so the kernel does not receive into it, and
        // it stays first in the queue, not given back, until this send completes. The socket is
        // this connection's, and stays open while something is in flight.
        unsafe { entries.push(&send, token.with(Kind::Send)) }?;
        self.in_flight += 1;
        self.sending = true;
        Ok(())
    }

    fn close(&mut self, token: Token, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        let Some(fd) = self.fd.take() else {
            return Ok(());
        };
        let close = Close {
            fd: fd.into_raw_fd(),
        };
        // SAFETY: the descriptor was this connection's, which has just given it up. Nothing that
        // uses it is in flight.
        unsafe { entries.push(&close, token.with(Kind::Close)) }?;
        self.in_flight += 1;
        Ok(())
    }

    /// Takes a completion of the receive.
    pub(crate) fn on_receive(&mut self, completion: Completion, buffers: &mut Buffers) -> Received {
        if !completion.more() {
            self.in_flight -= 1;
            self.receive = Receive::Idle;
        }
        let result = completion.result();
        let len = result.as_ref().map_or(0, |len| len.cast_unsigned());
        match completion.buffer_id() {
            Some(id) if len > 0 && self.phase != Phase::Failed => {
                buffers.append(&mut self.queue, id, len);
            }
            Some(id) => buffers.refuse(id),
            None => {}
        }
        match result {
            Ok(0) => {
                self.stop_receiving();
                Received::Nothing
            }
            Ok(_) => Received::Data(len),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) if self.phase == Phase::Open => {
                    self.receive = Receive::Waiting;
                    Received::NoBuffer
                }
                // ECANCELED when it was paused.
                Some(libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {
                    Received::Nothing
                }
                _ if self.phase == Phase::Failed => Received::Nothing,
                _ => Received::Failed,
            },
        }
    }

    fn stop_receiving(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ended;
        }
    }

    /// Whether the connection holds more than its share, and its receive should be paused.
    pub(crate) fn is_greedy(&self, buffers: &Buffers) -> bool {
        self.receive == Receive::Armed && !self.pausing && self.queue.len() >= buffers.fair_share()
    }

    /// Asks the receive to end. [`advance`](Self::advance) arms it again when there is room.
    ///
    /// It can miss a receive that is just starting. Then it is asked again after more data.
    pub(crate) fn pause(
        &mut self,
        token: Token,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        let user_data = token.with(Kind::Receive).user_data();
        let cancel = Cancel {
            user_data,
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { entries.push(&cancel, token.with(Kind::PauseReceive)) }?;
        self.in_flight += 1;
        self.pausing = true;
        Ok(())
    }

    /// Takes the completion of [`pause`](Self::pause).
    pub(crate) fn on_pause(&mut self) {
        self.in_flight -= 1;
        self.pausing = false;
    }

    /// Takes the completion of the send. [`advance`](Self::advance) goes on with the rest of the
    /// chunk, or with the next.
    pub(crate) fn on_send(&mut self, completion: Completion, buffers: &mut Buffers) -> Sent {
        self.in_flight -= 1;
        self.sending = false;
        if self.phase == Phase::Failed {
            buffers.discard(&mut self.queue, 0);
            return Sent::Nothing;
        }
        match completion.result() {
            // A send is never empty, so a socket that takes nothing will not take more later.
            Ok(0) => Sent::Failed,
            Ok(sent) if buffers.advance(&mut self.queue, sent.cast_unsigned()) => Sent::All,
            Ok(_) => Sent::Part,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Sent::Nothing,
                _ => Sent::Failed,
            },
        }
    }

    /// Takes nothing more from the peer, and asks a receive that is armed to end.
    pub(crate) fn end(&mut self, token: Token, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        self.stop_receiving();
        if self.receive == Receive::Armed && !self.pausing {
            self.pause(token, entries)?;
        }
        Ok(())
    }

    /// Gives the connection up.
    ///
    /// Shutting it down ends what is in flight, and cannot miss anything: unlike a cancellation it
    /// holds for operations that are only about to start, too.
    pub(crate) fn fail(
        &mut self,
        token: Token,
        buffers: &mut Buffers,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        if self.phase == Phase::Failed || self.fd.is_none() {
            return Ok(());
        }
        self.phase = Phase::Failed;
        buffers.discard(&mut self.queue, self.sending.into());
        if self.in_flight == 0 {
            return Ok(());
        }
        let shutdown = Shutdown {
            fd: self.fd(),
            how: libc::SHUT_RDWR,
        };
        // SAFETY: the socket is this connection's, and stays open while something is in flight.
        unsafe { entries.push(&shutdown, token.with(Kind::Shutdown)) }?;
        self.in_flight += 1;
        Ok(())
    }

    /// Takes the completion of the shutdown, whose result does not matter: a connection that is
    /// no longer connected has nothing to be shut down.
    pub(crate) fn on_shutdown(&mut self) {
        self.in_flight -= 1;
    }
}

/// All connections, each in a slot of its own.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, fd: OwnedFd) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("there are fewer descriptors than that")
        });
        let place = &mut self.slots[slot as usize];
        place.connection = Some(Connection::new(fd));
        Token {
            kind: Kind::Receive,
            slot,
            generation: place.generation,
        }
    }

    /// The connection that an operation belongs to, unless it has gone.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        (slot.generation == token.generation)
            .then_some(slot.connection.as_mut())
            .flatten()
    }

    pub(crate) fn remove(&mut self, token: Token) {
        if self.get_mut(token).is_some() {
            let slot = &mut self.slots[token.slot as usize];
            slot.connection = None;
            slot.generation = (slot.generation + 1) % Token::GENERATIONS;
            self.free.push(token.slot);
        }
    }

    /// The connection in the slot with this number, or the next that there is.
    pub(crate) fn next_from(&self, slot: usize) -> Option<(usize, Token)> {
        let found = self
            .slots
            .iter()
            .skip(slot)
            .position(|slot| slot.connection.is_some())?;
        let index = slot + found;
        let generation = self.slots[index].generation;
        Some((
            index,
            Token {
                kind: Kind::Receive,
                slot: u32::try_from(index).ok()?,
                generation,
            },
        ))
    }
}
