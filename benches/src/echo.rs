//! Servers that send back what they receive over TCP, and a client that counts.

use std::io;
use std::net::TcpListener;

use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};

use crate::work::aligned;

pub mod client;
mod io_uring;
mod lio_uring;
mod monoio;
pub mod process;
mod token;
mod tokio;
mod tokio_uring;

/// The size of a message.
pub const MESSAGE: usize = 64;
/// The size of the servers' buffers.
const BUFFER: u32 = 512;
/// How many buffers there are in a ring of them.
const BUFFERS: u16 = 1024;
/// How many entries their rings have room for, where that can be said.
const ENTRIES: u32 = 1024;

/// A server.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Library, and kind of ring.
    pub name: &'static str,
    /// Serves for ever.
    pub serve: fn(listener: TcpListener),
    /// With how many connections it is measured at the most.
    pub most_connections: usize,
}

impl Server {
    /// All of them: other libraries first, then ours.
    pub const ALL: &[Self] = &[
        Self::new("tokio", tokio::serve),
        Self::new("tokio-uring", tokio_uring::serve),
        Self::new("monoio", monoio::serve),
        Self::new("io-uring", io_uring::default),
        Self::new("io-uring, one thread", io_uring::one_thread),
        Self::new("lio-uring, halves", lio_uring::halves),
        Self::new("lio-uring, one thread", lio_uring::one_thread),
        Self {
            most_connections: 1,
            ..Self::new("lio-uring, SQPOLL", lio_uring::sqpoll)
        },
    ];

    const fn new(name: &'static str, serve: fn(TcpListener)) -> Self {
        Self {
            name,
            serve,
            most_connections: usize::MAX,
        }
    }
}

/// A socket that listens on a free port. Accepted connections send without delay.
fn listener() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
    // The standard library lets few connections wait to be accepted.
    listen(&listener, Backlog::new(1024)?)?;
    Ok(listener)
}

/// Memory for a ring's buffers, never freed.
fn memory() -> *mut u8 {
    aligned(usize::from(BUFFERS) * BUFFER as usize)
}
