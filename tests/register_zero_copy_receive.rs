//! Registering what receives without copies: what it needs, and how long it lives.
#![cfg(target_os = "linux")]

#[path = "support/child.rs"]
mod child;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/ordinary_user.rs"]
mod ordinary_user;
#[path = "support/receivers.rs"]
mod receivers;

use std::fs::{self, File};
use std::io;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};

use lio_uring::kind::CqeSize;
use lio_uring::{
    IoUring, QueryZcrx, RegisterCause, RegisterError, ZcrxAreaFlags, ZcrxFeatures,
    ZcrxRegisterFlags, ZeroCopyReceiveParams,
};
use receivers::{
    PAGE, Ring, connection, next, params, pattern, push, receive_all, receiver, registered, ring,
    ring_with, send,
};

/// Interfaces have small numbers.
const NO_INTERFACE: u32 = 1_000_000;
const LOOPBACK: &std::ffi::CStr = c"lo";

fn of_device(interface: u32) -> ZeroCopyReceiveParams<'static> {
    ZeroCopyReceiveParams::of_device(interface, 0, 4 * PAGE, 4)
}

/// Registers what cannot be.
#[track_caller]
fn refused<C: CqeSize>(ring: &mut Ring<C>, params: ZeroCopyReceiveParams<'_>) -> RegisterError {
    ring.submission()
        .register_zero_copy_receive(params)
        .expect_err("it should be refused")
}

#[test]
fn interface_that_is_not_there_is_an_error() {
    let Some(mut ring) = ring() else { return };
    let error = refused(&mut ring, of_device(NO_INTERFACE));
    if kernel::older_than(6, 15) {
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
        return;
    }
    assert_eq!(error.errno(), libc::ENODEV, "{error}");
    let errno = libc::ENODEV;
    assert_eq!(*error.cause(), RegisterCause::Other { errno });
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENODEV));
}

#[test]
fn loopback_device_cannot_do_it() {
    let Some(mut ring) = ring() else { return };
    // SAFETY: the name is a C string.
    let loopback = unsafe { libc::if_nametoindex(LOOPBACK.as_ptr()) };
    assert!(loopback > 0, "{}", io::Error::last_os_error());
    let error = refused(&mut ring, of_device(loopback));
    let errno = if kernel::older_than(6, 15) {
        libc::EINVAL
    } else {
        libc::EOPNOTSUPP
    };
    assert_eq!(error.errno(), errno, "{error}");
    assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    assert!(error.to_string().contains("a device that can do it"));
}

#[test]
fn rings_of_other_kinds_are_refused() {
    if !ordinary_user::is_root() {
        return;
    }
    let Some(mut small) = ring_with((6, 1), |params| params) else {
        return;
    };
    let mut eager = IoUring::builder()
        .entries(8)
        .single_issuer()
        .cqe32()
        .build()
        .expect("a ring");
    for params in [of_device(NO_INTERFACE), params(4, 4)] {
        for error in [refused(&mut small, params), refused(&mut eager, params)] {
            assert_eq!(error.errno(), libc::EINVAL, "{error}");
            assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
        }
    }
}

#[test]
fn users_without_the_capability_are_not_permitted() {
    let name = "users_without_the_capability_are_not_permitted";
    let root = || ordinary_user::is_root().then_some(());
    child::in_child(name, root, || {
        let Some(mut ring) = ring() else { return };
        let null = File::open("/dev/null").expect("the file is there");
        ordinary_user::become_ordinary_user(&[]);
        let import = ring.submission().import_zero_copy_receive(null.as_fd());
        for error in [
            refused(&mut ring, of_device(NO_INTERFACE)),
            refused(&mut ring, params(4, 4)),
            import.expect_err("it should be refused"),
        ] {
            if kernel::older_than(6, 15) {
                assert_eq!(error.errno(), libc::EINVAL);
            } else {
                assert_eq!(error.errno(), libc::EPERM);
                assert_eq!(*error.cause(), RegisterCause::NotPermitted);
            }
        }
    });
}

