//! Nothing, time, readiness, cancellation, messages, buffers.

use std::ffi::{c_int, c_void};
use std::ptr;

use lio_uring::operation::{
    Cancel, CancelFlags, LinkTimeout, MsgRing, MsgRingFlags, Nop, PollAdd, PollRemove,
    ProvideBuffers, Timeout, TimeoutFlags, TimeoutRemove, Timespec,
};
use lio_uring::sys;

use crate::with_arguments;

#[test]
fn nop() {
    same!(Nop, io_uring_prep_nop());
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
