//! Later forms of operations on sockets: what a probe says of them, and what the kernel does.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::{mem, ptr};

use lio_uring::kind::CqeSize;
use lio_uring::operation::{
    AcceptDirect, AcceptMulti, AcceptMultiDirect, Cancel, CancelFlags, CmdGetsockname, CmdSock,
    RecvMulti, RecvmsgMulti, SendBundle, SendmsgZcFixed, Sendto, SocketOp,
};

use lio_uring::{
    AnyThread, FileSlot, IoUring, IoUringParams, MissingCause, Probe, SetupError, SetupFlags, Sqe64,
};

#[path = "support/forms.rs"]
mod forms;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use forms::{agrees, end, run_with_buffer, taken, takes, went_to_a_place};
use rings::{CANCEL, PENDING, next, run};

/// A listener with a connection that waits to be accepted.
fn called() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("a connection");
    (listener, client)
}

/// Two ends of a connection, one of which has sent something and ended it.
fn sent(data: &[u8]) -> (UnixStream, UnixStream) {
    let (near, mut far) = UnixStream::pair().expect("a connection");
    far.write_all(data).expect("room");
    far.shutdown(Shutdown::Write).expect("a connection");
    (near, far)
}

#[test]
fn accept_multi() {
    each_ring!(|cq, sq| {
        let (listener, _client) = called();
        let accept = AcceptMulti {
            fd: listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
        };
        // SAFETY: no address is asked for, and the listener is open until it has ended.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        sq.submit().unwrap();
        let done = next(cq);
        let took = taken(done);
        if took {
            // SAFETY: the descriptor is new, and nothing else has it.
            drop(unsafe { OwnedFd::from_raw_fd(done.raw_result()) });
            assert!(done.more());
            end(cq, sq);
        }
        agrees::<AcceptMulti>(sq, took);
    });
}

#[test]
fn accept_multi_direct() {
    each_ring!(|cq, sq| {
        let (listener, _client) = called();
        sq.register_files(&[-1]).unwrap();
        let accept = AcceptMultiDirect {
            fd: listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
        };
        // SAFETY: no address is asked for, and the listener is open until it has ended.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        sq.submit().unwrap();
        let done = next(cq);
        let took = taken(done);
        if took {
            assert_eq!((done.raw_result(), done.more()), (0, true));
            end(cq, sq);
        }
        agrees::<AcceptMultiDirect>(sq, took);
    });
}

#[test]
fn accept_direct() {
    each_ring!(|cq, sq| {
        sq.register_files(&[-1]).unwrap();
        let (listener, _client) = called();
        let accept = AcceptDirect {
            fd: listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: 0,
            file_index: FileSlot::At(0),
        };
        // SAFETY: no address is asked for, and the place is free.
        let done = unsafe { run(cq, sq, &accept, |_| ()) };
        agrees::<AcceptDirect>(sq, went_to_a_place(done));
    });
}

#[test]
fn recv_multi() {
    each_ring!(|cq, sq| {
        let (near, _far) = sent(b"hello");
        let recv = RecvMulti {
            sockfd: near.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        let (results, buffer) = run_with_buffer(cq, sq, &recv);
        let took = results.len() > 1;
        if took {
            assert_eq!(results[0].as_ref().unwrap(), &5);
            assert!(buffer.windows(5).any(|bytes| bytes == b"hello"));
        }
        agrees::<RecvMulti>(sq, took);
    });
}

#[test]
fn recvmsg_multi() {
    each_ring!(|cq, sq| {
        let (near, _far) = sent(b"hello");
        // SAFETY: the structure is made of integers and pointers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        let recv = RecvmsgMulti {
            fd: near.as_raw_fd(),
            msg: &raw mut message,
            flags: 0,
        };
        let (results, buffer) = run_with_buffer(cq, sq, &recv);
        let took = results.len() > 1;
        if took {
            assert!(buffer.windows(5).any(|bytes| bytes == b"hello"));
        }
        agrees::<RecvmsgMulti>(sq, took);
    });
}

#[test]
fn send_bundle() {
    each_ring!(|cq, sq| {
        let (near, _far) = UnixStream::pair().unwrap();
        let send = SendBundle {
            sockfd: near.as_raw_fd(),
            len: 0,
            flags: 0,
        };
        let (results, _buffer) = run_with_buffer(cq, sq, &send);
        let bytes = results.iter().flatten().sum::<i32>();
        assert!([0, 64].contains(&bytes), "{results:?}");
        agrees::<SendBundle>(sq, bytes == 64);
    });
}

