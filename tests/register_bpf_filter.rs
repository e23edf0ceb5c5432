//! Filters that look at operations.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::os::fd::{FromRawFd, OwnedFd};

use lio_uring::operation::{Nop, OpCode, Openat, Operation, Socket};
use lio_uring::{BpfFilter, CompletionQueue, RegisterError, SqeFlags, SubmissionQueue};

/// Where the program finds the user data and what the operation is about.
const USER_DATA: u32 = 0;
const ABOUT: u32 = 16;

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Loads 32 bits at a place, masks them, and allows the operation if they are these.
const fn allows(place: u32, mask: u32, value: u32) -> [libc::sock_filter; 5] {
    [
        // BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ, BPF_RET
        step(0x20, 0, 0, place),
        step(0x54, 0, 0, mask),
        step(0x15, 0, 1, value),
        step(0x06, 0, 0, 1),
        step(0x06, 0, 0, 0),
    ]
}

type Ring = (CompletionQueue, SubmissionQueue);

/// A ring with this filter, if the kernel knows any.
#[track_caller]
fn filtered(filter: &BpfFilter<'_>) -> Option<Ring> {
    let (cq, mut sq) = lio_uring::with_capacity(8).expect("a ring");
    let unknown = |error: RegisterError| assert_eq!(error.errno(), libc::EINVAL, "{error}");
    kernel::since_or(7, 0, sq.register_bpf_filter(filter), unknown)?;
    Some((cq, sq))
}

/// # Safety
///
/// That of the operation, until this returns.
unsafe fn run((cq, sq): &mut Ring, operation: &impl Operation, user_data: u64) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { sq.push(operation, user_data) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    let done = cq.next().expect("a completion");
    assert_eq!(done.user_data(), user_data);
    done.raw_result()
}

/// Takes a descriptor that is a completion's result, and closes it.
#[track_caller]
fn is_open(result: i32) {
    assert!(result >= 0, "errno {}", -result);
    // SAFETY: the descriptor is new, and nothing else has it.
    drop(unsafe { OwnedFd::from_raw_fd(result) });
}

#[test]
fn filter_allows_sockets_of_one_family() {
    let program = allows(ABOUT, u32::MAX, libc::AF_UNIX.cast_unsigned());
    let filter = BpfFilter::new(OpCode::SOCKET, &program).data_size(12);
    let Some(mut ring) = filtered(&filter.strict()) else {
        return;
    };
    let socket = |domain| Socket {
        domain,
        r#type: libc::SOCK_STREAM,
        protocol: 0,
        flags: 0,
    };
    // SAFETY: it points to nothing.
    is_open(unsafe { run(&mut ring, &socket(libc::AF_UNIX), 1) });
    // SAFETY: as above.
    let denied = unsafe { run(&mut ring, &socket(libc::AF_INET), 1) };
    assert_eq!(denied, -libc::EACCES);
    // SAFETY: a NOP points to nothing, and has no filter.
    assert_eq!(unsafe { run(&mut ring, &Nop, 1) }, 0);
}

#[test]
fn filter_allows_opening_for_reading_alone() {
    let accesses = libc::O_ACCMODE.cast_unsigned();
    let program = allows(ABOUT, accesses, libc::O_RDONLY.cast_unsigned());
    let filter = BpfFilter::new(OpCode::OPENAT, &program).data_size(24);
    let Some(mut ring) = filtered(&filter.strict()) else {
        return;
    };
    for (flags, allowed) in [
        (libc::O_RDONLY, true),
        (libc::O_WRONLY, false),
        (libc::O_RDWR, false),
    ] {
        let open = Openat {
            dfd: libc::AT_FDCWD,
            path: c"/dev/null".as_ptr(),
            flags: flags | libc::O_CLOEXEC,
            mode: 0,
        };
        // SAFETY: the path is constant.
        let result = unsafe { run(&mut ring, &open, 1) };
        if allowed {
            is_open(result);
        } else {
            assert_eq!(result, -libc::EACCES);
        }
    }
}

#[test]
fn filters_on_top_of_each_other_must_all_allow() {
    let even = allows(USER_DATA, 1, 0);
    let Some(mut ring) = filtered(&BpfFilter::new(OpCode::NOP, &even)) else {
        return;
    };
    let results = |ring: &mut Ring| {
        // SAFETY: a NOP points to nothing.
        [0, 1, 2, 3].map(|user_data| unsafe { run(ring, &Nop, user_data) })
    };
    assert_eq!(results(&mut ring), [0, -libc::EACCES, 0, -libc::EACCES]);
    let small = allows(USER_DATA, 2, 0);
    let second = BpfFilter::new(OpCode::NOP, &small);
    ring.1.register_bpf_filter(&second).unwrap();
    let denied = -libc::EACCES;
    assert_eq!(results(&mut ring), [0, denied, denied, denied]);
}

#[test]
fn operation_that_is_denied_breaks_its_chain() {
    let never = allows(USER_DATA, 0, 1);
    let filter = BpfFilter::new(OpCode::SOCKET, &never);
    let Some((mut cq, mut sq)) = filtered(&filter) else {
        return;
    };
    let socket = Socket {
        domain: libc::AF_UNIX,
        r#type: libc::SOCK_STREAM,
        protocol: 0,
        flags: 0,
    };
    // SAFETY: it points to nothing.
    unsafe { sq.push_with_flags(&socket, 1, SqeFlags::IO_LINK) }.unwrap();
    // SAFETY: as above.
    unsafe { sq.push(&Nop, 2) }.unwrap();
    sq.submit_and_wait(2).unwrap();
    let results = cq
        .completions()
        .map(|done| (done.user_data(), done.raw_result()));
    let wanted = [(1, -libc::EACCES), (2, -libc::ECANCELED)];
    assert_eq!(results.collect::<Vec<_>>(), wanted);
}
