//! The two halves of a ring on two threads: nothing lost, nothing twice, sound in any order.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lio_uring::operation::{Nop, Read};
use lio_uring::{
    AnyThread, CompletionQueue, IoUring, IoUringParams, SqeFlags, SubmissionQueue, Wait,
};

/// A million, or fewer for the slow processors that `tests/kernels/matrix` emulates.
fn million() -> usize {
    match std::env::var_os("LIO_CAPABILITIES") {
        Some(_) => 100_000,
        None => 1_000_000,
    }
}

/// Counts how often each number came.
struct Tally(Vec<u8>);

impl Tally {
    fn of(n: usize) -> Self {
        Self(vec![0; n])
    }

    fn count(&mut self, number: u64) {
        let index = usize::try_from(number).expect("a number that was pushed");
        let times = &mut self.0[index];
        *times += 1;
        assert_eq!(*times, 1, "the completion of {number} came {times} times");
    }

    fn assert_whole(&self) {
        let missing: Vec<_> = (0..self.0.len())
            .filter(|number| self.0[*number] == 0)
            .collect();
        assert!(
            missing.is_empty(),
            "{} completions are missing, first {:?}",
            missing.len(),
            &missing[..missing.len().min(5)]
        );
    }
}

fn push_from_one_thread_take_on_another(params: IoUringParams, n: usize) {
    let (mut cq, mut sq) = IoUring::with_params(params).expect("a ring");
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut tally = Tally::of(n);
            while taken.load(Ordering::Relaxed) < n {
                let first = cq.next().expect("a completion");
                tally.count(first.user_data());
                let mut more = 1;
                for completion in cq.completions() {
                    assert_eq!(completion.raw_result(), 0);
                    tally.count(completion.user_data());
                    more += 1;
                }
                taken.fetch_add(more, Ordering::Relaxed);
            }
            assert_eq!(cq.try_next().ok(), Some(None));
            tally.assert_whole();
        });
        for i in 0..n {
            // SAFETY: a NOP points to nothing.
            while unsafe { sq.push(&Nop, i as u64) }.is_err() {
                sq.submit().expect("a submission");
            }
        }
        while sq.unsubmitted() > 0 {
            sq.submit().expect("a submission");
        }
    });
}

#[test]
fn million_operations_through_64_entries() {
    push_from_one_thread_take_on_another(IoUringParams::default().entries(64), million());
}

#[test]
fn million_operations_through_64_entries_with_sqpoll() {
    push_from_one_thread_take_on_another(IoUringParams::default().entries(64).sqpoll(1), million());
}

#[test]
fn half_a_million_operations_through_a_tiny_completion_queue() {
    let params = IoUringParams::default().entries(4).cqsize(4);
    push_from_one_thread_take_on_another(params, million() / 2);
}

#[test]
fn halves_dropped_in_either_order() {
    for submission_first in [true, false] {
        let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 3) }.unwrap();
        sq.submit().unwrap();
        if submission_first {
            drop(sq);
            assert_eq!(cq.next().unwrap().user_data(), 3);
        } else {
            drop(cq);
            // SAFETY: as above.
            unsafe { sq.push(&Nop, 4) }.unwrap();
            assert_eq!(sq.submit_and_wait(1).unwrap(), 1);
        }
    }
}

#[test]
fn submission_half_dropped_while_the_other_waits() {
    let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    let other = thread::spawn(move || {
        let wait = Wait::for_completions(2).timeout(Duration::from_millis(100));
        // The NOP may come late.
        for _ in 0..600 {
            let waited = cq.wait_with(&wait).unwrap();
            assert!(waited.timed_out, "{waited:?}");
            if waited.ready > 0 {
                return (waited.ready, cq.completions().count());
            }
        }
        panic!("no NOP")
    });
    thread::sleep(Duration::from_millis(20));
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.unwrap();
    sq.submit().unwrap();
    drop(sq);
    assert_eq!(other.join().unwrap(), (1, 1));
}

