//! Memory for rings, given by the program.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{IoUringParams, SetupFlags};
use crate::error::SetupError;
use crate::fork::{Mark, keep_from_children, release};
use crate::kind::{CqeSize, OneThread, SqeSize, Threads};
use crate::ring::{self, Halves, IoUring, Ring};
use crate::sys;

/// How many bytes a page of the usual size has.
pub(crate) fn page_size() -> usize {
    // SAFETY: the call has no conditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// A mapping that lives as long as anything refers to it.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
    /// The process that made it. Its children may not have it.
    owner: Mark,
}

// SAFETY: the address alone is read. What lies there belongs to whoever made the mapping.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps so many bytes, with further flags.
    ///
    /// With huge pages the length is a multiple of theirs.
    pub(crate) fn anonymous(bytes: usize, flags: i32) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_ANONYMOUS | flags;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            address: NonNull::new(address.cast())
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?,
            bytes,
            owner: Mark::of_this_process(),
        })
    }

    /// Leaves the mapping out of child processes.
    pub(crate) fn without_children(self) -> io::Result<Self> {
        keep_from_children(self.address.as_ptr().cast(), self.bytes)?;
        Ok(self)
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if Mark::of_this_process() == self.owner {
            release(self.address.as_ptr().cast());
            // SAFETY: the mapping was made for this value, with this length, and what used it held
            // a reference. The kernel keeps the pages that it still needs.
            unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
        }
    }
}

/// Memory that the queues of one ring or several are put into, one behind the other.
///
/// It lives until this value and all the rings in it are gone; the room of a ring that is dropped is
/// not used again.
///
/// ```
/// use lio_uring::{IoUringParams, RingMemory};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let params = IoUringParams::default().entries(8);
/// let mut memory = RingMemory::new(2 * params.memory_size()?)?;
/// # if params.halves_in(&mut memory).is_err() { return Ok(()); }
/// # let mut memory = RingMemory::new(2 * params.memory_size()?)?;
/// let (mut cq, mut sq) = params.halves_in(&mut memory)?;
/// let (other_cq, other_sq) = params.halves_in(&mut memory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RingMemory {
    mapping: Arc<Mapping>,
    used: usize,
    /// Whether a ring that could not be made may have left something behind.
    dirty: bool,
}

/// What huge pages of `x86_64` and aarch64 have, and what liburing takes them to have.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// What asks for such pages.
pub(crate) const MAP_HUGE: i32 =
    libc::MAP_HUGETLB | HUGE_PAGE.ilog2().cast_signed() << libc::MAP_HUGE_SHIFT;

impl RingMemory {
    /// Maps at least so many bytes, in pages of the usual size.
    ///
    /// Before Linux 6.14 queues of more than a page need [`huge`](Self::huge) pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0, `ENOMEM` if there is not so much.
    pub fn new(bytes: usize) -> io::Result<Self> {
        Self::map(bytes, page_size(), 0)
    }

    /// Maps at least so many bytes, in pages of 2 MiB that the system has set aside.
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0, `ENOMEM` if there are not so many such pages: `sysctl vm.nr_hugepages`.
    pub fn huge(bytes: usize) -> io::Result<Self> {
        Self::map(bytes, HUGE_PAGE, MAP_HUGE)
    }

    fn map(bytes: usize, page: usize, flags: i32) -> io::Result<Self> {
        let bytes = bytes
            .checked_next_multiple_of(page)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let mapping = Mapping::anonymous(bytes, libc::MAP_SHARED | flags)?.without_children()?;
        Ok(Self {
            mapping: Arc::new(mapping),
            used: 0,
            dirty: false,
        })
    }

    /// How many bytes there are in all.
    pub fn capacity(&self) -> usize {
        self.mapping.bytes
    }

    /// How many bytes rings have taken, in whole pages.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Makes a ring in what is left.
    fn ring(
        &mut self,
        entries: u32,
        raw: &mut sys::io_uring_params,
        one_thread: bool,
    ) -> Result<Ring, i32> {
        let left = self.mapping.bytes - self.used;
        // SAFETY: the rings in the mapping take whole pages of it, never more than there are.
        let rest = unsafe { self.mapping.address.add(self.used) };
        if self.dirty {
            // SAFETY: nothing but this value refers to what is left.
            unsafe { rest.write_bytes(0, left) };
        }
        self.dirty = true;
        let memory = (Arc::clone(&self.mapping), rest, left);
        // SAFETY: the rest of the mapping is zero, and no ring has it.
        let (ring, used) = unsafe { Ring::create_in(entries, raw, one_thread, memory) }?;
        self.dirty = false;
        self.used += used;
        Ok(ring)
    }
}

impl<T: Threads, S: SqeSize, C: CqeSize> IoUringParams<T, S, C> {
    /// How many bytes the queues take at the most, in whole pages.
    ///
    /// C: `io_uring_memory_size_params(3)`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the parameters contradict each other.
    pub fn memory_size(&self) -> Result<usize, SetupError> {
        self.check()?;
        let mut raw = self.raw(self.flags);
        // SAFETY: the pointer is to a value of the right type; nothing is made.
        let bytes = unsafe { sys::io_uring_memory_size_params(self.entries, &raw mut raw) };
        usize::try_from(bytes)
            .map_err(|_| self.diagnose(i32::try_from(-bytes).unwrap_or(libc::EINVAL)))
    }

    /// How many bytes of locked memory a ring of an ordinary user needs: 0 on kernels since Linux
    /// 5.12, as liburing has it. Recent ones count the queues again.
    ///
    /// It makes a ring to find out.
    ///
    /// C: `io_uring_mlock_size_params(3)`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the parameters contradict each other.
    pub fn mlock_size(&self) -> Result<usize, SetupError> {
        self.check()?;
        let mut raw = self.raw(self.flags);
        // SAFETY: the pointer is to a value of the right type; the ring is closed again.
        let bytes = unsafe { sys::io_uring_mlock_size_params(self.entries, &raw mut raw) };
        usize::try_from(bytes)
            .map_err(|_| self.diagnose(i32::try_from(-bytes).unwrap_or(libc::EINVAL)))
    }

    /// Makes the ring in memory of the program's, behind those that are in it, and returns its
    /// halves.
    ///
    /// Since Linux 6.5. C: `io_uring_queue_init_mem(3)`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] tells apart why there can be no ring here;
    /// [`OutOfMemory`](crate::SetupCause::OutOfMemory) if too little of the memory is left.
    pub fn halves_in(self, memory: &mut RingMemory) -> Result<Halves<T, S, C>, SetupError> {
        let with = self.insert::<T, S, C>(SetupFlags::NO_MMAP);
        let ring = with.ring_by(|entries, raw| memory.ring(entries, raw, T::ONE))?;
        // SAFETY: as in `halves`.
        Ok(unsafe { ring::halves(ring) })
    }
}

impl<S: SqeSize, C: CqeSize> IoUringParams<OneThread, S, C> {
    /// Makes the ring in memory of the program's, behind those that are in it.
    ///
    /// Since Linux 6.5. C: `io_uring_queue_init_mem(3)`.
    ///
    /// # Errors
    ///
    /// Those of [`halves_in`](Self::halves_in).
    pub fn build_in(self, memory: &mut RingMemory) -> Result<IoUring<S, C>, SetupError> {
        self.halves_in(memory).map(IoUring::from_halves)
    }
}
