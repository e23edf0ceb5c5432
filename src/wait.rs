//! Waiting for completions, with everything that can end it.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::enter::Gate;
use crate::features::Features;
use crate::params::SetupFlags;
use crate::register::Clock;
use crate::ring::Ring;
use crate::sys;

/// How long to wait: for how many completions, until when, with which signals blocked.
///
/// ```
/// use std::time::Duration;
/// use lio_uring::Wait;
///
/// # fn main() -> std::io::Result<()> {
/// # let (mut cq, _sq) = lio_uring::with_capacity(8)?;
/// let waited = cq.wait_with(&Wait::for_completions(4).timeout(Duration::from_millis(5)))?;
/// assert!(waited.timed_out && waited.ready == 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it waits when it is given to a queue"]
pub struct Wait<'a> {
    completions: u32,
    limit: Limit,
    least: Option<Duration>,
    signal_mask: Option<&'a libc::sigset_t>,
    return_on_signal: bool,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Timeout(Duration),
    Deadline(Instant),
    Clock(Duration),
}

impl<'a> Wait<'a> {
    /// Waits until `n` completions are ready, without a limit in time.
    ///
    /// More than the completion queue has room for are never ready at once, so `n` is cut to its
    /// capacity. On a ring with IOPOLL the wait may end with fewer, since the kernel does not poll
    /// while there are completions to be taken: take them and wait for the rest.
    pub const fn for_completions(n: u32) -> Self {
        Self {
            completions: n,
            limit: Limit::None,
            least: None,
            signal_mask: None,
            return_on_signal: false,
        }
    }

    /// Waits for this long at the most, counted from the call. Any duration will do.
    ///
    /// It goes by the ring's clock: [`register_clock`](crate::SubmissionQueue::register_clock).
    ///
    /// Replaces a deadline.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Limit::Timeout(timeout);
        self
    }

    /// Waits until this moment at the latest.
    ///
    /// Replaces a timeout.
    pub const fn deadline(mut self, deadline: Instant) -> Self {
        self.limit = Limit::Deadline(deadline);
        self
    }

    /// Waits until the ring's clock shows this time at the latest, counted from the clock's zero.
    ///
    /// For deadlines that have to hold when the system is suspended, together with
    /// [`Clock::Boottime`]: an [`Instant`] stands still meanwhile. Kernels since Linux 6.12 are
    /// given the time itself, and read it outside of any time namespace; older ones the length
    /// until then. [`Clock::now`] tells the time.
    ///
    /// Replaces a timeout and another deadline. C: `IORING_ENTER_ABS_TIMER`.
    pub const fn clock_deadline(mut self, time: Duration) -> Self {
        self.limit = Limit::Clock(time);
        self
    }

    /// Waits for this long for all the completions, and after it for one.
    ///
    /// So a batch has time to fill up, but what comes late is not held back. Kernels since Linux
    /// 6.12 do it in one call; on older ones it takes two.
    pub const fn min_wait(mut self, min_wait: Duration) -> Self {
        self.least = Some(min_wait);
        self
    }

    /// Replaces the thread's signal mask while it waits, as `ppoll(2)` does.
    pub const fn signal_mask(mut self, mask: &'a libc::sigset_t) -> Self {
        self.signal_mask = Some(mask);
        self
    }

    /// Returns when a signal handler has run, with [`Waited::interrupted`] set, instead of going on
    /// waiting.
    ///
    /// The kernel also ends a wait early when a [`Timeout`](crate::operation::Timeout) completes, and
    /// does not tell the two apart.
    pub const fn return_on_signal(mut self) -> Self {
        self.return_on_signal = true;
        self
    }

    fn end(&self, clock: Clock) -> Option<End> {
        match self.limit {
            Limit::None => None,
            // A moment that the clock cannot express is as good as never.
            Limit::Timeout(timeout) if clock == Clock::Monotonic => {
                Instant::now().checked_add(timeout).map(End::Instant)
            }
            Limit::Timeout(timeout) => {
                let end = clock.now().checked_add(timeout)?;
                Some(End::Clock(clock, end))
            }
            Limit::Deadline(deadline) => Some(End::Instant(deadline)),
            Limit::Clock(time) => Some(End::Clock(clock, time)),
        }
    }
}

/// When a wait is over.
#[derive(Clone, Copy, Debug)]
enum End {
    Instant(Instant),
    Clock(Clock, Duration),
}

