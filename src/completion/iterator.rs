//! Taking all completions that are ready.

use std::ops::ControlFlow;

use super::{Completion, CompletionQueue, front};
use crate::kind::{AnyThread, Cqe16, CqeSize, OneSlotEach, Threads};
use crate::ring::Run;

/// Takes the completions that were ready when it was made.
///
/// From [`CompletionQueue::completions`]. Dropping it early, in a panic too, leaves the rest in the
/// queue. Forgetting it leaves the rest as well; the room of those taken is then given back only
/// when the queue is next asked for completions, and waits until then count them as ready.
#[derive(Debug)]
#[must_use = "an iterator takes completions only as it is advanced"]
pub struct Completions<'q, T: Threads = AnyThread, C: CqeSize = Cqe16> {
    /// What is taken next. The queue's own run is kept in step, in case this is forgotten.
    run: Run<C>,
    /// How many slots go on at the array's beginning when the run is over.
    behind: u32,
    queue: &'q mut CompletionQueue<T, C>,
}

impl<T: Threads, C: CqeSize> Completions<'_, T, C> {
    /// Goes on at the array's beginning, if there is anything.
    #[inline]
    fn go_on(&mut self) -> bool {
        let more = self.behind > 0;
        if more {
            self.queue.begin_run(self.behind);
            self.queue.run.keep_from_reaching();
            self.run = self.queue.run;
            self.behind = 0;
        }
        more
    }

    /// Takes completions as long as the function wants to go on.
    #[inline]
    pub(crate) fn fold_while<B>(
        mut self,
        first: B,
        mut f: impl FnMut(B, Completion<C::Extra>) -> ControlFlow<B, B>,
    ) -> B {
        /// Puts the place into the queue once, however the loop ends.
        struct Place<'q, C: CqeSize> {
            run: Run<C>,
            /// The slots of what the function has in hand.
            taking: u32,
            queue: &'q mut Run<C>,
        }
        impl<C: CqeSize> Drop for Place<'_, C> {
            #[inline]
            fn drop(&mut self) {
                self.run.advance(self.taking);
                self.queue.go_to(self.run);
            }
        }

        let mut result = first;
        loop {
            let mut place = Place {
                run: self.run,
                taking: 0,
                queue: &mut self.queue.run,
            };
            while !place.run.is_over() {
                // SAFETY: the run is not over.
                let (slots, completion) = unsafe { front(&place.run) };
                if let Some(completion) = completion {
                    place.taking = slots;
                    match f(result, completion) {
                        ControlFlow::Continue(next) => result = next,
                        ControlFlow::Break(last) => return last,
                    }
                    place.taking = 0;
                }
                place.run.advance(slots);
            }
            drop(place);
            if !self.go_on() {
                return result;
            }
        }
    }
}

impl<T: Threads, C: CqeSize> Iterator for Completions<'_, T, C> {
    type Item = Completion<C::Extra>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.run.is_over() && !self.go_on() {
                return None;
            }
            // SAFETY: the run is not over.
            let (slots, completion) = unsafe { front(&self.run) };
            self.run.advance(slots);
            self.queue.run.go_to(self.run);
            if completion.is_some() {
                return completion;
            }
        }
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, first: B, mut f: F) -> B {
        self.fold_while(first, |result, completion| {
            ControlFlow::Continue(f(result, completion))
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = (self.run.left() + self.behind) as usize;
        (if C::ONE_SLOT_EACH { most } else { 0 }, Some(most))
    }
}

/// As many as are ready, on rings whose completions all have the same size.
impl<T: Threads, C: CqeSize + OneSlotEach> ExactSizeIterator for Completions<'_, T, C> {}

impl<T: Threads, C: CqeSize> std::iter::FusedIterator for Completions<'_, T, C> {}

impl<T: Threads, C: CqeSize> Drop for Completions<'_, T, C> {
    #[inline]
    fn drop(&mut self) {
        self.queue.publish_head();
        self.queue.run.allow_reaching();
    }
}

impl<T: Threads, C: CqeSize> CompletionQueue<T, C> {
    /// Iterates over the `ready` completions that there are at the least.
    #[inline]
    pub(crate) fn take_all(&mut self, ready: u32) -> Completions<'_, T, C> {
        let mut behind = 0;
        if !self.run.reach(ready) {
            self.begin_run(ready);
            behind = ready - self.run.left();
        }
        self.run.keep_from_reaching();
        Completions {
            run: self.run,
            behind,
            queue: self,
        }
    }
}
