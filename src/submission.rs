//! The half of a ring that operations are pushed to.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::enter::Gate;
use crate::entry::{LargeSqe, Sqe, SqeFlags};
use crate::error::QueueFull;
use crate::features::Features;
use crate::kind::{AnyThread, HasLargeSqe, Sqe64, SqeSize, Threads};
use crate::operation::{LargeOperation, Operation};
use crate::params::SetupFlags;
use crate::ring::{Ring, Word};

mod batch;
mod slots;
mod submit;
mod withdraw;

pub use batch::Batch;
use slots::Slots;

/// The half of a ring that operations are pushed to and submitted from.
///
/// Made together with its [`CompletionQueue`](crate::CompletionQueue). Each half can be used from a
/// thread of its own, and the ring lives until both are dropped; `T` and `S` say what is special
/// about it, see [`kind`](crate::kind).
///
/// Pushing queues an operation and submitting hands what is queued to the kernel. Entries that were
/// never submitted when the queue is dropped never run. With SQPOLL the kernel's thread can still
/// take those that were.
///
/// Using a half after it has been moved elsewhere does not compile:
///
/// ```compile_fail,E0382
/// let (_cq, mut sq) = lio_uring::with_capacity(8).unwrap();
/// std::thread::spawn(move || sq.submit());
/// sq.submit();
/// ```
pub struct SubmissionQueue<T: Threads = AnyThread, S: SqeSize = Sqe64> {
    slots: Slots<S>,
    /// The tail that the kernel was last shown.
    published: u32,
    gate: Gate,
    ring_head: Word,
    ring_tail: Word,
    sq_flags: Word,
    cq_head: Word,
    cq_tail: Word,
    /// Whether submitting takes more than publishing the tail and entering: SQPOLL, `SQ_REWIND`.
    special: bool,
    ring: Arc<Ring>,
    _kind: PhantomData<T::Marker>,
}