impl End {
    fn left(self) -> Duration {
        match self {
            Self::Instant(end) => end.saturating_duration_since(Instant::now()),
            Self::Clock(clock, end) => end.saturating_sub(clock.now()),
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain record, compared in tests"
)]
pub struct Waited {
    /// How many entries the kernel took; 0 from the completion queue's own waits.
    pub submitted: u32,
    /// How many completions are ready. Fewer than were waited for if the other half has taken some,
    /// and on a ring with IOPOLL.
    pub ready: u32,
    /// Whether the time ran out before enough were ready.
    pub timed_out: bool,
    /// Whether a signal, or what the kernel does not tell from one, ended the wait, which only
    /// [`return_on_signal`](Wait::return_on_signal) allows.
    pub interrupted: bool,
}

/// An error number of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

/// How much of a signal mask the kernel looks at, in bytes.
const MASK_SIZE: u32 = 8;

/// Submits `to_submit` published entries and waits, in as many calls as it takes.
///
/// Completions count from `start` on, the completion queue's head when the wait began: those that
/// the other half takes meanwhile have come as well.
#[cold]
pub(crate) fn wait(
    ring: &Ring,
    gate: Gate,
    start: u32,
    to_submit: u32,
    wait: &Wait<'_>,
) -> Result<Waited, Errno> {
    let knows_clocks = ring.features().contains(Features::MIN_TIMEOUT);
    let end = wait.end(ring.clock());
    let least_end = wait
        .least
        // A minimum for a single completion would change nothing.
        .filter(|_| wait.completions > 1)
        .and_then(|least| Instant::now().checked_add(least));
    let mut waiting = Waiting {
        ring,
        gate,
        wait,
        start,
        all: wait.completions.min(ring.cq_entries()),
        end,
        absolute: match wait.limit {
            Limit::Clock(time) if knows_clocks => Some(time),
            _ => None,
        },
        least_end,
        to_submit,
    };
    waiting.run()
}

/// One wait under way.
struct Waiting<'a> {
    ring: &'a Ring,
    gate: Gate,
    wait: &'a Wait<'a>,
    /// The completion queue's head when it began.
    start: u32,
    /// How many completions end it at any time.
    all: u32,
    /// When it is over.
    end: Option<End>,
    /// When it is over, for the kernel to compare with the ring's clock.
    absolute: Option<Duration>,
    /// From when on one completion ends it.
    least_end: Option<Instant>,
    to_submit: u32,
}

