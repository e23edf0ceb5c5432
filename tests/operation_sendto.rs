//! Sending datagrams, each to an address of its own.

#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

use lio_uring::SqeFlags;
use lio_uring::operation::{OpCode, Read, Sendto};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{results, run, submit_pending};
use sockets::{ADDRESS_SIZE, assert_empty, count, to_kernel, udp};

fn sendto_of(
    socket: &impl AsRawFd,
    data: &[u8],
    address: Option<&libc::sockaddr_in>,
    addrlen: u16,
) -> Sendto {
    Sendto {
        sockfd: socket.as_raw_fd(),
        buf: data.as_ptr().cast(),
        len: data.len().try_into().expect("a small buffer"),
        flags: 0,
        addr: address.map_or(ptr::null(), |address| ptr::from_ref(address).cast()),
        addrlen,
    }
}

/// Whether sends have addresses: since Linux 6.2.
#[track_caller]
fn sends_have_addresses() -> bool {
    needs::operations(&[OpCode::READ_MULTISHOT])
}

#[test]
fn sendto_reaches_each_of_several_destinations() {
    if !sends_have_addresses() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, from) = udp();
        let peers = [udp(), udp(), udp()];
        let texts = ["to the first", "", "to the third"];
        // One address after the other in the same place: it is needed until it is submitted.
        let mut address = to_kernel(from);
        for (i, (text, (_, to))) in texts.iter().zip(&peers).enumerate() {
            address = to_kernel(*to);
            let sendto = sendto_of(&here, text.as_bytes(), Some(&address), ADDRESS_SIZE);
            // SAFETY: the texts are constants, the address stays until the entry has been
            // submitted, and the socket is open.
            unsafe { sq.push(&sendto, i as u64) }.unwrap();
            sq.submit().unwrap();
        }
        address.sin_port = 0;
        assert_eq!(results(cq, sq, 3), [(0, 12), (1, 0), (2, 12)]);
        for ((peer, _), text) in peers.iter().zip(texts) {
            let mut buffer = [0; 16];
            let (n, sender) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..n], sender), (text.as_bytes(), from));
            assert_empty(peer);
        }
        assert_eq!(address.sin_port, 0);
    });
}

#[test]
fn sendto_needs_the_address_no_more_once_it_is_submitted() {
    if !sends_have_addresses() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _) = udp();
        let (there, to) = udp();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut byte = [0u8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: byte.as_mut_ptr().cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone and the pipe open until the completion has been taken.
        unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.unwrap();
        let mut address = to_kernel(to);
        let sendto = sendto_of(&here, b"kept", Some(&address), ADDRESS_SIZE);
        // SAFETY: the text is a constant, the address stays until the entry has been submitted,
        // and the socket is open.
        unsafe { sq.push(&sendto, 2) }.unwrap();
        submit_pending(cq, sq);
        address.sin_port = 0;
        writer.write_all(b"!").unwrap();
        assert_eq!(results(cq, sq, 2), [(1, 1), (2, 4)]);
        let mut buffer = [0; 16];
        assert_eq!((there.recv(&mut buffer).unwrap(), address.sin_port), (4, 0));
        assert_eq!(&buffer[..4], b"kept");
    });
}

#[test]
fn sendto_an_address_that_cannot_be_gives_the_errors_of_the_call() {
    if !sends_have_addresses() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, address) = udp();
        let address = to_kernel(address);
        let (unix, peer) = UnixStream::pair().unwrap();
        let long = [0u8; 256];
        let nothing = None::<&libc::sockaddr_in>;
        for (what, sendto, errno) in [
            (
                "none",
                sendto_of(&here, b"x", nothing, 0),
                libc::EDESTADDRREQ,
            ),
            (
                "short",
                sendto_of(&here, b"x", Some(&address), 4),
                libc::EINVAL,
            ),
            (
                "long",
                Sendto {
                    addr: long.as_ptr().cast(),
                    ..sendto_of(&here, b"x", nothing, 256)
                },
                libc::EINVAL,
            ),
            (
                "not mapped",
                Sendto {
                    addr: ptr::without_provenance(1),
                    ..sendto_of(&here, b"x", nothing, ADDRESS_SIZE)
                },
                libc::EFAULT,
            ),
            (
                "of a connected socket",
                sendto_of(&unix, b"x", Some(&address), ADDRESS_SIZE),
                libc::EISCONN,
            ),
        ] {
            // SAFETY: text, address and sockets stay; the kernel reads nothing where nothing is.
            let done = unsafe { run(cq, sq, &sendto, |_| ()) };
            assert_eq!(done.raw_result(), -errno, "{what}");
        }
        assert_empty(&here);
        assert_empty(&peer);
    });
}

#[test]
fn sendto_without_an_address_uses_that_of_the_connection() {
    if !sends_have_addresses() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _) = udp();
        let (there, to) = udp();
        here.connect(to).unwrap();
        // SAFETY: the text is a constant, and the socket stays.
        let done = unsafe { run(cq, sq, &sendto_of(&here, b"there", None, 0), |_| ()) };
        assert_eq!(count(done), 5);
        let mut buffer = [0; 16];
        assert_eq!(there.recv(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"there");
    });
}
