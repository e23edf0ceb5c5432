//! Sockets under load: many connections, many messages, none forgotten and none preferred.
#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{Accept, AcceptMulti, Connect, OpCode, RecvMulti};
use lio_uring::{BufferRing, Completion, CompletionFlags, IoUring, IoUringParams, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/until.rs"]
mod until;

use rings::{PENDING, cancel, next};
use until::until;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let here = listener.local_addr().expect("an address");
    (listener, here)
}

/// The connection that a completion has brought.
#[track_caller]
fn connection(done: &Completion) -> TcpStream {
    let fd = done.result().expect("a connection");
    // SAFETY: the descriptor is new, and nothing else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

#[test]
fn accept_multi_misses_no_connection_however_fast_they_come_and_go() {
    const CLIENTS: u32 = 4;
    const EACH: u32 = 100;
    // It came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let accept = AcceptMulti {
            fd: listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        };
        // SAFETY: the addresses are null, and the listener stays.
        unsafe { sq.push(&accept, PENDING) }.unwrap();
        sq.submit().unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                thread::spawn(move || {
                    for i in 0..EACH {
                        let mut stream = TcpStream::connect(here).expect("a listener");
                        let number = client * EACH + i;
                        stream
                            .write_all(&number.to_ne_bytes())
                            .expect("a connection");
                    }
                })
            })
            .collect();
        let mut seen = vec![false; (CLIENTS * EACH) as usize];
        for _ in 0..CLIENTS * EACH {
            let done = next(cq);
            let mut number = [0; 4];
            connection(&done).read_exact(&mut number).unwrap();
            let place = &mut seen[u32::from_ne_bytes(number) as usize];
            assert!(!*place, "{number:?} came twice");
            *place = true;
            if !done.more() {
                // So many at once can end it; nothing is lost by that.
                // SAFETY: as above.
                unsafe { sq.push(&accept, PENDING) }.unwrap();
                sq.submit().unwrap();
            }
        }
        for client in clients {
            client.join().unwrap();
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
    });
}

/// Waits until so many connections can be accepted.
#[track_caller]
fn await_backlog(listener: &TcpListener, n: u32) {
    until(format_args!("{n} connections have not come"), || {
        // SAFETY: zero is a value of the structure.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut size = libc::socklen_t::try_from(size_of_val(&info)).expect("a small structure");
        // SAFETY: the pointers are to values of the right types, and the size is that of the first.
        let result = unsafe {
            libc::getsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut size,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        // Of a listener it is the length of its queue.
        info.tcpi_unacked >= n
    });
}

#[test]
fn accept_tells_whether_more_connections_wait() {
    each_ring!(|cq, sq| {
        let (listener, here) = listener();
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(here).unwrap()).collect();
        await_backlog(&listener, 3);
        let accept = Accept {
            fd: listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        };
        let mut more = Vec::new();
        for _ in 0..3 {
            // SAFETY: the addresses are null, and the listener stays.
            unsafe { sq.push(&accept, 1) }.unwrap();
            sq.submit().unwrap();
            let done = next(cq);
            drop(connection(&done));
            more.push(done.flags().contains(CompletionFlags::SOCK_NONEMPTY));
        }
        if more == [false; 3] && kernel::lacks(6, 10, "more connections are not told of") {
            return;
        }
        assert_eq!(more, [true, true, false]);
    });
}

#[test]
fn accept_and_connect_go_through_one_entry() {
    let params = IoUringParams::default().entries(1).cqsize(4);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let (listener, here) = listener();
    let SocketAddr::V4(here) = here else {
        panic!("{here} is another address");
    };
    let mut peer = Box::new(zeroed());
    let mut size = Box::new(16);
    let accept = Accept {
        fd: listener.as_raw_fd(),
        addr: (&raw mut *peer).cast(),
        addrlen: &raw mut *size,
        flags: libc::SOCK_CLOEXEC,
    };
    // SAFETY: address, size and listener stay until the completion has been taken.
    unsafe { sq.push(&accept, 1) }.unwrap();
    sq.submit().unwrap();
    // SAFETY: the call has no conditions.
    let client = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the descriptor is new.
    let client = TcpStream::from(unsafe { OwnedFd::from_raw_fd(client) });
    let mut address = zeroed();
    address.sin_family = libc::AF_INET.try_into().unwrap();
    address.sin_port = here.port().to_be();
    address.sin_addr.s_addr = u32::from(*here.ip()).to_be();
    let connect = Connect {
        fd: client.as_raw_fd(),
        addr: (&raw const address).cast(),
        addrlen: 16,
    };
    // The ring has no other place for it than that of the accept, which waits.
    // SAFETY: address and socket stay until the completion has been taken.
    unsafe { sq.push(&connect, 2) }.unwrap();
    sq.submit().unwrap();
    let mut both = [next(&mut cq), next(&mut cq)];
    both.sort_by_key(Completion::user_data);
    let accepted = connection(&both[0]);
    assert_eq!(both[1].result().unwrap(), 0);
    let local = client.local_addr().unwrap();
    assert_eq!(accepted.peer_addr().unwrap(), local);
    assert_eq!((*size, u16::from_be(peer.sin_port)), (16, local.port()));
}

fn zeroed() -> libc::sockaddr_in {
    // SAFETY: zero is a value of the structure.
    unsafe { std::mem::zeroed() }
}

/// Provides many buffers of 8 bytes that are never freed.
#[track_caller]
fn provide<T: Threads>(sq: &mut SubmissionQueue<T>, group: u16) -> BufferRing<T> {
    let mut ring = sq.register_buffer_ring(1024, group).expect("a group");
    let memory = Box::leak(vec![[0_u8; 8]; 1024].into_boxed_slice());
    for (id, buffer) in (0..).zip(memory) {
        // SAFETY: the memory is never freed, and nothing looks at it.
        unsafe { ring.add(buffer.as_mut_ptr().cast(), 8, id) };
    }
    ring.publish();
    ring
}

#[test]
fn recv_multi_of_much_data_lets_others_have_their_turn() {
    const PIECES: usize = 400;
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    let params = IoUringParams::default().entries(8).cqsize(1024);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    let _group = provide(&mut sq, 80);
    let mut pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
    for (i, (here, there)) in (0..).zip(&mut pairs) {
        there.write_all(&[7; 8 * PIECES]).unwrap();
        let recv = RecvMulti {
            sockfd: here.as_raw_fd(),
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        // SAFETY: the group's buffers are never freed, and the sockets stay.
        unsafe { sq.push_with(&recv, i, |sqe| sqe.select_buffer(80)) }.unwrap();
    }
    sq.submit().unwrap();
    let mut order = Vec::new();
    for _ in 0..2 * PIECES {
        let done = next(&mut cq);
        assert_eq!((done.raw_result(), done.more()), (8, true));
        order.push(done.user_data());
    }
    for i in 0..2 {
        let pieces = order.iter().filter(|&&user_data| user_data == i);
        assert_eq!(pieces.count(), PIECES);
    }
    if order[..PIECES] == [0; PIECES] && kernel::lacks(6, 9, "receives take no turns") {
        return;
    }
    // Each of them, several times.
    let turns = order.windows(2).filter(|two| two[0] != two[1]).count();
    assert!(turns > 4, "{order:?}");
}
