//! Later forms of operations: what a probe says of them, and what the kernel does.
#![cfg(target_os = "linux")]

use std::ffi::c_void;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    CancelFd, CancelFlags, CloseFixed, Fadvise64, Madvise64, MsgRingCqeFlags, MsgRingFd,
    MsgRingFlags, NopFlags, NopWith, OpenHow, Openat2Direct, OpenatDirect, PollAdd, PollFlags,
    PollMulti, PollUpdate, ReadMulti, Timeout, TimeoutFlags, TimeoutUpdate, Timespec,
};
use lio_uring::{CompletionFlags, CompletionQueue, FileSlot, SubmissionQueue};

#[path = "support/forms.rs"]
mod forms;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use forms::{GROUP, agrees, end, run_with_buffer, taken, takes, went_to_a_place};
use rings::{CANCEL, PENDING, next, run, submit_pending};

/// `POLLIN`, as an entry takes it.
const READABLE: u32 = 1;

fn pipe() -> (File, File) {
    let mut fds: [RawFd; 2] = [-1; 2];
    // SAFETY: there is room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the descriptors are new, and nothing else has them.
    fds.map(|fd| unsafe { File::from_raw_fd(fd) }).into()
}

/// Pushes something that waits for a pipe to become readable, and submits it.
#[track_caller]
fn poll<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, reader: &File) {
    let poll = PollAdd {
        fd: reader.as_raw_fd(),
        poll_mask: READABLE,
    };
    // SAFETY: the pipe is the caller's.
    unsafe { sq.push(&poll, PENDING) }.expect("room");
    submit_pending(cq, sq);
}

#[test]
fn open_and_close_direct() {
    each_ring!(|cq, sq| {
        sq.register_files(&[-1]).unwrap();
        let open = OpenatDirect {
            dfd: libc::AT_FDCWD,
            path: c"/dev/null".as_ptr(),
            flags: libc::O_RDWR,
            mode: 0,
            file_index: FileSlot::At(0),
        };
        // SAFETY: the path is a constant, and the place is free.
        let took = went_to_a_place(unsafe { run(cq, sq, &open, |_| ()) });
        agrees::<OpenatDirect>(sq, took);
        // A kernel without the form closes standard input.
        if took {
            let close = CloseFixed { file_index: 0 };
            // SAFETY: nothing uses the place.
            let took = unsafe { takes(cq, sq, &close) };
            agrees::<CloseFixed>(sq, took);
        }

        let how = OpenHow::default();
        let open = Openat2Direct {
            dfd: libc::AT_FDCWD,
            path: c"/dev/null".as_ptr(),
            how: &raw const how,
            file_index: FileSlot::At(0),
        };
        // SAFETY: path and structure outlive the completion, and the place is free.
        let done = unsafe { run(cq, sq, &open, |_| ()) };
        agrees::<Openat2Direct>(sq, went_to_a_place(done));
    });
}

#[test]
fn read_multi() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"hello").unwrap();
        drop(writer);
        let read = ReadMulti {
            fd: reader.as_raw_fd(),
            nbytes: 0,
            offset: u64::MAX,
            buf_group: GROUP,
        };
        let (results, buffer) = run_with_buffer(cq, sq, &read);
        let took = results.len() > 1;
        if took {
            assert!(buffer.windows(5).any(|bytes| bytes == b"hello"));
        }
        agrees::<ReadMulti>(sq, took);
    });
}

#[test]
fn poll_multi() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = pipe();
        writer.write_all(b"x").unwrap();
        let poll = PollMulti {
            fd: reader.as_raw_fd(),
            poll_mask: READABLE,
        };
        // SAFETY: the pipe is open until it has ended.
        unsafe { sq.push(&poll, PENDING) }.unwrap();
        sq.submit().unwrap();
        let done = next(cq);
        let took = taken(done) && done.more();
        if took {
            end(cq, sq);
        }
        agrees::<PollMulti>(sq, took);
    });
}

#[test]
fn poll_update() {
    const RENAMED: u64 = 11;
    each_ring!(|cq, sq| {
        let (reader, mut writer) = pipe();
        poll(cq, sq, &reader);
        let update = PollUpdate {
            old_user_data: PENDING,
            new_user_data: RENAMED,
            poll_mask: 0,
            flags: PollFlags::UPDATE_USER_DATA,
        };
        // SAFETY: it points to nothing.
        let took = unsafe { takes(cq, sq, &update) };
        writer.write_all(b"x").unwrap();
        assert_eq!(next(cq).user_data(), if took { RENAMED } else { PENDING });
        agrees::<PollUpdate>(sq, took);
    });
}

