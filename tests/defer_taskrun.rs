//! Rings for one thread: work that is put off until it is asked for, and threads that are turned
//! away.
#![cfg(target_os = "linux")]

use std::env;
use std::ffi::c_void;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use lio_uring::operation::{Nop, PollAdd, Read, Recv};
use lio_uring::{IoUring, SqeFlags, sys};

#[path = "support/eventfd.rs"]
mod eventfd;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/liburing_ring.rs"]
mod liburing_ring;
#[path = "support/until.rs"]
mod until;

use eventfd::eventfd;
use liburing_ring::LiburingRing;
use until::until;

/// A ring for one thread that puts work off, if the kernel can.
fn putting_off() -> Option<IoUring> {
    kernel::since(6, 1, IoUring::builder().entries(8).defer_taskrun().build())
}

fn push_nop(ring: &mut IoUring, user_data: u64) {
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push(&Nop, user_data) }.expect("room");
}

/// Pushes a poll for what there is to read. The pipe is open until it has completed.
fn push_poll(ring: &mut IoUring, reader: &PipeReader, user_data: u64) {
    let poll = PollAdd {
        fd: reader.as_raw_fd(),
        poll_mask: libc::POLLIN.cast_unsigned().into(),
    };
    // SAFETY: a poll points to nothing.
    unsafe { ring.push(&poll, user_data) }.expect("room");
}

/// Whether there is something to read within so many milliseconds.
fn readable(fd: RawFd, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: there is one structure, and it is valid for writes.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) == 1 }
}

#[test]
fn work_put_off_signals_the_eventfd_and_waits_to_be_asked_for() {
    let Some(mut ring) = putting_off() else {
        return;
    };
    let mut signal = File::from(eventfd());
    ring.submission().register_eventfd(signal.as_fd()).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    push_poll(&mut ring, &reader, 1);
    ring.submit().unwrap();
    assert!(!readable(signal.as_raw_fd(), 0), "nothing has come");

    push_nop(&mut ring, 2);
    ring.submit().unwrap();
    assert!(readable(signal.as_raw_fd(), 0));
    assert_eq!(ring.next().unwrap().user_data(), 2);
    signal.read_exact(&mut [0; 8]).unwrap();

    writer.write_all(b"x").unwrap();
    assert!(readable(signal.as_raw_fd(), 60_000));
    assert_eq!(ring.completion().ready(), 0, "it is put off");
    assert_eq!(ring.completion().wait(0).unwrap(), 1);
    let done = ring.next().unwrap();
    assert_eq!(done.user_data(), 1);
    assert_eq!(done.result().unwrap(), libc::POLLIN.into());
}

#[test]
fn work_put_off_is_done_by_whoever_looks() {
    let Some(mut ring) = putting_off() else {
        return;
    };
    let (reader, mut writer) = io::pipe().unwrap();
    for round in 0..20 {
        let mut byte = 0;
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: (&raw mut byte).cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone until the completion has been taken.
        unsafe { ring.push(&read, round) }.unwrap();
        ring.submit().unwrap();
        writer.write_all(b"x").unwrap();
        // The read has what it waits for, and is carried out when the thread enters the kernel.
        assert_eq!(ring.completion().ready(), 0);
        assert_eq!(byte, 0);
        let done = loop {
            if let Some(done) = ring.try_next().unwrap() {
                break done;
            }
        };
        assert_eq!((done.user_data(), done.raw_result()), (round, 1));
        assert_eq!(byte, b'x');
    }
}

/// Rings of the kinds that put work off and say so.
fn kinds_putting_off() -> Vec<(&'static str, IoUring)> {
    let params = IoUring::builder().entries(8);
    let defer = params.defer_taskrun();
    let made = [
        ("coop_taskrun", (5, 19), params.coop_taskrun().build()),
        ("defer_taskrun", (6, 1), defer.build()),
        ("sq_rewind", (7, 0), defer.sq_rewind().build()),
    ];
    let kinds = made.into_iter().filter_map(|(kind, (major, minor), made)| {
        kernel::since(major, minor, made).map(|ring| (kind, ring))
    });
    kinds.collect()
}

#[test]
fn work_put_off_is_done_beside_operations_that_end_at_once() {
    for (kind, mut ring) in kinds_putting_off() {
        let (reader, mut writer) = io::pipe().unwrap();
        // What is written is seen at once. A read could take a worker, on Linux 6.1.
        push_poll(&mut ring, &reader, 1);
        ring.submit().unwrap();
        writer.write_all(b"x").unwrap();
        let mut rounds = 0;
        let mut ended = None;
        while ended.is_none() {
            rounds += 1;
            assert!(rounds < 1000, "{kind}: what ended at once went first");
            push_nop(&mut ring, 2);
            assert_eq!(ring.submit().unwrap(), 1, "{kind}");
            // There always is one, so nothing else enters the kernel.
            ended = ring.completions().find(|done| done.user_data() == 1);
        }
        let result = ended.map(|done| done.raw_result());
        assert_eq!(result, Some(libc::POLLIN.into()), "{kind}");
    }
}

#[test]
fn submitting_nothing_fetches_what_was_put_off() {
    for (kind, mut ring) in kinds_putting_off() {
        let (reader, mut writer) = io::pipe().unwrap();
        push_poll(&mut ring, &reader, 1);
        ring.submit().unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(ring.submit().unwrap(), 0, "{kind}");
        let done = ring.completion().peek().map(|done| done.user_data());
        assert_eq!(done, Some(1), "{kind}");
        assert_eq!(ring.submit().unwrap(), 0, "{kind}: there is nothing more");
        assert_eq!(ring.completion().ready(), 1, "{kind}");
    }
}

/// A ring that is lent to other threads, which the library's types do not allow.
struct Borrowable(LiburingRing);

