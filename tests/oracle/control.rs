//! Nothing, time, readiness, cancellation, messages, buffers, futexes, processes, commands.

use std::ffi::{c_int, c_void};
use std::fmt::Debug;

use lio_uring::operation::{
    Cancel, CancelFd, CancelFlags, CmdDiscard, EpollCtl, EpollWait, FutexWait, FutexWaiter,
    FutexWaitv, FutexWake, LargeOperation, LinkTimeout, MsgRing, MsgRingCqeFlags, MsgRingFlags,
    Nop, Nop128, NopFlags, NopWith, PollAdd, PollFlags, PollMulti, PollRemove, PollUpdate,
    ProvideBuffers, RemoveBuffers, Timeout, TimeoutFlags, TimeoutRemove, TimeoutUpdate, Timespec,
    UringCmd, UringCmd128, UringCmdLarge, Waitid,
};
use lio_uring::{LargeSqe, Sqe, sys};

use crate::{Arguments, assert_same, empty, entry_with, with_arguments};

#[test]
fn nop() {
    same!(Nop, io_uring_prep_nop());
}

#[test]
fn nop_with_a_result() {
    with_arguments(|any| {
        let operation = NopWith {
            flags: NopFlags::from_bits_retain(any.word()),
            result: any.int(),
            extra: [any.long(), any.long()],
        };
        // The fields are those that the kernel reads; liburing leaves them to its users.
        let mut theirs = empty();
        // SAFETY: the function writes to the entry and follows no other pointer.
        unsafe { sys::io_uring_prep_nop(&raw mut theirs) };
        theirs.len = operation.result.cast_unsigned();
        theirs.__bindgen_anon_1.off = operation.extra[0];
        theirs.__bindgen_anon_2.addr = operation.extra[1];
        theirs.__bindgen_anon_3.nop_flags = operation.flags.bits();
        let ours = entry_with(&operation, |_| ());
        assert_same(&ours, theirs, "io_uring_prep_nop", &operation);
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
        same!(
            TimeoutUpdate {
                ts,
                user_data,
                flags
            },
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
        same!(
            PollMulti { fd, poll_mask },
            io_uring_prep_poll_multishot(fd, poll_mask)
        );
        let (new_user_data, flags) = (any.long(), PollFlags::from_bits_retain(any.word()));
        same!(
            PollUpdate {
                old_user_data: user_data,
                new_user_data,
                poll_mask,
                flags
            },
            io_uring_prep_poll_update(user_data, new_user_data, poll_mask, flags.bits())
        );
        let (events, op) = (any.pointer::<libc::epoll_event>(), any.int());
        let other = any.int();
        same!(
            EpollCtl {
                epfd: fd,
                fd: other,
                op,
                ev: events
            },
            io_uring_prep_epoll_ctl(fd, other, op, events)
        );
        same!(
            EpollWait {
                fd,
                events,
                maxevents: op,
                flags: poll_mask
            },
            io_uring_prep_epoll_wait(fd, events, op, poll_mask)
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
            Cancel {
                user_data: addr as u64,
                flags
            },
            io_uring_prep_cancel(addr, bits.cast_signed())
        );
        same!(CancelFd { fd, flags }, io_uring_prep_cancel_fd(fd, bits));
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
            MsgRingCqeFlags {
                fd,
                len,
                data,
                flags,
                cqe_flags: passed
            },
            io_uring_prep_msg_ring_cqe_flags(fd, len, data, nr, passed)
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
        same!(
            RemoveBuffers { nr, bgid: group },
            io_uring_prep_remove_buffers(nr.cast_signed(), c_int::from(group))
        );
    });
}

#[test]
fn futexes() {
    with_arguments(|any| {
        let (futex, val, mask) = (any.pointer::<u32>(), any.long(), any.long());
        let (futex_flags, flags, nr_futex) = (any.word(), any.word(), any.word());
        same!(
            FutexWait {
                futex,
                val,
                mask,
                futex_flags,
                flags
            },
            io_uring_prep_futex_wait(futex, val, mask, futex_flags, flags)
        );
        same!(
            FutexWake {
                futex,
                val,
                mask,
                futex_flags,
                flags
            },
            io_uring_prep_futex_wake(futex, val, mask, futex_flags, flags)
        );
        let futexes = any.pointer::<FutexWaiter>().cast_const();
        same!(
            FutexWaitv {
                futex: futexes,
                nr_futex,
                flags
            },
            io_uring_prep_futex_waitv(futexes.cast(), nr_futex, flags)
        );
    });
}

#[test]
fn processes() {
    with_arguments(|any| {
        let (idtype, id, options, flags) = (any.word(), any.word(), any.int(), any.word());
        let infop = any.pointer::<libc::siginfo_t>();
        same!(
            Waitid {
                idtype,
                id,
                infop,
                options,
                flags
            },
            io_uring_prep_waitid(idtype, id, infop, options, flags)
        );
    });
}

#[test]
fn commands_of_drivers() {
    with_arguments(|any| {
        let (op, fd, cmd) = (any.int(), any.int(), bytes::<16>(any));
        let operation = UringCmd {
            cmd_op: op.cast_unsigned(),
            fd,
            cmd,
        };
        let mut theirs = empty();
        // SAFETY: the function writes to the entry and follows no other pointer.
        unsafe { sys::io_uring_prep_uring_cmd(&raw mut theirs, op, fd) };
        // SAFETY: an entry is 64 bytes of integers without padding.
        let theirs: &mut [u8; 64] = unsafe { &mut *(&raw mut theirs).cast() };
        theirs[48..].copy_from_slice(&cmd);
        assert_eq!(Sqe::of(&operation).as_bytes(), theirs, "{operation:x?}");

        let (offset, nbytes) = (any.long(), any.long());
        same!(
            CmdDiscard { fd, offset, nbytes },
            io_uring_prep_cmd_discard(fd, offset, nbytes)
        );
    });
}

fn bytes<const N: usize>(any: &mut Arguments) -> [u8; N] {
    std::array::from_fn(|_| any.half().to_le_bytes()[0])
}

/// The 128 bytes that C writes for a command, or for nothing.
fn in_c(
    prepare: unsafe extern "C" fn(*mut sys::io_uring_sqe, c_int, c_int),
    op: c_int,
    fd: c_int,
    cmd: &[u8; 80],
) -> [u8; 128] {
    let mut entry = empty();
    // SAFETY: the function writes to the entry and follows no other pointer.
    unsafe { prepare(&raw mut entry, op, fd) };
    // SAFETY: an entry is 64 bytes of integers without padding.
    let entry: &[u8; 64] = unsafe { &*(&raw const entry).cast() };
    let mut bytes = [0; 128];
    bytes[..64].copy_from_slice(entry);
    bytes[48..].copy_from_slice(cmd);
    bytes
}

fn large<O: LargeOperation + Debug>(operation: &O) -> [u8; 128] {
    let mut entry = empty();
    entry.opcode = O::OPCODE.0;
    // SAFETY: the entry was zeroed as a whole.
    let mut sqe = LargeSqe::from(unsafe { Sqe::from_raw(entry) });
    operation.prepare(&mut sqe);
    let mut bytes = [0; 128];
    bytes[..64].copy_from_slice(sqe.entry.as_bytes());
    bytes[64..].copy_from_slice(&sqe.data);
    bytes
}

#[test]
fn large_entries() {
    with_arguments(|any| {
        let (op, fd, cmd) = (any.int(), any.int(), bytes::<80>(any));
        let cmd_op = op.cast_unsigned();
        assert_eq!(
            large(&UringCmdLarge { cmd_op, fd, cmd }),
            in_c(sys::io_uring_prep_uring_cmd, op, fd, &cmd)
        );
        assert_eq!(
            large(&UringCmd128 { cmd_op, fd, cmd }),
            in_c(sys::io_uring_prep_uring_cmd128, op, fd, &cmd)
        );
    });
    let mut theirs = empty();
    // SAFETY: the function writes to the entry and follows no other pointer.
    unsafe { sys::io_uring_prep_nop128(&raw mut theirs) };
    let ours = large(&Nop128);
    let ordinary: &[u8; 64] = ours.first_chunk().expect("64 bytes are there");
    // SAFETY: an entry is 64 bytes of integers without padding.
    let theirs: &[u8; 64] = unsafe { &*(&raw const theirs).cast() };
    assert_eq!(ordinary, theirs);
    assert_eq!(ours[64..], [0; 64]);
}
