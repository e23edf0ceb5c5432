//! What the flags of an entry do, whatever its operation: chains, draining, silence, workers,
//! registered files, buffer groups.

#![cfg(target_os = "linux")]

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, Operation, ProvideBuffers, Read, Recv, RecvMulti};
use lio_uring::{Completion, CompletionQueue, IoUring, Sqe, SqeFlags, SubmissionQueue, Wait};

#[path = "support/chain.rs"]
mod chain;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use chain::{Gate, push_failure, push_nop};
use rings::{LIMIT, submit_pending, wait};

const CANCELED: i32 = -libc::ECANCELED;
const NONE: SqeFlags = SqeFlags::empty();
const LINK: SqeFlags = SqeFlags::IO_LINK;
const HARDLINK: SqeFlags = SqeFlags::IO_HARDLINK;
const SKIP: SqeFlags = SqeFlags::CQE_SKIP_SUCCESS;

/// The same, as pairs of user data and result in the order in which they came.
#[track_caller]
fn results<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    n: u32,
) -> Vec<(u64, i32)> {
    wait(cq, sq, n)
        .iter()
        .map(|done| (done.user_data(), done.raw_result()))
        .collect()
}

/// Submits what is queued and returns the next completion.
#[track_caller]
fn wait_for_one<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
) -> Completion {
    let wait = Wait::for_completions(1).timeout(LIMIT);
    let waited = sq.submit_and_wait_with(&wait).expect("a submission");
    assert!(!waited.timed_out, "no completion");
    cq.try_next().expect("no error").expect("a completion")
}

#[test]
fn link_runs_one_after_the_other() {
    each_ring!(|cq, sq| {
        let mut gate = Gate::new();
        gate.push(sq, 1, LINK);
        push_nop(sq, 2, LINK | SqeFlags::ASYNC);
        push_nop(sq, 3, LINK);
        push_nop(sq, 4, NONE);
        // It belongs to no chain.
        push_nop(sq, 5, NONE);
        assert_eq!(results(cq, sq, 1), [(5, 0)]);
        submit_pending(cq, sq);
        gate.open();
        assert_eq!(results(cq, sq, 4), [(1, 1), (2, 0), (3, 0), (4, 0)]);
    });
}

#[test]
fn link_that_fails_cancels_the_rest_of_its_chain_alone() {
    each_ring!(|cq, sq| {
        push_nop(sq, 1, LINK);
        push_failure(sq, 2, LINK);
        push_nop(sq, 3, LINK);
        push_nop(sq, 4, NONE);
        push_nop(sq, 5, LINK);
        push_nop(sq, 6, NONE);
        let mut done = results(cq, sq, 6);
        done.sort_unstable();
        let wanted = [
            (1, 0),
            (2, -libc::EBADF),
            (3, CANCELED),
            (4, CANCELED),
            (5, 0),
            (6, 0),
        ];
        assert_eq!(done, wanted);
    });
}

#[test]
fn link_of_a_short_read_cancels_the_rest() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    each_ring!(|cq, sq| {
        let mut buffer = [0; 16];
        let read = Read {
            fd: file.as_raw_fd(),
            ptr: buffer.as_mut_ptr().cast(),
            len: 16,
            offset: 0,
        };
        // SAFETY: buffer and file stay until the completion has been taken.
        unsafe { sq.push_with_flags(&read, 1, LINK) }.unwrap();
        push_nop(sq, 2, NONE);
        assert_eq!(results(cq, sq, 2), [(1, 10), (2, CANCELED)]);
        assert_eq!(&buffer[..10], b"0123456789");
    });
}

#[test]
fn link_does_not_reach_past_a_submission() {
    each_ring!(|cq, sq| {
        push_failure(sq, 1, LINK);
        assert_eq!(results(cq, sq, 1), [(1, -libc::EBADF)]);
        push_nop(sq, 2, NONE);
        assert_eq!(results(cq, sq, 1), [(2, 0)]);

        let mut gate = Gate::new();
        gate.push(sq, 1, LINK);
        submit_pending(cq, sq);
        push_nop(sq, 2, NONE);
        assert_eq!(
            results(cq, sq, 1),
            [(2, 0)],
            "it does not wait for the gate"
        );
        gate.open();
        assert_eq!(results(cq, sq, 1), [(1, 1)]);
    });
}

