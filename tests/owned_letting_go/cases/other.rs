//! What works on no file, or on any.

use std::sync::Arc;
use std::time::Duration;

use lio_uring::owned::{Message, Nop, Poll, Recv, Ring, Sleep};

use crate::world::BYTES;
use crate::{Case, Way, let_go, let_go_in, push, settle};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Nop", |_, way| let_go(way, Nop)),
    ("Message", |_, way| {
        let there = Ring::new(8).expect("a ring");
        let to = there.mailbox().expect("a mailbox");
        let (number, value) = (1, 2);
        let_go(way, Message::new(to, number, value));
        there.submit().expect("a submission");
        let messages = there.messages();
        let came = messages.expect("nobody else takes them").try_take();
        // It is sent unless the ring is gone first.
        assert!(came.is_none_or(|message| message == (1, 2)));
    }),
    ("Message", |_, way| {
        // To the ring that it is pushed to.
        let ring = Ring::new(8).expect("a ring");
        let to = ring.mailbox().expect("a mailbox");
        let (number, value) = (1, 2);
        let_go_in(ring, way, Message::new(to, number, value));
    }),
    ("Sleep", |_, way| {
        let_go(way, Sleep::new(Duration::from_secs(3600)));
    }),
    ("Poll", |world, way| {
        let (file, events) = (
            Arc::clone(&world.stream),
            u32::from(libc::POLLIN.cast_unsigned()),
        );
        let_go(way, Poll { file, events });
    }),
    ("CancelRequest", |_, _| {
        let ring = Ring::new(8).expect("a ring");
        let sleep = push(&ring, Sleep::new(Duration::from_secs(3600)));
        // Neither the request nor its answer is waited for.
        drop(sleep.cancel().expect("room"));
        ring.submit().expect("a submission");
        let request = sleep.cancel().expect("room");
        drop((request, sleep));
        settle(&ring);
    }),
    ("Scoped", |world, way| {
        let ring = Ring::new(8).expect("a ring");
        let mut buffer = vec![1; BYTES];
        ring.scope(|scope| {
            let recv = Recv {
                socket: &world.stream,
                buffer: &mut buffer[..],
                flags: 0,
            };
            let ticket = scope.push(recv).expect("room");
            if way != Way::DropTicketUnsubmitted {
                ring.submit().expect("a submission");
            }
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            match way {
                Way::ForgetTicketAndDropRing => std::mem::forget(ticket),
                _ => drop(ticket),
            }
        });
    }),
    ("Limit", |world, way| {
        let ring = Ring::new(8).expect("a ring");
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; BYTES]);
        let recv = Recv {
            socket,
            buffer,
            flags: 0,
        };
        let limit = if way == Way::DropTicket { 0 } else { 3600 };
        let ticket = ring
            .push_within(recv, Duration::from_secs(limit))
            .expect("room");
        if way != Way::DropTicketUnsubmitted {
            ring.submit().expect("a submission");
        }
        drop(ticket);
        if way != Way::DropTicketAndRing {
            settle(&ring);
        }
    }),
];
