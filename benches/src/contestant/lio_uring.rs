//! This library: plain calls on halves and on a ring for one thread, and its batches.

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, Operation, Read};
use lio_uring::{CompletionQueue, IoUring, SubmissionQueue, with_capacity};

use super::{Contestant, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const HALVES: Contestant = Contestant {
    name: "lio-uring, halves",
    open: |entries| {
        let (cq, sq) = with_capacity(entries).expect("a ring");
        Box::new(Halves { cq, sq })
    },
};

pub(super) const PLAIN: Contestant = Contestant {
    name: "lio-uring, one thread",
    open: |entries| Box::new(Plain(IoUring::new(entries).expect("a ring"))),
};

pub(super) const BATCH: Contestant = Contestant {
    name: "lio-uring, one thread, batches",
    open: |entries| Box::new(Batch(IoUring::new(entries).expect("a ring"))),
};

pub(super) const SETS: Contestant = Contestant {
    name: "lio-uring, one thread, sets",
    open: |entries| Box::new(Sets(IoUring::new(entries).expect("a ring"))),
};

struct Halves {
    cq: CompletionQueue,
    sq: SubmissionQueue,
}

struct Plain(IoUring);

struct Batch(IoUring);

struct Sets(IoUring);

#[inline]
fn read(blocks: &Blocks) -> impl Fn(u32) -> Read + Copy {
    let (fd, buffers) = (blocks.fd(), blocks.buffers());
    move |n| {
        let offset = n * BLOCK;
        Read {
            fd,
            ptr: buffers.wrapping_add(offset as usize).cast(),
            len: BLOCK,
            offset: offset.into(),
        }
    }
}

#[inline]
fn plain<T: Threads, O: Operation>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    batch: u32,
    rounds: u32,
    operation: impl Fn(u32) -> O,
) {
    for _ in 0..rounds {
        for n in 0..batch {
            // SAFETY: there is a buffer for each operation of a batch.
            unsafe { sq.push(&operation(n), n.into()) }.expect("room");
        }
        sq.submit_and_wait(batch).expect("a submission");
        for _ in 0..batch {
            let completion = cq.next().expect("a completion");
            assert!(completion.raw_result() >= 0, "an operation failed");
        }
    }
}

#[inline]
fn batches<O: Operation>(
    ring: &mut IoUring,
    batch: u32,
    rounds: u32,
    operation: impl Fn(u32) -> O,
) {
    let (cq, sq) = ring.queues();
    for _ in 0..rounds {
        let mut pushed = sq.reserve(batch).expect("room");
        for n in 0..batch {
            // SAFETY: there is a buffer for each operation of a batch.
            unsafe { pushed.push(&operation(n), n.into()) }.expect("room");
        }
        pushed.submit_and_wait(batch).expect("a submission");
        let completions = cq.completions();
        assert!(
            completions.len() == batch as usize,
            "completions are missing"
        );
        for completion in completions {
            assert!(completion.raw_result() >= 0, "an operation failed");
        }
    }
}

#[inline]
fn sets<O: Operation>(
    ring: &mut IoUring,
    batch: u32,
    rounds: u32,
    operation: impl Fn(u32) -> O + Copy,
) {
    for _ in 0..rounds {
        let operations = (0..batch).map(move |n| (operation(n), n.into()));
        // SAFETY: there is a buffer for each operation of a batch.
        unsafe { ring.submission().push_all(operations) }.expect("room");
        let completions = ring.submit_and_take(batch).expect("a submission");
        assert!(
            completions.len() == batch as usize,
            "completions are missing"
        );
        completions.for_each(|completion| {
            assert!(completion.raw_result() >= 0, "an operation failed");
        });
    }
}

impl Ring for Halves {
    fn nops(&mut self, batch: u32, rounds: u32) {
        plain(&mut self.cq, &mut self.sq, batch, rounds, |_| Nop);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        plain(&mut self.cq, &mut self.sq, batch, rounds, read(blocks));
    }
}

impl Ring for Plain {
    fn nops(&mut self, batch: u32, rounds: u32) {
        let (cq, sq) = self.0.queues();
        plain(cq, sq, batch, rounds, |_| Nop);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let (cq, sq) = self.0.queues();
        plain(cq, sq, batch, rounds, read(blocks));
    }
}

impl Ring for Batch {
    fn nops(&mut self, batch: u32, rounds: u32) {
        batches(&mut self.0, batch, rounds, |_| Nop);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        batches(&mut self.0, batch, rounds, read(blocks));
    }
}

impl Ring for Sets {
    fn nops(&mut self, batch: u32, rounds: u32) {
        sets(&mut self.0, batch, rounds, |_| Nop);
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        sets(&mut self.0, batch, rounds, read(blocks));
    }
}
