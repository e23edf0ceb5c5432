//! Sockets to test with: connected ones, their addresses, and what is in them.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use lio_uring::Completion;

use crate::rings::LIMIT;

/// The size of an address of version 4.
pub(crate) const ADDRESS_SIZE: u16 = 16;
const _: () = assert!(size_of::<libc::sockaddr_in>() == ADDRESS_SIZE as usize);

/// Two ends of a connection over the loopback device.
pub(crate) fn tcp() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).expect("somebody listens");
    let (server, _) = listener.accept().expect("somebody connects");
    (client, server)
}

pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}

/// A socket for datagrams over the loopback device, connected to nobody.
pub(crate) fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_read_timeout(Some(LIMIT)).expect("a socket");
    let address = socket.local_addr().expect("a bound socket");
    (socket, address)
}

/// An address as the kernel takes it.
pub(crate) fn to_kernel(address: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else {
        panic!("{address} is no address of version 4")
    };
    libc::sockaddr_in {
        sin_family: libc::AF_INET.try_into().expect("a small number"),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// An address as the kernel gives it.
#[track_caller]
pub(crate) fn from_kernel(address: &[u8]) -> SocketAddr {
    assert!(address.len() >= usize::from(ADDRESS_SIZE), "{address:?}");
    let family = u16::from_ne_bytes([address[0], address[1]]);
    assert_eq!(i32::from(family), libc::AF_INET);
    let port = u16::from_be_bytes([address[2], address[3]]);
    let ip = Ipv4Addr::new(address[4], address[5], address[6], address[7]);
    SocketAddrV4::new(ip, port).into()
}

/// Bytes that tell their place.
pub(crate) fn bytes(n: usize) -> Vec<u8> {
    (0..=250).cycle().take(n).collect()
}

/// The number of bytes that a completion tells of.
#[track_caller]
pub(crate) fn count<E: Copy>(done: Completion<E>) -> usize {
    let n = done.result().expect("bytes");
    n.try_into().expect("a count")
}

/// Takes `n` bytes out of a socket, and waits until they are there.
#[track_caller]
pub(crate) fn take(socket: &mut impl io::Read, n: usize) -> Vec<u8> {
    let mut data = vec![0; n];
    socket.read_exact(&mut data).expect("bytes in the socket");
    data
}

/// Fails if anything is left in a socket.
#[track_caller]
pub(crate) fn assert_empty(socket: &impl AsRawFd) {
    let mut byte = 0u8;
    // SAFETY: the byte is valid for writes.
    let n = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_DONTWAIT,
        )
    };
    let error = io::Error::last_os_error();
    assert_eq!((n, error.kind()), (-1, io::ErrorKind::WouldBlock));
}

/// Fills what a Unix socket holds, and returns how many bytes that is.
pub(crate) fn fill(socket: &impl AsRawFd) -> usize {
    let filling = vec![0xff; 1 << 16];
    let mut total = 0;
    for size in [filling.len(), 1] {
        loop {
            // SAFETY: the buffer is valid for reads.
            let sent = unsafe {
                libc::send(
                    socket.as_raw_fd(),
                    filling.as_ptr().cast(),
                    size,
                    libc::MSG_DONTWAIT,
                )
            };
            let Ok(sent) = usize::try_from(sent) else {
                break;
            };
            total += sent;
        }
    }
    total
}

/// Sets an option that is an integer.
#[track_caller]
pub(crate) fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) {
    // SAFETY: the value has the 4 bytes that the length says.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            4,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Reads an option that is an integer.
#[track_caller]
pub(crate) fn option(socket: &impl AsRawFd, level: i32, name: i32) -> i32 {
    let mut value = -1;
    let mut length = 4;
    // SAFETY: the value has room for the 4 bytes that the length says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!((result, length), (0, 4), "{}", io::Error::last_os_error());
    value
}

/// Waits until `n` bytes can be received, and leaves them.
#[track_caller]
pub(crate) fn await_data(socket: &impl AsRawFd, n: usize) {
    let mut buffer = vec![0u8; n];
    // SAFETY: the buffer has room for as many bytes.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            n,
            libc::MSG_PEEK | libc::MSG_WAITALL,
        )
    };
    assert_eq!(usize::try_from(got), Ok(n));
}
