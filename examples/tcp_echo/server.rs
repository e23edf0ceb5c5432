//! The server: one thread and one ring, which accepts, receives, sends, closes and hears signals.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use lio_uring::operation::{PollAdd, RecvMulti};
use lio_uring::{
    Completion, IoUring, OneThread, QueueFull, SubmissionQueue, SubmitCause, SubmitError, Wait,
};

use crate::accept::{Accepted, Acceptor};
use crate::buffers::Buffers;
use crate::connection::{Connections, Received, Sent};
use crate::entries::{Entries, Kind, Token};
use crate::signals::Signals;
use crate::totals::Totals;

/// Room for this many operations between two system calls. With far fewer than there are busy
/// connections, completions would wait their turn while receives look in vain for the buffers that
/// these name.
const ENTRIES: u32 = 1024;
/// The most that is pushed while one completion is handled.
const PER_COMPLETION: u32 = 2;
/// How long a stopping server lets connections send what it has received from them.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) buffers: u16,
    pub(crate) buffer_size: u32,
    /// Connections that hold all buffers and make no progress for this long are cut.
    pub(crate) stall: Duration,
}

pub(crate) struct Server {
    ring: IoUring,
    /// How many operations have not ended.
    in_flight: u32,
    service: Service,
}

/// All of the server but its ring.
struct Service {
    settings: Settings,
    acceptor: Acceptor,
    signals: Signals,
    connections: Connections,
    buffers: Buffers,
    /// Connections whose receive found no buffer, the longest waiting first.
    waiting: VecDeque<Token>,
    /// When a connection last got rid of data, looked at only while others wait for buffers.
    progress: Instant,
    stopping: Option<Stopping>,
    totals: Totals,
}

struct Stopping {
    /// When connections that are still sending are cut.
    end: Instant,
    /// The next slot to be told, or none if all have been.
    next: Option<usize>,
    cutting: bool,
}

impl Server {
    /// Makes the ring, its buffers and the listening socket.
    pub(crate) fn new(settings: Settings, signals: Signals) -> Result<Self, Box<dyn Error>> {
        let mut ring = IoUring::new(ENTRIES)?;
        let mut buffers = Buffers::new(ring.submission(), settings.buffers, settings.buffer_size)?;
        check_multishot_receive(&mut ring, &mut buffers)?;
        let acceptor = Acceptor::new(settings.address)?;
        let service = Service {
            settings,
            acceptor,
            signals,
            connections: Connections::default(),
            buffers,
            waiting: VecDeque::new(),
            progress: Instant::now(),
            stopping: None,
            totals: Totals::default(),
        };
        Ok(Self {
            ring,
            in_flight: 0,
            service,
        })
    }

    /// The address that it listens on.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.service.acceptor.address()
    }

    /// Serves until a signal arrives, and returns when every operation has ended.
    pub(crate) fn run(mut self) -> Result<Totals, Box<dyn Error>> {
        // If this fails, operations may be in flight, and the buffers' memory is left allocated.
        self.serve()?;
        let Self { ring, service, .. } = self;
        // SAFETY: `serve` returns without an error only when no operation is in flight.
        unsafe { service.buffers.free_memory() };
        drop(ring);
        Ok(service.totals)
    }

    fn serve(&mut self) -> Result<(), Box<dyn Error>> {
        let (cq, sq) = self.ring.queues();
        let mut entries = Entries {
            sq,
            in_flight: &mut self.in_flight,
        };
        self.service.start(&mut entries)?;
        loop {
            self.service.before_waiting(&mut entries)?;
            if self.service.stopping.is_some() && *entries.in_flight == 0 {
                return Ok(());
            }
            submit_and_wait(entries.sq, self.service.patience())?;
            // No more completions than there is room for what they lead to.
            let batch = entries.sq.space_left() / PER_COMPLETION;
            for completion in cq.completions().take(batch as usize) {
                self.service.on_completion(completion, &mut entries)?;
            }
            self.service.buffers.publish();
        }
    }
}

/// How long to wait for a completion.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Instant),
    Unlimited,
}

/// Submits what is queued and waits for a completion.
fn submit_and_wait(
    sq: &mut SubmissionQueue<OneThread>,
    patience: Patience,
) -> Result<(), SubmitError> {
    let result = match patience {
        Patience::Unlimited => sq.submit_and_wait(1).map(drop),
        Patience::None => sq.submit_and_wait(0).map(drop),
        Patience::Until(end) => sq
            .submit_and_wait_with(&Wait::for_completions(1).deadline(end))
            .map(drop),
    };
    match result {
        Err(error) if error.cause() == SubmitCause::CompletionQueueBusy => Ok(()),
        Err(error) if error.cause() == SubmitCause::Resources => {
            // What is queued stays queued. Taking completions may help, and so does time.
            thread::sleep(Duration::from_millis(1));
            Ok(())
        }
        result => result,
    }
}

