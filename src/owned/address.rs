//! Addresses of sockets, as the kernel has them.

use std::fmt;
use std::io;
use std::mem;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// The address of a socket: of the internet, or a path.
///
/// Made from what the standard library has: `SocketAddr::into()`, [`Address::unix`].
#[derive(Clone)]
pub struct Address(Kind);

#[derive(Clone)]
enum Kind {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    Unix(Box<libc::sockaddr_un>, u32),
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the size of a structure, and a family's number"
)]
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

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
        // SAFETY: zero is a value of the structure.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        if path.is_empty() || path.contains(&0) || path.len() >= address.sun_path.len() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        address.sun_family = family(libc::AF_UNIX);
        for (to, &from) in address.sun_path.iter_mut().zip(path) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let size = size::<libc::sa_family_t>() + u32::try_from(path.len()).unwrap_or(0) + 1;
        Ok(Self(Kind::Unix(Box::new(address), size)))
    }

    /// Where it is, and its size. The pointer is good until the value is moved.
    pub(super) fn as_raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match &self.0 {
            Kind::V4(address) => (ptr::from_ref(address).cast(), size::<libc::sockaddr_in>()),
            Kind::V6(address) => (ptr::from_ref(address).cast(), size::<libc::sockaddr_in6>()),
            Kind::Unix(address, size) => (ptr::from_ref(&**address).cast(), *size),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::V4(_) => "Address::V4",
            Kind::V6(_) => "Address::V6",
            Kind::Unix(..) => "Address::Unix",
        })
    }
}
