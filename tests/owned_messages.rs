//! The owned layer: messages, their senders, the descriptors and other control data in them.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use lio_uring::operation::{ControlMessage, OpCode};
use lio_uring::owned::{
    Address, BufferGroupParams, BufferMut, Descriptor, End, MessageRoom, ReceivedMessage,
    RecvHeader, RecvMsg, RecvMsgMulti, Ring, SendHeader, SendMsg, SendMsgZc, SendTo, SendToZc,
    Stream,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/sockets.rs"]
mod sockets;

use sockets::{assert_empty, await_data, bytes, set_option, take, tcp, udp};

use outcome::{errno, run};

/// Receives without waiting.
fn recv_msg<S, V>(socket: S, buffers: V, header: RecvHeader) -> RecvMsg<S, V> {
    RecvMsg {
        socket,
        buffers,
        header,
        flags: libc::MSG_DONTWAIT,
    }
}

fn send_msg<S, V>(socket: S, buffers: V, header: SendHeader) -> SendMsg<S, V> {
    SendMsg {
        socket,
        buffers,
        header,
        flags: 0,
    }
}

/// The flag that the kernel may set for Unix sockets although nothing was cut off.
fn cut_off_by_mistake() -> bool {
    kernel::may_have_bug((6, 17), &[((6, 18), 15)], "MSG_CTRUNC without a reason")
}

#[test]
fn datagram_fills_the_buffers_in_their_order_and_names_its_sender() {
    let (here, to) = udp();
    let (there, from) = udp();
    let here = Rc::new(here);
    let mut header = RecvHeader::new();
    let mut buffers = vec![vec![7; 4], Vec::with_capacity(4), vec![7; 4]];
    for (text, lens, cut) in [
        ("abcdef", [4, 2, 0], false),
        ("", [0, 0, 0], false),
        ("abcdefghijkl", [4, 4, 4], false),
        ("abcdefghijklmnop", [4, 4, 4], true),
        ("abc", [3, 0, 0], false),
    ] {
        for flags in [0, libc::MSG_TRUNC] {
            there.send_to(text.as_bytes(), to).expect("sent");
            await_data(&*here, text.len());
            let mut recv = recv_msg(Rc::clone(&here), buffers, header);
            recv.flags |= flags;
            let count;
            (count, buffers, header) = run(recv);
            let n = text.len().min(12);
            assert_eq!(count.expect("a datagram"), n, "{text}");
            assert_eq!(buffers.concat(), text.as_bytes()[..n]);
            assert_eq!([0, 1, 2].map(|i| buffers[i].len()), lens);
            assert_eq!(header.is_truncated(), cut);
            assert!(!header.is_control_truncated());
            let sender = header.address().expect("a sender");
            assert_eq!(sender.to_std(), Some(from));
        }
    }
}

#[test]
fn arrays_are_received_into_where_they_are() {
    let (here, mut there) = UnixStream::pair().expect("a pair");
    there.write_all(b"abcdef").expect("sent");
    let (count, buffers, header) = run(recv_msg(here, [[7; 4], [7; 4]], RecvHeader::default()));
    assert_eq!(count.expect("bytes"), 6);
    assert_eq!(buffers, [*b"abcd", *b"ef\x07\x07"]);
    assert_eq!(header.address(), None, "a stream names nobody");
}

#[test]
fn receive_that_fails_gives_everything_back() {
    let (here, there) = udp();
    let sender = Address::from(there);
    here.send_to(b"x", there).expect("sent");
    await_data(&here, 1);
    let here = Rc::new(here);
    let buffers = vec![vec![7; 4], Vec::with_capacity(9)];
    let (count, buffers, header) = run(recv_msg(Rc::clone(&here), buffers, RecvHeader::new()));
    assert_eq!(
        (count.expect("a datagram"), header.address()),
        (1, Some(sender))
    );
    let (count, buffers, header) = run(recv_msg(Rc::clone(&here), buffers, header));
    assert_eq!(errno(count), libc::EAGAIN);
    assert_eq!(buffers, [b"x".to_vec(), vec![]]);
    assert_eq!((header.address(), header.flags()), (None, 0));
    assert_eq!(Rc::strong_count(&here), 1);

    let (reader, _writer) = io::pipe().expect("a pipe");
    let (count, buffers, _) = run(recv_msg(reader, [vec![7; 4]], RecvHeader::new()));
    assert_eq!((errno(count), buffers), (libc::ENOTSOCK, [vec![7; 4]]));
}

#[test]
fn receive_into_no_buffer_takes_the_datagram() {
    let (here, to) = udp();
    here.send_to(b"lost", to).expect("sent");
    await_data(&here, 4);
    let (count, buffers, header) = run(recv_msg(here, Vec::<Vec<u8>>::new(), RecvHeader::new()));
    assert_eq!((count.expect("a datagram"), buffers.len()), (0, 0));
    assert!(header.is_truncated());
    assert_eq!(header.address(), Some(to.into()));
}

#[test]
fn more_buffers_than_the_kernel_takes_are_an_error() {
    let (here, mut there) = UnixStream::pair().expect("a pair");
    there.write_all(&bytes(2048)).expect("sent");
    let here = Rc::new(here);
    let buffers = vec![[0; 2]; 1025];
    let (count, mut buffers, header) = run(recv_msg(Rc::clone(&here), buffers, RecvHeader::new()));
    assert!([libc::EMSGSIZE, libc::EINVAL].contains(&errno(count)));
    buffers.pop();
    let (count, buffers, _) = run(recv_msg(here, buffers, header));
    assert_eq!(count.expect("bytes"), 2048);
    assert_eq!(buffers.as_flattened(), bytes(2048));
}

#[test]
fn unix_senders_are_named_by_what_they_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, path) = (folder.path().join("mine"), folder.path().join("theirs"));
    let here = Rc::new(UnixDatagram::bind(&mine).expect("a socket"));
    let bound = UnixDatagram::bind(&path).expect("a socket");
    bound.send_to(b"x", &mine).expect("sent");
    let (count, _, header) = run(recv_msg(Rc::clone(&here), [[0]], RecvHeader::new()));
    let sender = header.address().expect("a sender");
    assert_eq!((count.expect("one"), sender.path()), (1, Some(&*path)));
    assert_eq!(sender, Address::unix(&path).expect("a path"));

    // What names a sender is good for an answer.
    let answer = send_msg(
        Rc::clone(&here),
        ["an", "swer"],
        SendHeader::new().to(sender),
    );
    assert_eq!(run(answer).0.expect("sent"), 6);
    let mut text = [0; 9];
    assert_eq!(bound.recv(&mut text).expect("an answer"), 6);
    assert_eq!(&text[..6], b"answer");

    let unbound = UnixDatagram::unbound().expect("a socket");
    unbound.send_to(b"x", &mine).expect("sent");
    let (count, _, header) = run(recv_msg(Rc::clone(&here), [[0]], header));
    assert_eq!((count.expect("one"), header.address()), (1, None));

    let name = format!("lio-uring {}", std::process::id());
    let address = Address::abstract_unix(&name).expect("a name");
    let server = {
        use std::os::linux::net::SocketAddrExt as _;
        let name = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        UnixDatagram::bind_addr(&name).expect("a socket")
    };
    let hello = send_msg(
        Rc::clone(&here),
        ["hello"],
        SendHeader::new().to(address.clone()),
    );
    assert_eq!(run(hello).0.expect("sent"), 5);
    let server = Rc::new(server);
    let (count, _, header) = run(recv_msg(Rc::clone(&server), [[0; 9]], header));
    let sender = header.address().expect("a sender");
    assert_eq!((count.expect("some"), sender.path()), (5, Some(&*mine)));
    let answer = send_msg(server, ["x"], SendHeader::new().to(sender));
    assert_eq!(run(answer).0.expect("sent"), 1);
    let (_, _, header) = run(recv_msg(here, [[0]], header));
    let sender = header.address().expect("a sender");
    assert_eq!(sender.abstract_name(), Some(name.as_bytes()));
    assert_eq!(sender, address);
}

