//! Streams within scopes: what comes of them, and that nothing outlives the scope.
#![cfg(target_os = "linux")]

#[path = "support/child.rs"]
mod child;
#[path = "support/descriptors.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod descriptors;
#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "support/ways.rs"]
mod ways;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lio_uring::owned::{
    AcceptMulti, BufferGroup, BufferGroupParams, End, Multishot, Nop, Operation, Poll as PollAdd,
    PollMulti, RecvMulti, Ring, ScopedStream, Sleep,
};
use lio_uring::{Completion, Sqe};

use ways::{WAYS, Way, let_go};

fn ring() -> Ring {
    Ring::new(16).expect("a ring")
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a listener")
}

fn connect(listener: &TcpListener) -> TcpStream {
    TcpStream::connect(listener.local_addr().expect("one")).expect("connected")
}

/// Readiness of what always is ready.
fn ready<F>(file: F) -> PollMulti<F> {
    let events = u32::from(libc::POLLOUT.cast_unsigned());
    PollMulti { file, events }
}

/// The next item, which must come.
#[track_caller]
fn next<O: Multishot>(stream: &mut ScopedStream<'_, O>) -> O::Item {
    let item = stream.wait_next().expect("a submission");
    item.expect("it goes on").expect("no error")
}

/// Waits for the end.
#[track_caller]
fn end<O: Multishot>(stream: &mut ScopedStream<'_, O>) -> Option<End> {
    assert!(stream.wait_next().expect("a submission").is_none());
    stream.end()
}

/// Ends a stream, and waits until the last of it has come.
#[track_caller]
fn stop<O: Multishot>(stream: &ScopedStream<'_, O>) {
    let request = stream.cancel().expect("room");
    request.wait().expect("a submission").expect("no error");
}

/// Counts how often it is dropped.
struct Counted<'c, T>(T, &'c Cell<u32>);

impl<T: AsFd> AsFd for Counted<'_, T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn connections_to_a_borrowed_listener_are_accepted() {
    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    let ring = ring();
    let listener = listener();
    let last = ring.scope(|scope| {
        let operation = AcceptMulti {
            listener: &listener,
        };
        let mut connections = scope.push_stream(operation).expect("room");
        ring.submit().expect("a submission");
        assert!(connections.try_next().is_none());
        for _ in 0..3 {
            let client = connect(&listener);
            let accepted = TcpStream::from(next(&mut connections));
            let (peer, local) = (accepted.peer_addr(), client.local_addr());
            assert_eq!(peer.expect("one"), local.expect("one"));
        }
        connections = connections.into_operation().expect_err("it has not ended");
        stop(&connections);
        assert_eq!(end(&mut connections), Some(End::Cancelled));
        // It goes on as if nothing had been, and what it brings is kept.
        connections.rearm().expect("room");
        let client = connect(&listener);
        let accepted = next(&mut connections);
        stop(&connections);
        assert_eq!(end(&mut connections), Some(End::Cancelled));
        let operation = connections.into_operation().expect("it has ended");
        assert!(std::ptr::eq(operation.listener, &raw const listener));
        (client, accepted)
    });
    let peer = TcpStream::from(last.1).peer_addr().expect("one");
    assert_eq!(peer, last.0.local_addr().expect("one"));
    assert_eq!(ring.operations(), 0);
    // The ring accepts nothing any longer.
    let client = connect(&listener);
    let accepted = listener.accept().expect("a connection").1;
    assert_eq!(accepted, client.local_addr().expect("one"));
}

/// How far a stream has come when it is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It goes on.
    Open,
    /// So many connections were taken.
    Taken(usize),
    /// It has ended, which its stream has not looked at.
    Ended,
    /// It has ended, and all was taken.
    Exhausted,
    /// It has ended, and goes on.
    Rearmed,
}

const STAGES: [Stage; 6] = [
    Stage::Open,
    Stage::Taken(1),
    Stage::Taken(3),
    Stage::Ended,
    Stage::Exhausted,
    Stage::Rearmed,
];