#[test]
fn kernels_refuse_what_they_do_not_know() {
    let Some(mut ring) = ring() else { return };
    if kernel::older_than(7, 1) {
        let error = refused(&mut ring, params(4, 4));
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    }
    if kernel::older_than(6, 19) {
        let null = File::open("/dev/null").expect("the file is there");
        let import = ring.submission().import_zero_copy_receive(null.as_fd());
        let error = import.expect_err("it should be refused");
        assert!([libc::EINVAL, libc::EFAULT].contains(&error.errno()));
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    }
}

#[test]
fn kernels_say_what_they_know() {
    let asked = QueryZcrx::ask();
    let Some(known) = kernel::since_or(6, 19, asked, |error| {
        let unknown = [libc::EOPNOTSUPP, libc::EINVAL, libc::EBADF].map(Some);
        assert!(unknown.contains(&error.raw_os_error()), "{error}");
    }) else {
        return;
    };
    let since = |major, minor| !kernel::older_than(major, minor);
    assert!(known.register_flags.contains(ZcrxRegisterFlags::IMPORT));
    assert!(known.area_flags.contains(ZcrxAreaFlags::DMABUF));
    assert!(known.controls >= 2, "{known:?}");
    let nodev = known.register_flags.contains(ZcrxRegisterFlags::NODEV);
    assert_eq!(nodev, since(7, 1));
    let page_size = known.features.contains(ZcrxFeatures::RX_PAGE_SIZE);
    assert_eq!(page_size, since(7, 0));
}

#[test]
fn memory_is_in_whole_pages_and_neither_nothing_nor_too_much() {
    let Some((mut ring, _)) = receiver(1, 1) else {
        return;
    };
    let bytes = |bytes| ZeroCopyReceiveParams::without_device(bytes, 4);
    for unaligned in [1, PAGE - 1, PAGE + 1, 3 * PAGE + 2048] {
        let error = refused(&mut ring, bytes(unaligned));
        assert_eq!(error.errno(), libc::EINVAL, "{unaligned}: {error}");
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    }
    let error = refused(&mut ring, bytes(0));
    assert_eq!(error.errno(), libc::EFAULT, "{error}");
    assert_eq!(*error.cause(), RegisterCause::BadMemory);
    // Later kernels take more than a gibibyte, if there is so much.
    if kernel::older_than(7, 2) {
        let error = refused(&mut ring, bytes((1 << 30) + PAGE));
        // A small computer does not even map it.
        assert!(
            [libc::EFAULT, libc::ENOMEM].contains(&error.errno()),
            "{error}"
        );
    }
    let error = refused(&mut ring, bytes(usize::MAX));
    assert_eq!(error.errno(), libc::ENOMEM);
}

#[test]
fn entries_are_rounded_up_to_a_power_of_two() {
    let Some((mut ring, receive)) = receiver(2, 1) else {
        return;
    };
    assert_eq!(receive.capacity(), 1);
    assert_eq!(receive.area().len(), 2 * 4096);
    for (entries, capacity) in [(2, 2), (5, 8), (253, 256), (257, 512), (32768, 32768)] {
        let made = ring
            .submission()
            .register_zero_copy_receive(params(1, entries));
        let made = made.expect("as many as there can be");
        assert_eq!((made.capacity(), made.waiting()), (capacity, 0));
    }
    for entries in [0, 32769, 65536, u32::MAX] {
        let error = refused(&mut ring, params(1, entries));
        assert_eq!(error.errno(), libc::EINVAL, "{entries}");
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    }
    let mut clamped = ring_with((6, 1), |params| params.clamp().cqe32()).expect("a ring");
    let made = clamped
        .submission()
        .register_zero_copy_receive(params(1, 40_000));
    assert_eq!(made.expect("the kernel cuts it").capacity(), 32768);
}

