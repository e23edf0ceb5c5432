//! An echo server on the owned layer: one thread, one ring, a future for each connection, and no
//! `unsafe`.
//!
//! ```sh
//! cargo run --release --example tcp_echo_owned -- --listen 127.0.0.1:7777
//! cargo run --release --example tcp_echo_owned -- --demo
//! ```
//!
//! A buffer belongs to its connection: it moves into the ring for a receive, comes back with the bytes,
//! and moves in again to be sent.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the program has to say"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use clap::Parser;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lio_uring::owned::{Accept, Buffer as _, Recv, Ring, Send};

/// The size of a connection's buffer.
const BUFFER: usize = 4096;
/// How many connections are served at a time; each has one operation in flight.
const CONNECTIONS: u32 = 1024;
/// What the demonstration does.
const CLIENTS: usize = 50;
const MESSAGES: usize = 2000;

/// Sends back what it receives over TCP.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Starts clients of its own, checks what they get back, and ends.
    #[arg(long)]
    demo: bool,
}

/// Sends back what a connection brings, until its peer has said everything.
async fn echo(ring: &Ring, connection: OwnedFd) -> io::Result<u64> {
    let connection = Rc::new(connection);
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut bytes = 0;
    loop {
        let socket = Rc::clone(&connection);
        let recv = Recv {
            socket,
            buffer,
            flags: 0,
        };
        let (received, text) = ring.push(recv)?.await;
        if received? == 0 {
            return Ok(bytes);
        }
        let len = u32::try_from(text.len()).map_err(io::Error::other)?;
        let socket = Rc::clone(&connection);
        let send = Send {
            socket,
            buffer: text.view(0..len),
            flags: libc::MSG_WAITALL,
        };
        let (count, view) = ring.push(send)?.await;
        bytes += count? as u64;
        buffer = view.into_inner();
    }
}

/// Serves connections, until as many have ended as are wanted, if it is said how many.
async fn serve(ring: &Ring, listener: TcpListener, wanted: Option<usize>) -> io::Result<u64> {
    let listener = Rc::new(listener);
    let mut connections = FuturesUnordered::new();
    let mut accept = None;
    let (mut ended, mut bytes) = (0, 0);
    while wanted.is_none_or(|wanted| ended < wanted) {
        if accept.is_none() && connections.len() < CONNECTIONS as usize {
            let listener = Rc::clone(&listener);
            accept = Some(ring.push(Accept { listener })?);
        }
        let accepted = match &mut accept {
            Some(accept) => accept.left_future(),
            None => std::future::pending().right_future(),
        };
        if connections.is_empty() {
            connections.push(echo(ring, accepted.await?));
            accept = None;
            continue;
        }
        match select(accepted, connections.next()).await {
            Either::Left((connection, _)) => {
                connections.push(echo(ring, connection?));
                accept = None;
            }
            Either::Right((outcome, _)) => {
                ended += 1;
                match outcome {
                    Some(Ok(echoed)) => bytes += echoed,
                    Some(Err(error)) => eprintln!("a connection failed: {error}"),
                    None => {}
                }
            }
        }
    }
    Ok(bytes)
}

/// Sends messages, each when the last has come back, and checks them.
fn client(address: SocketAddr, number: usize) -> io::Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut answer = [0; 16];
    for n in 0..MESSAGES {
        let mut message = [0; 16];
        message[..8].copy_from_slice(&number.to_ne_bytes());
        message[8..].copy_from_slice(&n.to_ne_bytes());
        connection.write_all(&message)?;
        connection.read_exact(&mut answer)?;
        if answer != message {
            return Err(io::Error::other("another message came back than was sent"));
        }
    }
    Ok(())
}

fn run(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind(args.listen)?;
    let address = listener.local_addr()?;
    let ring = Ring::new(CONNECTIONS).map_err(io::Error::other)?;
    if !args.demo {
        println!("listening on {address}");
        ring.block_on(serve(&ring, listener, None))??;
        return Ok(());
    }
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| thread::spawn(move || client(address, number)))
        .collect();
    let bytes = ring.block_on(serve(&ring, listener, Some(CLIENTS)))??;
    for client in clients {
        client
            .join()
            .map_err(|_| io::Error::other("a client panicked"))??;
    }
    let messages = bytes / 16;
    let seconds = start.elapsed().as_secs_f64();
    println!("{messages} messages of {CLIENTS} clients in {seconds:.2} s, all unchanged");
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
