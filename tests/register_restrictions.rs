//! Restricted rings: what is forbidden completes with `EACCES`, what is allowed works.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::fs;
use std::thread;

use lio_uring::operation::{Nop, OpCode, Socket};
use lio_uring::{
    BpfFilter, CompletionQueue, Disabled, IoUring, IoUringParams, RegisterCause, RegisterCode,
    RegisterError, Restrictions, SqeFlags, SubmissionQueue, WorkerLimits,
};

fn disabled() -> Disabled {
    IoUringParams::default()
        .entries(8)
        .disabled()
        .expect("a ring")
}

fn restricted(restrictions: Restrictions) -> (CompletionQueue, SubmissionQueue) {
    let mut ring = disabled();
    ring.restrict(&restrictions).expect("restrictions");
    ring.enable().expect("it was disabled")
}

/// The result of a NOP with these flags.
fn nop((cq, sq): &mut (CompletionQueue, SubmissionQueue), flags: SqeFlags) -> i32 {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_with_flags(&Nop, 1, flags) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    cq.next().expect("a completion").raw_result()
}

#[track_caller]
fn not_allowed(result: Result<impl std::fmt::Debug, RegisterError>, errno: i32) {
    let error = result.expect_err("it is forbidden");
    assert_eq!(
        (error.errno(), error.cause()),
        (errno, &RegisterCause::NotAllowed),
        "{error}"
    );
}

#[test]
fn operation_that_is_not_allowed_is_denied() {
    let mut ring = restricted(Restrictions::new().allow_operation(OpCode::READ));
    assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    let mut ring = restricted(Restrictions::new().allow_operations([OpCode::READ, OpCode::NOP]));
    assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
}

#[test]
fn nothing_is_allowed_by_empty_restrictions() {
    let mut ring = restricted(Restrictions::new());
    assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    not_allowed(ring.1.register_files(&[0]), libc::EACCES);
}

#[test]
fn flags_are_allowed_and_required() {
    let nops = Restrictions::new().allow_operation(OpCode::NOP);
    let mut ring = restricted(nops);
    assert_eq!(nop(&mut ring, SqeFlags::ASYNC), -libc::EACCES);

    let mut ring = restricted(nops.allow_flags(SqeFlags::ASYNC));
    assert_eq!(nop(&mut ring, SqeFlags::ASYNC), 0);
    assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
    assert_eq!(nop(&mut ring, SqeFlags::IO_DRAIN), -libc::EACCES);

    let mut ring = restricted(nops.require_flags(SqeFlags::ASYNC));
    assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    assert_eq!(nop(&mut ring, SqeFlags::ASYNC), 0);
}

#[test]
fn registration_that_is_not_allowed_fails() {
    let restrictions = Restrictions::new()
        .allow_operation(OpCode::NOP)
        .allow_registrations([RegisterCode::REGISTER_FILES]);
    let mut ring = disabled();
    ring.restrict(&restrictions).unwrap();
    // Before the ring is enabled everything can be registered.
    let id = ring.submission().register_personality().unwrap();
    ring.submission().unregister_personality(id).unwrap();
    let mut ring = ring.enable().unwrap();
    ring.1.register_files(&[0]).unwrap();
    not_allowed(ring.1.unregister_files(), libc::EACCES);
    not_allowed(ring.1.register_personality(), libc::EACCES);
    assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
}

#[test]
fn restrictions_are_for_rings_that_are_disabled() {
    let mut ring = disabled();
    ring.restrict(&Restrictions::new().allow_operation(OpCode::NOP))
        .unwrap();
    let again = ring.restrict(&Restrictions::new()).unwrap_err();
    assert_eq!(again.errno(), libc::EBUSY);
    assert_eq!(*again.cause(), RegisterCause::AlreadyRegistered);
    // By way of the queue, so that this value does not know of it.
    let mut ring = disabled();
    ring.submission().enable().unwrap();
    not_allowed(ring.restrict(&Restrictions::new()), libc::EBADFD);
    not_allowed(ring.enable(), libc::EBADFD);
}

#[test]
fn codes_that_the_kernel_does_not_have_are_refused() {
    for restrictions in [
        Restrictions::new().allow_operation(OpCode(255)),
        Restrictions::new().allow_registration(RegisterCode(255)),
    ] {
        let mut ring = disabled();
        let error = ring.restrict(&restrictions).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(
            matches!(error.cause(), RegisterCause::Refused { .. }),
            "{error}"
        );
        // Refused as a whole: the ring is not restricted.
        let mut ring = ring.enable().unwrap();
        assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
    }
}

#[test]
fn ring_for_one_thread_is_restricted_and_closed() {
    let descriptors = || fs::read_dir("/proc/self/fd").expect("it is there").count();
    // More than a thread has places for registered rings.
    let mut counts = Vec::new();
    for _ in 0..100 {
        let mut ring = IoUring::builder().entries(8).disabled().unwrap();
        ring.restrict(&Restrictions::new().allow_operation(OpCode::NOP))
            .unwrap();
        let mut ring = ring.enable_ring().unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { ring.push(&Nop, 1) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.next().unwrap().raw_result(), 0);
        // An allowed ring registers nothing, not even a look at the limits.
        let limits = ring
            .submission()
            .register_iowq_max_workers(WorkerLimits::default());
        not_allowed(limits, libc::EACCES);
        counts.push(descriptors());
    }
    let (first, last) = (counts[0], counts[99]);
    // Other tests of this process open some meanwhile.
    assert!(last < first + 50, "{counts:?}");
    // The thread's places were given back: one that needs a place can be made.
    let bare = IoUring::builder().entries(8).no_mmap().registered_fd_only();
    let _ring = kernel::since(6, 5, bare.build());
}

