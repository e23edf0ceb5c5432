//! Stopping operations that nobody waits for.

use crate::kind::Threads;
use crate::operation::{Cancel, CancelFlags, Timeout, TimeoutFlags, Timespec};
use crate::submission::SubmissionQueue;

/// What is added to an operation's number for its cancellation.
const CANCEL: u64 = 1 << 32;

/// What is added to an operation's number for the time after which it is cancelled once more.
const LATER: u64 = 1 << 33;

/// How far above an operation's number there is how often the kernel was asked to stop it.
const ASKED: u32 = 40;

/// How often the kernel was asked to stop an operation that nobody waits for, roughly.
///
/// It does not find one that is just about to try again, since something has woken it, and that may
/// then go on waiting; nor one behind another in a chain; nor does it always stop one that a worker is
/// just taking up. So it is asked again and again, each time after a longer pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked(u8);

impl Asked {
    /// Once.
    pub(super) fn new() -> Self {
        Self(0)
    }

    /// Once more.
    pub(super) fn count(&mut self) {
        self.0 = self.0.checked_add(1).unwrap_or(LONGEST);
    }

    /// How long it takes until it is asked once more.
    fn pause(self) -> &'static Timespec {
        &PAUSES[usize::from(self.0.min(LONGEST))]
    }

    fn number(self) -> u64 {
        u64::from(self.0) << ASKED
    }
}

/// After so many times the pauses grow no longer.
const LONGEST: u8 = 8;

/// From one millisecond to a quarter of a second.
static PAUSES: [Timespec; LONGEST as usize + 1] = {
    let mut pauses = [Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    }; LONGEST as usize + 1];
    let mut longer = 1;
    while longer < pauses.len() {
        pauses[longer].tv_nsec = 2 * pauses[longer - 1].tv_nsec;
        longer += 1;
    }
    pauses
};

/// What has ended that is not an operation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The cancellation of the operation with this number, which the kernel was asked for so often.
    Cancel(u64, Asked),
    /// The pause after it.
    Pause(u64, Asked),
}

impl Request {
    /// What the entry with this number was.
    pub(super) fn of(user_data: u64) -> Option<Self> {
        let asked = Asked(u8::try_from(user_data >> ASKED).ok()?);
        let number = user_data & u64::from(u32::MAX);
        match (user_data & ((1 << ASKED) - 1)) - number {
            CANCEL => Some(Self::Cancel(number, asked)),
            LATER => Some(Self::Pause(number, asked)),
            _ => None,
        }
    }
}

/// Pushes the cancellation of an operation, if there is room.
pub(super) fn push_cancel<T: Threads>(
    queue: &mut SubmissionQueue<T>,
    number: u64,
    asked: Asked,
) -> bool {
    let cancel = Cancel {
        user_data: number,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { queue.push(&cancel, asked.number() | CANCEL | number) }.is_ok()
}

/// Pushes a timer for an operation that is to be cancelled once more, if there is room.
pub(super) fn push_timer<T: Threads>(
    queue: &mut SubmissionQueue<T>,
    number: u64,
    asked: Asked,
) -> bool {
    let timer = Timeout {
        ts: asked.pause(),
        count: 0,
        flags: TimeoutFlags::empty(),
    };
    // SAFETY: the time is there for ever.
    unsafe { queue.push(&timer, asked.number() | LATER | number) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut asked = Asked::new();
        let mut pauses = Vec::new();
        for _ in 0..1000 {
            pauses.push(asked.pause().tv_nsec / 1_000_000);
            asked.count();
        }
        assert_eq!(pauses[..9], [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        assert!(pauses[9..].iter().all(|pause| *pause == 256));
    }

    #[test]
    fn requests_are_told_from_everything_else() {
        let numbers = [0, 72, u64::from(u32::MAX)];
        for (number, asked) in numbers
            .map(|number| [0, 1, 255].map(|asked| (number, Asked(asked))))
            .as_flattened()
        {
            let user_data = asked.number() | number;
            let cancel = Request::of(user_data | CANCEL);
            assert_eq!(cancel, Some(Request::Cancel(*number, *asked)));
            let pause = Request::of(user_data | LATER);
            assert_eq!(pause, Some(Request::Pause(*number, *asked)));
            assert_eq!(Request::of(user_data), None);
        }
        assert_eq!(
            [1 << 63, u64::MAX, 1 << 48 | CANCEL].map(Request::of),
            [None; 3]
        );
    }
}
