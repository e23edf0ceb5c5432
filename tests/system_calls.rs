//! What the kernel answers to system calls that the library does not make: with descriptors, flags
//! and memory that make no sense.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use lio_uring::operation::Nop;
use lio_uring::{IoUring, IoUringParams, sys, with_capacity};

#[path = "support/kernel.rs"]
mod kernel;

/// Enters the kernel for a ring, with liburing's function for it.
fn enter(fd: i32, to_submit: u32, min_complete: u32, flags: u32) -> i32 {
    let fd = fd.cast_unsigned();
    // SAFETY: no signals are named, and what is submitted points to nothing.
    unsafe { sys::io_uring_enter(fd, to_submit, min_complete, flags, ptr::null_mut()) }
}

/// Registers nothing that exists, and returns the answer.
fn register(fd: i32, code: u32, argument: *const libc::c_void, count: u32) -> i32 {
    // SAFETY: the tests name no memory that the kernel could write to.
    unsafe { sys::io_uring_register(fd.cast_unsigned(), code, argument, count) }
}

/// Parameters as they are before anybody sets one.
fn params() -> sys::io_uring_params {
    // SAFETY: the structure is made of integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

/// The answer to a call that makes a ring; the ring is closed at once if there is one.
fn setup(entries: u32, params: *mut sys::io_uring_params) -> i32 {
    // SAFETY: the parameters are valid for writes, or lead to nothing that is mapped.
    let fd = unsafe { sys::io_uring_setup(entries, params) };
    if fd >= 0 {
        // SAFETY: the descriptor is new, and nothing else has it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        return 0;
    }
    fd
}

#[test]
fn setup_with_arguments_that_make_no_sense_is_refused() {
    let mut plain = params();
    assert_eq!(setup(1, &raw mut plain), 0);
    for entries in [0, 32_769, u32::MAX] {
        let mut plain = params();
        assert_eq!(setup(entries, &raw mut plain), -libc::EINVAL);
    }
    assert_eq!(setup(1, ptr::null_mut()), -libc::EFAULT);
    assert_eq!(setup(1, ptr::without_provenance_mut(8)), -libc::EFAULT);
    let mut unknown = params();
    unknown.flags = 1 << 31;
    assert_eq!(setup(1, &raw mut unknown), -libc::EINVAL);
    for i in 0..unknown.resv.len() {
        let mut reserved = params();
        reserved.resv[i] = 1;
        assert_eq!(setup(1, &raw mut reserved), -libc::EINVAL, "word {i}");
    }
    let mut affine = params();
    affine.flags = sys::IORING_SETUP_SQ_AFF;
    assert_eq!(setup(1, &raw mut affine), -libc::EINVAL);
    let mut without_size = params();
    without_size.flags = sys::IORING_SETUP_CQSIZE;
    assert_eq!(setup(1, &raw mut without_size), -libc::EINVAL);
}

#[test]
fn setup_in_memory_that_is_not_there_is_refused() {
    let made = IoUring::with_params(IoUringParams::default().entries(1).no_mmap());
    if kernel::since(6, 5, made).is_none() {
        return;
    }
    // Not mapped, not at the start of a page, and nowhere at all.
    for address in [4096, 4097, 8, 0] {
        let mut params = params();
        params.flags = sys::IORING_SETUP_NO_MMAP;
        params.sq_off.user_addr = address;
        params.cq_off.user_addr = address;
        let refused = setup(1, &raw mut params);
        assert!(
            [-libc::EFAULT, -libc::EINVAL].contains(&refused),
            "{address}: {refused}"
        );
    }
}

#[test]
fn enter_with_what_is_no_ring_is_refused() {
    let null = File::open("/dev/null").unwrap();
    assert_eq!(enter(-1, 1, 0, 0), -libc::EBADF);
    assert_eq!(enter(i32::MAX, 1, 0, 0), -libc::EBADF);
    assert_eq!(enter(null.as_raw_fd(), 1, 0, 0), -libc::EOPNOTSUPP);
}

#[test]
fn enter_with_arguments_that_make_no_sense_is_refused() {
    let (mut cq, mut sq) = with_capacity(4).unwrap();
    let fd = sq.as_raw_fd();
    assert_eq!(enter(fd, 1, 0, 1 << 31), -libc::EINVAL);
    // A limit that is not mapped, and one of another size than the kernel knows.
    let flags = sys::IORING_ENTER_GETEVENTS | sys::IORING_ENTER_EXT_ARG;
    let nowhere = ptr::without_provenance::<libc::c_void>(8);
    for (size, errno) in [(24_usize, libc::EFAULT), (3, libc::EINVAL)] {
        // SAFETY: the argument is not mapped, and the kernel finds out.
        let result =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, 0, 1, flags, nowhere, size) };
        assert_eq!(result, -1);
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(errno));
    }
    // A signal mask likewise.
    let flags = sys::IORING_ENTER_GETEVENTS;
    for (size, errno) in [(8_usize, libc::EFAULT), (3, libc::EINVAL)] {
        // SAFETY: as above.
        let result =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, 0, 1, flags, nowhere, size) };
        assert_eq!(result, -1);
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(errno));
    }
    // Nothing is queued, however many are to be submitted.
    assert_eq!(enter(fd, 4, 0, 0), 0);
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 1) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().user_data(), 1);
    assert_eq!(sq.dropped(), 0);
}

