//! Bytes that wait to be sent, in buffers that the kernel takes them from.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError};

use super::buffer_group::{BufferGroup, BufferGroupParams};
use super::groups::Groups;
use super::ring_id::RingId;
use crate::buffer_pool::PoolBuffer;
use crate::entry::Sqe;
use crate::error::RegisterError;
use crate::kind::{OneThread, Threads};
use crate::register::BufferRing;
use crate::submission::SubmissionQueue;
use crate::sync::{Mutex, MutexGuard};

/// What is to be sent on a connection, in buffers that [`SendBundle`](super::SendBundle) takes it from
/// in its order.
///
/// It is a [`Write`](io::Write): each write takes a buffer, or as many as its bytes need, also while
/// the queue is being sent, and nobody else's bytes come in between. Without a free one it is
/// `WouldBlock`. Many small writes are best gathered in a [`BufWriter`](io::BufWriter). Buffers are free
/// again when their bytes were sent and the stream's item was taken.
///
/// A clone is another handle to the same queue. It is unregistered, and its memory freed, when all
/// handles and all operations are gone.
///
/// From [`Ring::register_send_queue`](super::Ring::register_send_queue). Since Linux 6.10.
pub struct SendQueue<T: Threads = OneThread> {
    shared: Arc<Shared<T>>,
}

struct Shared<T: Threads> {
    // The ring of buffers first: it is unregistered before the memory is freed.
    state: Mutex<State<T>>,
    buffers: Box<[PoolBuffer]>,
    id: RingId,
    group: u16,
    bytes: u32,
}

struct State<T: Threads> {
    ring: BufferRing<T>,
    /// Buffers that nothing is in.
    free: Vec<u16>,
    /// What is still to be sent, in its order. The kernel may have taken the first ones.
    pending: VecDeque<Piece>,
    /// Who sends, and how many there were.
    sender: Option<Sender>,
    senders: u64,
}

/// What is still to be sent of a buffer.
#[derive(Clone, Copy, Debug)]
struct Piece {
    id: u16,
    start: u32,
    len: u32,
}

/// Stands for an operation that sends from a queue, of which there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender(u64);

impl<T: Threads> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that could panic leaves it in disorder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a buffer begins.
    fn buffer(&self, id: u16) -> *mut u8 {
        self.buffers[usize::from(id)].as_ptr().cast_mut()
    }

    /// Adds a piece to the ring of buffers.
    ///
    /// # Safety
    ///
    /// There is room for it in the ring, and its bytes are initialized, and not written to before they
    /// were sent.
    unsafe fn add(&self, ring: &mut BufferRing<T>, piece: Piece) {
        let address = self.buffer(piece.id).wrapping_add(piece.start as usize);
        // SAFETY: the caller's promise. The buffer's memory is the queue's own, until no operation uses
        // it any longer.
        unsafe { ring.add(address.cast(), piece.len, piece.id) };
    }

    /// Puts bytes, as many as a buffer has room for, into a free one, and the buffer into the ring.
    fn put(&self, state: &mut State<T>, bytes: &[u8]) {
        let State {
            ring,
            free,
            pending,
            ..
        } = state;
        let id = free.pop().expect("a free buffer");
        let len = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .min(self.bytes);
        // SAFETY: the buffer has room for so many bytes, and is neither the kernel's nor anybody else's,
        // since it was free.
        unsafe {
            self.buffer(id)
                .copy_from_nonoverlapping(bytes.as_ptr(), len as usize);
        };
        let piece = Piece { id, start: 0, len };
        // SAFETY: the ring has room for all buffers, and this one is in it once. Its bytes were just
        // written, and it is free again only when they were sent.
        unsafe { self.add(ring, piece) };
        pending.push_back(piece);
    }

    /// Writes what there is room for.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if !state.ring.is_own() {
            // The parent's queue, whose ring is not there.
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        if state.free.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = state.free.len().saturating_mul(self.bytes as usize);
        let written = &bytes[..bytes.len().min(room)];
        for piece in written.chunks(self.bytes as usize) {
            self.put(&mut state, piece);
        }
        state.ring.publish();
        Ok(written.len())
    }

    /// Has the ring hold what is still to be sent, and nothing else.
    ///
    /// The kernel takes buffers when it begins to send, and does not put back what it could not send.
    fn put_back(&self, state: &mut State<T>) {
        let State { ring, pending, .. } = state;
        let Ok(head) = ring.head() else {
            // A kernel that cannot tell has no bundles, and has taken nothing.
            return;
        };
        // SAFETY: the only operation that uses the group has ended. What the kernel has not taken is
        // among what is still to be sent.
        unsafe { ring.go_back(head) };
        for piece in pending {
            // SAFETY: not more than all buffers, each once, with what is left of their bytes.
            unsafe { self.add(ring, *piece) };
        }
        ring.publish();
    }
}