/// Sends the reading ends of so many pipes, and returns the others.
#[track_caller]
fn pass_pipes(socket: &UnixStream, n: usize) -> Vec<PipeWriter> {
    let pipes: Vec<_> = (0..n).map(|_| io::pipe().expect("a pipe")).collect();
    let (readers, writers): (Vec<OwnedFd>, _) = pipes
        .into_iter()
        .map(|(reader, writer)| (reader.into(), writer))
        .unzip();
    let header = SendHeader::new().descriptors(readers);
    let socket = socket.try_clone().expect("another");
    let (count, _, mut header) = run(send_msg(socket, ["pipes"], header));
    assert_eq!(count.expect("sent"), 5);
    assert_eq!(header.take_descriptors().len(), n, "they come back");
    assert_eq!(header.take_descriptors().len(), 0);
    writers
}

/// Whether somebody has the other end.
fn is_read(mut pipe: &PipeWriter) -> bool {
    match pipe.write_all(b"through") {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            false
        }
    }
}

#[track_caller]
fn assert_is_pipe(fd: OwnedFd) {
    // SAFETY: the descriptor is open, and the command takes nothing.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
    let mut through = [0; 7];
    File::from(fd).read_exact(&mut through).expect("a pipe");
    assert_eq!(&through, b"through");
}

