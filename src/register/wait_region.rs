//! Registered waits: the arguments of waits in memory that the kernel has at hand.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use super::check;
use crate::completion::CompletionQueue;
use crate::disabled::Disabled;
use crate::enter::Gate;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::{RegisterError, SubmitError};
use crate::kind::{CqeSize, SqeSize, Threads};
use crate::ring::Ring;
use crate::sys;
use crate::wait::{Errno, Waited};

/// The limits of a registered wait.
///
/// C: `struct io_uring_reg_wait`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "it is a limit when it is set in a region"]
pub struct WaitLimits {
    timeout: Option<Duration>,
    min_wait: Duration,
    signal_mask: Option<libc::sigset_t>,
}

impl WaitLimits {
    /// No limit.
    pub const fn new() -> Self {
        Self {
            timeout: None,
            min_wait: Duration::ZERO,
            signal_mask: None,
        }
    }

    /// Waits for this long at the most, by the ring's clock.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits for this long, in whole microseconds, for all the completions, and after it for one.
    pub const fn min_wait(mut self, min_wait: Duration) -> Self {
        self.min_wait = min_wait;
        self
    }

    /// Replaces the thread's signal mask while it waits.
    pub const fn signal_mask(mut self, mask: libc::sigset_t) -> Self {
        self.signal_mask = Some(mask);
        self
    }
}

/// How much of a signal mask the kernel looks at, in bytes.
const MASK_SIZE: u32 = 8;

/// One wait in the region's memory, as the kernel reads it, and its signal mask behind it: the
/// kernel's own structure says where that is.
const PLACE: usize = size_of::<sys::io_uring_reg_wait>();
const MASK: usize = size_of::<libc::sigset_t>();

/// Waits that are registered with a ring, each with its limits, named by their index.
///
/// A wait that names one spares the kernel reading its arguments from the program's memory.
///
/// ```
/// use std::time::Duration;
/// use lio_uring::{IoUringParams, WaitLimits};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = IoUringParams::default().entries(8).disabled()?;
/// # let made = ring.register_wait_region(2); if made.is_err() { return Ok(()); }
/// # let mut ring = IoUringParams::default().entries(8).disabled()?;
/// let mut waits = ring.register_wait_region(2)?;
/// waits.set(1, WaitLimits::new().timeout(Duration::from_millis(2)));
/// let (_cq, mut sq) = ring.enable()?;
/// let waited = sq.submit_and_wait_registered(1, &waits, 1)?;
/// assert!(waited.timed_out);
/// # Ok(())
/// # }
/// ```
///
/// From [`Disabled::register_wait_region`].
pub struct WaitRegion {
    memory: NonNull<u8>,
    waits: u32,
    bytes: usize,
    ring: Arc<Ring>,
}

// SAFETY: the memory is this value's own. The kernel only reads it.
unsafe impl Send for WaitRegion {}
// SAFETY: nothing is written to the memory without a unique borrow.
unsafe impl Sync for WaitRegion {}

impl<T: Threads, S: SqeSize, C: CqeSize> Disabled<T, S, C> {
    /// Registers memory for the arguments of `waits` waits, all of them without limits.
    ///
    /// A ring has one such region. It stays registered until the ring is closed, even if the value
    /// is dropped.
    ///
    /// Since Linux 6.13. C: `io_uring_register_region(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::AlreadyRegistered`] the second time.
    /// * [`RegisterCause::Refused`] for no waits, or on an older kernel.
    /// * `ENOMEM` if there is not so much memory, or the user may not lock it.
    pub fn register_wait_region(&mut self, waits: u32) -> Result<WaitRegion, RegisterError> {
        const ACTION: &str = "register waits";
        const NEEDS: &str = "Linux 6.13, at least one wait, and a ring that is disabled";
        let fail = |errno: i32| check(-errno, ACTION, NEEDS).expect_err("the result is negative");
        let region = WaitRegion::map(waits, Arc::clone(self.submission().ring())).map_err(fail)?;
        let mut description = sys::io_uring_region_desc {
            user_addr: region.memory.as_ptr() as u64,
            size: region.bytes as u64,
            flags: sys::IORING_MEM_REGION_TYPE_USER,
            id: 0,
            mmap_offset: 0,
            __resv: [0; 4],
        };
        let mut argument = sys::io_uring_mem_region_reg {
            region_uptr: (&raw mut description) as u64,
            flags: sys::IORING_MEM_REGION_REG_WAIT_ARG.into(),
            __resv: [0; 2],
        };
        // SAFETY: the ring is set up, and both structures live until the call returns. The memory
        // that they name is a mapping of its own, whose pages the kernel keeps as long as it needs.
        let result =
            unsafe { sys::io_uring_register_region(region.ring.as_mut_ptr(), &raw mut argument) };
        check(result, ACTION, NEEDS)?;
        Ok(region)
    }
}

