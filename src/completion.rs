//! Completions, and the half of a ring that they are taken from.

#![expect(
    clippy::inline_always,
    reason = "the system call belongs into the caller's own loop: see `enter`"
)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitflags::bitflags;

use crate::enter::Gate;
use crate::features::Features;
use crate::kind::{AnyThread, Cqe16, CqeSize, Threads};
use crate::params::SetupFlags;
use crate::ring::{Ring, Run, Word, is_held_up};
use crate::sys;
use crate::wait::{self, Wait, Waited};

mod iterator;
mod renew;

pub use iterator::Completions;

bitflags! {
    /// What a completion says beyond its result.
    ///
    /// The upper 16 bits are the number of a buffer when [`BUFFER`](Self::BUFFER) is set;
    /// [`Completion::buffer_id`] reads it.
    ///
    /// C: `IORING_CQE_F_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CompletionFlags: u32 {
        /// A buffer of a group was used. Since Linux 5.7.
        const BUFFER = sys::IORING_CQE_F_BUFFER;
        /// The same operation will complete again. Since Linux 5.13.
        const MORE = sys::IORING_CQE_F_MORE;
        /// The socket has more to receive. Since Linux 5.19 for TCP, and 6.17 for Unix sockets.
        const SOCK_NONEMPTY = sys::IORING_CQE_F_SOCK_NONEMPTY;
        /// The notification of a zero-copy send: the kernel has let go of its memory.
        /// Since Linux 6.0.
        const NOTIF = sys::IORING_CQE_F_NOTIF;
        /// The buffer was used in part, and the kernel will go on using it. Since Linux 6.12.
        const BUF_MORE = sys::IORING_CQE_F_BUF_MORE;
        /// A filler on a ring of mixed completions, which the queue passes over. On other rings
        /// it means nothing. Since Linux 6.18.
        const SKIP = sys::IORING_CQE_F_SKIP;
        /// A completion of 32 bytes on a ring of mixed completions. On other rings it means
        /// nothing. Since Linux 6.18. C: `IORING_CQE_F_32`.
        const LARGE = sys::IORING_CQE_F_32;
        /// The time stamp was made by hardware. Since Linux 6.17.
        const TSTAMP_HW = sys::IORING_CQE_F_TSTAMP_HW;

        const _ = !0;
    }
}

/// How an operation ended, or, for a multishot operation, one of its results.
///
/// `E` is what a completion holds on a ring of larger completions: nothing by default, `[u64; 2]`
/// with [`cqe32`](crate::IoUringParams::cqe32), `Option<[u64; 2]>` with
/// [`cqe_mixed`](crate::IoUringParams::cqe_mixed).
///
/// C: `struct io_uring_cqe`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "a completion is taken from the queue once, and this is it"]
pub struct Completion<E = ()> {
    pub(crate) user_data: u64,
    pub(crate) res: i32,
    pub(crate) flags: u32,
    pub(crate) extra: E,
}

impl<E: Copy> Completion<E> {
    /// The number that the operation was pushed with.
    #[inline]
    pub fn user_data(&self) -> u64 {
        self.user_data
    }

    /// The operation's result: what it is, its own page says.
    ///
    /// # Errors
    ///
    /// The error that the operation ended with, its errno in
    /// [`raw_os_error`](io::Error::raw_os_error).
    #[inline]
    pub fn result(&self) -> io::Result<i32> {
        if self.res >= 0 {
            Ok(self.res)
        } else {
            Err(io::Error::from_raw_os_error(self.res.wrapping_neg()))
        }
    }

    /// The result as the kernel gives it: a negative errno for an error.
    ///
    /// For the few operations whose result is not a number of 31 bits: a zero-copy send's
    /// notification, a message's payload.
    #[inline]
    pub fn raw_result(&self) -> i32 {
        self.res
    }

    /// What the completion says beyond its result.
    #[inline]
    pub fn flags(&self) -> CompletionFlags {
        CompletionFlags::from_bits_retain(self.flags)
    }

