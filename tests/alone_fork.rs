//! Rings and processes that are forked: liburing's own rings are shared, this library's are not.
//!
//! In a binary of its own, since a child of many threads may hold what they had locked.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Wake, Waker};

use lio_uring::kind::AnyThread;
use lio_uring::operation::{self, Cancel, CancelFlags};
use lio_uring::owned::{Multishot as _, Nop, Read, Recv, Ring, SendBundle, UniformRing};
use lio_uring::{BufferPool, IoUringParams, sys, with_capacity};

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "support/liburing_ring.rs"]
mod liburing_ring;

use liburing_ring::LiburingRing;

/// Runs a body in a forked child, which may do nothing but system calls, and returns how it ended.
fn in_fork(body: impl FnOnce() -> bool) -> Fork {
    // SAFETY: the tests' bodies allocate nothing and take no locks.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        let status = i32::from(!body());
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) };
    }
    Fork(child)
}

/// A child to wait for.
#[must_use]
struct Fork(libc::pid_t);

impl Fork {
    #[track_caller]
    fn status(self) -> i32 {
        let mut status = 0;
        // SAFETY: waits for the child that was made, into a value of the right type.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        status
    }

    #[track_caller]
    fn succeeds(self) {
        assert_eq!(self.status(), 0, "the child");
    }

    /// The signal that has ended it.
    #[track_caller]
    fn signal(self) -> Option<i32> {
        let status = self.status();
        libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
    }
}

/// Pushes and submits a write.
fn write(ring: &mut LiburingRing, fd: RawFd, text: &'static [u8; 8], offset: u64) -> bool {
    let sqe = ring.entry();
    // SAFETY: the entry is the ring's, and the text is valid for ever.
    unsafe { sys::io_uring_prep_write(sqe, fd, text.as_ptr().cast(), 8, offset) };
    submit(ring, sqe, offset)
}

fn submit(ring: &mut LiburingRing, sqe: *mut sys::io_uring_sqe, user_data: u64) -> bool {
    // SAFETY: the entry is the ring's, and not submitted.
    unsafe { sys::io_uring_sqe_set_data64(sqe, user_data) };
    // SAFETY: the tests keep what their entries point to.
    unsafe { ring.submit() == 1 }
}

#[test]
fn ring_of_liburing_is_used_by_parent_and_child() {
    let file = tempfile::tempfile().unwrap();
    let fd = file.as_raw_fd();
    let mut ring = LiburingRing::new(8, 0).unwrap();
    assert!(write(&mut ring, fd, b"before, ", 0));
    // What the parent has submitted, the child takes.
    in_fork(|| ring.next() == (0, 8)).succeeds();
    // And the other way round. What a process has in flight ends with it, so the child waits.
    let mut ring = LiburingRing::new(8, 0).unwrap();
    in_fork(|| write(&mut ring, fd, b"child's ", 8) && !ring.wait().is_null()).succeeds();
    assert_eq!(ring.next(), (8, 8));
    let mut text = [0; 16];
    file.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"before, child's ");
}

#[test]
fn ring_of_liburing_lets_a_child_cancel_what_its_parent_has_submitted() {
    let (reader, _writer) = io::pipe().unwrap();
    let mut byte = 0_u8;
    let mut ring = LiburingRing::new(8, 0).unwrap();
    let sqe = ring.entry();
    // SAFETY: the entry is the ring's, and the byte stays until the completion has been taken.
    unsafe { sys::io_uring_prep_read(sqe, reader.as_raw_fd(), (&raw mut byte).cast(), 1, 0) };
    assert!(submit(&mut ring, sqe, 1));
    let child = in_fork(|| {
        let sqe = ring.entry();
        // SAFETY: the entry is the ring's.
        unsafe { sys::io_uring_prep_cancel64(sqe, 1, 0) };
        submit(&mut ring, sqe, 2)
    });
    child.succeeds();
    let mut both = [ring.next(), ring.next()];
    both.sort_unstable();
    assert_eq!(both, [(1, -libc::ECANCELED), (2, 0)]);
}

#[test]
fn child_has_nothing_in_place_of_the_queues() {
    let ring = Ring::new(16384).unwrap();
    ring.push(Nop).unwrap().wait().unwrap().unwrap();
    let child = in_fork(|| {
        // What a child allocates is put where there is nothing.
        for pages in (1..=512).rev() {
            let (length, access) = (pages * 4096, libc::PROT_READ | libc::PROT_WRITE);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping, at an address of the kernel's choice.
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, -1, 0) };
        }
        drop(ring.push(Nop));
        false
    });
    assert_eq!(child.signal(), Some(libc::SIGSEGV));
    // The parent's are as they were.
    ring.push(Nop).unwrap().wait().unwrap().unwrap();
    // Rings are forgotten with their mappings.
    drop(ring);
    in_fork(|| true).succeeds();
}

