//! How a ring is to be made.

use std::marker::PhantomData;
use std::os::fd::RawFd;

use crate::error::{SetupCause, SetupError};
use crate::kind::{
    AnyThread, Cqe16, Cqe32, CqeMixed, CqeSize, OneThread, Sqe64, Sqe128, SqeMixed, SqeSize,
    Threads,
};
use crate::ring::{self, Halves, IoUring, Ring};
use crate::sys;

mod memory;
mod setup_flags;

pub use memory::RingMemory;
pub(crate) use memory::{HUGE_PAGE, MAP_HUGE, Mapping, page_size};
pub use setup_flags::SetupFlags;

/// The most entries that a submission queue can have.
pub(crate) const MAX_ENTRIES: u32 = 32_768;

/// How a ring is to be made.
///
/// Its type parameters follow from what is asked for: a ring for one thread, larger entries. They
/// become those of the queues.
///
/// ```
/// use lio_uring::{IoUring, IoUringParams};
///
/// # fn main() -> Result<(), lio_uring::SetupError> {
/// let params = IoUringParams::default().entries(64).cqsize(1024).submit_all();
/// let (mut cq, mut sq) = IoUring::with_params(params)?;
/// # Ok(())
/// # }
/// ```
///
/// C: `struct io_uring_params`.
#[derive(Clone, Copy, Debug)]
#[must_use = "parameters make no ring by themselves"]
pub struct IoUringParams<T: Threads = AnyThread, S: SqeSize = Sqe64, C: CqeSize = Cqe16> {
    entries: u32,
    flags: SetupFlags,
    cq_entries: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    wq_fd: RawFd,
    /// Whether the fastest flags that the kernel accepts are to be added.
    fastest: bool,
    _threads: PhantomData<T>,
    _entries: PhantomData<(S, C)>,
}

impl Default for IoUringParams {
    /// A ring whose halves can part, with 128 entries and no flags.
    fn default() -> Self {
        Self::with_flags(SetupFlags::empty(), false)
    }
}

impl IoUringParams<OneThread> {
    pub(crate) fn one_thread() -> Self {
        Self::with_flags(SetupFlags::empty(), true)
    }
}

impl<T: Threads, S: SqeSize, C: CqeSize> IoUringParams<T, S, C> {
    const fn with_flags(flags: SetupFlags, fastest: bool) -> Self {
        Self {
            entries: 128,
            flags,
            cq_entries: 0,
            sq_thread_cpu: 0,
            sq_thread_idle: 0,
            wq_fd: 0,
            fastest,
            _threads: PhantomData,
            _entries: PhantomData,
        }
    }

    fn insert<T2: Threads, S2: SqeSize, C2: CqeSize>(
        self,
        flags: SetupFlags,
    ) -> IoUringParams<T2, S2, C2> {
        IoUringParams {
            entries: self.entries,
            flags: self.flags | flags,
            cq_entries: self.cq_entries,
            sq_thread_cpu: self.sq_thread_cpu,
            sq_thread_idle: self.sq_thread_idle,
            wq_fd: self.wq_fd,
            fastest: self.fastest,
            _threads: PhantomData,
            _entries: PhantomData,
        }
    }

    /// Room for this many entries in the submission queue, rounded up to a power of two.
    ///
    /// From 1 to 32768. What the queues take counts as locked memory for ordinary users before Linux
    /// 5.12, and from 6.14 to 7.1. The completion queue has twice as many unless
    /// [`cqsize`](Self::cqsize) says otherwise.
    pub fn entries(mut self, entries: u32) -> Self {
        self.entries = entries;
        self
    }

    /// Room for this many completions, rounded up to a power of two.
    ///
    /// Not less than there are entries, and at most 65536.
    ///
    /// Since Linux 5.5. C: `IORING_SETUP_CQSIZE`.
    pub fn cqsize(mut self, entries: u32) -> Self {
        self.cq_entries = entries;
        self.insert(SetupFlags::CQSIZE)
    }