#[test]
fn hardlink_goes_on_after_a_failure() {
    each_ring!(|cq, sq| {
        push_failure(sq, 1, HARDLINK);
        push_failure(sq, 2, HARDLINK);
        push_nop(sq, 3, HARDLINK);
        push_nop(sq, 4, NONE);
        let ebadf = -libc::EBADF;
        let wanted = [(1, ebadf), (2, ebadf), (3, 0), (4, 0)];
        assert_eq!(results(cq, sq, 4), wanted);
    });
}

#[test]
fn hardlink_and_link_in_one_chain_each_speak_for_themselves() {
    each_ring!(|cq, sq| {
        push_failure(sq, 1, HARDLINK);
        push_failure(sq, 2, LINK);
        push_nop(sq, 3, HARDLINK);
        push_nop(sq, 4, NONE);
        let ebadf = -libc::EBADF;
        let wanted = [(1, ebadf), (2, ebadf), (3, CANCELED), (4, CANCELED)];
        assert_eq!(results(cq, sq, 4), wanted);
    });
}

#[test]
fn hardlink_waits_for_what_is_before_it() {
    each_ring!(|cq, sq| {
        let mut gate = Gate::new();
        gate.push(sq, 1, HARDLINK);
        push_nop(sq, 2, NONE);
        submit_pending(cq, sq);
        gate.open();
        assert_eq!(results(cq, sq, 2), [(1, 1), (2, 0)]);
    });
}

#[test]
fn drain_waits_for_all_before_it_and_holds_back_all_behind_it() {
    each_ring!(|cq, sq| {
        let (mut one, mut two) = (Gate::new(), Gate::new());
        one.push(sq, 1, NONE);
        two.push(sq, 2, NONE);
        push_nop(sq, 3, SqeFlags::IO_DRAIN);
        push_nop(sq, 4, NONE);
        submit_pending(cq, sq);
        push_nop(sq, 5, NONE);
        submit_pending(cq, sq);
        two.open();
        assert_eq!(results(cq, sq, 1), [(2, 1)]);
        submit_pending(cq, sq);
        one.open();
        let mut done = results(cq, sq, 4);
        if kernel::older_than(6, 12) {
            // It starts together what the drain has held back and the drain.
            done[1..].sort_unstable();
        }
        assert_eq!(done, [(1, 1), (3, 0), (4, 0), (5, 0)]);
        // And all is as before.
        push_nop(sq, 6, NONE);
        assert_eq!(results(cq, sq, 1), [(6, 0)]);
    });
}

#[test]
fn skip_posts_nothing_for_a_success_and_the_error_for_a_failure() {
    // The flag came with Linux 5.17, and MSG_RING with 5.18.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        for i in 0..10 {
            push_nop(sq, i, SKIP);
        }
        push_nop(sq, 10, NONE);
        assert_eq!(results(cq, sq, 1), [(10, 0)]);
        push_failure(sq, 11, SKIP);
        assert_eq!(results(cq, sq, 1), [(11, -libc::EBADF)]);
        // A silent read reads all the same.
        let mut gate = Gate::new();
        gate.open();
        gate.push(sq, 12, SKIP | LINK);
        push_nop(sq, 13, NONE);
        assert_eq!(results(cq, sq, 1), [(13, 0)]);
        assert_eq!(*gate.byte, b'!');
    });
}

#[test]
fn skip_of_what_fails_silences_what_is_cancelled_behind_it() {
    // The flag came with Linux 5.17, and MSG_RING with 5.18.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (ebadf, end) = (-libc::EBADF, (4, 0));
        let all = vec![(1, ebadf), (2, CANCELED), (3, CANCELED), end];
        for (flags, wanted) in [
            ([LINK | SKIP, LINK, NONE], vec![(1, ebadf), end]),
            ([LINK, LINK | SKIP, NONE], all.clone()),
            ([LINK, LINK, SKIP], all),
        ] {
            push_failure(sq, 1, flags[0]);
            push_nop(sq, 2, flags[1]);
            push_nop(sq, 3, flags[2]);
            let mut done = Vec::new();
            while done.last() != Some(&end) {
                let completion = wait_for_one(cq, sq);
                done.push((completion.user_data(), completion.raw_result()));
                // Once the failure is there, so is what it cancels.
                if done.len() == 1 {
                    push_nop(sq, 4, SqeFlags::ASYNC);
                }
            }
            assert_eq!(done, wanted, "{flags:?}");
            assert_eq!(cq.try_next().unwrap(), None);
        }
    });
}