// SAFETY: the pointers lead into memory that `ring` keeps mapped, whatever thread it is on. Of that
// memory a submission queue writes the slots and the tail alone, which no other queue does, since
// there is one per ring and it is not `Clone`.
unsafe impl<S: SqeSize> Send for SubmissionQueue<AnyThread, S> {}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// # Safety
    ///
    /// No other submission queue of this ring exists; its entries have the size that `S` says; and
    /// if `T` is [`AnyThread`], nothing of the ring belongs to the calling thread.
    pub(crate) unsafe fn new(ring: Arc<Ring>) -> Self {
        let raw = ring.raw();
        let head = ring.sq_head().load(Ordering::Acquire);
        let tail = ring.sq_tail().load(Ordering::Relaxed);
        Self {
            slots: Slots::new(raw.sq.sqes.cast(), raw.sq.ring_mask, head, tail),
            published: tail,
            gate: Gate::of(raw),
            ring_head: ring.sq_head(),
            ring_tail: ring.sq_tail(),
            sq_flags: ring.sq_flags(),
            cq_head: ring.cq_head(),
            cq_tail: ring.cq_tail(),
            special: ring
                .flags()
                .intersects(SetupFlags::SQPOLL | SetupFlags::SQ_REWIND),
            ring,
            _kind: PhantomData,
        }
    }

    /// Queues an operation. The completion will carry `user_data`, any number of the caller's.
    ///
    /// The kernel sees nothing of it before [`submit`](Self::submit). The operation's own value is
    /// no longer needed after this.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// What the operation's own page asks for under *Safety* holds from now on until the operation
    /// has ended: until the completion has been taken for which
    /// [`more`](crate::Completion::more) is false. It goes on to hold if a submission fails, since
    /// the entry stays queued; if cancellation is asked for; and if the ring is closed, which ends
    /// nothing that the kernel is carrying out.
    ///
    /// Pushing outside `unsafe` does not compile:
    ///
    /// ```compile_fail,E0133
    /// let (_cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    /// sq.push(&lio_uring::operation::Nop, 0);
    /// ```
    #[inline]
    pub unsafe fn push<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.push_with(operation, user_data, |_| ()) }
    }

    /// Queues an operation with flags, which are added to those that the operation sets itself.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push). With [`SqeFlags::FIXED_FILE`] the descriptor is an index, and
    /// what is registered there is what the caller means.
    #[inline]
    pub unsafe fn push_with_flags<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        flags: SqeFlags,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.push_with(operation, user_data, |sqe| sqe.insert_flags(flags)) }
    }

    /// Queues an operation with further settings, made on its entry after the operation's own.
    ///
    /// ```
    /// # use lio_uring::{FileSlot, operation::Openat};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut cq, mut sq) = lio_uring::with_capacity(8)?;
    /// sq.register_files_sparse(4)?;
    /// let open = Openat { dfd: libc::AT_FDCWD, path: c"/dev/null".as_ptr(), flags: 0, mode: 0 };
    /// // SAFETY: the path is valid for ever.
    /// unsafe { sq.push_with(&open, 1, |sqe| sqe.set_target(FileSlot::At(2))) }?;
    /// sq.submit_and_wait(1)?;
    /// assert_eq!(cq.next()?.result()?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued, and `settings` was not called.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push), for the entry as it is after `settings`.
    #[inline]
    pub unsafe fn push_with<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut Sqe),
    ) -> Result<(), QueueFull> {
        self.slots.make_room(self.ring_head)?;
        let mut sqe = Sqe::of(operation);
        settings(&mut sqe);
        sqe.set_user_data(user_data);
        // SAFETY: the run is not over, and the ring lives as long as this queue.
        unsafe { self.slots.write(sqe) };
        Ok(())
    }

    /// Queues an entry that was filled by hand: the way to whatever this library has no operation
    /// for.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// What the kernel will do for the entry is sound: everything that it points to, to be read or
    /// written, stays valid until the operation has ended, as for [`push`](Self::push).
    #[inline]
    pub unsafe fn push_raw(&mut self, sqe: &Sqe, user_data: u64) -> Result<(), QueueFull> {
        self.slots.make_room(self.ring_head)?;
        let mut sqe = *sqe;
        sqe.set_user_data(user_data);
        // SAFETY: the run is not over, and the ring lives as long as this queue.
        unsafe { self.slots.write(sqe) };
        Ok(())
    }

    /// Queues all operations of an iterator, each with its `user_data`, or none.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push), for each operation.
    #[inline]
    pub unsafe fn push_all<O: Operation>(
        &mut self,
        operations: impl IntoIterator<Item = (O, u64)>,
    ) -> Result<(), QueueFull> {
        let operations = operations.into_iter();
        let most = operations.size_hint().1.unwrap_or(usize::MAX);
        let in_one_run = !S::MIXED
            && u32::try_from(most).is_ok_and(|most| {
                most <= self.slots.left_in_run() || self.slots.begin_run(self.ring_head, most)
            });
        if !in_one_run {
            // SAFETY: the caller's promise.
            return unsafe { self.push_over_runs(operations) };
        }
        let entries = operations
            .take(most)
            .map(|(operation, user_data)| Sqe::with_user_data(&operation, user_data));
        // SAFETY: the run has room for as many as `take` lets through, and the ring lives.
        unsafe { self.slots.write_all(entries) };
        Ok(())
    }

    /// Queues all operations of an iterator, or none, in as many runs as it takes.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push), for each operation.
    #[cold]
    unsafe fn push_over_runs<O: Operation>(
        &mut self,
        operations: impl Iterator<Item = (O, u64)>,
    ) -> Result<(), QueueFull> {
        let mut slots = self.slots;
        for (operation, user_data) in operations {
            slots.make_room(self.ring_head)?;
            // SAFETY: the run is not over, and the ring lives as long as this queue.
            unsafe { slots.write(Sqe::with_user_data(&operation, user_data)) };
        }
        self.slots = slots;
        Ok(())
    }

    /// Queues an operation that needs an entry of 128 bytes.
    ///
    /// Only a ring that was made with such entries has this method. On a ring of mixed entries only
    /// operations compile whose code says that their entry is large:
    ///
    /// ```compile_fail,E0080
    /// use lio_uring::operation::UringCmdLarge;
    /// let params = lio_uring::IoUringParams::default().sqe_mixed();
    /// let (_cq, mut sq) = lio_uring::IoUring::with_params(params).unwrap();
    /// let command = UringCmdLarge { cmd_op: 0, fd: 0, cmd: [0; 80] };
    /// unsafe { sq.push_large(&command, 0) }.unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued. On a ring of mixed entries it takes two slots, or three
    /// at the end of the array.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push).
    pub unsafe fn push_large<O: LargeOperation>(
        &mut self,
        operation: &O,
        user_data: u64,
    ) -> Result<(), QueueFull>
    where
        S: HasLargeSqe,
    {
        // SAFETY: the caller's promise.
        unsafe { self.push_large_with(operation, user_data, |_| ()) }
    }

    /// Queues an operation that needs an entry of 128 bytes, with further settings, made on its
    /// entry after the operation's own.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued. On a ring of mixed entries it takes two slots, or three
    /// at the end of the array.
    ///
    /// # Safety
    ///
    /// That of [`push`](Self::push), for the entry as it is after `settings`.
    pub unsafe fn push_large_with<O: LargeOperation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut LargeSqe),
    ) -> Result<(), QueueFull>
    where
        S: HasLargeSqe,
    {
        const {
            assert!(
                !S::MIXED || !O::OPCODE.has_small_entry(),
                "on a ring of mixed entries the kernel reads 64 bytes for this operation, and takes \
                 the rest for an entry of its own"
            );
        }
        let mut entry = Sqe::EMPTY;
        entry.set_opcode(O::OPCODE);
        let mut sqe = LargeSqe::from(entry);
        operation.prepare(&mut sqe);
        settings(&mut sqe);
        sqe.entry.set_user_data(user_data);
        self.slots.set_head(self.ring_head.load(Ordering::Acquire));
        let unseen = if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.published
        } else {
            self.slots.head()
        };
        // SAFETY: the ring lives as long as this queue.
        let written = unsafe { self.slots.write_large(sqe, unseen) };
        if written { Ok(()) } else { Err(QueueFull) }
    }

    /// A handle that pushes many operations, and submits them.
    ///
    /// Each push counts at once, whatever becomes of the handle.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_, T, S> {
        Batch { queue: self }
    }

    /// A handle with room for at least `n` operations, so that a chain is queued whole or not at
    /// all.
    ///
    /// On a ring of mixed entries a large one counts twice, and a chain that has any needs one more.
    ///
    /// ```
    /// # use lio_uring::{SqeFlags, operation::Nop};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_cq, mut sq) = lio_uring::with_capacity(8)?;
    /// let mut chain = sq.reserve(2)?;
    /// // SAFETY: a NOP points to nothing.
    /// unsafe { chain.push_with_flags(&Nop, 1, SqeFlags::IO_LINK) }?;
    /// // SAFETY: a NOP points to nothing.
    /// unsafe { chain.push(&Nop, 2) }?;
    /// chain.submit()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueFull`] if there is less room.
    #[inline]
    pub fn reserve(&mut self, n: u32) -> Result<Batch<'_, T, S>, QueueFull> {
        if self.slots.left_in_run() < n {
            self.look_for_room(n)?;
        }
        Ok(self.batch())
    }

    /// How many more operations can be pushed before the queue is full.
    #[inline]
    pub fn space_left(&mut self) -> u32 {
        if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.slots.set_head(self.ring_head.load(Ordering::Acquire));
        }
        self.slots.free()
    }

    /// Whether nothing more can be pushed.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.space_left() == 0
    }

    /// How many entries are queued that the kernel has not taken. With SQPOLL its thread may be
    /// about to take those that were submitted.
    ///
    /// On a ring of mixed entries this, [`space_left`](Self::space_left),
    /// [`capacity`](Self::capacity) and what submitting returns are counts of slots.
    #[inline]
    pub fn unsubmitted(&self) -> u32 {
        if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.slots
                .tail()
                .wrapping_sub(self.ring_head.load(Ordering::Acquire))
        } else {
            self.slots.occupied()
        }
    }

    /// How many entries the queue has room for in all.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.slots.capacity()
    }

    /// How many entries the kernel could not make sense of at all. Always 0, unless somebody else
    /// writes to the ring.
    #[inline]
    pub fn dropped(&self) -> u32 {
        self.ring.sq_dropped().load(Ordering::Relaxed)
    }

    /// Whether the kernel's thread of a ring with [`sqpoll`](crate::IoUringParams::sqpoll) sleeps:
    /// the next submission will enter the kernel to wake it. Always false without `sqpoll`.
    ///
    /// C: `IORING_SQ_NEED_WAKEUP`.
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.thread_sleeps()
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

    /// Looks up anew how the ring is entered.
    pub(crate) fn refresh_gate(&mut self) {
        self.gate = self.gate.refreshed(self.ring.raw());
    }

    /// Looks up anew where the queue lies. What is queued has kept its place in the counting.
    pub(crate) fn refresh_memory(&mut self) {
        let raw = self.ring.raw();
        self.ring_head = self.ring.sq_head();
        self.ring_tail = self.ring.sq_tail();
        self.sq_flags = self.ring.sq_flags();
        self.cq_head = self.ring.cq_head();
        self.cq_tail = self.ring.cq_tail();
        let head = self.ring_head.load(Ordering::Acquire);
        self.slots
            .relocate(raw.sq.sqes.cast(), raw.sq.ring_mask, head);
    }

    /// Whether the kernel counts this half's waits as waits for I/O; see
    /// [`CompletionQueue::set_iowait`](crate::CompletionQueue::set_iowait).
    ///
    /// Since Linux 6.15. C: `io_uring_set_iowait(3)`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` without [`Features::NO_IOWAIT`].
    pub fn set_iowait(&mut self, counted: bool) -> io::Result<()> {
        self.gate.set_iowait(counted, self.ring.features())
    }

    #[cfg(test)]
    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Looks whether the kernel has read entries since we last looked.
    #[cold]
    fn look_for_room(&mut self, n: u32) -> Result<(), QueueFull> {
        // Acquire: the slots are written again only after the kernel's thread has read them.
        self.slots.set_head(self.ring_head.load(Ordering::Acquire));
        if self.slots.free() >= n {
            Ok(())
        } else {
            Err(QueueFull)
        }
    }
}

impl<T: Threads, S: SqeSize> fmt::Debug for SubmissionQueue<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmissionQueue")
            .field("capacity", &self.capacity())
            .field("unsubmitted", &self.unsubmitted())
            .field("flags", &self.setup_flags())
            .finish_non_exhaustive()
    }
}
