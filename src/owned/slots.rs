//! Files that are registered with a ring.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, PoisonError};

use super::descriptor::{Descriptor, Target};
use super::ring_id::{RingId, own};
use super::uses::Uses;
use crate::entry::{FileSlot, Sqe};
use crate::error::RegisterError;
use crate::kind::{OneThread, Threads};
use crate::register::update_file;
use crate::ring;
use crate::submission::SubmissionQueue;
use crate::sync::{Mutex, MutexGuard};

/// The places for files that are registered with a ring.
///
/// Operations on a registered file spare the kernel looking up a descriptor, and what is opened,
/// accepted or made right into a place never takes a descriptor of the process.
///
/// A clone is another handle to the same places. They are there until all handles and all their
/// [`Slot`]s are gone.
///
/// From [`Ring::register_slots`](super::Ring::register_slots).
pub struct Slots<T: Threads = OneThread> {
    table: Arc<Table<T>>,
}

struct Table<T: Threads> {
    ring: Arc<ring::Ring>,
    /// For each place who uses it.
    uses: Box<[Uses]>,
    /// Places without handles, of those that the program names.
    free: Mutex<Vec<u32>>,
    /// Whether the kernel picks them.
    picked: bool,
    _kind: PhantomData<T::Marker>,
}

/// More places than the kernel has.
const TOO_MANY: u32 = (1 << 20) + 1;

impl<T: Threads> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
        }
    }
}

impl<T: Threads> Slots<T> {
    /// Registers places that the program names, or that the kernel picks. Not both: some kernels go
    /// beyond the range that they may pick from.
    pub(super) fn register(
        queue: &mut SubmissionQueue<T>,
        places: u32,
        picked: bool,
    ) -> Result<Self, RegisterError> {
        own(queue.ring())?;
        queue.register_files(&vec![-1; places.min(TOO_MANY) as usize])?;
        let free = if picked { 0 } else { places };
        Ok(Self {
            table: Arc::new(Table {
                ring: Arc::clone(queue.ring()),
                uses: (0..places).map(|_| Uses::none()).collect(),
                free: Mutex::new((0..free).rev().collect()),
                picked,
                _kind: PhantomData,
            }),
        })
    }

    /// Takes a place with nothing in it, or nothing if all are taken, or if the kernel picks them.
    ///
    /// Until something is put into it, operations on it end with `EBADF`.
    pub fn take(&self) -> Option<Slot<T>> {
        loop {
            let index = self.table.free().pop()?;
            if self.table.uses[index as usize].take() {
                return Some(Slot {
                    table: Arc::clone(&self.table),
                    index,
                });
            }
        }
    }

    /// Puts an open file into a place. The ring takes a reference of its own: the descriptor may be
    /// closed afterwards.
    ///
    /// # Errors
    ///
    /// `ENFILE` if there is no place to take, `EBADF` for a descriptor that the kernel does not take, a
    /// ring's; `EPERM` in a child process of the ring's.
    pub fn insert(&self, file: impl AsFd) -> io::Result<Slot<T>> {
        let slot = self
            .take()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))?;
        self.table.update(slot.index, file.as_fd().as_raw_fd())?;
        slot.uses().fill();
        Ok(slot)
    }

    /// How many places can be taken.
    pub fn available(&self) -> u32 {
        u32::try_from(self.table.free().len()).unwrap_or(u32::MAX)
    }

    /// Has an operation put what it makes into a place of the kernel's choice.
    pub(super) fn pick(&self, sqe: &mut Sqe) {
        self.table.id().require(sqe);
        // Without places to pick from, the kernel would choose among ours: it refuses to name one.
        sqe.set_target(if self.table.picked {
            FileSlot::Allocate
        } else {
            FileSlot::At(0)
        });
    }

    /// The place that the kernel has picked and filled.
    pub(super) fn picked(&self, index: u32) -> io::Result<Slot<T>> {
        let busy = || io::Error::from_raw_os_error(libc::EBUSY);
        let uses = self.table.uses.get(index as usize).ok_or_else(busy)?;
        if !uses.take_picked() {
            return Err(busy());
        }
        Ok(Slot {
            table: Arc::clone(&self.table),
            index,
        })
    }
}

impl<T: Threads> Table<T> {
    fn id(&self) -> RingId {
        RingId::of(&self.ring)
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, index: u32, fd: RawFd) -> Result<(), RegisterError> {
        own(&self.ring)?;
        update_file(&self.ring, index, fd)
    }
}

impl<T: Threads> Drop for Table<T> {
    fn drop(&mut self) {
        // A child process would take the files from its parent.
        if self.ring.is_own() {
            crate::register::unregister_files(&self.ring);
        }
    }
}

impl<T: Threads> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// A place for a file that is registered with a ring.
///
/// Operations of that ring take it for a file or socket; those of others end with `EBADF`. A clone is
/// another handle to the same place. What is in it is closed when the last handle is dropped.
pub struct Slot<T: Threads = OneThread> {
    table: Arc<Table<T>>,
    index: u32,
}

impl<T: Threads> Slot<T> {
    fn uses(&self) -> &Uses {
        &self.table.uses[self.index as usize]
    }

    /// Has an operation put what it makes into this place. What is there is closed then.
    pub(super) fn receive(&self, sqe: &mut Sqe) {
        self.uses().fill();
        self.table.id().require(sqe);
        sqe.set_target(FileSlot::At(self.index));
    }

    /// Has a closing operation empty the place.
    pub(super) fn empty(&self) -> (u32, RingId) {
        (self.index, self.table.id())
    }

    /// Whether two handles are to the same place.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && self.index == other.index
    }
}

impl<T: Threads> Clone for Slot<T> {
    fn clone(&self) -> Self {
        self.uses().share();
        Self {
            table: Arc::clone(&self.table),
            index: self.index,
        }
    }
}

// SAFETY: the place is this value's, and what is in it is replaced only by an operation that was
// given a handle to it.
unsafe impl<T: Threads> Descriptor for Slot<T> {
    #[inline]
    fn target(&self) -> Target {
        Target::Slot {
            index: self.index,
            ring: self.table.id(),
        }
    }
}

impl<T: Threads> Drop for Slot<T> {
    fn drop(&mut self) {
        let is_own = || self.table.ring.is_own();
        let empty = || self.table.update(self.index, -1).is_ok();
        if self.uses().leave(is_own, empty) && !self.table.picked {
            self.table.free().push(self.index);
        }
    }
}

impl<T: Threads> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.index).finish()
    }
}
