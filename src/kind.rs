//! What the type of a queue says about its ring: which threads may use it, and how large its
//! entries are.
//!
//! All of it is decided at compile time. The defaults, [`AnyThread`], [`Sqe64`] and [`Cqe16`], need
//! not be written, and a ring of that kind pays nothing for the others.

use std::fmt::Debug;
use std::marker::PhantomData;

use crate::completion::Completion;
use crate::entry::{LargeSqe, Sqe};
use crate::sys;

mod sealed {
    #[expect(
        unnameable_types,
        reason = "so that nobody else implements what needs it"
    )]
    pub trait Sealed {}
}
use sealed::Sealed;

/// Which threads may use a queue: [`AnyThread`] or [`OneThread`].
pub trait Threads: Sealed + Copy + Debug + 'static {
    /// Takes `Send` and `Sync` away from the queue, or leaves them.
    #[doc(hidden)]
    type Marker: Debug + Default;

    /// Whether the ring may hold what belongs to the thread that made it.
    #[doc(hidden)]
    const ONE: bool;
}

/// The queue can be sent to another thread.
#[derive(Clone, Copy, Debug)]
pub enum AnyThread {}

/// The queue stays on the thread that made it.
///
/// In exchange the ring uses what the kernel offers to a single thread alone.
#[derive(Clone, Copy, Debug)]
pub enum OneThread {}

impl Sealed for AnyThread {}
impl Threads for AnyThread {
    type Marker = ();
    const ONE: bool = false;
}

impl Sealed for OneThread {}
impl Threads for OneThread {
    type Marker = PhantomData<*mut ()>;
    const ONE: bool = true;
}

/// How far the slots of a queue are apart.
pub trait SlotSize: Sealed + Copy + Debug + 'static {
    /// The distance of two slots, as a power of two.
    #[doc(hidden)]
    const SHIFT: u32;
}

/// The size of submission queue entries: [`Sqe64`], [`Sqe128`] or [`SqeMixed`].
pub trait SqeSize: SlotSize {
    /// Whether some entries take more slots than others.
    #[doc(hidden)]
    const MIXED: bool = false;

    /// Writes an entry into a slot.
    ///
    /// # Safety
    ///
    /// The slot is valid for writes of `1 << SHIFT` bytes and aligned to 8.
    #[doc(hidden)]
    #[inline]
    unsafe fn write(slot: *mut Sqe, sqe: Sqe) {
        // SAFETY: the caller's promise; every slot has room for 64 bytes.
        unsafe { slot.cast::<[u64; 8]>().write(sqe.words()) }
    }
}

/// A kind of ring whose entries can be 128 bytes: [`Sqe128`] or [`SqeMixed`].
pub trait HasLargeSqe: SqeSize {
    /// How many slots a large entry takes.
    #[doc(hidden)]
    const LARGE_SLOTS: u32;
}

/// Every entry has 64 bytes.
#[derive(Clone, Copy, Debug)]
pub enum Sqe64 {}

/// Every entry has 128 bytes.
///
/// Since Linux 5.19. C: `IORING_SETUP_SQE128`.
#[derive(Clone, Copy, Debug)]
pub enum Sqe128 {}

/// Entries have 64 or 128 bytes.
///
/// Since Linux 6.19. C: `IORING_SETUP_SQE_MIXED`.
#[derive(Clone, Copy, Debug)]
pub enum SqeMixed {}

impl Sealed for Sqe64 {}
impl SlotSize for Sqe64 {
    const SHIFT: u32 = 6;
}
impl SqeSize for Sqe64 {}

impl Sealed for Sqe128 {}
impl SlotSize for Sqe128 {
    const SHIFT: u32 = 7;
}
impl SqeSize for Sqe128 {
    #[inline]
    unsafe fn write(slot: *mut Sqe, sqe: Sqe) {
        // SAFETY: the caller's promise: the slot has 128 bytes. A command of the ordinary kind
        // reads all of them, so nothing of an earlier entry stays.
        unsafe { slot.cast::<LargeSqe>().write(LargeSqe::from(sqe)) }
    }
}
impl HasLargeSqe for Sqe128 {
    const LARGE_SLOTS: u32 = 1;
}

impl Sealed for SqeMixed {}
impl SlotSize for SqeMixed {
    const SHIFT: u32 = 6;
}
impl SqeSize for SqeMixed {
    const MIXED: bool = true;
}
impl HasLargeSqe for SqeMixed {
    const LARGE_SLOTS: u32 = 2;
}

/// The size of completions: [`Cqe16`], [`Cqe32`] or [`CqeMixed`].
pub trait CqeSize: SlotSize {
    /// What a completion holds beyond the 16 bytes.
    type Extra: Copy + Debug + PartialEq + Eq;

