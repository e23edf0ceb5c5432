//! The half of a ring that operations are pushed to.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::enter::Gate;
use crate::entry::{LargeSqe, Sqe, SqeFlags};
use crate::error::{QueueFull, SubmitError};
use crate::features::Features;
use crate::kind::{AnyThread, HasLargeSqe, Sqe64, SqeSize, Threads, slot};
use crate::operation::{LargeOperation, Operation};
use crate::params::SetupFlags;
use crate::ring::{Ring, Word};
use crate::sys;
use crate::wait::{self, Errno, Wait, Waited};

/// The array of slots that entries are written to.
///
/// `head..tail` are occupied, by entries that the kernel may not have read yet. Nothing here is
/// shared with the kernel but the slots' memory: that the occupied ones become visible is the
/// queue's business.
#[derive(Clone, Copy, Debug)]
struct Slots<S: SqeSize> {
    base: *mut Sqe,
    mask: u32,
    /// The first slot that the kernel has not read, as far as we have looked.
    head: u32,
    /// The next slot to write.
    tail: u32,
    _size: PhantomData<fn() -> S>,
}

impl<S: SqeSize> Slots<S> {
    #[inline]
    fn free(&self) -> u32 {
        self.mask
            .wrapping_add(1)
            .wrapping_sub(self.tail.wrapping_sub(self.head))
    }

    /// Writes an entry into the next slot and returns the tail behind it.
    ///
    /// # Safety
    ///
    /// At least one slot is free, and the ring that the slots belong to lives.
    #[inline]
    unsafe fn write(&self, sqe: Sqe) -> u32 {
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(self.base, self.tail & self.mask, S::SHIFT) };
        // SAFETY: the slot is free, so neither the kernel nor anyone else reads or writes it, and
        // it has the size that `S` says.
        unsafe { S::write(slot, sqe) };
        self.tail.wrapping_add(1)
    }

    /// Writes a large entry into the next slot, or two, and returns the tail behind it; `None` if
    /// there is no room.
    ///
    /// # Safety
    ///
    /// The ring that the slots belong to lives.
    unsafe fn write_large(&self, sqe: LargeSqe) -> Option<u32>
    where
        S: HasLargeSqe,
    {
        let mut slots = *self;
        // An entry of two slots must not wrap around: the last slot is filled with a NOP that
        // completes silently.
        let index = slots.tail & slots.mask;
        let wraps = index + S::LARGE_SLOTS > slots.mask + 1;
        if slots.free() < S::LARGE_SLOTS + u32::from(wraps) {
            return None;
        }
        if wraps {
            let mut filler = Sqe::of(&crate::operation::Nop);
            filler.insert_flags(SqeFlags::CQE_SKIP_SUCCESS);
            // SAFETY: a slot is free, and the ring lives.
            slots.tail = unsafe { slots.write(filler) };
        }
        // SAFETY: the index is masked to the size of the array.
        let slot = unsafe { slot(slots.base, slots.tail & slots.mask, S::SHIFT) };
        // SAFETY: the slot and, where an entry takes two, the one behind it are free and adjoin.
        unsafe { slot.cast::<LargeSqe>().write(sqe) };
        Some(slots.tail.wrapping_add(S::LARGE_SLOTS))
    }
}

