//! Futexes: waiting on one, waking, and the kinds of waking.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::thread;

use lio_uring::SqeFlags;
use lio_uring::operation::{
    Cancel, CancelFlags, FutexWait, FutexWake, LinkTimeout, OpCode, TimeoutFlags, Timespec,
};

#[path = "support/futexes.rs"]
mod futexes;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use futexes::{ANY, PRIVATE, SHARED, WAKE, push, result, wake_from_a_thread, wake_of};
use rings::{CANCEL, PENDING, cancel_answered, results, submit_pending};

/// The user data of a limit.
const LIMITED: u64 = 2;

fn wait_of(futex: &AtomicU32, val: u64, mask: u64, futex_flags: u32) -> FutexWait {
    FutexWait {
        futex: futex.as_ptr(),
        val,
        mask,
        futex_flags,
        flags: 0,
    }
}

#[test]
fn futex_wait_ends_when_it_is_woken() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        for flags in [SHARED, PRIVATE] {
            let futex = AtomicU32::new(u32::MAX);
            push(sq, &wait_of(&futex, u32::MAX.into(), ANY, flags), PENDING);
            submit_pending(cq, sq);
            push(sq, &wake_of(&futex, 1, ANY, flags), WAKE);
            assert_eq!(results(cq, sq, 2), [(PENDING, 0), (WAKE, 1)]);
            assert_eq!(futex.into_inner(), u32::MAX);
        }
    });
}

#[test]
fn futex_wait_is_woken_by_a_system_call() {
    if !needs::operations(&[OpCode::FUTEX_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(3);
        push(sq, &wait_of(&futex, 3, ANY, PRIVATE), PENDING);
        submit_pending(cq, sq);
        assert_eq!(wake_from_a_thread(&futex), 1);
        assert_eq!(results(cq, sq, 1), [(PENDING, 0)]);
    });
}

#[test]
fn futex_wake_wakes_a_thread_that_waits_by_a_system_call() {
    if !needs::operations(&[OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(3);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
                let forever = ptr::null::<libc::timespec>();
                // SAFETY: the futex is borrowed.
                unsafe { libc::syscall(libc::SYS_futex, futex.as_ptr(), wait, 3, forever) }
            });
            // There is nobody before the thread has come to wait.
            while result(cq, sq, &wake_of(&futex, 1, ANY, PRIVATE)) == 0 {
                thread::yield_now();
            }
            assert_eq!(waiter.join().unwrap(), 0);
        });
    });
}

#[test]
fn futex_wait_on_another_number_gives_eagain() {
    if !needs::operations(&[OpCode::FUTEX_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(7);
        for val in [0, 6, 8, ANY] {
            for flags in [SHARED, PRIVATE] {
                let done = result(cq, sq, &wait_of(&futex, val, ANY, flags));
                assert_eq!(done, -libc::EAGAIN, "{val}");
            }
        }
    });
}

#[test]
fn futex_wake_wakes_as_many_as_it_says_and_counts_them() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(0);
        assert_eq!(result(cq, sq, &wake_of(&futex, 1, ANY, PRIVATE)), 0);
        for i in 0..6 {
            push(sq, &wait_of(&futex, 0, ANY, PRIVATE), i);
        }
        submit_pending(cq, sq);
        // Who waits longest is woken first.
        push(sq, &wake_of(&futex, 1, ANY, PRIVATE), WAKE);
        assert_eq!(results(cq, sq, 2), [(0, 0), (WAKE, 1)]);
        push(sq, &wake_of(&futex, 3, ANY, PRIVATE), WAKE);
        assert_eq!(results(cq, sq, 4), [(1, 0), (2, 0), (3, 0), (WAKE, 3)]);
        let all = i32::MAX.cast_unsigned().into();
        push(sq, &wake_of(&futex, all, ANY, PRIVATE), WAKE);
        assert_eq!(results(cq, sq, 3), [(4, 0), (5, 0), (WAKE, 2)]);
        assert_eq!(result(cq, sq, &wake_of(&futex, all, ANY, PRIVATE)), 0);
    });
}

