//! This library's owned layer: tickets, futures, and rings for one kind of operation.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use lio_uring::owned::{self, Nop, Operation, UniformRing};

use super::{Contestant, ENTRIES, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const NO_RING: Contestant = Contestant {
    name: "no ring, owned",
    open: |_| Box::new(NoRing),
};

pub(super) const TICKETS: Contestant = Contestant {
    name: "lio-uring, owned, tickets",
    open: |entries| Box::new(Tickets::<0>::new(entries)),
};

pub(super) const FUTURES: Contestant = Contestant {
    name: "lio-uring, owned, futures",
    open: |entries| Box::new(Tickets::<1>::new(entries)),
};

pub(super) const TASKS: Contestant = Contestant {
    name: "lio-uring, owned, tasks",
    open: |entries| Box::new(Tickets::<{ ENTRIES as usize }>::new(entries)),
};

pub(super) const UNIFORM: Contestant = Contestant {
    name: "lio-uring, owned, uniform",
    open: |entries| {
        Box::new(Uniform {
            nops: UniformRing::new(entries).expect("a ring"),
            reads: UniformRing::new(entries).expect("a ring"),
        })
    },
};

/// Tickets, which so many tasks poll before their operations can have ended, too.
struct Tickets<const TASKS: usize>(owned::Ring);

/// Nothing is done but what the others do besides: operations are made, kept in a row, and their output
/// is taken.
struct NoRing;

impl NoRing {
    #[inline]
    fn rounds<T, O: Operation>(
        batch: u32,
        rounds: u32,
        mut things: T,
        operation: impl Fn(&mut T, u32) -> O,
        output: impl Fn(O) -> O::Output,
        take: impl Fn(&mut T, O::Output),
    ) {
        let mut kept = Vec::with_capacity(batch as usize);
        for _ in 0..rounds {
            kept.extend((0..batch).map(|n| operation(&mut things, n)));
            black_box(&mut kept);
            while let Some(operation) = kept.pop() {
                take(&mut things, output(operation));
            }
        }
    }
}

/// A task that does not run.
struct Task(AtomicBool);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Rings for one kind of operation each.
struct Uniform {
    nops: UniformRing<Nop>,
    reads: UniformRing<Read>,
}

type Read = owned::Read<Rc<File>, Box<[u8]>>;

/// A file that operations share, and buffers for them.
struct Shelf {
    file: Rc<File>,
    buffers: Vec<Box<[u8]>>,
}

impl Shelf {
    fn new(blocks: &Blocks, batch: u32) -> Self {
        // SAFETY: the blocks' file is open as long as they live.
        let file = unsafe { BorrowedFd::borrow_raw(blocks.fd()) };
        let file: OwnedFd = file.try_clone_to_owned().expect("another descriptor");
        let buffer = || vec![0; BLOCK as usize].into_boxed_slice();
        Self {
            file: Rc::new(file.into()),
            buffers: (0..batch).map(|_| buffer()).collect(),
        }
    }

    #[inline]
    fn read(&mut self, n: u32) -> Read {
        owned::Read {
            file: Rc::clone(&self.file),
            buffer: self.buffers.pop().expect("as many as a batch has reads"),
            offset: u64::from(n * BLOCK),
        }
    }
}

impl<const TASKS: usize> Tickets<TASKS> {
    fn new(entries: u32) -> Self {
        Self(owned::Ring::new(entries).expect("a ring"))
    }

    #[inline]
    fn rounds<T, O: Operation + 'static>(
        &self,
        batch: u32,
        rounds: u32,
        mut things: T,
        operation: impl Fn(&mut T, u32) -> O,
        take: impl Fn(&mut T, O::Output),
    ) {
        let waker = |_| Waker::from(Arc::new(Task(AtomicBool::new(false))));
        let wakers: Vec<Waker> = (0..TASKS).map(waker).collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut tickets = Vec::with_capacity(batch as usize);
        for _ in 0..rounds {
            let pushed = (0..batch).map(|n| self.0.push(operation(&mut things, n)).expect("room"));
            tickets.extend(pushed);
            match TASKS {
                0 => {}
                1 => {
                    let mut task = Context::from_waker(&wakers[0]);
                    for ticket in &mut tickets {
                        assert!(Pin::new(ticket).poll(&mut task).is_pending());
                    }
                }
                _ => {
                    for (ticket, waker) in tickets.iter_mut().zip(&wakers) {
                        let mut task = Context::from_waker(waker);
                        assert!(Pin::new(ticket).poll(&mut task).is_pending());
                    }
                }
            }
            self.0.submit_and_wait(batch).expect("a submission");
            while let Some(mut ticket) = tickets.pop() {
                let output = if TASKS > 0 {
                    match Pin::new(&mut ticket).poll(&mut context) {
                        Poll::Ready(output) => output,
                        Poll::Pending => panic!("it has not ended"),
                    }
                } else {
                    let Ok(output) = ticket.try_take() else {
                        panic!("it has not ended")
                    };
                    output
                };
                take(&mut things, output);
            }
        }
    }
}

/// The same on a ring for one kind of operation.
#[inline]
fn work<T, O: Operation + 'static>(
    ring: &mut UniformRing<O>,
    batch: u32,
    rounds: u32,
    mut things: T,
    operation: impl Fn(&mut T, u32) -> O,
    take: impl Fn(&mut T, O::Output),
) {
    for _ in 0..rounds {
        for n in 0..batch {
            ring.push(operation(&mut things, n)).expect("room");
        }
        ring.submit_and_wait(batch).expect("a submission");
        ring.outputs()
            .for_each(|(_, output)| take(&mut things, output));
    }
}

fn check((): &mut (), done: io::Result<()>) {
    done.expect("a NOP");
}

fn put_back(shelf: &mut Shelf, (read, buffer): (io::Result<usize>, Box<[u8]>)) {
    read.expect("a block");
    shelf.buffers.push(buffer);
}

impl Ring for NoRing {
    fn nops(&mut self, batch: u32, rounds: u32) {
        Self::rounds(batch, rounds, (), |(), _| black_box(Nop), |_| Ok(()), check);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let things = Shelf::new(blocks, batch);
        let output = |read: Read| (Ok(BLOCK as usize), read.buffer);
        Self::rounds(batch, rounds, things, Shelf::read, output, put_back);
    }
}

impl<const TASKS: usize> Ring for Tickets<TASKS> {
    fn nops(&mut self, batch: u32, rounds: u32) {
        self.rounds(batch, rounds, (), |(), _| Nop, check);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let things = Shelf::new(blocks, batch);
        self.rounds(batch, rounds, things, Shelf::read, put_back);
    }
}

impl Ring for Uniform {
    fn nops(&mut self, batch: u32, rounds: u32) {
        work(&mut self.nops, batch, rounds, (), |(), _| Nop, check);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let things = Shelf::new(blocks, batch);
        work(
            &mut self.reads,
            batch,
            rounds,
            things,
            Shelf::read,
            put_back,
        );
    }
}