impl<T: Threads> State<T> {
    /// Notes that so many bytes were sent. The buffers whose last ones are among them are free.
    fn note_sent(&mut self, mut bytes: u32) {
        while let Some(first) = self.pending.front_mut() {
            if bytes < first.len {
                first.start += bytes;
                first.len -= bytes;
                return;
            }
            bytes -= first.len;
            self.free.push(first.id);
            self.pending.pop_front();
        }
    }
}

impl<T: Threads> Clone for SendQueue<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Threads> SendQueue<T> {
    /// The buffers of a queue, without the registration.
    pub(super) fn buffers(count: u16, bytes: u32) -> Result<Box<[PoolBuffer]>, RegisterError> {
        BufferGroup::<T>::buffers(BufferGroupParams::new(count, bytes))
    }

    /// Registers the buffers of a queue, which have so many bytes each.
    pub(super) fn register(
        queue: &mut SubmissionQueue<T>,
        groups: &mut Groups,
        buffers: Box<[PoolBuffer]>,
        bytes: u32,
    ) -> Result<Self, RegisterError> {
        let count = u16::try_from(buffers.len()).unwrap_or(u16::MAX);
        let ring = groups.register(queue, count.next_power_of_two(), false)?;
        let group = ring.group();
        let state = State {
            ring,
            free: (0..count).rev().collect(),
            pending: VecDeque::with_capacity(count.into()),
            sender: None,
            senders: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                buffers,
                id: RingId::of(queue.ring()),
                group,
                bytes,
            }),
        })
    }

    /// How many bytes were written and not sent yet, as far as it is known.
    pub fn len(&self) -> usize {
        let state = self.shared.state();
        state.pending.iter().map(|piece| piece.len as usize).sum()
    }

    /// Whether all that was written is known to have been sent.
    pub fn is_empty(&self) -> bool {
        self.shared.state().pending.is_empty()
    }

    /// How many buffers nothing is in.
    pub fn free(&self) -> usize {
        self.shared.state().free.len()
    }

    /// Becomes the one that sends, unless there is another.
    pub(super) fn begin(&self) -> Option<Sender> {
        let mut state = self.shared.state();
        if state.sender.is_some() {
            return None;
        }
        state.senders += 1;
        state.sender = Some(Sender(state.senders));
        state.sender
    }

    /// Has an entry take its buffers from the queue.
    pub(super) fn select(&self, sqe: &mut Sqe) {
        sqe.select_buffer(self.shared.group);
        self.shared.id.require(sqe);
    }

    /// Notes that so many bytes were sent.
    pub(super) fn note_sent(&self, bytes: u32) {
        self.shared.state().note_sent(bytes);
    }

    /// Notes that the operation of this sender has ended, or will never run.
    pub(super) fn end(&self, sender: Sender) {
        let mut state = self.shared.state();
        if state.sender != Some(sender) {
            return;
        }
        state.sender = None;
        if state.ring.is_own() && !state.pending.is_empty() {
            self.shared.put_back(&mut state);
        }
    }
}

impl<T: Threads> io::Write for &SendQueue<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.write(bytes)
    }

    /// Does nothing: what was written is sent by operations.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Threads> io::Write for SendQueue<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    /// Does nothing: what was written is sent by operations.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Threads> fmt::Debug for SendQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueue")
            .field("len", &self.len())
            .field("free", &self.free())
            .finish_non_exhaustive()
    }
}