#[test]
fn futex_wake_of_nobody_wakes_nobody() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(0);
        push(sq, &wait_of(&futex, 0, ANY, PRIVATE), PENDING);
        submit_pending(cq, sq);
        assert_eq!(result(cq, sq, &wake_of(&futex, 0, ANY, PRIVATE)), 0);
        push(sq, &wake_of(&futex, 1, ANY, PRIVATE), WAKE);
        assert_eq!(results(cq, sq, 2), [(PENDING, 0), (WAKE, 1)]);
    });
}

#[test]
fn futex_wake_of_one_kind_wakes_those_that_wait_for_it() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(0);
        for (user_data, mask) in [(1, 0b0001), (2, 0b0010), (3, 1 << 31), (4, ANY)] {
            push(sq, &wait_of(&futex, 0, mask, PRIVATE), user_data);
        }
        submit_pending(cq, sq);
        for (mask, woken) in [(0b0110, &[2, 4][..]), (0b1000, &[]), (1 << 31 | 1, &[1, 3])] {
            push(sq, &wake_of(&futex, 10, mask, PRIVATE), WAKE);
            let n: i32 = woken.len().try_into().unwrap();
            let mut wanted: Vec<_> = woken.iter().map(|user_data| (*user_data, 0)).collect();
            wanted.push((WAKE, n));
            assert_eq!(results(cq, sq, n.cast_unsigned() + 1), wanted, "{mask:b}");
        }
    });
}

#[test]
fn futex_wake_that_is_private_wakes_none_that_is_shared() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        for (mine, other) in [(SHARED, PRIVATE), (PRIVATE, SHARED)] {
            let futex = AtomicU32::new(0);
            push(sq, &wait_of(&futex, 0, ANY, mine), PENDING);
            submit_pending(cq, sq);
            assert_eq!(result(cq, sq, &wake_of(&futex, 1, ANY, other)), 0);
            push(sq, &wake_of(&futex, 1, ANY, mine), WAKE);
            assert_eq!(results(cq, sq, 2), [(PENDING, 0), (WAKE, 1)]);
        }
    });
}

/// Memory of a file, mapped shared.
struct Mapping(*mut u32);

impl Mapping {
    const SIZE: usize = 4096;

    fn of(file: &File) -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), Self::SIZE, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self(start.cast())
    }

    fn futex(&self) -> &AtomicU32 {
        // SAFETY: the mapping is there as long as this value, aligned, and used atomically alone.
        unsafe { AtomicU32::from_ptr(self.0) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing refers to it any more.
        unsafe { libc::munmap(self.0.cast(), Self::SIZE) };
    }
}

#[test]
fn futex_that_is_shared_is_the_same_at_each_address() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let (here, there) = (Mapping::of(&file), Mapping::of(&file));
        push(sq, &wait_of(here.futex(), 0, ANY, SHARED), PENDING);
        submit_pending(cq, sq);
        assert_eq!(result(cq, sq, &wake_of(there.futex(), 1, ANY, PRIVATE)), 0);
        push(sq, &wake_of(there.futex(), 1, ANY, SHARED), WAKE);
        assert_eq!(results(cq, sq, 2), [(PENDING, 0), (WAKE, 1)]);
    });
}

#[test]
fn futex_wait_cancelled_is_not_there_to_be_woken() {
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(0);
        for flags in [SHARED, PRIVATE] {
            push(sq, &wait_of(&futex, 0, ANY, flags), PENDING);
            submit_pending(cq, sq);
            let (done, answer) = cancel_answered(cq, sq);
            assert_eq!((done.raw_result(), answer), (-libc::ECANCELED, 1));
            assert_eq!(result(cq, sq, &wake_of(&futex, 1, ANY, flags)), 0);
        }
        // Several with one user data count as one, though all of them end.
        for _ in 0..3 {
            push(sq, &wait_of(&futex, 0, ANY, PRIVATE), PENDING);
        }
        submit_pending(cq, sq);
        let all = Cancel {
            user_data: PENDING,
            flags: CancelFlags::ALL,
        };
        push(sq, &all, CANCEL);
        let gone = (PENDING, -libc::ECANCELED);
        assert_eq!(results(cq, sq, 4), [gone, gone, gone, (CANCEL, 1)]);
    });
}

