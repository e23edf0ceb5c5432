//! Messages from one ring to another, and to itself.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{MsgRing, MsgRingCqeFlags, MsgRingFlags, Nop, OpCode};
use lio_uring::{
    Completion, CompletionFlags, CompletionQueue, IoUring, IoUringParams, Sqe, SqeFlags,
    SubmissionQueue,
};

#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{next, run, wait};

const SENT: u64 = 7;

fn message(fd: RawFd, len: u32, data: u64) -> MsgRing {
    MsgRing {
        fd,
        len,
        data,
        flags: MsgRingFlags::empty(),
    }
}

/// Sends a message, and returns the result for the sender.
#[track_caller]
fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    message: &MsgRing,
    settings: impl FnOnce(&mut Sqe),
) -> i32 {
    // SAFETY: the targets are rings of this test, which expects what comes there.
    unsafe { sq.push_with(message, SENT, settings) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.user_data(), SENT);
    done.raw_result()
}

fn plain(_: &mut Sqe) {}

#[test]
fn message_arrives_as_a_completion() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        let fd = target.as_raw_fd();
        for (len, data) in [
            (0, 0),
            (1, u64::MAX),
            (i32::MAX.cast_unsigned(), 1 << 63),
            (u32::MAX, 5),
            (1 << 31, 0x5555_5555_5555_5555),
        ] {
            assert_eq!(send(cq, sq, &message(fd, len, data), plain), 0);
            let done = next(&mut target);
            assert_eq!(done.user_data(), data);
            assert_eq!(done.raw_result(), len.cast_signed());
            assert_eq!(done.flags(), CompletionFlags::empty());
        }
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_arrives_at_a_ring_for_one_thread() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let mut target = IoUring::new(4).unwrap();
        let fd = target.fd().unwrap().as_raw_fd();
        for i in 0..20 {
            assert_eq!(send(cq, sq, &message(fd, i, 1000), plain), 0);
            let done = next(target.completion());
            assert_eq!(
                (done.user_data(), done.result().unwrap()),
                (1000, i.cast_signed())
            );
        }
    });
}

#[test]
fn message_to_the_same_ring_arrives_there() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let fd = sq.fd().unwrap().as_raw_fd();
        // SAFETY: this test expects what comes.
        unsafe { sq.push(&message(fd, 10, 1), SENT) }.unwrap();
        let mut done: Vec<_> = wait(cq, sq, 2)
            .iter()
            .map(|done| (done.user_data(), done.raw_result()))
            .collect();
        done.sort_unstable();
        assert_eq!(done, [(1, 10), (SENT, 0)]);
    });
}

#[test]
fn message_carries_flags_if_told_to() {
    // The flag came with Linux 6.3.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        let pass = MsgRing {
            flags: MsgRingFlags::FLAGS_PASS,
            ..message(target.as_raw_fd(), 8, 9)
        };
        for flags in [
            CompletionFlags::MORE,
            CompletionFlags::NOTIF | CompletionFlags::SOCK_NONEMPTY,
            CompletionFlags::BUFFER | CompletionFlags::from_bits_retain(1234 << 16),
            CompletionFlags::empty(),
        ] {
            let sent = send(cq, sq, &pass, |sqe| sqe.set_file_index(flags.bits()));
            assert_eq!(sent, 0);
            let done = next(&mut target);
            assert_eq!((done.user_data(), done.raw_result()), (9, 8));
            assert_eq!(done.flags(), flags);
            let buffer = flags.contains(CompletionFlags::BUFFER).then_some(1234);
            assert_eq!(done.buffer_id(), buffer);
        }
        // Without the flag, flags are not taken.
        let plain = message(target.as_raw_fd(), 8, 9);
        let sent = send(cq, sq, &plain, |sqe| sqe.set_file_index(1));
        assert_eq!(sent, -libc::EINVAL);
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_with_flags_carries_them() {
    // The flag came with Linux 6.3.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        let fd = target.as_raw_fd();
        let buffer = (CompletionFlags::BUFFER | CompletionFlags::MORE).bits() | 77 << 16;
        for (len, cqe_flags) in [(8, buffer), (u32::MAX, 0)] {
            let message = MsgRingCqeFlags {
                fd,
                len,
                data: 9,
                flags: MsgRingFlags::empty(),
                cqe_flags,
            };
            // SAFETY: the target is a ring of this test, which expects what comes there.
            assert_eq!(unsafe { run(cq, sq, &message, plain) }.raw_result(), 0);
            let done = next(&mut target);
            assert_eq!((done.user_data(), done.flags().bits()), (9, cqe_flags));
            assert_eq!(done.raw_result(), len.cast_signed());
        }
        for (fd, flags, errno) in [
            (fd, MsgRingFlags::CQE_SKIP, libc::EINVAL),
            (-1, MsgRingFlags::empty(), libc::EBADF),
        ] {
            let message = MsgRingCqeFlags {
                fd,
                len: 0,
                data: 9,
                flags,
                cqe_flags: 0,
            };
            // SAFETY: as above.
            let done = unsafe { run(cq, sq, &message, plain) };
            assert_eq!(done.raw_result(), -errno);
        }
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_wakes_a_thread_that_waits_at_the_target() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        let fd = target.as_raw_fd();
        let waiter = thread::spawn(move || next(&mut target).user_data());
        assert_eq!(send(cq, sq, &message(fd, 0, 77), plain), 0);
        assert_eq!(waiter.join().unwrap(), 77);
    });
}

