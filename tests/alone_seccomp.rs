//! Filters of system calls, as container runtimes set them up. A filter stays with its thread for
//! good, so each test is the only one of a process.

#![cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::thread;

use lio_uring::operation::{Nop, OpCode};
use lio_uring::{
    Availability, IoUring, IoUringParams, Probe, RegisterCause, SetupCause, SetupError,
    SubmitCause, availability, with_capacity,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

#[path = "support/child.rs"]
mod child;

/// Has these system calls answered with an error number from now on, on this thread.
#[track_caller]
fn answer(calls: &[libc::c_long], errno: i32) {
    let rules: BTreeMap<i64, _> = calls.iter().map(|&call| (call, Vec::new())).collect();
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let arch = env::consts::ARCH.try_into().expect("the cfg says so");
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).expect("two actions");
    let program = BpfProgram::try_from(filter).expect("a short filter");
    seccompiler::apply_filter(&program).expect("the kernel has filters");
}

fn in_child(name: &str, body: impl FnOnce()) {
    child::in_child(name, || Some(()), body);
}

/// The reason for which io_uring cannot be used.
#[track_caller]
fn reason() -> SetupError {
    let availability = availability();
    assert!(!availability.is_available());
    availability
        .unavailable()
        .expect("there is a reason")
        .clone()
}

/// Checks that nothing can be made, and that the filter is named as the reason.
#[track_caller]
fn filter_is_named(errno: i32) {
    let errors = [
        reason(),
        with_capacity(8).expect_err("it cannot be done"),
        IoUring::new(8).expect_err("it cannot be done"),
        IoUring::builder()
            .sqpoll(1)
            .build()
            .expect_err("it cannot be done"),
        IoUring::with_params(IoUringParams::default().no_mmap().entries(8))
            .expect_err("it cannot be done"),
    ];
    for error in errors {
        assert_eq!(
            (error.errno(), error.cause()),
            (errno, &SetupCause::Seccomp)
        );
        let message = error.to_string();
        assert!(
            message.contains("a seccomp filter answers io_uring_setup"),
            "{message}"
        );
        let remedy = "a profile that allows io_uring_setup, io_uring_enter and io_uring_register";
        assert!(message.contains(remedy), "{message}");
        assert!(message.ends_with(&format!("(errno {errno})")), "{message}");
        assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
    }
    assert_eq!(Probe::new().expect_err("it cannot be done").errno(), errno);
}

/// Sends a NOP through and takes it back.
#[track_caller]
fn round_trip(ring: &mut IoUring) {
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push(&Nop, 7) }.expect("room");
    assert_eq!(ring.submit_and_wait(1).expect("a submission"), 1);
    assert_eq!(ring.next().expect("a completion").user_data(), 7);
}

#[test]
fn no_filter_leaves_io_uring_available() {
    in_child("no_filter_leaves_io_uring_available", || {
        assert!(availability().is_available());
        assert_eq!(availability().unavailable(), None);
    });
}

#[test]
fn setup_answered_with_eperm_names_the_filter() {
    in_child("setup_answered_with_eperm_names_the_filter", || {
        answer(&[libc::SYS_io_uring_setup], libc::EPERM);
        filter_is_named(libc::EPERM);
    });
}

#[test]
fn setup_answered_with_enosys_names_the_filter() {
    in_child("setup_answered_with_enosys_names_the_filter", || {
        answer(&[libc::SYS_io_uring_setup], libc::ENOSYS);
        filter_is_named(libc::ENOSYS);
    });
}

#[test]
fn setup_answered_with_eacces_names_the_filter() {
    in_child("setup_answered_with_eacces_names_the_filter", || {
        answer(&[libc::SYS_io_uring_setup], libc::EACCES);
        filter_is_named(libc::EACCES);
    });
}

#[test]
fn all_three_calls_answered_with_eperm_names_the_filter() {
    in_child(
        "all_three_calls_answered_with_eperm_names_the_filter",
        || {
            let calls = [
                libc::SYS_io_uring_setup,
                libc::SYS_io_uring_enter,
                libc::SYS_io_uring_register,
            ];
            answer(&calls, libc::EPERM);
            filter_is_named(libc::EPERM);
        },
    );
}

#[test]
fn filter_that_lets_io_uring_pass_leaves_it_available() {
    in_child("filter_that_lets_io_uring_pass_leaves_it_available", || {
        answer(&[libc::SYS_acct], libc::EPERM);
        assert!(availability().is_available());
        let error = IoUring::new(0).unwrap_err();
        assert!(
            matches!(error.cause(), SetupCause::InvalidParams { .. }),
            "{error}"
        );
    });
}

#[test]
fn filter_of_one_thread_leaves_io_uring_available_to_others() {
    in_child(
        "filter_of_one_thread_leaves_io_uring_available_to_others",
        || {
            let filtered = thread::spawn(|| {
                answer(&[libc::SYS_io_uring_setup], libc::EPERM);
                filter_is_named(libc::EPERM);
            });
            filtered.join().unwrap();
            assert!(availability().is_available());
        },
    );
}