/// Lets go of a stream of connections in a scope, and checks that nothing of it is left.
fn assert_all_is_closed(way: Way, stage: Stage) {
    let ring = ring();
    let listener = listener();
    let dropped = Cell::new(0);
    let clients: [_; 5] = std::array::from_fn(|_| connect(&listener));
    let before = descriptors::open_descriptors();
    let left = catch_unwind(AssertUnwindSafe(|| {
        ring.scope(|scope| {
            let kept = Cell::new(None);
            let listener = Counted(&listener, &dropped);
            let mut connections = scope.push_stream(AcceptMulti { listener }).expect("room");
            let taken = match stage {
                Stage::Open | Stage::Ended => 0,
                Stage::Taken(count) => count,
                Stage::Exhausted | Stage::Rearmed => clients.len(),
            };
            if way == Way::Unsubmitted && stage == Stage::Open {
                return let_go(way, &ring, connections, &kept);
            }
            ring.submit_and_wait(1).expect("a submission");
            for _ in 0..taken {
                drop(next(&mut connections));
            }
            if matches!(stage, Stage::Ended | Stage::Exhausted | Stage::Rearmed) {
                stop(&connections);
            }
            if matches!(stage, Stage::Exhausted | Stage::Rearmed) {
                assert_eq!(end(&mut connections), Some(End::Cancelled));
            }
            if stage == Stage::Rearmed {
                connections.rearm().expect("room");
            }
            assert_eq!(dropped.get(), 0, "{way:?}, {stage:?}: dropped in flight");
            let_go(way, &ring, connections, &kept);
        });
    }));
    assert_eq!(left.is_err(), way == Way::Panic, "{way:?}, {stage:?}");
    assert_eq!(ring.operations(), 0, "{way:?}, {stage:?}: not ended");
    assert_eq!(dropped.get(), 1, "{way:?}, {stage:?}: the operation");
    let after = descriptors::open_descriptors();
    assert_eq!(after, before, "{way:?}, {stage:?}: descriptors");
    drop(listener);
    for mut client in clients {
        let limit = Some(Duration::from_secs(60));
        client.set_read_timeout(limit).expect("a limit");
        let got = client.read(&mut [0; 8]);
        let kind = got.as_ref().map_err(io::Error::kind);
        assert!(
            matches!(kind, Ok(0) | Err(ErrorKind::ConnectionReset)),
            "{way:?}, {stage:?}: {got:?}"
        );
    }
}

#[test]
fn what_was_accepted_and_not_taken_is_closed_however_a_stream_is_let_go_of() {
    let around = || (!kernel::lacks(5, 19, "accepts that go on")).then_some(());
    let name = "what_was_accepted_and_not_taken_is_closed_however_a_stream_is_let_go_of";
    // Others would open and close descriptors meanwhile.
    child::in_child(name, around, || {
        for way in WAYS {
            for stage in STAGES {
                assert_all_is_closed(way, stage);
            }
        }
    });
}

/// A group of buffers for receives, or nothing if the kernel is too old for either.
fn group(ring: &Ring, count: u16) -> Option<BufferGroup> {
    if kernel::lacks(6, 0, "receives that go on") {
        return None;
    }
    let params = BufferGroupParams::new(count, 16);
    kernel::since(5, 19, ring.register_group(params))
}

fn receive<'s>(socket: &'s UnixStream, buffers: &BufferGroup) -> RecvMulti<&'s UnixStream> {
    RecvMulti {
        socket,
        buffers: buffers.clone(),
        flags: 0,
    }
}