#[test]
fn child_that_is_made_within_a_pass_leaves_the_queues_alone() {
    struct Forks(AtomicI32);
    impl Wake for Forks {
        fn wake(self: Arc<Self>) {
            // SAFETY: the child returns to the test, which ends it.
            self.0.store(unsafe { libc::fork() }, Ordering::Relaxed);
        }
    }
    struct Idle;
    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }

    // A pass calls so many wakers before it takes more completions.
    for others in [0, 63, 64, 130] {
        let ring = Ring::new(256).unwrap();
        let forks = Arc::new(Forks(AtomicI32::new(-1)));
        let waker = Waker::from(Arc::clone(&forks));
        let mut tickets = Vec::new();
        for n in 0..=others {
            let mut ticket = ring.push(Nop).unwrap();
            let idle = Waker::from(Arc::new(Idle));
            let waker = if n == 1 || others == 0 { &waker } else { &idle };
            let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending());
            tickets.push(ticket);
        }
        // What is disposed of, or stopped once more, comes after the wakers.
        drop(ring.push(Nop).unwrap());
        let submitted = ring.submit_and_wait(others + 1);
        let child = forks.0.load(Ordering::Relaxed);
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(submitted.is_err())) };
        }
        Fork(child).succeeds();
        submitted.unwrap();
        for ticket in tickets {
            let Ok(output) = ticket.try_take() else {
                panic!("it has ended");
            };
            output.unwrap();
        }
    }
}

#[test]
fn queue_of_the_parent_is_not_written_to_by_its_children() {
    let ring = Ring::new(8).unwrap();
    // Before 6.10 it is not sent from.
    let Some(mut queue) = kernel::since(5, 19, ring.register_send_queue(4, 16)) else {
        return;
    };
    queue.write_all(b"the parent's").unwrap();
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let bundle = SendBundle::new(socket.try_clone().unwrap(), queue.clone());
    let mut childs = SendBundle::new(socket, queue.clone());
    in_fork(|| {
        let refused = (&queue).write(b"the child's").unwrap_err();
        let _entry = childs.entry();
        drop(childs);
        refused.raw_os_error() == Some(libc::EPERM) && queue.len() == 12
    })
    .succeeds();
    let mut sending = ring.push_stream(bundle).unwrap();
    let sent = sending.wait_next().unwrap().unwrap();
    match sent {
        Ok(bytes) => {
            let mut text = [0; 12];
            peer.read_exact(&mut text).unwrap();
            assert_eq!((bytes, &text), (12, b"the parent's"));
        }
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
            assert!(kernel::lacks(6, 10, "bundles"));
        }
    }
}

#[test]
fn ring_of_the_parent_goes_on_whatever_its_children_do() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let mut bytes = [0_u8; 2];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let read = operation::Read {
            fd: reader.as_raw_fd(),
            ptr: (&raw mut *byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the bytes are left alone until both completions have been taken.
        unsafe { sq.push(&read, i as u64) }.unwrap();
    }
    sq.submit().unwrap();
    // A child that ends does not end what its parent has in flight.
    in_fork(|| true).succeeds();
    assert_eq!(cq.try_next().unwrap(), None);
    let cancel = Cancel {
        user_data: 0,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, 7) }.unwrap();
    sq.submit_and_wait(2).unwrap();
    let mut both = [cq.next().unwrap(), cq.next().unwrap()];
    both.sort_by_key(lio_uring::Completion::user_data);
    assert_eq!(both[0].raw_result(), -libc::ECANCELED);
    assert_eq!(both[1].raw_result(), 0);
    // Nor does one that writes where the parent reads.
    let fd = writer.as_raw_fd();
    let child = in_fork(|| {
        // SAFETY: there is one byte.
        unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) == 1 }
    });
    let done = cq.next().unwrap();
    child.succeeds();
    assert_eq!((done.user_data(), done.raw_result()), (1, 1));
    assert_eq!(bytes, *b"\0x");
    writer.write_all(b"the pipe is open").unwrap();
}

#[test]
fn pool_buffer_in_a_child_is_a_copy() {
    let pool = BufferPool::new(1, 4096).unwrap();
    let mut buffer = pool.take().unwrap();
    buffer.fill(1);
    let child = in_fork(|| {
        let was = buffer.iter().all(|&byte| byte == 1);
        buffer.fill(2);
        was && buffer.iter().all(|&byte| byte == 2)
    });
    child.succeeds();
    assert!(buffer.iter().all(|&byte| byte == 1), "the child wrote here");
}

#[test]
fn owned_operations_are_left_to_the_parent_by_a_child() {
    let ring = Ring::new(8).unwrap();
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let recv = Recv {
        socket,
        buffer: vec![0; 16],
        flags: 0,
    };
    let mut ticket = Some(ring.push(recv).unwrap());
    ring.submit().unwrap();
    let child = in_fork(|| {
        drop(ticket.take());
        true
    });
    child.succeeds();
    peer.write_all(b"to the parent").unwrap();
    let (count, bytes) = ticket.take().unwrap().wait().unwrap();
    assert_eq!((count.unwrap(), &bytes[..]), (13, &b"to the parent"[..]));
}

#[test]
fn registered_places_are_the_parents() {
    let params = IoUringParams::<AnyThread>::default().entries(8);
    let mut ring = UniformRing::with_params(params).unwrap();
    let slots = ring.register_slots(2).unwrap();
    let zeros = slots.insert(File::open("/dev/zero").unwrap()).unwrap();
    let other = File::open("/proc/self/exe").unwrap();
    let child = in_fork(|| {
        let inserted = slots
            .insert(&other)
            .is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
        let registered = ring.register_slots(2).is_err();
        // Neither empties the parent's place.
        drop(zeros.clone());
        inserted && registered
    });
    child.succeeds();
    let (file, buffer) = (zeros, vec![1; 4]);
    ring.push(Read {
        file,
        buffer,
        offset: 0,
    })
    .unwrap();
    ring.submit_and_wait(1).unwrap();
    let (_, (count, bytes)) = ring.outputs().next().unwrap();
    assert_eq!((count.unwrap(), &bytes[..]), (4, &[0; 4][..]));
}
