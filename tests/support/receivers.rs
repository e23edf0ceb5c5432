//! A ring that receives without copies and without a network device, and a connection to it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lio_uring::kind::CqeSize;
use lio_uring::operation::{Cancel, CancelFlags, RecvZc};
use lio_uring::{
    Completion, Cqe32, IoUring, IoUringParams, OneThread, ReceiveArea, Received, RegisterCause,
    RegisterError, Sqe64, Wait, ZeroCopyReceive, ZeroCopyReceiveParams,
};

use super::{kernel, ordinary_user};

#[path = "until.rs"]
mod until;

use until::until;

pub(crate) const PAGE: usize = 4096;

/// The user data of a receive.
pub(crate) const RECV: u64 = 1;
/// The user data of the cancellation of it.
pub(crate) const CANCEL: u64 = 2;

/// How long a test waits for what should come at once.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) type Ring<C = Cqe32> = IoUring<Sqe64, C>;

/// A ring of the kind that the kernel wants. Nothing where it has none, or where the tests may not
/// register what they are about.
#[track_caller]
pub(crate) fn ring() -> Option<Ring> {
    ring_with((6, 1), IoUringParams::cqe32)
}

/// A ring as the parameters are made here, and the kernel that has such rings.
#[track_caller]
pub(crate) fn ring_with<C: CqeSize>(
    since: (u32, u32),
    completions: impl FnOnce(IoUringParams<OneThread>) -> IoUringParams<OneThread, Sqe64, C>,
) -> Option<Ring<C>> {
    if !ordinary_user::is_root() {
        return None;
    }
    let params = IoUring::builder().entries(32).defer_taskrun();
    kernel::since(since.0, since.1, completions(params).build())
}

/// Memory of so many pages, and a queue for so many buffers.
pub(crate) fn params(pages: usize, entries: u32) -> ZeroCopyReceiveParams<'static> {
    ZeroCopyReceiveParams::without_device(pages * PAGE, entries)
}

/// A ring with memory of so many pages to receive into.
#[track_caller]
pub(crate) fn receiver(pages: usize, entries: u32) -> Option<(Ring, ZeroCopyReceive)> {
    let mut ring = ring()?;
    let made = ring
        .submission()
        .register_zero_copy_receive(params(pages, entries));
    Some((ring, registered(made)?))
}

/// What was registered without a device, or nothing where the kernel refuses it for its age.
#[track_caller]
pub(crate) fn registered(made: Result<ZeroCopyReceive, RegisterError>) -> Option<ZeroCopyReceive> {
    kernel::since_or(7, 1, made, |error| {
        assert_eq!(error.errno(), libc::EINVAL, "{error}");
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    })
}

/// Both ends of a connection. The first one receives.
#[track_caller]
pub(crate) fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let there = TcpStream::connect(address).expect("a connection");
    let (here, _) = listener.accept().expect("a connection");
    (here, there)
}

/// Receives from a socket with the registration of this number, `len` bytes or all.
#[track_caller]
pub(crate) fn push<C: CqeSize>(ring: &mut Ring<C>, id: u32, sockfd: RawFd, len: u32) {
    let recv = RecvZc {
        sockfd,
        zcrx_ifq_idx: id,
        len,
        flags: 0,
    };
    // SAFETY: the tests keep the socket open.
    unsafe { ring.push(&recv, RECV) }.expect("room");
    ring.submit().expect("a submission");
}

