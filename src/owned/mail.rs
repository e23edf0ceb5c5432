//! The messages that a ring has got and that nobody has taken yet.

use std::collections::VecDeque;
use std::task::Waker;

use super::drain::NOBODY;

/// What is added to a message's number, so that it is never that of a slot, nor of a cancellation.
const MESSAGE: u64 = 1 << 63;

/// The highest number that a message can have. With the next it would be nobody's.
pub(super) const MAX: u64 = NOBODY - MESSAGE - 1;

/// What a message with such a number arrives with, if there can be one.
pub(super) fn user_data(number: u64) -> Option<u64> {
    (number <= MAX).then_some(MESSAGE | number)
}

/// The number of the message that arrives with this, if it is one.
pub(super) fn number(user_data: u64) -> Option<u64> {
    user_data
        .checked_sub(MESSAGE)
        .filter(|number| *number <= MAX)
}

/// A number and a value for each message, in the order in which they came.
#[derive(Debug)]
pub(super) struct Mail {
    queue: VecDeque<(u64, u32)>,
    waker: Option<Waker>,
    has_taker: bool,
    closed: bool,
}

impl Mail {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            waker: None,
            has_taker: false,
            closed: false,
        }
    }

    /// Adds a message, and returns the waker of who waits for one.
    pub(super) fn put(&mut self, number: u64, value: u32) -> Option<Waker> {
        if !self.closed {
            self.queue.push_back((number, value));
        }
        self.waker.take()
    }

    pub(super) fn take(&mut self) -> Option<(u64, u32)> {
        self.queue.pop_front()
    }

    /// Whether this waker is the one that waits.
    pub(super) fn has_waker(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|had| had.will_wake(waker))
    }

    /// Has another waker wait, and returns the one before; or this one, as an error, if there is a
    /// message.
    pub(super) fn set_waker(&mut self, new: Waker) -> Result<Option<Waker>, Waker> {
        if self.queue.is_empty() {
            Ok(self.waker.replace(new))
        } else {
            Err(new)
        }
    }

    /// Notes that somebody takes the messages, unless somebody else does.
    pub(super) fn attach(&mut self) -> bool {
        !std::mem::replace(&mut self.has_taker, true)
    }

    /// Notes that nobody takes them any longer, and returns the waker. They are kept.
    pub(super) fn detach(&mut self) -> Option<Waker> {
        self.has_taker = false;
        self.waker.take()
    }

    /// Forgets the messages, and those that still come.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::stopping::Request;
    use super::*;

    #[test]
    fn numbers_of_messages_are_nothing_elses() {
        for there in [0, 1, u64::from(u32::MAX), 1 << 62, MAX] {
            let user_data = user_data(there).expect("a number");
            assert_eq!(number(user_data), Some(there));
            assert_eq!(Request::of(user_data), None);
            assert_ne!(user_data, NOBODY);
        }
        assert_eq!([MAX + 1, u64::MAX].map(user_data), [None; 2]);
        assert_eq!([0, 7, MESSAGE - 1, NOBODY].map(number), [None; 4]);
    }
}
