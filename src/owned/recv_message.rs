//! Receiving messages: into several buffers, with their senders, with control data.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::address::{Address, AddressRoom};
use super::buffer::BufferMut;
use super::buffers::{Buffers, Place};
use super::descriptor::Descriptor;
use super::file::count;
use super::message::{Control, RawMessage, control_room};
use super::operation::Operation;
use super::passed::{Passed, others};
use super::transfer::recv_flags;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, ControlMessage};

/// What comes with the bytes of a message: its sender, descriptors, other control data.
///
/// It comes back with its [`RecvMsg`], can be asked then, and be used again without an allocation.
/// What it holds of a message is gone when it is pushed for another.
pub struct RecvHeader(Box<Received>);

struct Received {
    raw: RawMessage,
    address: AddressRoom,
    address_len: libc::socklen_t,
    flags: i32,
    control: Control,
    passed: Passed,
}

impl RecvHeader {
    /// Without room for control data. Descriptors that come are closed by the kernel.
    pub fn new() -> Self {
        Self::with_control(0)
    }

    /// With room for so many bytes of control data, which is the sum of what its messages
    /// [take](Self::control_room).
    pub fn with_control(bytes: usize) -> Self {
        Self(Box::new(Received {
            raw: RawMessage::new(),
            address: AddressRoom::new(),
            address_len: 0,
            flags: 0,
            control: Control::with_room(bytes),
            passed: Passed::new(),
        }))
    }

    /// With room for so many descriptors.
    pub fn with_descriptors(n: usize) -> Self {
        Self::with_control(Self::control_room(n * size_of::<RawFd>()))
    }

    /// The room that a control message takes which holds so many bytes.
    #[doc(alias = "CMSG_SPACE")]
    pub const fn control_room(bytes: usize) -> usize {
        control_room(bytes)
    }

    /// Who has sent the message. Nobody is named on a connection of TCP, nor by a Unix socket that has
    /// no address.
    pub fn address(&self) -> Option<Address> {
        let len = self.0.address_len;
        (len > 0).then(|| self.0.address.address_of(len))
    }

    /// Takes the descriptors that have come with the message. They are closed otherwise.
    #[doc(alias = "SCM_RIGHTS")]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.0.passed.take_descriptors()
    }

    /// Takes the descriptor of the process that has sent the message, if the socket was told to
    /// receive it.
    #[doc(alias("SCM_PIDFD", "SO_PASSPIDFD"))]
    pub fn take_pidfd(&mut self) -> Option<OwnedFd> {
        self.0.passed.take_pidfd()
    }

    /// The other messages of the control data: times, credentials, the error of a socket.
    pub fn control_messages(&self) -> impl Iterator<Item = ControlMessage<'_>> {
        others(self.0.control.bytes())
    }

    /// `MSG_*`: what is special about the message.
    pub fn flags(&self) -> i32 {
        self.0.flags
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

    /// Makes it ready for a message to these buffers. The pointer is good until the value is used
    /// otherwise, and the buffers moved or used.
    fn compose(&mut self, buffers: &mut [impl BufferMut]) -> *mut libc::msghdr {
        let received = &mut *self.0;
        received.passed.clear();
        (received.address_len, received.flags) = (0, 0);
        // Whatever is found there later, the kernel has written.
        received.control.erase();
        let (address, address_len) = received.address.room();
        let parts = buffers
            .iter_mut()
            .map(|buffer| Place::of_room(buffer).raw());
        let name = (address.cast(), address_len);
        received.raw.compose(parts, name, &mut received.control)
    }

    /// Takes note of what has come, in the header and in the buffers.
    fn note(
        &mut self,
        buffers: &mut impl Buffers<Buffer: BufferMut>,
        done: Completion,
    ) -> io::Result<usize> {
        let received = &mut *self.0;
        // A kernel that continues a receive for `MSG_WAITALL` counts the control data of its last part
        // only. So all of the room is looked at.
        // SAFETY: it was zeros when the kernel got it, and this is done once when it has ended.
        unsafe { received.passed.own(received.control.bytes()) };
        let bytes = count(done)?;
        received.address_len = received.raw.header.msg_namelen;
        received.flags = received.raw.header.msg_flags & !libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the kernel has filled the rooms one after the other, up to here.
        Ok(unsafe { buffers.fill(bytes) })
    }
}

impl Default for RecvHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHeader")
            .field("address", &self.address())
            .field("flags", &self.flags())
            .field("descriptors", &self.0.passed.descriptors())
            .finish_non_exhaustive()
    }
}

/// Receives a message from a socket, into as much room as the buffers have, one after the other.
///
/// # Output
///
/// How many bytes were received, 0 if the peer has ended its side; the buffers, and the header, which
/// tells what else has come. A vector's length is how many bytes are in it; it is unchanged after an
/// error.
///
/// # Cancellation
///
/// What has been received when nobody waits for it any longer is lost. Descriptors are closed.
///
/// # Notes
///
/// With room for control data newer kernels do not wait for the rest with `MSG_WAITALL`.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::net::UdpSocket;
/// use lio_uring::owned::{RecvHeader, RecvMsg, Ring};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// there.send_to(b"a datagram", here.local_addr()?)?;
/// let recv = RecvMsg {
///     socket: here,
///     buffers: [Vec::with_capacity(2), Vec::with_capacity(100)],
///     header: RecvHeader::new(),
///     flags: 0,
/// };
/// let (count, [first, rest], header) = ring.push(recv)?.wait()?;
/// assert_eq!((count?, &first[..], &rest[..]), (10, &b"a "[..], &b"datagram"[..]));
/// let sender = header.address().and_then(|address| address.to_std());
/// assert_eq!(sender, Some(there.local_addr()?));
/// # Ok(())
/// # }
/// ```
///
/// See [`operation::Recvmsg`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct RecvMsg<S, V> {
    /// The socket.
    pub socket: S,
    /// Where the bytes go.
    pub buffers: V,
    /// Where the rest goes.
    pub header: RecvHeader,
    /// `MSG_*`, or 0. `MSG_CMSG_CLOEXEC` is added, `MSG_TRUNC` taken away.
    pub flags: i32,
}

// SAFETY: the entry names the header, which names the room of the buffers, and the socket. All are
// owned, at addresses that do not change, and not used until it has ended.
unsafe impl<S: Descriptor, V: Buffers<Buffer: BufferMut>> Operation for RecvMsg<S, V> {
    type Output = (io::Result<usize>, V, RecvHeader);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Recvmsg {
            fd: target.number(),
            msg: self.header.compose(self.buffers.each()),
            flags: recv_flags(self.flags) | libc::MSG_CMSG_CLOEXEC,
        })
    }

    unsafe fn complete(mut self, done: Completion) -> Self::Output {
        let count = self.header.note(&mut self.buffers, done);
        (count, self.buffers, self.header)
    }
}