#[test]
fn buffers_come_back_from_a_stream_whose_peer_is_gone_or_whose_group_was_empty() {
    let ring = ring();
    let Some(buffers) = group(&ring, 2) else {
        return;
    };
    for way in WAYS {
        for closed in [false, true] {
            let (socket, mut peer) = UnixStream::pair().expect("a pair");
            let left = catch_unwind(AssertUnwindSafe(|| {
                ring.scope(|scope| {
                    let kept = Cell::new(None);
                    let received = scope.push_stream(receive(&socket, &buffers));
                    let received = received.expect("room");
                    ring.submit().expect("a submission");
                    // Whether it ends before there is more to receive differs between kernels.
                    let goes_on = || {
                        let pause = ring.push(Sleep::new(Duration::from_millis(5)));
                        let passed = pause.expect("room").wait();
                        passed.expect("a submission").expect("no error");
                    };
                    for text in ["one", "two"].into_iter().take(2 - usize::from(closed)) {
                        peer.write_all(text.as_bytes()).expect("room");
                        goes_on();
                    }
                    if closed {
                        peer.shutdown(std::net::Shutdown::Write).expect("no error");
                    } else {
                        peer.write_all(b"three").expect("room");
                    }
                    goes_on();
                    let_go(way, &ring, received, &kept);
                });
            }));
            assert_eq!(left.is_err(), way == Way::Panic, "{way:?}");
            assert_eq!(ring.operations(), 0, "{way:?}, closed: {closed}");
            // The kernel has both buffers again.
            let (socket, mut peer) = UnixStream::pair().expect("a pair");
            ring.scope(|scope| {
                let received = scope.push_stream(receive(&socket, &buffers));
                let mut received = received.expect("room");
                let pieces = ["four", "five"].map(|text| {
                    peer.write_all(text.as_bytes()).expect("room");
                    let item = received.wait_next().expect("a submission");
                    item.unwrap_or_else(|| panic!("{way:?}, closed: {closed}: {received:?}"))
                });
                assert_eq!(pieces.map(|piece| piece.expect("no error").len()), [4, 4]);
            });
        }
    }
}

#[test]
fn receives_go_on_when_buffers_were_given_back() {
    let ring = ring();
    let Some(buffers) = group(&ring, 2) else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let kept = ring.scope(|scope| {
        let mut received = scope.push_stream(receive(&socket, &buffers)).expect("room");
        ring.submit().expect("a submission");
        for _ in 0..3 {
            let lent = ["one", "two"].map(|text| {
                peer.write_all(text.as_bytes()).expect("room");
                next(&mut received)
            });
            peer.write_all(b"three").expect("room");
            assert_eq!(end(&mut received), Some(End::Exhausted));
            assert_eq!(lent.each_ref().map(|lent| &**lent), [b"one", b"two"]);
            drop(lent);
            received.rearm().expect("room");
            // Nothing was lost.
            assert_eq!(*next(&mut received), *b"three");
        }
        peer.write_all(b"last").expect("room");
        next(&mut received)
    });
    // What was lent is not the operation's.
    assert_eq!(*kept, *b"last");
    drop(kept);
    assert_eq!((ring.operations(), buffers.provided()), (0, 2));
}

#[test]
fn streams_are_futures_and_what_waits_for_them_is_let_go_of() {
    struct Counts;
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {}
    }

    if kernel::lacks(5, 19, "accepts that go on") {
        return;
    }
    let ring = ring();
    let listener = listener();
    let clients: [_; 3] = std::array::from_fn(|_| connect(&listener));
    let waker = Arc::new(Counts);
    ring.scope(|scope| {
        let operation = AcceptMulti {
            listener: &listener,
        };
        let mut connections = scope.push_stream(operation).expect("room");
        let served = ring.block_on(async {
            let addresses = clients.iter().map(|client| client.local_addr().ok());
            let mut addresses: BTreeSet<_> = addresses.collect();
            for _ in &clients {
                let accepted = connections.next().await.expect("it goes on");
                let peer = TcpStream::from(accepted.expect("no error")).peer_addr();
                assert!(addresses.remove(&peer.ok()), "another's");
            }
        });
        served.expect("a submission");
        let counted = Waker::from(Arc::clone(&waker));
        let mut context = Context::from_waker(&counted);
        assert!(connections.poll_next(&mut context).is_pending());
        drop(counted);
        assert_eq!(Arc::strong_count(&waker), 2);
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        std::mem::forget(connections);
    });
    assert_eq!(Arc::strong_count(&waker), 1, "the waker");
    assert_eq!(ring.operations(), 0);
}

#[cfg(feature = "stream")]
#[test]
fn streams_are_those_of_futures() {
    use futures_util::StreamExt as _;

    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    ring.scope(|scope| {
        let ready = scope.push_stream(ready(&socket)).expect("room");
        let first = ring.block_on(async { ready.take(1).collect::<Vec<_>>().await });
        let first = first.expect("a submission").pop().expect("an item");
        assert_ne!(first.expect("no error"), 0);
    });
}

/// Waits until what was pushed has ended.
fn settle(ring: &Ring) {
    let nop = ring.push(Nop).expect("room").wait();
    nop.expect("a submission").expect("no error");
}