    /// Whether there are as many completions as published slots.
    #[doc(hidden)]
    const ONE_SLOT_EACH: bool;

    /// Reads the completion in a slot, and says how many slots it takes. `None` is a filler, to be
    /// passed over.
    ///
    /// # Safety
    ///
    /// The slot holds a completion that the kernel has published and will not touch until the head
    /// moves, and `available` slots, at least 1, are published from it on without wrapping around.
    #[doc(hidden)]
    unsafe fn read(
        slot: *const sys::io_uring_cqe,
        available: u32,
    ) -> (u32, Option<Completion<Self::Extra>>);
}

/// Every completion has 16 bytes.
#[derive(Clone, Copy, Debug)]
pub enum Cqe16 {}

/// Every completion has 32 bytes, 16 of them for the operation's use.
///
/// Since Linux 5.19. C: `IORING_SETUP_CQE32`.
#[derive(Clone, Copy, Debug)]
pub enum Cqe32 {}

/// Completions have 16 or 32 bytes.
///
/// Since Linux 6.18. C: `IORING_SETUP_CQE_MIXED`.
#[derive(Clone, Copy, Debug)]
pub enum CqeMixed {}

/// Reads the 16 bytes that every completion has.
///
/// # Safety
///
/// The slot holds a published completion.
#[inline]
unsafe fn read_small<E>(slot: *const sys::io_uring_cqe, extra: E) -> Completion<E> {
    // SAFETY: the caller's promise; every completion has these 16 bytes.
    let [user_data, rest] = unsafe { slot.cast::<[u64; 2]>().read() };
    let rest: [u8; 8] = rest.to_ne_bytes();
    Completion {
        user_data,
        res: i32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]),
        flags: u32::from_ne_bytes([rest[4], rest[5], rest[6], rest[7]]),
        extra,
    }
}

/// Reads the 16 bytes that a large completion has more.
///
/// # Safety
///
/// The slot holds a published completion of 32 bytes.
#[inline]
unsafe fn read_extra(slot: *const sys::io_uring_cqe) -> [u64; 2] {
    // SAFETY: the caller's promise: 32 bytes from the slot on are the completion's.
    unsafe { slot.cast::<[[u64; 2]; 2]>().read()[1] }
}

impl Sealed for Cqe16 {}
impl SlotSize for Cqe16 {
    const SHIFT: u32 = 4;
}
impl CqeSize for Cqe16 {
    type Extra = ();
    const ONE_SLOT_EACH: bool = true;

    // The flags SKIP and 32 mean nothing here: another ring can send them with MSG_RING.
    #[inline]
    unsafe fn read(slot: *const sys::io_uring_cqe, _: u32) -> (u32, Option<Completion<()>>) {
        // SAFETY: the caller's promise.
        (1, Some(unsafe { read_small(slot, ()) }))
    }
}

impl Sealed for Cqe32 {}
impl SlotSize for Cqe32 {
    const SHIFT: u32 = 5;
}
impl CqeSize for Cqe32 {
    type Extra = [u64; 2];
    const ONE_SLOT_EACH: bool = true;

    #[inline]
    unsafe fn read(slot: *const sys::io_uring_cqe, _: u32) -> (u32, Option<Completion<[u64; 2]>>) {
        // SAFETY: the caller's promise; on this kind of ring every completion has 32 bytes.
        let extra = unsafe { read_extra(slot) };
        // SAFETY: as above.
        (1, Some(unsafe { read_small(slot, extra) }))
    }
}

/// A kind of ring whose completions all have the same size: [`Cqe16`] or [`Cqe32`].
pub trait OneSlotEach: CqeSize {}

impl OneSlotEach for Cqe16 {}
impl OneSlotEach for Cqe32 {}

impl Sealed for CqeMixed {}
impl SlotSize for CqeMixed {
    const SHIFT: u32 = 4;
}
impl CqeSize for CqeMixed {
    type Extra = Option<[u64; 2]>;
    const ONE_SLOT_EACH: bool = false;

    #[inline]
    unsafe fn read(
        slot: *const sys::io_uring_cqe,
        available: u32,
    ) -> (u32, Option<Completion<Option<[u64; 2]>>>) {
        // SAFETY: the caller's promise.
        let small = unsafe { read_small(slot, None) };
        if small.flags & sys::IORING_CQE_F_SKIP != 0 {
            return (1, None);
        }
        // A forged flag must not take the head past the tail, nor the read past the ring's end. The
        // kernel itself publishes a large completion whole and never wraps it.
        if small.flags & sys::IORING_CQE_F_32 == 0 || available < 2 {
            return (1, Some(small));
        }
        // SAFETY: two slots are published from here on, so 32 bytes are there to be read.
        let extra = unsafe { read_extra(slot) };
        (
            2,
            Some(Completion {
                extra: Some(extra),
                ..small
            }),
        )
    }
}
