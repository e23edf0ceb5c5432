//! Which numbers threads get that pop and push at the same time.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::FreeList;

/// A stack, and for each number what only its owner touches.
struct Pool {
    free: FreeList,
    buffers: Vec<UnsafeCell<u32>>,
}

impl Pool {
    fn new(count: u32) -> Arc<Self> {
        Arc::new(Self {
            free: FreeList::full(count),
            buffers: (0..count).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    fn take(&self) -> Option<u32> {
        let number = self.free.pop()?;
        self.touch(number);
        Some(number)
    }

    fn put(&self, number: u32) {
        self.touch(number);
        self.free.push(number);
    }

    /// Loom panics if another thread could do so at the same time.
    fn touch(&self, number: u32) {
        self.buffers[number as usize].with_mut(|buffer| {
            // SAFETY: loom has checked that this is the only access.
            unsafe { *buffer += 1 };
        });
    }

    /// Every number is there once, in the stack or among those that were kept.
    fn assert_whole(&self, mut kept: Vec<u32>) {
        while let Some(number) = self.take() {
            kept.push(number);
            assert!(kept.len() <= self.buffers.len(), "{kept:?}");
        }
        kept.sort_unstable();
        assert!(kept.iter().copied().eq(0..self.free.capacity()), "{kept:?}");
    }
}

#[test]
fn number_belongs_to_one_thread_at_a_time() {
    loom::model(|| {
        let pool = Pool::new(1);
        let take_and_put = |pool: &Pool| {
            if let Some(number) = pool.take() {
                pool.put(number);
            }
        };
        let other = Arc::clone(&pool);
        let other = thread::spawn(move || take_and_put(&other));
        take_and_put(&pool);
        other.join().expect("no panic");
        pool.assert_whole(Vec::new());
    });
}

#[test]
fn number_below_is_not_taken_from_a_top_that_has_come_back() {
    loom::model(|| {
        let pool = Pool::new(3);
        let other = Arc::clone(&pool);
        let other = thread::spawn(move || {
            let first = other.take()?;
            let second = other.take();
            other.put(first);
            second
        });
        let mut kept = Vec::from_iter(pool.take());
        kept.extend(other.join().expect("no panic"));
        pool.assert_whole(kept);
    });
}

#[test]
fn two_threads_give_back_at_the_same_time() {
    loom::model(|| {
        let pool = Pool::new(2);
        let (Some(one), Some(two)) = (pool.take(), pool.take()) else {
            panic!("two numbers");
        };
        let other = Arc::clone(&pool);
        let other = thread::spawn(move || other.put(one));
        pool.put(two);
        other.join().expect("no panic");
        pool.assert_whole(Vec::new());
    });
}