/// The half of a ring that operations are pushed to and submitted from.
///
/// Made together with its [`CompletionQueue`](crate::CompletionQueue). Each half can be used from a
/// thread of its own, and the ring lives until both are dropped; `T` and `S` say what is special
/// about it, see [`kind`](crate::kind).
///
/// Pushing queues an operation and submitting hands what is queued to the kernel. Entries that are
/// still queued when the queue is dropped never run.
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
            slots: Slots {
                base: raw.sq.sqes.cast(),
                mask: raw.sq.ring_mask,
                head,
                tail,
                _size: PhantomData,
            },
            published: tail,
            gate: Gate::of(raw),
            ring_head: ring.sq_head(),
            ring_tail: ring.sq_tail(),
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
        if self.slots.free() == 0 {
            self.look_for_room(1)?;
        }
        let mut sqe = Sqe::of(operation);
        settings(&mut sqe);
        sqe.set_user_data(user_data);
        // SAFETY: a slot is free, and the ring lives as long as this queue.
        self.slots.tail = unsafe { self.slots.write(sqe) };
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
        if self.slots.free() == 0 {
            self.look_for_room(1)?;
        }
        let mut sqe = *sqe;
        sqe.set_user_data(user_data);
        // SAFETY: a slot is free, and the ring lives as long as this queue.
        self.slots.tail = unsafe { self.slots.write(sqe) };
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
    pub unsafe fn push_all<'o, O: Operation + 'o>(
        &mut self,
        operations: impl IntoIterator<Item = (&'o O, u64)>,
    ) -> Result<(), QueueFull> {
        let mut slots = self.slots;
        for (operation, user_data) in operations {
            if slots.free() == 0 {
                let taken = slots.tail.wrapping_sub(self.slots.tail);
                self.look_for_room(taken.saturating_add(1))?;
                slots.head = self.slots.head;
            }
            let mut sqe = Sqe::of(operation);
            sqe.set_user_data(user_data);
            // SAFETY: a slot is free, and the ring lives as long as this queue.
            slots.tail = unsafe { slots.write(sqe) };
        }
        self.slots.tail = slots.tail;
        Ok(())
    }

    /// Queues an operation that needs an entry of 128 bytes.
    ///
    /// Only a ring that was made with such entries has this method.
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; nothing was queued. On a ring of mixed entries one may need up to three
    /// slots.
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
        let mut entry = Sqe::EMPTY;
        entry.set_opcode(O::OPCODE);
        let mut sqe = LargeSqe::from(entry);
        operation.prepare(&mut sqe);
        sqe.entry.set_user_data(user_data);
        // SAFETY: the ring lives as long as this queue.
        let mut tail = unsafe { self.slots.write_large(sqe) };
        if tail.is_none() {
            self.slots.head = self.ring_head.load(Ordering::Acquire);
            // SAFETY: as above.
            tail = unsafe { self.slots.write_large(sqe) };
        }
        self.slots.tail = tail.ok_or(QueueFull)?;
        Ok(())
    }

    /// A handle that pushes many operations faster than the queue does one by one.
    ///
    /// It keeps what it needs at hand instead of in the queue. Each push counts at once, whatever
    /// becomes of the handle.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_, T, S> {
        Batch {
            slots: self.slots,
            queue: self,
        }
    }

    /// A handle with room for at least `n` operations, so that a chain is queued whole or not at
    /// all.
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
        if self.slots.free() < n {
            self.look_for_room(n)?;
        }
        Ok(self.batch())
    }

    /// Hands all queued entries to the kernel, and returns how many it took.
    ///
    /// It can take fewer: after an entry that it refuses at once it stops, unless the ring was
    /// made with [`submit_all`](crate::IoUringParams::submit_all). The refused entry counts as
    /// taken and completes with its error; the rest is still queued. On a ring with SQPOLL the
    /// result is how many entries were newly shown to the kernel's thread, which is woken if it
    /// sleeps.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries are still queued.
    #[inline]
    pub fn submit(&mut self) -> Result<u32, SubmitError> {
        if self.special {
            return self.submit_specially();
        }
        let queued = self.slots.tail.wrapping_sub(self.slots.head);
        if queued == 0 {
            return Ok(0);
        }
        self.publish();
        let result = self.gate.enter(queued, 0, 0);
        self.slots.head = self.ring_head.load(Ordering::Relaxed);
        if result < 0 {
            self.submit_again(result)
        } else {
            Ok(result.cast_unsigned())
        }
    }

    /// Hands all queued entries to the kernel and waits until `n` completions are ready, in one
    /// system call if nothing comes between. Returns how many entries it took.
    ///
    /// A signal does not end the wait, and a submission that stops at a refused entry goes on
    /// behind it. More completions than the queue has room for are never ready at once, so `n` is
    /// cut to that. Without anything in flight it waits forever.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    #[inline]
    pub fn submit_and_wait(&mut self, n: u32) -> Result<u32, SubmitError> {
        if self.special {
            return self
                .submit_and_wait_with(&Wait::for_completions(n))
                .map(|done| done.submitted);
        }
        let queued = self.slots.tail.wrapping_sub(self.slots.head);
        self.publish();
        let result = self.gate.enter(queued, n, sys::IORING_ENTER_GETEVENTS);
        self.slots.head = self.ring_head.load(Ordering::Relaxed);
        let ready = self
            .cq_tail
            .load(Ordering::Acquire)
            .wrapping_sub(self.cq_head.load(Ordering::Relaxed));
        if result.cast_unsigned() == queued && ready >= n {
            Ok(queued)
        } else {
            self.wait_again(result, n)
        }
    }

    /// Hands all queued entries to the kernel and waits as `wait` says.
    ///
    /// Running out of time is not an error.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    pub fn submit_and_wait_with(&mut self, wait: &Wait<'_>) -> Result<Waited, SubmitError> {
        if self.ring.flags().contains(SetupFlags::SQ_REWIND) {
            // Entries move when a part of them is taken, so submitting is a step of its own.
            let mut submitted = 0;
            while self.slots.tail != 0 {
                submitted += self.submit_rewinding()?;
            }
            let waited = wait::wait(&self.ring, 0, wait)
                .map_err(|Errno(errno)| SubmitError::new(errno, 0))?;
            return Ok(Waited {
                submitted,
                ..waited
            });
        }
        self.publish();
        if self.ring.flags().contains(SetupFlags::SQPOLL) {
            let shown = self.show_to_thread();
            let waited = wait::wait(&self.ring, shown, wait);
            self.slots.head = self.ring_head.load(Ordering::Acquire);
            return waited.map_err(|Errno(errno)| SubmitError::new(errno, self.unsubmitted()));
        }
        let queued = self.slots.tail.wrapping_sub(self.slots.head);
        let waited = wait::wait(&self.ring, queued, wait);
        self.slots.head = self.ring_head.load(Ordering::Relaxed);
        waited.map_err(|Errno(errno)| SubmitError::new(errno, self.unsubmitted()))
    }

    /// How many more operations can be pushed before the queue is full.
    #[inline]
    pub fn space_left(&mut self) -> u32 {
        if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.slots.head = self.ring_head.load(Ordering::Acquire);
        }
        self.slots.free()
    }

    /// Whether nothing more can be pushed.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.space_left() == 0
    }

    /// How many entries are queued that the kernel has not taken.
    #[inline]
    pub fn unsubmitted(&self) -> u32 {
        if self.ring.flags().contains(SetupFlags::SQPOLL) {
            self.slots
                .tail
                .wrapping_sub(self.ring_head.load(Ordering::Acquire))
        } else {
            self.slots.tail.wrapping_sub(self.slots.head)
        }
    }

    /// How many entries the queue has room for in all.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.slots.mask.wrapping_add(1)
    }

    /// Waits until the kernel's thread has made room in the queue, on a ring with SQPOLL. Returns
    /// at once if there is room, and on other rings, where only submitting makes room.
    ///
    /// Since Linux 5.10. C: `io_uring_sqring_wait`.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; `EINVAL` on an older kernel.
    pub fn wait_for_space(&mut self) -> Result<(), SubmitError> {
        if !self.ring.flags().contains(SetupFlags::SQPOLL) {
            return Ok(());
        }
        while self.space_left() == 0 {
            // What was pushed and never shown to the thread would keep the queue full for ever.
            self.submit()?;
            let result = self.gate.enter(0, 0, sys::IORING_ENTER_SQ_WAIT);
            if result < 0 && result != -libc::EINTR {
                return Err(SubmitError::new(-result, self.unsubmitted()));
            }
        }
        Ok(())
    }

    /// How many entries the kernel could not make sense of at all. Always 0, unless somebody else
    /// writes to the ring.
    #[inline]
    pub fn dropped(&self) -> u32 {
        self.ring.sq_dropped().load(Ordering::Relaxed)
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

    /// Looks whether the kernel has read entries since we last looked.
    #[cold]
    fn look_for_room(&mut self, n: u32) -> Result<(), QueueFull> {
        // Acquire: the slots are written again only after the kernel's thread has read them.
        self.slots.head = self.ring_head.load(Ordering::Acquire);
        if self.slots.free() >= n {
            Ok(())
        } else {
            Err(QueueFull)
        }
    }

    /// Shows the kernel all that was pushed.
    #[inline]
    fn publish(&self) {
        // Release: the entries were written before.
        self.ring_tail.store(self.slots.tail, Ordering::Release);
    }

    /// Goes on after a submission that failed.
    #[cold]
    fn submit_again(&mut self, mut result: i32) -> Result<u32, SubmitError> {
        while result == -libc::EINTR {
            result = self
                .gate
                .enter(self.slots.tail.wrapping_sub(self.slots.head), 0, 0);
            self.slots.head = self.ring_head.load(Ordering::Relaxed);
        }
        u32::try_from(result).map_err(|_| SubmitError::new(-result, self.unsubmitted()))
    }

    /// Goes on after a wait that ended early, for whatever reason.
    #[cold]
    fn wait_again(&mut self, result: i32, n: u32) -> Result<u32, SubmitError> {
        if result < 0 && result != -libc::EINTR {
            return Err(SubmitError::new(-result, self.unsubmitted()));
        }
        let submitted = u32::try_from(result).unwrap_or(0);
        let rest = self.submit_and_wait_with(&Wait::for_completions(n))?;
        Ok(submitted + rest.submitted)
    }

    #[cold]
    fn submit_specially(&mut self) -> Result<u32, SubmitError> {
        if self.ring.flags().contains(SetupFlags::SQ_REWIND) {
            return self.submit_rewinding();
        }
        self.publish();
        let shown = self.show_to_thread();
        if self.ring.sq_flags().load(Ordering::Relaxed) & sys::IORING_SQ_NEED_WAKEUP != 0 {
            let result = self.gate.enter(shown, 0, sys::IORING_ENTER_SQ_WAKEUP);
            if result < 0 && result != -libc::EINTR {
                return Err(SubmitError::new(-result, self.unsubmitted()));
            }
        }
        Ok(shown)
    }

    /// Counts what the kernel's thread is newly shown, and orders the tail's store before the look
    /// at whether the thread sleeps: it looks at the tail after it has said so.
    fn show_to_thread(&mut self) -> u32 {
        fence(Ordering::SeqCst);
        let shown = self.slots.tail.wrapping_sub(self.published);
        self.published = self.slots.tail;
        shown
    }

    /// Submits from the first slot on, as the kernel does with `SQ_REWIND`, and moves what it did not
    /// take there.
    fn submit_rewinding(&mut self) -> Result<u32, SubmitError> {
        let queued = self.slots.tail;
        if queued == 0 {
            return Ok(0);
        }
        let mut result = self.gate.enter(queued, 0, 0);
        while result == -libc::EINTR {
            result = self.gate.enter(queued, 0, 0);
        }
        // The head and the tail that the kernel ignores stay 0, as it asks.
        let taken = match u32::try_from(result) {
            Ok(0) => return Err(SubmitError::new(libc::EAGAIN, queued)),
            Ok(taken) => taken,
            Err(_) => return Err(SubmitError::new(-result, queued)),
        };
        for index in taken..queued {
            // SAFETY: the index is below the number of entries.
            let from = unsafe { slot(self.slots.base, index, S::SHIFT) };
            // SAFETY: as above.
            let to = unsafe { slot(self.slots.base, index - taken, S::SHIFT) };
            // SAFETY: both slots are in the array and have this many bytes; they differ.
            unsafe {
                to.cast::<u8>()
                    .copy_from_nonoverlapping(from.cast(), 1 << S::SHIFT);
            };
        }
        self.slots.tail = queued - taken;
        Ok(taken)
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

/// Pushes many operations to a submission queue.
///
/// From [`SubmissionQueue::batch`] or [`SubmissionQueue::reserve`].
#[derive(Debug)]
#[must_use = "a batch pushes nothing by itself"]
pub struct Batch<'q, T: Threads = AnyThread, S: SqeSize = Sqe64> {
    slots: Slots<S>,
    queue: &'q mut SubmissionQueue<T, S>,
}

impl<T: Threads, S: SqeSize> Batch<'_, T, S> {
    /// Queues an operation; see [`SubmissionQueue::push`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push`].
    #[inline]
    pub unsafe fn push<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.push_with(operation, user_data, |_| ()) }
    }

    /// Queues an operation with flags; see [`SubmissionQueue::push_with_flags`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_with_flags`].
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

    /// Queues an operation with further settings; see [`SubmissionQueue::push_with`].
    ///
    /// # Errors
    ///
    /// [`QueueFull`]; this one was not queued.
    ///
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_with`].
    #[inline]
    pub unsafe fn push_with<O: Operation>(
        &mut self,
        operation: &O,
        user_data: u64,
        settings: impl FnOnce(&mut Sqe),
    ) -> Result<(), QueueFull> {
        if self.slots.free() == 0 {
            self.queue.look_for_room(1)?;
            self.slots.head = self.queue.slots.head;
        }
        let mut sqe = Sqe::of(operation);
        settings(&mut sqe);
        sqe.set_user_data(user_data);
        // SAFETY: a slot is free, and the ring lives as long as the queue.
        self.slots.tail = unsafe { self.slots.write(sqe) };
        self.queue.slots.tail = self.slots.tail;
        Ok(())
    }

    /// How many more operations can be pushed before the queue is full.
    #[inline]
    pub fn space_left(&self) -> u32 {
        self.slots.free()
    }

    /// Hands all queued entries to the kernel; see [`SubmissionQueue::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries are still queued.
    #[inline]
    pub fn submit(self) -> Result<u32, SubmitError> {
        self.queue.submit()
    }

    /// Hands all queued entries to the kernel and waits; see [`SubmissionQueue::submit_and_wait`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] says what to do. The entries that were not taken are still queued.
    #[inline]
    pub fn submit_and_wait(self, n: u32) -> Result<u32, SubmitError> {
        self.queue.submit_and_wait(n)
    }
}