#[test]
fn descriptors_arrive_and_are_closed_if_nobody_takes_them() {
    let (here, there) = UnixStream::pair().expect("a pair");
    let here = Rc::new(here);
    let mut header = RecvHeader::with_descriptors(3);
    // Control data of another form would hide them.
    for flags in [0, i32::MIN, libc::MSG_TRUNC] {
        let writers = pass_pipes(&there, 3);
        let mut recv = recv_msg(Rc::clone(&here), [[0; 9]], header);
        recv.flags |= flags;
        let (count, [text], received) = run(recv);
        header = received;
        assert_eq!((count.expect("bytes"), &text[..5]), (5, &b"pipes"[..]));
        assert!(cut_off_by_mistake() || !header.is_control_truncated());
        assert_eq!(
            header.control_messages().count(),
            0,
            "numbers are not shown"
        );
        assert!(writers.iter().all(is_read));
        let mut fds = header.take_descriptors();
        assert_eq!((fds.len(), header.take_descriptors().len()), (3, 0));
        assert_is_pipe(fds.pop().expect("three"));
        drop(fds);
        assert!(!writers.iter().any(is_read));
    }
    let writers = pass_pipes(&there, 2);
    let (_, _, header) = run(recv_msg(Rc::clone(&here), [[0; 9]], header));
    assert!(writers.iter().all(is_read));
    drop(header);
    assert!(!writers.iter().any(is_read));
}

#[test]
fn header_that_is_used_again_has_nothing_of_the_message_before() {
    let (here, there) = UnixStream::pair().expect("a pair");
    let here = Rc::new(here);
    let writers = pass_pipes(&there, 2);
    let header = RecvHeader::with_descriptors(2);
    let (_, _, header) = run(recv_msg(Rc::clone(&here), [[0; 9]], header));
    assert!(writers.iter().all(is_read));
    let (count, _, mut header) = run(recv_msg(Rc::clone(&here), [[0; 9]], header));
    assert_eq!(errno(count), libc::EAGAIN);
    assert!(!writers.iter().any(is_read), "nobody has taken them");
    assert_eq!(header.take_descriptors().len(), 0);

    (&there).write_all(b"x").expect("sent");
    let (count, _, mut header) = run(recv_msg(here, [[0; 9]], header));
    assert_eq!(
        (count.expect("one"), header.take_descriptors().len()),
        (1, 0)
    );
}

#[test]
fn descriptors_without_room_are_closed() {
    let (here, there) = UnixStream::pair().expect("a pair");
    let here = Rc::new(here);
    for (room, n) in [(0, 0), (15, 0), (16, 0), (20, 2), (24, 2), (32, 4), (40, 5)] {
        let writers = pass_pipes(&there, 5);
        let header = RecvHeader::with_control(room);
        let (count, _, mut header) = run(recv_msg(Rc::clone(&here), [[0; 9]], header));
        assert_eq!(count.expect("bytes"), 5);
        if size_of::<usize>() == 8 {
            assert_eq!(header.take_descriptors().len(), n, "{room}");
            assert!(n == 5 || header.is_control_truncated(), "{room}");
        }
        drop(header);
        assert!(!writers.iter().any(is_read), "{room}");
    }
}

#[test]
fn descriptors_of_the_first_part_are_there_when_all_has_come() {
    // The kernel waits for all since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let ring = Ring::new(2).expect("a ring");
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let writers = pass_pipes(&there, 2);
    let mut recv = recv_msg(here, [[0; 3], [0; 3]], RecvHeader::with_descriptors(2));
    recv.flags = libc::MSG_WAITALL;
    let ticket = ring.push(recv).expect("room");
    ring.submit().expect("a submission");
    // With room for control data newer kernels do not wait for more.
    let waits = !ticket.is_done();
    there.write_all(b"!").expect("sent");
    let (count, buffers, mut header) = ticket.wait().expect("a submission");
    assert_eq!(count.expect("bytes"), if waits { 6 } else { 5 });
    assert_eq!(buffers.as_flattened()[..5], *b"pipes");
    assert!(writers.iter().all(is_read));
    let fds = header.take_descriptors();
    assert_eq!(fds.len(), 2);
    fds.into_iter().for_each(assert_is_pipe);
}