    /// Cuts sizes that are too large to the largest allowed, instead of refusing them.
    ///
    /// Since Linux 5.6. C: `IORING_SETUP_CLAMP`.
    pub fn clamp(self) -> Self {
        self.insert(SetupFlags::CLAMP)
    }

    /// Polls the storage device for completions instead of taking interrupts.
    ///
    /// Only reads and writes with `O_DIRECT` on a device with poll queues work on such a ring, and
    /// what cannot be polled for; others complete with `EOPNOTSUPP` or `EINVAL`. Nothing completes
    /// unless somebody waits or looks: the completion queue's methods do. Waiting takes a whole
    /// processor, and a wait for several may end with one: see
    /// [`Wait::for_completions`](crate::Wait::for_completions).
    ///
    /// Since Linux 5.1. C: `IORING_SETUP_IOPOLL`.
    pub fn iopoll(self) -> Self {
        self.insert(SetupFlags::IOPOLL)
    }

    /// Sleeps for a while before it polls. Needs [`iopoll`](Self::iopoll).
    ///
    /// Since Linux 6.13. C: `IORING_SETUP_HYBRID_IOPOLL`.
    pub fn hybrid_iopoll(self) -> Self {
        self.insert(SetupFlags::HYBRID_IOPOLL)
    }

    /// Has a kernel thread submit, so that submitting takes no system call while it is awake, unless
    /// completions are held back for want of room.
    ///
    /// The thread goes to sleep when it has had nothing to do for `idle_ms` milliseconds (0 means
    /// the kernel's default, a second) and is woken by
    /// [`submit`](crate::SubmissionQueue::submit). It takes a processor for itself while awake.
    ///
    /// The thread makes room in the submission queue when it has taken all that it saw there. That
    /// can be after the completions have come, so none of them means that there is room:
    /// [`wait_for_space`](crate::SubmissionQueue::wait_for_space) waits for it.
    ///
    /// What an entry points to must stay valid until its completion, arguments too. Before Linux
    /// 5.11 it needs registered files, and privileges.
    ///
    /// Since Linux 5.1. C: `IORING_SETUP_SQPOLL`.
    pub fn sqpoll(mut self, idle_ms: u32) -> Self {
        self.sq_thread_idle = idle_ms;
        self.insert(SetupFlags::SQPOLL)
    }

    /// Binds the kernel thread to this processor. Needs [`sqpoll`](Self::sqpoll).
    ///
    /// Since Linux 5.1. C: `IORING_SETUP_SQ_AFF`.
    pub fn sq_aff(mut self, cpu: u32) -> Self {
        self.sq_thread_cpu = cpu;
        self.insert(SetupFlags::SQ_AFF)
    }

    /// Shares the kernel workers of another ring, and its submitting thread if both have one.
    ///
    /// `ring_fd` is that ring's descriptor. It is only looked at while the ring is made.
    ///
    /// Since Linux 5.6. C: `IORING_SETUP_ATTACH_WQ`.
    pub fn attach_wq(mut self, ring_fd: RawFd) -> Self {
        self.wq_fd = ring_fd;
        self.insert(SetupFlags::ATTACH_WQ)
    }

    /// Makes the ring disabled: things can be registered, but nothing submitted, until
    /// [`enable`](crate::SubmissionQueue::enable). [`disabled`](Self::disabled) gives such a ring a
    /// type of its own, which can do what has to be done before.
    ///
    /// Submitting before that is refused, except with [`sqpoll`](Self::sqpoll), where it is the
    /// kernel's thread that waits.
    ///
    /// Since Linux 5.10. C: `IORING_SETUP_R_DISABLED`.
    pub fn r_disabled(self) -> Self {
        self.insert(SetupFlags::R_DISABLED)
    }

    /// Goes on submitting after an entry that the kernel refuses at once. Otherwise the submission
    /// ends there and the rest stays queued.
    ///
    /// Since Linux 5.18. C: `IORING_SETUP_SUBMIT_ALL`.
    pub fn submit_all(self) -> Self {
        self.insert(SetupFlags::SUBMIT_ALL)
    }

