//! Registered buffers of one ring in another.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::ReadFixed;
use lio_uring::{
    CloneBuffers, CompletionQueue, IoUring, RegisterCause, RegisterError, SubmissionQueue,
    with_capacity,
};

/// A ring with four registered buffers.
struct Source {
    memory: Box<[[u8; 64]; 4]>,
    sq: SubmissionQueue,
    _cq: CompletionQueue,
}

impl Source {
    fn new() -> Self {
        let (cq, mut sq) = with_capacity(8).expect("a ring");
        let mut memory = Box::new([[0; 64]; 4]);
        let buffers: Vec<_> = memory.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        // SAFETY: the tests keep the memory longer than both rings.
        unsafe { sq.register_buffers(&buffers) }.expect("buffers");
        Self {
            memory,
            sq,
            _cq: cq,
        }
    }

    fn clone_to<T: Threads>(
        &self,
        sq: &mut SubmissionQueue<T>,
        which: CloneBuffers,
    ) -> Result<(), RegisterError> {
        // SAFETY: as for the registration.
        unsafe { sq.register_clone_buffers(&self.sq, which) }
    }

    /// Reads into the memory of a buffer here by way of an index there.
    fn read(
        &mut self,
        (cq, sq): &mut (CompletionQueue, SubmissionQueue),
        buffer: usize,
        index: u16,
    ) -> i32 {
        let text = File::open("/proc/self/comm").expect("the file is there");
        self.memory[buffer] = [0; 64];
        let read = ReadFixed {
            fd: text.as_raw_fd(),
            buf: self.memory[buffer].as_mut_ptr().cast(),
            nbytes: 4,
            offset: 0,
            buf_index: index,
        };
        // SAFETY: the memory and the file live until the completion has been taken.
        unsafe { sq.push(&read, 1) }.expect("room");
        sq.submit_and_wait(1).expect("a submission");
        let result = cq.next().expect("a completion").raw_result();
        assert_eq!(self.memory[buffer][0] != 0, result == 4);
        result
    }
}

#[test]
fn clones_outlive_the_ring_that_they_are_from() {
    let mut source = Source::new();
    let mut ring = with_capacity(8).unwrap();
    let cloned = source.clone_to(&mut ring.1, CloneBuffers::all());
    if kernel::since(6, 12, cloned).is_none() {
        return;
    }
    for (buffer, index) in (0..4).zip(0..) {
        assert_eq!(source.read(&mut ring, buffer, index), 4);
    }
    source.sq.unregister_buffers().unwrap();
    assert_eq!(source.read(&mut ring, 2, 2), 4);
    ring.1.unregister_buffers().unwrap();
    assert_eq!(source.read(&mut ring, 2, 2), -libc::EFAULT);
}

#[test]
fn clones_go_where_they_are_told() {
    let mut source = Source::new();
    let mut ring = with_capacity(8).unwrap();
    let cloned = source.clone_to(&mut ring.1, CloneBuffers::range(1, 5, 2));
    if kernel::since(6, 13, cloned).is_none() {
        return;
    }
    assert_eq!(source.read(&mut ring, 1, 5), 4);
    assert_eq!(source.read(&mut ring, 2, 6), 4);
    for index in [0, 4, 7] {
        assert_eq!(source.read(&mut ring, 1, index), -libc::EFAULT, "{index}");
    }
    let replace = CloneBuffers::range(3, 5, 1).replace();
    source.clone_to(&mut ring.1, replace).unwrap();
    assert_eq!(source.read(&mut ring, 3, 5), 4);
    assert_eq!(source.read(&mut ring, 1, 5), -libc::EFAULT);
    assert_eq!(source.read(&mut ring, 2, 6), 4);
}

#[test]
fn clones_into_a_ring_that_has_buffers_are_refused() {
    let source = Source::new();
    let mut other = Source::new();
    let cloned = source.clone_to(&mut with_capacity(8).unwrap().1, CloneBuffers::all());
    if kernel::since(6, 12, cloned).is_none() {
        return;
    }
    let error = source
        .clone_to(&mut other.sq, CloneBuffers::all())
        .unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert_eq!(*error.cause(), RegisterCause::AlreadyRegistered);
}

#[test]
fn clones_of_what_is_not_there_are_refused() {
    let source = Source::new();
    let mut ring = with_capacity(8).unwrap();
    let cloned = source.clone_to(&mut ring.1, CloneBuffers::range(0, 0, 1));
    if kernel::since(6, 13, cloned).is_none() {
        return;
    }
    let mut ring = with_capacity(8).unwrap();
    for range in [
        CloneBuffers::range(4, 0, 1),
        CloneBuffers::range(0, 0, 5),
        CloneBuffers::range(u32::MAX, 0, 1),
        CloneBuffers::range(0, u32::MAX, 1),
        CloneBuffers::range(1, 0, u32::MAX),
    ] {
        let error = source.clone_to(&mut ring.1, range).unwrap_err();
        assert!(
            [libc::EINVAL, libc::EOVERFLOW].contains(&error.errno()),
            "{range:?}: {error}"
        );
    }
    let empty = with_capacity(8).unwrap();
    // SAFETY: there are no buffers.
    let error =
        unsafe { ring.1.register_clone_buffers(&empty.1, CloneBuffers::all()) }.unwrap_err();
    assert_eq!(error.errno(), libc::ENXIO);
    assert_eq!(*error.cause(), RegisterCause::NotRegistered);
}

#[test]
fn clones_between_rings_of_every_kind() {
    let source = Source::new();
    let mut one = IoUring::new(8).unwrap();
    let cloned = source.clone_to(one.submission(), CloneBuffers::all());
    if kernel::since(6, 12, cloned).is_none() {
        return;
    }
    // The source's descriptor is registered with the thread here.
    let mut two = IoUring::new(8).unwrap();
    // SAFETY: the memory outlives all rings.
    unsafe {
        two.submission()
            .register_clone_buffers(one.submission(), CloneBuffers::all())
    }
    .unwrap();
    two.submission().unregister_buffers().unwrap();
}
