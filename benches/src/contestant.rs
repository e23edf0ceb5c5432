//! Who is compared.

use crate::work::{Blocks, Operation, Work};

pub(crate) mod c;
pub(crate) mod io_uring;
mod lio_uring;
mod owned;

/// How many entries the rings have room for.
pub const ENTRIES: u32 = 256;

/// One way to do the work.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// Library, kind of ring, interface.
    pub name: &'static str,
    /// Makes the ring that does the work.
    pub open: fn(entries: u32) -> Box<dyn Ring>,
}

/// A ring that does work. What its methods do is compiled for it alone.
pub trait Ring {
    /// Submits and waits for batches of NOPs.
    fn nops(&mut self, batch: u32, rounds: u32);
    /// Submits and waits for batches of reads, one of each block.
    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks);

    /// Does the work, with at least as many blocks as a batch has operations.
    fn work(&mut self, work: Work, blocks: &Blocks) {
        match work.operation {
            Operation::Nop => self.nops(work.batch, work.rounds),
            Operation::Read => self.reads(work.batch, work.rounds, blocks),
        }
    }
}

impl Contestant {
    /// All of them: C first, then the other libraries, then ours.
    pub const ALL: &[Self] = &[
        c::DEFAULT,
        c::ONE_THREAD,
        io_uring::DEFAULT,
        io_uring::ONE_THREAD,
        lio_uring::HALVES,
        lio_uring::PLAIN,
        lio_uring::BATCH,
        lio_uring::SETS,
        owned::TICKETS,
        owned::FUTURES,
        owned::TASKS,
        owned::UNIFORM,
    ];

    /// What the owned ones do besides.
    pub const NO_RING: Self = owned::NO_RING;

    /// Those that differ in how their ring is made.
    pub const RINGS: &[Self] = &[
        c::DEFAULT,
        c::ONE_THREAD,
        io_uring::DEFAULT,
        io_uring::ONE_THREAD,
        lio_uring::HALVES,
        lio_uring::PLAIN,
    ];

    /// Does the work on a ring of its own.
    pub fn work(&self, work: Work) {
        (self.open)(ENTRIES).work(work, &Blocks::new(work.batch));
    }
}