#[test]
fn message_wakes_a_ring_of_another_thread() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (to_test, from_waiter) = mpsc::channel::<OwnedFd>();
        let waiter = thread::spawn(move || {
            let mut ring = IoUring::new(4).unwrap();
            let fd = ring.fd().unwrap().try_clone_to_owned().unwrap();
            to_test.send(fd).unwrap();
            next(ring.completion()).user_data()
        });
        let fd = from_waiter.recv().unwrap();
        assert_eq!(send(cq, sq, &message(fd.as_raw_fd(), 0, 78), plain), 0);
        assert_eq!(waiter.join().unwrap(), 78);
    });
}

#[test]
fn message_to_what_is_no_ring_or_not_enabled_gives_ebadfd() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    let file = File::open("/").unwrap();
    each_ring!(|cq, sq| {
        let sent = send(cq, sq, &message(file.as_raw_fd(), 0, 0), plain);
        assert_eq!(sent, -libc::EBADFD);
        let sent = send(cq, sq, &message(-1, 0, 0), plain);
        assert_eq!(sent, -libc::EBADF);
        let params = IoUringParams::default().entries(4).r_disabled();
        let (mut target, mut target_sq) = IoUring::with_params(params).unwrap();
        let message = message(target.as_raw_fd(), 5, 6);
        let sent = send(cq, sq, &message, plain);
        // Refused since Linux 6.2.
        if needs::knows(OpCode::READ_MULTISHOT) {
            assert_eq!(sent, -libc::EBADFD);
            target_sq.enable().unwrap();
            assert_eq!(send(cq, sq, &message, plain), 0);
            let done = next(&mut target);
            assert_eq!((done.user_data(), done.raw_result()), (6, 5));
        }
    });
}

#[test]
fn message_that_skips_its_completion_gives_einval() {
    // The flag came with Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        for flags in [
            MsgRingFlags::CQE_SKIP,
            MsgRingFlags::from_bits_retain(1 << 31),
        ] {
            let message = MsgRing {
                flags,
                ..message(target.as_raw_fd(), 0, 0)
            };
            assert_eq!(send(cq, sq, &message, plain), -libc::EINVAL, "{flags:?}");
        }
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_to_the_ring_of_a_thread_that_has_ended_is_refused_or_lost() {
    // Rings belong to threads since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let fd = thread::spawn(|| {
            let params = IoUring::builder()
                .entries(4)
                .single_issuer()
                .defer_taskrun();
            let ring = params.build().unwrap();
            // The ring lives on as long as somebody has it open.
            ring.fd().unwrap().try_clone_to_owned().unwrap()
        })
        .join()
        .unwrap();
        let sent = send(cq, sq, &message(fd.as_raw_fd(), 0, 0), plain);
        // Linux 6.1 to 6.10 refuse it.
        assert!([0, -libc::EOWNERDEAD].contains(&sent), "{sent}");
    });
}

#[test]
fn message_to_a_full_queue_arrives_or_the_sender_hears_of_it() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let params = IoUringParams::default().entries(2).cqsize(2);
        let (mut target, _sq) = IoUring::with_params(params).unwrap();
        let fd = target.as_raw_fd();
        let mut arrive = Vec::new();
        for i in 0..20 {
            match send(cq, sq, &message(fd, 0, i), plain) {
                0 => arrive.push(i),
                error => assert_eq!(error, -libc::EOVERFLOW),
            }
        }
        let arrived: Vec<_> = arrive
            .iter()
            .map(|_| next(&mut target).user_data())
            .collect();
        assert_eq!(arrived, arrive);
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_behind_a_failure_is_not_sent() {
    if !needs::operations(&[OpCode::MSG_RING]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, _sq) = lio_uring::with_capacity(4).unwrap();
        let file = File::open("/").unwrap();
        // SAFETY: the file is no ring, and the other is a ring of this test.
        unsafe { sq.push_with_flags(&message(file.as_raw_fd(), 0, 0), 1, SqeFlags::IO_LINK) }
            .unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&message(target.as_raw_fd(), 0, 0), 2, SqeFlags::IO_LINK) }
            .unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 3) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 3).iter().map(Completion::raw_result).collect();
        let cancelled = -libc::ECANCELED;
        assert_eq!(results, [-libc::EBADFD, cancelled, cancelled]);
        assert_eq!(target.try_next().unwrap(), None);
    });
}
