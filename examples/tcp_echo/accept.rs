//! The listening socket and its multishot accept, which ends for many reasons and is armed again.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use lio_uring::operation::{AcceptMulti, Cancel, CancelFlags, Timeout, TimeoutFlags, Timespec};
use lio_uring::{Completion, QueueFull};

use crate::entries::{Entries, Kind, Token};

/// How long accepting pauses when the system has no room for another connection.
static PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

pub(crate) struct Acceptor {
    listener: TcpListener,
    armed: bool,
    /// A cancellation is in flight.
    cancelled: bool,
    /// A timer is in flight, and until then accepting would fail as it just has.
    paused: bool,
}

/// What came of an accept.
pub(crate) enum Accepted {
    Connection(OwnedFd),
    /// The system has no room for it, mostly no descriptor. It waits in the kernel.
    NoRoom,
    Nothing,
}

impl Acceptor {
    pub(crate) fn new(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let listener =
            listen(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        Ok(Self {
            listener,
            armed: false,
            cancelled: false,
            paused: false,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections from now on, if it does not yet, or as soon as the pause is over.
    pub(crate) fn arm(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        if self.armed || self.paused {
            return Ok(());
        }
        let accept = AcceptMulti {
            fd: self.listener.as_raw_fd(),
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        };
        // SAFETY: both pointers are null. The listener is this value's own.
        unsafe { entries.push(&accept, Token::of(Kind::Accept)) }?;
        self.armed = true;
        Ok(())
    }

    /// Asks the accept to end, if it is armed. Connections may still come in until it has.
    pub(crate) fn disarm(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        if !self.armed || self.cancelled {
            return Ok(());
        }
        let cancel = Cancel {
            user_data: Token::of(Kind::Accept).user_data(),
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { entries.push(&cancel, Token::of(Kind::StopAccepting)) }?;
        self.cancelled = true;
        Ok(())
    }

    /// Takes the completion of [`disarm`](Self::disarm), which can have missed an accept that was
    /// just starting; then it is to be called again.
    pub(crate) fn on_disarmed(&mut self) {
        self.cancelled = false;
    }

    /// Takes a completion of the accept.
    pub(crate) fn on_accept(&mut self, completion: Completion) -> Result<Accepted, Box<dyn Error>> {
        if !completion.more() {
            self.armed = false;
        }
        match completion.result() {
            // SAFETY: the completion hands over a new descriptor, which nobody else knows.
            Ok(fd) => Ok(Accepted::Connection(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(error) => match error.raw_os_error() {
                // It was cancelled, or the peer was gone before it could be accepted.
                Some(libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN) => {
                    Ok(Accepted::Nothing)
                }
                Some(libc::EINVAL | libc::EBADF | libc::ENOTSOCK | libc::EOPNOTSUPP) => {
                    Err(format!("connections cannot be accepted: {error}").into())
                }
                _ => Ok(Accepted::NoRoom),
            },
        }
    }

    /// Has the accept armed again only after a while.
    pub(crate) fn pause(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        let timer = Timeout {
            ts: &raw const PAUSE,
            count: 0,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: the time is a static, valid for ever.
        unsafe { entries.push(&timer, Token::of(Kind::AcceptAgain)) }?;
        self.paused = true;
        Ok(())
    }

    /// Takes the completion of [`pause`](Self::pause).
    pub(crate) fn on_pause_over(&mut self) {
        self.paused = false;
    }
}

/// A socket that listens. What is set on it, the accepted connections inherit.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // The standard library lets only 128 connections wait to be accepted.
    const BACKLOG: libc::c_int = 4096;
    let listener = TcpListener::bind(address)?;
    // Answers are sent at once, even while an earlier one has not been acknowledged.
    set_option(&listener, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    // A peer that has vanished without a word is found out some day.
    set_option(&listener, libc::SOL_SOCKET, libc::SO_KEEPALIVE)?;
    // SAFETY: the call takes numbers alone, and the socket is ours.
    match unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) } {
        0 => Ok(listener),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the size of an `int` is 4")]
fn set_option(listener: &TcpListener, level: i32, option: i32) -> io::Result<()> {
    const SIZE: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
    let on: libc::c_int = 1;
    let value = (&raw const on).cast();
    // SAFETY: the value is an `int` of the size that is given, which is what both options take.
    match unsafe { libc::setsockopt(listener.as_raw_fd(), level, option, value, SIZE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
