//! Messages between rings of the owned layer: they arrive as what they are, and disturb nothing.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "support/outcome.rs"]
mod outcome;

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use lio_uring::owned::{
    Full, Mailbox, Message, Messages, Nop, Recv, Ring, Sleep, Ticks, UniformRing,
};

use outcome::errno;

fn ring() -> Ring {
    Ring::new(8).expect("a ring")
}

fn takes(ring: &Ring) -> Messages<&Ring> {
    ring.messages().expect("nobody else takes them")
}

/// A ring, and where messages to it go; nothing if the kernel is too old for them.
fn target() -> Option<(Ring, Mailbox)> {
    let ring = ring();
    let mailbox = ring.mailbox().expect("a mailbox");
    (!kernel::lacks(5, 18, "messages")).then_some((ring, mailbox))
}

/// Whether threads without rings can send.
fn threads_can_send() -> bool {
    let ring = ring();
    let mailbox = ring.mailbox().expect("a mailbox");
    let sent = kernel::since_or(6, 13, mailbox.send(0, 0), |error| {
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    });
    sent.is_some() || !kernel::lacks(6, 13, "messages of threads")
}

fn send(ring: &Ring, to: &Mailbox, number: u64, value: u32) -> io::Result<()> {
    let to = to.clone();
    let ticket = ring.push(Message::new(to, number, value)).expect("room");
    ticket.wait().expect("a submission")
}

#[test]
fn messages_arrive_in_order_with_every_number_and_value() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    let mut messages = takes(&there);
    let all = [
        (0, 0),
        (1, u32::MAX),
        // Those of slots, of cancellations, of nobody.
        (7, 1 << 31),
        (1 << 32, 5),
        (1 << 32 | 1, 6),
        (u64::from(u32::MAX), 7),
        (Mailbox::MAX, u32::MAX - 1),
    ];
    for ring in [&here, &there] {
        for (number, value) in all {
            send(ring, &to, number, value).expect("it arrives");
        }
        there.submit().expect("a submission");
        for sent in all {
            assert_eq!(messages.wait().expect("a submission"), sent);
        }
        assert_eq!(messages.try_take(), None);
        assert_eq!(ring.operations(), 0);
    }
}

#[test]
fn ring_of_one_type_sends_too() {
    let Some((there, to)) = target() else {
        return;
    };
    let mut here = UniformRing::new(8).expect("a ring");
    let message = |number| Message::new(to.clone(), number, 3);
    let numbers = [0, 1, Mailbox::MAX, Mailbox::MAX + 1];
    let tokens = numbers.map(|number| here.push(message(number)).expect("room"));
    let mut sent = HashMap::new();
    while here.in_flight() > 0 {
        here.submit_and_wait(1).expect("a submission");
        sent.extend(
            here.outputs()
                .map(|(token, output)| (token, output.is_ok())),
        );
    }
    assert_eq!(tokens.map(|token| sent[&token]), [true, true, true, false]);
    let mut messages = takes(&there);
    for number in [0, 1, Mailbox::MAX] {
        assert_eq!(messages.wait().expect("a submission"), (number, 3));
    }
    there.submit().expect("a submission");
    assert_eq!(messages.try_take(), None);
}

#[test]
fn message_that_cannot_be_is_an_error_and_arrives_nowhere() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    for number in [Mailbox::MAX + 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        for ring in [&here, &there] {
            assert_eq!(errno(send(ring, &to, number, 1)), libc::EINVAL);
        }
        assert_eq!(errno(to.send(number, 1)), libc::EINVAL);
    }
    there.submit().expect("a submission");
    assert_eq!(takes(&there).try_take(), None);

    there
        .close(Duration::from_secs(60))
        .expect("nothing ends late");
    assert_eq!(errno(send(&here, &to, 1, 1)), libc::EPIPE);
    assert_eq!(errno(to.send(1, 1)), libc::EPIPE);
    assert_eq!(format!("{to:?}"), "Mailbox { is_open: false, .. }");
}

#[test]
fn message_that_was_pushed_and_not_submitted_goes_to_no_other_ring() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    let message = Message::new(to, 1, 1);
    let ticket = here.push(message).expect("room");
    drop(there);
    // One that takes the numbers of the descriptors that have become free.
    let others = [(); 4].map(|()| ring());
    let mut boxes = Vec::new();
    for other in &others {
        boxes.push(other.mailbox().expect("a mailbox"));
    }
    let _sent_or_not = ticket.wait().expect("a submission");
    for other in &others {
        other.submit().expect("a submission");
        assert_eq!(takes(other).try_take(), None);
    }
}

#[test]
fn mailbox_does_not_keep_what_is_registered_with_the_ring() {
    let Some((there, to)) = target() else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let slots = there.register_slots(1).expect("slots");
    let slot = slots.insert(socket).expect("room");
    let here = ring();
    send(&here, &to, 1, 2).expect("it arrives");
    drop((slot, slots));
    drop(there);
    while peer.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(errno(send(&here, &to, 1, 2)), libc::EPIPE);
}

