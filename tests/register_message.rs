//! Messages to a ring from a thread that has none.
#![cfg(target_os = "linux")]

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/kernel.rs"]
mod kernel;

use std::os::fd::{AsRawFd, RawFd};

use lio_uring::operation::{MsgRing, MsgRingFlags, Nop};
use lio_uring::{
    CompletionFlags, IoUring, IoUringParams, RegisterCause, RegisterError, register_sync_msg,
    with_capacity,
};

use closed_fd::closed_fd;

fn message(fd: RawFd) -> MsgRing {
    MsgRing {
        fd,
        len: 5,
        data: 0xfeed_0000_0000_beef,
        flags: MsgRingFlags::empty(),
    }
}

fn send(message: &MsgRing) -> Result<(), RegisterError> {
    // SAFETY: these tests take what comes.
    unsafe { register_sync_msg(message) }
}

#[test]
fn message_arrives_with_its_result_and_user_data() {
    let (mut cq, _sq) = with_capacity(8).unwrap();
    if kernel::since(6, 13, send(&message(cq.as_raw_fd()))).is_none() {
        return;
    }
    let completion = cq.try_next().unwrap().unwrap();
    assert_eq!(completion.user_data(), 0xfeed_0000_0000_beef);
    assert_eq!(
        (completion.raw_result(), completion.flags()),
        (5, CompletionFlags::empty())
    );
    assert_eq!(cq.try_next().unwrap(), None);
}

#[test]
fn message_wakes_another_thread() {
    let (mut cq, _sq) = with_capacity(8).unwrap();
    let fd = cq.as_raw_fd();
    if kernel::since(6, 13, send(&message(fd))).is_none() {
        return;
    }
    assert_eq!(cq.next().unwrap().raw_result(), 5);
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| cq.next().expect("a completion").raw_result());
        std::thread::sleep(std::time::Duration::from_millis(5));
        send(&message(fd)).unwrap();
        assert_eq!(taken.join().unwrap(), 5);
    });
}

#[test]
fn message_arrives_at_a_ring_for_one_thread() {
    let mut ring = IoUring::new(8).unwrap();
    let fd = ring.fd().unwrap().as_raw_fd();
    if kernel::since(6, 13, send(&message(fd))).is_some() {
        assert_eq!(ring.next().unwrap().raw_result(), 5);
    }
}

#[test]
fn message_to_what_is_no_ring_is_refused() {
    let (cq, _sq) = with_capacity(8).unwrap();
    if kernel::since(6, 13, send(&message(cq.as_raw_fd()))).is_none() {
        return;
    }
    let null = std::fs::File::open("/dev/null").unwrap();
    let error = send(&message(null.as_raw_fd())).unwrap_err();
    assert_eq!(error.errno(), libc::EBADFD);
    for closed in [-1, closed_fd()] {
        let error = send(&message(closed)).unwrap_err();
        assert_eq!(error.errno(), libc::EBADF);
        assert_eq!(*error.cause(), RegisterCause::BadDescriptor);
    }
    let params = IoUringParams::default().entries(8).r_disabled();
    let (disabled, _sq) = IoUring::with_params(params).unwrap();
    let error = send(&message(disabled.as_raw_fd())).unwrap_err();
    assert_eq!(error.errno(), libc::EBADFD);
}

#[test]
fn anything_but_a_message_is_refused() {
    let (mut cq, _sq) = with_capacity(8).unwrap();
    // SAFETY: a NOP points to nothing.
    let error = unsafe { register_sync_msg(&Nop) }.unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    assert!(
        matches!(error.cause(), RegisterCause::Refused { .. }),
        "{error}"
    );
    let silent = MsgRing {
        flags: MsgRingFlags::CQE_SKIP,
        ..message(cq.as_raw_fd())
    };
    assert_eq!(send(&silent).unwrap_err().errno(), libc::EINVAL);
    assert_eq!(cq.try_next().unwrap(), None);
}
