//! Sending messages: of several buffers, to an address, with control data.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use super::address::Address;
use super::buffer::Buffer;
use super::buffers::{Buffers, Place};
use super::descriptor::Descriptor;
use super::file::count;
use super::message::{Control, RawMessage};
use super::operation::Operation;
use super::registered_pool::{Registered, require_all};
use super::transfer::send_flags;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation;

/// What goes with the bytes of a message: an address, descriptors, other control data.
///
/// It comes back with its [`SendMsg`], as it was, and can be used again without an allocation.
pub struct SendHeader(Box<Sent>);

struct Sent {
    raw: RawMessage,
    address: Option<Address>,
    descriptors: Vec<OwnedFd>,
    /// What was added by the caller, without descriptors.
    messages: Control,
    /// All of it, as the kernel reads it.
    control: Control,
}

/// Whose control messages hold nothing but data. Those of others can have the kernel read and write
/// memory.
const LEVELS_OF_DATA: [i32; 7] = [
    libc::SOL_SOCKET,
    libc::IPPROTO_IP,
    libc::IPPROTO_IPV6,
    libc::IPPROTO_UDP,
    libc::IPPROTO_SCTP,
    libc::SOL_ALG,
    libc::SOL_TLS,
];

impl SendHeader {
    /// With nothing: for a connected socket's peer.
    pub fn new() -> Self {
        Self(Box::new(Sent {
            raw: RawMessage::new(),
            address: None,
            descriptors: Vec::new(),
            messages: Control::with_room(0),
            control: Control::with_room(0),
        }))
    }

    /// Says whom the message goes to.
    #[must_use]
    pub fn to(mut self, address: impl Into<Address>) -> Self {
        self.0.address = Some(address.into());
        self
    }

    /// Adds descriptors, which the receiver gets copies of. A Unix socket takes 253 at the most.
    ///
    /// They stay open until they are [taken back](Self::take_descriptors).
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn descriptors(mut self, descriptors: impl IntoIterator<Item = OwnedFd>) -> Self {
        self.0.descriptors.extend(descriptors);
        self
    }

    /// Takes the descriptors out again.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.0.descriptors)
    }

    /// Adds a control message.
    ///
    /// # Errors
    ///
    /// `EINVAL` for `SCM_RIGHTS`, which [`descriptors`](Self::descriptors) are for, and for levels
    /// other than `SOL_SOCKET`, `SOL_ALG`, `SOL_TLS`, `IPPROTO_IP`, `IPPROTO_IPV6`, `IPPROTO_UDP` and
    /// `IPPROTO_SCTP`: their messages may name memory.
    pub fn control(mut self, level: i32, kind: i32, data: &[u8]) -> io::Result<Self> {
        let rights = (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        if rights || !LEVELS_OF_DATA.contains(&level) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.0.messages.push(level, kind, data);
        Ok(self)
    }

    /// Makes it ready for a message of these buffers. The pointer is good until the value is used
    /// otherwise, and the buffers moved or used mutably.
    fn compose(&mut self, buffers: &[impl Buffer]) -> *const libc::msghdr {
        let sent = &mut *self.0;
        sent.control.clear();
        if !sent.descriptors.is_empty() {
            let numbers = sent.descriptors.iter().map(AsRawFd::as_raw_fd);
            let numbers: Vec<u8> = numbers.flat_map(i32::to_ne_bytes).collect();
            let kind = libc::SCM_RIGHTS;
            sent.control.push(libc::SOL_SOCKET, kind, &numbers);
        }
        sent.control.append(&sent.messages);
        let (address, address_len) = match &sent.address {
            Some(address) => address.as_raw(),
            None => (ptr::null(), 0),
        };
        let parts = buffers.iter().map(|buffer| Place::of_bytes(buffer).raw());
        let name = (address.cast_mut().cast(), address_len);
        sent.raw.compose(parts, name, &mut sent.control)
    }
}

impl Default for SendHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SendHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHeader")
            .field("address", &self.0.address)
            .field("descriptors", &self.0.descriptors)
            .finish_non_exhaustive()
    }
}