#[test]
fn descriptors_of_a_receive_that_was_given_up_are_closed() {
    for flags in [0, libc::MSG_WAITALL] {
        let ring = Ring::new(2).expect("a ring");
        let (here, there) = UnixStream::pair().expect("a pair");
        let writers = pass_pipes(&there, 3);
        let mut recv = recv_msg(here, [[0; 9]], RecvHeader::with_descriptors(3));
        recv.flags = flags;
        let ticket = ring.push(recv).expect("room");
        ring.submit().expect("a submission");
        assert!(writers.iter().all(is_read));
        drop(ticket);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
        assert!(!writers.iter().any(is_read));
    }
}

#[test]
fn process_of_the_sender_is_owned() {
    /// `SO_PASSPIDFD`.
    const PASS_PIDFD: i32 = 76;
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let one = 1i32;
    // SAFETY: the value has so many bytes.
    let set = unsafe {
        libc::setsockopt(
            here.as_raw_fd(),
            libc::SOL_SOCKET,
            PASS_PIDFD,
            (&raw const one).cast(),
            4,
        )
    };
    let set = if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    };
    if kernel::since(6, 5, set).is_none() {
        return;
    }
    there.write_all(b"me").expect("sent");
    let header = RecvHeader::with_control(RecvHeader::control_room(4));
    let (count, _, mut header) = run(recv_msg(here, [[0; 2]], header));
    assert_eq!(
        (count.expect("bytes"), header.control_messages().count()),
        (2, 0)
    );
    assert_eq!(header.take_descriptors().len(), 0);
    let process = header.take_pidfd().expect("a process");
    let path = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let info = std::fs::read_to_string(path).expect("a descriptor");
    let me = format!("Pid:\t{}\n", std::process::id());
    assert!(info.contains(&me), "{info}");
    assert!(header.take_pidfd().is_none());
}

#[test]
fn control_messages_have_levels_kinds_and_data() {
    let (here, to) = udp();
    set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
    set_option(&here, libc::IPPROTO_IP, libc::IP_RECVTTL, 1);
    let (there, _) = udp();
    let header = SendHeader::new().to(to);
    let level = libc::IPPROTO_IP;
    let header = header.control(level, libc::IP_TTL, &9i32.to_ne_bytes());
    let header = header.expect("data");
    let (count, texts, _) = run(send_msg(there, ["no", "w"], header));
    assert_eq!((count.expect("sent"), texts), (3, ["no", "w"]));

    await_data(&here, 3);
    let room = RecvHeader::control_room(16) + RecvHeader::control_room(4);
    let here = Rc::new(here);
    let header = RecvHeader::with_control(room);
    let (count, [text], header) = run(recv_msg(Rc::clone(&here), [[0; 3]], header));
    assert_eq!((count.expect("a datagram"), &text), (3, b"now"));
    let messages: Vec<_> = header.control_messages().collect();
    let [time, ttl] = messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (time.level, time.r#type),
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
    );
    let seconds = i64::from_ne_bytes(time.data[..8].try_into().expect("seconds"));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    // A clock can be set in between, but it is not another epoch.
    assert!(now.as_secs().abs_diff(seconds.cast_unsigned()) < 1 << 20);
    let wanted = ControlMessage {
        level,
        r#type: libc::IP_TTL,
        data: &9i32.to_ne_bytes(),
    };
    assert_eq!(ttl, wanted);
    assert!(!header.is_control_truncated());

    // What is cut off has fewer bytes, and there is nothing behind it.
    here.send_to(b"now", to).expect("sent");
    await_data(&*here, 3);
    let header = RecvHeader::with_control(24);
    let (count, _, header) = run(recv_msg(here, [[0; 3]], header));
    assert_eq!(count.expect("a datagram"), 3);
    let lens: Vec<_> = header
        .control_messages()
        .map(|message| message.data.len())
        .collect();
    assert_eq!(lens, [8]);
    assert!(header.is_control_truncated());
}

#[test]
fn control_messages_that_could_name_descriptors_or_memory_are_refused() {
    /// `SOL_RDS`.
    const RDS: i32 = 276;
    for (level, kind) in [(libc::SOL_SOCKET, libc::SCM_RIGHTS), (RDS, 1), (-1, 0)] {
        let refused = SendHeader::new().control(level, kind, &[0; 4]);
        assert_eq!(errno(refused), libc::EINVAL);
    }
}

