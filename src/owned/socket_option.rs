//! Options of sockets, with the types of their values.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use super::buffer::{Buffer, BufferMut};
use super::descriptor::Descriptor;
use super::file::count;
use super::operation::Operation;
use crate::completion::Completion;
use crate::entry::Sqe;
use crate::operation::{self, SocketOp};

/// An option of sockets whose value is a `T`.
///
/// The constants are options whose values are mere data. Others can hold addresses, as
/// `SO_ATTACH_FILTER` does, or numbers of descriptors: those that are known to be harmless are
/// declared with [`new`](Self::new).
pub struct SocketOption<T> {
    level: i32,
    name: i32,
    value: PhantomData<fn(T) -> T>,
}

impl<T> SocketOption<T> {
    /// An option that is none of the constants.
    ///
    /// # Safety
    ///
    /// * The value is data alone: the kernel takes no part of it for an address or a descriptor.
    /// * Reading the option writes no more bytes than the value has, and makes no descriptor.
    ///   `SO_GET_FILTER` and `SO_PEERPIDFD` are such.
    pub const unsafe fn new(level: i32, name: i32) -> Self {
        Self {
            level,
            name,
            value: PhantomData,
        }
    }

    const fn of_socket(name: i32) -> Self {
        Self::harmless(libc::SOL_SOCKET, name)
    }

    const fn of_tcp(name: i32) -> Self {
        Self::harmless(libc::IPPROTO_TCP, name)
    }

    const fn harmless(level: i32, name: i32) -> Self {
        let value = PhantomData;
        Self { level, name, value }
    }

    /// Its level, as `SOL_SOCKET`.
    pub const fn level(&self) -> i32 {
        self.level
    }

    /// Its number among those of the level.
    pub const fn name(&self) -> i32 {
        self.name
    }
}

impl SocketOption<bool> {
    /// Whether the socket listens. Cannot be set.
    #[doc(alias = "SO_ACCEPTCONN")]
    pub const LISTENS: Self = Self::of_socket(libc::SO_ACCEPTCONN);
    /// Whether datagrams may go to a broadcast address.
    #[doc(alias = "SO_BROADCAST")]
    pub const BROADCAST: Self = Self::of_socket(libc::SO_BROADCAST);
    /// Whether the peer is asked for a sign of life now and then.
    #[doc(alias = "SO_KEEPALIVE")]
    pub const KEEP_ALIVE: Self = Self::of_socket(libc::SO_KEEPALIVE);
    /// Whether urgent data stays in the stream.
    #[doc(alias = "SO_OOBINLINE")]
    pub const OOB_INLINE: Self = Self::of_socket(libc::SO_OOBINLINE);
    /// Whether messages come with the process, user and group of the sender.
    #[doc(alias = "SO_PASSCRED")]
    pub const PASS_CREDENTIALS: Self = Self::of_socket(libc::SO_PASSCRED);
    /// Whether an address can be bound to that was just in use.
    #[doc(alias = "SO_REUSEADDR")]
    pub const REUSE_ADDRESS: Self = Self::of_socket(libc::SO_REUSEADDR);
    /// Whether several sockets share an address and port.
    #[doc(alias = "SO_REUSEPORT")]
    pub const REUSE_PORT: Self = Self::of_socket(libc::SO_REUSEPORT);
    /// Whether messages come with a time, in nanoseconds.
    #[doc(alias = "SO_TIMESTAMPNS")]
    pub const TIMESTAMPS: Self = Self::of_socket(libc::SO_TIMESTAMPNS);

    /// Whether nothing is sent until a segment is full.
    #[doc(alias = "TCP_CORK")]
    pub const CORK: Self = Self::of_tcp(libc::TCP_CORK);
    /// Whether what is sent does not wait to be put together with what follows.
    #[doc(alias = "TCP_NODELAY")]
    pub const NO_DELAY: Self = Self::of_tcp(libc::TCP_NODELAY);
    /// Whether acknowledgements are sent at once, for now.
    #[doc(alias = "TCP_QUICKACK")]
    pub const QUICK_ACK: Self = Self::of_tcp(libc::TCP_QUICKACK);

