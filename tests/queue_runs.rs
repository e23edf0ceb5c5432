//! Queues are walked run by run: every way of pushing and of taking, in random order, across the
//! ends of small arrays.
#![cfg(target_os = "linux")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lio_uring::operation::Nop;
use lio_uring::{CompletionQueue, IoUring, IoUringParams, QueueFull, SubmissionQueue};

/// An iterator that is wrong about how many items it has.
struct Lying<I> {
    items: I,
    claim: (usize, Option<usize>),
}

impl<I: Iterator> Iterator for Lying<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.claim
    }
}

fn numbered(range: std::ops::Range<u64>) -> impl Iterator<Item = (Nop, u64)> {
    range.map(|user_data| (Nop, user_data))
}

/// Halves with a completion queue of this size, and what should be in them.
struct Model {
    cq: CompletionQueue,
    sq: SubmissionQueue,
    queued: VecDeque<u64>,
    ready: VecDeque<u64>,
    next: u64,
}

impl Model {
    fn new(entries: u32, completions: u32) -> Self {
        let params = IoUringParams::default()
            .entries(entries)
            .cqsize(completions);
        let (cq, sq) = IoUring::with_params(params).expect("a ring");
        Self {
            cq,
            sq,
            queued: VecDeque::new(),
            ready: VecDeque::new(),
            next: 0,
        }
    }

    fn free(&self) -> usize {
        self.sq.capacity() as usize - self.queued.len()
    }

    fn push(&mut self, count: u64) {
        for user_data in self.next..self.next + count {
            let free = self.free();
            // SAFETY: a NOP points to nothing.
            let pushed = unsafe { self.sq.push(&Nop, user_data) };
            assert_eq!(pushed.is_ok(), free > 0, "{free} slots are free");
            if pushed.is_ok() {
                self.queued.push_back(user_data);
                self.next += 1;
            }
        }
    }

    fn push_all(&mut self, count: u64, claim: Option<(usize, Option<usize>)>) {
        let free = self.free();
        let items = numbered(self.next..self.next + count);
        let fits = count <= free as u64;
        let pushed = match claim {
            // SAFETY: a NOP points to nothing.
            None => unsafe { self.sq.push_all(items) },
            // SAFETY: as above.
            Some(claim) => unsafe { self.sq.push_all(Lying { items, claim }) },
        };
        // An iterator that claims too few is believed, and loses what is beyond.
        let most = claim.and_then(|(_, most)| most).unwrap_or(usize::MAX);
        let taken = count.min(u64::try_from(most).unwrap_or(u64::MAX));
        if fits || (pushed.is_ok() && taken < count) {
            assert_eq!(pushed, Ok(()), "{count} into {free}");
            let queued = u64::from(self.sq.unsubmitted()) - self.queued.len() as u64;
            assert!(queued == count || queued == taken, "{queued} of {count}");
            self.queued.extend(self.next..self.next + queued);
            self.next += queued;
        } else {
            assert_eq!(pushed, Err(QueueFull), "{count} into {free}");
        }
        assert_eq!(self.sq.unsubmitted() as usize, self.queued.len());
    }

    fn submit(&mut self) {
        // Of what does not fit the kernel keeps a list, which peeking does not look at.
        while self.ready.len() + self.queued.len() > self.cq.capacity() as usize {
            self.next();
        }
        let submitted = self.sq.submit().expect("a submission") as usize;
        assert_eq!(submitted, self.queued.len());
        self.ready.append(&mut self.queued);
    }

    fn next(&mut self) {
        if let Some(wanted) = self.ready.pop_front() {
            assert_eq!(self.cq.next().expect("a completion").user_data(), wanted);
        } else {
            assert_eq!(self.cq.try_next().expect("no error"), None);
        }
    }

    fn peek(&mut self) {
        let seen = self.cq.peek().map(|completion| completion.user_data());
        assert_eq!(seen, self.ready.front().copied());
    }

    /// Takes up to `count` with an iterator, and leaves it in one of several ways.
    fn iterate(&mut self, count: usize, leave: u8) {
        let mut completions = self.cq.completions();
        let there = completions.len();
        assert_eq!(there, self.ready.len());
        let count = if leave == 2 { count.max(1) } else { count }.min(there);
        let wanted: Vec<_> = self.ready.drain(..count).collect();
        let mut seen = Vec::new();
        match leave {
            0 => seen.extend(completions.by_ref().take(count).map(|c| c.user_data())),
            1 => {
                seen.extend(completions.by_ref().take(count).map(|c| c.user_data()));
                assert_eq!(completions.len(), there - count);
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                std::mem::forget(completions);
                // Only now the kernel is told that there is room.
                self.peek();
            }
            2 => {
                let taken = catch_unwind(AssertUnwindSafe(|| {
                    completions.for_each(|completion| {
                        seen.push(completion.user_data());
                        assert!(seen.len() < count, "on purpose");
                    });
                }));
                assert_eq!(taken.is_err(), there > 0);
            }
            _ => {
                completions.for_each(|completion| seen.push(completion.user_data()));
                let rest = self.ready.drain(..there - count);
                assert_eq!(seen, wanted.iter().copied().chain(rest).collect::<Vec<_>>());
                return;
            }
        }
        assert_eq!(seen, wanted, "left in way {leave}");
    }
}

#[test]
fn random_pushing_and_taking_loses_and_repeats_nothing() {
    let mut random = fastrand::Rng::with_seed(4);
    for (entries, completions) in [(1, 2), (2, 2), (4, 4), (4, 8), (8, 8), (8, 32)] {
        let mut model = Model::new(entries, completions);
        for _ in 0..20_000 {
            let count = random.u64(..6);
            match random.u8(..10) {
                0 | 1 => model.push(count),
                2 | 3 => model.push_all(count, None),
                4 => {
                    let most = random.bool().then(|| random.usize(..8));
                    model.push_all(count, Some((random.usize(..8), most)));
                }
                5 | 6 => model.submit(),
                7 => model.next(),
                8 => model.peek(),
                _ => model.iterate(random.usize(..6), random.u8(..4)),
            }
        }
    }
}

#[test]
fn submit_and_take_gives_all_that_is_ready() {
    let mut ring = IoUring::new(8).expect("a ring");
    for round in 0..100 {
        let count = round % 8;
        // SAFETY: a NOP points to nothing.
        unsafe { ring.submission().push_all(numbered(0..count)) }.expect("room");
        let n = u32::try_from(count).unwrap();
        let completions = ring.submit_and_take(n).expect("a submission");
        assert_eq!(completions.len() as u64, count);
        let seen: Vec<_> = completions.map(|c| c.user_data()).collect();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn submit_and_take_leaves_the_rest_of_an_unfinished_iterator() {
    let mut ring = IoUring::new(8).expect("a ring");
    // SAFETY: a NOP points to nothing.
    unsafe { ring.submission().push_all(numbered(0..5)) }.expect("room");
    let first = ring.submit_and_take(5).expect("a submission").next();
    assert_eq!(first.map(|c| c.user_data()), Some(0));
    // SAFETY: as above.
    unsafe { ring.submission().push_all(numbered(5..6)) }.expect("room");
    let rest = ring.submit_and_take(5).expect("a submission");
    let seen: Vec<_> = rest.map(|c| c.user_data()).collect();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}