#[test]
fn kernel_is_told_of_bad_control_data() {
    let (here, there) = UnixStream::pair().expect("a pair");
    let here = Rc::new(here);
    let header = SendHeader::new().control(libc::SOL_SOCKET, 0x7fff, b"odd");
    let header = header.expect("data");
    let (count, texts, _) = run(send_msg(Rc::clone(&here), ["x"], header));
    assert_eq!((errno(count), texts), (libc::EINVAL, ["x"]));
    assert_empty(&there);
}

#[test]
fn message_that_cannot_be_sent_comes_back() {
    let (here, there) = UnixStream::pair().expect("a pair");
    drop(there);
    let file = File::open("/proc/self/comm").expect("a file");
    let header = SendHeader::new().descriptors([file.into()]);
    let (count, buffers, mut header) = run(send_msg(here, [vec![1; 3], vec![2]], header));
    assert_eq!(errno(count), libc::EPIPE, "and no signal");
    assert_eq!(buffers, [vec![1; 3], vec![2]]);
    assert_eq!(header.take_descriptors().len(), 1);

    let (here, to) = udp();
    let here = Rc::new(here);
    let (count, ..) = run(send_msg(Rc::clone(&here), ["x"], SendHeader::new()));
    assert_eq!(errno(count), libc::EDESTADDRREQ);
    let parts = vec![vec![0; 10_000]; 7];
    let (count, parts, _) = run(send_msg(here, parts, SendHeader::new().to(to)));
    assert_eq!((errno(count), parts.len()), (libc::EMSGSIZE, 7));
}

#[test]
fn plain_send_with_the_zero_copy_flag_copies() {
    let (here, mut there) = tcp();
    set_option(&here, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1);
    let here = Rc::new(here);
    let mut send = send_msg(
        Rc::clone(&here),
        [bytes(5000), bytes(3000)],
        SendHeader::new(),
    );
    send.flags = libc::MSG_ZEROCOPY | libc::MSG_WAITALL;
    let (count, ..) = run(send);
    assert_eq!(count.expect("sent"), 8000);
    assert!(take(&mut there, 8000) == [bytes(5000), bytes(3000)].concat());
    // A send without a copy would say here that it is over.
    let mut notification = recv_msg(here, [[0]], RecvHeader::with_control(64));
    notification.flags |= libc::MSG_ERRQUEUE;
    assert_eq!(errno(run(notification).0), libc::EAGAIN);
}

#[test]
fn stream_is_received_with_the_truncation_flag_too() {
    let (here, mut there) = tcp();
    there.write_all(b"not thrown away").expect("sent");
    let buffers = [Vec::with_capacity(4), Vec::with_capacity(100)];
    let mut recv = recv_msg(here, buffers, RecvHeader::new());
    recv.flags = libc::MSG_TRUNC;
    let (count, buffers, _) = run(recv);
    assert_eq!(count.expect("bytes"), 15);
    assert_eq!(buffers.concat(), b"not thrown away");
}

#[test]
fn zero_copy_messages_give_their_buffers_back_when_they_may_be_written() {
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    let (here, mut there) = tcp();
    let n = 2 << 20;
    let reader = thread::spawn(move || take(&mut there, 2 * n + 3));
    let send = SendMsgZc {
        socket: here,
        buffers: vec![bytes(n), b"...".to_vec(), bytes(n)],
        header: SendHeader::new(),
        flags: libc::MSG_WAITALL,
    };
    let (count, mut buffers, _) = run(send);
    assert_eq!(count.expect("sent"), 2 * n + 3);
    for buffer in &mut buffers {
        buffer.fill(0xff);
    }
    let read = reader.join().expect("all of it");
    assert!(read == [bytes(n), b"...".to_vec(), bytes(n)].concat());

    let (here, to) = udp();
    let send = SendMsgZc {
        socket: UdpSocket::bind("127.0.0.1:0").expect("a socket"),
        buffers: ["a ", "datagram"],
        header: SendHeader::new().to(to),
        flags: 0,
    };
    assert_eq!(run(send).0.expect("sent"), 10);
    let mut text = [0; 20];
    let n = here.recv(&mut text).expect("a datagram");
    assert_eq!(&text[..n], b"a datagram");

    let (here, _there) = UnixStream::pair().expect("a pair");
    let send = SendMsgZc {
        socket: here,
        buffers: [vec![1, 2]],
        header: SendHeader::new(),
        flags: 0,
    };
    let (count, buffers, _) = run(send);
    assert_eq!((errno(count), buffers), (libc::EOPNOTSUPP, [vec![1, 2]]));
}

/// Whether sends have addresses: since Linux 6.2.
#[track_caller]
fn sends_have_addresses() -> bool {
    needs::operations(&[OpCode::READ_MULTISHOT])
}

