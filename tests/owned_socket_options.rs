//! The owned layer: options of sockets, and how much is in them.
#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use lio_uring::operation::OpCode;
use lio_uring::owned::{
    BytesReadable, BytesUnsent, Descriptor, GetSocketOption, OptionValue, SetSocketOption,
    SocketOption,
};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/sockets.rs"]
mod sockets;

use sockets::{await_data, fill, listener, option, take, tcp, udp};

use outcome::{errno, run};

/// Whether the kernel has the commands for amounts and options: the last came with Linux 6.7.
#[track_caller]
fn has_commands() -> bool {
    needs::operations(&[OpCode::FUTEX_WAIT])
}

fn get<S: 'static, T: OptionValue + 'static>(
    socket: &Rc<S>,
    option: SocketOption<T>,
) -> io::Result<T>
where
    Rc<S>: Descriptor,
{
    run(GetSocketOption::new(Rc::clone(socket), option))
}

fn set<S: 'static, T: OptionValue + 'static>(
    socket: &Rc<S>,
    option: SocketOption<T>,
    value: T,
) -> io::Result<()>
where
    Rc<S>: Descriptor,
{
    run(SetSocketOption::new(Rc::clone(socket), option, value))
}

#[test]
fn options_are_read_with_their_types() {
    if !has_commands() {
        return;
    }
    let (stream, _peer) = tcp();
    let (datagrams, _) = udp();
    let (stream, datagrams) = (Rc::new(stream), Rc::new(datagrams));
    let kind = get(&stream, SocketOption::KIND).expect("a type");
    assert_eq!(kind, libc::SOCK_STREAM);
    let kind = get(&datagrams, SocketOption::KIND).expect("a type");
    assert_eq!(kind, libc::SOCK_DGRAM);
    for (ours, name) in [
        (SocketOption::DOMAIN, libc::SO_DOMAIN),
        (SocketOption::PROTOCOL, libc::SO_PROTOCOL),
        (SocketOption::PRIORITY, libc::SO_PRIORITY),
        (SocketOption::RECV_BUFFER, libc::SO_RCVBUF),
        (SocketOption::SEND_BUFFER, libc::SO_SNDBUF),
        (SocketOption::RECV_LOW_WATER, libc::SO_RCVLOWAT),
        (SocketOption::ERROR, libc::SO_ERROR),
    ] {
        let wanted = option(&*stream, libc::SOL_SOCKET, name);
        assert_eq!(get(&stream, ours).expect("a value"), wanted, "{ours:?}");
    }
    let cookies = [&stream, &stream].map(|socket| get(socket, SocketOption::COOKIE));
    let [one, other] = cookies.map(|cookie| cookie.expect("a number"));
    assert!(one == other && one != 0);
    assert_eq!(get(&stream, SocketOption::MARK).expect("a mark"), 0);
    assert!(!get(&stream, SocketOption::LISTENS).expect("yes or no"));
    let (listener, _) = listener();
    let listener = Rc::new(listener);
    assert!(get(&listener, SocketOption::LISTENS).expect("yes or no"));
    assert_eq!(Rc::strong_count(&stream), 1);
}

#[test]
fn options_of_every_level_are_set() {
    if !has_commands() {
        return;
    }
    let (stream, _peer) = tcp();
    let stream = Rc::new(stream);
    for (ours, wanted) in [
        (SocketOption::KEEP_ALIVE, true),
        (SocketOption::KEEP_ALIVE, false),
        (SocketOption::NO_DELAY, true),
        (SocketOption::CORK, true),
        (SocketOption::REUSE_ADDRESS, true),
    ] {
        set(&stream, ours, wanted).expect("an option");
        let got = option(&*stream, ours.level(), ours.name()) != 0;
        assert_eq!(got, wanted, "{ours:?}");
    }
    for (ours, wanted) in [
        (SocketOption::PRIORITY, 3),
        (SocketOption::KEEP_ALIVE_AFTER, 77),
        (SocketOption::KEEP_ALIVE_INTERVAL, 5),
        (SocketOption::KEEP_ALIVE_TRIES, 4),
        (SocketOption::USER_TIMEOUT, 9000),
        (SocketOption::TTL, 5),
    ] {
        set(&stream, ours, wanted).expect("an option");
        let got = option(&*stream, ours.level(), ours.name());
        assert_eq!(got, wanted, "{ours:?}");
    }
}

#[test]
fn options_that_are_structures_are_bytes() {
    if !has_commands() {
        return;
    }
    // SAFETY: the value of the option is two integers.
    let linger = unsafe { SocketOption::<[u8; 8]>::new(libc::SOL_SOCKET, libc::SO_LINGER) };
    let (stream, _peer) = tcp();
    let stream = Rc::new(stream);
    let mut value = [0; 8];
    value[..4].copy_from_slice(&1i32.to_ne_bytes());
    value[4..].copy_from_slice(&7i32.to_ne_bytes());
    set(&stream, linger, value).expect("an option");
    assert_eq!(get(&stream, linger).expect("an option"), value);
    // SAFETY: as above; there is room for more.
    let larger = unsafe { SocketOption::<[u8; 64]>::new(libc::SOL_SOCKET, libc::SO_LINGER) };
    let error = get(&stream, larger).expect_err("it has 8 bytes");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn options_that_cannot_be_give_the_kernels_errors() {
    if !has_commands() {
        return;
    }
    let (stream, _peer) = tcp();
    let stream = Rc::new(stream);
    let got = get(&stream, SocketOption::NO_DELAY);
    assert_eq!(errno(got), libc::EOPNOTSUPP, "of another level");
    let done = set(&stream, SocketOption::KIND, libc::SOCK_DGRAM);
    assert_eq!(errno(done), libc::ENOPROTOOPT, "not to be set");
    let done = set(&stream, SocketOption::SEGMENT, 100);
    assert_eq!(errno(done), libc::ENOPROTOOPT, "of another protocol");
    let (pipe, _writer) = io::pipe().expect("a pipe");
    let pipe = Rc::new(pipe);
    assert_eq!(errno(get(&pipe, SocketOption::KIND)), libc::EOPNOTSUPP);
    let done = set(&pipe, SocketOption::KEEP_ALIVE, true);
    assert_eq!(errno(done), libc::EOPNOTSUPP);
}

#[test]
fn amounts_are_those_of_the_socket() {
    if !has_commands() {
        return;
    }
    let (here, mut there) = tcp();
    let here = Rc::new(here);
    let readable = || {
        let socket = Rc::clone(&here);
        run(BytesReadable { socket }).expect("an amount")
    };
    let unsent = || {
        let socket = Rc::clone(&here);
        run(BytesUnsent { socket }).expect("an amount")
    };
    assert_eq!((readable(), unsent()), (0, 0));
    there.write_all(b"seven b").expect("sent");
    await_data(&*here, 7);
    assert_eq!(readable(), 7);
    take(&mut &*here, 3);
    assert_eq!(readable(), 4);
    let filled = fill(&*here);
    let waiting = unsent();
    assert!(0 < waiting && waiting <= filled, "{waiting} of {filled}");
    take(&mut there, filled);
}

#[test]
fn amounts_of_what_has_none_are_errors() {
    if !has_commands() {
        return;
    }
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    assert_eq!(errno(run(BytesReadable { socket })), libc::EOPNOTSUPP);
    let (socket, _) = listener();
    assert_eq!(errno(run(BytesUnsent { socket })), libc::EINVAL);
    let (socket, _writer) = io::pipe().expect("a pipe");
    assert_eq!(errno(run(BytesReadable { socket })), libc::EOPNOTSUPP);
}
