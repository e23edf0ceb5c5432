//! The client: one thread, with one message in flight on each connection.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::MESSAGE;

/// How long a server may take to answer at all, in milliseconds.
const PATIENCE: u16 = 10_000;
/// The longest time that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 10_000_000_000;

/// Connections to a server.
#[derive(Debug)]
pub struct Client {
    epoll: Epoll,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Its place among the connections.
    index: u32,
    /// How many messages it has sent.
    count: u32,
    message: [u8; MESSAGE],
    answer: [u8; MESSAGE],
    received: usize,
    sent: Instant,
}

/// What a run was like.
#[derive(Clone, Debug)]
pub struct Run {
    /// How long it took until the last answer was there.
    pub elapsed: Duration,
    /// How long each message and its answer took, in nanoseconds.
    pub times: Histogram<u64>,
}

impl Client {
    /// Connects so many times.
    ///
    /// # Errors
    ///
    /// If the server does not take as many.
    pub fn connect(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let connections = (0..connections)
            .map(|index| {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
                epoll.add(&stream, event)?;
                Ok(Connection::new(stream, index))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { epoll, connections })
    }

    /// Sends on each connection, and again as soon as the answer is there, until the time is up. Then
    /// it waits for the last answers.
    ///
    /// # Panics
    ///
    /// If an answer is wrong, or does not come.
    pub fn run(&mut self, time: Duration) -> Run {
        let mut times = Histogram::new_with_max(LONGEST, 3).expect("bounds that make sense");
        let mut events = vec![EpollEvent::empty(); self.connections.len()];
        let start = Instant::now();
        let end = start + time;
        let mut in_flight = self.connections.len();
        for connection in &mut self.connections {
            connection.send(Instant::now());
        }
        while in_flight > 0 {
            let ready = self.epoll.wait(&mut events, PATIENCE).expect("a wait");
            assert!(ready > 0, "{in_flight} answers do not come");
            for event in &events[..ready] {
                let index = usize::try_from(event.data()).expect("an index");
                let connection = &mut self.connections[index];
                if !connection.receive() {
                    continue;
                }
                let now = Instant::now();
                let taken = now.duration_since(connection.sent).as_nanos();
                times.saturating_record(u64::try_from(taken).unwrap_or(u64::MAX));
                if now < end {
                    connection.send(now);
                } else {
                    in_flight -= 1;
                }
            }
        }
        Run {
            elapsed: start.elapsed(),
            times,
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, index: usize) -> Self {
        Self {
            stream,
            index: u32::try_from(index).expect("few connections"),
            count: 0,
            message: [0; MESSAGE],
            answer: [0; MESSAGE],
            received: 0,
            sent: Instant::now(),
        }
    }

    /// Sends a message like no other.
    fn send(&mut self, now: Instant) {
        let mut word = u64::from(self.index) << 32 | u64::from(self.count);
        for bytes in self.message.chunks_exact_mut(size_of::<u64>()) {
            word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        self.count = self.count.wrapping_add(1);
        self.received = 0;
        self.sent = now;
        let sent = self.stream.write(&self.message).expect("a message");
        assert_eq!(sent, MESSAGE, "a socket that was empty has no room");
    }

    /// Receives what is there, and returns whether the answer is complete.
    fn receive(&mut self) -> bool {
        match self.stream.read(&mut self.answer[self.received..]) {
            Ok(0) => panic!("the server has closed a connection"),
            Ok(count) => self.received += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("an answer cannot be received: {error}"),
        }
        let complete = self.received == MESSAGE;
        if complete {
            assert_eq!(self.answer, self.message, "the answer is another message");
        }
        complete
    }
}
