//! A task that waits for many operations is woken as often as it must be, and its waker kept no longer.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::mem::forget;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use lio_uring::owned::{self, BufferGroupParams, Nop, Operation, RecvPicked, Ring, SendZc, Ticket};

/// A task that counts how often it is woken, and does something each time.
struct Task<F = fn()> {
    wakes: AtomicU32,
    woken: F,
}

impl<F: Fn() + Send + Sync + 'static> Task<F> {
    fn new(woken: F) -> Arc<Self> {
        let wakes = AtomicU32::new(0);
        Arc::new(Self { wakes, woken })
    }

    /// Polls what the task waits for.
    fn poll<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> Poll<T::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    /// How often it was woken, and how many wakers of it there are.
    fn told(self: &Arc<Self>) -> (u32, usize) {
        let wakes = self.wakes.load(Ordering::Relaxed);
        (wakes, Arc::strong_count(self) - 1)
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Task<F> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        (self.woken)();
        // That of the test, and that of the waker which is being called.
        assert!(Arc::strong_count(self) >= 2, "the waker was given up");
    }
}

fn idle() -> Arc<Task> {
    Task::new(|| {})
}

fn nops(ring: &Ring, count: usize) -> Vec<Ticket<&Ring, Nop>> {
    let push = || ring.push(Nop).expect("room");
    std::iter::repeat_with(push).take(count).collect()
}

/// A wait that goes on as long as the peer is silent.
fn silent<R>(push: impl FnOnce(owned::Poll<UnixStream>) -> R) -> (R, UnixStream) {
    let (file, peer) = UnixStream::pair().expect("a pair");
    let events = u32::from(libc::POLLIN.cast_unsigned());
    (push(owned::Poll { file, events }), peer)
}

fn take<O: Operation>(ticket: Ticket<&Ring, O>) -> O::Output {
    let Ok(output) = ticket.try_take() else {
        panic!("it has not ended");
    };
    output
}

#[test]
fn many_operations_have_one_waker_and_wake_once_a_pass() {
    let ring = Ring::new(256).expect("a ring");
    let task = idle();
    let mut first = nops(&ring, 100);
    for _ in 0..3 {
        for ticket in &mut first {
            assert!(task.poll(ticket).is_pending());
        }
    }
    assert_eq!(task.told(), (0, 1));
    let (mut last, peer) = silent(|poll| ring.push(poll).expect("room"));
    assert!(task.poll(&mut last).is_pending());
    ring.submit_and_wait(100).expect("a submission");
    assert_eq!(task.told(), (1, 1));
    for mut ticket in first {
        assert!(matches!(task.poll(&mut ticket), Poll::Ready(Ok(()))));
    }
    assert_eq!(task.told(), (1, 1));
    drop(peer);
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(task.told(), (2, 0));
    take(last).expect("an event");
    assert_eq!(ring.operations(), 0);
}

#[test]
fn tasks_side_by_side_are_woken_for_their_own() {
    let ring = Ring::new(256).expect("a ring");
    let tasks = [(); 5].map(|()| idle());
    for round in 1..=3 {
        let mut held: Vec<_> = tasks.each_ref().map(|_| nops(&ring, 7)).into();
        for (task, tickets) in tasks.iter().zip(&mut held) {
            for ticket in tickets {
                assert!(task.poll(ticket).is_pending());
            }
        }
        ring.submit_and_wait(35).expect("a submission");
        for (n, (task, tickets)) in tasks.iter().zip(held).enumerate() {
            // The first shares its waker; those that wait beside it have one for each operation.
            let wakes = if n == 0 { round } else { round * 7 };
            assert_eq!(task.told(), (wakes, 0), "task {n}");
            for ticket in tickets {
                take(ticket).expect("no error");
            }
        }
    }
}

