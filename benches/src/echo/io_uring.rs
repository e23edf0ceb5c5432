//! The `io-uring` crate, with the same operations and flags as ours.

use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::cqueue;
use io_uring::squeue::{Entry, SubmissionQueue};
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, Submitter, opcode};

use super::token::{Kind, Token};
use super::{BUFFER, BUFFERS, ENTRIES, memory};
use crate::contestant::io_uring as rings;
use crate::work::aligned;

/// The only group of buffers.
const GROUP: u16 = 0;

pub(super) fn default(listener: TcpListener) {
    let ring = IoUring::new(ENTRIES).expect("a ring");
    serve(ring, false, listener);
}

pub(super) fn one_thread(listener: TcpListener) {
    serve(rings::one_thread(ENTRIES), true, listener);
}

fn serve(mut ring: IoUring, registered: bool, listener: TcpListener) {
    let (mut submitter, sq, mut cq) = ring.split();
    if registered {
        submitter.register_ring_fd().expect("a place");
    }
    let mut buffers = Buffers::new(&submitter);
    let mut service = Service { sq, listener };
    service.accept();
    loop {
        service.sq.sync();
        submitter.submit_and_wait(1).expect("a submission");
        // Now the queue knows that it has room again.
        service.sq.sync();
        cq.sync();
        for completion in &mut cq {
            service.on_completion(&completion, &mut buffers);
        }
        cq.sync();
        buffers.publish();
    }
}

struct Service<'r> {
    sq: SubmissionQueue<'r>,
    listener: TcpListener,
}

impl Service<'_> {
    #[inline]
    fn on_completion(&mut self, completion: &cqueue::Entry, buffers: &mut Buffers) {
        let token = Token::from_user_data(completion.user_data());
        let (result, flags) = (completion.result(), completion.flags());
        let more = cqueue::more(flags);
        match token.kind {
            Kind::Accept => {
                assert!(result >= 0, "a connection");
                self.receive(result);
                if !more {
                    self.accept();
                }
            }
            Kind::Receive => match (result, cqueue::buffer_select(flags)) {
                (1.., Some(buffer)) => {
                    self.send(token.fd, buffer, result.cast_unsigned(), buffers);
                    if !more {
                        self.receive(token.fd);
                    }
                }
                _ if result == -libc::ENOBUFS => self.receive(token.fd),
                _ => self.close(token.fd),
            },
            Kind::Send => buffers.add(token.buffer),
            Kind::Close => {}
        }
    }

    /// # Safety
    ///
    /// That of `SubmissionQueue::push`.
    #[inline]
    unsafe fn push(&mut self, entry: Entry, token: Token) {
        let entry = entry.user_data(token.user_data());
        // SAFETY: the caller's promise.
        unsafe { self.sq.push(&entry) }.expect("room");
    }

    fn accept(&mut self) {
        let fd = self.listener.as_raw_fd();
        let accept = opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC);
        // SAFETY: it has no pointers, and the listener stays open.
        unsafe { self.push(accept.build(), Token::new(Kind::Accept, fd)) };
    }

    fn receive(&mut self, fd: RawFd) {
        let receive = opcode::RecvMulti::new(Fd(fd), GROUP);
        // SAFETY: the connection is this server's, and the group's buffers are never freed.
        unsafe { self.push(receive.build(), Token::new(Kind::Receive, fd)) };
    }

    #[inline]
    fn send(&mut self, fd: RawFd, buffer: u16, len: u32, buffers: &Buffers) {
        let send = opcode::Send::new(Fd(fd), buffers.at(buffer), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
        let kind = Kind::Send;
        // SAFETY: the buffer goes back to the kernel only when the send has completed.
        unsafe { self.push(send.build(), Token { kind, buffer, fd }) };
    }

    fn close(&mut self, fd: RawFd) {
        let close = opcode::Close::new(Fd(fd));
        // SAFETY: nothing names the descriptor after this, and what does was pushed before.
        unsafe { self.push(close.build(), Token::new(Kind::Close, fd)) };
    }
}

/// A ring of buffers, which the crate leaves to its user.
struct Buffers {
    entries: *mut BufRingEntry,
    tail: u16,
    memory: *mut u8,
}

impl Buffers {
    fn new(submitter: &Submitter<'_>) -> Self {
        let entries = aligned(usize::from(BUFFERS) * size_of::<BufRingEntry>());
        // SAFETY: the memory is aligned to pages and never freed.
        let registered =
            unsafe { submitter.register_buf_ring_with_flags(entries as u64, BUFFERS, GROUP, 0) };
        registered.expect("a group");
        let mut buffers = Self {
            entries: entries.cast(),
            tail: 0,
            memory: memory(),
        };
        for id in 0..BUFFERS {
            buffers.add(id);
        }
        buffers.publish();
        buffers
    }

    #[inline]
    fn at(&self, id: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(id) * BUFFER as usize)
    }

    #[inline]
    fn add(&mut self, id: u16) {
        let index = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the index is masked to the size of the ring, and the entry is not in use.
        let entry = unsafe { &mut *self.entries.wrapping_add(index) };
        entry.set_addr(self.at(id) as u64);
        entry.set_len(BUFFER);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    #[inline]
    fn publish(&mut self) {
        // SAFETY: the first entry is in the ring's memory.
        let tail = unsafe { BufRingEntry::tail(self.entries) };
        // SAFETY: the tail is aligned to 2 and never freed, and both sides use it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