    /// Lets completions wait until the submitting thread enters the kernel, instead of
    /// interrupting it.
    ///
    /// With [`taskrun_flag`](Self::taskrun_flag), which it sets, taking completions enters by
    /// itself when there are some. It pays when one thread uses both halves. With the halves on
    /// two threads completions can be held back until the submitting one next enters.
    ///
    /// Since Linux 5.19. C: `IORING_SETUP_COOP_TASKRUN`.
    pub fn coop_taskrun(mut self) -> Self {
        self.fastest = false;
        self.insert(SetupFlags::COOP_TASKRUN | SetupFlags::TASKRUN_FLAG)
    }

    /// Has the ring's flags show that completions wait for the thread to enter the kernel. Needs
    /// [`coop_taskrun`](Self::coop_taskrun) or [`defer_taskrun`](Self::defer_taskrun), which set
    /// it.
    ///
    /// Since Linux 5.19. C: `IORING_SETUP_TASKRUN_FLAG`.
    pub fn taskrun_flag(self) -> Self {
        self.insert(SetupFlags::TASKRUN_FLAG)
    }

    /// Promises that one thread alone submits, which spares the kernel a lock, and binds the ring
    /// to this thread.
    ///
    /// Since Linux 6.0. C: `IORING_SETUP_SINGLE_ISSUER`.
    pub fn single_issuer(mut self) -> IoUringParams<OneThread, S, C> {
        self.fastest = false;
        self.insert(SetupFlags::SINGLE_ISSUER)
    }

    /// Lets completions wait until the thread asks for them, and binds the ring to this thread.
    ///
    /// Sets [`single_issuer`](Self::single_issuer) and [`taskrun_flag`](Self::taskrun_flag) too.
    /// The fastest way for sockets and for small operations. It costs processor time for direct
    /// reads from storage, whose completions would otherwise be made in the interrupt.
    ///
    /// Since Linux 6.1. C: `IORING_SETUP_DEFER_TASKRUN`.
    pub fn defer_taskrun(mut self) -> IoUringParams<OneThread, S, C> {
        self.fastest = false;
        self.insert(
            SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER | SetupFlags::TASKRUN_FLAG,
        )
    }

    /// Puts the queues into memory of the process instead of the kernel's: a page, or huge pages
    /// of 2 MiB if that is too small.
    ///
    /// Since Linux 6.5. C: `IORING_SETUP_NO_MMAP`.
    pub fn no_mmap(self) -> Self {
        self.insert(SetupFlags::NO_MMAP)
    }

    /// Makes a ring without a descriptor, known by its index among the thread's registered rings
    /// alone, and binds it to this thread. Needs [`no_mmap`](Self::no_mmap).
    ///
    /// Since Linux 6.5. C: `IORING_SETUP_REGISTERED_FD_ONLY`.
    pub fn registered_fd_only(self) -> IoUringParams<OneThread, S, C> {
        self.insert(SetupFlags::REGISTERED_FD_ONLY)
    }

    /// Does without the array of indices between queue and entries.
    ///
    /// It is set anyway where the kernel has it; asking for it makes its lack an error.
    ///
    /// Since Linux 6.6. C: `IORING_SETUP_NO_SQARRAY`.
    pub fn no_sqarray(self) -> Self {
        self.insert(SetupFlags::NO_SQARRAY)
    }

    /// Starts each submission at the first slot, which keeps few cache lines in use. Sets
    /// [`no_sqarray`](Self::no_sqarray), which it needs.
    ///
    /// Since Linux 7.0. C: `IORING_SETUP_SQ_REWIND`.
    pub fn sq_rewind(self) -> Self {
        self.insert(SetupFlags::SQ_REWIND | SetupFlags::NO_SQARRAY)
    }

    /// The flags that are set so far.
    pub fn flags(&self) -> SetupFlags {
        self.flags
    }

