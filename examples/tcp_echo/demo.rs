//! Clients for the server, on threads of their own and with the standard library's blocking
//! sockets: they know nothing of io_uring.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A server that keeps a client waiting longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: u32,
    /// How many messages each client sends, unless the time is up before.
    pub(crate) messages: u32,
    pub(crate) message_size: u32,
    pub(crate) time: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    clients: u32,
    messages: u64,
    bytes: u64,
    time: Duration,
}

/// Starts the clients. When all have ended, the server is told to stop, as Ctrl-C would.
pub(crate) fn start(plan: Plan, address: SocketAddr) -> JoinHandle<Result<Report, String>> {
    thread::spawn(move || {
        let report = run(plan, address);
        let own = std::process::id().cast_signed();
        // SAFETY: the call takes numbers alone.
        unsafe { libc::kill(own, libc::SIGTERM) };
        report
    })
}

fn run(plan: Plan, address: SocketAddr) -> Result<Report, String> {
    let start = Instant::now();
    let end = start + plan.time;
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || client(number, plan, address, end))
        })
        .collect();
    let mut messages = 0;
    let mut failure = None;
    for (number, client) in clients.into_iter().enumerate() {
        let outcome = match client.map(JoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(io::Error::other("it panicked")),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(count) => messages += count,
            Err(error) => failure = failure.or(Some(format!("client {number}: {error}"))),
        }
    }
    let bytes = messages * u64::from(plan.message_size);
    let report = Report {
        clients: plan.clients,
        messages,
        bytes,
        time: start.elapsed(),
    };
    failure.map_or(Ok(report), Err)
}

/// Sends messages, each after the answer to the one before, and returns how many.
fn client(number: u32, plan: Plan, address: SocketAddr, end: Instant) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut message = vec![0; plan.message_size as usize];
    let mut answer = message.clone();
    let mut noise = Noise::new(number);
    let mut sent = 0;
    while sent < u64::from(plan.messages) && Instant::now() < end {
        noise.fill(&mut message);
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        if let Some(place) = message
            .iter()
            .zip(&answer)
            .position(|(sent, back)| sent != back)
        {
            let text = format!("byte {place} of message {sent} came back changed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        sent += 1;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut answer)? {
        0 => Ok(sent),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more came back than was sent",
        )),
    }
}

/// Bytes that differ from client to client and from message to message: Marsaglia's xorshift.
struct Noise(u64);

impl Noise {
    fn new(seed: u32) -> Self {
        Self((u64::from(seed) << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            piece.copy_from_slice(&self.0.to_ne_bytes()[..piece.len()]);
        }
    }
}

impl fmt::Display for Report {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the numbers are rounded for printing anyway"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        let rate = self.messages as f64 / seconds;
        let mib = self.bytes as f64 / seconds / f64::from(1 << 20);
        write!(
            f,
            "demo         {} messages of {} clients in {seconds:.2} s, all unchanged: {rate:.0} \
             messages/s, {mib:.1} MiB/s each way",
            self.messages, self.clients
        )
    }
}