#[test]
fn sendto_an_address() {
    each_ring!(|cq, sq| {
        let [near, far] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET.try_into().unwrap(),
            sin_port: far.local_addr().unwrap().port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
            },
            sin_zero: [0; 8],
        };
        let send = Sendto {
            sockfd: near.as_raw_fd(),
            buf: b"hello".as_ptr().cast(),
            len: 5,
            flags: 0,
            addr: (&raw const address).cast(),
            addrlen: size_of_val(&address).try_into().unwrap(),
        };
        // SAFETY: bytes and address outlive the completion.
        let done = unsafe { run(cq, sq, &send, |_| ()) };
        let took = done.raw_result() == 5;
        if took {
            let mut bytes = [0; 8];
            assert_eq!(far.recv(&mut bytes).unwrap(), 5);
            assert_eq!(&bytes[..5], b"hello");
        }
        agrees::<Sendto>(sq, took);
    });
}

#[test]
fn socket_commands() {
    each_ring!(|cq, sq| {
        let (listener, mut client) = called();
        let (near, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        let command = CmdSock {
            cmd_op: SocketOp::SIOCINQ,
            fd: near.as_raw_fd(),
            level: 0,
            optname: 0,
            optval: ptr::null_mut(),
            optlen: 0,
        };
        // SAFETY: it points to nothing.
        let took = unsafe { takes(cq, sq, &command) };
        agrees::<CmdSock>(sq, took);

        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
        let mut size = size_of_val(&name).try_into().unwrap();
        let command = CmdGetsockname {
            fd: near.as_raw_fd(),
            sockaddr: (&raw mut name).cast(),
            sockaddr_len: &raw mut size,
            peer: 1,
        };
        // SAFETY: address and size outlive the completion.
        let took = unsafe { takes(cq, sq, &command) };
        if took {
            assert_eq!(
                u16::from_be(name.sin_port),
                client.local_addr().unwrap().port()
            );
        }
        agrees::<CmdGetsockname>(sq, took);
    });
}

#[test]
fn sendmsg_zc_fixed() {
    each_ring!(|cq, sq| {
        let (listener, client) = called();
        let (_near, _) = listener.accept().unwrap();
        let mut data = vec![b'x'; 4096];
        let mut part = libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: 16,
        };
        let whole = libc::iovec {
            iov_len: data.len(),
            ..part
        };
        // SAFETY: the memory is there until the ring is gone, or the registration has ended.
        unsafe { sq.register_buffers(&[whole]) }.unwrap();
        // SAFETY: the structure is made of integers and pointers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let send = SendmsgZcFixed {
            fd: client.as_raw_fd(),
            msg: &raw const message,
            flags: 0,
            buf_index: 0,
        };
        // SAFETY: all of it outlives the last completion.
        unsafe { sq.push(&send, PENDING) }.unwrap();
        sq.submit().unwrap();
        let done = next(cq);
        if done.more() {
            assert!(next(cq).is_notification());
        }
        sq.unregister_buffers().unwrap();
        agrees::<SendmsgZcFixed>(sq, taken(done));
    });
}

/// What becomes of a request for time stamps on a ring that is made like this: nothing until it is
/// cancelled, or an error.
fn ask_for_time_stamps<C: CqeSize>(
    params: IoUringParams<AnyThread, Sqe64, C>,
) -> Result<i32, SetupError> {
    let (mut cq, mut sq) = IoUring::with_params(params)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let command = CmdSock {
        cmd_op: SocketOp::TX_TIMESTAMP,
        fd: socket.as_raw_fd(),
        level: 0,
        optname: 0,
        optval: ptr::null_mut(),
        optlen: 0,
    };
    // SAFETY: it points to nothing, and the socket is open until it has ended.
    unsafe { sq.push(&command, PENDING) }.expect("room");
    let cancel = Cancel {
        user_data: PENDING,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, CANCEL) }.expect("room");
    sq.submit_and_wait(2).expect("a submission");
    let stamps = cq.completions().find(|done| done.user_data() == PENDING);
    Ok(stamps.expect("its completion").raw_result())
}

#[test]
fn time_stamps_need_large_completions() {
    let needs = SocketOp::TX_TIMESTAMP.needs().unwrap();
    let answer = Probe::new().unwrap().meets(&needs);
    let params = IoUringParams::default().entries(8);
    assert_eq!(
        needs.missing_flags(params.flags()),
        Some(SetupFlags::CQE32 | SetupFlags::CQE_MIXED)
    );
    assert_eq!(needs.missing_flags(params.cqe_mixed().flags()), None);
    let small = ask_for_time_stamps(params).unwrap();
    assert!(
        [-libc::EINVAL, -libc::EOPNOTSUPP].contains(&small),
        "{small}"
    );
    let rings = [
        ask_for_time_stamps(params.cqe32()),
        ask_for_time_stamps(params.cqe_mixed()),
    ];
    for large in rings.into_iter().flatten() {
        let cause = answer.map_err(|missing| missing.cause());
        match cause {
            Ok(()) => assert_eq!(large, -libc::ECANCELED),
            Err(MissingCause::Unknown { .. }) => {}
            Err(_) => assert!(
                [-libc::EINVAL, -libc::EOPNOTSUPP].contains(&large),
                "{large}"
            ),
        }
    }
}
