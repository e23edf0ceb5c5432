//! Addresses of sockets, as the kernel has them.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// The address of a socket: of the internet, of a Unix socket, or another that the kernel gave.
///
/// Made from what the standard library has, and turned back into it: `SocketAddr::into()` and
/// [`to_std`](Self::to_std), [`unix`](Self::unix) and [`path`](Self::path). A Unix socket can also
/// have an [abstract name](Self::abstract_name), or [none](Self::is_unnamed).
///
/// ```
/// use std::net::SocketAddr;
/// use lio_uring::owned::Address;
///
/// let home: SocketAddr = "127.0.0.1:80".parse().unwrap();
/// let address = Address::from(home);
/// assert_eq!(address.to_std(), Some(home));
/// assert_eq!(address.path(), None);
/// assert_eq!(address, Address::from(home));
/// ```
#[derive(Clone)]
pub struct Address(Kind);

#[derive(Clone)]
enum Kind {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    /// The bytes of any other, the family first.
    Other(Box<[u8]>),
}

/// What an address says, without the bytes that say nothing.
#[derive(PartialEq, Eq, Hash)]
enum Meaning<'a> {
    Internet(SocketAddr),
    Path(&'a [u8]),
    Abstract(&'a [u8]),
    Unnamed,
    Other(&'a [u8]),
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the size of a structure, and a family's number"
)]
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// How many bytes a Unix socket has for a path and its NUL, or for a NUL and a name.
const PATH: usize = 108;

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => address.into(),
            SocketAddr::V6(address) => address.into(),
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self(Kind::V4(libc::sockaddr_in {
            sin_family: family(libc::AF_INET),
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(address.ip().octets()),
            },
            sin_zero: [0; 8],
        }))
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self(Kind::V6(libc::sockaddr_in6 {
            sin6_family: family(libc::AF_INET6),
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: libc::in6_addr {
                s6_addr: address.ip().octets(),
            },
            sin6_scope_id: address.scope_id(),
        }))
    }
}

/// A family's number as an address has it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "families have small numbers"
)]
const fn family(number: i32) -> libc::sa_family_t {
    number.cast_unsigned() as libc::sa_family_t
}

