//! Receiving messages again and again, with their senders, with control data.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::address::{Address, ROOM};
use super::buffer_group::{BufferGroup, Lent};
use super::descriptor::Descriptor;
use super::message::{RawMessage, control_room};
use super::passed::{Passed, others};
use super::picked::REFUSED;
use super::stream::Multishot;
use super::transfer::recv_flags;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::kind::{OneThread, Threads};
use crate::operation::{self, ControlMessage, RecvmsgOut};

/// The room that each buffer of a group is to have for what comes with the bytes of a message.
///
/// It is taken from the buffer, whether something comes or not.
pub struct MessageRoom {
    raw: RawMessage,
    address: usize,
    control: usize,
}

impl MessageRoom {
    /// For nothing. Descriptors that come are closed by the kernel.
    pub fn new() -> Self {
        Self {
            raw: RawMessage::new(),
            address: 0,
            control: 0,
        }
    }

    /// Adds room for the address of the sender.
    #[must_use]
    pub fn address(mut self) -> Self {
        self.address = ROOM;
        self
    }

    /// Adds room for so many bytes of control data, which is the sum of what its messages
    /// [take](super::RecvHeader::control_room).
    #[must_use]
    pub fn control(mut self, bytes: usize) -> Self {
        let bytes = bytes.saturating_add(size_of::<usize>() - 1);
        let whole = bytes - bytes % size_of::<usize>();
        self.control = self.control.saturating_add(whole);
        self
    }

    /// Adds room for so many descriptors.
    #[must_use]
    pub fn descriptors(self, n: usize) -> Self {
        self.control(control_room(n * size_of::<RawFd>()))
    }

    /// How many bytes of a buffer are not there for the bytes of a message.
    pub fn bytes(&self) -> usize {
        let fixed = RecvmsgOut::HEADER + self.address;
        self.control.saturating_add(fixed)
    }

    /// Writes it down for the kernel. The pointer is good until the value is moved or used mutably.
    fn compose(&mut self) -> *mut libc::msghdr {
        self.raw.ask(self.address, self.control)
    }
}

impl Default for MessageRoom {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MessageRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRoom")
            .field("address", &self.address)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

/// Receives messages from a socket again and again, each into a buffer of a group.
///
/// # Items
///
/// The messages, with what has come with them. The stream ends as
/// [`End::Finished`](super::End) when the peer has ended its side. An empty datagram ends it, too: as
/// [`End::Stopped`](super::End), behind its item, if its sender was named or has passed descriptors,
/// and otherwise like a peer that has ended its side. Arm it again to go on. It ends as
/// [`End::Exhausted`](super::End) when the group had no buffer left, which loses nothing.
///
/// The stream ends with the error `EINVAL` if the group's buffers are not larger than the
/// [room](MessageRoom::bytes) for the rest, if the group is
/// [incremental](super::BufferGroupParams::incremental), and with `MSG_WAITALL`.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::net::UdpSocket;
/// use lio_uring::owned::{BufferGroupParams, MessageRoom, RecvMsgMulti, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let address = here.local_addr()?;
/// let buffers = ring.register_group(BufferGroupParams::new(16, 2048))?;
/// let recv = RecvMsgMulti { socket: here, buffers, room: MessageRoom::new().address(), flags: 0 };
/// let mut messages = ring.push_stream(recv)?;
/// ring.submit()?;
/// for text in ["one", "two"] {
///     there.send_to(text.as_bytes(), address)?;
///     let message = messages.wait_next()?.expect("it goes on")?;
///     assert_eq!(message.payload(), text.as_bytes());
///     let sender = message.address().and_then(|address| address.to_std());
///     assert_eq!(sender, Some(there.local_addr()?));
/// }
/// # Ok(())
/// # }
/// ```
///
/// Since Linux 6.0. See [`operation::RecvmsgMulti`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvMsgMulti<S, T: Threads = OneThread> {
    /// The socket.
    pub socket: S,
    /// The buffers.
    pub buffers: BufferGroup<T>,
    /// The room in each of them for what comes with the bytes.
    pub room: MessageRoom,
    /// `MSG_*`, or 0. `MSG_CMSG_CLOEXEC` is added, `MSG_TRUNC` taken away.
    pub flags: i32,
}