impl Waiting<'_> {
    fn run(&mut self) -> Result<Waited, Errno> {
        let mut waited = Waited::default();
        // The kernel is entered at least once: it may hold work that makes completions.
        let mut entered = false;
        // A call that took entries is followed by another as long as there are more.
        let mut took = false;
        loop {
            let end = self.end.map(End::left);
            let least = self.least_end.map(|end| End::Instant(end).left());
            let least = least
                .map(|least| end.map_or(least, |end| end.min(least)))
                .filter(|left| !left.is_zero());
            let one_is_enough = self.least_end.is_some() && least.is_none();
            let enough = if one_is_enough {
                self.all.min(1)
            } else {
                self.all
            };
            if entered && (self.to_submit == 0 || !took) {
                let finished = self.came() >= enough || self.polls_no_more();
                let unfinished = self.to_submit > 0 || !finished;
                // Looked at last: the kernel may add completions at any time.
                waited.ready = self.ring.ready();
                waited.timed_out = unfinished && end == Some(Duration::ZERO);
                waited.interrupted &= unfinished && !waited.timed_out;
                if !unfinished || waited.timed_out || waited.interrupted {
                    return Ok(waited);
                }
            }
            // Once something was submitted, a result no longer shows a signal. So where signals
            // count, submitting is a call of its own.
            let submits_only = self.wait.return_on_signal && self.to_submit > 0;
            let result = if submits_only {
                self.gate.wait_with(self.to_submit, 0, self.ring.wake_up())
            } else {
                self.enter(enough, end, least)
            };
            entered = true;
            took = false;
            // In a time namespace the kernel's clock and ours show different times. Should it have
            // returned too early, it is given what both agree about: a length of time.
            if result != -libc::EINTR {
                self.absolute = None;
            }
            match result.wrapping_neg() {
                libc::EINTR if self.wait.return_on_signal => waited.interrupted = true,
                libc::EINTR | libc::ETIME => {}
                errno if errno > 0 => return Err(Errno(errno)),
                _ => {
                    let taken = result.cast_unsigned().min(self.to_submit);
                    if self.to_submit > 0 && taken == 0 {
                        return Err(Errno(libc::EAGAIN));
                    }
                    took = taken > 0;
                    waited.submitted += taken;
                    self.to_submit -= taken;
                    // The wait itself is still to come.
                    entered = !submits_only || self.to_submit > 0;
                    // While there are completions, the kernel does not say why it returned early.
                    waited.interrupted |= self.wait.return_on_signal && !submits_only;
                }
            }
        }
    }

    /// Whether the kernel polls for no further completions until those that are ready are taken,
    /// as on a ring with IOPOLL whose polling is left to the waits.
    fn polls_no_more(&self) -> bool {
        let polling = SetupFlags::IOPOLL | SetupFlags::SQPOLL;
        self.ring.flags() & polling == SetupFlags::IOPOLL && self.ring.ready() > 0
    }

    /// How many completions have come since it began, or were ready then.
    fn came(&self) -> u32 {
        let tail = self.ring.cq_tail().load(Ordering::Acquire);
        tail.wrapping_sub(self.start)
    }

    /// Enters the kernel once, for `enough` completions, for `end` at the most, and for `least`
    /// before a single one is enough.
    fn enter(&self, enough: u32, end: Option<Duration>, least: Option<Duration>) -> i32 {
        let ring = self.ring;
        let mut flags = ring.wake_up();
        // The kernel counts from the head that it finds.
        let taken = ring
            .cq_head()
            .load(Ordering::Relaxed)
            .wrapping_sub(self.start);
        let enough = enough.saturating_sub(taken);
        let mask = self.wait.signal_mask.map_or(ptr::null(), ptr::from_ref);
        let knows_least = ring.features().contains(Features::MIN_TIMEOUT);
        // A kernel that knows no minimum waits for all until then, and is asked again.
        let end = match least {
            Some(least) if !knows_least => Some(end.map_or(least, |end| end.min(least))),
            _ => end,
        };
        if end.is_none() && least.is_none() {
            let size = MASK_SIZE as usize;
            // SAFETY: without EXT_ARG the argument is a signal mask or null; the borrow in `wait`
            // keeps it valid.
            return unsafe {
                self.gate
                    .wait_with_argument(self.to_submit, enough, flags, mask.cast(), size)
            };
        }
        if !ring.features().contains(Features::EXT_ARG) {
            return self.enter_without_limit_in_the_kernel(enough, end, flags, mask);
        }
        let limit = self.absolute.or(end).map(timespec);
        if self.absolute.is_some() {
            flags |= sys::IORING_ENTER_ABS_TIMER;
        }
        let argument = sys::io_uring_getevents_arg {
            sigmask: mask as u64,
            sigmask_sz: MASK_SIZE,
            min_wait_usec: least.filter(|_| knows_least).map_or(0, |least| {
                u32::try_from(least.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX)
            }),
            ts: limit.as_ref().map_or(ptr::null(), ptr::from_ref) as u64,
        };
        // SAFETY: with EXT_ARG the argument is this structure, and what it points to, the mask and
        // the time, lives until the call returns.
        unsafe {
            self.gate.wait_with_argument(
                self.to_submit,
                enough,
                flags | sys::IORING_ENTER_EXT_ARG,
                ptr::from_ref(&argument).cast(),
                size_of_val(&argument),
            )
        }
    }

    /// Waits with `ppoll(2)` on the ring's descriptor, for kernels before 5.11 that know no limit
    /// in time. Only the first completion wakes it; for more it looks again every millisecond.
    #[cold]
    #[expect(
        clippy::as_underscore,
        reason = "the C libraries differ in these types"
    )]
    fn enter_without_limit_in_the_kernel(
        &self,
        enough: u32,
        left: Option<Duration>,
        flags: u32,
        mask: *const libc::sigset_t,
    ) -> i32 {
        let result = self.gate.wait_with(self.to_submit, 0, flags);
        let left = left.unwrap_or(Duration::MAX);
        if result < 0 || self.ring.ready() >= enough || left.is_zero() {
            return result;
        }
        let polled = self.ring.flags().contains(SetupFlags::IOPOLL);
        let step = if polled || self.ring.ready() > 0 {
            left.min(Duration::from_millis(1))
        } else {
            left
        };
        let time = timespec(step);
        // SAFETY: zero is a value of the structure, which has padding on some targets.
        let mut limit: libc::timespec = unsafe { std::mem::zeroed() };
        limit.tv_sec = time.tv_sec.min(i32::MAX.into()) as _;
        limit.tv_nsec = time.tv_nsec as _;
        let mut poll = libc::pollfd {
            fd: self.ring.fd().map_or(-1, |fd| fd.as_raw_fd()),
            events: if step == left { libc::POLLIN } else { 0 },
            revents: 0,
        };
        // SAFETY: all three pointers are to values that live until the call returns, or null.
        let polled = unsafe { libc::ppoll(&raw mut poll, 1, &raw const limit, mask) };
        if polled < 0 && result == 0 {
            return -io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
        }
        result
    }
}

/// A duration as the kernel takes it. It adds it to its own clock, so one of over a century is cut:
/// whoever waits that long looks again.
fn timespec(duration: Duration) -> sys::__kernel_timespec {
    sys::__kernel_timespec {
        tv_sec: duration.as_secs().min(u32::MAX.into()).cast_signed(),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests;
