//! The owned layer: addresses of sockets, given and told.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{self as unix, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lio_uring::operation::OpCode;
use lio_uring::owned::{
    Accept, AcceptFrom, Address, AddressOf, Bind, Connect, RecvHeader, RecvMsg, Ring, SendHeader,
    SendMsg, Socket,
};

use outcome::{errno, run};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/outcome.rs"]
mod outcome;

#[test]
fn addresses_of_the_internet_are_those_they_were_made_of() {
    let scoped = SocketAddrV6::new("fe80::1:2".parse().expect("one"), 443, 7, 3);
    for address in [
        "127.0.0.1:80",
        "255.1.2.3:65535",
        "[::1]:0",
        "[2001:db8::7]:8080",
    ]
    .map(|text| text.parse::<SocketAddr>().expect("an address"))
    .into_iter()
    .chain([scoped.into()])
    {
        let ours = Address::from(address);
        assert_eq!(ours.to_std(), Some(address));
        assert_eq!((ours.path(), ours.abstract_name()), (None, None));
        assert!(!ours.is_unnamed());
        let family = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        assert_eq!(ours.family(), family);
        assert_eq!(format!("{ours:?}"), format!("Address({address})"));
    }
}

#[test]
fn addresses_of_unix_sockets_are_paths_names_or_nothing() {
    let path = Address::unix("/run/socket").expect("a path");
    assert_eq!(path.path(), Some(Path::new("/run/socket")));
    assert_eq!(format!("{path:?}"), r#"Address("/run/socket")"#);

    let name = Address::abstract_unix(b"a\0name\xff").expect("a name");
    assert_eq!(name.abstract_name(), Some(&b"a\0name\xff"[..]));
    assert_eq!(format!("{name:?}"), r#"Address(abstract "a\x00name\xff")"#);

    let nothing = Address::unnamed_unix();
    assert!(nothing.is_unnamed());
    assert_eq!(format!("{nothing:?}"), "Address(unnamed)");

    for address in [&path, &name, &nothing] {
        assert_eq!((address.family(), address.to_std()), (libc::AF_UNIX, None));
        let told = [
            address.path().is_some(),
            address.abstract_name().is_some(),
            address.is_unnamed(),
        ];
        assert_eq!(told.iter().filter(|told| **told).count(), 1, "{address:?}");
    }
}

#[test]
fn unix_addresses_that_cannot_be_are_refused() {
    let longest = "x".repeat(107);
    let address = Address::unix(&longest).expect("107 bytes");
    assert_eq!(address.path(), Some(Path::new(&longest)));
    let address = Address::abstract_unix(&longest).expect("107 bytes");
    assert_eq!(address.abstract_name(), Some(longest.as_bytes()));
    let empty = Address::abstract_unix("").expect("no bytes");
    assert_eq!(empty.abstract_name(), Some(&b""[..]));
    let long = "x".repeat(108);
    for refused in [
        Address::unix(""),
        Address::unix("a\0b"),
        Address::unix(&long),
        Address::abstract_unix(&long),
    ] {
        assert_eq!(errno(refused), libc::EINVAL);
    }
}

#[test]
fn addresses_are_equal_if_they_say_the_same() {
    let of = |text: &str| Address::from(text.parse::<SocketAddr>().expect("an address"));
    let all = [
        of("127.0.0.1:80"),
        of("127.0.0.1:81"),
        of("[::1]:80"),
        Address::unix("x").expect("a path"),
        Address::abstract_unix("x").expect("a name"),
        Address::abstract_unix("").expect("a name"),
        Address::unnamed_unix(),
    ];
    for (i, one) in all.iter().enumerate() {
        for (j, other) in all.iter().enumerate() {
            assert_eq!(one == other, i == j, "{one:?} {other:?}");
        }
    }
    let set: HashSet<_> = all.iter().chain(&all).cloned().collect();
    assert_eq!(set.len(), all.len());
}

#[test]
fn accepted_connections_come_with_the_address_of_the_peer() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let listener = match TcpListener::bind(local) {
            Ok(listener) => Rc::new(listener),
            // A machine need not have version 6.
            Err(_) if local.starts_with('[') => continue,
            Err(error) => panic!("{error}"),
        };
        for _ in 0..3 {
            let ring = Ring::new(2).expect("a ring");
            let accept = AcceptFrom::new(Rc::clone(&listener));
            let ticket = ring.push(accept).expect("room");
            ring.submit().expect("a submission");
            let address = listener.local_addr().expect("one");
            let client = TcpStream::connect(address).expect("somebody listens");
            let (server, peer) = ticket.wait().expect("a submission").expect("a connection");
            assert_eq!(peer.to_std(), client.local_addr().ok());
            let server = TcpStream::from(server);
            assert_eq!(server.peer_addr().ok(), peer.to_std());
        }
    }
}

