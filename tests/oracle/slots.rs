//! Descriptors that go to a slot of the registered files.

use std::ffi::c_char;

use lio_uring::operation::{Accept, AcceptMulti, Close, Nop, Openat, Socket};
use lio_uring::{FileSlot, sys};

use crate::{entry_with, with_arguments};

#[test]
fn descriptors_that_go_to_a_slot() {
    with_arguments(|any| {
        let (fd, int, protocol, mode) = (any.int(), any.int(), any.int(), any.word());
        let (addr, addrlen) = (
            any.pointer::<libc::sockaddr>(),
            any.pointer::<libc::socklen_t>(),
        );
        let path = any.pointer::<c_char>().cast_const();
        let allocate = sys::IORING_FILE_INDEX_ALLOC.cast_unsigned();
        let index = any.word().min(u32::MAX - 2);
        for (slot, index) in [(FileSlot::At(index), index), (FileSlot::Allocate, allocate)] {
            same!(
                Openat { dfd: fd, path, flags: int, mode } => |sqe| sqe.set_target(slot),
                io_uring_prep_openat_direct(fd, path, int, mode, index)
            );
            same!(
                Accept { fd, addr, addrlen, flags: int } => |sqe| sqe.set_target(slot),
                io_uring_prep_accept_direct(fd, addr, addrlen, int, index)
            );
            same!(
                Socket { domain: fd, r#type: int, protocol, flags: mode }
                    => |sqe| sqe.set_target(slot),
                io_uring_prep_socket_direct(fd, int, protocol, index, mode)
            );
        }
        same!(
            Close { fd: 0 } => |sqe| sqe.set_target(FileSlot::At(index)),
            io_uring_prep_close_direct(index)
        );
        same!(
            Socket { domain: fd, r#type: int, protocol, flags: mode }
                => |sqe| sqe.set_target(FileSlot::Allocate),
            io_uring_prep_socket_direct_alloc(fd, int, protocol, mode)
        );
        same!(
            AcceptMulti { fd, addr, addrlen, flags: int }
                => |sqe| sqe.set_target(FileSlot::Allocate),
            io_uring_prep_multishot_accept_direct(fd, addr, addrlen, int)
        );
    });
}

#[test]
fn no_slot_turns_into_none_or_any() {
    let file_index = |slot| {
        let sqe = entry_with(&Nop, |sqe| sqe.set_target(slot));
        let bytes = &sqe.as_bytes()[44..48];
        u32::from_ne_bytes(bytes.try_into().expect("the field has four bytes"))
    };
    let allocate = sys::IORING_FILE_INDEX_ALLOC.cast_unsigned();
    assert_eq!(file_index(FileSlot::Allocate), allocate);
    for index in [0, 1, u32::MAX - 3, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        let written = file_index(FileSlot::At(index));
        assert_ne!(written, 0, "index {index} has become no slot");
        assert_ne!(written, allocate, "index {index} has become any slot");
        // The highest stand for one another; no table is as long as they are.
        assert_eq!(written, index.min(u32::MAX - 2) + 1);
    }
}
