//! Trying forms of operations that came later than their code, and comparing with a probe.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags, Operation, ProvideBuffers};
use lio_uring::{Completion, CompletionQueue, MissingCause, Sqe, SubmissionQueue};

use crate::rings::{CANCEL, PENDING, next, run};

/// The group of [`run_with_buffer`].
pub(crate) const GROUP: u16 = 3;

/// Fails unless the kernel has done with the form what the probe says.
#[track_caller]
pub(crate) fn agrees<O: Operation>(sq: &mut SubmissionQueue<impl Threads>, took: bool) {
    let probe = sq.probe().expect("kernels since 5.6 can be asked");
    let answer = probe.check::<O>();
    assert_eq!(probe.has::<O>(), answer.is_ok());
    match answer.map_err(|missing| missing.cause()) {
        Ok(()) => assert!(took, "the kernel refuses what the probe says it has"),
        Err(MissingCause::Unknown { .. }) => {}
        Err(cause) => assert!(!took, "the kernel takes it, although {cause}"),
    }
}

/// Whether the kernel took it. The only error may be that it does not know the form.
#[track_caller]
pub(crate) fn taken(done: Completion) -> bool {
    match done.result() {
        Ok(_) => true,
        Err(error) => {
            let unknown = [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)];
            assert!(unknown.contains(&error.raw_os_error()), "{error}");
            false
        }
    }
}

/// Whether a new file went to this place. A kernel without the form makes a descriptor of it.
#[track_caller]
pub(crate) fn went_to_a_place(done: Completion) -> bool {
    if done.raw_result() > 0 {
        // SAFETY: the descriptor is new, and nothing else has it.
        drop(unsafe { OwnedFd::from_raw_fd(done.raw_result()) });
        return false;
    }
    taken(done)
}

/// Runs one operation, and says whether the kernel took it.
///
/// # Safety
///
/// What the operation asks for, until this returns.
#[track_caller]
pub(crate) unsafe fn takes<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> bool {
    // SAFETY: the caller's promise.
    taken(unsafe { run(cq, sq, operation, |_| ()) })
}

/// Cancels what is [`PENDING`], and waits until it has ended.
#[track_caller]
pub(crate) fn end<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    let cancel = Cancel {
        user_data: PENDING,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, CANCEL) }.expect("room");
    sq.submit().expect("a submission");
    while next(cq).user_data() != PENDING {}
}

/// Runs an operation that takes buffers of a group of one, on a socket or pipe that data and the end
/// of it have come to, until it ends. Returns the results and the buffer.
#[track_caller]
pub(crate) fn run_with_buffer<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> (Vec<io::Result<i32>>, Vec<u8>) {
    let mut buffer = vec![0; 64];
    let group = ProvideBuffers {
        addr: buffer.as_mut_ptr().cast(),
        len: 32,
        nr: 2,
        bgid: GROUP,
        bid: 0,
    };
    // SAFETY: the buffers live until the operation that takes them has ended.
    unsafe { takes(cq, sq, &group) };
    // SAFETY: the memory is the group's, and the descriptors are the caller's.
    unsafe { sq.push_with(operation, PENDING, |sqe: &mut Sqe| sqe.select_buffer(GROUP)) }
        .expect("room");
    sq.submit().expect("a submission");
    let mut results = Vec::new();
    loop {
        let done = next(cq);
        results.push(done.result());
        if !done.more() {
            return (results, buffer);
        }
    }
}