#[test]
fn things_registered_while_disabled_work() {
    let mut ring = IoUringParams::default().entries(8).disabled().unwrap();
    ring.submission().register_files(&[0]).unwrap();
    let error = ring.submission().submit().map(|_| ());
    assert_eq!(error, Ok(()), "nothing is queued");
    let (_cq, mut sq) = ring.enable().unwrap();
    sq.unregister_files().unwrap();
}

#[test]
fn disabled_ring_that_is_dropped_is_closed() {
    for _ in 0..50 {
        drop(disabled());
    }
}

/// Checks what a kernel answers to a registration that it does not know.
#[expect(clippy::needless_pass_by_value, reason = "it is given away")]
fn unknown(error: RegisterError) {
    // Those that know no registration without a ring look for the ring first.
    let errnos = [libc::EINVAL, libc::EBADF];
    assert!(errnos.contains(&error.errno()), "{error}");
    assert!(
        matches!(error.cause(), RegisterCause::Refused { .. }),
        "{error}"
    );
}

/// Forgoes privileges for this thread, so that it may restrict itself.
fn no_new_privileges() {
    // SAFETY: the call changes this thread's own attribute alone.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
}

#[test]
fn restrictions_of_a_thread_bind_its_later_rings() {
    thread::spawn(|| {
        no_new_privileges();
        let restrictions = Restrictions::new().allow_operation(OpCode::READ);
        let applied = restrictions.apply_to_thread();
        let Some(()) = kernel::since_or(7, 0, applied, unknown) else {
            return;
        };
        let mut ring = lio_uring::with_capacity(8).unwrap();
        assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    })
    .join()
    .unwrap();
    // Nobody else is restricted.
    let mut ring = lio_uring::with_capacity(8).unwrap();
    assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
}

/// A program that returns this, whatever it looks at.
const fn returning(value: u32) -> [libc::sock_filter; 1] {
    [libc::sock_filter {
        // BPF_RET | BPF_K
        code: 6,
        jt: 0,
        jf: 0,
        k: value,
    }]
}

#[test]
fn filter_denies_what_its_program_returns_0_for() {
    let mut ring = lio_uring::with_capacity(8).unwrap();
    let program = returning(0);
    let filter = BpfFilter::new(OpCode::NOP, &program);
    let registered = ring.1.register_bpf_filter(&filter);
    if kernel::since_or(7, 0, registered, unknown).is_none() {
        return assert_eq!(nop(&mut ring, SqeFlags::empty()), 0);
    }
    assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    let mut other = lio_uring::with_capacity(8).unwrap();
    let program = returning(1);
    other
        .1
        .register_bpf_filter(&BpfFilter::new(OpCode::NOP, &program))
        .unwrap();
    assert_eq!(nop(&mut other, SqeFlags::empty()), 0);
}

#[test]
fn filter_that_denies_the_rest_leaves_its_own_operation() {
    let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    let program = returning(1);
    let filter = BpfFilter::new(OpCode::NOP, &program).deny_rest();
    let registered = sq.register_bpf_filter(&filter);
    if kernel::since_or(7, 0, registered, unknown).is_none() {
        return;
    }
    let socket = Socket {
        domain: libc::AF_UNIX,
        r#type: libc::SOCK_STREAM,
        protocol: 0,
        flags: 0,
    };
    // SAFETY: it points to nothing.
    unsafe { sq.push(&socket, 1) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().raw_result(), -libc::EACCES);
    assert_eq!(nop(&mut (cq, sq), SqeFlags::empty()), 0);
}

#[test]
fn filter_that_is_no_program_is_refused() {
    let (_cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    let never = [libc::sock_filter {
        code: u16::MAX,
        jt: 255,
        jf: 255,
        k: 0,
    }];
    let always = returning(1);
    for filter in [
        BpfFilter::new(OpCode::NOP, &[]),
        BpfFilter::new(OpCode::NOP, &never),
        BpfFilter::new(OpCode(255), &always),
        BpfFilter::new(OpCode::NOP, &always).strict().data_size(12),
    ] {
        let error = sq.register_bpf_filter(&filter).unwrap_err();
        // Kernels that know filters tell a wrong size from the rest.
        assert!(
            [libc::EINVAL, libc::EMSGSIZE].contains(&error.errno()),
            "{filter:?}: {error}"
        );
    }
}

#[test]
fn filter_of_a_thread_binds_its_later_rings() {
    thread::spawn(|| {
        no_new_privileges();
        let program = returning(0);
        let filter = BpfFilter::new(OpCode::NOP, &program);
        if kernel::since_or(7, 0, filter.apply_to_thread(), unknown).is_none() {
            return;
        }
        let mut ring = lio_uring::with_capacity(8).unwrap();
        assert_eq!(nop(&mut ring, SqeFlags::empty()), -libc::EACCES);
    })
    .join()
    .unwrap();
}