#[test]
fn datagrams_go_to_addresses_of_their_own() {
    if !sends_have_addresses() {
        return;
    }
    let (here, from) = udp();
    let here = Rc::new(here);
    for text in ["", "one", "another"] {
        let (there, to) = udp();
        let send = SendTo {
            socket: Rc::clone(&here),
            buffer: text,
            address: to.into(),
            flags: libc::MSG_ZEROCOPY,
        };
        let (count, buffer) = run(send);
        assert_eq!((count.expect("sent"), buffer), (text.len(), text));
        let send = SendToZc {
            socket: Rc::clone(&here),
            buffer: text.to_owned(),
            address: to.into(),
            flags: 0,
        };
        let (count, buffer) = run(send);
        assert_eq!((count.expect("sent"), &buffer[..]), (text.len(), text));
        for _ in 0..2 {
            let mut got = [0; 16];
            let (n, sender) = there.recv_from(&mut got).expect("a datagram");
            assert_eq!((&got[..n], sender), (text.as_bytes(), from));
        }
        assert_empty(&there);
    }
}

#[test]
fn datagram_to_a_path_is_sent_and_to_nobody_is_an_error() {
    if !sends_have_addresses() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let there = UnixDatagram::bind(&path).expect("a socket");
    let here = Rc::new(UnixDatagram::unbound().expect("a socket"));
    let address = Address::unix(&path).expect("an address");
    let send = |address| SendTo {
        socket: Rc::clone(&here),
        buffer: vec![1, 2, 3],
        address,
        flags: 0,
    };
    assert_eq!(run(send(address.clone())).0.expect("sent"), 3);
    let mut got = [0; 4];
    assert_eq!(there.recv(&mut got).expect("a datagram"), 3);
    assert_eq!(got, [1, 2, 3, 0]);
    drop(there);
    let (count, buffer) = run(send(address));
    assert_eq!((errno(count), buffer), (libc::ECONNREFUSED, vec![1, 2, 3]));
    let nobody = Address::unix(folder.path().join("nobody")).expect("an address");
    assert_eq!(errno(run(send(nobody)).0), libc::ENOENT);
}

/// A buffer that is not where it says, but in a box.
struct Boxed(Box<[u8; 8]>, Option<usize>);

// SAFETY: the bytes are the box's own.
unsafe impl BufferMut for Boxed {
    fn room(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }

    unsafe fn filled(&mut self, bytes: usize) {
        self.1 = Some(bytes);
    }
}

#[test]
fn each_buffer_is_told_how_much_of_it_was_filled() {
    let (here, mut there) = UnixStream::pair().expect("a pair");
    there.write_all(&bytes(13)).expect("sent");
    let buffers = [0; 3].map(|_| Boxed(Box::new([0xff; 8]), None));
    let here = Rc::new(here);
    let (count, buffers, header) = run(recv_msg(Rc::clone(&here), buffers, RecvHeader::new()));
    assert_eq!(count.expect("bytes"), 13);
    let filled = buffers.each_ref().map(|buffer| buffer.1);
    assert_eq!(filled, [Some(8), Some(5), Some(0)]);
    assert_eq!(buffers[0].0[..], bytes(8));
    assert_eq!(buffers[1].0[..5], bytes(13)[8..]);
    let buffers = [0; 2].map(|_| Boxed(Box::new([0xff; 8]), None));
    let (count, buffers, _) = run(recv_msg(here, buffers, header));
    assert_eq!(errno(count), libc::EAGAIN);
    assert_eq!(buffers.map(|buffer| buffer.1), [None, None]);
}

/// Receives messages in this room of so many buffers, unless the kernel is too old for it.
fn messages<S: Descriptor + 'static>(
    ring: &Ring,
    socket: S,
    (count, bytes): (u16, u32),
    room: MessageRoom,
) -> Option<Stream<&Ring, RecvMsgMulti<S>>> {
    if kernel::lacks(6, 0, "receives of messages that go on") {
        return None;
    }
    let params = BufferGroupParams::new(count, bytes);
    let recv = RecvMsgMulti {
        socket,
        buffers: ring.register_group(params).expect("a group"),
        room,
        flags: libc::MSG_TRUNC | i32::MIN,
    };
    let stream = ring.push_stream(recv).expect("room");
    ring.submit().expect("a submission");
    Some(stream)
}

/// The next message, which must come.
#[track_caller]
fn next<S: Descriptor>(messages: &mut Stream<&Ring, RecvMsgMulti<S>>) -> ReceivedMessage {
    let item = messages.wait_next().expect("a submission");
    item.expect("it goes on").expect("no error")
}

