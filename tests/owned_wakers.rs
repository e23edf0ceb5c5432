//! Who waits for operations is woken once, however many there are, and whatever the others do.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

use lio_uring::owned::{Message, Nop, PollMulti, Ring};

/// Counts how often it is called, and may panic then.
struct Calls {
    count: AtomicU32,
    panics: bool,
}

impl Calls {
    fn new(panics: bool) -> Arc<Self> {
        let count = AtomicU32::new(0);
        Arc::new(Self { count, panics })
    }

    /// How often it was called, and how many wakers of it there are.
    fn told(self: &Arc<Self>) -> (u32, usize) {
        (
            self.count.load(Ordering::Relaxed),
            Arc::strong_count(self) - 1,
        )
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

/// Has so many tickets, as many dropped ones and messages end in one pass, one of whose wakers may panic.
fn wakes_each_once(tickets: u32, dropped: u32, messages: u32, panics: Option<u32>) {
    let case =
        format!("{tickets} tickets, {dropped} dropped, {messages} messages, {panics:?} panics");
    let ring = Ring::new(1024).expect("a ring");
    let waits = |n| {
        let calls = Calls::new(Some(n) == panics);
        let mut ticket = ring.push(Nop).expect("room");
        let waker = Waker::from(Arc::clone(&calls));
        let polled = Future::poll(Pin::new(&mut ticket), &mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        (ticket, calls)
    };
    let mut waiting: Vec<_> = (0..tickets).map(waits).collect();
    let taker = Calls::new(false);
    let mut mail = ring.messages().expect("nobody else takes them");
    let waker = Waker::from(Arc::clone(&taker));
    let polled = mail.poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    let to = ring.mailbox().expect("a mailbox");
    for value in 0..messages {
        let message = Message::new(to.clone(), 0, value);
        drop(ring.push(message).expect("room"));
    }
    for _ in 0..dropped {
        drop(ring.push(Nop).expect("room"));
    }
    waiting.extend((tickets..tickets + 2).map(waits));
    let pass = catch_unwind(AssertUnwindSafe(|| ring.submit_and_wait(tickets + 2)));
    assert_eq!(
        pass.is_err(),
        panics.is_some_and(|n| n < tickets + 2),
        "{case}"
    );
    // What was behind a panic, and messages, whose completions are others.
    ring.submit().expect("a submission");
    for (ticket, calls) in waiting {
        assert_eq!(calls.told(), (1, 0), "{case}");
        let Ok(output) = ticket.try_take() else {
            panic!("{case}: a ticket has not ended");
        };
        output.expect("no error");
    }
    for value in 0..messages {
        assert_eq!(mail.wait().expect("a submission"), (0, value), "{case}");
    }
    assert_eq!(
        taker.told(),
        (messages.min(1), usize::from(messages == 0)),
        "{case}"
    );
    assert_eq!(ring.operations(), 0, "{case}");
}

#[test]
fn tickets_dropped_ones_and_messages_end_together() {
    let mails: &[u32] = if kernel::lacks(5, 18, "messages") {
        &[0]
    } else {
        &[0, 1, 2]
    };
    for tickets in [0, 1, 61, 62, 63, 64, 65, 66, 127, 128, 129, 300] {
        for dropped in [0, 1, 70] {
            for messages in mails {
                for panics in [
                    None,
                    Some(0),
                    Some(1),
                    Some(62),
                    Some(63),
                    Some(64),
                    Some(65),
                ] {
                    wakes_each_once(tickets, dropped, *messages, panics);
                }
            }
        }
    }
}

#[test]
fn streams_bring_something_or_end_together() {
    for count in [1, 63, 64, 65, 66, 130] {
        for ends in [false, true] {
            let ring = Ring::new(1024).expect("a ring");
            let (mut streams, mut peers) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let (file, peer) = UnixStream::pair().expect("a pair");
                let events = u32::from(libc::POLLIN.cast_unsigned());
                let poll = PollMulti { file, events };
                let mut stream = ring.push_stream(poll).expect("room");
                let calls = Calls::new(false);
                let waker = Waker::from(Arc::clone(&calls));
                let polled = stream.poll_next(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                drop(waker);
                streams.push((stream, calls));
                peers.push(peer);
            }
            ring.submit().expect("a submission");
            if ends {
                for (stream, _) in &streams {
                    drop(stream.cancel().expect("room"));
                }
            } else {
                for peer in &mut peers {
                    peer.write_all(b"x").expect("room");
                }
            }
            while streams.iter().any(|(_, calls)| calls.told().0 == 0) {
                ring.submit_and_wait(1).expect("a submission");
            }
            for (mut stream, calls) in streams {
                assert_eq!(calls.told(), (1, 0), "{count} streams, ends: {ends}");
                assert_eq!(stream.wait_next().expect("a submission").is_none(), ends);
            }
        }
    }
}

#[test]
fn last_waker_of_a_ticket_is_woken() {
    let ring = Ring::new(8).expect("a ring");
    let mut ticket = ring.push(Nop).expect("room");
    let all = [(); 3].map(|()| Calls::new(false));
    for calls in &all {
        let waker = Waker::from(Arc::clone(calls));
        for _ in 0..2 {
            let polled = Future::poll(Pin::new(&mut ticket), &mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
    }
    assert_eq!(all.each_ref().map(Calls::told), [(0, 0), (0, 0), (0, 1)]);
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(all.each_ref().map(Calls::told), [(0, 0), (0, 0), (1, 0)]);
}