impl Service {
    fn start(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        let poll = PollAdd {
            fd: self.signals.fd(),
            poll_mask: libc::POLLIN.cast_unsigned().into(),
        };
        // SAFETY: a poll points to nothing. The descriptor is open as long as the server lives,
        // and until the poll has completed nothing but this server uses it.
        unsafe { entries.push(&poll, Token::of(Kind::Signal)) }?;
        self.update_acceptor(entries)
    }

    /// Does what is not the consequence of a single completion, as far as there is room for it.
    fn before_waiting(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        if !self.waiting.is_empty() {
            self.wake(entries)?;
            self.cut_stalled(entries)?;
        }
        if self.stopping.is_some() {
            self.go_on_stopping(entries)?;
        }
        Ok(())
    }

    fn patience(&self) -> Patience {
        let starving = !self.waiting.is_empty();
        match &self.stopping {
            // More connections can be woken as soon as those that were have taken what they need.
            _ if starving && self.buffers.free() > 0 => Patience::None,
            Some(stopping) if stopping.next.is_some() => Patience::None,
            Some(stopping) if !stopping.cutting => Patience::Until(stopping.end),
            _ if starving => Patience::Until(self.progress + self.settings.stall),
            _ => Patience::Unlimited,
        }
    }

    fn on_completion(
        &mut self,
        completion: Completion,
        entries: &mut Entries<'_>,
    ) -> Result<(), Box<dyn Error>> {
        if !completion.more() {
            *entries.in_flight -= 1;
        }
        let Some(token) = Token::from_user_data(completion.user_data()) else {
            return Err(format!("a completion is nobody's: {completion:?}").into());
        };
        match token.kind {
            Kind::Accept => self.on_accept(completion, entries),
            Kind::StopAccepting => {
                self.acceptor.on_disarmed();
                Ok(self.update_acceptor(entries)?)
            }
            Kind::AcceptAgain => {
                self.acceptor.on_pause_over();
                Ok(self.update_acceptor(entries)?)
            }
            Kind::Signal => self.on_signal(completion, entries),
            Kind::Close => {
                self.connections.remove(token);
                self.totals.closed += 1;
                Ok(self.update_acceptor(entries)?)
            }
            Kind::Receive | Kind::PauseReceive | Kind::Send | Kind::Shutdown => {
                Ok(self.on_connection(token, completion, entries)?)
            }
        }
    }

    fn on_connection(
        &mut self,
        token: Token,
        completion: Completion,
        entries: &mut Entries<'_>,
    ) -> Result<(), QueueFull> {
        let Some(connection) = self.connections.get_mut(token) else {
            // A connection outlives its operations, so this does not happen; if it did, the
            // completion must not reach the connection that has the slot now.
            self.totals.stale += 1;
            if let Some(id) = completion.buffer_id() {
                self.buffers.refuse(id);
            }
            return Ok(());
        };
        match token.kind {
            Kind::Receive => match connection.on_receive(completion, &mut self.buffers) {
                Received::Data(len) => {
                    self.totals.received += 1;
                    self.totals.bytes += u64::from(len);
                    if connection.is_greedy(&self.buffers) {
                        self.totals.paused += 1;
                        connection.pause(token, entries)?;
                    }
                }
                Received::Nothing => {}
                Received::NoBuffer => {
                    self.totals.out_of_buffers += 1;
                    if self.waiting.is_empty() {
                        self.progress = Instant::now();
                    }
                    self.waiting.push_back(token);
                }
                Received::Failed => {
                    self.totals.failed += 1;
                    connection.fail(token, &mut self.buffers, entries)?;
                }
            },
            Kind::Send => {
                if !self.waiting.is_empty() {
                    self.progress = Instant::now();
                }
                match connection.on_send(completion, &mut self.buffers) {
                    Sent::All => self.totals.sends += 1,
                    Sent::Part => self.totals.short_sends += 1,
                    Sent::Nothing => {}
                    Sent::Failed => {
                        self.totals.failed += 1;
                        connection.fail(token, &mut self.buffers, entries)?;
                    }
                }
            }
            Kind::PauseReceive => connection.on_pause(),
            _ => connection.on_shutdown(),
        }
        connection.advance(token, &self.buffers, entries)
    }