impl Address {
    /// The address of a Unix socket that is bound to a path.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the path is empty, has a NUL in it, or is longer than 107 bytes.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().as_os_str().as_bytes();
        if path.is_empty() || path.contains(&0) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Self::of_unix(&[path, &[0]].concat())
    }

    /// The address of a Unix socket with an abstract name, which is in no folder.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the name is longer than 107 bytes.
    pub fn abstract_unix(name: impl AsRef<[u8]>) -> io::Result<Self> {
        Self::of_unix(&[&[0], name.as_ref()].concat())
    }

    /// The address of a Unix socket that has none. A socket that is bound to it gets an abstract name
    /// that no other has.
    pub fn unnamed_unix() -> Self {
        let family = family(libc::AF_UNIX).to_ne_bytes();
        Self(Kind::Other(family.into()))
    }

    /// A Unix socket's address with these bytes behind the family.
    fn of_unix(path: &[u8]) -> io::Result<Self> {
        if path.len() > PATH {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let family = family(libc::AF_UNIX).to_ne_bytes();
        Ok(Self(Kind::Other([&family, path].concat().into())))
    }

    /// The address that the kernel has given in these bytes.
    pub(super) fn of_kernel(bytes: &[u8]) -> Self {
        let (family, rest) = split(bytes);
        let internet = match i32::from(libc::sa_family_t::from_ne_bytes(family)) {
            libc::AF_INET if bytes.len() >= size_of::<libc::sockaddr_in>() => {
                let (port, rest) = split(rest);
                let (ip, _) = split::<4>(rest);
                SocketAddr::new(Ipv4Addr::from(ip).into(), u16::from_be_bytes(port))
            }
            libc::AF_INET6 if bytes.len() >= size_of::<libc::sockaddr_in6>() => {
                let (port, rest) = split(rest);
                let (flow, rest) = split(rest);
                let (ip, rest) = split::<16>(rest);
                let (scope, _) = split(rest);
                let (flow, scope) = (u32::from_ne_bytes(flow), u32::from_ne_bytes(scope));
                SocketAddrV6::new(ip.into(), u16::from_be_bytes(port), flow, scope).into()
            }
            // Of the longest path the kernel counts a NUL that there is no room for.
            libc::AF_UNIX => {
                let len = bytes.len().min(family.len() + PATH);
                return Self(Kind::Other(bytes[..len].into()));
            }
            _ => return Self(Kind::Other(bytes.into())),
        };
        internet.into()
    }

    /// Its family: `AF_INET`, `AF_INET6`, `AF_UNIX` or another.
    pub fn family(&self) -> i32 {
        match &self.0 {
            Kind::V4(_) => libc::AF_INET,
            Kind::V6(_) => libc::AF_INET6,
            Kind::Other(bytes) => libc::sa_family_t::from_ne_bytes(split(bytes).0).into(),
        }
    }

    /// The address and port, if it is one of the internet.
    pub fn to_std(&self) -> Option<SocketAddr> {
        match self.meaning() {
            Meaning::Internet(address) => Some(address),
            _ => None,
        }
    }

    /// The path, if it is that of a Unix socket with a path.
    pub fn path(&self) -> Option<&Path> {
        match self.meaning() {
            Meaning::Path(path) => Some(Path::new(OsStr::from_bytes(path))),
            _ => None,
        }
    }

    /// The name, if it is that of a Unix socket with an abstract name.
    pub fn abstract_name(&self) -> Option<&[u8]> {
        match self.meaning() {
            Meaning::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is that of a Unix socket that has none.
    pub fn is_unnamed(&self) -> bool {
        matches!(self.meaning(), Meaning::Unnamed)
    }

    fn meaning(&self) -> Meaning<'_> {
        let bytes = match &self.0 {
            Kind::V4(address) => {
                let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
                let port = u16::from_be(address.sin_port);
                return Meaning::Internet(SocketAddr::new(IpAddr::V4(ip), port));
            }
            Kind::V6(address) => {
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                let (flow, scope) = (address.sin6_flowinfo, address.sin6_scope_id);
                return Meaning::Internet(SocketAddrV6::new(ip, port, flow, scope).into());
            }
            Kind::Other(bytes) => bytes,
        };
        if self.family() != libc::AF_UNIX {
            return Meaning::Other(bytes);
        }
        match split::<{ size_of::<libc::sa_family_t>() }>(bytes).1 {
            [] => Meaning::Unnamed,
            [0, name @ ..] => Meaning::Abstract(name),
            path => Meaning::Path(path.split(|byte| *byte == 0).next().unwrap_or(path)),
        }
    }

    /// Where it is, and its size. The pointer is good until the value is moved.
    pub(super) fn as_raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match &self.0 {
            Kind::V4(address) => (ptr::from_ref(address).cast(), size::<libc::sockaddr_in>()),
            Kind::V6(address) => (ptr::from_ref(address).cast(), size::<libc::sockaddr_in6>()),
            Kind::Other(bytes) => {
                let size = u32::try_from(bytes.len()).unwrap_or(0);
                (bytes.as_ptr().cast(), size)
            }
        }
    }
}

/// The first bytes, zeros if there are no such, and the others.
fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    match bytes.split_first_chunk() {
        Some((first, rest)) => (*first, rest),
        None => ([0; N], &[]),
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Meaning::Internet(address) => write!(f, "Address({address})"),
            Meaning::Path(path) => write!(f, "Address({:?})", OsStr::from_bytes(path)),
            Meaning::Abstract(name) => write!(f, "Address(abstract \"{}\")", name.escape_ascii()),
            Meaning::Unnamed => f.write_str("Address(unnamed)"),
            Meaning::Other(_) => write!(f, "Address(of family {})", self.family()),
        }
    }
}

/// How many bytes the longest address has.
pub(super) const ROOM: usize = size_of::<libc::sockaddr_storage>();

/// Room for an address that the kernel writes, and for its size.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct AddressRoom {
    bytes: [u8; ROOM],
    len: libc::socklen_t,
}

impl AddressRoom {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            len: size::<libc::sockaddr_storage>(),
        }
    }

    /// Where the address goes, and how much room there is. The pointer is good until the value is
    /// moved.
    pub(super) fn room(&mut self) -> (*mut libc::sockaddr, libc::socklen_t) {
        self.len = size::<libc::sockaddr_storage>();
        ((&raw mut self.bytes).cast(), self.len)
    }

    /// Where the address and its size go, which is that of the room now. The pointers are good until
    /// the value is moved.
    pub(super) fn room_and_len(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        let (address, _) = self.room();
        (address, &raw mut self.len)
    }

    /// What was written.
    pub(super) fn address(&self) -> Address {
        self.address_of(self.len)
    }

    /// What was written, with the size that was given elsewhere.
    pub(super) fn address_of(&self, len: libc::socklen_t) -> Address {
        let len = self.bytes.len().min(len as usize);
        Address::of_kernel(&self.bytes[..len])
    }
}