#[test]
fn futex_wait_with_a_limit_ends_when_time_is_up() {
    static SOON: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    if !needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futex = AtomicU32::new(0);
        let wait = wait_of(&futex, 0, ANY, PRIVATE);
        // SAFETY: the futex stays until the completion has been taken.
        unsafe { sq.push_with_flags(&wait, PENDING, SqeFlags::IO_LINK) }.unwrap();
        let limit = LinkTimeout {
            ts: &raw const SOON,
            flags: TimeoutFlags::empty(),
        };
        push(sq, &limit, LIMITED);
        let done = results(cq, sq, 2);
        assert_eq!(done[0], (PENDING, -libc::ECANCELED));
        // The limit's result is how many the kernel has cancelled on some kernels, ETIME on those
        // that have mended it, Linux 6.12.117 among them.
        assert!(
            [(LIMITED, 1), (LIMITED, -libc::ETIME)].contains(&done[1]),
            "{done:?}"
        );
        assert_eq!(result(cq, sq, &wake_of(&futex, 1, ANY, PRIVATE)), 0);
    });
}

#[test]
fn futex_wait_that_makes_no_sense_fails() {
    if !needs::operations(&[OpCode::FUTEX_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = [const { AtomicU32::new(0) }; 2];
        let good = wait_of(&futexes[0], 0, ANY, PRIVATE);
        for (wrong, errno) in [
            (FutexWait { mask: 0, ..good }, libc::EINVAL),
            (
                FutexWait {
                    mask: 1 << 32,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                FutexWait {
                    val: 1 << 32,
                    ..good
                },
                libc::EINVAL,
            ),
            (FutexWait { flags: 1, ..good }, libc::EINVAL),
            (
                FutexWait {
                    futex_flags: 0,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                FutexWait {
                    futex_flags: 3,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                FutexWait {
                    futex_flags: 1 << 16 | PRIVATE,
                    ..good
                },
                libc::EINVAL,
            ),
            (
                FutexWait {
                    futex: good.futex.wrapping_byte_add(2),
                    ..good
                },
                libc::EINVAL,
            ),
            (
                FutexWait {
                    futex: ptr::without_provenance(8),
                    ..good
                },
                libc::EFAULT,
            ),
            (
                FutexWait {
                    futex: ptr::null(),
                    ..good
                },
                libc::EFAULT,
            ),
        ] {
            assert_eq!(result(cq, sq, &wrong), -errno, "{wrong:?}");
        }
    });
}

#[test]
fn futex_wake_that_makes_no_sense_fails() {
    if !needs::operations(&[OpCode::FUTEX_WAKE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let futexes = [const { AtomicU32::new(0) }; 2];
        let good = wake_of(&futexes[0], 1, ANY, PRIVATE);
        let unmapped = ptr::without_provenance(8);
        for (wrong, result_of_it) in [
            (FutexWake { mask: 0, ..good }, -libc::EINVAL),
            (
                FutexWake {
                    mask: 1 << 32,
                    ..good
                },
                -libc::EINVAL,
            ),
            (FutexWake { flags: 1, ..good }, -libc::EINVAL),
            (
                FutexWake {
                    futex_flags: 0,
                    ..good
                },
                -libc::EINVAL,
            ),
            (
                FutexWake {
                    futex: good.futex.wrapping_byte_add(2),
                    ..good
                },
                -libc::EINVAL,
            ),
            (
                FutexWake {
                    futex: unmapped,
                    futex_flags: SHARED,
                    ..good
                },
                -libc::EFAULT,
            ),
            // It is an address and nothing else here.
            (
                FutexWake {
                    futex: unmapped,
                    ..good
                },
                0,
            ),
        ] {
            assert_eq!(result(cq, sq, &wrong), result_of_it, "{wrong:?}");
        }
    });
}
