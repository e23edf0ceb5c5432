//! A place that handles leave while others come, and the kernel.

use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::thread;

use super::Uses;

struct Place {
    uses: Uses,
    /// Whether the kernel has a file there. Relaxed: the kernel orders nothing for us.
    file: AtomicBool,
    /// What only the first and the last handle touch.
    inside: UnsafeCell<u32>,
}

impl Place {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            uses: Uses::none(),
            file: AtomicBool::new(false),
            inside: UnsafeCell::new(0),
        })
    }

    /// Loom panics if another thread could do so at the same time.
    fn touch(&self) {
        self.inside.with_mut(|inside| {
            // SAFETY: loom has checked that this is the only access.
            unsafe { *inside += 1 };
        });
    }

    /// What two handles may do at the same time, and not while the place is somebody else's.
    fn look(&self) {
        self.inside.with(|_| ());
    }

    /// Gives a handle up, and says whether the place was emptied and can be taken.
    fn leave(&self) -> bool {
        let empty = || {
            self.touch();
            let was = self.file.swap(false, Ordering::Relaxed);
            assert!(was, "the file was taken out twice");
            true
        };
        self.uses.leave(|| true, empty)
    }

    /// Picks the place, as the kernel does with one that has no file.
    fn pick(&self) -> bool {
        self.file
            .compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    fn filled() -> Arc<Self> {
        let place = Self::new();
        assert!(place.pick());
        assert!(place.uses.take_picked());
        place
    }
}

#[test]
fn last_of_two_handles_empties_the_place_once() {
    loom::model(|| {
        let place = Place::filled();
        place.uses.share();
        let other = Arc::clone(&place);
        let other = thread::spawn(move || {
            other.look();
            other.leave()
        });
        place.look();
        let left = place.leave();
        assert!(left ^ other.join().expect("no panic"));
        assert!(place.uses.is_none());
        assert!(!place.file.load(Ordering::Relaxed));
    });
}

#[test]
fn place_that_the_kernel_picks_while_it_is_left_is_the_new_handles() {
    loom::model(|| {
        let place = Place::filled();
        let other = Arc::clone(&place);
        let other = thread::spawn(move || other.leave());
        if place.pick() {
            assert!(place.uses.take_picked());
            place.touch();
            assert!(place.leave());
        }
        assert!(other.join().expect("no panic"));
        assert!(place.uses.is_none());
    });
}

#[test]
fn place_that_the_kernel_picks_while_it_is_taken_goes_to_one() {
    loom::model(|| {
        let place = Place::new();
        assert!(place.pick());
        let other = Arc::clone(&place);
        let other = thread::spawn(move || {
            let taken = other.uses.take();
            if taken {
                other.touch();
            }
            taken
        });
        let picked = place.uses.take_picked();
        if picked {
            place.touch();
        }
        assert!(picked ^ other.join().expect("no panic"));
    });
}

#[test]
fn place_that_cannot_be_emptied_is_nobodys_for_ever() {
    loom::model(|| {
        let place = Place::filled();
        let other = Arc::clone(&place);
        let other = thread::spawn(move || other.uses.leave(|| true, || false));
        assert!(!place.uses.take());
        // A kernel that picks it nevertheless.
        assert!(!place.uses.take_picked());
        assert!(!other.join().expect("no panic"));
        assert!(!place.uses.is_none());
    });
}
