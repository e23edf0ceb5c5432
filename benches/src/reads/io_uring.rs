//! The `io-uring` crate.

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};

use super::{DEPTH, InFlight, Read, Reader, Target};
use crate::contestant::io_uring::one_thread;
use crate::work::BLOCK;

pub(super) const DEFAULT: Reader = Reader {
    name: "io-uring",
    open: |target| Box::new(Worker::new(default_ring(), false, target)),
};

pub(super) const REGISTERED: Reader = Reader {
    name: "io-uring, registered",
    open: |target| {
        Box::new(Registered(
            Worker::new(default_ring(), false, target).register(),
        ))
    },
};

pub(super) const ONE_THREAD: Reader = Reader {
    name: "io-uring, one thread",
    open: |target| Box::new(Worker::new(one_thread(DEPTH), true, target)),
};

pub(super) const ONE_THREAD_REGISTERED: Reader = Reader {
    name: "io-uring, one thread, registered",
    open: |target| {
        Box::new(Registered(
            Worker::new(one_thread(DEPTH), true, target).register(),
        ))
    },
};

fn default_ring() -> IoUring {
    IoUring::new(DEPTH).expect("a ring")
}

struct Worker<'t> {
    ring: IoUring,
    /// Whether the ring's own descriptor is registered with the thread.
    one_thread: bool,
    target: &'t Target,
}

/// With the target's file and buffers registered.
struct Registered<'t>(Worker<'t>);

impl<'t> Worker<'t> {
    fn new(ring: IoUring, one_thread: bool, target: &'t Target) -> Self {
        Self {
            ring,
            one_thread,
            target,
        }
    }

    fn register(self) -> Self {
        let submitter = self.ring.submitter();
        // SAFETY: the buffers are never freed.
        let registered = unsafe { submitter.register_buffers(&[self.target.memory()]) };
        registered.expect("registered buffers");
        submitter
            .register_files(&[self.target.fd()])
            .expect("a registered file");
        self
    }

    #[inline]
    fn work(&mut self, entry: impl Fn(InFlight) -> Entry) {
        let target = self.target;
        let (mut submitter, mut sq, mut cq) = self.ring.split();
        if self.one_thread {
            submitter.register_ring_fd().expect("a place");
        }
        let mut order = target.order.iter();
        for (slot, &block) in (0..DEPTH).zip(order.by_ref()) {
            // SAFETY: each slot has a buffer of its own.
            unsafe { sq.push(&entry(InFlight { block, slot })) }.expect("room");
        }
        let mut left = target.reads();
        while left > 0 {
            sq.sync();
            submitter.submit_and_wait(1).expect("a submission");
            // Now the queue knows that it has room again.
            sq.sync();
            cq.sync();
            for completion in &mut cq {
                let read = InFlight::from_user_data(completion.user_data());
                // SAFETY: this is its completion.
                unsafe { target.check(read, completion.result()) };
                left -= 1;
                if let Some(&block) = order.next() {
                    // SAFETY: the slot's buffer is no longer in use.
                    unsafe { sq.push(&entry(InFlight { block, ..read })) }.expect("room");
                }
            }
            cq.sync();
        }
        if self.one_thread {
            submitter.unregister_ring_fd().expect("it is registered");
        }
    }
}

impl Read for Worker<'_> {
    fn read(&mut self) {
        let target = self.target;
        let fd = types::Fd(target.fd());
        self.work(|read| {
            opcode::Read::new(fd, target.buffer(read.slot), BLOCK)
                .offset(read.offset())
                .build()
                .user_data(read.user_data())
        });
    }
}

impl Read for Registered<'_> {
    fn read(&mut self) {
        let target = self.0.target;
        self.0.work(|read| {
            opcode::ReadFixed::new(types::Fixed(0), target.buffer(read.slot), BLOCK, 0)
                .offset(read.offset())
                .build()
                .user_data(read.user_data())
        });
    }
}