/// Cancels the receive, without waiting for anything.
#[track_caller]
pub(crate) fn cancel<C: CqeSize>(ring: &mut Ring<C>) {
    let cancel = Cancel {
        user_data: RECV,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { ring.push(&cancel, CANCEL) }.expect("room");
    ring.submit().expect("a submission");
}

/// The next completion, which is waited for.
#[track_caller]
pub(crate) fn next<C: CqeSize>(ring: &mut Ring<C>) -> Completion<C::Extra> {
    let queue = ring.completion();
    let wait = Wait::for_completions(1).timeout(LIMIT);
    assert!(
        !queue.wait_with(&wait).expect("no error").timed_out,
        "no completion"
    );
    queue.try_next().expect("no error").expect("a completion")
}

/// The byte at this place of what is sent.
fn byte(position: usize) -> u8 {
    (position ^ position >> 8 ^ position >> 16).to_le_bytes()[0]
}

/// So many bytes of what is sent, from a position on.
pub(crate) fn pattern(position: usize, len: usize) -> Vec<u8> {
    (position..position + len).map(byte).collect()
}

/// Sends so many bytes of the pattern and then the end of the stream.
pub(crate) fn send(mut there: TcpStream, len: usize) -> JoinHandle<()> {
    thread::spawn(move || there.write_all(&pattern(0, len)).expect("a connection"))
}

/// Receives to the end of the stream, with every piece given away, and returns how many bytes there
/// were and how often it had to begin anew.
///
/// A receive ends when it has run out of memory or of room for completions. On Linux 7.1 it may wait
/// instead, for more than the socket has; then it has to be cancelled.
#[track_caller]
pub(crate) fn receive_with<'a, C: CqeSize>(
    ring: &mut Ring<C>,
    (id, area): (u32, &'a ReceiveArea),
    here: &TcpStream,
    mut give: impl FnMut(Received<'a>),
    mut before_waiting: impl FnMut(),
) -> (usize, usize)
where
    C::Extra: Into<Option<[u64; 2]>>,
{
    let (mut position, mut restarts) = (0, 0);
    push(ring, id, here.as_raw_fd(), 0);
    loop {
        let ready = ring.completion().try_next().expect("no error");
        let completion = ready.unwrap_or_else(|| {
            before_waiting();
            if unread(here) > 0 {
                cancel(ring);
            }
            next(ring)
        });
        if completion.user_data() == CANCEL {
            continue;
        }
        // SAFETY: the completion is of this receive, and taken once.
        if let Some(data) = unsafe { area.take(&completion) } {
            assert!(completion.more(), "{completion:?}");
            assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
            position += data.bytes().len();
            give(data);
            continue;
        }
        assert!(!completion.more(), "{completion:?}");
        match -completion.raw_result() {
            0 => return (position, restarts),
            libc::ECANCELED | libc::ENOMEM | libc::ENOSPC => before_waiting(),
            errno => panic!("{}", io::Error::from_raw_os_error(errno)),
        }
        restarts += 1;
        push(ring, id, here.as_raw_fd(), 0);
    }
}

/// Receives to the end of the stream and gives all of it back.
#[track_caller]
pub(crate) fn receive_all<C: CqeSize>(
    ring: &mut Ring<C>,
    receive: &ZeroCopyReceive,
    here: &TcpStream,
) -> (usize, usize)
where
    C::Extra: Into<Option<[u64; 2]>>,
{
    let flush = || {
        receive.flush().expect("7.1 can");
        assert_eq!(receive.waiting(), 0);
    };
    let give = |data| {
        if let Err(data) = receive.give_back(data) {
            assert_eq!(receive.waiting(), receive.capacity());
            flush();
            receive.give_back(data).expect("room by now");
        }
    };
    receive_with(ring, (receive.id(), receive.area()), here, give, flush)
}

/// Waits until the socket has as many bytes for its reader. With fewer, a receive on Linux 7.1 waits
/// where it would find that it has run out of something.
#[track_caller]
pub(crate) fn await_unread(socket: &TcpStream, bytes: usize) {
    until("they do not come", || {
        usize::try_from(unread(socket)).expect("a number") >= bytes
    });
}

/// How many bytes the socket has for its reader.
fn unread(socket: &TcpStream) -> i32 {
    let mut bytes = 0;
    // SAFETY: the pointer is to a value of the right type.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    bytes
}
