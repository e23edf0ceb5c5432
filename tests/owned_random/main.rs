//! Random sequences of everything that can be done to operations: what is held is held once, what is
//! received was sent, and nothing is left over that was not forgotten.
#![cfg(target_os = "linux")]

#[path = "../support/descriptors.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod descriptors;
mod stream;
mod task;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll as Polled};
use std::time::Duration;

use lio_uring::Probe;
use lio_uring::operation::OpCode;
use lio_uring::owned::{
    Accept, Buffer, BufferGroupParams, BufferMut, Cancelled, Lent, Nop, Operation, Poll, Read,
    Recv, Ring, Send, SendZc, Sleep, Ticket,
};

use task::{Task, Wait};

const SEEDS: u64 = 60;
const STEPS: u32 = 1500;
/// How many tickets are forgotten at the most, each of which takes a slot for good.
const FORGOTTEN: u32 = 6;
const BYTES: usize = 64;

/// What may be stopped ends so.
fn is_stopped(error: &io::Error) -> bool {
    [libc::ECANCELED, libc::EINTR]
        .map(Some)
        .contains(&error.raw_os_error())
}

/// A message that says itself what must be in it.
fn message(number: u64) -> [u8; BYTES] {
    let mut bytes = [number.to_le_bytes()[0] ^ 0x5a; BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of a message that is whole.
fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight"));
    assert_eq!(bytes, message(number), "what was received was never sent");
    number
}

/// Buffers that are alive, by their numbers.
type Alive = Rc<RefCell<HashSet<u64>>>;

/// A buffer that is counted.
#[derive(Debug)]
struct Counted {
    bytes: Box<[u8; BYTES]>,
    number: u64,
    alive: Alive,
}

impl Counted {
    fn new(number: u64, alive: &Alive) -> Self {
        assert!(alive.borrow_mut().insert(number));
        Self {
            bytes: Box::new(message(number)),
            number,
            alive: Rc::clone(alive),
        }
    }

    /// Fails if this is not the one with that number, or not as it was.
    fn check(&self, number: u64) {
        assert_eq!(self.number, number, "the buffer of another operation");
        assert_eq!(*self.bytes, message(number), "the buffer was written to");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(
            self.alive.borrow_mut().remove(&self.number),
            "dropped twice"
        );
        *self.bytes = [0xee; BYTES];
    }
}

// SAFETY: the bytes are the box's own, which does not move them.
unsafe impl Buffer for Counted {
    fn address(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn bytes(&self) -> usize {
        BYTES
    }
}

// SAFETY: as above.
unsafe impl BufferMut for Counted {
    fn room(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        BYTES
    }

    unsafe fn filled(&mut self, _: usize) {}
}

/// A socket or file that is there as long as the process, and counts who has it.
#[derive(Debug)]
struct Lasting<T: 'static> {
    of: &'static T,
    users: Rc<Cell<u32>>,
}

impl<T> Lasting<T> {
    fn new(of: &'static T, users: &Rc<Cell<u32>>) -> Self {
        users.set(users.get() + 1);
        let users = Rc::clone(users);
        Self { of, users }
    }
}

impl<T> Drop for Lasting<T> {
    fn drop(&mut self) {
        self.users.set(self.users.get() - 1);
    }
}

impl<T: AsFd> AsFd for Lasting<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.of.as_fd()
    }
}

/// What operations work on. It is never closed, since forgotten operations have it for good.
struct World {
    local: UnixDatagram,
    local_peer: UnixDatagram,
    udp: UdpSocket,
    udp_peer: UdpSocket,
    listener: TcpListener,
    file: File,
}

impl World {
    fn new() -> &'static Self {
        let (local, local_peer) = UnixDatagram::pair().expect("a pair");
        let [udp, udp_peer] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        let (udp, udp_peer) = (udp.expect("a socket"), udp_peer.expect("a socket"));
        udp.connect(udp_peer.local_addr().expect("bound"))
            .expect("connected");
        local_peer.set_nonblocking(true).expect("a socket");
        udp_peer.set_nonblocking(true).expect("a socket");
        let mut file = tempfile::tempfile().expect("a file");
        for number in 0..16 {
            file.write_all(&message(number)).expect("room");
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        Box::leak(Box::new(Self {
            local,
            local_peer,
            udp,
            udp_peer,
            listener,
            file,
        }))
    }

    /// Takes what has arrived at the peers, which must be whole messages that were sent.
    fn drain(&self, sent: &HashSet<u64>) {
        let mut bytes = [0; 2 * BYTES];
        while let Ok(count) = self.local_peer.recv(&mut bytes) {
            assert!(sent.contains(&number(&bytes[..count])));
        }
        while let Ok(count) = self.udp_peer.recv(&mut bytes) {
            assert!(sent.contains(&number(&bytes[..count])));
        }
    }
}