#[test]
fn stream_that_is_kept_in_another_operation_stands_for_nothing_after_the_scope() {
    /// A socket that does something with a stream when it is dropped.
    struct Keeps<'s, 'f> {
        socket: UnixStream,
        stream: RefCell<Option<ScopedStream<'s, PollMulti<&'f UnixStream>>>>,
    }
    impl AsFd for Keeps<'_, '_> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }
    impl Drop for Keeps<'_, '_> {
        fn drop(&mut self) {
            let mut stream = self.stream.take().expect("it is dropped once");
            let mut assert_panics = |does: &mut dyn FnMut(&mut ScopedStream<'_, _>)| {
                let panicked = catch_unwind(AssertUnwindSafe(|| does(&mut stream)));
                assert!(panicked.is_err(), "it stood for something");
            };
            assert_panics(&mut |stream| drop(stream.try_next()));
            assert_panics(&mut |stream| drop(stream.wait_next()));
            assert_panics(&mut |stream| assert!(stream.rearm().is_ok()));
            assert_panics(&mut |stream| drop(stream.cancel()));
            assert_panics(&mut |stream| {
                let mut context = Context::from_waker(Waker::noop());
                drop(stream.poll_next(&mut context));
            });
            let taken = catch_unwind(AssertUnwindSafe(|| stream.into_operation().is_ok()));
            assert!(taken.is_err(), "it stood for something");
        }
    }

    for ended in [false, true] {
        let ring = ring();
        let (socket, _peer) = UnixStream::pair().expect("a pair");
        let (other, _other_peer) = UnixStream::pair().expect("a pair");
        ring.scope(|scope| {
            let stream = scope.push_stream(ready(&other)).expect("room");
            ring.submit_and_wait(1).expect("a submission");
            if ended {
                stop(&stream);
            }
            let keeps = Keeps {
                socket,
                stream: RefCell::new(Some(stream)),
            };
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(scope.push_stream(ready(keeps)).expect("room"));
        });
        assert_eq!(ring.operations(), 0);
        // The slots are as good as new.
        settle(&ring);
        let tickets = ring.push_chain(vec![Nop; 16]).expect("room");
        for ticket in tickets {
            ticket.wait().expect("a submission").expect("no error");
        }
    }
}

#[test]
fn last_item_is_disposed_of_like_those_before() {
    /// Readiness, told once, with an item that is counted.
    struct Once<'c> {
        ready: PollAdd<&'c UnixStream>,
        dropped: &'c Cell<u32>,
    }
    // SAFETY: the entry is that of the readiness, and items are of nothing.
    unsafe impl<'c> Multishot for Once<'c> {
        type Item = Counted<'c, ()>;
        fn entry(&mut self) -> Sqe {
            Operation::entry(&mut self.ready)
        }
        unsafe fn item(&self, _: Completion) -> io::Result<Option<Self::Item>> {
            Ok(Some(Counted((), self.dropped)))
        }
    }

    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    for way in WAYS {
        let dropped = Cell::new(0);
        let left = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let kept = Cell::new(None);
                let PollMulti { file, events } = ready(&socket);
                let ready = PollAdd { file, events };
                let dropped = &dropped;
                let stream = scope.push_stream(Once { ready, dropped }).expect("room");
                ring.submit_and_wait(1).expect("a submission");
                assert_eq!(dropped.get(), 0, "{way:?}: before it was let go of");
                let_go(way, &ring, stream, &kept);
            });
        }));
        assert_eq!(left.is_err(), way == Way::Panic, "{way:?}");
        assert_eq!(dropped.get(), 1, "{way:?}: the item");
        assert_eq!(ring.operations(), 0, "{way:?}");
    }
}

#[test]
fn stream_that_finds_no_room_is_given_back() {
    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    ring.scope(|scope| {
        let full: Vec<_> = (0..16).map(|_| scope.push(Nop).expect("room")).collect();
        let back = scope.push_stream(ready(&socket)).expect_err("no room").0;
        assert_eq!(ring.operations(), 16);
        ring.submit().expect("a submission");
        let mut stream = scope.push_stream(back).expect("room");
        assert_ne!(next(&mut stream), 0);
        drop(full);
    });
    assert_eq!(ring.operations(), 0);
}
