//! Compares every operation's entry, all 64 bytes of it, with what liburing's own function for that
//! operation writes, for some thousand sets of arguments each. The setters of the entry are
//! compared in the same way.

#![cfg(target_os = "linux")]

use std::ffi::{c_char, c_int, c_void};
use std::fmt::Debug;
use std::mem::{self, MaybeUninit};
use std::ptr;

use lio_uring::operation::{
    Accept, AcceptMulti, Bind, Cancel, CancelFlags, Close, Connect, Fallocate, Fsync, FsyncFlags,
    Ftruncate, LinkTimeout, Listen, Mkdirat, MsgRing, MsgRingFlags, Nop, Openat, Operation,
    PollAdd, PollRemove, ProvideBuffers, Read, ReadFixed, Readv, Recv, RecvMulti, Renameat, Send,
    SendZc, Shutdown, Socket, Statx, Timeout, TimeoutFlags, TimeoutRemove, Timespec, Unlinkat,
    Write, WriteFixed, Writev,
};
use lio_uring::{AcceptFlags, FileSlot, RecvSendFlags, Sqe, SqeFlags, sys};

const ROUNDS: u32 = 4000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Arguments: random ones, and often the extremes of a width.
#[derive(Debug)]
struct Arguments {
    state: u64,
}

impl Arguments {
    fn long(&mut self) -> u64 {
        const EXTREMES: [u64; 8] = [
            0,
            1,
            u16::MAX as u64,
            i32::MAX as u64,
            u32::MAX as u64,
            i64::MAX as u64,
            1 << 63,
            u64::MAX,
        ];
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let random = self.state;
        if random.trailing_zeros() >= 2 {
            EXTREMES[(random >> 60) as usize & 7]
        } else {
            random >> 2
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is as random as the whole"
    )]
    fn word(&mut self) -> u32 {
        self.long() as u32
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low part is as random as the whole"
    )]
    fn half(&mut self) -> u16 {
        self.long() as u16
    }

    fn int(&mut self) -> i32 {
        self.word().cast_signed()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an address has as many bits as there are"
    )]
    fn pointer<T>(&mut self) -> *mut T {
        ptr::without_provenance_mut(self.long() as usize)
    }
}

/// Runs the checks of one test with many sets of arguments, always the same ones.
fn with_arguments(check: impl Fn(&mut Arguments)) {
    let mut arguments = Arguments { state: SEED };
    for _ in 0..ROUNDS {
        check(&mut arguments);
    }
}