/// A ticket of any operation.
trait Held<'r> {
    fn try_take(self: Box<Self>) -> Option<Box<dyn Held<'r> + 'r>>;
    /// Has a task wait for it.
    fn poll(self: Box<Self>, task: &Task) -> Option<Box<dyn Held<'r> + 'r>>;
    /// Fails if it has ended, and who waits was not woken.
    fn assert_woken(&self);
    /// Only for what ends by itself.
    fn wait(self: Box<Self>);
    fn cancel(&self);
    fn forget(self: Box<Self>);
    fn kind(&self) -> Kind;
}

/// What an operation has, and what becomes of it.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    ends_by_itself: bool,
    buffers: u32,
    descriptors: u32,
    makes_descriptor: bool,
    is_stream: bool,
}

const ENDS: Kind = Kind {
    ends_by_itself: true,
    buffers: 0,
    descriptors: 0,
    makes_descriptor: false,
    is_stream: false,
};
const READS: Kind = Kind {
    buffers: 1,
    descriptors: 1,
    ..ENDS
};
const TRANSFERS: Kind = Kind {
    ends_by_itself: false,
    ..READS
};
const POLLS: Kind = Kind {
    buffers: 0,
    ..TRANSFERS
};
const ACCEPTS: Kind = Kind {
    makes_descriptor: true,
    ..POLLS
};

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Forgotten {
    tickets: u32,
    buffers: u32,
    descriptors: u32,
    accepts: u32,
}

impl Forgotten {
    fn add(&mut self, kind: Kind) {
        self.tickets += 1;
        self.buffers += kind.buffers;
        self.descriptors += kind.descriptors;
        self.accepts += u32::from(kind.makes_descriptor);
    }
}

/// A ticket, and what its output must be.
struct With<'r, O: Operation, C> {
    ticket: Ticket<&'r Ring, O>,
    check: C,
    kind: Kind,
    wait: Option<Wait>,
}

impl<'r, O: Operation + 'r, C: FnOnce(O::Output) + 'r> Held<'r> for With<'r, O, C> {
    fn try_take(self: Box<Self>) -> Option<Box<dyn Held<'r> + 'r>> {
        let (check, kind, wait) = (self.check, self.kind, self.wait);
        match self.ticket.try_take() {
            Ok(output) => {
                check(output);
                None
            }
            Err(ticket) => Some(Box::new(With {
                ticket,
                check,
                kind,
                wait,
            })),
        }
    }

    fn poll(mut self: Box<Self>, task: &Task) -> Option<Box<dyn Held<'r> + 'r>> {
        let waker = task.waker();
        match Pin::new(&mut self.ticket).poll(&mut Context::from_waker(&waker)) {
            Polled::Ready(output) => {
                (self.check)(output);
                None
            }
            Polled::Pending => {
                self.wait = Some(task.wait());
                Some(self)
            }
        }
    }

    fn assert_woken(&self) {
        if let Some(wait) = self.wait.as_ref().filter(|_| self.ticket.is_done()) {
            wait.assert_woken();
        }
    }

    fn wait(self: Box<Self>) {
        (self.check)(self.ticket.wait().expect("a wait"));
    }

    fn cancel(&self) {
        if let Ok(cancel) = self.ticket.cancel() {
            let answer = cancel.wait().expect("a wait").expect("an answer");
            assert!(answer != Cancelled::Stopped || self.ticket.is_done());
        }
    }

    fn forget(self: Box<Self>) {
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        std::mem::forget(self.ticket);
    }

    fn kind(&self) -> Kind {
        self.kind
    }
}

/// Everything that a sequence keeps account of.
struct Sequence<'r> {
    ring: &'r Ring,
    world: &'static World,
    random: &'r mut fastrand::Rng,
    zero_copy: bool,
    alive: Alive,
    users: Rc<Cell<u32>>,
    next: u64,
    /// The messages that were sent to each side, or may have been.
    to_peer: HashSet<u64>,
    to_ring: HashSet<u64>,
    received: Rc<RefCell<HashSet<u64>>>,
    /// Messages that are kept in the buffers that they have come in.
    lent: Rc<RefCell<Vec<(u64, Lent)>>>,
}

impl<'r> Sequence<'r> {
    fn buffer(&mut self) -> (u64, Counted) {
        self.next += 1;
        (self.next, Counted::new(self.next, &self.alive))
    }

    fn lasting<T>(&self, of: &'static T) -> Lasting<T> {
        Lasting::new(of, &self.users)
    }