#[test]
fn halves_swapped_between_rings_keep_working() {
    let (mut cq_a, mut sq_a) = lio_uring::with_capacity(4).unwrap();
    let (mut cq_b, mut sq_b) = lio_uring::with_capacity(32).unwrap();
    std::mem::swap(&mut sq_a, &mut sq_b);
    assert_eq!((sq_a.capacity(), sq_b.capacity()), (32, 4));
    for i in 0..4 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq_b.push(&Nop, i) }.unwrap();
        // SAFETY: as above.
        unsafe { sq_a.push(&Nop, 10 + i) }.unwrap();
    }
    sq_a.submit_and_wait(4).unwrap();
    sq_b.submit_and_wait(4).unwrap();
    // The half called `sq_b` is now that of the first ring, whose other half goes first.
    let taken: Vec<_> = cq_a
        .completions()
        .map(|completion| completion.user_data())
        .collect();
    assert_eq!(taken, [0, 1, 2, 3]);
    drop(cq_a);
    let taken: Vec<_> = cq_b
        .completions()
        .map(|completion| completion.user_data())
        .collect();
    assert_eq!(taken, [10, 11, 12, 13]);
    drop(sq_a);
    // SAFETY: as above.
    unsafe { sq_b.push(&Nop, 4) }.unwrap();
    assert_eq!(sq_b.submit_and_wait(1).unwrap(), 1);
}

#[test]
fn queues_of_one_thread_rings_swapped_keep_working() {
    let mut a = IoUring::new(4).unwrap();
    let mut b = IoUring::new(8).unwrap();
    std::mem::swap(a.submission(), b.submission());
    // SAFETY: a NOP points to nothing.
    unsafe { a.push(&Nop, 1) }.unwrap();
    a.submit_and_wait(1).unwrap();
    assert_eq!(a.try_next().unwrap(), None);
    drop(a);
    assert_eq!(b.next().unwrap().user_data(), 1);
}

#[test]
fn halves_moved_from_thread_to_thread() {
    let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    for round in 0..50 {
        (cq, sq) = thread::spawn(move || {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push_with_flags(&Nop, round, SqeFlags::ASYNC) }.unwrap();
            sq.submit().unwrap();
            (cq, sq)
        })
        .join()
        .unwrap();
        assert_eq!(cq.next().unwrap().user_data(), round);
    }
}

#[test]
fn many_rings_on_many_threads_at_once() {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    // More than the 16 rings that a thread can register.
                    let rings: Vec<_> = (0..20).map(|_| IoUring::new(2).unwrap()).collect();
                    for (i, mut ring) in rings.into_iter().enumerate() {
                        // SAFETY: a NOP points to nothing.
                        unsafe { ring.push(&Nop, i as u64) }.unwrap();
                        ring.submit_and_wait(1).unwrap();
                        assert_eq!(ring.next().unwrap().user_data(), i as u64);
                    }
                }
            });
        }
    });
}

#[test]
fn ring_dropped_with_reads_pending_can_be_followed_by_another() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut buffers = vec![[0u8; 64]; 64];
    for _ in 0..200 {
        let (cq, mut sq) = lio_uring::with_capacity(64).unwrap();
        for buffer in &mut buffers {
            let read = Read {
                fd: std::os::fd::AsRawFd::as_raw_fd(&reader),
                ptr: buffer.as_mut_ptr().cast(),
                len: 64,
                offset: 0,
            };
            // SAFETY: nothing is ever written to the pipe, and the buffers outlive all rings.
            unsafe { sq.push(&read, 0) }.unwrap();
        }
        sq.submit().unwrap();
        drop(cq);
        drop(sq);
    }
}

#[test]
fn halves_are_send_and_the_one_thread_ring_is_not() {
    fn send<T: Send>() {}
    send::<SubmissionQueue<AnyThread>>();
    send::<CompletionQueue<AnyThread>>();
    // That the rest is not, the compile_fail examples in the documentation show.
}