fn empty() -> sys::io_uring_sqe {
    // SAFETY: an entry is made of integers, for which 0 is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// An operation's entry after some settings, as `push_with` makes it.
fn entry_with(operation: &impl Operation, settings: impl FnOnce(&mut Sqe)) -> Sqe {
    let mut sqe = Sqe::of(operation);
    settings(&mut sqe);
    sqe
}

/// Fails with the names of the fields that differ.
fn assert_same(ours: &Sqe, theirs: sys::io_uring_sqe, function: &str, operation: &dyn Debug) {
    const FIELDS: [(usize, &str); 14] = [
        (0, "opcode"),
        (1, "flags"),
        (2, "ioprio"),
        (4, "fd"),
        (8, "off, addr2"),
        (16, "addr"),
        (24, "len"),
        (28, "op flags"),
        (32, "user_data"),
        (40, "buf_index, buf_group"),
        (42, "personality"),
        (44, "file_index"),
        (48, "addr3"),
        (56, "padding"),
    ];
    // SAFETY: an entry is 64 bytes of integers without padding.
    let theirs = unsafe { mem::transmute::<sys::io_uring_sqe, [u8; 64]>(theirs) };
    if *ours.as_bytes() == theirs {
        return;
    }
    let differences: Vec<String> = FIELDS
        .into_iter()
        .enumerate()
        .map(|(index, (start, name))| {
            let end = FIELDS.get(index + 1).map_or(64, |next| next.0);
            (
                start,
                name,
                &ours.as_bytes()[start..end],
                &theirs[start..end],
            )
        })
        .filter(|(_, _, ours, theirs)| ours != theirs)
        .map(|(start, name, ours, theirs)| {
            format!("\n  {name} (at {start}): {ours:02x?}, in C {theirs:02x?}")
        })
        .collect();
    panic!(
        "{function} writes another entry than {operation:x?}, seed {SEED:#x}:{}",
        differences.concat()
    );
}

/// `same!(operation, io_uring_prep_x(arguments))`: C's function writes the same entry. With
/// `operation => |sqe| settings`, it is the entry after these settings.
macro_rules! same {
    ($operation:expr, $prep:ident($($argument:expr),*)) => {
        same!($operation => |_sqe| (), $prep($($argument),*))
    };
    ($operation:expr => |$sqe:ident| $settings:expr, $prep:ident($($argument:expr),*)) => {{
        let operation = $operation;
        let mut theirs = empty();
        // SAFETY: the function writes to the entry and follows no other pointer.
        unsafe { sys::$prep(&raw mut theirs, $($argument),*) };
        let ours = entry_with(&operation, |$sqe| $settings);
        assert_same(&ours, theirs, stringify!($prep), &operation);
    }};
}

#[test]
fn nop() {
    same!(Nop, io_uring_prep_nop());
}

#[test]
fn reading() {
    with_arguments(|any| {
        let (fd, offset, buf_index) = (any.int(), any.long(), any.half());
        let (ptr, len) = (any.pointer::<c_void>(), any.word());
        let (iovecs, nr_vecs) = (any.pointer::<libc::iovec>().cast_const(), any.word());
        let rw_flags = any.int();
        same!(
            Read {
                fd,
                ptr,
                len,
                offset
            },
            io_uring_prep_read(fd, ptr, len, offset)
        );
        same!(
            Readv {
                fd,
                iovecs,
                nr_vecs,
                offset
            },
            io_uring_prep_readv(fd, iovecs, nr_vecs, offset)
        );
        same!(
            Readv { fd, iovecs, nr_vecs, offset }
                => |sqe| sqe.insert_op_flags(rw_flags.cast_unsigned()),
            io_uring_prep_readv2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            ReadFixed {
                fd,
                buf: ptr,
                nbytes: len,
                offset,
                buf_index
            },
            io_uring_prep_read_fixed(fd, ptr, len, offset, c_int::from(buf_index))
        );
    });
}

#[test]
fn writing() {
    with_arguments(|any| {
        let (fd, offset, buf_index) = (any.int(), any.long(), any.half());
        let (ptr, len) = (any.pointer::<c_void>().cast_const(), any.word());
        let (iovecs, nr_vecs) = (any.pointer::<libc::iovec>().cast_const(), any.word());
        let rw_flags = any.int();
        same!(
            Write {
                fd,
                ptr,
                len,
                offset
            },
            io_uring_prep_write(fd, ptr, len, offset)
        );
        same!(
            Writev {
                fd,
                iovecs,
                nr_vecs,
                offset
            },
            io_uring_prep_writev(fd, iovecs, nr_vecs, offset)
        );
        same!(
            Writev { fd, iovecs, nr_vecs, offset }
                => |sqe| sqe.insert_op_flags(rw_flags.cast_unsigned()),
            io_uring_prep_writev2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            WriteFixed {
                fd,
                buf: ptr,
                nbytes: len,
                offset,
                buf_index
            },
            io_uring_prep_write_fixed(fd, ptr, len, offset, c_int::from(buf_index))
        );
    });
}

#[test]
fn files() {
    with_arguments(|any| {
        let (fd, mode, flags) = (any.int(), any.int(), any.int());
        let (offset, len, length) = (any.long(), any.long(), any.long().cast_signed());
        let (path, mask) = (any.pointer::<c_char>().cast_const(), any.word());
        let (permissions, statxbuf) = (any.word(), any.pointer::<libc::statx>());
        let fsync_flags = FsyncFlags::from_bits_retain(any.word());
        same!(
            Openat {
                dfd: fd,
                path,
                flags,
                mode: permissions
            },
            io_uring_prep_openat(fd, path, flags, permissions)
        );
        same!(Close { fd }, io_uring_prep_close(fd));
        same!(
            Fsync { fd, fsync_flags },
            io_uring_prep_fsync(fd, fsync_flags.bits())
        );
        same!(
            Fallocate {
                fd,
                mode,
                offset,
                len
            },
            io_uring_prep_fallocate(fd, mode, offset, len)
        );
        same!(
            Ftruncate { fd, len: length },
            io_uring_prep_ftruncate(fd, length)
        );
        same!(
            Statx {
                dfd: fd,
                path,
                flags,
                mask,
                statxbuf
            },
            io_uring_prep_statx(fd, path, flags, mask, statxbuf)
        );
    });
}

#[test]
fn paths() {
    with_arguments(|any| {
        let (dfd, newdfd, flags, word) = (any.int(), any.int(), any.int(), any.word());
        let path = any.pointer::<c_char>().cast_const();
        let newpath = any.pointer::<c_char>().cast_const();
        same!(
            Unlinkat { dfd, path, flags },
            io_uring_prep_unlinkat(dfd, path, flags)
        );
        same!(
            Mkdirat {
                dfd,
                path,
                mode: word
            },
            io_uring_prep_mkdirat(dfd, path, word)
        );
        same!(
            Renameat {
                olddfd: dfd,
                oldpath: path,
                newdfd,
                newpath,
                flags: word
            },
            io_uring_prep_renameat(dfd, path, newdfd, newpath, word)
        );
    });
}

#[test]
fn sockets() {
    with_arguments(|any| {
        let (fd, int, protocol) = (any.int(), any.int(), any.int());
        let (flags, size) = (any.word(), any.word());
        let (addr, addrlen) = (
            any.pointer::<libc::sockaddr>(),
            any.pointer::<libc::socklen_t>(),
        );
        same!(
            Socket {
                domain: fd,
                r#type: int,
                protocol,
                flags
            },
            io_uring_prep_socket(fd, int, protocol, flags)
        );
        same!(
            Bind {
                fd,
                addr,
                addrlen: size
            },
            io_uring_prep_bind(fd, addr, size)
        );
        same!(Listen { fd, backlog: int }, io_uring_prep_listen(fd, int));
        same!(
            Accept {
                fd,
                addr,
                addrlen,
                flags: int
            },
            io_uring_prep_accept(fd, addr, addrlen, int)
        );
        same!(
            AcceptMulti {
                fd,
                addr,
                addrlen,
                flags: int
            },
            io_uring_prep_multishot_accept(fd, addr, addrlen, int)
        );
        same!(
            Connect {
                fd,
                addr,
                addrlen: size
            },
            io_uring_prep_connect(fd, addr, size)
        );
        same!(Shutdown { fd, how: int }, io_uring_prep_shutdown(fd, int));
    });
}

#[test]
fn sending_and_receiving() {
    with_arguments(|any| {
        let (sockfd, flags, len, index) = (any.int(), any.int(), any.word(), any.half());
        let (buf, size) = (any.pointer::<c_void>(), len as usize);
        let zc_flags = RecvSendFlags::from_bits_retain(any.half());
        let bits = u32::from(zc_flags.bits());
        same!(
            Send {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_send(sockfd, buf, size, flags)
        );
        same!(
            Send { sockfd, buf: ptr::null(), len, flags }
                => |sqe| sqe.insert_recv_send_flags(RecvSendFlags::BUNDLE),
            io_uring_prep_send_bundle(sockfd, size, flags)
        );
        same!(
            SendZc {
                sockfd,
                buf,
                len,
                flags,
                zc_flags
            },
            io_uring_prep_send_zc(sockfd, buf, size, flags, bits)
        );
        same!(
            SendZc { sockfd, buf, len, flags, zc_flags: zc_flags | RecvSendFlags::FIXED_BUF }
                => |sqe| sqe.set_buffer_index(index),
            io_uring_prep_send_zc_fixed(sockfd, buf, size, flags, bits, u32::from(index))
        );
        same!(
            Recv {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_recv(sockfd, buf, size, flags)
        );
        same!(
            RecvMulti {
                sockfd,
                buf,
                len,
                flags
            },
            io_uring_prep_recv_multishot(sockfd, buf, size, flags)
        );
    });
}

#[test]
fn time() {
    with_arguments(|any| {
        let (count, user_data) = (any.word(), any.long());
        let flags = TimeoutFlags::from_bits_retain(any.word());
        let ts = any.pointer::<Timespec>().cast_const();
        let c_ts = ts.cast::<sys::__kernel_timespec>();
        same!(
            Timeout { ts, count, flags },
            io_uring_prep_timeout(c_ts, count, flags.bits())
        );
        same!(
            LinkTimeout { ts, flags },
            io_uring_prep_link_timeout(c_ts, flags.bits())
        );
        same!(
            TimeoutRemove { user_data, flags },
            io_uring_prep_timeout_remove(user_data, flags.bits())
        );
        same!(
            TimeoutRemove { user_data, flags: flags | TimeoutFlags::UPDATE }
                => |sqe| sqe.set_offset(ts as u64),
            io_uring_prep_timeout_update(c_ts, user_data, flags.bits())
        );
    });
}

#[test]
fn readiness() {
    with_arguments(|any| {
        let (fd, poll_mask, user_data) = (any.int(), any.word(), any.long());
        same!(
            PollAdd { fd, poll_mask },
            io_uring_prep_poll_add(fd, poll_mask)
        );
        same!(
            PollRemove { user_data },
            io_uring_prep_poll_remove(user_data)
        );
    });
}

#[test]
fn control() {
    with_arguments(|any| {
        let (fd, len, nr, data) = (any.int(), any.word(), any.word(), any.long());
        let (addr, group, number) = (any.pointer::<c_void>(), any.half(), any.half());
        let (bits, passed) = (any.word(), any.word());
        let flags = CancelFlags::from_bits_retain(bits);
        same!(
            Cancel {
                user_data: data,
                flags
            },
            io_uring_prep_cancel64(data, bits.cast_signed())
        );
        same!(
            Cancel { user_data: 0, flags: flags | CancelFlags::FD }
                => |sqe| sqe.read_write(fd, ptr::null::<c_void>(), 0, 0),
            io_uring_prep_cancel_fd(fd, bits)
        );
        let flags = MsgRingFlags::from_bits_retain(nr);
        same!(
            MsgRing {
                fd,
                len,
                data,
                flags
            },
            io_uring_prep_msg_ring(fd, len, data, nr)
        );
        same!(
            MsgRing { fd, len, data, flags: flags | MsgRingFlags::FLAGS_PASS }
                => |sqe| sqe.set_file_index(passed),
            io_uring_prep_msg_ring_cqe_flags(fd, len, data, nr, passed)
        );
        same!(
            ProvideBuffers {
                addr,
                len,
                nr,
                bgid: group,
                bid: number
            },
            io_uring_prep_provide_buffers(
                addr,
                len.cast_signed(),
                nr.cast_signed(),
                c_int::from(group),
                c_int::from(number)
            )
        );
    });
}

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

/// The entry that a C program makes by a prep function and setters.
macro_rules! c_entry {
    ($($function:ident($($argument:expr),*)),+) => {{
        let mut entry = empty();
        $(
            // SAFETY: the function writes to the entry and follows no other pointer.
            unsafe { sys::$function(&raw mut entry, $($argument),*) };
        )+
        entry
    }};
}

#[test]
fn setters() {
    with_arguments(|any| {
        let (bits, group) = (any.half().to_le_bytes()[0], any.half());
        let (user_data, personality) = (any.long(), any.half());
        let flags = SqeFlags::from_bits_retain(bits);
        let theirs = c_entry!(io_uring_prep_nop(), io_uring_sqe_set_flags(u32::from(bits)));
        let ours = entry_with(&Nop, |sqe| sqe.insert_flags(flags));
        assert_same(&ours, theirs, "io_uring_sqe_set_flags", &flags);
        assert_eq!(ours.flags(), flags);

        let select = sys::IOSQE_BUFFER_SELECT;
        let theirs = c_entry!(
            io_uring_prep_nop(),
            io_uring_sqe_set_flags(select),
            io_uring_sqe_set_buf_group(c_int::from(group))
        );
        let ours = entry_with(&Nop, |sqe| sqe.select_buffer(group));
        assert_same(&ours, theirs, "io_uring_sqe_set_buf_group", &group);

        let theirs = c_entry!(io_uring_prep_nop(), io_uring_sqe_set_data64(user_data));
        let ours = entry_with(&Nop, |sqe| sqe.set_user_data(user_data));
        assert_same(&ours, theirs, "io_uring_sqe_set_data64", &user_data);
        assert_eq!(ours.user_data(), user_data);

        let mut theirs = c_entry!(io_uring_prep_nop());
        theirs.personality = personality;
        let ours = entry_with(&Nop, |sqe| sqe.set_personality(personality));
        assert_same(&ours, theirs, "sqe->personality", &personality);
    });
}

#[test]
fn setters_add_to_what_is_there() {
    let ours = entry_with(&Nop, |sqe| {
        sqe.insert_flags(SqeFlags::IO_LINK);
        sqe.select_buffer(3);
        sqe.insert_flags(SqeFlags::ASYNC);
    });
    assert_eq!(
        ours.flags(),
        SqeFlags::IO_LINK | SqeFlags::BUFFER_SELECT | SqeFlags::ASYNC
    );

    let mut theirs = c_entry!(
        io_uring_prep_recv_multishot(4, ptr::null_mut(), 0, libc::MSG_TRUNC),
        io_uring_sqe_set_flags(sys::IOSQE_BUFFER_SELECT | sys::IOSQE_IO_LINK),
        io_uring_sqe_set_buf_group(7)
    );
    theirs.ioprio |= RecvSendFlags::POLL_FIRST.bits();
    let operation = RecvMulti {
        sockfd: 4,
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    };
    let ours = entry_with(&operation, |sqe| {
        sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
        sqe.insert_op_flags(libc::MSG_TRUNC.cast_unsigned());
        sqe.select_buffer(7);
        sqe.insert_flags(SqeFlags::IO_LINK);
    });
    assert_same(&ours, theirs, "io_uring_prep_recv_multishot", &operation);

    let mut theirs = c_entry!(io_uring_prep_multishot_accept_direct(
        5,
        ptr::null_mut(),
        ptr::null_mut(),
        libc::SOCK_NONBLOCK
    ));
    theirs.ioprio |= AcceptFlags::POLL_FIRST.bits();
    let operation = AcceptMulti {
        fd: 5,
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags: 0,
    };
    let ours = entry_with(&operation, |sqe| {
        sqe.insert_accept_flags(AcceptFlags::POLL_FIRST);
        sqe.insert_op_flags(libc::SOCK_NONBLOCK.cast_unsigned());
        sqe.set_target(FileSlot::Allocate);
    });
    assert_same(
        &ours,
        theirs,
        "io_uring_prep_multishot_accept_direct",
        &operation,
    );
}

#[test]
fn c_entries_and_ours_are_the_same_thing() {
    with_arguments(|any| {
        let (fd, ptr, len, offset) = (any.int(), any.pointer(), any.word(), any.long());
        let ours = Sqe::of(&Read {
            fd,
            ptr,
            len,
            offset,
        });
        let theirs = c_entry!(io_uring_prep_read(fd, ptr, len, offset));
        // SAFETY: the entry was zeroed as a whole before it was prepared.
        assert_eq!(unsafe { Sqe::from_raw(theirs) }, ours);
        let raw = ours.as_raw();
        assert_eq!((raw.opcode, raw.fd, raw.len), (ours.opcode().0, fd, len));
    });
}