impl Borrowable {
    fn new(flags: u32) -> Option<Self> {
        kernel::since(6, 1, LiburingRing::new(8, flags)).map(Self)
    }

    /// Submits a NOP.
    fn submit(&mut self) -> i32 {
        let sqe = self.0.entry();
        // SAFETY: liburing gave the entry to be written.
        unsafe { sys::io_uring_prep_nop(sqe) };
        // SAFETY: a NOP points to nothing.
        unsafe { self.0.submit() }
    }

    fn enable(&mut self) -> i32 {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_enable_rings(self.0.raw()) }
    }

    /// Registers something that any ring takes.
    fn register(&mut self) -> i32 {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_register_files_sparse(self.0.raw(), 1) }
    }

    /// Fetches what the kernel has put off.
    fn fetch(&mut self) -> i32 {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_get_events(self.0.raw()) }
    }
}

// SAFETY: one thread at a time has the structure; what the kernel makes of it is what is tested.
unsafe impl Send for Borrowable {}

/// Uses a ring on another thread.
fn elsewhere(ring: &mut Borrowable, body: impl FnOnce(&mut Borrowable) -> i32 + Send) -> i32 {
    thread::scope(|scope| scope.spawn(|| body(ring)).join()).expect("the thread ends")
}

#[test]
fn single_issuer_is_the_thread_that_made_the_ring() {
    let Some(mut ring) = Borrowable::new(sys::IORING_SETUP_SINGLE_ISSUER) else {
        return;
    };
    assert_eq!(elsewhere(&mut ring, Borrowable::submit), -libc::EEXIST);
    assert_eq!(elsewhere(&mut ring, Borrowable::register), -libc::EEXIST);
    // The refused entry is still queued.
    assert_eq!(ring.submit(), 2);
    assert_eq!(ring.register(), 0);
}

#[test]
fn single_issuer_of_a_disabled_ring_is_the_thread_that_enables_it() {
    let flags = sys::IORING_SETUP_SINGLE_ISSUER | sys::IORING_SETUP_R_DISABLED;
    let Some(mut ring) = Borrowable::new(flags) else {
        return;
    };
    // Anybody may register until then.
    assert_eq!(elsewhere(&mut ring, Borrowable::register), 0);
    assert_eq!(elsewhere(&mut ring, Borrowable::submit), -libc::EBADFD);
    assert_eq!(elsewhere(&mut ring, Borrowable::enable), 0);
    assert_eq!(ring.submit(), -libc::EEXIST);

    let mut ring = Borrowable::new(flags).expect("as before");
    assert_eq!(ring.enable(), 0);
    assert_eq!(elsewhere(&mut ring, Borrowable::submit), -libc::EEXIST);
    assert_eq!(ring.submit(), 2);
}

#[test]
fn single_issuer_of_a_ring_with_sqpoll_is_its_thread() {
    let flags = sys::IORING_SETUP_SINGLE_ISSUER | sys::IORING_SETUP_SQPOLL;
    let Some(mut ring) = Borrowable::new(flags) else {
        return;
    };
    assert_eq!(elsewhere(&mut ring, Borrowable::submit), 1);
    // The first may not have been taken yet, and counts then.
    assert!((1..=2).contains(&ring.submit()));
}

#[test]
fn work_put_off_for_a_thread_that_has_ended_is_nobody_elses() {
    let flags = sys::IORING_SETUP_SINGLE_ISSUER
        | sys::IORING_SETUP_DEFER_TASKRUN
        | sys::IORING_SETUP_R_DISABLED;
    let Some(mut ring) = Borrowable::new(flags) else {
        return;
    };
    assert_eq!(elsewhere(&mut ring, Borrowable::enable), 0);
    assert_eq!(ring.submit(), -libc::EEXIST);
    assert_eq!(ring.fetch(), -libc::EEXIST);
}

#[test]
fn program_may_be_replaced_while_work_is_in_flight() {
    const NAME: &str = "program_may_be_replaced_while_work_is_in_flight";
    const REPLACES: &str = "LIO_URING_TEST_REPLACES";
    const LEN: usize = 1 << 20;
    let program = env::current_exe().unwrap();
    if env::var_os(REPLACES).is_none() {
        let output = Command::new(program)
            .args(["--exact", NAME, "--nocapture"])
            .env(REPLACES, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        // It is the program that took the place that has listed them.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("{NAME}: test")), "{output:?}");
        return;
    }
    let mut ring = IoUring::new(8).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![1; LEN]).unwrap();
    let (here, mut there) = UnixStream::pair().unwrap();
    there.write_all(b"x").unwrap();
    let room = || -> *mut c_void {
        let bytes: &'static mut [u8] = Box::leak(vec![0; LEN].into_boxed_slice());
        bytes.as_mut_ptr().cast()
    };
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: room(),
        len: 1 << 20,
        offset: 0,
    };
    let recv = Recv {
        sockfd: here.as_raw_fd(),
        buf: room(),
        len: 1 << 20,
        flags: libc::MSG_WAITALL,
    };
    // SAFETY: the memory is never freed.
    unsafe { ring.push_with_flags(&read, 1, SqeFlags::ASYNC) }.unwrap();
    // SAFETY: as above.
    unsafe { ring.push_with_flags(&recv, 1, SqeFlags::ASYNC) }.unwrap();
    ring.submit().unwrap();
    // Before Linux 5.18 a worker that is just taking an operation up is not found to be stopped, and then
    // waited for without end.
    if kernel::older_than(5, 18) {
        until("no worker receives", || !readable(here.as_raw_fd(), 0));
    }
    let error = Command::new(program)
        .arg("--list")
        .env_remove(REPLACES)
        .exec();
    panic!("{error}");
}
