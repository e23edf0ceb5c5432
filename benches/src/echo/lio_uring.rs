//! This library: a multishot accept, a multishot receive for each connection, and a ring of buffers.

use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{AcceptMulti, Close, RecvMulti, Send};
use lio_uring::{
    BufferRing, Completion, CompletionQueue, IoUring, Sqe, SubmissionQueue, with_capacity,
};

use super::token::{Kind, Token};
use super::{BUFFER, BUFFERS, ENTRIES, memory};

/// The only group of buffers.
const GROUP: u16 = 0;
/// How long the kernel's thread stays awake with nothing to do.
const IDLE_MS: u32 = 1000;

pub(super) fn halves(listener: TcpListener) {
    let (cq, sq) = with_capacity(ENTRIES).expect("a ring");
    serve(cq, sq, listener);
}

pub(super) fn one_thread(listener: TcpListener) {
    let params = IoUring::builder().entries(ENTRIES);
    let (cq, sq) = IoUring::with_params(params).expect("a ring");
    serve(cq, sq, listener);
}

pub(super) fn sqpoll(listener: TcpListener) {
    let params = IoUring::builder().entries(ENTRIES).sqpoll(IDLE_MS);
    let (cq, sq) = IoUring::with_params(params).expect("a ring");
    serve(cq, sq, listener);
}

fn serve<T: Threads>(
    mut cq: CompletionQueue<T>,
    mut sq: SubmissionQueue<T>,
    listener: TcpListener,
) {
    let mut buffers = Buffers::new(&mut sq);
    let mut service = Service { sq, listener };
    service.accept();
    loop {
        service.sq.submit_and_wait(1).expect("a submission");
        for completion in cq.completions() {
            service.on_completion(completion, &mut buffers);
        }
        buffers.ring.publish();
    }
}

struct Service<T: Threads> {
    sq: SubmissionQueue<T>,
    listener: TcpListener,
}

impl<T: Threads> Service<T> {
    #[inline]
    fn on_completion(&mut self, completion: Completion, buffers: &mut Buffers<T>) {
        let token = Token::from_user_data(completion.user_data());
        match token.kind {
            Kind::Accept => {
                let fd = completion.result().expect("a connection");
                self.receive(fd);
                if !completion.more() {
                    self.accept();
                }
            }
            Kind::Receive => match (completion.raw_result(), completion.buffer_id()) {
                (1.., Some(buffer)) => {
                    let len = completion.raw_result().cast_unsigned();
                    self.send(token.fd, buffer, len, buffers);
                    if !completion.more() {
                        self.receive(token.fd);
                    }
                }
                (result, _) if result == -libc::ENOBUFS => self.receive(token.fd),
                _ => self.close(token.fd),
            },
            Kind::Send => buffers.add(token.buffer),
            Kind::Close => {}
        }
    }

    fn accept(&mut self) {
        let fd = self.listener.as_raw_fd();
        let accept = AcceptMulti {
            fd,
            addr: ptr::null_mut(),
            addrlen: ptr::null_mut(),
            flags: libc::SOCK_CLOEXEC,
        };
        let user_data = Token::new(Kind::Accept, fd).user_data();
        // SAFETY: both pointers are null, and the listener stays open.
        unsafe { self.sq.push(&accept, user_data) }.expect("room");
    }

    fn receive(&mut self, fd: RawFd) {
        let receive = RecvMulti {
            sockfd: fd,
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        };
        let user_data = Token::new(Kind::Receive, fd).user_data();
        let settings = |sqe: &mut Sqe| sqe.select_buffer(GROUP);
        // SAFETY: the connection is this server's, and the group's buffers are never freed.
        unsafe { self.sq.push_with(&receive, user_data, settings) }.expect("room");
    }

    #[inline]
    fn send(&mut self, fd: RawFd, buffer: u16, len: u32, buffers: &Buffers<T>) {
        let send = Send {
            sockfd: fd,
            buf: buffers.at(buffer).cast(),
            len,
            flags: libc::MSG_WAITALL | libc::MSG_NOSIGNAL,
        };
        let kind = Kind::Send;
        let user_data = Token { kind, buffer, fd }.user_data();
        // SAFETY: the buffer goes back to the kernel only when the send has completed.
        unsafe { self.sq.push(&send, user_data) }.expect("room");
    }

    fn close(&mut self, fd: RawFd) {
        let user_data = Token::new(Kind::Close, fd).user_data();
        // SAFETY: nothing names the descriptor after this, and what does was pushed before.
        unsafe { self.sq.push(&Close { fd }, user_data) }.expect("room");
    }
}

struct Buffers<T: Threads> {
    ring: BufferRing<T>,
    memory: *mut u8,
}

impl<T: Threads> Buffers<T> {
    fn new(sq: &mut SubmissionQueue<T>) -> Self {
        let ring = sq.register_buffer_ring(BUFFERS, GROUP).expect("a group");
        let mut buffers = Self {
            ring,
            memory: memory(),
        };
        for id in 0..BUFFERS {
            buffers.add(id);
        }
        buffers.ring.publish();
        buffers
    }

    #[inline]
    fn at(&self, id: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(id) * BUFFER as usize)
    }

    #[inline]
    fn add(&mut self, id: u16) {
        // SAFETY: the ring has room for all buffers. This one is not in it, and no send reads it.
        unsafe { self.ring.add(self.at(id).cast(), BUFFER, id) };
    }
}
