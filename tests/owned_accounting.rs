//! The owned layer keeps account: of slots, of buffers, of descriptors, of allocations.
#![cfg(target_os = "linux")]

#[path = "support/descriptors.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod descriptors;
#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use lio_uring::BufferPool;
use lio_uring::owned::{
    Accept, BufferGroupParams, BufferMut, Nop, Read, ReadFixed, Recv, RecvHeader, RecvMsg,
    RecvMulti, Ring, Send, SendHeader, SendMsg, Sleep, Slot, Ticket,
};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tests that open descriptors or count them.
static ALONE: Mutex<()> = Mutex::new(());

/// A buffer whose number is known while it lives.
struct Counted {
    bytes: Box<[u8]>,
    alive: Rc<Cell<i32>>,
}

impl Counted {
    fn new(alive: &Rc<Cell<i32>>) -> Self {
        alive.set(alive.get() + 1);
        Self {
            bytes: vec![0; 64].into(),
            alive: Rc::clone(alive),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

// SAFETY: the bytes are the box's own, which does not move them.
unsafe impl BufferMut for Counted {
    fn room(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn filled(&mut self, _: usize) {}
}

/// The tickets of each kind that are held.
enum Held<'r> {
    Nop(Ticket<&'r Ring, Nop>),
    Sleep(Ticket<&'r Ring, Sleep>),
    Recv(Ticket<&'r Ring, Recv<Rc<UnixStream>, Counted>>),
    Send(Ticket<&'r Ring, Send<Rc<UnixStream>, &'static str>>),
}

#[test]
fn random_pushing_taking_and_dropping_gives_every_buffer_and_slot_back() {
    let _alone = ALONE.lock();
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let alive = Rc::new(Cell::new(0));
        let ring = Ring::new(8).expect("a ring");
        let (one, other) = UnixStream::pair().expect("a pair");
        let (one, other) = (Rc::new(one), Rc::new(other));
        let mut held: Vec<Held<'_>> = Vec::new();
        for _ in 0..2000 {
            match random.u8(..10) {
                0 => held.extend(ring.push(Nop).ok().map(Held::Nop)),
                1 => {
                    let sleep = Sleep::new(Duration::from_micros(random.u64(..200)));
                    held.extend(ring.push(sleep).ok().map(Held::Sleep));
                }
                2 | 3 => {
                    let recv = Recv {
                        socket: Rc::clone(&one),
                        buffer: Counted::new(&alive),
                        flags: 0,
                    };
                    held.extend(ring.push(recv).ok().map(Held::Recv));
                }
                4 => {
                    let send = Send {
                        socket: Rc::clone(&other),
                        buffer: "text",
                        flags: 0,
                    };
                    held.extend(ring.push(send).ok().map(Held::Send));
                }
                5 | 6 => ring.submit().expect("a submission"),
                7 if !held.is_empty() => drop(held.swap_remove(random.usize(..held.len()))),
                _ if !held.is_empty() => {
                    let ticket = held.swap_remove(random.usize(..held.len()));
                    held.extend(match ticket {
                        Held::Nop(ticket) => ticket.try_take().err().map(Held::Nop),
                        Held::Sleep(ticket) => ticket.try_take().err().map(Held::Sleep),
                        Held::Recv(ticket) => match ticket.try_take() {
                            Ok((count, buffer)) => {
                                let count = count.expect("something received");
                                assert_eq!(count % 4, 0, "whole messages");
                                assert_eq!(&buffer.bytes[..4], b"text");
                                None
                            }
                            Err(ticket) => Some(Held::Recv(ticket)),
                        },
                        Held::Send(ticket) => ticket.try_take().err().map(Held::Send),
                    });
                }
                _ => {}
            }
        }
        drop(held);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
        assert_eq!(
            alive.get(),
            0,
            "seed {seed}: buffers that were not given back"
        );
        assert_eq!(Rc::strong_count(&one), 1);
        assert_eq!(Rc::strong_count(&other), 1);
    }
}

#[test]
fn twenty_thousand_dropped_accepts_leak_no_connection() {
    let _alone = ALONE.lock();
    let ring = Ring::new(8).expect("a ring");
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let address = listener.local_addr().expect("an address");
    let before = descriptors::open_descriptors();
    let clients = thread::spawn(move || {
        for _ in 0..5000 {
            let mut client = TcpStream::connect(address).expect("a connection");
            let limit = Some(Duration::from_secs(20));
            client.set_read_timeout(limit).expect("a limit");
            // Each is accepted in the end, and told something, or told that it is over.
            let mut byte = [0];
            match client.read(&mut byte) {
                Ok(1) => assert_eq!(byte, *b"x"),
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
            }
        }
    });
    let mut dropped = 0;
    let mut accepted = 0;
    while dropped < 20_000 || !clients.is_finished() {
        let accept = Accept {
            listener: Rc::clone(&listener),
        };
        let Ok(ticket) = ring.push(accept) else {
            ring.submit_and_wait(1).expect("a submission");
            continue;
        };
        ring.submit().expect("a submission");
        match ticket.try_take() {
            Ok(connection) if accepted % 2 == 0 => {
                accepted += 1;
                let connection = connection.expect("a connection");
                TcpStream::from(connection).write_all(b"x").expect("sent");
            }
            Ok(connection) => {
                accepted += 1;
                drop(connection);
            }
            Err(ticket) => {
                drop(ticket);
                dropped += 1;
            }
        }
    }
    clients.join().expect("every client heard something");
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
    assert_eq!(
        descriptors::open_descriptors(),
        before,
        "connections leaked"
    );
}

#[test]
fn dropped_receives_leak_no_descriptor_that_was_passed_to_them() {
    let _alone = ALONE.lock();
    let file = File::open("/proc/self/comm").expect("a file");
    let before = descriptors::open_descriptors();
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let ring = Ring::new(8).expect("a ring");
        let (here, there) = UnixStream::pair().expect("a pair");
        let (here, there) = (Rc::new(here), Rc::new(there));
        let (mut taken, mut lost) = (0, 0);
        let mut held = Vec::new();
        for _ in 0..2000 {
            match random.u8(..6) {
                0 | 1 => {
                    let fds: Vec<_> = (0..random.usize(1..4))
                        .map(|_| file.try_clone().expect("another").into())
                        .collect();
                    let send = SendMsg {
                        socket: Rc::clone(&there),
                        buffers: ["x"],
                        header: SendHeader::new().descriptors(fds),
                        flags: libc::MSG_DONTWAIT,
                    };
                    if let Ok(ticket) = ring.push(send) {
                        let (_sent, ..) = ticket.wait().expect("a submission");
                    }
                }
                2 | 3 => {
                    let recv = RecvMsg {
                        socket: Rc::clone(&here),
                        buffers: [[0; 2]],
                        header: RecvHeader::with_descriptors(random.usize(1..4)),
                        flags: if random.bool() { libc::MSG_WAITALL } else { 0 },
                    };
                    held.extend(ring.push(recv));
                }
                4 if !held.is_empty() => {
                    drop(held.swap_remove(random.usize(..held.len())));
                    lost += 1;
                }
                _ if !held.is_empty() => {
                    let ticket = held.swap_remove(random.usize(..held.len()));
                    match ticket.try_take() {
                        Ok((count, _, mut header)) => {
                            count.expect("something received");
                            taken += header.take_descriptors().len();
                        }
                        Err(ticket) => held.push(ticket),
                    }
                }
                _ => {}
            }
        }
        assert!(taken > 50 && lost > 50, "{taken} taken, {lost} lost");
        drop(held);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
    }
    assert_eq!(descriptors::open_descriptors(), before);
}

#[test]
fn operations_allocate_nothing_once_warm() {
    let _alone = ALONE.lock();
    let ring = Ring::new(32).expect("a ring");
    let file = Rc::new(File::open("/proc/self/exe").expect("this program"));
    let mut buffers: Vec<Vec<u8>> = (0..32).map(|_| Vec::with_capacity(512)).collect();
    let mut tickets = Vec::with_capacity(32);
    let mut work = |rounds: u64| {
        for round in 0..rounds {
            for n in 0..32 {
                let read = Read {
                    file: Rc::clone(&file),
                    buffer: buffers.pop().expect("as many as reads"),
                    offset: (round * 32 + n) * 512,
                };
                tickets.push(ring.push(read).expect("room"));
            }
            for ticket in tickets.drain(..) {
                let (count, buffer) = ticket.wait().expect("a wait");
                assert_eq!(count.expect("a block"), 512);
                buffers.push(buffer);
            }
        }
    };
    work(2);
    let before = ALLOCATIONS.get();
    work(20);
    assert_eq!(ALLOCATIONS.get(), before, "allocations");
}

#[test]
fn streams_chains_and_what_is_registered_allocate_nothing_once_warm() {
    if kernel::lacks(6, 0, "receives that go on") {
        return;
    }
    let _alone = ALONE.lock();
    let ring = Ring::new(16).expect("a ring");
    let buffers = ring
        .register_group(BufferGroupParams::new(8, 64))
        .expect("a group");
    let pool = BufferPool::new(2, 64).expect("memory");
    let pool = ring.register_pool(pool).expect("a registration");
    let slots = ring.register_slots(2).expect("places");
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let zeros = slots
        .insert(File::open("/dev/zero").expect("a file"))
        .expect("a place");
    let mut pieces = ring
        .push_stream(RecvMulti {
            socket,
            buffers,
            flags: 0,
        })
        .expect("room");
    let mut warm = None;
    for round in 0..2000u32 {
        if round == 100 {
            warm = Some(ALLOCATIONS.get());
        }
        for _ in 0..3 {
            peer.write_all(&round.to_ne_bytes()).expect("room");
            ring.submit_and_wait(1).expect("a submission");
        }
        let mut bytes = 0;
        while bytes < 12 {
            let piece = pieces.wait_next().expect("a submission");
            bytes += piece.expect("it goes on").expect("no error").len();
        }
        let read = |file: &Slot| ReadFixed {
            file: file.clone(),
            buffer: pool.take().expect("a buffer"),
            offset: 0,
        };
        let (first, second) = ring.push_chain((read(&zeros), read(&zeros))).expect("room");
        for ticket in [first, second] {
            let (count, buffer) = ticket.wait().expect("a submission");
            assert_eq!((count.expect("no error"), buffer[0]), (64, 0));
        }
    }
    assert_eq!(Some(ALLOCATIONS.get()), warm, "allocations");
}
