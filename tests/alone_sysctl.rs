//! The sysctls with which an administrator switches io_uring off.
//!
//! They are the whole system's: while one of these tests runs, which takes milliseconds, other
//! programs are without io_uring too. The values that were found are restored when a test ends or
//! panics. In case it is killed they are also kept in a file, from which the next run restores
//! them; the file's name has the boot's, since a boot restores them as well.

#![cfg(target_os = "linux")]

use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, IoUring, Probe, SetupCause, SetupError, SubmissionQueue, availability,
    with_capacity,
};

#[path = "support/child.rs"]
mod child;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/ordinary_user.rs"]
mod ordinary_user;

const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";
const GROUP: &str = "/proc/sys/kernel/io_uring_group";
/// A group that nobody is in.
const MEMBERS: libc::gid_t = 64_321;

/// The file that keeps the original values while they are changed.
fn kept() -> PathBuf {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the file is there");
    Path::new("/run").join(format!("lio-uring-sysctl-{}", boot.trim()))
}

/// Waits for the sysctls to be nobody else's; `None`, with the reason printed, if they cannot be
/// changed.
#[track_caller]
fn one_at_a_time() -> Option<MutexGuard<'static, ()>> {
    static LOCK: Mutex<()> = Mutex::new(());
    if !ordinary_user::is_root() {
        return None;
    }
    if !Path::new(DISABLED).exists() {
        assert!(kernel::lacks(6, 6, "a sysctl to switch io_uring off"));
        return None;
    }
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    restore_from_file();
    Some(guard)
}

/// Restores what a run that was killed could not.
#[track_caller]
fn restore_from_file() {
    if let Ok(values) = fs::read_to_string(kept()) {
        write(values.split_once(' ').expect("the file was written whole"));
        fs::remove_file(kept()).expect("the file is there");
    }
}

#[track_caller]
fn keep_in_file((disabled, group): &(String, String)) {
    fs::create_dir_all("/run").expect("the file is there");
    let unfinished = kept().with_extension("unfinished");
    fs::write(&unfinished, format!("{disabled} {group}")).expect("the file is there");
    fs::rename(&unfinished, kept()).expect("the file is there");
}

#[track_caller]
fn read() -> (String, String) {
    let value = |path| {
        fs::read_to_string(path)
            .expect("the file is there")
            .trim()
            .to_owned()
    };
    (value(DISABLED), value(GROUP))
}

#[track_caller]
fn write((disabled, group): (&str, &str)) {
    fs::write(GROUP, group).expect("the file is there");
    fs::write(DISABLED, disabled).expect("the file is there");
}

/// The sysctls, changed until this is dropped.
#[derive(Debug)]
struct Changed {
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl Changed {
    /// Changes them; `None`, with the reason printed, if that cannot be.
    #[track_caller]
    fn to(disabled: u32, group: i64) -> Option<Self> {
        let guard = one_at_a_time()?;
        keep_in_file(&read());
        let changed = Self {
            _one_at_a_time: guard,
        };
        write((&disabled.to_string(), &group.to_string()));
        Some(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        restore_from_file();
    }
}

/// Sends a NOP through and takes it back.
#[track_caller]
fn round_trip((cq, sq): &mut (CompletionQueue, SubmissionQueue)) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 7) }.expect("room");
    assert_eq!(sq.submit_and_wait(1).expect("a submission"), 1);
    assert_eq!(cq.next().expect("a completion").user_data(), 7);
}

#[track_caller]
fn is_available() {
    let availability = availability();
    assert!(availability.is_available(), "{availability:?}");
    round_trip(&mut with_capacity(8).expect("a ring"));
    drop(IoUring::new(8).expect("a ring"));
}

/// Checks that no ring can be made, for this cause.
#[track_caller]
fn is_unavailable(cause: &SetupCause) {
    let errors: [SetupError; 3] = [
        availability()
            .unavailable()
            .expect("it is switched off")
            .clone(),
        with_capacity(8).expect_err("it cannot be done"),
        IoUring::new(8).expect_err("it cannot be done"),
    ];
    for error in errors {
        assert_eq!((error.errno(), error.cause()), (libc::EPERM, cause));
        assert_eq!(
            error.to_string(),
            format!("could not make an io_uring: {cause} (errno 1)")
        );
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EPERM));
    }
    assert_eq!(
        Probe::new().expect_err("it cannot be done").errno(),
        libc::EPERM
    );
}