/// Sends the bytes of several buffers as one message.
///
/// # Output
///
/// How many bytes were sent, which on a stream can be fewer unless the flags have `MSG_WAITALL`; the
/// buffers, and the header.
///
/// ```
/// #![forbid(unsafe_code)]
/// use std::fs::File;
/// use std::io::Read as _;
/// use std::os::unix::net::UnixStream;
/// use lio_uring::owned::{RecvHeader, RecvMsg, Ring, SendHeader, SendMsg};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let (here, there) = UnixStream::pair()?;
/// let file = File::open("/proc/self/comm")?;
/// let send = SendMsg {
///     socket: here,
///     buffers: ["read ", "this"],
///     header: SendHeader::new().descriptors([file.into()]),
///     flags: 0,
/// };
/// let (count, _, _) = ring.push(send)?.wait()?;
/// assert_eq!(count?, 9);
///
/// let recv = RecvMsg {
///     socket: there,
///     buffers: [[0; 9]],
///     header: RecvHeader::with_descriptors(1),
///     flags: 0,
/// };
/// let (count, [text], mut header) = ring.push(recv)?.wait()?;
/// assert_eq!((count?, &text), (9, b"read this"));
/// let file = header.take_descriptors().remove(0);
/// assert!(File::from(file).read(&mut [0; 64])? > 0);
/// # Ok(())
/// # }
/// ```
///
/// See [`operation::Sendmsg`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendMsg<S, V> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffers: V,
    /// What is sent with it.
    pub header: SendHeader,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: the entry names the header, which names an address, control data and the bytes of the
// buffers, and the socket. All are owned, at addresses that do not change, and not written to until
// it has ended; so are the descriptors in the control data.
unsafe impl<S: Descriptor, V: Buffers<Buffer: Buffer>> Operation for SendMsg<S, V> {
    type Output = (io::Result<usize>, V, SendHeader);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::Sendmsg {
            fd: target.number(),
            msg: self.header.compose(self.buffers.each()),
            flags: send_flags(self.flags),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffers, self.header)
    }
}

/// Sends the bytes of several buffers as one message, without copying them, if the kernel can.
///
/// # Output
///
/// That of [`SendMsg`]. It comes when the kernel has let go of the buffers, which can be long after
/// the bytes were sent: when the peer has received them.
///
/// See [`operation::SendmsgZc`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendMsgZc<S, V> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffers: V,
    /// What is sent with it.
    pub header: SendHeader,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: as for `SendMsg`. The notification is waited for.
unsafe impl<S: Descriptor, V: Buffers<Buffer: Buffer>> Operation for SendMsgZc<S, V> {
    type Output = (io::Result<usize>, V, SendHeader);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::SendmsgZc {
            fd: target.number(),
            msg: self.header.compose(self.buffers.each()),
            flags: send_flags(self.flags),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffers, self.header)
    }
}

/// Sends the bytes of several registered buffers as one message, without copying them, if the kernel
/// can.
///
/// # Output
///
/// That of [`SendMsgZc`]. `EBADF` if the buffers are not all of the ring's own pool, `EFAULT` if one of
/// them is empty.
///
/// Since Linux 6.15; `EINVAL` before. See [`operation::SendmsgZcFixed`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SendMsgZcFixed<S, V> {
    /// The socket.
    pub socket: S,
    /// What is sent.
    pub buffers: V,
    /// What is sent with it.
    pub header: SendHeader,
    /// `MSG_*`, or 0. `MSG_NOSIGNAL` is added, `MSG_ZEROCOPY` taken away.
    pub flags: i32,
}

// SAFETY: as for `SendMsgZc`.
unsafe impl<S, V> Operation for SendMsgZcFixed<S, V>
where
    S: Descriptor,
    V: Buffers<Buffer: Buffer + Registered>,
{
    type Output = (io::Result<usize>, V, SendHeader);

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        let sqe = target.entry(&operation::SendmsgZcFixed {
            fd: target.number(),
            msg: self.header.compose(self.buffers.each()),
            flags: send_flags(self.flags),
            buf_index: 0,
        });
        require_all(self.buffers.each(), sqe)
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        (count(done), self.buffers, self.header)
    }
}