    /// Refuses what cannot work on any kernel, with the reason, before asking this one.
    fn check(&self) -> Result<(), SetupError> {
        use SetupFlags as F;
        let flags = self.flags;
        let clamp = flags.contains(F::CLAMP);
        let refused = [
            (
                self.entries == 0,
                "a submission queue needs at least 1 entry",
            ),
            (
                self.entries > MAX_ENTRIES && !clamp,
                "a submission queue has at most 32768 entries; `clamp` takes as many as there can be",
            ),
            (
                flags.contains(F::CQSIZE)
                    && rounded(self.cq_entries) < rounded(self.entries.min(MAX_ENTRIES)),
                "a completion queue cannot be smaller than its submission queue",
            ),
            (
                self.cq_entries > 2 * MAX_ENTRIES && !clamp,
                "a completion queue has at most 65536 entries; `clamp` takes as many as there can be",
            ),
            (
                flags.contains(F::SQE_MIXED) && self.entries < 4,
                "a queue of mixed entries needs at least 4, or a large one does not always fit",
            ),
            (
                flags.contains(F::SQ_AFF) && !flags.contains(F::SQPOLL),
                "`sq_aff` binds the thread that `sqpoll` makes, and there is no `sqpoll`",
            ),
            (
                flags.contains(F::HYBRID_IOPOLL) && !flags.contains(F::IOPOLL),
                "`hybrid_iopoll` is a way of polling that needs `iopoll`",
            ),
            (
                flags.contains(F::SQPOLL) && flags.contains(F::COOP_TASKRUN),
                "`coop_taskrun` is about the submitting thread, which `sqpoll` puts into the kernel",
            ),
            (
                flags.contains(F::SQPOLL) && flags.contains(F::DEFER_TASKRUN),
                "`defer_taskrun` is about the submitting thread, which `sqpoll` puts into the kernel",
            ),
            (
                flags.contains(F::TASKRUN_FLAG)
                    && !flags.intersects(F::COOP_TASKRUN | F::DEFER_TASKRUN),
                "`taskrun_flag` shows the work that `coop_taskrun` or `defer_taskrun` puts off",
            ),
            (
                flags.contains(F::REGISTERED_FD_ONLY) && !flags.contains(F::NO_MMAP),
                "without a descriptor nothing can be mapped, so `registered_fd_only` needs `no_mmap`",
            ),
            (
                flags.contains(F::SQ_REWIND) && flags.contains(F::SQPOLL),
                "`sq_rewind` ignores the queue's head and tail, which `sqpoll` follows",
            ),
        ];
        match refused
            .into_iter()
            .find_map(|(refused, reason)| refused.then_some(reason))
        {
            Some(reason) => Err(SetupError {
                errno: libc::EINVAL,
                cause: SetupCause::InvalidParams { reason },
            }),
            None => Ok(()),
        }
    }

    /// Makes the ring, with the flags that are set or the fastest that the kernel accepts.
    fn ring(&self) -> Result<Ring, SetupError> {
        self.ring_by(|entries, raw| Ring::create(entries, raw, T::ONE))
    }

    /// The same, by this function, which is given the number of entries and the parameters.
    fn ring_by(
        &self,
        mut make: impl FnMut(u32, &mut sys::io_uring_params) -> Result<Ring, i32>,
    ) -> Result<Ring, SetupError> {
        use SetupFlags as F;
        self.check()?;
        let fastest = [
            F::SINGLE_ISSUER | F::DEFER_TASKRUN | F::TASKRUN_FLAG,
            F::SINGLE_ISSUER | F::COOP_TASKRUN | F::TASKRUN_FLAG,
            F::COOP_TASKRUN | F::TASKRUN_FLAG,
            F::SINGLE_ISSUER,
        ];
        let conflicting = F::SQPOLL | F::TASKRUN_FLAG;
        if self.fastest {
            for added in fastest {
                if self.flags.contains(F::SQPOLL) && added.intersects(conflicting) {
                    continue;
                }
                match make(self.entries, &mut self.raw(self.flags | added)) {
                    Err(libc::EINVAL) => {}
                    Err(errno) => return Err(self.diagnose(errno)),
                    Ok(ring) => return Ok(ring),
                }
            }
        }
        make(self.entries, &mut self.raw(self.flags)).map_err(|errno| self.diagnose(errno))
    }