    /// Whether datagrams of one sender come together, as one message.
    #[doc(alias = "UDP_GRO")]
    pub const RECV_OFFLOAD: Self = Self::harmless(libc::IPPROTO_UDP, libc::UDP_GRO);
    /// Whether a socket of version 6 is for this version alone.
    #[doc(alias = "IPV6_V6ONLY")]
    pub const ONLY_V6: Self = Self::harmless(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
}

impl SocketOption<i32> {
    /// The family. Cannot be set.
    #[doc(alias = "SO_DOMAIN")]
    pub const DOMAIN: Self = Self::of_socket(libc::SO_DOMAIN);
    /// The type, as `SOCK_STREAM`. Cannot be set.
    #[doc(alias = "SO_TYPE")]
    pub const KIND: Self = Self::of_socket(libc::SO_TYPE);
    /// The protocol, as `IPPROTO_TCP`. Cannot be set.
    #[doc(alias = "SO_PROTOCOL")]
    pub const PROTOCOL: Self = Self::of_socket(libc::SO_PROTOCOL);
    /// The error that the socket has met, or 0; reading it makes it 0. Cannot be set.
    #[doc(alias = "SO_ERROR")]
    pub const ERROR: Self = Self::of_socket(libc::SO_ERROR);
    /// The priority of what is sent.
    #[doc(alias = "SO_PRIORITY")]
    pub const PRIORITY: Self = Self::of_socket(libc::SO_PRIORITY);
    /// How many bytes have to be there for a receive to end.
    #[doc(alias = "SO_RCVLOWAT")]
    pub const RECV_LOW_WATER: Self = Self::of_socket(libc::SO_RCVLOWAT);
    /// The size of the buffer for what comes in. The kernel doubles what is set.
    #[doc(alias = "SO_RCVBUF")]
    pub const RECV_BUFFER: Self = Self::of_socket(libc::SO_RCVBUF);
    /// The size of the buffer for what goes out. The kernel doubles what is set.
    #[doc(alias = "SO_SNDBUF")]
    pub const SEND_BUFFER: Self = Self::of_socket(libc::SO_SNDBUF);

    /// After how many seconds of silence the peer is asked for a sign of life.
    #[doc(alias = "TCP_KEEPIDLE")]
    pub const KEEP_ALIVE_AFTER: Self = Self::of_tcp(libc::TCP_KEEPIDLE);
    /// How many seconds there are between two such questions.
    #[doc(alias = "TCP_KEEPINTVL")]
    pub const KEEP_ALIVE_INTERVAL: Self = Self::of_tcp(libc::TCP_KEEPINTVL);
    /// After how many such questions without an answer the connection is given up.
    #[doc(alias = "TCP_KEEPCNT")]
    pub const KEEP_ALIVE_TRIES: Self = Self::of_tcp(libc::TCP_KEEPCNT);
    /// After how many milliseconds without an acknowledgement the connection is given up.
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub const USER_TIMEOUT: Self = Self::of_tcp(libc::TCP_USER_TIMEOUT);

    /// How many bytes of a message each of its datagrams has, if it is sent as several.
    #[doc(alias = "UDP_SEGMENT")]
    pub const SEGMENT: Self = Self::harmless(libc::IPPROTO_UDP, libc::UDP_SEGMENT);
    /// How many routers a packet may pass.
    #[doc(alias = "IP_TTL")]
    pub const TTL: Self = Self::harmless(libc::IPPROTO_IP, libc::IP_TTL);
}

impl SocketOption<u32> {
    /// The mark of what is sent, for routing.
    #[doc(alias = "SO_MARK")]
    pub const MARK: Self = Self::of_socket(libc::SO_MARK);
}

impl SocketOption<u64> {
    /// A number that no other socket has. Cannot be set.
    #[doc(alias = "SO_COOKIE")]
    pub const COOKIE: Self = Self::of_socket(libc::SO_COOKIE);
}

impl<T> Clone for SocketOption<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SocketOption<T> {}

impl<T> fmt::Debug for SocketOption<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOption")
            .field("level", &self.level)
            .field("name", &self.name)
            .finish()
    }
}

/// What an option's value can be: `bool`, `i32`, `u32`, `u64`, or the bytes of a structure.
pub trait OptionValue: value::Value {}

impl<T: value::Value> OptionValue for T {}

mod value {
    use super::{Buffer, BufferMut};

    #[expect(unnameable_types, reason = "what values are is not to be extended")]
    pub trait Value: Sized {
        /// The kernel's form of it.
        type Bytes: Buffer + BufferMut + AsRef<[u8]>;

        fn room() -> Self::Bytes;

        fn to_bytes(&self) -> Self::Bytes;

        fn of_bytes(bytes: Self::Bytes) -> Self;
    }

    impl<const N: usize> Value for [u8; N] {
        type Bytes = Self;

        fn room() -> Self {
            [0; N]
        }

        fn to_bytes(&self) -> Self {
            *self
        }

        fn of_bytes(bytes: Self) -> Self {
            bytes
        }
    }

    impl Value for i32 {
        type Bytes = [u8; 4];

        fn room() -> [u8; 4] {
            [0; 4]
        }