    /// Pushes an operation, with a limit or without, if there is room.
    fn held<O, C>(&mut self, kind: Kind, operation: O, check: C) -> Option<Box<dyn Held<'r> + 'r>>
    where
        O: Operation + 'static,
        C: FnOnce(O::Output) + 'r,
    {
        let limit = Duration::from_micros(self.random.u64(..500));
        let pushed = if self.random.u8(..5) == 0 {
            self.ring.push_within(operation, limit)
        } else {
            self.ring.push(operation)
        };
        let ticket = pushed.ok()?;
        Some(Box::new(With {
            ticket,
            check,
            kind,
            wait: None,
        }))
    }

    /// Gives back what was kept in the buffers that it has come in.
    fn give_back(&mut self) {
        for (number, piece) in self.lent.borrow_mut().drain(..) {
            assert_eq!(
                *piece,
                message(number),
                "it was written to while it was lent"
            );
        }
    }

    fn push(&mut self) -> Option<Box<dyn Held<'r> + 'r>> {
        let stopped_or_none = |result: io::Result<()>| {
            assert!(result.as_ref().err().is_none_or(is_stopped), "{result:?}");
        };
        match self.random.u8(..10) {
            0 => self.held(ENDS, Nop, stopped_or_none),
            1 => {
                let sleep = Sleep::new(Duration::from_micros(self.random.u64(..300)));
                self.held(ENDS, sleep, stopped_or_none)
            }
            2 => {
                let (mine, buffer) = self.buffer();
                let block = self.random.u64(..16);
                let file = self.lasting(&self.world.file);
                let read = Read {
                    file,
                    buffer,
                    offset: block * BYTES as u64,
                };
                self.held(READS, read, move |(count, buffer)| match count {
                    Ok(count) => {
                        assert_eq!((count, buffer.number), (BYTES, mine));
                        assert_eq!(number(&*buffer.bytes), block);
                    }
                    Err(error) => assert!(is_stopped(&error), "{error}"),
                })
            }
            3..=5 => {
                let (mine, buffer) = self.buffer();
                let recv = Recv {
                    socket: self.lasting(&self.world.local),
                    buffer,
                    flags: 0,
                };
                let received = Rc::clone(&self.received);
                self.held(TRANSFERS, recv, move |(count, buffer)| match count {
                    Ok(count) => {
                        assert_eq!((count, buffer.number), (BYTES, mine));
                        let number = number(&*buffer.bytes);
                        assert!(received.borrow_mut().insert(number), "received twice");
                    }
                    Err(error) => {
                        assert!(is_stopped(&error), "{error}");
                        buffer.check(mine);
                    }
                })
            }
            6 => {
                let (mine, buffer) = self.buffer();
                let send = Send {
                    socket: self.lasting(&self.world.local),
                    buffer,
                    flags: 0,
                };
                self.to_peer.insert(mine);
                self.held(TRANSFERS, send, sent(mine))
            }
            7 if self.zero_copy => {
                let (mine, buffer) = self.buffer();
                let send = SendZc {
                    socket: self.lasting(&self.world.udp),
                    buffer,
                    flags: 0,
                };
                self.to_peer.insert(mine);
                self.held(TRANSFERS, send, sent(mine))
            }
            8 => {
                let listener = self.lasting(&self.world.listener);
                self.held(
                    ACCEPTS,
                    Accept { listener },
                    |accepted: io::Result<OwnedFd>| {
                        if let Err(error) = accepted {
                            assert!(is_stopped(&error), "{error}");
                        }
                    },
                )
            }
            _ => {
                let file = self.lasting(&self.world.local);
                let input = libc::POLLIN.cast_unsigned().into();
                let poll = Poll {
                    file,
                    events: input,
                };
                self.held(POLLS, poll, move |ready: io::Result<u32>| match ready {
                    Ok(ready) => assert_eq!(ready, input),
                    Err(error) => assert!(is_stopped(&error), "{error}"),
                })
            }
        }
    }

    /// What the peers do.
    fn answer(&mut self) {
        self.next += 1;
        match self.random.u8(..4) {
            0 => self.world.drain(&self.to_peer),
            1 => {
                let address = self.world.listener.local_addr().expect("an address");
                // It comes to nothing if too many wait.
                let limit = Duration::from_millis(1);
                drop(TcpStream::connect_timeout(&address, limit));
            }
            _ => {
                self.to_ring.insert(self.next);
                // Without room it is not sent.
                let _sent = self.world.local_peer.send(&message(self.next));
            }
        }
    }
}

/// What must come of a send of the message with this number.
fn sent(mine: u64) -> impl FnOnce((io::Result<usize>, Counted)) {
    move |(count, buffer)| {
        match count {
            Ok(count) => assert_eq!(count, BYTES),
            Err(error) => assert!(is_stopped(&error), "{error}"),
        }
        buffer.check(mine);
    }
}