    fn raw(&self, flags: SetupFlags) -> sys::io_uring_params {
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut raw: sys::io_uring_params = unsafe { std::mem::zeroed() };
        raw.flags = flags.bits();
        raw.cq_entries = self.cq_entries;
        raw.sq_thread_cpu = self.sq_thread_cpu;
        raw.sq_thread_idle = self.sq_thread_idle;
        raw.wq_fd = self.wq_fd.cast_unsigned();
        raw
    }

    fn diagnose(&self, errno: i32) -> SetupError {
        SetupError::diagnose(errno, self.entries, &self.raw(self.flags))
    }

    /// The halves of a ring that operations can be pushed to from now on.
    pub(crate) fn enabled_halves(&self) -> Result<Halves<T, S, C>, SetupError> {
        if self.flags.contains(SetupFlags::R_DISABLED) {
            return Err(SetupError {
                errno: libc::EINVAL,
                cause: SetupCause::InvalidParams {
                    reason: "a ring of the owned layer is never enabled later",
                },
            });
        }
        self.halves()
    }

    pub(crate) fn halves(&self) -> Result<Halves<T, S, C>, SetupError> {
        let ring = self.ring()?;
        // SAFETY: the ring is new. The methods that set the flags for larger entries also set the
        // types, and those that bind the ring to a thread set `T` to `OneThread`.
        Ok(unsafe { ring::halves(ring) })
    }
}

/// The number of entries that the kernel makes of this one.
fn rounded(entries: u32) -> u32 {
    if entries == 0 {
        0
    } else {
        entries.checked_next_power_of_two().unwrap_or(u32::MAX)
    }
}

impl<S: SqeSize, C: CqeSize> IoUringParams<OneThread, S, C> {
    /// Makes the ring.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here.
    pub fn build(self) -> Result<IoUring<S, C>, SetupError> {
        self.halves().map(IoUring::from_halves)
    }

    /// Sets no flags but those that are asked for, instead of the fastest that the kernel accepts.
    ///
    /// [`coop_taskrun`](Self::coop_taskrun), [`single_issuer`](Self::single_issuer) and
    /// [`defer_taskrun`](Self::defer_taskrun) do so as well.
    pub fn exact(mut self) -> Self {
        self.fastest = false;
        self
    }
}

impl<T: Threads, C: CqeSize> IoUringParams<T, Sqe64, C> {
    /// Gives every entry 128 bytes, as the commands of some devices need.
    ///
    /// Since Linux 5.19. C: `IORING_SETUP_SQE128`.
    pub fn sqe128(self) -> IoUringParams<T, Sqe128, C> {
        self.insert(SetupFlags::SQE128)
    }

    /// Lets entries have 64 or 128 bytes. One of 128 takes two slots of the queue, and it needs at
    /// least 4.
    ///
    /// A large entry is not split at the end of the array: a NOP fills the last slot, with
    /// [`CQE_SKIP_SUCCESS`](crate::SqeFlags::CQE_SKIP_SUCCESS). The kernel then refuses
    /// [`IO_DRAIN`](crate::SqeFlags::IO_DRAIN) on this ring, so do without it.
    ///
    /// Since Linux 6.19. C: `IORING_SETUP_SQE_MIXED`.
    pub fn sqe_mixed(self) -> IoUringParams<T, SqeMixed, C> {
        self.insert(SetupFlags::SQE_MIXED)
    }
}

impl<T: Threads, S: SqeSize> IoUringParams<T, S, Cqe16> {
    /// Gives every completion 32 bytes; [`Completion::extra`](crate::Completion::extra) has the
    /// second half.
    ///
    /// Since Linux 5.19. C: `IORING_SETUP_CQE32`.
    pub fn cqe32(self) -> IoUringParams<T, S, Cqe32> {
        self.insert(SetupFlags::CQE32)
    }

    /// Lets completions have 16 or 32 bytes. One of 32 takes two slots of the queue.
    ///
    /// Since Linux 6.18. C: `IORING_SETUP_CQE_MIXED`.
    pub fn cqe_mixed(self) -> IoUringParams<T, S, CqeMixed> {
        self.insert(SetupFlags::CQE_MIXED)
    }
}
