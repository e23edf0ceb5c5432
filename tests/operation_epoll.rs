//! Sets of descriptors that are watched by epoll: changing them, and waiting for them.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLONESHOT, EPOLLOUT};
use lio_uring::kind::Threads;
use lio_uring::operation::{EpollCtl, EpollWait, OpCode};
use lio_uring::{Completion, CompletionQueue, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use closed_fd::closed_fd;
use rings::{PENDING, cancel, run, submit_pending, wait};

/// What an event holds that nothing has been written to.
const UNTOUCHED: libc::epoll_event = libc::epoll_event {
    events: 0xaaaa,
    u64: 0xaaaa,
};

/// An epoll set.
struct Set(OwnedFd);

impl Set {
    fn new() -> Self {
        // SAFETY: the call has no conditions.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        Self(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// What is ready now, as the system call says.
    fn ready(&self) -> Vec<(i32, u64)> {
        let mut events = [UNTOUCHED; 4];
        // SAFETY: there is room for four events.
        let n = unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), 4, 0) };
        let n = usize::try_from(n).expect("a set");
        events[..n].iter().map(|event| pair(*event)).collect()
    }

    /// Adds a descriptor by the system call.
    fn add(&self, fd: &impl AsRawFd, events: i32, data: u64) {
        let mut event = event(events, data);
        // SAFETY: the event is valid, and the descriptors are open.
        let done =
            unsafe { libc::epoll_ctl(self.fd(), EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }
}

fn event(events: i32, data: u64) -> libc::epoll_event {
    libc::epoll_event {
        events: events.cast_unsigned(),
        u64: data,
    }
}

fn pair(event: libc::epoll_event) -> (i32, u64) {
    (event.events.cast_signed(), event.u64)
}

/// Changes a set, and returns the result.
#[track_caller]
fn control<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    (epfd, op, fd): (RawFd, i32, RawFd),
    event: libc::epoll_event,
    settings: impl FnOnce(&mut Sqe),
) -> i32 {
    let control = EpollCtl {
        epfd,
        fd,
        op,
        ev: &raw const event,
    };
    // SAFETY: the event stays until the completion has been taken, the sets are of the tests, and
    // the descriptors are open or refused.
    unsafe { run(cq, sq, &control, settings) }.raw_result()
}

fn plain(_: &mut Sqe) {}

fn wait_of(fd: RawFd, events: &mut [libc::epoll_event]) -> EpollWait {
    EpollWait {
        fd,
        events: events.as_mut_ptr(),
        maxevents: events.len().try_into().expect("few events"),
        flags: 0,
    }
}

/// Waits for a set, and returns what was ready.
#[track_caller]
fn ready<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    set: &Set,
    maxevents: usize,
) -> Vec<(i32, u64)> {
    let mut events = [UNTOUCHED; 4];
    let wait = wait_of(set.fd(), &mut events[..maxevents]);
    // SAFETY: the events and the set stay until the completion has been taken.
    let done = unsafe { run(cq, sq, &wait, plain) };
    told(done, &events)
}

/// The events that a completion counts, if the others are as they were.
#[track_caller]
fn told(done: Completion, events: &[libc::epoll_event]) -> Vec<(i32, u64)> {
    let n = done.result().expect("events").try_into().expect("a count");
    let (told, rest) = events.split_at(n);
    assert!(rest.iter().all(|event| pair(*event) == pair(UNTOUCHED)));
    told.iter().map(|event| pair(*event)).collect()
}

#[test]
fn epoll_ctl_adds_changes_and_removes_a_descriptor() {
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let mut change = |op, events, data| {
            let which = (set.fd(), op, reader.as_raw_fd());
            assert_eq!(control(cq, sq, which, event(events, data), plain), 0);
            set.ready()
        };
        assert_eq!(change(EPOLL_CTL_ADD, EPOLLIN, 7), [(EPOLLIN, 7)]);
        assert_eq!(
            change(EPOLL_CTL_MOD, EPOLLIN, u64::MAX),
            [(EPOLLIN, u64::MAX)]
        );
        assert_eq!(change(EPOLL_CTL_MOD, EPOLLOUT, 8), []);
        assert_eq!(change(EPOLL_CTL_MOD, EPOLLIN, 9), [(EPOLLIN, 9)]);
        assert_eq!(change(EPOLL_CTL_DEL, EPOLLIN, 9), []);
    });
}

#[test]
fn epoll_ctl_that_removes_looks_at_no_event() {
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, _writer) = io::pipe().unwrap();
        for ev in [ptr::null(), ptr::without_provenance(8)] {
            set.add(&reader, EPOLLIN, 1);
            let remove = EpollCtl {
                epfd: set.fd(),
                fd: reader.as_raw_fd(),
                op: EPOLL_CTL_DEL,
                ev,
            };
            // SAFETY: the event is not used.
            assert_eq!(unsafe { run(cq, sq, &remove, plain) }.raw_result(), 0);
        }
        // It can be added again, so it is gone.
        set.add(&reader, EPOLLIN, 1);
    });
}