#[track_caller]
fn is_switched_off_for_everybody() {
    is_unavailable(&SetupCause::DisabledBySysctl);
    let message = with_capacity(8).expect_err("it cannot be done").to_string();
    assert!(
        message.contains("the sysctl kernel.io_uring_disabled is 2"),
        "{message}"
    );
    assert!(
        message.contains("an administrator can set it to 0"),
        "{message}"
    );
}

#[track_caller]
fn is_switched_off_outside_of(group: i64) {
    is_unavailable(&SetupCause::NotInGroup { group });
    let message = with_capacity(8).expect_err("it cannot be done").to_string();
    let expected = format!("processes without CAP_SYS_ADMIN that are not in the group {group},");
    assert!(message.contains(&expected), "{message}");
    assert!(
        message.contains("join the group, or have an administrator set"),
        "{message}"
    );
}

/// Takes a capability from this thread.
#[track_caller]
fn give_up_capability(number: u32) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    struct Set {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let mut sets = [Set::default(); 2];
    // SAFETY: both pointers are to what the call takes in this version: a header and two sets.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    assert_eq!(got, 0, "{}", io::Error::last_os_error());
    sets[(number / 32) as usize].effective &= !(1 << (number % 32));
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

#[test]
fn switch_at_0_lets_everybody() {
    let switch = || Changed::to(0, -1);
    child::in_child("switch_at_0_lets_everybody", switch, || {
        is_available();
        ordinary_user::become_ordinary_user(&[]);
        is_available();
    });
}

#[test]
fn switch_at_2_keeps_everybody_out() {
    let switch = || Changed::to(2, MEMBERS.into());
    child::in_child("switch_at_2_keeps_everybody_out", switch, || {
        is_switched_off_for_everybody();
        ordinary_user::become_ordinary_user(&[MEMBERS]);
        is_switched_off_for_everybody();
    });
}

#[test]
fn switch_at_2_leaves_rings_that_were_made_before() {
    let Some(switch) = Changed::to(0, -1) else {
        return;
    };
    let mut ring = with_capacity(8).unwrap();
    write(("2", "-1"));
    is_switched_off_for_everybody();
    round_trip(&mut ring);
    drop(switch);
}

#[test]
fn switch_at_1_without_a_group_lets_administrators_alone() {
    let switch = || Changed::to(1, -1);
    child::in_child(
        "switch_at_1_without_a_group_lets_administrators_alone",
        switch,
        || {
            is_available();
            ordinary_user::become_ordinary_user(&[MEMBERS]);
            is_switched_off_outside_of(-1);
            let message = with_capacity(8).unwrap_err().to_string();
            assert!(
                message.contains("the group -1, where -1 is none"),
                "{message}"
            );
        },
    );
}

#[test]
fn switch_at_1_with_a_group_lets_its_members() {
    let switch = || Changed::to(1, MEMBERS.into());
    child::in_child("switch_at_1_with_a_group_lets_its_members", switch, || {
        is_available();
        ordinary_user::become_ordinary_user(&[MEMBERS - 1, MEMBERS]);
        is_available();
    });
}

#[test]
fn switch_at_1_with_a_group_keeps_others_out() {
    let switch = || Changed::to(1, MEMBERS.into());
    child::in_child("switch_at_1_with_a_group_keeps_others_out", switch, || {
        ordinary_user::become_ordinary_user(&[MEMBERS - 1]);
        is_switched_off_outside_of(MEMBERS.into());
    });
}

#[test]
fn switch_at_1_keeps_root_without_the_capability_out() {
    const CAP_SYS_ADMIN: u32 = 21;
    let switch = || Changed::to(1, MEMBERS.into());
    child::in_child(
        "switch_at_1_keeps_root_without_the_capability_out",
        switch,
        || {
            is_available();
            give_up_capability(CAP_SYS_ADMIN);
            is_switched_off_outside_of(MEMBERS.into());
        },
    );
}

#[test]
fn change_left_by_a_killed_run_is_taken_back() {
    let Some(_one_at_a_time) = one_at_a_time() else {
        return;
    };
    let original = read();
    keep_in_file(&original);
    write(("1", &MEMBERS.to_string()));
    restore_from_file();
    assert_eq!(read(), original);
    assert!(!kept().exists());
}

#[test]
fn change_in_a_test_that_panics_is_taken_back() {
    let Some(one_at_a_time_before) = one_at_a_time() else {
        return;
    };
    let original = read();
    drop(one_at_a_time_before);
    let panicked = panic::catch_unwind(|| {
        let _switch = Changed::to(2, MEMBERS.into());
        assert_ne!(read(), read(), "on purpose");
    });
    assert!(panicked.is_err());
    let _one_at_a_time = one_at_a_time();
    assert_eq!(read(), original);
}