#[test]
fn operation_that_moves_wakes_its_new_task_alone() {
    for stays in [false, true] {
        let ring = Ring::new(8).expect("a ring");
        let (old, new) = (idle(), idle());
        let (mut waits, peer) = silent(|poll| ring.push(poll).expect("room"));
        let (mut other, other_peer) = silent(|poll| ring.push(poll).expect("room"));
        assert!(old.poll(&mut waits).is_pending());
        if stays {
            assert!(old.poll(&mut other).is_pending());
        }
        for _ in 0..2 {
            assert!(new.poll(&mut waits).is_pending());
        }
        assert_eq!(old.told(), (0, usize::from(stays)));
        assert_eq!(new.told(), (0, 1));
        drop(peer);
        ring.submit_and_wait(1).expect("a submission");
        assert_eq!((old.told().0, new.told()), (0, (1, 0)));
        take(waits).expect("an event");
        drop(other_peer);
        ring.submit_and_wait(1).expect("a submission");
        assert_eq!(old.told(), (u32::from(stays), 0));
        take(other).expect("an event");
    }
}

#[test]
fn operation_may_come_back_to_its_first_task() {
    let ring = Ring::new(8).expect("a ring");
    let (one, other) = (idle(), idle());
    let mut tickets = nops(&ring, 2);
    assert!(one.poll(&mut tickets[0]).is_pending());
    assert!(one.poll(&mut tickets[1]).is_pending());
    assert!(other.poll(&mut tickets[0]).is_pending());
    assert!(one.poll(&mut tickets[0]).is_pending());
    assert_eq!((one.told(), other.told()), ((0, 2), (0, 0)));
    ring.submit_and_wait(2).expect("a submission");
    assert_eq!((one.told(), other.told()), ((2, 0), (0, 0)));
}

#[test]
fn dropped_and_forgotten_tickets_give_the_waker_up() {
    let ring = Ring::new(8).expect("a ring");
    let (task, next) = (idle(), idle());
    let mut peers = Vec::new();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let (mut ticket, peer) = silent(|poll| ring.push(poll).expect("room"));
        assert!(task.poll(&mut ticket).is_pending());
        tickets.push(ticket);
        peers.push(peer);
    }
    drop(tickets.pop());
    assert_eq!(task.told(), (0, 1));
    #[expect(clippy::mem_forget, reason = "that is what is tested")]
    forget(tickets.pop());
    drop(tickets.pop());
    // What is forgotten is still waited for.
    assert_eq!(task.told(), (0, 1));
    ring.submit().expect("a submission");
    drop(peers);
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(task.told(), (1, 0));
    // There is room for another.
    let mut tickets = nops(&ring, 2);
    for ticket in &mut tickets {
        assert!(next.poll(ticket).is_pending());
    }
    assert_eq!(next.told(), (0, 1));
    ring.submit_and_wait(2).expect("a submission");
    assert_eq!((task.told(), next.told()), ((1, 0), (1, 0)));
}

#[test]
fn waker_beside_the_shared_one_is_given_up_with_its_ticket() {
    let ring = Ring::new(8).expect("a ring");
    let tasks = [(); 2].map(|()| idle());
    let mut tickets = nops(&ring, 2);
    for (task, ticket) in tasks.iter().zip(&mut tickets) {
        assert!(task.poll(ticket).is_pending());
    }
    assert_eq!(tasks.each_ref().map(Task::told), [(0, 1), (0, 1)]);
    drop(tickets);
    assert_eq!(tasks.each_ref().map(Task::told), [(0, 0), (0, 0)]);
}

#[test]
fn busy_task_does_not_keep_others_from_being_woken() {
    let ring = Ring::new(8).expect("a ring");
    let (waits, busy) = (idle(), idle());
    let (mut ready, peer) = silent(|poll| ring.push(poll).expect("room"));
    assert!(waits.poll(&mut ready).is_pending());
    ring.submit().expect("a submission");
    // The kernel puts it off until it is asked.
    drop(peer);
    for awaited in [true, false] {
        let mut nop = ring.push(Nop).expect("room");
        assert!(!awaited || busy.poll(&mut nop).is_pending());
        ring.submit().expect("a submission");
        take(nop).expect("no error");
    }
    assert_eq!(waits.told(), (1, 0));
    take(ready).expect("an event");
}