#[test]
fn epoll_ctl_on_a_worker_adds_a_descriptor() {
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (_reader, writer) = io::pipe().unwrap();
        let which = (set.fd(), EPOLL_CTL_ADD, writer.as_raw_fd());
        let settings = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::ASYNC);
        assert_eq!(control(cq, sq, which, event(EPOLLOUT, 3), settings), 0);
        assert_eq!(set.ready(), [(EPOLLOUT, 3)]);
    });
}

#[test]
fn epoll_ctl_keeps_no_event_once_it_is_submitted() {
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (_reader, writer) = io::pipe().unwrap();
        let mut first = event(EPOLLOUT, 3);
        let add = EpollCtl {
            epfd: set.fd(),
            fd: writer.as_raw_fd(),
            op: EPOLL_CTL_ADD,
            ev: &raw const first,
        };
        // SAFETY: the event stays until the entry has been submitted, set and pipe stay longer.
        unsafe { sq.push_with_flags(&add, PENDING, SqeFlags::ASYNC) }.unwrap();
        sq.submit().unwrap();
        first.u64 = 4;
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 0);
        assert_eq!(set.ready(), [(EPOLLOUT, 3)]);
        assert_eq!(pair(first), (EPOLLOUT, 4));
    });
}

#[test]
fn epoll_ctl_gives_the_errors_of_the_call() {
    let file = tempfile::tempfile().unwrap();
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, writer) = io::pipe().unwrap();
        set.add(&reader, EPOLLIN, 1);
        let (epfd, watched, other) = (set.fd(), reader.as_raw_fd(), writer.as_raw_fd());
        for (which, errno) in [
            ((epfd, EPOLL_CTL_ADD, watched), libc::EEXIST),
            ((epfd, EPOLL_CTL_MOD, other), libc::ENOENT),
            ((epfd, EPOLL_CTL_DEL, other), libc::ENOENT),
            ((epfd, EPOLL_CTL_ADD, file.as_raw_fd()), libc::EPERM),
            ((epfd, EPOLL_CTL_ADD, epfd), libc::EINVAL),
            ((epfd, 77, other), libc::EINVAL),
            ((other, EPOLL_CTL_ADD, watched), libc::EINVAL),
            ((epfd, EPOLL_CTL_ADD, -1), libc::EBADF),
            ((-1, EPOLL_CTL_ADD, other), libc::EBADF),
        ] {
            let done = control(cq, sq, which, event(EPOLLIN, 2), plain);
            assert_eq!(done, -errno, "{which:?}");
        }
        let nowhere = EpollCtl {
            epfd,
            fd: other,
            op: EPOLL_CTL_ADD,
            ev: ptr::without_provenance(8),
        };
        // SAFETY: nothing is mapped at 8, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, plain) }.raw_result();
        assert_eq!(done, -libc::EFAULT);
        assert_eq!(set.ready(), []);
    });
}

#[test]
fn epoll_ctl_takes_no_index_of_a_registered_file() {
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (_reader, writer) = io::pipe().unwrap();
        // An index that is no descriptor.
        let index = closed_fd();
        let mut files = vec![-1; usize::try_from(index).unwrap()];
        files.push(set.fd());
        sq.register_files(&files).unwrap();
        let which = (index, EPOLL_CTL_ADD, writer.as_raw_fd());
        let done = control(cq, sq, which, event(EPOLLOUT, 1), |sqe| {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
        });
        assert_eq!(done, -libc::EBADF);
        assert_eq!(set.ready(), []);
    });
}

#[test]
fn epoll_wait_tells_what_is_ready_up_to_the_room_for_it() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, mut writer) = io::pipe().unwrap();
        set.add(&reader, EPOLLIN, 10);
        set.add(&writer, EPOLLOUT, u64::MAX);
        assert_eq!(ready(cq, sq, &set, 4), [(EPOLLOUT, u64::MAX)]);
        writer.write_all(b"x").unwrap();
        let mut both = ready(cq, sq, &set, 4);
        both.sort_unstable();
        assert_eq!(both, [(EPOLLIN, 10), (EPOLLOUT, u64::MAX)]);
        // One by one they come in turn.
        let mut both = ready(cq, sq, &set, 1);
        assert_eq!(both.len(), 1);
        both.extend(ready(cq, sq, &set, 1));
        both.sort_unstable();
        assert_eq!(both, [(EPOLLIN, 10), (EPOLLOUT, u64::MAX)]);
    });
}