#[test]
fn timeout_update() {
    each_ring!(|cq, sq| {
        let [hour, nothing] = [3600, 0].map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 });
        let timeout = Timeout {
            ts: &raw const hour,
            count: 0,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: the time outlives the completion.
        unsafe { sq.push(&timeout, PENDING) }.unwrap();
        submit_pending(cq, sq);
        let update = TimeoutUpdate {
            ts: &raw const nothing,
            user_data: PENDING,
            flags: TimeoutFlags::empty(),
        };
        // SAFETY: as above.
        unsafe { sq.push(&update, CANCEL) }.unwrap();
        sq.submit().unwrap();
        let mut first = next(cq);
        if first.user_data() == PENDING {
            assert_eq!(first.raw_result(), -libc::ETIME);
            first = next(cq);
        } else if taken(first) {
            assert_eq!(next(cq).raw_result(), -libc::ETIME);
        } else {
            end(cq, sq);
        }
        agrees::<TimeoutUpdate>(sq, taken(first));
    });
}

#[test]
fn cancel_fd() {
    each_ring!(|cq, sq| {
        let (reader, _writer) = pipe();
        poll(cq, sq, &reader);
        let cancel = CancelFd {
            fd: reader.as_raw_fd(),
            flags: CancelFlags::empty(),
        };
        // SAFETY: it points to nothing.
        unsafe { sq.push(&cancel, CANCEL) }.unwrap();
        sq.submit().unwrap();
        let mut done = next(cq);
        if done.user_data() == PENDING {
            assert_eq!(done.raw_result(), -libc::ECANCELED);
            done = next(cq);
        } else if taken(done) {
            assert_eq!(next(cq).raw_result(), -libc::ECANCELED);
        } else {
            end(cq, sq);
        }
        agrees::<CancelFd>(sq, taken(done));
    });
}

#[test]
fn nop_with_a_result() {
    each_ring!(|cq, sq| {
        let nop = NopWith {
            flags: NopFlags::INJECT_RESULT,
            result: 77,
            extra: [0; 2],
        };
        // SAFETY: it points to nothing.
        let done = unsafe { run(cq, sq, &nop, |_| ()) };
        let took = taken(done);
        if took {
            assert_eq!(done.raw_result(), 77);
        }
        agrees::<NopWith>(sq, took);
    });
}

#[test]
fn messages_to_rings() {
    each_ring!(|cq, sq| {
        let (mut inbox, mut outbox) = lio_uring::with_capacity(4).unwrap();
        let (reader, _writer) = pipe();
        sq.register_files(&[reader.as_raw_fd()]).unwrap();
        outbox.register_files(&[-1]).unwrap();
        let file = MsgRingFd {
            fd: inbox.as_raw_fd(),
            source_fd: 0,
            target_fd: FileSlot::At(0),
            data: 9,
            flags: MsgRingFlags::empty(),
        };
        // SAFETY: the target is a ring of this test, and its place is free.
        let took = unsafe { takes(cq, sq, &file) };
        if took {
            assert_eq!(inbox.next().unwrap().user_data(), 9);
        }
        agrees::<MsgRingFd>(sq, took);

        let flags = CompletionFlags::SOCK_NONEMPTY;
        let message = MsgRingCqeFlags {
            fd: inbox.as_raw_fd(),
            len: 1,
            data: 10,
            flags: MsgRingFlags::FLAGS_PASS,
            cqe_flags: flags.bits(),
        };
        // SAFETY: the target is a ring of this test.
        let took = unsafe { takes(cq, sq, &message) };
        if took {
            let done = inbox.next().unwrap();
            assert_eq!((done.user_data(), done.flags()), (10, flags));
        }
        agrees::<MsgRingCqeFlags>(sq, took);
    });
}

#[test]
fn advice_with_long_lengths() {
    each_ring!(|cq, sq| {
        let file = tempfile::tempfile().unwrap();
        let advice = Fadvise64 {
            fd: file.as_raw_fd(),
            offset: 0,
            len: 1 << 33,
            advice: libc::POSIX_FADV_NORMAL,
        };
        // SAFETY: it points to nothing.
        let took = unsafe { takes(cq, sq, &advice) };
        agrees::<Fadvise64>(sq, took);

        let memory: *mut c_void = ptr::null_mut();
        let advice = Madvise64 {
            addr: memory,
            length: 1 << 33,
            advice: libc::MADV_NORMAL,
        };
        // SAFETY: the advice changes nothing.
        let done = unsafe { run(cq, sq, &advice, |_| ()) };
        // Nothing is mapped at the start, and a kernel without the form refuses before it looks.
        agrees::<Madvise64>(sq, done.raw_result() == -libc::ENOMEM);
    });
}