        fn to_bytes(&self) -> [u8; 4] {
            self.to_ne_bytes()
        }

        fn of_bytes(bytes: [u8; 4]) -> Self {
            Self::from_ne_bytes(bytes)
        }
    }

    impl Value for u32 {
        type Bytes = [u8; 4];

        fn room() -> [u8; 4] {
            [0; 4]
        }

        fn to_bytes(&self) -> [u8; 4] {
            self.to_ne_bytes()
        }

        fn of_bytes(bytes: [u8; 4]) -> Self {
            Self::from_ne_bytes(bytes)
        }
    }

    impl Value for u64 {
        type Bytes = [u8; 8];

        fn room() -> [u8; 8] {
            [0; 8]
        }

        fn to_bytes(&self) -> [u8; 8] {
            self.to_ne_bytes()
        }

        fn of_bytes(bytes: [u8; 8]) -> Self {
            Self::from_ne_bytes(bytes)
        }
    }

    impl Value for bool {
        type Bytes = [u8; 4];

        fn room() -> [u8; 4] {
            [0; 4]
        }

        fn to_bytes(&self) -> [u8; 4] {
            i32::from(*self).to_ne_bytes()
        }

        fn of_bytes(bytes: [u8; 4]) -> Self {
            bytes != [0; 4]
        }
    }
}

/// Reads an option of a socket.
///
/// Since Linux 6.7, and only options of the level `SOL_SOCKET`: others give `EOPNOTSUPP`, as Unix
/// sockets do on older kernels.
///
/// # Output
///
/// The option's value. One that has fewer bytes than the type is an error of the kind `InvalidData`.
///
/// ```
/// use std::net::UdpSocket;
/// use lio_uring::owned::{GetSocketOption, Ring, SocketOption};
///
/// # fn main() -> std::io::Result<()> {
/// let ring = Ring::new(8)?;
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// match ring.push(GetSocketOption::new(socket, SocketOption::KIND))?.wait()? {
///     Ok(kind) => assert_eq!(kind, libc::SOCK_DGRAM),
///     Err(too_old) => println!("{too_old}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// See [`SocketOp::GETSOCKOPT`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct GetSocketOption<S, T: OptionValue> {
    socket: S,
    option: SocketOption<T>,
    value: T::Bytes,
}

impl<S: Descriptor, T: OptionValue> GetSocketOption<S, T> {
    /// Reads this option.
    pub fn new(socket: S, option: SocketOption<T>) -> Self {
        Self {
            socket,
            option,
            value: T::room(),
        }
    }
}

// SAFETY: the entry names the room for the value and the socket, which are owned and not used until
// it has ended.
unsafe impl<S: Descriptor, T: OptionValue> Operation for GetSocketOption<S, T> {
    type Output = io::Result<T>;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::CmdSock {
            cmd_op: SocketOp::GETSOCKOPT,
            fd: target.number(),
            level: self.option.level,
            optname: self.option.name,
            optlen: option_len(self.value.capacity()),
            optval: self.value.room().cast(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        if count(done)? < self.value.as_ref().len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(T::of_bytes(self.value))
    }
}

/// Sets an option of a socket.
///
/// Since Linux 6.7. Unix sockets give `EOPNOTSUPP` on older kernels.
///
/// See [`SocketOp::SETSOCKOPT`].
#[derive(Debug)]
#[must_use = "an operation is carried out when it is pushed to a ring"]
pub struct SetSocketOption<S, T: OptionValue> {
    socket: S,
    option: SocketOption<T>,
    value: T::Bytes,
}

impl<S: Descriptor, T: OptionValue> SetSocketOption<S, T> {
    /// Gives this option this value.
    #[expect(clippy::needless_pass_by_value, reason = "values are small")]
    pub fn new(socket: S, option: SocketOption<T>, value: T) -> Self {
        Self {
            socket,
            option,
            value: value.to_bytes(),
        }
    }
}

// SAFETY: the entry names the value and the socket, which are owned and not used until it has ended.
unsafe impl<S: Descriptor, T: OptionValue> Operation for SetSocketOption<S, T> {
    type Output = io::Result<()>;

    const CANCELLED_WHEN_ABANDONED: bool = false;

    fn entry(&mut self) -> Sqe {
        let target = self.socket.target();
        target.entry(&operation::CmdSock {
            cmd_op: SocketOp::SETSOCKOPT,
            fd: target.number(),
            level: self.option.level,
            optname: self.option.name,
            optlen: option_len(self.value.bytes()),
            optval: self.value.address().cast_mut().cast(),
        })
    }

    unsafe fn complete(self, done: Completion) -> Self::Output {
        done.result().map(drop)
    }
}

/// A size as the entry has it.
fn option_len(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