#[test]
fn epoll_wait_waits_until_something_is_ready() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (mut reader, mut writer) = io::pipe().unwrap();
        set.add(&reader, EPOLLIN, 5);
        for data in [b"one", b"two"] {
            let mut events = [UNTOUCHED; 3];
            // SAFETY: the events and the set stay until the completion has been taken.
            unsafe { sq.push(&wait_of(set.fd(), &mut events), PENDING) }.unwrap();
            submit_pending(cq, sq);
            writer.write_all(data).unwrap();
            let done = wait(cq, sq, 1)[0];
            assert_eq!(done.user_data(), PENDING);
            assert_eq!(told(done, &events), [(EPOLLIN, 5)]);
            let mut read = [0; 3];
            reader.read_exact(&mut read).unwrap();
            assert_eq!(&read, data);
        }
    });
}

#[test]
fn epoll_wait_tells_a_level_again_and_an_edge_once() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        set.add(&reader, EPOLLIN, 1);
        for _ in 0..3 {
            assert_eq!(ready(cq, sq, &set, 4), [(EPOLLIN, 1)]);
        }
        for once in [EPOLLET, EPOLLONESHOT] {
            let which = (set.fd(), EPOLL_CTL_MOD, reader.as_raw_fd());
            assert_eq!(control(cq, sq, which, event(EPOLLIN | once, 2), plain), 0);
            assert_eq!(ready(cq, sq, &set, 4), [(EPOLLIN, 2)]);
            let mut events = [UNTOUCHED; 2];
            // SAFETY: the events and the set stay until the completion has been taken.
            unsafe { sq.push(&wait_of(set.fd(), &mut events), PENDING) }.unwrap();
            submit_pending(cq, sq);
            writer.write_all(b"x").unwrap();
            if once == EPOLLET {
                let done = wait(cq, sq, 1)[0];
                assert_eq!(told(done, &events), [(EPOLLIN, 2)]);
            } else {
                assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
                assert!(events.iter().all(|event| pair(*event) == pair(UNTOUCHED)));
            }
        }
    });
}

#[test]
fn epoll_wait_cancelled_leaves_the_memory_and_the_events() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (reader, mut writer) = io::pipe().unwrap();
        set.add(&reader, EPOLLIN | EPOLLET, 6);
        let mut events = [UNTOUCHED; 2];
        // SAFETY: the events and the set stay until the completion has been taken.
        unsafe { sq.push(&wait_of(set.fd(), &mut events), PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        writer.write_all(b"x").unwrap();
        assert_eq!(cq.try_next().unwrap(), None);
        assert!(events.iter().all(|event| pair(*event) == pair(UNTOUCHED)));
        assert_eq!(ready(cq, sq, &set, 4), [(EPOLLIN, 6)]);
    });
}

#[test]
fn epoll_wait_takes_the_index_of_a_registered_file() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (_reader, writer) = io::pipe().unwrap();
        set.add(&writer, EPOLLOUT, 6);
        sq.register_files(&[-1, set.fd()]).unwrap();
        let mut events = [UNTOUCHED; 2];
        // SAFETY: the events and the set stay until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &wait_of(1, &mut events), |sqe| {
                sqe.insert_flags(SqeFlags::FIXED_FILE);
            })
        };
        assert_eq!(told(done, &events), [(EPOLLOUT, 6)]);
    });
}

#[test]
fn epoll_wait_that_makes_no_sense_fails_and_takes_no_event() {
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let set = Set::new();
        let (_reader, writer) = io::pipe().unwrap();
        set.add(&writer, EPOLLOUT | EPOLLET, 6);
        let mut events = [UNTOUCHED; 2];
        let good = wait_of(set.fd(), &mut events);
        let fd = writer.as_raw_fd();
        for (wrong, errno) in [
            (EpollWait { flags: 1, ..good }, libc::EINVAL),
            (EpollWait { fd, ..good }, libc::EINVAL),
            (EpollWait { fd: -1, ..good }, libc::EBADF),
            (
                EpollWait {
                    maxevents: 0,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                EpollWait {
                    maxevents: -1,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                EpollWait {
                    maxevents: i32::MAX,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                EpollWait {
                    events: ptr::without_provenance_mut(8),
                    ..good
                },
                libc::EFAULT,
            ),
        ] {
            // SAFETY: nothing is mapped at 8, and the others are refused before the kernel writes.
            let done = unsafe { run(cq, sq, &wrong, plain) }.raw_result();
            assert_eq!(done, -errno, "{wrong:?}");
        }
        assert!(events.iter().all(|event| pair(*event) == pair(UNTOUCHED)));
        assert_eq!(ready(cq, sq, &set, 4), [(EPOLLOUT, 6)]);
    });
}