#[test]
fn entry_outside_of_the_queue_is_dropped_and_counted() {
    let mut params = params();
    // SAFETY: zero is a value of the structure.
    let mut ring: Box<sys::io_uring> = Box::new(unsafe { mem::zeroed() });
    let raw = &raw mut *ring;
    // Liburing would make a ring without the array of indices.
    // SAFETY: the parameters are valid for writes.
    let fd = unsafe { sys::io_uring_setup(4, &raw mut params) };
    assert!(fd >= 0, "{fd}");
    // SAFETY: both structures are valid for writes, and the descriptor is that of a new ring.
    let mapped = unsafe { sys::io_uring_queue_mmap(fd, &raw mut params, raw) };
    assert_eq!(mapped, 0);
    for (round, index) in [(1, 4), (2, 5), (3, u32::MAX)] {
        // SAFETY: the ring is set up.
        let sqe = unsafe { sys::io_uring_get_sqe(raw) };
        // SAFETY: there is room, so the entry is there.
        unsafe { sys::io_uring_prep_nop(sqe) };
        // SAFETY: the array was mapped with the ring, and has four places.
        let place = unsafe { ring.sq.array.add(round - 1) };
        // SAFETY: as above.
        unsafe { place.write(index) };
        // SAFETY: the ring is set up.
        let submitted = unsafe { sys::io_uring_submit(raw) };
        assert_eq!(submitted, 0, "index {index}");
        // SAFETY: the counter was mapped with the ring.
        let dropped = unsafe { ring.sq.kdropped.read_volatile() };
        assert_eq!(dropped as usize, round);
    }
    // SAFETY: nothing is in flight, and the ring is not used after this.
    unsafe { sys::io_uring_queue_exit(raw) };
}

#[test]
fn register_with_what_is_no_ring_is_refused() {
    let null = File::open("/dev/null").unwrap();
    let code = sys::IORING_UNREGISTER_BUFFERS;
    // -1 stands for no ring at all, since Linux 6.13.
    let without = register(-1, code, ptr::null(), 0);
    assert!(
        [-libc::EBADF, -libc::EINVAL].contains(&without),
        "{without}"
    );
    assert_eq!(register(i32::MAX, code, ptr::null(), 0), -libc::EBADF);
    let fd = null.as_raw_fd();
    assert_eq!(register(fd, code, ptr::null(), 0), -libc::EOPNOTSUPP);
}

#[test]
fn register_with_arguments_that_make_no_sense_is_refused() {
    let (_cq, sq) = with_capacity(4).unwrap();
    let fd = sq.as_raw_fd();
    let nowhere = ptr::without_provenance(8);
    let null = ptr::null();
    for (code, argument, count, errno) in [
        (u32::MAX, null, 0, libc::EINVAL),
        (sys::IORING_REGISTER_LAST, null, 0, libc::EINVAL),
        (sys::IORING_REGISTER_BUFFERS, null, 1, libc::EFAULT),
        (sys::IORING_REGISTER_BUFFERS, nowhere, 1, libc::EFAULT),
        (
            sys::IORING_REGISTER_BUFFERS,
            nowhere,
            u32::MAX,
            libc::EINVAL,
        ),
        (sys::IORING_UNREGISTER_BUFFERS, nowhere, 0, libc::EINVAL),
        (sys::IORING_UNREGISTER_BUFFERS, null, 1, libc::EINVAL),
        (sys::IORING_REGISTER_FILES, null, 1, libc::EFAULT),
        (sys::IORING_REGISTER_FILES, nowhere, 0, libc::EINVAL),
        (sys::IORING_REGISTER_EVENTFD, nowhere, 1, libc::EFAULT),
        (sys::IORING_REGISTER_EVENTFD, nowhere, 2, libc::EINVAL),
        (sys::IORING_REGISTER_PROBE, null, 256, libc::EINVAL),
        (sys::IORING_REGISTER_PROBE, nowhere, 4, libc::EFAULT),
        (sys::IORING_REGISTER_PROBE, nowhere, 257, libc::EINVAL),
        (sys::IORING_REGISTER_PERSONALITY, nowhere, 0, libc::EINVAL),
        (sys::IORING_UNREGISTER_PERSONALITY, null, 77, libc::EINVAL),
        (sys::IORING_REGISTER_RESTRICTIONS, nowhere, 1, libc::EBADFD),
        (sys::IORING_REGISTER_ENABLE_RINGS, null, 0, libc::EBADFD),
    ] {
        let result = register(fd, code, argument, count);
        assert_eq!(result, -errno, "{code} {argument:?} {count}");
    }
}
