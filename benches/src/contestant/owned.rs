//! This library's owned layer: tickets, and futures.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use lio_uring::owned::{self, Nop, Operation, Ticket};

use super::{Contestant, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const TICKETS: Contestant = Contestant {
    name: "lio-uring, owned, tickets",
    open: |entries| Box::new(Tickets(owned::Ring::new(entries).expect("a ring"))),
};

pub(super) const FUTURES: Contestant = Contestant {
    name: "lio-uring, owned, futures",
    open: |entries| Box::new(Futures(owned::Ring::new(entries).expect("a ring"))),
};

struct Tickets(owned::Ring);

struct Futures(owned::Ring);

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

#[inline]
fn tickets<T, O: Operation>(
    ring: &owned::Ring,
    batch: u32,
    rounds: u32,
    mut things: T,
    operation: impl Fn(&mut T, u32) -> O,
    take: impl Fn(&mut T, O::Output),
) {
    let mut tickets = Vec::with_capacity(batch as usize);
    for _ in 0..rounds {
        for n in 0..batch {
            tickets.push(ring.push(operation(&mut things, n)).expect("room"));
        }
        ring.submit_and_wait(batch).expect("a submission");
        for ticket in tickets.drain(..) {
            take(&mut things, ticket.try_take().expect("it has ended"));
        }
    }
}

/// Polls each ticket before its operation can have ended, and when it has.
#[inline]
fn futures<T, O: Operation>(
    ring: &owned::Ring,
    batch: u32,
    rounds: u32,
    mut things: T,
    operation: impl Fn(&mut T, u32) -> O,
    take: impl Fn(&mut T, O::Output),
) {
    let mut context = Context::from_waker(Waker::noop());
    let mut tickets: Vec<Ticket<_, O>> = Vec::with_capacity(batch as usize);
    for _ in 0..rounds {
        for n in 0..batch {
            tickets.push(ring.push(operation(&mut things, n)).expect("room"));
        }
        for ticket in &mut tickets {
            assert!(Pin::new(ticket).poll(&mut context).is_pending());
        }
        ring.submit_and_wait(batch).expect("a submission");
        for mut ticket in tickets.drain(..) {
            match Pin::new(&mut ticket).poll(&mut context) {
                Poll::Ready(output) => take(&mut things, output),
                Poll::Pending => panic!("it has not ended"),
            }
        }
    }
}

/// What a contestant does is the same but for how it waits.
macro_rules! ring {
    ($contestant:ident, $work:ident) => {
        impl Ring for $contestant {
            fn nops(&mut self, batch: u32, rounds: u32) {
                let take = |(): &mut (), done: std::io::Result<()>| done.expect("a NOP");
                $work(&self.0, batch, rounds, (), |_, _| Nop, take);
            }

            fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
                let shelf = Shelf::new(blocks, batch);
                $work(
                    &self.0,
                    batch,
                    rounds,
                    shelf,
                    Shelf::read,
                    |shelf, (read, buffer)| {
                        read.expect("a block");
                        shelf.buffers.push(buffer);
                    },
                );
            }
        }
    };
}

ring!(Tickets, tickets);
ring!(Futures, futures);
