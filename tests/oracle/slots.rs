//! Descriptors that go to a slot of the registered files.

use std::ffi::{c_char, c_int};

use lio_uring::operation::{
    Accept, AcceptDirect, AcceptMulti, AcceptMultiDirect, Close, MsgRingFd, MsgRingFlags, Nop,
    OpenHow, Openat, Openat2, Openat2Direct, OpenatDirect, PipeDirect, Socket, SocketDirect,
};
use lio_uring::{FileSlot, sys};

use crate::{Arguments, entry_with, with_arguments};

/// A slot of each kind, and the number that C has for it.
fn slots(any: &mut Arguments) -> [(FileSlot, u32); 2] {
    let index = any.word().min(u32::MAX - 2);
    let allocate = sys::IORING_FILE_INDEX_ALLOC.cast_unsigned();
    [(FileSlot::At(index), index), (FileSlot::Allocate, allocate)]
}

#[test]
fn opened_files_that_go_to_a_slot() {
    with_arguments(|any| {
        let (fd, int, mode) = (any.int(), any.int(), any.word());
        let path = any.pointer::<c_char>().cast_const();
        let how = any.pointer::<OpenHow>().cast_const();
        let slots = slots(any);
        for (slot, index) in slots {
            same!(
                Openat { dfd: fd, path, flags: int, mode } => |sqe| sqe.set_target(slot),
                io_uring_prep_openat_direct(fd, path, int, mode, index)
            );
            same!(
                OpenatDirect {
                    dfd: fd,
                    path,
                    flags: int,
                    mode,
                    file_index: slot
                },
                io_uring_prep_openat_direct(fd, path, int, mode, index)
            );
            same!(
                Openat2 { dfd: fd, path, how } => |sqe| sqe.set_target(slot),
                io_uring_prep_openat2_direct(fd, path, how.cast(), index)
            );
            same!(
                Openat2Direct {
                    dfd: fd,
                    path,
                    how,
                    file_index: slot
                },
                io_uring_prep_openat2_direct(fd, path, how.cast(), index)
            );
        }
        let index = slots[0].1;
        same!(
            OpenatDirect {
                dfd: libc::AT_FDCWD,
                path,
                flags: int,
                mode,
                file_index: FileSlot::At(index)
            },
            io_uring_prep_open_direct(path, int, mode, index)
        );
        same!(
            Close { fd: 0 } => |sqe| sqe.set_target(FileSlot::At(index)),
            io_uring_prep_close_direct(index)
        );
    });
}

#[test]
fn sockets_that_go_to_a_slot() {
    with_arguments(|any| {
        let (fd, int, protocol, mode) = (any.int(), any.int(), any.int(), any.word());
        let (addr, addrlen) = (
            any.pointer::<libc::sockaddr>(),
            any.pointer::<libc::socklen_t>(),
        );
        for (slot, index) in slots(any) {
            same!(
                AcceptDirect {
                    fd,
                    addr,
                    addrlen,
                    flags: int,
                    file_index: slot
                },
                io_uring_prep_accept_direct(fd, addr, addrlen, int, index)
            );
            same!(
                SocketDirect {
                    domain: fd,
                    r#type: int,
                    protocol,
                    file_index: slot,
                    flags: mode
                },
                io_uring_prep_socket_direct(fd, int, protocol, index, mode)
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
            AcceptMultiDirect {
                fd,
                addr,
                addrlen,
                flags: int
            },
            io_uring_prep_multishot_accept_direct(fd, addr, addrlen, int)
        );
        same!(
            SocketDirect {
                domain: fd,
                r#type: int,
                protocol,
                file_index: FileSlot::Allocate,
                flags: mode
            },
            io_uring_prep_socket_direct_alloc(fd, int, protocol, mode)
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
fn pipes_and_passed_files_that_go_to_a_slot() {
    with_arguments(|any| {
        let (fd, int, data) = (any.int(), any.int(), any.long());
        let fds = any.pointer::<c_int>();
        // C counts these slots with a sign.
        let source_fd = any.word() & i32::MAX.cast_unsigned();
        let flags = MsgRingFlags::from_bits_retain(any.word());
        for (slot, index) in slots(any) {
            same!(
                PipeDirect {
                    fds,
                    pipe_flags: int,
                    file_index: slot
                },
                io_uring_prep_pipe_direct(fds, int, index)
            );
            same!(
                MsgRingFd {
                    fd,
                    source_fd,
                    target_fd: slot,
                    data,
                    flags
                },
                io_uring_prep_msg_ring_fd(
                    fd,
                    source_fd.cast_signed(),
                    index.cast_signed(),
                    data,
                    flags.bits()
                )
            );
        }
        same!(
            MsgRingFd {
                fd,
                source_fd,
                target_fd: FileSlot::Allocate,
                data,
                flags
            },
            io_uring_prep_msg_ring_fd_alloc(fd, source_fd.cast_signed(), data, flags.bits())
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
