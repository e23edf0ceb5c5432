//! The `io-uring` crate, with its queues split for as long as there is work: its fastest way.

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};

use super::{Contestant, Ring};
use crate::work::{BLOCK, Blocks};

pub(super) const DEFAULT: Contestant = Contestant {
    name: "io-uring",
    open: |entries| {
        Box::new(Worker {
            ring: IoUring::new(entries).expect("a ring"),
            registered: false,
        })
    },
};

pub(super) const ONE_THREAD: Contestant = Contestant {
    name: "io-uring, one thread",
    open: |entries| {
        Box::new(Worker {
            ring: one_thread(entries),
            registered: true,
        })
    },
};

/// A ring with the flags that ours for one thread has.
pub(crate) fn one_thread(entries: u32) -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_no_sqarray()
        .build(entries)
        .expect("a ring")
}

struct Worker {
    ring: IoUring,
    /// Whether the ring's descriptor is registered with the thread.
    registered: bool,
}

impl Worker {
    #[inline]
    fn work(&mut self, batch: u32, rounds: u32, entry: impl Fn(u32) -> Entry) {
        let (mut submitter, mut sq, mut cq) = self.ring.split();
        // It is the submitter that knows of it, so it cannot be done once for all when the ring is
        // made.
        if self.registered {
            submitter.register_ring_fd().expect("a place");
        }
        for _ in 0..rounds {
            for n in 0..batch {
                let entry = entry(n).user_data(n.into());
                // SAFETY: there is a buffer for each operation of a batch.
                unsafe { sq.push(&entry) }.expect("room");
            }
            sq.sync();
            submitter
                .submit_and_wait(batch as usize)
                .expect("a submission");
            cq.sync();
            let mut taken = 0;
            for completion in &mut cq {
                assert!(completion.result() >= 0, "an operation failed");
                taken += 1;
            }
            assert!(taken == batch, "completions are missing");
            cq.sync();
        }
        if self.registered {
            submitter.unregister_ring_fd().expect("it is registered");
        }
    }
}

impl Ring for Worker {
    fn nops(&mut self, batch: u32, rounds: u32) {
        self.work(batch, rounds, |_| opcode::Nop::new().build());
    }

    fn reads(&mut self, batch: u32, rounds: u32, blocks: &Blocks) {
        let fd = types::Fd(blocks.fd());
        self.work(batch, rounds, |n| {
            let (buffer, offset) = blocks.at(n);
            opcode::Read::new(fd, buffer, BLOCK).offset(offset).build()
        });
    }
}