/// Checks that a ring can be made and nothing done with it, without a panic or an end to the wait.
#[track_caller]
fn ring_is_unusable(errno: i32, cause: SubmitCause) {
    let error = reason();
    assert_eq!(
        (error.errno(), error.cause()),
        (errno, &SetupCause::Unusable)
    );
    let message = error.to_string();
    assert!(
        message.contains("it can be made, but not used; a filter may allow"),
        "{message}"
    );

    let mut ring = IoUring::new(8).expect("a ring");
    // SAFETY: a NOP points to nothing.
    unsafe { ring.push(&Nop, 7) }.expect("room");
    for error in [
        ring.submit().expect_err("it cannot be done"),
        ring.submit_and_wait(1).expect_err("it cannot be done"),
    ] {
        assert_eq!(
            (error.errno(), error.cause(), error.queued()),
            (errno, cause, 1)
        );
        assert!(error.to_string().contains(&cause.to_string()), "{error}");
        assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
    }
    assert_eq!(ring.submission().unsubmitted(), 1);
    assert!(ring.try_next().expect("a completion").is_none());
    assert_eq!(
        ring.next().expect_err("it cannot be done").raw_os_error(),
        Some(errno)
    );
}

#[test]
fn enter_answered_with_eperm_is_unusable() {
    in_child("enter_answered_with_eperm_is_unusable", || {
        answer(&[libc::SYS_io_uring_enter], libc::EPERM);
        ring_is_unusable(libc::EPERM, SubmitCause::Fatal);
    });
}

#[test]
fn enter_answered_with_enosys_is_unusable() {
    in_child("enter_answered_with_enosys_is_unusable", || {
        answer(&[libc::SYS_io_uring_enter], libc::ENOSYS);
        ring_is_unusable(libc::ENOSYS, SubmitCause::Fatal);
    });
}

#[test]
fn enter_answered_with_eacces_is_unusable() {
    in_child("enter_answered_with_eacces_is_unusable", || {
        answer(&[libc::SYS_io_uring_enter], libc::EACCES);
        ring_is_unusable(libc::EACCES, SubmitCause::Fatal);
    });
}

#[test]
fn enter_answered_with_success_and_not_carried_out_is_unusable() {
    in_child(
        "enter_answered_with_success_and_not_carried_out_is_unusable",
        || {
            answer(&[libc::SYS_io_uring_enter], 0);
            let error = reason();
            assert_eq!(
                (error.errno(), error.cause()),
                (libc::EAGAIN, &SetupCause::Unusable)
            );
            let mut ring = IoUring::new(8).unwrap();
            // SAFETY: a NOP points to nothing.
            unsafe { ring.push(&Nop, 7) }.unwrap();
            assert_eq!(ring.submit().unwrap(), 0);
            assert_eq!(ring.submission().unsubmitted(), 1);
            assert_eq!(
                ring.submit_and_wait(1).unwrap_err().cause(),
                SubmitCause::Resources
            );
        },
    );
}

/// Checks that rings work without anything being registered, and that registering fails cleanly.
#[track_caller]
fn nothing_can_be_registered(errno: i32, cause: &RegisterCause) {
    assert!(matches!(availability(), Availability::Available { .. }));
    let mut ring = IoUring::new(8).expect("a ring");
    round_trip(&mut ring);

    let sq = ring.submission();
    let errors = [
        sq.register_files(&[0]).expect_err("it cannot be done"),
        sq.register_files_sparse(4).expect_err("it cannot be done"),
        sq.register_files_update(0, &[0])
            .expect_err("it cannot be done"),
        sq.unregister_files().expect_err("it cannot be done"),
        sq.register_buffers_sparse(4)
            .expect_err("it cannot be done"),
        sq.unregister_buffers().expect_err("it cannot be done"),
        sq.register_buffer_ring(4, 0)
            .expect_err("it cannot be done"),
        sq.unregister_eventfd().expect_err("it cannot be done"),
        sq.enable().expect_err("it cannot be done"),
    ];
    for error in errors {
        assert_eq!((error.errno(), error.cause()), (errno, cause), "{error}");
        let message = error.to_string();
        assert!(message.starts_with("could not "), "{message}");
        assert!(
            message.ends_with(&format!(": {cause} (errno {errno})")),
            "{message}"
        );
        assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
    }
    assert_eq!(
        sq.probe().expect_err("it cannot be done").raw_os_error(),
        Some(errno)
    );
    let error = Probe::new().expect_err("it cannot be done");
    assert_eq!(
        (error.errno(), error.cause()),
        (errno, &SetupCause::Unprobed)
    );
    let message = error.to_string();
    assert!(
        message.contains("a filter may stand before io_uring_register"),
        "{message}"
    );
    round_trip(&mut ring);

    // The kernel cannot be asked either which flags it does not know.
    let params = IoUringParams::default().sqpoll(1).sq_aff(u32::MAX);
    let error = IoUring::with_params(params).expect_err("it cannot be done");
    assert!(
        matches!(error.cause(), SetupCause::Refused { .. }),
        "{error}"
    );
}

#[test]
fn register_answered_with_eperm_leaves_rings_that_work() {
    in_child(
        "register_answered_with_eperm_leaves_rings_that_work",
        || {
            let mut ring = IoUring::new(8).unwrap();
            assert!(ring.submission().probe().unwrap().supports(OpCode::NOP));
            answer(&[libc::SYS_io_uring_register], libc::EPERM);
            nothing_can_be_registered(libc::EPERM, &RegisterCause::NotPermitted);
            // This one has registered its descriptor, which it cannot take back any more.
            round_trip(&mut ring);
            drop(ring);
            assert!(availability().is_available());
        },
    );
}

#[test]
fn register_answered_with_enosys_leaves_rings_that_work() {
    in_child(
        "register_answered_with_enosys_leaves_rings_that_work",
        || {
            answer(&[libc::SYS_io_uring_register], libc::ENOSYS);
            nothing_can_be_registered(
                libc::ENOSYS,
                &RegisterCause::Other {
                    errno: libc::ENOSYS,
                },
            );
        },
    );
}
