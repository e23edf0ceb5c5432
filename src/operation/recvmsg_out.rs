//! What a buffer holds after a multishot receive of messages.

use std::mem::offset_of;

use crate::sys;

/// One message, in a buffer that [`RecvmsgMulti`](super::RecvmsgMulti) has filled.
///
/// C: `struct io_uring_recvmsg_out`.
#[derive(Clone, Copy, Debug)]
#[doc(alias(
    "io_uring_recvmsg_out",
    "io_uring_recvmsg_validate",
    "io_uring_recvmsg_name",
    "io_uring_recvmsg_payload",
    "io_uring_recvmsg_payload_length"
))]
pub struct RecvmsgOut<'b> {
    name_len: u32,
    payload_len: u32,
    flags: u32,
    name: &'b [u8],
    control: &'b [u8],
    payload: &'b [u8],
}

impl<'b> RecvmsgOut<'b> {
    /// How many bytes every message begins with.
    pub(crate) const HEADER: usize = size_of::<sys::io_uring_recvmsg_out>();

    /// Takes a buffer apart.
    ///
    /// `buffer` is as much of it as the completion's result says, and `msg` what the operation was
    /// pushed with. `None` if that leaves no room for what every message begins with.
    pub fn parse(buffer: &'b [u8], msg: &libc::msghdr) -> Option<Self> {
        #[allow(
            clippy::unnecessary_cast,
            reason = "some C libraries count the control data in 32 bits"
        )]
        Self::with_room(
            buffer,
            msg.msg_namelen as usize,
            msg.msg_controllen as usize,
        )
    }

    /// Takes a buffer apart that has so much room for the address and for control data.
    pub(crate) fn with_room(buffer: &'b [u8], name: usize, control: usize) -> Option<Self> {
        let field = |offset: usize| -> Option<u32> {
            let bytes = buffer.get(offset..offset.checked_add(4)?)?;
            bytes.try_into().ok().map(u32::from_ne_bytes)
        };
        let name_len = field(offset_of!(sys::io_uring_recvmsg_out, namelen))?;
        let control_len = field(offset_of!(sys::io_uring_recvmsg_out, controllen))?;
        let payload_len = field(offset_of!(sys::io_uring_recvmsg_out, payloadlen))?;
        let flags = field(offset_of!(sys::io_uring_recvmsg_out, flags))?;

        let (_, rest) = buffer.split_at_checked(Self::HEADER)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (control, payload) = rest.split_at_checked(control)?;
        Some(Self {
            name_len,
            payload_len,
            flags,
            name: &name[..name.len().min(name_len as usize)],
            control: &control[..control.len().min(control_len as usize)],
            payload,
        })
    }

    /// The address of the sender, a `sockaddr`, as far as there was room for it.
    pub fn name(&self) -> &'b [u8] {
        self.name
    }

    /// The size of the address, of which [`name`](Self::name) is the beginning.
    pub fn name_len(&self) -> u32 {
        self.name_len
    }

    /// The control data, as far as there was room for it.
    pub fn control(&self) -> &'b [u8] {
        self.control
    }

    /// The messages of the control data, one by one.
    #[doc(alias("io_uring_recvmsg_cmsg_firsthdr", "io_uring_recvmsg_cmsg_nexthdr"))]
    pub fn control_messages(&self) -> ControlMessages<'b> {
        ControlMessages::of(self.control)
    }

    /// The bytes of the message that are in the buffer.
    pub fn payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The number of bytes that came; with `MSG_TRUNC` those that were cut off are counted, too.
    pub fn payload_len(&self) -> u32 {
        self.payload_len
    }

    /// `MSG_*`: what is special about the message. `MSG_TRUNC` and `MSG_CTRUNC` say that bytes or
    /// control data were cut off.
    pub fn flags(&self) -> i32 {
        self.flags.cast_signed()
    }
}

/// One message of a received message's control data.
///
/// C: `struct cmsghdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMessage<'b> {
    /// `SOL_SOCKET`, `IPPROTO_IP` and so on: whose message it is.
    pub level: i32,
    /// What kind of message it is, depending on the level.
    pub r#type: i32,
    /// What it holds. It need not be aligned.
    pub data: &'b [u8],
}

/// The messages of a received message's control data, made by
/// [`RecvmsgOut::control_messages`].
#[derive(Clone, Debug)]
pub struct ControlMessages<'b> {
    rest: &'b [u8],
}

impl<'b> ControlMessages<'b> {
    /// Those of control data that the kernel has written, and nobody has checked.
    pub(crate) fn of(control: &'b [u8]) -> Self {
        Self { rest: control }
    }
}

/// The kernel's header of a control message: its length, a `size_t`, and two `int`.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();

impl<'b> Iterator for ControlMessages<'b> {
    type Item = ControlMessage<'b>;

    fn next(&mut self) -> Option<ControlMessage<'b>> {
        let (len, after) = self.rest.split_first_chunk()?;
        let (level, after) = after.split_first_chunk()?;
        let (kind, _) = after.split_first_chunk()?;
        let len = usize::from_ne_bytes(*len);
        let data = self.rest.get(HEADER..len)?;
        let next = len.next_multiple_of(size_of::<usize>());
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(ControlMessage {
            level: i32::from_ne_bytes(*level),
            r#type: i32::from_ne_bytes(*kind),
            data,
        })
    }
}
