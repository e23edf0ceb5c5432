//! Waiting for completions, with everything that can end it.

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use crate::features::Features;
use crate::params::SetupFlags;
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
}

impl<'a> Wait<'a> {
    /// Waits until `n` completions are ready, without a limit in time.
    ///
    /// More than the completion queue has room for are never ready at once, so `n` is cut to its
    /// capacity.
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
    pub const fn return_on_signal(mut self) -> Self {
        self.return_on_signal = true;
        self
    }

    fn end(&self) -> Option<Instant> {
        match self.limit {
            Limit::None => None,
            // A moment that the clock cannot express is as good as never.
            Limit::Timeout(timeout) => Instant::now().checked_add(timeout),
            Limit::Deadline(deadline) => Some(deadline),
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
    /// How many completions are ready.
    pub ready: u32,
    /// Whether the time ran out before enough were ready.
    pub timed_out: bool,
    /// Whether a signal ended the wait, which only
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

/// Submits `to_submit` published entries and waits, in as many calls as it takes.
#[cold]
pub(crate) fn wait(ring: &Ring, to_submit: u32, wait: &Wait<'_>) -> Result<Waited, Errno> {
    let end = wait.end();
    let all = wait.completions.min(ring.cq_entries());
    let kernel_min_wait = ring.features().contains(Features::MIN_TIMEOUT);
    match wait.least {
        // An old kernel: all of them for a while first, then one.
        Some(min_wait) if !kernel_min_wait && all > 1 => {
            let first_end = Instant::now()
                .checked_add(min_wait)
                .map(|first| end.map_or(first, |end| first.min(end)));
            let mut first = Waiting {
                ring,
                wait,
                all,
                min_wait: None,
                end: first_end,
                to_submit,
            };
            let waited = first.run()?;
            if waited.ready > 0 || waited.interrupted {
                return Ok(Waited {
                    timed_out: false,
                    ..waited
                });
            }
            let to_submit = to_submit - waited.submitted.min(to_submit);
            let mut second = Waiting {
                ring,
                wait,
                all: 1,
                min_wait: None,
                end,
                to_submit,
            };
            let mut rest = second.run()?;
            rest.submitted += waited.submitted;
            Ok(rest)
        }
        min_wait => {
            let mut waiting = Waiting {
                ring,
                wait,
                all,
                min_wait,
                end,
                to_submit,
            };
            waiting.run()
        }
    }
}

/// How much of a signal mask the kernel looks at, in bytes.
const MASK_SIZE: u32 = 8;

/// One wait under way.
struct Waiting<'a> {
    ring: &'a Ring,
    wait: &'a Wait<'a>,
    all: u32,
    min_wait: Option<Duration>,
    end: Option<Instant>,
    to_submit: u32,
}

impl Waiting<'_> {
    fn run(&mut self) -> Result<Waited, Errno> {
        let mut waited = Waited::default();
        // The kernel is entered at least once: it may hold work that makes completions.
        let mut entered = false;
        loop {
            waited.ready = self.ring.ready();
            let enough = if self.min_wait.is_some() && entered {
                self.all.min(1)
            } else {
                self.all
            };
            if entered && self.to_submit == 0 && waited.ready >= enough {
                return Ok(waited);
            }
            let left = self
                .end
                .map(|end| end.saturating_duration_since(Instant::now()));
            if entered && self.to_submit == 0 && left == Some(Duration::ZERO) {
                waited.timed_out = true;
                return Ok(waited);
            }
            let result = self.enter(left);
            entered = true;
            match result.wrapping_neg() {
                libc::EINTR if self.wait.return_on_signal => waited.interrupted = true,
                libc::EINTR | libc::ETIME => {}
                errno if errno > 0 => return Err(Errno(errno)),
                _ => {
                    let taken = result.cast_unsigned().min(self.to_submit);
                    if self.to_submit > 0 && taken == 0 {
                        return Err(Errno(libc::EAGAIN));
                    }
                    waited.submitted += taken;
                    self.to_submit -= taken;
                    // A signal that comes after something was submitted does not show in the
                    // result.
                    let early = self.to_submit == 0
                        && self.ring.ready() < enough
                        && self.end.is_none_or(|end| Instant::now() < end);
                    waited.interrupted |= early && self.wait.return_on_signal;
                }
            }
            if waited.interrupted {
                waited.ready = self.ring.ready();
                return Ok(waited);
            }
        }
    }

    /// Enters the kernel once, for `left` at the most.
    fn enter(&self, left: Option<Duration>) -> i32 {
        let ring = self.ring;
        let mut flags = sys::IORING_ENTER_GETEVENTS;
        if ring.flags().contains(SetupFlags::SQPOLL)
            && self.to_submit > 0
            && ring.sq_flags().load(std::sync::atomic::Ordering::Relaxed)
                & sys::IORING_SQ_NEED_WAKEUP
                != 0
        {
            flags |= sys::IORING_ENTER_SQ_WAKEUP;
        }
        let mask = self.wait.signal_mask.map_or(ptr::null(), ptr::from_ref);
        if left.is_none() && self.min_wait.is_none() {
            let size = MASK_SIZE as usize;
            // SAFETY: without EXT_ARG the argument is a signal mask or null; the borrow in `wait`
            // keeps it valid.
            return unsafe {
                ring.gate()
                    .enter_with(self.to_submit, self.all, flags, mask.cast(), size)
            };
        }
        if !ring.features().contains(Features::EXT_ARG) {
            return self.enter_without_limit_in_the_kernel(left, flags, mask);
        }
        let limit = left.map(timespec);
        let argument = sys::io_uring_getevents_arg {
            sigmask: mask as u64,
            sigmask_sz: MASK_SIZE,
            min_wait_usec: self.min_wait.map_or(0, |least| {
                u32::try_from(least.as_micros()).unwrap_or(u32::MAX)
            }),
            ts: limit.as_ref().map_or(ptr::null(), ptr::from_ref) as u64,
        };
        // SAFETY: with EXT_ARG the argument is this structure, and what it points to, the mask and
        // the time, lives until the call returns.
        unsafe {
            ring.gate().enter_with(
                self.to_submit,
                self.all,
                flags | sys::IORING_ENTER_EXT_ARG,
                ptr::from_ref(&argument).cast(),
                size_of_val(&argument),
            )
        }
    }

    /// Waits with `ppoll(2)` on the ring's descriptor, for kernels before 5.11 that know no limit
    /// in time. Only the first completion wakes it; for more it looks again every millisecond.
    #[cold]
    fn enter_without_limit_in_the_kernel(
        &self,
        left: Option<Duration>,
        flags: u32,
        mask: *const libc::sigset_t,
    ) -> i32 {
        let result = self.ring.gate().enter(self.to_submit, 0, flags);
        let left = left.unwrap_or(Duration::MAX);
        if result < 0 || self.ring.ready() >= self.all || left.is_zero() {
            return result;
        }
        let polled = self.ring.flags().contains(SetupFlags::IOPOLL);
        let step = if polled || self.ring.ready() > 0 {
            Duration::from_millis(1)
        } else {
            left
        };
        let time = timespec(left.min(step));
        let time = libc::timespec {
            tv_sec: time.tv_sec.min(i32::MAX.into()) as libc::time_t,
            tv_nsec: time.tv_nsec as libc::c_long,
        };
        let mut poll = libc::pollfd {
            fd: self
                .ring
                .fd()
                .map_or(-1, |fd| std::os::fd::AsRawFd::as_raw_fd(&fd)),
            events: if step == left { libc::POLLIN } else { 0 },
            revents: 0,
        };
        // SAFETY: all three pointers are to values that live until the call returns, or null.
        let polled = unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, mask) };
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