#[test]
fn peers_of_unix_sockets_are_what_they_were_bound_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let listens = folder.path().join("listener");
    let listener = Rc::new(UnixListener::bind(&listens).expect("a socket"));
    let accept = || AcceptFrom::new(Rc::clone(&listener));

    let _unbound = UnixStream::connect(&listens).expect("somebody listens");
    let (_, peer) = run(accept()).expect("a connection");
    assert!(peer.is_unnamed(), "{peer:?}");

    for path in paths(folder.path()) {
        let socket = Rc::new(bound(libc::SOCK_STREAM, &path));
        let address = Address::unix(&listens).expect("an address");
        run(Connect { socket, address }).expect("somebody listens");
        let (_, peer) = run(accept()).expect("a connection");
        assert_eq!(peer.path(), Some(&*path));
    }
}

#[test]
fn longest_path_of_a_sender_is_good_for_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().join("mine");
    let here = Rc::new(UnixDatagram::bind(&mine).expect("a socket"));
    for path in paths(folder.path()) {
        let there = UnixDatagram::from(bound(libc::SOCK_DGRAM, &path));
        there.send_to(b"x", &mine).expect("sent");
        let (socket, buffers, header) = (Rc::clone(&here), [[0]], RecvHeader::new());
        let (count, _, header) = run(RecvMsg {
            socket,
            buffers,
            header,
            flags: 0,
        });
        let sender = header.address().expect("a sender");
        assert_eq!((count.expect("one"), sender.path()), (1, Some(&*path)));
        let (socket, buffers) = (Rc::clone(&here), ["answer"]);
        let (count, ..) = run(SendMsg {
            socket,
            buffers,
            header: SendHeader::new().to(sender),
            flags: 0,
        });
        assert_eq!(count.expect("sent"), 6);
        assert_eq!(there.recv(&mut [0; 9]).expect("an answer"), 6);
    }
}

/// Paths in a folder: a short one, the longest with a NUL behind it, and the longest without.
fn paths(folder: &Path) -> [PathBuf; 3] {
    let folder = format!("{}/", folder.display());
    [folder.len() + 1, 107, 108].map(|len| {
        let name = "x".repeat(len - folder.len());
        PathBuf::from(folder.clone() + &name)
    })
}

/// A socket of this type that is bound to a path, which need not leave room for a NUL.
fn bound(kind: i32, path: &Path) -> OwnedFd {
    // SAFETY: the call has no conditions.
    let made = unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) };
    assert!(made >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it was just made.
    let socket = unsafe { OwnedFd::from_raw_fd(made) };
    let family = u16::try_from(libc::AF_UNIX).expect("a small number");
    let address = [&family.to_ne_bytes(), path.as_os_str().as_bytes()].concat();
    let len = address.len().try_into().expect("a short path");
    // SAFETY: the address has so many bytes.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), len) };
    assert_eq!(bound, 0, "{}", io::Error::last_os_error());
    socket
}

#[test]
fn abstract_names_are_bound_and_connected_to() {
    let name = format!("lio-uring addresses {}", std::process::id());
    let theirs = unix::SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&theirs).expect("a socket");
    let client = Rc::new(UnixDatagram::unbound().expect("a socket"));
    let address = Address::abstract_unix(&name).expect("a name");
    let wrong = run(Connect {
        socket: Rc::clone(&client),
        address: address.clone(),
    });
    assert_eq!(errno(wrong), libc::ECONNREFUSED, "of another type");

    // Since Linux 6.11.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    let (domain, kind, protocol) = (libc::AF_UNIX, libc::SOCK_STREAM, 0);
    let socket = Rc::new(
        run(Socket {
            domain,
            kind,
            protocol,
        })
        .expect("a socket"),
    );
    let any = Address::unnamed_unix();
    run(Bind {
        socket: Rc::clone(&socket),
        address: any,
    })
    .expect("a name of its own");
    run(Connect {
        socket: Rc::clone(&socket),
        address,
    })
    .expect("somebody listens");
    let (_, peer) = run(AcceptFrom::new(listener)).expect("a connection");
    assert_eq!(peer.abstract_name().map(<[u8]>::len), Some(5), "{peer:?}");
}

#[test]
fn accept_that_fails_has_no_address() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    assert_eq!(errno(run(AcceptFrom::new(socket))), libc::EOPNOTSUPP);
    let (reader, _writer) = io::pipe().expect("a pipe");
    assert_eq!(errno(run(AcceptFrom::new(reader))), libc::ENOTSOCK);
}

#[test]
fn sockets_tell_their_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
    let client = Rc::new(client);
    let server = TcpStream::from(run(Accept { listener }).expect("a connection"));
    let local = run(AddressOf::local(Rc::clone(&client)));
    let told = kernel::since_or(6, 19, local, |error| {
        let errno = error.raw_os_error().expect("one of the kernel's");
        // There are no commands at all before 5.19.
        assert!([libc::EOPNOTSUPP, libc::EINVAL].contains(&errno), "{error}");
    });
    let Some(local) = told else {
        return;
    };
    assert_eq!(local.to_std(), client.local_addr().ok());
    let peer = run(AddressOf::peer(client)).expect("a peer");
    assert_eq!(peer.to_std(), server.local_addr().ok());
    let alone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    assert_eq!(errno(run(AddressOf::peer(alone))), libc::ENOTCONN);
    let (unix, _peer) = UnixStream::pair().expect("a pair");
    assert!(
        run(AddressOf::local(unix))
            .expect("an address")
            .is_unnamed()
    );
}