/// Runs a sequence, and returns what was forgotten.
fn run(seed: u64, world: &'static World, (zero_copy, streams): (bool, bool)) -> Forgotten {
    let mut random = fastrand::Rng::with_seed(seed);
    let ring = Ring::new(16).expect("a ring");
    let mut forgotten = Forgotten::default();
    let mut sequence = Sequence {
        ring: &ring,
        world,
        random: &mut random,
        zero_copy,
        alive: Alive::default(),
        users: Rc::default(),
        next: seed << 32,
        to_peer: HashSet::new(),
        to_ring: HashSet::new(),
        received: Rc::default(),
        lent: Rc::default(),
    };
    let group = BufferGroupParams::new(stream::GROUP, BYTES.try_into().expect("small"));
    let group = streams.then(|| ring.register_group(group).expect("a group"));
    let mut held: Vec<Box<dyn Held<'_> + '_>> = Vec::new();
    let tasks = [(); 3].map(|()| Task::default());
    for _ in 0..STEPS {
        for one in &held {
            one.assert_woken();
        }
        let action = sequence.random.u8(..24);
        if action < 10 {
            let one = match &group {
                Some(group) if sequence.random.u8(..3) == 0 => sequence.push_stream(group),
                _ => sequence.push(),
            };
            held.extend(one);
            continue;
        }
        if action < 14 {
            sequence.answer();
            continue;
        }
        if action == 14 {
            sequence.give_back();
        }
        if action < 16 || held.is_empty() {
            let waits_for = sequence.random.bool().then_some(0);
            let result = waits_for.map_or_else(|| ring.submit(), |n| ring.submit_and_wait(n));
            result.expect("a submission");
            continue;
        }
        let one = held.swap_remove(sequence.random.usize(..held.len()));
        match action {
            16 | 17 => held.extend(one.try_take()),
            18 | 19 => {
                let task = sequence.random.usize(..tasks.len());
                held.extend(one.poll(&tasks[task]));
            }
            20 => {
                one.cancel();
                held.push(one);
            }
            // A stream of connections would take all that come.
            21 if forgotten.tickets < FORGOTTEN
                && sequence.random.u8(..8) == 0
                && !(one.kind().is_stream && one.kind().makes_descriptor) =>
            {
                forgotten.add(one.kind());
                one.forget();
            }
            22 if one.kind().ends_by_itself => one.wait(),
            _ => drop(one),
        }
    }
    for one in held {
        if one.kind().ends_by_itself {
            one.wait();
        }
    }
    let Sequence {
        alive,
        users,
        to_peer,
        to_ring,
        received,
        lent,
        ..
    } = sequence;
    while ring.operations() > forgotten.tickets {
        ring.submit_and_wait(1).expect("a submission");
    }
    assert_eq!(ring.operations(), forgotten.tickets, "slots");
    if forgotten.tickets == 0 {
        assert!(tasks.iter().all(|task| task.others() == 0), "wakers");
    }
    lent.borrow_mut().clear();
    if let Some(group) = group.filter(|_| forgotten.tickets == 0) {
        assert_eq!(group.provided(), stream::GROUP, "buffers of the group");
    }
    drop(ring);
    world.drain(&to_peer);
    assert!(received.borrow().is_subset(&to_ring), "never sent");
    let left = u32::try_from(alive.borrow().len()).expect("few");
    assert_eq!(left, forgotten.buffers, "buffers that are left");
    assert_eq!(users.get(), forgotten.descriptors, "users of descriptors");
    forgotten
}

#[test]
fn random_sequences_leave_nothing_over_that_was_not_forgotten() {
    let world = World::new();
    let zero_copy = Probe::new().expect("a probe").supports(OpCode::SEND_ZC);
    // Streams of datagrams came with the same kernel.
    let has = (zero_copy, zero_copy);
    drop(Ring::new(16));
    for seed in 0..SEEDS {
        // Shown if it fails.
        println!("seed {seed}");
        let before = descriptors::open_descriptors();
        let forgotten = run(seed, world, has);
        let after = descriptors::open_descriptors();
        // An accept that was forgotten may have won, and what takes buffers from a group keeps its
        // ring open.
        let kept = forgotten.accepts + forgotten.tickets.min(1);
        let most = before + usize::try_from(kept).expect("few");
        assert!(
            (before..=most).contains(&after),
            "{before} to {after} descriptors"
        );
        // What was sent to this ring and never received is not the next one's.
        world.local.set_nonblocking(true).expect("a socket");
        while world.local.recv(&mut [0; BYTES]).is_ok() {}
        world.local.set_nonblocking(false).expect("a socket");
    }
}