#[test]
fn skip_and_drain_exclude_each_other() {
    // The flag came with Linux 5.17, and MSG_RING with 5.18.
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        push_nop(sq, 1, SKIP | SqeFlags::IO_DRAIN);
        assert_eq!(results(cq, sq, 1), [(1, -libc::EOPNOTSUPP)]);
    });
}

#[test]
fn async_gives_the_same_results() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    each_ring!(|cq, sq| {
        let mut buffers = [[0; 4]; 8];
        for (i, buffer) in buffers.iter_mut().enumerate() {
            let read = Read {
                fd: file.as_raw_fd(),
                ptr: buffer.as_mut_ptr().cast(),
                len: 4,
                offset: i as u64,
            };
            // SAFETY: buffers and file stay until all completions have been taken.
            unsafe { sq.push_with_flags(&read, i as u64, SqeFlags::ASYNC) }.unwrap();
        }
        push_failure(sq, 8, SqeFlags::ASYNC);
        let mut done = results(cq, sq, 9);
        done.sort_unstable();
        let wanted: Vec<_> = (0..8)
            .map(|i| (i, if i < 7 { 4 } else { 3 }))
            .chain([(8, -libc::EBADF)])
            .collect();
        assert_eq!(done, wanted);
        for (i, buffer) in buffers.iter().enumerate() {
            let n = if i < 7 { 4 } else { 3 };
            assert_eq!(buffer[..n], b"0123456789"[i..i + n]);
        }
    });
}

#[test]
fn fixed_file_takes_the_descriptor_for_an_index() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"registered", 0).unwrap();
    each_ring!(|cq, sq| {
        let mut buffer = [0; 10];
        let mut read = |cq: &mut _, sq: &mut _, index: RawFd| {
            let read = Read {
                fd: index,
                ptr: buffer.as_mut_ptr().cast(),
                len: 10,
                offset: 0,
            };
            push_fixed(sq, &read);
            (results(cq, sq, 1)[0].1, buffer)
        };
        assert_eq!(read(cq, sq, 0).0, -libc::EBADF, "no table");
        sq.register_files(&[-1, file.as_raw_fd()]).unwrap();
        assert_eq!(read(cq, sq, 1), (10, *b"registered"));
        for wrong in [0, 2, -1, i32::MAX, i32::MIN] {
            assert_eq!(read(cq, sq, wrong).0, -libc::EBADF, "{wrong}");
        }
    });
}

/// Pushes a read of a registered file.
#[track_caller]
fn push_fixed<T: Threads>(sq: &mut SubmissionQueue<T>, read: &Read) {
    // SAFETY: the test keeps the buffer until the completion has been taken, and registers a file
    // of its own.
    unsafe { sq.push_with_flags(read, 1, SqeFlags::FIXED_FILE) }.expect("room");
}

#[test]
fn unknown_flags_are_refused() {
    each_ring!(|cq, sq| {
        push_nop(sq, 1, SqeFlags::from_bits_retain(1 << 7));
        assert_eq!(results(cq, sq, 1), [(1, -libc::EINVAL)]);
    });
}

const GROUP: u16 = 6;

/// A receive that selects its buffer when it prepares its entry.
struct Selecting<O>(O);

impl<O: Operation> Operation for Selecting<O> {
    const OPCODE: OpCode = O::OPCODE;

    fn prepare(&self, sqe: &mut Sqe) {
        self.0.prepare(sqe);
        sqe.select_buffer(GROUP);
    }
}