impl WaitRegion {
    /// Memory for so many waits and their masks, all zero: without limits.
    fn map(waits: u32, ring: Arc<Ring>) -> Result<Self, i32> {
        // SAFETY: the call has no conditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let bytes = (waits as usize)
            .checked_mul(PLACE + MASK)
            .and_then(|bytes| bytes.checked_next_multiple_of(page))
            .ok_or(libc::ENOMEM)?;
        if bytes == 0 {
            return Err(libc::EINVAL);
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::ENOMEM));
        }
        let memory = NonNull::new(memory.cast()).ok_or(libc::ENOMEM)?;
        Ok(Self {
            memory,
            waits,
            bytes,
            ring,
        })
    }

    /// How many waits there are.
    #[expect(
        clippy::len_without_is_empty,
        reason = "there is no region without a wait"
    )]
    pub fn len(&self) -> usize {
        self.waits as usize
    }

    /// Sets the limits of a wait.
    ///
    /// A wait that names it and has begun keeps those that it began with.
    ///
    /// # Panics
    ///
    /// If the index is not below [`len`](Self::len).
    pub fn set(&mut self, index: u32, limits: WaitLimits) {
        assert!(
            index < self.waits,
            "there are {} waits, and {index} is none of them",
            self.waits
        );
        let index = index as usize;
        // SAFETY: the masks lie behind all the waits, and there is one for each.
        let mask = unsafe { self.memory.add(self.len() * PLACE + index * MASK) };
        let mask = mask.cast::<libc::sigset_t>();
        let sigmask = limits.signal_mask.map_or(0, |set| {
            // SAFETY: as above; the masks begin at a multiple of 64 and follow each other. The
            // kernel's threads read a mask only during a wait.
            unsafe { mask.write_volatile(set) };
            mask.as_ptr() as u64
        });
        let timeout = limits.timeout;
        let wait = sys::io_uring_reg_wait {
            ts: sys::__kernel_timespec {
                // The kernel adds it to its own clock: a century is as good as for ever.
                tv_sec: timeout.map_or(0, |timeout| {
                    timeout.as_secs().min(u32::MAX.into()).cast_signed()
                }),
                tv_nsec: timeout.map_or(0, |timeout| timeout.subsec_nanos().into()),
            },
            min_wait_usec: u32::try_from(limits.min_wait.as_micros()).unwrap_or(u32::MAX),
            flags: if timeout.is_some() {
                sys::IORING_REG_WAIT_TS
            } else {
                0
            },
            sigmask,
            sigmask_sz: MASK_SIZE,
            pad: [0; 3],
            pad2: [0; 2],
        };
        // SAFETY: the index is below the number of waits.
        let place = unsafe { self.memory.add(index * PLACE) };
        let place = place.cast::<sys::io_uring_reg_wait>();
        // SAFETY: the place is in the mapping and aligned, and the kernel copies it when a wait
        // begins. Should that be now, on another thread, the wait has an odd limit.
        unsafe { place.write_volatile(wait) };
    }

    /// Whether a queue of this ring can name the wait.
    fn check(&self, ring: &Arc<Ring>, index: u32) -> Result<(), Errno> {
        if Arc::ptr_eq(&self.ring, ring) && index < self.waits {
            Ok(())
        } else {
            Err(Errno(libc::EINVAL))
        }
    }

    /// Submits `to_submit` published entries and waits once.
    pub(crate) fn enter(
        &self,
        ring: &Arc<Ring>,
        gate: Gate,
        to_submit: u32,
        n: u32,
        index: u32,
    ) -> Result<Waited, Errno> {
        self.check(ring, index)?;
        let wanted = n.min(ring.cq_entries());
        let offset = index as usize * PLACE;
        // SAFETY: with EXT_ARG_REG the argument is no pointer but a distance from the start of the
        // registered region, which is within it. The mask that the wait names is in this value.
        let result = unsafe {
            gate.wait_with_argument(
                to_submit,
                wanted,
                ring.wake_up() | sys::IORING_ENTER_EXT_ARG | sys::IORING_ENTER_EXT_ARG_REG,
                ptr::without_provenance(offset),
                PLACE,
            )
        };
        let errno = result.wrapping_neg();
        if errno > 0 && ![libc::ETIME, libc::EINTR].contains(&errno) {
            return Err(Errno(errno));
        }
        let submitted = result.max(0).cast_unsigned();
        let ready = ring.ready();
        Ok(Waited {
            submitted,
            ready,
            timed_out: errno == libc::ETIME,
            interrupted: errno == libc::EINTR,
        })
    }
}

impl<T: Threads, C: CqeSize> CompletionQueue<T, C> {
    /// Waits until `n` completions are ready, with the limits of the registered wait `index`.
    ///
    /// One system call: a signal ends the wait, with [`Waited::interrupted`]. When the time has run
    /// out, [`Waited::timed_out`] says so if nothing is ready at all.
    ///
    /// Since Linux 6.13. C: `IORING_ENTER_EXT_ARG_REG`.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next), and `EINVAL` if the region is another ring's or has no such
    /// wait.
    pub fn wait_registered(
        &mut self,
        n: u32,
        waits: &WaitRegion,
        index: u32,
    ) -> io::Result<Waited> {
        self.publish_head();
        Ok(waits.enter(self.ring(), self.gate(), 0, n, index)?)
    }
}

impl<T: Threads, S: SqeSize> crate::submission::SubmissionQueue<T, S> {
    /// Hands all queued entries to the kernel and waits until `n` completions are ready, with the
    /// limits of the registered wait `index`.
    ///
    /// One system call: a signal ends the wait, with [`Waited::interrupted`], and so does an entry
    /// that the kernel refuses. When the time has run out, [`Waited::timed_out`] says so if nothing
    /// is ready at all and nothing was submitted.
    ///
    /// Since Linux 6.13. C: `io_uring_submit_and_wait_reg(3)`.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do; the entries that were not taken are still queued. `EINVAL`
    /// if the region is another ring's or has no such wait, and then nothing was done.
    pub fn submit_and_wait_registered(
        &mut self,
        n: u32,
        waits: &WaitRegion,
        index: u32,
    ) -> Result<Waited, SubmitError> {
        waits
            .check(self.ring(), index)
            .map_err(|Errno(errno)| SubmitError::new(errno, self.unsubmitted()))?;
        self.submit_and(|ring, gate, to_submit| waits.enter(ring, gate, to_submit, n, index))
    }
}

impl fmt::Debug for WaitRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitRegion")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for WaitRegion {
    fn drop(&mut self) {
        // SAFETY: the mapping was made for this value, with this length. The kernel does not use it
        // but its pages, which it keeps itself; and no wait can name it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}
