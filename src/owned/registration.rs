//! What is registered with a ring.

use super::access::{Access, KEY};
use super::buffer_group::{BufferGroup, BufferGroupParams};
use super::registered_pool::RegisteredPool;
use super::ring::Ring;
use super::send_queue::SendQueue;
use super::slots::Slots;
use crate::buffer_pool::BufferPool;
use crate::error::RegisterError;
use crate::kind::OneThread;

/// Registers a group of buffers, which are made while nobody has the ring.
pub(super) fn group<A: Access>(
    ring: &A,
    params: BufferGroupParams,
) -> Result<BufferGroup<A::Threads>, RegisterError> {
    let buffers = BufferGroup::<A::Threads>::buffers(params)?;
    ring.with(KEY, |core| {
        BufferGroup::register(&mut core.sq, &mut core.store.groups, buffers, params)
    })
}

/// Registers a queue of bytes, whose buffers are made while nobody has the ring.
pub(super) fn send_queue<A: Access>(
    ring: &A,
    count: u16,
    bytes: u32,
) -> Result<SendQueue<A::Threads>, RegisterError> {
    let buffers = SendQueue::<A::Threads>::buffers(count, bytes)?;
    ring.with(KEY, |core| {
        SendQueue::register(&mut core.sq, &mut core.store.groups, buffers, bytes)
    })
}

/// Registers places for files, which the kernel may pick from or not.
pub(super) fn slots<A: Access>(
    ring: &A,
    places: u32,
    picked: bool,
) -> Result<Slots<A::Threads>, RegisterError> {
    ring.with(KEY, |core| Slots::register(&mut core.sq, places, picked))
}

/// Registers a pool of buffers.
pub(super) fn pool<A: Access>(
    ring: &A,
    buffers: BufferPool,
) -> Result<RegisteredPool<A::Threads>, RegisterError> {
    ring.with(KEY, |core| RegisteredPool::register(&mut core.sq, buffers))
}

impl Ring {
    /// Registers a group of buffers for the kernel to pick from.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use lio_uring::owned::{BufferGroupParams, RecvMulti, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let (socket, mut peer) = UnixStream::pair()?;
    /// let buffers = ring.register_group(BufferGroupParams::new(16, 4096))?;
    /// let recv = RecvMulti { socket, buffers, flags: 0 };
    /// let mut received = ring.push_stream(recv)?;
    /// ring.submit()?;
    /// peer.write_all(b"hello")?;
    /// let bytes = received.wait_next()?.expect("it goes on")?;
    /// assert_eq!(&*bytes, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: [`RegisterCause::Refused`](crate::RegisterCause) before Linux 5.19, for an
    /// incremental group before 6.12, and for numbers that there cannot be.
    pub fn register_group(
        &self,
        params: BufferGroupParams,
    ) -> Result<BufferGroup<OneThread>, RegisterError> {
        group(&self, params)
    }

    /// Registers a queue of bytes to be sent, of so many buffers, from 1 to 32768, of so many bytes.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as for [`register_group`](Self::register_group).
    pub fn register_send_queue(
        &self,
        count: u16,
        bytes: u32,
    ) -> Result<SendQueue<OneThread>, RegisterError> {
        send_queue(&self, count, bytes)
    }

    /// Registers places for files, which are taken one by one.
    ///
    /// ```
    /// use std::fs::File;
    /// use lio_uring::owned::{Read, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let slots = ring.register_slots(8)?;
    /// let file = slots.insert(File::open("/proc/self/comm")?)?;
    /// let read = Read { file: file.clone(), buffer: vec![0; 64], offset: 0 };
    /// let (count, text) = ring.push(read)?.wait()?;
    /// assert_eq!(count?, text.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: [`RegisterCause::AlreadyRegistered`](crate::RegisterCause) as long as there
    /// are others; [`RegisterCause::DescriptorLimit`](crate::RegisterCause) if there are more than the
    /// process may have open.
    pub fn register_slots(&self, places: u32) -> Result<Slots<OneThread>, RegisterError> {
        slots(&self, places, false)
    }

    /// Registers places for files that the kernel picks from, for
    /// [`AcceptMultiDirect`](super::AcceptMultiDirect).
    ///
    /// # Errors
    ///
    /// [`RegisterError`], as for [`register_slots`](Self::register_slots).
    pub fn register_picked_slots(&self, places: u32) -> Result<Slots<OneThread>, RegisterError> {
        slots(&self, places, true)
    }

    /// Registers a pool of buffers. What is taken from it otherwise is not affected.
    ///
    /// ```
    /// use std::fs::File;
    /// use lio_uring::BufferPool;
    /// use lio_uring::owned::{ReadFixed, Ring};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let ring = Ring::new(8)?;
    /// let pool = ring.register_pool(BufferPool::new(4, 4096)?)?;
    /// let buffer = pool.take().expect("none is taken yet");
    /// let read = ReadFixed { file: File::open("/proc/self/exe")?, buffer, offset: 0 };
    /// let (count, buffer) = ring.push(read)?.wait()?;
    /// assert_eq!((count?, &buffer[..4]), (4096, b"\x7fELF".as_slice()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: [`RegisterCause::AlreadyRegistered`](crate::RegisterCause) as long as there
    /// is another; [`RegisterCause::Memlock`](crate::RegisterCause) if the user may not lock that
    /// much; [`RegisterCause::BadMemory`](crate::RegisterCause) if it is larger than 1 GiB.
    pub fn register_pool(
        &self,
        pool: BufferPool,
    ) -> Result<RegisteredPool<OneThread>, RegisterError> {
        self::pool(&self, pool)
    }
}