#[test]
fn messages_are_kept_until_somebody_takes_them() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    send(&here, &to, 1, 0).expect("it arrives");
    there.submit().expect("a submission");
    let mut messages = takes(&there);
    assert!(there.messages().is_none(), "there is one");
    assert_eq!(messages.try_take(), Some((1, 0)));
    send(&here, &to, 2, 0).expect("it arrives");
    there.submit().expect("a submission");
    drop(messages);
    assert_eq!(takes(&there).try_take(), Some((2, 0)));
    let there = Rc::new(there);
    let mut shared = there.messages_shared().expect("nobody else has it");
    assert!(there.messages().is_none(), "there is one");
    send(&there, &to, 3, 0).expect("it arrives");
    drop(there);
    assert_eq!(shared.wait().expect("a submission"), (3, 0));
}

#[test]
fn many_more_messages_than_the_queue_has_room_for_arrive_or_are_errors() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    let mut arrive = Vec::new();
    for number in 0..1000 {
        match send(&here, &to, number, 9) {
            Ok(()) => arrive.push((number, 9)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOVERFLOW));
            }
        }
    }
    assert!(arrive.len() >= there.capacity() as usize);
    let mut messages = takes(&there);
    for message in arrive {
        assert_eq!(messages.wait().expect("a submission"), message);
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn ring_that_takes_no_messages_gets_only_so_many() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = Ring::new(256).expect("a ring");
    let threads = threads_can_send();
    let mut value = 0;
    while value < Mailbox::LIMIT {
        let tickets: Vec<_> = (0..256)
            .map(|n| {
                let message = Message::new(to.clone(), 1, value + n);
                here.push(message).expect("room")
            })
            .collect();
        for ticket in tickets {
            let sent = ticket.wait().expect("a submission");
            sent.expect("not too many yet");
        }
        value += 256;
        there.submit().expect("a submission");
    }
    let mut messages = takes(&there);
    for first in 0..3 {
        // Those that are given back, or were never sent, leave room.
        for _ in 0..3 {
            assert_eq!(errno(send(&here, &to, 2, 0)), libc::EAGAIN);
            if threads {
                assert_eq!(errno(to.send(2, 0)), libc::EAGAIN);
            }
        }
        assert_eq!(messages.wait().expect("a submission"), (1, first));
        let unsent = here.push(Message::new(to.clone(), Mailbox::MAX + 1, 0));
        let unsent = unsent.expect("room").wait().expect("a submission");
        assert_eq!(errno(unsent), libc::EINVAL);
        send(&here, &to, 3, first).expect("one was taken");
    }
    for value in 3..Mailbox::LIMIT {
        assert_eq!(messages.wait().expect("a submission"), (1, value));
    }
    for value in 0..3 {
        assert_eq!(messages.wait().expect("a submission"), (3, value));
    }
}

#[test]
fn message_that_is_given_back_leaves_its_place() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = Ring::new(1).expect("a ring");
    for _ in 0..=Mailbox::LIMIT {
        let nop = here.push(Nop).expect("room");
        let Err(Full(mut back)) = here.push(Message::new(to.clone(), 0, 0)) else {
            panic!("there is no room");
        };
        for _ in 0..2 {
            back = here.push(back).map(drop).unwrap_err().0;
        }
        drop(back);
        nop.wait().expect("a submission").expect("no error");
    }
    send(&here, &to, 5, 7).expect("there is room for all of them");
    assert_eq!(takes(&there).wait().expect("a submission"), (5, 7));
}

