//! Tasks that wait for operations, or let them go, while others take their completions.
//!
//! The rings are real, and their operations end when they are submitted, on whatever thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::completion::{Completion, CompletionFlags};
use crate::entry::Sqe;
use crate::operation::Nop;
use crate::owned::access;
use crate::owned::due::Due;

/// How often something has happened.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An operation that counts how often it was disposed of.
struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.one_more();
    }
}

// SAFETY: the entry points to nothing.
unsafe impl Operation for Counted {
    type Output = i32;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&Nop)
    }

    unsafe fn complete(self, done: Completion) -> i32 {
        done.raw_result()
    }
}

/// What a stream brings: it counts how often it was disposed of.
struct Item(#[expect(dead_code, reason = "it is dropped")] Counted);

/// A stream that the kernel ends with one item. Others come from [`bring`].
struct Items {
    items: Count,
    _operation: Counted,
}

// SAFETY: the entry points to nothing.
unsafe impl Multishot for Items {
    type Item = Item;

    fn entry(&mut self) -> Sqe {
        Sqe::of(&Nop)
    }

    unsafe fn item(&self, _: Completion) -> io::Result<Option<Item>> {
        Ok(Some(Item(Counted(self.items.clone()))))
    }
}

/// Takes a completion that the kernel has not made, as if it were one of the only stream's.
fn bring(ring: &TokioRef) {
    let mut due = Due::new();
    ring.with(KEY, |core| {
        let stream = core.store.table.next_kernels(0).expect("a stream");
        let item = Completion {
            user_data: stream.into(),
            res: 0,
            flags: CompletionFlags::MORE.bits(),
            extra: (),
        };
        core.store.settle(item, &mut due)
    });
    due.finish(&mut access::Shared(ring));
}

/// A waker that counts how often it was called.
struct Calls(Count);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.one_more();
    }
}

/// A ring without a driver: the models' threads do what it does.
fn ring() -> TokioRef {
    ring_of(1)
}

/// The same, to which so many operations can be pushed at a time.
fn ring_of(entries: u32) -> TokioRef {
    let halves = IoUringParams::default().entries(entries).halves();
    let core = Core::new(halves.expect("a ring"));
    TokioRef(Arc::new(Shared {
        room: Semaphore::new(core.capacity() as usize),
        entries: core.sq.capacity(),
        core: Mutex::new(core),
        retry: Arc::new(Notify::new()),
        driver: Mutex::new(None),
    }))
}

fn push(ring: &TokioRef, count: &Count) -> Ticket<TokioRef, Counted> {
    let permit = ring.0.room.try_acquire().expect("room");
    permit.forget();
    let pushed = Ticket::push(ring.clone(), Counted(count.clone()));
    pushed.unwrap_or_else(|_| panic!("no room"))
}

fn push_stream(ring: &TokioRef, items: &Count, operations: &Count) -> Stream<TokioRef, Items> {
    let permit = ring.0.room.try_acquire().expect("room");
    permit.forget();
    let operation = Items {
        items: items.clone(),
        _operation: Counted(operations.clone()),
    };
    Stream::push(ring.clone(), operation).unwrap_or_else(|_| panic!("no room"))
}

/// Every slot is free, there is a permit for each, and nobody waits.
fn assert_free(ring: &TokioRef) {
    ring.flush();
    let (taken, capacity) = ring.with(KEY, |core| (core.taken(), core.capacity()));
    assert_eq!(taken, 0);
    assert!(ring.with(KEY, |core| core.store.shared_waker.is_free()));
    assert_eq!(ring.0.room.available_permits(), capacity as usize);
}

#[test]
fn task_that_waits_is_woken() {
    loom::model(|| {
        let (ring, count) = (ring(), Count::default());
        let ticket = push(&ring, &count);
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        // A wake-up that is lost is a deadlock, which loom finds.
        assert_eq!(block_on(ticket), 0);
        driver.join().expect("no panic");
        assert_eq!(count.get(), 1);
        assert_free(&ring);
    });
}

#[test]
fn task_that_waits_elsewhere_is_woken_there() {
    loom::model(|| {
        let (ring, count, calls) = (ring(), Count::default(), Count::default());
        let mut ticket = push(&ring, &count);
        let before = Arc::new(Calls(calls.clone()));
        let waker = Waker::from(Arc::clone(&before));
        let polled = pin!(&mut ticket).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(waker);
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        assert_eq!(block_on(ticket), 0);
        driver.join().expect("no panic");
        assert!(calls.get() <= 1);
        assert_eq!(Arc::strong_count(&before), 1, "a waker is left");
        assert_free(&ring);
    });
}

#[test]
fn ticket_that_is_dropped_while_its_operation_ends_is_disposed_of_once() {
    loom::model(|| {
        let (ring, count, calls) = (ring(), Count::default(), Count::default());
        let mut ticket = push(&ring, &count);
        let task = Arc::new(Calls(calls.clone()));
        let waker = Waker::from(Arc::clone(&task));
        let polled = pin!(&mut ticket).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(waker);
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        drop(ticket);
        driver.join().expect("no panic");
        ring.flush();
        assert_eq!(count.get(), 1);
        assert!(calls.get() <= 1);
        assert_eq!(Arc::strong_count(&task), 1, "a waker is left");
        assert_free(&ring);
    });
}