#[test]
fn messages_come_one_by_one_with_their_senders() {
    let ring = Ring::new(8).expect("a ring");
    let (here, to) = udp();
    let room = MessageRoom::new().address();
    let bytes = u32::try_from(room.bytes()).expect("a few") + 100;
    let Some(mut messages) = messages(&ring, here, (4, bytes), room) else {
        return;
    };
    let senders = [udp(), udp()];
    for len in [1, 99, 100, 101, 1000] {
        for (there, from) in &senders {
            there.send_to(&sockets::bytes(len), to).expect("sent");
            let mut message = next(&mut messages);
            assert_eq!(message.payload(), sockets::bytes(len.min(100)));
            assert_eq!(message.is_truncated(), len > 100);
            assert!(!message.is_control_truncated());
            let sender = message.address().expect("a sender");
            assert_eq!(sender.to_std(), Some(*from));
            assert_eq!(message.control_messages().count(), 0);
            assert_eq!(message.take_descriptors().len(), 0);
        }
    }
    // All buffers, and then no more.
    let (there, _) = &senders[0];
    let kept: Vec<_> = (0..4)
        .map(|n| {
            there.send_to(&[n; 3], to).expect("sent");
            next(&mut messages)
        })
        .collect();
    there.send_to(b"later", to).expect("sent");
    assert!(messages.wait_next().expect("a submission").is_none());
    assert_eq!(messages.end(), Some(End::Exhausted));
    for (message, n) in kept.iter().zip(0..) {
        assert_eq!(message.payload(), [n; 3]);
    }
    drop(kept);
    messages.rearm().expect("room");
    assert_eq!(next(&mut messages).payload(), b"later");
    // One without bytes has a sender, and is no end of anything.
    there.send_to(b"", to).expect("sent");
    let message = next(&mut messages);
    assert!(message.payload().is_empty() && message.address().is_some());
    assert!(messages.wait_next().expect("a submission").is_none());
    assert_eq!(messages.end(), Some(End::Stopped));
    messages.rearm().expect("room");
    there.send_to(b"on", to).expect("sent");
    assert_eq!(next(&mut messages).payload(), b"on");
}

#[test]
fn messages_of_a_stream_end_with_it() {
    let ring = Ring::new(8).expect("a ring");
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let room = MessageRoom::new().address().descriptors(2);
    let Some(mut messages) = messages(&ring, here, (4, 500), room) else {
        return;
    };
    there.write_all(b"all").expect("sent");
    let message = next(&mut messages);
    assert_eq!((message.payload(), message.address()), (&b"all"[..], None));
    drop(there);
    assert!(messages.wait_next().expect("a submission").is_none());
    assert_eq!(messages.end(), Some(End::Finished));
    let recv = messages.into_operation().expect("it has ended");
    assert_eq!(recv.buffers.provided(), 3, "one is lent");
    drop(message);
    assert_eq!(recv.buffers.provided(), 4);
}

#[test]
fn descriptors_of_messages_are_closed_if_nobody_takes_them() {
    let ring = Ring::new(8).expect("a ring");
    let (here, there) = UnixStream::pair().expect("a pair");
    let room = MessageRoom::new().descriptors(3);
    let Some(mut messages) = messages(&ring, here, (8, 100), room) else {
        return;
    };
    for _ in 0..20 {
        let writers = pass_pipes(&there, 3);
        let mut message = next(&mut messages);
        assert_eq!(message.payload(), b"pipes");
        assert!(cut_off_by_mistake() || !message.is_control_truncated());
        assert_eq!(message.control_messages().count(), 0, "no numbers");
        assert!(writers.iter().all(is_read));
        let mut fds = message.take_descriptors();
        assert_eq!((fds.len(), message.take_descriptors().len()), (3, 0));
        assert_is_pipe(fds.pop().expect("three"));
        drop(fds);
        assert!(!writers.iter().any(is_read));

        let writers = pass_pipes(&there, 2);
        let message = next(&mut messages);
        assert!(writers.iter().all(is_read));
        drop(message);
        assert!(!writers.iter().any(is_read));
        // Nothing of it is left for one without.
        (&there).write_all(b"x").expect("sent");
        let mut message = next(&mut messages);
        assert_eq!(message.take_descriptors().len(), 0);
        assert!(!message.is_control_truncated());
    }
    // More than there is room for.
    let writers = pass_pipes(&there, 7);
    let mut message = next(&mut messages);
    assert!(message.is_control_truncated());
    // The last place of three is followed by what fills the word.
    assert!((3..=4).contains(&message.take_descriptors().len()));
    assert!(!writers.iter().any(is_read));

    // Taken by nobody, and not even looked at.
    let looked_at = pass_pipes(&there, 2);
    ring.submit().expect("a submission");
    let unseen = pass_pipes(&there, 2);
    drop(messages);
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
    for writers in [looked_at, unseen] {
        assert!(!writers.iter().any(is_read));
    }
}