/// Gives the group a buffer of 8 bytes that is never freed.
#[track_caller]
fn provide<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) -> *const [u8; 8] {
    let buffer: *mut [u8; 8] = Box::leak(Box::new([0; 8]));
    let provide = ProvideBuffers {
        addr: buffer.cast(),
        len: 8,
        nr: 1,
        bgid: GROUP,
        bid: 11,
    };
    // SAFETY: the buffer is never freed, and read when a completion has named it.
    unsafe { sq.push(&provide, 0) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    done.result().expect("buffers can be provided");
    buffer
}

/// Fails unless the next completion has brought a message in the group's buffer.
#[track_caller]
fn assert_received<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    buffer: *const [u8; 8],
) {
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.result().expect("a message"), 5);
    assert_eq!(done.buffer_id(), Some(11));
    // SAFETY: the completion has named the buffer.
    assert_eq!(&unsafe { *buffer }[..5], b"hello");
}

#[test]
fn flags_are_added_to_those_of_the_operation() {
    each_ring!(|cq, sq| {
        let (here, there) = std::os::unix::net::UnixDatagram::pair().unwrap();
        sq.register_files(&[here.as_raw_fd()]).unwrap();
        let recv = Selecting(Recv {
            sockfd: 0,
            buf: ptr::null_mut(),
            len: 8,
            flags: 0,
        });
        let buffer = provide(cq, sq);
        there.send(b"hello").unwrap();
        // SAFETY: the group's buffer is never freed, and the socket stays.
        unsafe { sq.push_with_flags(&recv, 1, SqeFlags::FIXED_FILE) }.unwrap();
        assert_received(cq, sq, buffer);

        let buffer = provide(cq, sq);
        there.send(b"hello").unwrap();
        let mut batch = sq.batch();
        // SAFETY: as above.
        unsafe { batch.push_with_flags(&recv, 1, SqeFlags::FIXED_FILE | SqeFlags::ASYNC) }.unwrap();
        batch.submit().unwrap();
        assert_received(cq, sq, buffer);

        let buffer = provide(cq, sq);
        there.send(b"hello").unwrap();
        let settings = |sqe: &mut Sqe| {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
            sqe.insert_flags(SqeFlags::ASYNC);
            let all = SqeFlags::FIXED_FILE | SqeFlags::ASYNC | SqeFlags::BUFFER_SELECT;
            assert_eq!(sqe.flags(), all);
        };
        // SAFETY: as above.
        unsafe { sq.push_with(&recv, 1, settings) }.unwrap();
        assert_received(cq, sq, buffer);
    });
    let mut ring = IoUring::new(8).unwrap();
    let (here, there) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let (cq, sq) = ring.queues();
    sq.register_files(&[here.as_raw_fd()]).unwrap();
    let buffer = provide(cq, sq);
    there.send(b"hello").unwrap();
    let recv = Selecting(Recv {
        sockfd: 0,
        buf: ptr::null_mut(),
        len: 8,
        flags: 0,
    });
    // SAFETY: the group's buffer is never freed, and the socket stays.
    unsafe { ring.push_with_flags(&recv, 1, SqeFlags::FIXED_FILE) }.unwrap();
    let (cq, sq) = ring.queues();
    assert_received(cq, sq, buffer);
}

#[test]
fn flags_are_added_to_those_of_a_receive_that_goes_on() {
    // It came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = std::os::unix::net::UnixDatagram::pair().unwrap();
        sq.register_files(&[here.as_raw_fd()]).unwrap();
        let buffer = provide(cq, sq);
        there.send(b"hello").unwrap();
        let recv = Selecting(RecvMulti {
            sockfd: 0,
            buf: ptr::null_mut(),
            len: 0,
            flags: 0,
        });
        // SAFETY: the group's buffer is never freed, and the socket stays.
        unsafe { sq.push_with_flags(&recv, 1, SqeFlags::FIXED_FILE) }.unwrap();
        let first = wait_for_one(cq, sq);
        assert_eq!((first.result().unwrap(), first.buffer_id()), (5, Some(11)));
        assert!(first.more());
        // SAFETY: the completion has named the buffer.
        assert_eq!(&unsafe { *buffer }[..5], b"hello");
        there.send(b"more").unwrap();
        let last = wait_for_one(cq, sq);
        assert_eq!((last.raw_result(), last.more()), (-libc::ENOBUFS, false));
    });
}