#[test]
fn task_is_woken_for_operations_that_end_in_several_passes() {
    // With three threads, all orders would take hours.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (ring, count) = (ring_of(2), Count::default());
        let mut tickets = vec![push(&ring, &count), push(&ring, &count)];
        let drivers = [(); 2].map(|()| {
            let driver = ring.clone();
            thread::spawn(move || driver.flush())
        });
        block_on(poll_fn(|context| {
            tickets.retain_mut(|ticket| pin!(ticket).poll(context).is_pending());
            if tickets.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        for driver in drivers {
            driver.join().expect("no panic");
        }
        assert_eq!(count.get(), 2);
        assert_free(&ring);
    });
}

#[test]
fn tasks_side_by_side_are_woken_and_their_wakers_given_up() {
    loom::model(|| {
        let (ring, count, calls) = (ring_of(2), Count::default(), Count::default());
        let mut first = push(&ring, &count);
        let task = Arc::new(Calls(calls.clone()));
        let waker = Waker::from(Arc::clone(&task));
        let polled = pin!(&mut first).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(waker);
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        // Its waker is the shared one if the other has ended before.
        let second = push(&ring, &count);
        ring.flush();
        assert_eq!(block_on(second), 0);
        driver.join().expect("no panic");
        assert_eq!(calls.get(), 1);
        assert_eq!(Arc::strong_count(&task), 1, "a waker is left");
        drop(first);
        assert_eq!(count.get(), 2);
        assert_free(&ring);
    });
}

#[test]
fn shared_waker_that_is_being_called_is_not_given_up() {
    loom::model(|| {
        let (ring, count, calls) = (ring_of(2), Count::default(), Count::default());
        let task = Arc::new(Calls(calls.clone()));
        let waker = Waker::from(Arc::clone(&task));
        let waits = |ticket: &mut Ticket<_, _>| {
            let polled = pin!(ticket).poll(&mut Context::from_waker(&waker));
            polled.is_pending()
        };
        let mut first = push(&ring, &count);
        assert!(waits(&mut first));
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        // The driver may be about to call the waker, which this one ends the last wait for.
        let mut second = push(&ring, &count);
        let waited = waits(&mut second);
        ring.flush();
        driver.join().expect("no panic");
        drop(waker);
        assert_eq!(Arc::strong_count(&task), 1, "a waker is left");
        assert!((1..=1 + usize::from(waited)).contains(&calls.get()));
        drop((first, second));
        assert_eq!(count.get(), 2);
        assert_free(&ring);
    });
}

#[test]
fn stream_is_woken_for_each_item() {
    loom::model(|| {
        let (ring, items, operations) = (ring(), Count::default(), Count::default());
        let mut stream = push_stream(&ring, &items, &operations);
        let driver = ring.clone();
        let driver = thread::spawn(move || bring(&driver));
        // No other item comes before this one has been taken.
        assert!(block_on(stream.next()).is_some());
        driver.join().expect("no panic");
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        assert!(block_on(stream.next()).is_some());
        assert!(block_on(stream.next()).is_none());
        driver.join().expect("no panic");
        drop(stream);
        assert_eq!((items.get(), operations.get()), (2, 1));
        assert_free(&ring);
    });
}

#[test]
fn stream_that_is_dropped_while_items_come_is_disposed_of_once() {
    loom::model(|| {
        let (ring, items, operations) = (ring(), Count::default(), Count::default());
        let stream = push_stream(&ring, &items, &operations);
        bring(&ring);
        let driver = ring.clone();
        let driver = thread::spawn(move || driver.flush());
        drop(stream);
        driver.join().expect("no panic");
        ring.flush();
        assert_eq!((items.get(), operations.get()), (2, 1));
        assert_free(&ring);
    });
}

#[test]
fn tasks_get_the_only_slot_one_after_the_other() {
    loom::model(|| {
        let (ring, count) = (ring(), Count::default());
        // The others are taken.
        while ring.0.room.available_permits() > 1 {
            ring.0.room.try_acquire().expect("room").forget();
            ring.with(KEY, Core::prepare).expect("a slot");
        }
        let submit = |ring: &TokioRef, count: &Count| {
            let shared = Arc::clone(&ring.0);
            let operation = Counted(count.clone());
            block_on(async move { TokioRing { shared }.submit(operation).await })
        };
        let (other, others) = (ring.clone(), count.clone());
        let other = thread::spawn(move || submit(&other, &others));
        assert_eq!(submit(&ring, &count), 0);
        assert_eq!(other.join().expect("no panic"), 0);
        assert_eq!(count.get(), 2);
        assert_eq!(ring.0.room.available_permits(), 1);
    });
}

#[test]
fn last_handle_is_dropped_while_the_driver_has_the_ring() {
    loom::model(|| {
        let (ring, count) = (ring(), Count::default());
        let ticket = push(&ring, &count);
        let weak = Arc::downgrade(&ring.0);
        let driver = thread::spawn(move || {
            if let Some(shared) = weak.upgrade() {
                TokioRef(shared).flush();
            }
        });
        drop(ring);
        drop(ticket);
        driver.join().expect("no panic");
        assert_eq!(count.get(), 1);
    });
}