    fn on_accept(
        &mut self,
        completion: Completion,
        entries: &mut Entries<'_>,
    ) -> Result<(), Box<dyn Error>> {
        match self.acceptor.on_accept(completion)? {
            Accepted::Connection(fd) => {
                self.totals.accepted += 1;
                if self.stopping.is_some() {
                    self.totals.closed += 1;
                } else {
                    let token = self.connections.insert(fd);
                    if let Some(connection) = self.connections.get_mut(token) {
                        connection.advance(token, &self.buffers, entries)?;
                    }
                }
            }
            Accepted::NoRoom => {
                self.totals.accept_pauses += 1;
                self.acceptor.pause(entries)?;
            }
            Accepted::Nothing => {}
        }
        Ok(self.update_acceptor(entries)?)
    }

    /// Accepts connections or does not, as things stand.
    fn update_acceptor(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        let full = self.connections.len() >= self.settings.connections;
        if full || self.stopping.is_some() {
            self.acceptor.disarm(entries)
        } else {
            self.acceptor.arm(entries)
        }
    }

    /// Lets as many waiting connections receive again as there are buffers.
    fn wake(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        for _ in 0..self.buffers.free() {
            if entries.sq.space_left() < PER_COMPLETION {
                break;
            }
            let Some(token) = self.waiting.pop_front() else {
                break;
            };
            if let Some(connection) = self.connections.get_mut(token) {
                connection.wake();
                connection.advance(token, &self.buffers, entries)?;
            }
        }
        Ok(())
    }

    /// Cuts the connections that hold all the buffers while others wait, and send nothing.
    fn cut_stalled(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        if self.buffers.free() > 0 || self.progress.elapsed() < self.settings.stall {
            return Ok(());
        }
        let mut next = 0;
        while let Some((slot, token)) = self.connections.next_from(next) {
            if entries.sq.space_left() < PER_COMPLETION {
                return Ok(());
            }
            next = slot + 1;
            if let Some(connection) = self.connections.get_mut(token) {
                if connection.holds_buffers() {
                    self.totals.failed += 1;
                    connection.fail(token, &mut self.buffers, entries)?;
                }
            }
        }
        self.progress = Instant::now();
        Ok(())
    }

    fn on_signal(
        &mut self,
        completion: Completion,
        entries: &mut Entries<'_>,
    ) -> Result<(), Box<dyn Error>> {
        completion
            .result()
            .map_err(|error| format!("signals cannot be heard: {error}"))?;
        let name = self.signals.take()?;
        // Whoever read the output may be gone, which is no reason to stop less cleanly.
        writeln!(
            io::stdout(),
            "{name}: stopping; a second one ends the program at once"
        )
        .ok();
        self.stopping = Some(Stopping {
            end: Instant::now() + GRACE,
            next: Some(0),
            cutting: false,
        });
        Ok(self.update_acceptor(entries)?)
    }

    /// Tells all connections to end, as many at a time as there is room for, and after the time of
    /// grace cuts those that have not.
    fn go_on_stopping(&mut self, entries: &mut Entries<'_>) -> Result<(), QueueFull> {
        let Some(stopping) = &mut self.stopping else {
            return Ok(());
        };
        if !stopping.cutting && Instant::now() >= stopping.end {
            stopping.cutting = true;
            stopping.next = Some(0);
        }
        while let Some(next) = stopping.next {
            if entries.sq.space_left() < PER_COMPLETION {
                break;
            }
            let Some((slot, token)) = self.connections.next_from(next) else {
                stopping.next = None;
                break;
            };
            stopping.next = Some(slot + 1);
            let Some(connection) = self.connections.get_mut(token) else {
                continue;
            };
            if stopping.cutting {
                connection.fail(token, &mut self.buffers, entries)?;
            } else {
                connection.end(token, entries)?;
            }
            connection.advance(token, &self.buffers, entries)?;
        }
        Ok(())
    }
}

/// Tries a multishot receive, because no probe tells of it: it is a mode of an older operation.
fn check_multishot_receive(
    ring: &mut IoUring,
    buffers: &mut Buffers,
) -> Result<(), Box<dyn Error>> {
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"test")?;
    drop(theirs);
    let receive = RecvMulti {
        sockfd: ours.as_raw_fd(),
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    };
    let group = buffers.group();
    // SAFETY: the group's buffers fulfil the conditions that `Buffers` has provided them under. The
    // socket is open until this function returns, which on success is after the last completion.
    unsafe { ring.push_with(&receive, 0, |sqe| sqe.select_buffer(group)) }?;
    ring.submit()?;
    loop {
        let completion = ring.next()?;
        if let Some(id) = completion.buffer_id() {
            buffers.refuse(id);
        }
        match completion.raw_result().wrapping_neg() {
            libc::EINVAL => {
                return Err("this kernel has no multishot receive; it takes Linux 6.0".into());
            }
            _ if completion.more() => {}
            _ => break,
        }
    }
    buffers.publish();
    Ok(())
}