#[test]
fn message_wakes_who_waits_for_it_once() {
    let Some((there, to)) = target() else {
        return;
    };
    let here = ring();
    let mut messages = takes(&there);
    let [first, second] = [(); 2].map(|()| Arc::new(Wakes::default()));
    for wakes in [&first, &second, &second] {
        let waker = Waker::from(Arc::clone(wakes));
        let mut context = Context::from_waker(&waker);
        assert!(messages.poll_next(&mut context).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1, "the last counts");
    for number in 0..3 {
        send(&here, &to, number, 0).expect("it arrives");
    }
    there.submit().expect("a submission");
    while second.0.load(Ordering::Relaxed) == 0 {
        there.submit_and_wait(1).expect("a submission");
    }
    let woken = [&first, &second].map(|wakes| wakes.0.load(Ordering::Relaxed));
    assert_eq!(woken, [0, 1]);
    assert_eq!(Arc::strong_count(&second), 1);
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..3 {
        assert_eq!(messages.poll_next(&mut context), Poll::Ready((number, 0)));
    }
    let waker = Waker::from(Arc::clone(&first));
    let mut context = Context::from_waker(&waker);
    assert!(messages.poll_next(&mut context).is_pending());
    drop((messages, waker));
    assert_eq!(Arc::strong_count(&first), 1, "it waits no longer");
}

#[test]
fn messages_come_in_between_operations_of_every_kind() {
    let Some((there, to)) = target() else {
        return;
    };
    let got = Cell::new(0);
    let sleeps = async {
        for round in 0..50 {
            let message = Message::new(to.clone(), round, 0);
            there.push(message).expect("room").await.expect("sent");
            there.push(Nop).expect("room").await.expect("no error");
            // Cancelled with the next submission.
            drop(there.push(Sleep::new(Duration::from_secs(3600))));
            let sleep = there.push(Sleep::new(Duration::from_micros(50)));
            sleep.expect("room").await.expect("no error");
        }
    };
    let mut ticks = there
        .push_stream(Ticks::new(Duration::from_micros(100)))
        .expect("room");
    let mut messages = takes(&there);
    let takes = async {
        for round in 0..50 {
            assert_eq!(messages.next().await, (round, 0));
            got.set(got.get() + 1);
        }
    };
    let tick = async {
        // Older kernels have no timers that repeat.
        while let Some(Ok(())) = ticks.next().await {
            if got.get() == 50 {
                break;
            }
        }
    };
    let all = futures_util::future::join3(sleeps, takes, tick);
    there.block_on(all).expect("a submission");
    drop(ticks);
    while there.operations() > 0 {
        there.submit_and_wait(1).expect("a submission");
    }
    assert_eq!(got.get(), 50);
}

#[test]
fn threads_with_rings_play_ping_pong() {
    const ROUNDS: u32 = 2000;
    let Some((here, ours)) = target() else {
        return;
    };
    let (give, got) = mpsc::channel();
    let other = thread::spawn(move || {
        let there = ring();
        give.send(there.mailbox().expect("a mailbox"))
            .expect("awaited");
        let mut messages = takes(&there);
        for round in 0..ROUNDS {
            let (number, value) = messages.wait().expect("a submission");
            assert_eq!((number, value), (7, round));
            send(&there, &ours, 8, value).expect("it arrives");
        }
    });
    let theirs = got.recv().expect("a mailbox");
    let mut messages = takes(&here);
    for round in 0..ROUNDS {
        send(&here, &theirs, 7, round).expect("it arrives");
        assert_eq!(messages.wait().expect("a submission"), (8, round));
    }
    other.join().expect("no panic");
}

#[test]
fn thread_without_a_ring_wakes_one_that_waits() {
    if !threads_can_send() {
        return;
    }
    let there = ring();
    let to = there.mailbox().expect("a mailbox");
    let senders: Vec<_> = (0..4)
        .map(|number| {
            let to = to.clone();
            thread::spawn(move || {
                for value in 0..200 {
                    to.send(number, value).expect("it arrives");
                    thread::yield_now();
                }
            })
        })
        .collect();
    let mut messages = takes(&there);
    let mut next = [0; 4];
    let mut waits = false;
    while next != [200; 4] {
        waits = !waits;
        let (number, value) = if waits {
            messages.wait().expect("a submission")
        } else {
            there.block_on(messages.next()).expect("a submission")
        };
        let next = &mut next[usize::try_from(number).expect("one of four")];
        assert_eq!(value, *next, "each thread's are in order");
        *next += 1;
    }
    for sender in senders {
        sender.join().expect("no panic");
    }
    there.submit().expect("a submission");
    assert_eq!(messages.try_take(), None);
}

#[test]
fn ring_that_closes_is_not_disturbed_by_messages() {
    if !threads_can_send() {
        return;
    }
    for way in 0..30 {
        let there = ring();
        let to = there.mailbox().expect("a mailbox");
        let sender = thread::spawn(move || {
            let full = [libc::EOVERFLOW, libc::EAGAIN].map(Some);
            loop {
                match to.send(1, 2) {
                    Ok(()) => {}
                    Err(error) if full.contains(&error.raw_os_error()) => {}
                    Err(error) => break error.raw_os_error(),
                }
            }
        });
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let socket = Arc::new(socket);
        // Those that are dropped end meanwhile.
        let mut dropped = 0;
        while there.operations() < there.capacity() && dropped < 20 {
            let recv = Recv {
                socket: Arc::clone(&socket),
                buffer: vec![0; 4096],
                flags: 0,
            };
            match there.push(recv) {
                Ok(ticket) if way % 3 == 0 => {
                    drop(ticket);
                    dropped += 1;
                }
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                Ok(ticket) => std::mem::forget(ticket),
                // The last of them are not submitted.
                Err(Full(_)) => there.submit().expect("a submission"),
            }
        }
        drop(socket);
        if way % 5 == 0 {
            takes(&there).wait().expect("a message");
        }
        there.close(Duration::from_secs(60)).expect("all end");
        assert_eq!(sender.join().expect("no panic"), Some(libc::EPIPE));
        if way % 3 == 0 {
            assert!(peer.write_all(b"x").is_err(), "nobody has the socket");
        }
    }
}

#[test]
fn ring_without_a_descriptor_has_no_mailbox() {
    let params = lio_uring::IoUring::builder().entries(8);
    let params = params.no_mmap().registered_fd_only();
    let Some(ring) = kernel::since(6, 5, Ring::with_params(params)) else {
        return;
    };
    let error = ring.mailbox().expect_err("there is nothing to name");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