#[test]
fn messages_without_room_for_descriptors_come_without_them() {
    let ring = Ring::new(8).expect("a ring");
    let (here, there) = UnixStream::pair().expect("a pair");
    let Some(mut messages) = messages(&ring, here, (8, 100), MessageRoom::default()) else {
        return;
    };
    let writers = pass_pipes(&there, 3);
    let mut message = next(&mut messages);
    assert!(message.is_control_truncated());
    assert_eq!(message.take_descriptors().len(), 0);
    assert!(!writers.iter().any(is_read));
}

#[test]
fn packet_without_bytes_that_brings_descriptors_is_no_end() {
    let ring = Ring::new(8).expect("a ring");
    let (here, there) = UnixDatagram::pair().expect("a pair");
    let room = MessageRoom::new().descriptors(1);
    let Some(mut messages) = messages(&ring, here, (8, 100), room) else {
        return;
    };
    let (reader, writer) = io::pipe().expect("a pipe");
    let header = SendHeader::new().descriptors([reader.into()]);
    let there = Rc::new(there);
    drop(run(send_msg(Rc::clone(&there), [""], header)));
    let mut message = next(&mut messages);
    assert!(message.payload().is_empty() && is_read(&writer));
    assert_is_pipe(message.take_descriptors().remove(0));
    assert!(messages.wait_next().expect("a submission").is_none());
    assert_eq!(messages.end(), Some(End::Stopped));
    // One with nothing at all cannot be told from an end.
    messages.rearm().expect("room");
    there.send(b"").expect("sent");
    assert!(messages.wait_next().expect("a submission").is_none());
    assert_eq!(messages.end(), Some(End::Finished));
    messages.rearm().expect("room");
    there.send(b"on").expect("sent");
    assert_eq!(next(&mut messages).payload(), b"on");
}

#[test]
fn messages_bring_their_control_data() {
    let ring = Ring::new(8).expect("a ring");
    let (here, to) = udp();
    set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1);
    let room = MessageRoom::new().control(RecvHeader::control_room(16));
    let Some(mut messages) = messages(&ring, here, (8, 100), room) else {
        return;
    };
    let (there, _) = udp();
    for _ in 0..3 {
        there.send_to(b"timed", to).expect("sent");
        let message = next(&mut messages);
        let all: Vec<_> = message.control_messages().collect();
        let [time] = all[..] else { panic!("{all:?}") };
        let kind = (time.level, time.r#type, time.data.len());
        assert_eq!(kind, (libc::SOL_SOCKET, libc::SCM_TIMESTAMP, 16));
        assert_eq!(
            (message.payload(), message.address()),
            (&b"timed"[..], None)
        );
    }
}

#[test]
fn messages_that_could_never_come_are_refused() {
    let ring = Ring::new(8).expect("a ring");
    for (address, control, bytes) in [
        (true, 0, 128 + 16),
        (false, 84, 88 + 16),
        (false, 500, 100),
        (true, usize::MAX, 4096),
        (false, usize::MAX, 4096),
    ] {
        let (here, to) = udp();
        let (there, _) = udp();
        there.send_to(b"kept", to).expect("sent");
        let mut room = MessageRoom::new().control(control);
        if address {
            room = room.address();
        }
        assert!(room.bytes() >= bytes as usize);
        let here = Rc::new(here);
        let Some(mut messages) = messages(&ring, Rc::clone(&here), (2, bytes), room) else {
            return;
        };
        let item = messages.wait_next().expect("a submission").expect("an end");
        assert_eq!(errno(item), libc::EINVAL);
        assert_eq!(messages.end(), Some(End::Failed));
        assert_eq!(here.recv(&mut [0; 8]).expect("it is there"), 4);
    }
    let params = BufferGroupParams::new(2, 4096).incremental();
    let Some(buffers) = kernel::since(6, 12, ring.register_group(params)) else {
        return;
    };
    let recv = RecvMsgMulti {
        socket: udp().0,
        buffers,
        room: MessageRoom::new(),
        flags: 0,
    };
    let mut messages = ring.push_stream(recv).expect("room");
    let item = messages.wait_next().expect("a submission").expect("an end");
    assert_eq!(errno(item), libc::EINVAL);
}