#[test]
fn options_that_need_a_device_are_refused_without_one() {
    let Some((mut ring, _)) = receiver(1, 1) else {
        return;
    };
    let null = File::open("/dev/null").expect("the file is there");
    for params in [
        params(4, 4).dma_buf(null.as_fd()),
        params(4, 4).buffer_len(4095),
        params(4, 4).buffer_len(1),
        params(4, 4).buffer_len(u32::MAX),
        params(4, 4).buffer_len(8192),
        params(4, 4).huge_pages().buffer_len(2 << 20),
    ] {
        let error = refused(&mut ring, params);
        if error.errno() == libc::ENOMEM {
            println!("no huge pages are set aside: {error}");
            continue;
        }
        assert!(
            [libc::EINVAL, libc::EOPNOTSUPP].contains(&error.errno()),
            "{params:?}: {error}"
        );
        assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
    }
    let made = ring
        .submission()
        .register_zero_copy_receive(params(4, 4).buffer_len(4096));
    assert_eq!(made.expect("that is a page").area().len(), 4 * 4096);
}

#[test]
fn huge_pages_are_received_into_where_there_are_some() {
    let Some(mut ring) = ring() else { return };
    let made = ring
        .submission()
        .register_zero_copy_receive(params(4, 16).huge_pages());
    let receive = match made {
        Err(error) if error.errno() == libc::ENOMEM => {
            let memory = fs::read_to_string("/proc/meminfo").expect("the kernel tells");
            let free = memory
                .lines()
                .find(|line| line.starts_with("HugePages_Free:"));
            let free = free.expect("it tells of huge pages").trim_end();
            assert!(free.ends_with(" 0"), "{free}: {error}");
            return;
        }
        made => registered(made),
    };
    let Some(receive) = receive else { return };
    assert_eq!(receive.area().len(), 2 << 20);
    let (here, there) = connection();
    let sender = send(there, 6 << 20);
    assert_eq!(receive_all(&mut ring, &receive, &here).0, 6 << 20);
    sender.join().expect("it has sent all");
}

#[test]
fn what_is_no_registration_cannot_be_imported() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let null = File::open("/dev/null").expect("the file is there");
    let error = ring
        .submission()
        .import_zero_copy_receive(null.as_fd())
        .unwrap_err();
    assert_eq!(error.errno(), libc::EBADF);
    assert_eq!(*error.cause(), RegisterCause::BadDescriptor);
    let exported = receive.export().expect("7.1 can");
    let mut small = ring_with((6, 1), |params| params).expect("a ring");
    let error = small
        .submission()
        .import_zero_copy_receive(exported.as_fd())
        .unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    assert!(matches!(error.cause(), RegisterCause::Refused { .. }));
}

#[test]
fn exported_registration_outlives_its_ring_and_can_be_imported() {
    let Some((ring, receive)) = receiver(4, 4) else {
        return;
    };
    let exported = receive.export().expect("7.1 can");
    drop(receive);
    drop(ring);
    let mut other = receivers::ring().expect("a ring");
    let id = other
        .submission()
        .import_zero_copy_receive(exported.as_fd())
        .expect("it is still there");
    drop(exported);
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 100)).unwrap();
    push(&mut other, id, here.as_raw_fd(), 100);
    let data = next(&mut other);
    assert_eq!((data.raw_result(), data.more()), (100, true));
    assert_eq!(next(&mut other).raw_result(), 0);
}

#[test]
fn registration_is_left_to_the_parent_by_a_child_process() {
    let Some((mut ring, receive)) = receiver(16, 16) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 100)).unwrap();
    push(&mut ring, receive.id(), here.as_raw_fd(), 100);
    let completion = next(&mut ring);
    // SAFETY: the completion is of this receive, and taken once.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    assert_eq!(next(&mut ring).raw_result(), 0);
    // SAFETY: the child only drops values and exits, without touching what other threads hold.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        drop(receive);
        drop(ring);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made, into a value of the right type.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child should drop all and exit");
    assert_eq!(data.bytes(), pattern(0, 100));
    receive.give_back(data).unwrap();
    // The parent's memory is still the one that the kernel writes to.
    let (here, there) = connection();
    let sender = send(there, 1 << 20);
    assert_eq!(receive_all(&mut ring, &receive, &here).0, 1 << 20);
    sender.join().expect("it has sent all");
}