    /// Whether the same operation will complete again.
    ///
    /// What it points to must stay valid until a completion comes for which this is false.
    #[inline]
    pub fn more(&self) -> bool {
        self.flags().contains(CompletionFlags::MORE)
    }

    /// The buffer that was taken from the operation's group, if one was.
    #[inline]
    pub fn buffer_id(&self) -> Option<u16> {
        self.flags()
            .contains(CompletionFlags::BUFFER)
            .then_some((self.flags >> sys::IORING_CQE_BUFFER_SHIFT) as u16)
    }

    /// Whether this is the notification of a zero-copy send and not its result.
    #[inline]
    pub fn is_notification(&self) -> bool {
        self.flags().contains(CompletionFlags::NOTIF)
    }

    /// What the completion holds beyond 16 bytes, on a ring that has room for it.
    #[inline]
    pub fn extra(&self) -> E {
        self.extra
    }
}

impl<E: fmt::Debug> fmt::Debug for Completion<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Completion");
        debug
            .field("user_data", &self.user_data)
            .field("res", &self.res);
        let flags = CompletionFlags::from_bits_retain(self.flags & 0xffff);
        if self.flags & sys::IORING_CQE_F_BUFFER == 0 {
            debug.field("flags", &CompletionFlags::from_bits_retain(self.flags));
        } else {
            let buffer = self.flags >> sys::IORING_CQE_BUFFER_SHIFT;
            debug.field("flags", &flags).field("buffer_id", &buffer);
        }
        if size_of::<E>() > 0 {
            debug.field("extra", &self.extra);
        }
        debug.finish()
    }
}

/// The half of a ring that completions are taken from.
///
/// Made together with its [`SubmissionQueue`](crate::SubmissionQueue). Each half can be used from a
/// thread of its own, and the ring lives until both are dropped; `T` and `C` say what is special
/// about it, see [`kind`](crate::kind).
///
/// Completions are handed out by value, each exactly once, whatever becomes of the loop that takes
/// them. A full queue loses nothing: the kernel keeps what does not fit, and the methods that take
/// completions fetch it
/// (before Linux 5.5 it was lost, see [`lost`](Self::lost)).
pub struct CompletionQueue<T: Threads = AnyThread, C: CqeSize = Cqe16> {
    /// The completions to take, from the head on. The head is ahead of the ring's own while an
    /// iterator is at work, and cannot reach on then.
    run: Run<C>,
    ring_head: Word,
    ring_tail: Word,
    sq_flags: Word,
    gate: Gate,
    /// Completions are only found by entering the kernel, because nothing else polls for them.
    polled: bool,
    ring: Arc<Ring>,
    _threads: PhantomData<T::Marker>,
}

// SAFETY: the pointers lead into memory that `ring` keeps mapped, whatever thread it is on. Of that
// memory a completion queue writes the head and its own flags alone, which no other queue does,
// since there is one per ring and it is not `Clone`.
unsafe impl<C: CqeSize> Send for CompletionQueue<AnyThread, C> {}

impl<T: Threads, C: CqeSize> CompletionQueue<T, C> {
    /// # Safety
    ///
    /// No other completion queue of this ring exists; its completions have the size that `C` says;
    /// and if `T` is [`AnyThread`], nothing of the ring belongs to the calling thread.
    pub(crate) unsafe fn new(ring: Arc<Ring>) -> Self {
        let raw = ring.raw();
        let polled = ring
            .flags()
            .intersection(SetupFlags::IOPOLL | SetupFlags::SQPOLL)
            == SetupFlags::IOPOLL;
        let head = ring.cq_head().load(Ordering::Relaxed);
        let mut run = Run::new(raw.cq.cqes.cast(), raw.cq.ring_mask);
        run.begin(head, 0);
        Self {
            run,
            ring_head: ring.cq_head(),
            ring_tail: ring.cq_tail(),
            sq_flags: ring.sq_flags(),
            gate: Gate::of(raw),
            polled,
            ring,
            _threads: PhantomData,
        }
    }

