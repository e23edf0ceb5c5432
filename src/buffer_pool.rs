//! Buffers of one size, aligned and in memory before they are used.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use crate::params::{HUGE_PAGE, MAP_HUGE, Mapping, page_size};

mod free_list;

use free_list::FreeList;

/// Buffers of one size, in one stretch of memory that is mapped, and filled with zeros, when the
/// pool is made.
///
/// Reading into such a buffer costs no page fault, and one that is aligned to a page is what
/// `O_DIRECT` asks for and what the kernel copies to fastest. The whole pool can be registered as a
/// single buffer, whatever the number of buffers that are taken from it.
///
/// A buffer that is taken belongs to its owner, and goes back when it is dropped, on whatever thread.
/// Pools and buffers can be sent to other threads; a clone is another handle to the same pool. The
/// memory is unmapped when all handles and all buffers are gone.
///
/// ```
/// use std::fs::File;
/// use std::os::fd::AsRawFd;
/// use lio_uring::operation::ReadFixed;
/// use lio_uring::{BufferPool, IoUring};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = BufferPool::new(16, 4096)?;
/// let mut ring = IoUring::new(8)?;
/// // SAFETY: the pool outlives the ring's operations.
/// unsafe { ring.submission().register_buffers(&[pool.memory()]) }?;
///
/// let file = File::open("/proc/self/exe")?;
/// let mut buffer = pool.take().expect("none is taken yet");
/// let read = ReadFixed {
///     fd: file.as_raw_fd(),
///     buf: buffer.as_mut_ptr().cast(),
///     nbytes: buffer.len() as u32,
///     offset: 0,
///     buf_index: 0,
/// };
/// // SAFETY: the buffer is touched and dropped only after the completion has been taken.
/// unsafe { ring.push(&read, 1) }?;
/// ring.submit_and_wait(1)?;
/// let read = ring.next()?.result()? as usize;
/// assert_eq!(&buffer[..4], b"\x7fELF");
/// # assert_eq!(read, 4096);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    memory: Mapping,
    /// How many bytes each buffer has.
    bytes: u32,
    /// How far two buffers are apart.
    stride: usize,
    free: FreeList,
}

/// A buffer that was taken from a [`BufferPool`]. It goes back when it is dropped.
///
/// Its memory stays where it is when this value is moved.
pub struct PoolBuffer {
    shared: Arc<Shared>,
    index: u32,
}

impl BufferPool {
    /// Makes a pool of `count` buffers of so many bytes.
    ///
    /// Buffers of at least a page are aligned to pages, smaller ones to the power of two that they
    /// fit into, of at least 64.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a count or a size of 0; `ENOMEM` if there is not so much memory.
    pub fn new(count: u32, bytes: u32) -> io::Result<Self> {
        Self::map(count, bytes, page_size(), 0)
    }

    /// Makes a pool in pages of 2 MiB that the system has set aside: the processor then has to look
    /// up fewer addresses, and the kernel fewer pages when the pool is registered.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), `ENOMEM` also if there are not so many such pages:
    /// `sysctl vm.nr_hugepages`.
    pub fn huge(count: u32, bytes: u32) -> io::Result<Self> {
        Self::map(count, bytes, HUGE_PAGE, MAP_HUGE)
    }

    fn map(count: u32, bytes: u32, page: usize, flags: i32) -> io::Result<Self> {
        if count == 0 || bytes == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let too_much = || io::Error::from_raw_os_error(libc::ENOMEM);
        let small_page = page_size();
        let size = usize::try_from(bytes).map_err(|_| too_much())?;
        let stride = if size < small_page {
            size.next_power_of_two().max(CACHE_LINE)
        } else {
            size.checked_next_multiple_of(small_page)
                .ok_or_else(too_much)?
        };
        let all = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(stride))
            .and_then(|all| all.checked_next_multiple_of(page))
            .filter(|&all| isize::try_from(all).is_ok())
            .ok_or_else(too_much)?;
        let memory = Mapping::anonymous(all, libc::MAP_PRIVATE | libc::MAP_POPULATE | flags)?;
        Ok(Self {
            shared: Arc::new(Shared {
                memory,
                bytes,
                stride,
                free: FreeList::full(count),
            }),
        })
    }

    /// Takes a buffer, or nothing if all are taken.
    ///
    /// What is in it is left from its last use, zeros at first.
    pub fn take(&self) -> Option<PoolBuffer> {
        let index = self.shared.free.pop()?;
        Some(PoolBuffer {
            shared: Arc::clone(&self.shared),
            index,
        })
    }

    /// How many buffers there are, taken or not.
    pub fn count(&self) -> u32 {
        self.shared.free.capacity()
    }

    /// How many bytes each buffer has.
    pub fn buffer_len(&self) -> u32 {
        self.shared.bytes
    }

    /// All buffers and what lies between them, to be registered as one.
    pub fn memory(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.shared.memory.address().as_ptr().cast(),
            iov_len: self.shared.memory.len(),
        }
    }
}

/// The least that buffers are apart, so that two never share a line of a processor's cache.
const CACHE_LINE: usize = 64;

impl Shared {
    fn buffer(&self, index: u32) -> NonNull<u8> {
        let offset = index as usize * self.stride;
        // SAFETY: the memory is as long as all buffers together, which was checked to be a length.
        unsafe { self.memory.address().add(offset) }
    }
}

impl PoolBuffer {
    /// Which of the pool's buffers it is, from 0 on.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The address, which stays the same.
    pub fn as_ptr(&self) -> *const u8 {
        self.shared.buffer(self.index).as_ptr()
    }

    /// The address, which stays the same.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.shared.buffer(self.index).as_ptr()
    }
}

impl Deref for PoolBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = self.shared.bytes as usize;
        // SAFETY: so many bytes from there on are this buffer's alone as long as it is taken, they
        // are initialized, since fresh memory is zeros, and `shared` keeps them mapped.
        unsafe { slice::from_raw_parts(self.as_ptr(), bytes) }
    }
}

impl DerefMut for PoolBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes = self.shared.bytes as usize;
        // SAFETY: as above; and this is the only reference to the only owner.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), bytes) }
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        self.shared.free.push(self.index);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("count", &self.count())
            .field("buffer_len", &self.buffer_len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PoolBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuffer")
            .field("index", &self.index)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
