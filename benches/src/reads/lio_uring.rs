//! This library.

use lio_uring::kind::Threads;
use lio_uring::operation::{self, Operation, ReadFixed};
use lio_uring::{
    AnyThread, CompletionQueue, IoUring, OneThread, SqeFlags, SubmissionQueue, with_capacity,
};

use super::{DEPTH, InFlight, Read, Reader, Target};
use crate::work::BLOCK;

pub(super) const HALVES: Reader = Reader {
    name: "lio-uring, halves",
    open: |target| Box::new(halves(target)),
};

pub(super) const HALVES_REGISTERED: Reader = Reader {
    name: "lio-uring, halves, registered",
    open: |target| Box::new(Registered(halves(target).register())),
};

pub(super) const ONE_THREAD: Reader = Reader {
    name: "lio-uring, one thread",
    open: |target| Box::new(one_thread(target)),
};

pub(super) const ONE_THREAD_REGISTERED: Reader = Reader {
    name: "lio-uring, one thread, registered",
    open: |target| Box::new(Registered(one_thread(target).register())),
};

struct Worker<'t, T: Threads> {
    cq: CompletionQueue<T>,
    sq: SubmissionQueue<T>,
    target: &'t Target,
}

/// With the target's file and buffers registered.
struct Registered<'t, T: Threads>(Worker<'t, T>);

fn halves(target: &Target) -> Worker<'_, AnyThread> {
    let (cq, sq) = with_capacity(DEPTH).expect("a ring");
    Worker { cq, sq, target }
}

fn one_thread(target: &Target) -> Worker<'_, OneThread> {
    let params = IoUring::builder().entries(DEPTH);
    let (cq, sq) = IoUring::with_params(params).expect("a ring");
    Worker { cq, sq, target }
}

impl<T: Threads> Worker<'_, T> {
    fn register(mut self) -> Self {
        // SAFETY: the buffers are never freed, and used for nothing but reads of this ring.
        let registered = unsafe { self.sq.register_buffers(&[self.target.memory()]) };
        registered.expect("registered buffers");
        self.sq
            .register_files(&[self.target.fd()])
            .expect("a registered file");
        self
    }

    #[inline]
    fn work<O: Operation>(&mut self, flags: SqeFlags, operation: impl Fn(InFlight) -> O) {
        let Self { cq, sq, target } = self;
        let mut order = target.order.iter();
        let push = |sq: &mut SubmissionQueue<T>, read: InFlight| {
            // SAFETY: each slot has a buffer of its own, and is used again only when the read that
            // used it has ended.
            unsafe { sq.push_with_flags(&operation(read), read.user_data(), flags) }.expect("room");
        };
        for (slot, &block) in (0..DEPTH).zip(order.by_ref()) {
            push(sq, InFlight { block, slot });
        }
        let mut left = target.reads();
        while left > 0 {
            sq.submit_and_wait(1).expect("a submission");
            for completion in cq.completions() {
                let read = InFlight::from_user_data(completion.user_data());
                // SAFETY: this is its completion.
                unsafe { target.check(read, completion.raw_result()) };
                left -= 1;
                if let Some(&block) = order.next() {
                    push(sq, InFlight { block, ..read });
                }
            }
        }
    }
}

impl<T: Threads> Read for Worker<'_, T> {
    fn read(&mut self) {
        let target = self.target;
        self.work(SqeFlags::empty(), |read| operation::Read {
            fd: target.fd(),
            ptr: target.buffer(read.slot).cast(),
            len: BLOCK,
            offset: read.offset(),
        });
    }
}

impl<T: Threads> Read for Registered<'_, T> {
    fn read(&mut self) {
        let target = self.0.target;
        self.0.work(SqeFlags::FIXED_FILE, |read| ReadFixed {
            fd: 0,
            buf: target.buffer(read.slot).cast(),
            nbytes: BLOCK,
            offset: read.offset(),
            buf_index: 0,
        });
    }
}