#[test]
fn what_did_not_fit_is_taken_in_the_pass_that_wakes() {
    if kernel::lacks(6, 13, "messages of threads") {
        return;
    }
    let ring = Ring::new(2).expect("a ring");
    let (reader, task) = (idle(), idle());
    let mut mail = ring.messages().expect("nobody else takes them");
    let waker = Waker::from(Arc::clone(&reader));
    assert!(
        mail.poll_next(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    let mailbox = ring.mailbox().expect("a mailbox");
    let sender = thread::spawn(move || {
        for value in 0..100 {
            mailbox.send(0, value).expect("a message");
        }
    });
    sender.join().expect("no panic");
    let mut nop = ring.push(Nop).expect("room");
    assert!(task.poll(&mut nop).is_pending());
    ring.submit_and_wait(1).expect("a submission");
    let messages: Vec<_> = std::iter::from_fn(|| mail.try_take()).collect();
    assert!(messages.into_iter().eq((0..100).map(|value| (0, value))));
    assert_eq!((reader.told(), task.told()), ((1, 0), (1, 0)));
}

#[test]
fn awaited_pieces_of_a_buffer_lie_where_the_kernel_has_put_them() {
    let ring = Ring::new(8).expect("a ring");
    let params = BufferGroupParams::new(1, 64).incremental();
    let Some(group) = kernel::since(6, 12, ring.register_group(params)) else {
        return;
    };
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let socket = Rc::new(socket);
    let receive = || {
        let (socket, buffers) = (Rc::clone(&socket), group.clone());
        let flags = 0;
        let recv = RecvPicked {
            socket,
            buffers,
            flags,
        };
        ring.push(recv).expect("room")
    };
    let [one, other] = [(); 2].map(|()| idle());
    // Those that wait, one after the other; and whether another operation of the first waits before.
    let ways: [(&[&Arc<Task>], bool); 5] = [
        (&[], false),
        (&[&one], false),
        (&[&one], true),
        (&[&other], true),
        (&[&one, &other], false),
    ];
    for (tasks, before) in ways {
        let (mut waits, _peer) = silent(|poll| ring.push(poll).expect("room"));
        assert!(!before || one.poll(&mut waits).is_pending());
        let pieces = [b"ab", b"cd"].map(|bytes| {
            let mut piece = receive();
            for task in tasks {
                assert!(task.poll(&mut piece).is_pending());
            }
            peer.write_all(bytes).expect("room");
            while !piece.is_done() {
                ring.submit_and_wait(1).expect("a submission");
            }
            let Poll::Ready(piece) = one.poll(&mut piece) else {
                panic!("it has not ended");
            };
            piece.expect("no error").expect("some bytes")
        });
        assert_eq!(pieces.each_ref().map(|piece| &piece[..]), [b"ab", b"cd"]);
    }
}

#[test]
fn ring_that_ends_wakes_and_gives_the_waker_up() {
    let task = idle();
    for submits in [false, true] {
        let before = task.told().0;
        let ring = Ring::new(8).expect("a ring");
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (mut ticket, peer) = silent(|poll| ring.push(poll).expect("room"));
            assert!(task.poll(&mut ticket).is_pending());
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            forget(ticket);
            peers.push(peer);
        }
        if submits {
            ring.submit().expect("a submission");
        }
        drop(ring);
        let (wakes, left) = task.told();
        assert!(
            wakes > before,
            "nobody told of the end, submitted: {submits}"
        );
        assert_eq!(left, 0, "submitted: {submits}");
    }
}

type Waits = Ticket<Rc<Ring>, owned::Poll<UnixStream>>;

thread_local! {
    /// What wakers use, which can be woken on this thread alone here.
    static RING: Rc<Ring> = Rc::new(Ring::new(8).expect("a ring"));
    static WAITS: RefCell<Vec<Waits>> = const { RefCell::new(Vec::new()) };
}

/// Has a task wait for something that ends at once and for something that goes on; and returns what
/// keeps that from ending.
fn waits_for_two<F: Fn() + Send + Sync + 'static>(task: &Arc<Task<F>>) -> UnixStream {
    let ring = RING.with(Rc::clone);
    let (mut goes_on, peer) = silent(|poll| ring.push_shared(poll).expect("room"));
    let mut ends = ring.push_shared(Nop).expect("room");
    assert!(task.poll(&mut goes_on).is_pending());
    assert!(task.poll(&mut ends).is_pending());
    #[expect(clippy::mem_forget, reason = "that is what is tested")]
    forget(ends);
    WAITS.with_borrow_mut(|waits| waits.push(goes_on));
    peer
}