    /// Takes the next completion, waiting for it if there is none.
    ///
    /// A signal does not end the wait. It does not submit anything: with nothing in flight it waits
    /// forever. For a limit in time, or to wait for several, see [`wait_with`](Self::wait_with).
    ///
    /// # Errors
    ///
    /// * `EBADR` if the kernel had to drop a completion for want of memory.
    /// * `EBADFD` if the ring is still disabled.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's `None` would have to mean that no completion ever comes again"
    )]
    pub fn next(&mut self) -> io::Result<Completion<C::Extra>> {
        loop {
            if let Some(completion) = self.take() {
                return Ok(completion);
            }
            let result = self.gate.wait(0, 1);
            if result < 0 {
                interrupted_or(result)?;
            }
        }
    }

    /// Takes the next completion if there is one.
    ///
    /// Enters the kernel only if the queue is empty and the ring's flags say that there is
    /// something to fetch: completions that did not fit, or work that the thread put off. On a
    /// ring with IOPOLL it always does, since nobody else polls.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<Completion<C::Extra>>> {
        if let Some(completion) = self.take() {
            return Ok(Some(completion));
        }
        if !self.must_fetch() {
            return Ok(None);
        }
        let result = self.gate.wait(0, 0);
        if result < 0 {
            interrupted_or(result)?;
        }
        Ok(self.take())
    }

    /// Looks at the next completion, if there is one, and leaves it in the queue.
    ///
    /// Never enters the kernel.
    #[inline]
    pub fn peek(&mut self) -> Option<Completion<C::Extra>> {
        self.look_anew();
        while !self.run.is_over() {
            // SAFETY: the run is not over.
            let (slots, completion) = unsafe { front(&self.run) };
            if completion.is_some() {
                return completion;
            }
            self.run.advance(slots);
            self.publish_head();
            if self.run.is_over() {
                self.look_anew();
            }
        }
        None
    }

    /// Iterates over the completions that are ready, taking them.
    ///
    /// The kernel is told once, when the iterator is dropped, that their room is free. What comes
    /// in meanwhile is left for the next call.
    ///
    /// Enters the kernel when [`try_next`](Self::try_next) does. If that fails, the iterator is
    /// empty, and the next call that can tell says why.
    #[inline(always)]
    pub fn completions(&mut self) -> Completions<'_, T, C> {
        let mut ready = self.ready();
        if ready == 0 && self.must_fetch() {
            self.publish_head();
            self.gate.wait(0, 0);
            ready = self.ready();
        }
        self.take_all(ready)
    }

    /// How many completions are in the queue.
    ///
    /// Never enters the kernel, and does not count what the kernel still holds: completions that
    /// did not fit, or that it puts off until it is asked, as on a ring for one thread. Fillers and the second halves of large completions count on a ring of mixed ones.
    #[inline]
    pub fn ready(&self) -> u32 {
        self.ring_tail
            .load(Ordering::Acquire)
            .wrapping_sub(self.run.position())
    }

    /// Waits until `n` completions are ready, and returns how many are.
    ///
    /// More than the queue has room for are never ready at once, so `n` is cut to
    /// [`capacity`](Self::capacity). With 0 it fetches what the kernel has put off and returns, as
    /// `io_uring_get_events(3)` does.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    #[inline]
    #[doc(alias = "io_uring_get_events")]
    pub fn wait(&mut self, n: u32) -> io::Result<u32> {
        self.wait_with(&Wait::for_completions(n))
            .map(|waited| waited.ready)
    }

    /// Waits as `wait` says: for how many completions, until when, with which signals blocked.
    ///
    /// Running out of time is not an error.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn wait_with(&mut self, wait: &Wait<'_>) -> io::Result<Waited> {
        self.publish_head();
        let head = self.run.position();
        Ok(wait::wait(&self.ring, self.gate, head, 0, wait)?)
    }

    /// How many completions the queue has room for.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.run.capacity()
    }

    /// Whether the kernel holds completions that did not fit into the queue.
    ///
    /// They are not lost, and taking completions fetches them. Since Linux 5.8.
    ///
    /// C: `io_uring_cq_has_overflow`.
    #[inline]
    pub fn has_overflowed(&self) -> bool {
        self.sq_flags.load(Ordering::Relaxed) & sys::IORING_SQ_CQ_OVERFLOW != 0
    }

    /// How many completions were lost for want of room or memory.
    ///
    /// With [`Features::NODROP`] that takes a kernel out of memory.
    #[inline]
    pub fn lost(&self) -> u32 {
        self.ring.cq_overflow().load(Ordering::Relaxed)
    }

    /// What the kernel said of itself when the ring was made.
    #[inline]
    pub fn features(&self) -> Features {
        self.ring.features()
    }

    /// The flags that the ring was made with, those among them that were added for it.
    #[inline]
    pub fn setup_flags(&self) -> SetupFlags {
        self.ring.flags()
    }

    /// The ring's descriptor, to be polled for readiness: it is readable when a completion is
    /// ready. `None` with [`registered_fd_only`](crate::IoUringParams::registered_fd_only).
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.ring.fd()
    }

    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether an empty queue may be filled by entering the kernel.
    #[inline]
    fn must_fetch(&self) -> bool {
        self.polled || is_held_up(self.sq_flags)
    }

    /// Takes one completion, and tells the kernel.
    #[inline]
    fn take(&mut self) -> Option<Completion<C::Extra>> {
        // More than once around only for fillers.
        loop {
            if self.run.is_over() && !self.look() {
                return None;
            }
            // SAFETY: the run is not over.
            let (slots, completion) = unsafe { front(&self.run) };
            self.run.advance(slots);
            // Release: what was read of the completion was read before.
            self.ring_head.add(slots, Ordering::Release);
            if completion.is_some() {
                return completion;
            }
        }
    }

    /// Looks whether there is more behind a run that is over.
    #[inline]
    fn look(&mut self) -> bool {
        let tail = self.ring_tail.load(Ordering::Acquire);
        let ready = tail.wrapping_sub(self.ring_head.load(Ordering::Relaxed));
        ready != 0 && (self.run.reach(ready) || self.look_anew())
    }

    /// Begins a run at the head, wherever that is, and says whether there is anything in it.
    ///
    /// Tells the kernel where the head is: of the room that a forgotten iterator took it still has
    /// to know, or it would take the queue for filled.
    #[cold]
    fn look_anew(&mut self) -> bool {
        self.publish_head();
        self.begin_run(self.ready());
        !self.run.is_over()
    }

    /// Begins a run at the head, of `ready` slots or up to the array's end.
    #[cold]
    #[inline(never)]
    fn begin_run(&mut self, ready: u32) {
        self.run.begin(self.run.position(), ready);
    }

    /// Gives the room of all that was taken back to the kernel.
    #[inline]
    pub(crate) fn publish_head(&self) {
        // Release: what was read of the completions was read before.
        self.ring_head.store(self.run.position(), Ordering::Release);
    }
}

impl<T: Threads, C: CqeSize> fmt::Debug for CompletionQueue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionQueue")
            .field("capacity", &self.capacity())
            .field("ready", &self.ready())
            .field("overflowed", &self.has_overflowed())
            .finish_non_exhaustive()
    }
}

/// The completion at the head, if it is not a filler, and how many slots it takes.
///
/// # Safety
///
/// The run is not over and is of a queue's completions, whose ring lives.
#[inline]
unsafe fn front<C: CqeSize>(run: &Run<C>) -> (u32, Option<Completion<C::Extra>>) {
    // SAFETY: the slots of the run are published: the tail was loaded with acquire before it was
    // begun, and the kernel does not reuse them before the ring's head, which is never ahead of
    // ours, has passed them. They lie one behind the other in the array, which lives as long as the
    // ring, and there is at least one.
    unsafe { C::read(run.next(), run.left()) }
}

/// Nothing if the call was only interrupted by a signal, otherwise the error.
#[cold]
fn interrupted_or(result: i32) -> io::Result<()> {
    match result.wrapping_neg() {
        libc::EINTR => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