// SAFETY: the entry names the socket, the group, and the header in the room, which names nothing. All
// are owned, and the header is not written to while the kernel may read it. The group's buffers are
// nobody else's until they are lent.
unsafe impl<S: Descriptor, T: Threads> Multishot for RecvMsgMulti<S, T> {
    type Item = ReceivedMessage<T>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let mut sqe = target.entry(&operation::RecvmsgMulti {
            fd: target.number(),
            msg: self.room.compose(),
            flags: recv_flags(self.flags) | libc::MSG_CMSG_CLOEXEC,
        });
        self.buffers.select(&mut sqe);
        // A message that has no room for its bytes would look like the end of a stream.
        if self.buffers.is_incremental() || self.room.bytes() >= self.buffers.buffer_len() as usize
        {
            sqe.insert_recv_send_flags(REFUSED);
        }
        sqe
    }

    unsafe fn item(&self, done: Completion) -> io::Result<Option<Self::Item>> {
        let piece = self.buffers.lend(&done);
        done.result()?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        // SAFETY: the completion is the operation's own, and this is called once for it.
        let message = unsafe { ReceivedMessage::new(piece, &self.room) }?;
        Ok(Some(message).filter(|message| done.more() || !message.is_nothing()))
    }
}

/// A message in a buffer of a group, which goes back when this is dropped.
///
/// Descriptors that have come with it and were not taken are closed then.
pub struct ReceivedMessage<T: Threads = OneThread> {
    piece: Lent<T>,
    address: usize,
    control: usize,
    passed: Passed,
}

impl<T: Threads> ReceivedMessage<T> {
    /// Takes a buffer for the message that it holds.
    ///
    /// # Safety
    ///
    /// The kernel has just put a message into it, with so much room, and this is done once for it.
    unsafe fn new(piece: Lent<T>, room: &MessageRoom) -> io::Result<Self> {
        let out = RecvmsgOut::with_room(&piece, room.address, room.control)
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut passed = Passed::new();
        // SAFETY: this is as much of the control data as the kernel has written.
        unsafe { passed.own(out.control()) };
        Ok(Self {
            piece,
            address: room.address,
            control: room.control,
            passed,
        })
    }

    fn out(&self) -> RecvmsgOut<'_> {
        RecvmsgOut::with_room(&self.piece, self.address, self.control)
            .expect("it was taken apart before")
    }

    /// Whether it is what there is at the end of a stream.
    fn is_nothing(&self) -> bool {
        let out = self.out();
        out.payload().is_empty() && out.name().is_empty() && self.passed.descriptors().is_empty()
    }

    /// The bytes of the message.
    pub fn payload(&self) -> &[u8] {
        self.out().payload()
    }

    /// Who has sent the message, if there was room for an address. Nobody is named on a connection of
    /// TCP, nor by a Unix socket that has no address.
    pub fn address(&self) -> Option<Address> {
        let name = self.out().name();
        (!name.is_empty()).then(|| Address::of_kernel(name))
    }

    /// Takes the descriptors that have come with the message. They are closed otherwise.
    #[doc(alias = "SCM_RIGHTS")]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.passed.take_descriptors()
    }

    /// Takes the descriptor of the process that has sent the message, if the socket was told to
    /// receive it.
    #[doc(alias("SCM_PIDFD", "SO_PASSPIDFD"))]
    pub fn take_pidfd(&mut self) -> Option<OwnedFd> {
        self.passed.take_pidfd()
    }

    /// The other messages of the control data: times, credentials, the error of a socket.
    pub fn control_messages(&self) -> impl Iterator<Item = ControlMessage<'_>> {
        others(self.out().control())
    }

    /// `MSG_*`: what is special about the message.
    pub fn flags(&self) -> i32 {
        self.out().flags() & !libc::MSG_CMSG_CLOEXEC
    }

    /// Whether bytes of the message were lost, for want of room.
    #[doc(alias = "MSG_TRUNC")]
    pub fn is_truncated(&self) -> bool {
        self.flags() & libc::MSG_TRUNC != 0
    }

    /// Whether control data was lost, for want of room: descriptors among it are closed.
    ///
    /// Linux 6.17, and 6.18 before 6.18.15, can say so of a Unix socket's message although nothing was.
    #[doc(alias = "MSG_CTRUNC")]
    pub fn is_control_truncated(&self) -> bool {
        self.flags() & libc::MSG_CTRUNC != 0
    }
}

impl<T: Threads> fmt::Debug for ReceivedMessage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessage")
            .field("len", &self.payload().len())
            .field("address", &self.address())
            .field("flags", &self.flags())
            .field("descriptors", &self.passed.descriptors())
            .finish_non_exhaustive()
    }
}