#[test]
fn waker_that_ends_the_last_operation_lives_until_it_returns() {
    let task = Task::new(|| {
        let waits = WAITS.take();
        if waits.is_empty() {
            return;
        }
        // Given up: the waker that is just being called is the last of its kind.
        drop(waits);
        let ring = RING.with(Rc::clone);
        let next = idle();
        let mut nop = ring.push_shared(Nop).expect("room");
        assert!(next.poll(&mut nop).is_pending());
        ring.submit_and_wait(1).expect("a submission");
        while !nop.is_done() {
            ring.submit_and_wait(1).expect("a submission");
        }
        assert_eq!(next.told(), (1, 0));
    });
    let peer = waits_for_two(&task);
    let ring = RING.with(Rc::clone);
    ring.submit_and_wait(1).expect("a submission");
    assert_eq!(task.told(), (1, 0));
    drop(peer);
}

#[test]
fn waker_that_has_operations_end_is_called_for_them() {
    let task = Task::new(|| {
        for waits in WAITS.take() {
            // Ends what the task waits for, too, while its waker is being called.
            let ring = RING.with(Rc::clone);
            let stop = waits.cancel().expect("room");
            while !waits.is_done() {
                ring.submit_and_wait(1).expect("a submission");
            }
            drop(stop);
        }
    });
    let peer = waits_for_two(&task);
    RING.with(|ring| ring.submit_and_wait(1))
        .expect("a submission");
    assert_eq!(task.told(), (2, 0));
    drop(peer);
}

#[test]
fn waker_that_panics_is_given_back() {
    let task = Task::new(|| resume_unwind(Box::new("on purpose")));
    let peer = waits_for_two(&task);
    let ring = RING.with(Rc::clone);
    let pass = || catch_unwind(AssertUnwindSafe(|| ring.submit_and_wait(1)));
    assert!(pass().is_err(), "the panic comes through");
    assert_eq!(task.told(), (1, 1));
    drop(peer);
    assert!(pass().is_err(), "the panic comes through");
    assert_eq!(task.told(), (2, 0));
    assert_eq!(WAITS.take().len(), 1);
}

#[test]
fn zero_copy_sends_wake_with_their_notifications() {
    if kernel::lacks(6, 0, "zero-copy sends") {
        return;
    }
    let ring = Ring::new(8).expect("a ring");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("an address"));
    let socket = Rc::new(socket.expect("a connection"));
    let (mut peer, _) = listener.accept().expect("a connection");
    let task = idle();
    let begin = |byte| {
        let (socket, buffer) = (Rc::clone(&socket), vec![byte; 1000]);
        let flags = 0;
        let send = SendZc {
            socket,
            buffer,
            flags,
        };
        let mut ticket = ring.push(send).expect("room");
        assert!(task.poll(&mut ticket).is_pending());
        ticket
    };
    let mut sends = [begin(b'a'), begin(b'b'), begin(b'c')];
    assert_eq!(task.told(), (0, 1));
    while sends.iter().any(|send| !send.is_done()) {
        let woken = task.told().0;
        let ended = |send: &&Ticket<_, _>| send.is_done();
        let before = sends.iter().filter(ended).count();
        ring.submit_and_wait(1).expect("a submission");
        let after = sends.iter().filter(ended).count();
        // A result alone is no reason to wake.
        assert_eq!(task.told().0 - woken, u32::from(after > before));
    }
    assert_eq!(task.told().1, 0);
    for (byte, send) in b"abc".iter().zip(&mut sends) {
        let Poll::Ready((count, buffer)) = task.poll(send) else {
            panic!("it has not ended");
        };
        assert_eq!((count.expect("sent"), buffer), (1000, vec![*byte; 1000]));
        let mut read = vec![0; 1000];
        peer.read_exact(&mut read).expect("what was sent");
        assert_eq!(read, vec![*byte; 1000]);
    }
}
