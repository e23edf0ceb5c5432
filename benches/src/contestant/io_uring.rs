//! The `io-uring` crate, with one handle of each queue per batch: its fastest safe-to-say way.

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};

use super::{Contestant, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const DEFAULT: Contestant = Contestant {
    name: "io-uring",
    open: |entries| Box::new(IoUring::new(entries).expect("a ring")),
};

pub(super) const ONE_THREAD: Contestant = Contestant {
    name: "io-uring, one thread",
    open: |entries| {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(entries)
            .expect("a ring");
        ring.submitter().register_ring_fd().expect("a place");
        Box::new(ring)
    },
};

#[inline]
fn rounds(ring: &mut IoUring, batch: u32, rounds: u32, entry: impl Fn(u32) -> Entry) {
    for _ in 0..rounds {
        let mut queue = ring.submission();
        for n in 0..batch {
            let entry = entry(n).user_data(n.into());
            // SAFETY: there is a buffer for each operation of a batch.
            unsafe { queue.push(&entry) }.expect("room");
        }
        drop(queue);
        ring.submit_and_wait(batch as usize).expect("a submission");
        let mut taken = 0;
        for completion in ring.completion() {
            assert!(completion.result() >= 0, "an operation failed");
            taken += 1;
        }
        assert!(taken == batch, "completions are missing");
    }
}

impl Ring for IoUring {
    fn nops(&mut self, batch: u32, count: u32) {
        rounds(self, batch, count, |_| opcode::Nop::new().build());
    }

    fn reads(&mut self, batch: u32, count: u32, blocks: &Blocks) {
        let fd = types::Fd(blocks.fd());
        rounds(self, batch, count, |n| {
            let (buffer, offset) = blocks.at(n);
            opcode::Read::new(fd, buffer, BLOCK).offset(offset).build()
        });
    }
}
