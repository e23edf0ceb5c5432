//! Every operation of the owned layer, let go of in every way while the kernel has it: nothing is
//! freed that the kernel still uses, and nothing stays behind.
#![cfg(target_os = "linux")]

#[path = "../support/descriptors.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod descriptors;
#[path = "../support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "../support/quarantine.rs"]
mod quarantine;
mod world;

/// Each operation of the layer, by its name, with one that is likely to be in flight.
mod cases {
    pub(crate) mod file;
    pub(crate) mod message;
    pub(crate) mod other;
    pub(crate) mod path;
    pub(crate) mod pipe;
    pub(crate) mod registered;
    pub(crate) mod socket;
    pub(crate) mod socket_state;
    pub(crate) mod space;
    pub(crate) mod stream;
    pub(crate) mod vectored;
    pub(crate) mod wait;
}

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use lio_uring::owned::{Multishot, Nop, Operation, Ring, Stream, Ticket};

use quarantine::Quarantine;
use world::World;

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine;

/// How an operation in flight is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DropTicket,
    DropTicketUnsubmitted,
    DropPolledTicket,
    Unwind,
    DropTicketAndRing,
    ForgetTicketAndDropRing,
    CloseRing,
    Cycle,
}

const WAYS: [Way; 8] = [
    Way::DropTicket,
    Way::DropTicketUnsubmitted,
    Way::DropPolledTicket,
    Way::Unwind,
    Way::DropTicketAndRing,
    Way::ForgetTicketAndDropRing,
    Way::CloseRing,
    Way::Cycle,
];

impl Way {
    /// Whether something is leaked, as it has to be.
    fn leaks(self) -> bool {
        matches!(self, Self::ForgetTicketAndDropRing | Self::Cycle)
    }
}

fn push<O: Operation + 'static>(ring: &Ring, operation: O) -> Ticket<&Ring, O> {
    ring.push(operation).expect("room")
}

/// Waits until the ring has none of its operations left.
fn settle(ring: &Ring) {
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
}

/// A cycle of counted pointers, which is never dropped.
struct Cycle<O: Operation> {
    _ticket: Ticket<Rc<Ring>, O>,
    me: RefCell<Option<Rc<Self>>>,
}

fn let_go<O: Operation + 'static>(way: Way, operation: O) {
    let_go_in(Ring::new(8).expect("a ring"), way, operation);
}

/// Lets go of an operation on this ring.
fn let_go_in<O: Operation + 'static>(ring: Ring, way: Way, operation: O) {
    let ring = Rc::new(ring);
    match way {
        Way::DropTicket => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            drop(ticket);
            settle(&ring);
        }
        Way::DropTicketUnsubmitted => {
            drop(push(&ring, operation));
            settle(&ring);
        }
        Way::DropPolledTicket => {
            let mut ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            if !ticket.is_done() {
                let mut context = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
            }
            drop(ticket);
            settle(&ring);
        }
        Way::Unwind => {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _ticket = push(&ring, operation);
                ring.submit().expect("a submission");
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(unwound.is_err());
            settle(&ring);
        }
        Way::DropTicketAndRing => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            drop(ticket);
        }
        Way::ForgetTicketAndDropRing => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(ticket);
        }
        Way::CloseRing => {
            drop(push(&ring, operation));
            let ring = Rc::into_inner(ring).expect("the only owner");
            ring.close(Duration::from_secs(60)).expect("all end");
            return;
        }
        Way::Cycle => {
            let ticket = ring.push_shared(operation).expect("room");
            ring.submit().expect("a submission");
            let cycle = Rc::new(Cycle {
                _ticket: ticket,
                me: RefCell::new(None),
            });
            *cycle.me.borrow_mut() = Some(Rc::clone(&cycle));
        }
    }
    drop(ring);
}

/// The same for an operation that completes again and again.
fn let_go_of_stream<O: Multishot + 'static>(ring: Ring, way: Way, operation: O) {
    struct Cycle<O: Multishot> {
        _stream: Stream<Rc<Ring>, O>,
        me: RefCell<Option<Rc<Self>>>,
    }

    let ring = Rc::new(ring);
    let mut stream = ring.push_stream_shared(operation).expect("room");
    if way == Way::DropTicketUnsubmitted {
        drop(stream);
        return settle(&ring);
    }
    ring.submit().expect("a submission");
    match way {
        Way::DropTicketUnsubmitted => unreachable!("it has returned"),
        Way::DropTicket => {
            drop(stream);
            settle(&ring);
        }
        Way::DropPolledTicket => {
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = stream.poll_next(&mut context) {}
            drop(stream);
            settle(&ring);
        }
        Way::Unwind => {
            let unwound = catch_unwind(AssertUnwindSafe(move || {
                let _stream = stream;
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(unwound.is_err());
            settle(&ring);
        }
        Way::DropTicketAndRing => drop(stream),
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        Way::ForgetTicketAndDropRing => std::mem::forget(stream),
        Way::CloseRing => {
            drop(stream);
            let ring = Rc::into_inner(ring).expect("the only owner");
            ring.close(Duration::from_secs(60)).expect("all end");
        }
        Way::Cycle => {
            let cycle = Rc::new(Cycle {
                _stream: stream,
                me: RefCell::new(None),
            });
            *cycle.me.borrow_mut() = Some(Rc::clone(&cycle));
        }
    }
}

/// Pushes an operation that works on something, and lets go of it.
type Case = fn(&World, Way);

fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    let families = [
        cases::file::CASES,
        cases::message::CASES,
        cases::socket::CASES,
        cases::stream::CASES,
        cases::registered::CASES,
        cases::socket_state::CASES,
        cases::path::CASES,
        cases::space::CASES,
        cases::pipe::CASES,
        cases::vectored::CASES,
        cases::wait::CASES,
        cases::other::CASES,
    ];
    families.into_iter().flatten().copied()
}

/// How many freed bytes are watched at a time.
const KEPT: usize = 256 << 20;

/// Direct reads were seen to go on for 78 ms after their ring was closed.
#[track_caller]
fn assert_nothing_comes_later() {
    thread::sleep(Duration::from_millis(300));
    assert_eq!(quarantine::pages_written(), 0, "pages written to later");
}

#[test]
fn whatever_is_let_go_of_the_kernel_writes_to_nothing_that_was_freed() {
    // What is made once, whenever it is first used.
    let_go(Way::DropTicket, Nop);
    let _ = descriptors::open_descriptors();
    let mut freed = quarantine::freed();
    for (name, case) in cases() {
        for way in WAYS {
            let before = descriptors::open_descriptors();
            let world = World::new();
            // Shown if it fails.
            println!("{name}, {way:?}");
            case(&world, way);
            world.stir();
            if !way.leaks() {
                let after = descriptors::open_descriptors();
                assert_eq!(after, before, "{name}, {way:?}: descriptors");
            }
        }
        assert_eq!(quarantine::pages_written(), 0, "{name}: pages written to");
        assert!(quarantine::freed() > freed, "{name}: nothing was watched");
        freed = quarantine::freed();
        if quarantine::bytes() > KEPT {
            assert_nothing_comes_later();
            quarantine::retire();
        }
    }
    assert_nothing_comes_later();
}
