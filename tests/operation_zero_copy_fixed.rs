//! Sending from registered buffers without a copy.

#![cfg(target_os = "linux")]

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use lio_uring::RecvSendFlags;
use lio_uring::operation::{OpCode, SendZcFixed, SendmsgZcFixed};

#[path = "support/messages.rs"]
mod messages;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/zero_copy.rs"]
mod zero_copy;

use messages::{message, part};
use sockets::{assert_empty, bytes, count, take, tcp};
use zero_copy::{assert_cancelled_sends_nothing, run_zc};

fn fixed_of(socket: &impl AsRawFd, buf: *const u8, len: u32, buf_index: u16) -> SendZcFixed {
    SendZcFixed {
        sockfd: socket.as_raw_fd(),
        buf: buf.cast(),
        len,
        flags: 0,
        zc_flags: RecvSendFlags::empty(),
        buf_index,
    }
}

#[test]
fn send_zc_fixed_sends_parts_of_registered_buffers() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let (mut a, mut b) = (bytes(4096), vec![b'b'; 100]);
        let starts = [a.as_ptr(), b.as_ptr()];
        let slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        // SAFETY: the memory stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&slices) }.unwrap();
        for (buf_index, from, n) in [(0, 0, 4096), (0, 4000, 96), (1, 0, 100), (1, 50, 1)] {
            let index = usize::from(buf_index);
            let fixed = fixed_of(&here, starts[index].wrapping_add(from), n, buf_index);
            // SAFETY: the data is part of the buffer with this index, and the socket stays.
            let (result, notification) = unsafe { run_zc(cq, sq, &fixed, |_| ()) };
            assert_eq!(result.result().unwrap().cast_unsigned(), n);
            assert_eq!(notification.expect("a notification").raw_result(), 0);
            let n = n as usize;
            let wanted = [bytes(4096), vec![b'b'; 100]][index][from..from + n].to_vec();
            assert!(take(&mut there, n) == wanted);
        }
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn send_zc_fixed_outside_the_registered_buffer_or_without_one_gives_efault() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = tcp();
        let mut memory = bytes(64);
        let start = memory.as_ptr();
        let inner = IoSliceMut::new(&mut memory[16..48]);
        // SAFETY: the memory stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&[inner]) }.unwrap();
        for (what, from, n, index) in [
            ("before it", 8, 8, 0),
            ("across its start", 15, 2, 0),
            ("across its end", 47, 2, 0),
            ("behind it", 48, 8, 0),
            ("the next index", 16, 8, 1),
        ] {
            let fixed = fixed_of(&here, start.wrapping_add(from), n, index);
            // SAFETY: all of it lies in the memory, and the socket stays.
            let (result, _) = unsafe { run_zc(cq, sq, &fixed, |_| ()) };
            assert_eq!(result.raw_result(), -libc::EFAULT, "{what}");
        }
        sq.unregister_buffers().unwrap();
        assert_empty(&there);
    });
}

#[test]
fn sendmsg_zc_fixed_sends_parts_of_a_registered_buffer() {
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let mut data = bytes(4096);
        let parts = [
            part(&data[1000..1500]),
            part(&data[4000..]),
            part(&data[..7]),
        ];
        let outside = [part(b"it is not in there")];
        let (inside, outside) = (message(&parts), message(&outside));
        // SAFETY: the memory stays, and nothing writes it, until the buffer is unregistered.
        unsafe { sq.register_buffers(&[IoSliceMut::new(&mut data)]) }.unwrap();
        // It came with Linux 6.15, as READV_FIXED did.
        let known = needs::knows(OpCode::READV_FIXED);
        let errors = [(&outside, 0, libc::EFAULT), (&inside, 1, libc::EFAULT)];
        for (msg, buf_index, errno) in [(&inside, 0, 0)].into_iter().chain(errors) {
            let fixed = SendmsgZcFixed {
                fd: here.as_raw_fd(),
                msg,
                flags: 0,
                buf_index,
            };
            // SAFETY: all of the message and the socket stay until the last completion has been
            // taken.
            let (result, notification) = unsafe { run_zc(cq, sq, &fixed, |_| ()) };
            if !known {
                // Some kernels look for the buffer first.
                let missing = buf_index == 1 && result.raw_result() == -libc::EFAULT;
                assert!(missing || result.raw_result() == -libc::EINVAL);
            } else if errno != 0 {
                assert_eq!(result.raw_result(), -errno);
            } else {
                assert_eq!(count(result), 500 + 96 + 7);
                assert!(notification.is_some());
                let all = bytes(4096);
                let wanted = [&all[1000..1500], &all[4000..], &all[..7]].concat();
                assert!(take(&mut there, 603) == wanted);
            }
        }
        sq.unregister_buffers().unwrap();
        assert_empty(&there);
    });
}

#[test]
fn send_zc_fixed_over_the_loopback_device_reports_that_it_has_copied() {
    // The flag came with Linux 6.2.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let mut data = bytes(4096);
        let start = data.as_ptr();
        // SAFETY: the memory stays, and nothing writes it, until the buffer is unregistered.
        unsafe { sq.register_buffers(&[IoSliceMut::new(&mut data)]) }.unwrap();
        let fixed = SendZcFixed {
            zc_flags: RecvSendFlags::SEND_ZC_REPORT_USAGE,
            ..fixed_of(&here, start, 4096, 0)
        };
        // SAFETY: the data and the socket stay until the last completion has been taken.
        let (result, notification) = unsafe { run_zc(cq, sq, &fixed, |_| ()) };
        assert_eq!(count(result), 4096);
        assert_eq!(notification.expect("a notification").raw_result(), i32::MIN);
        assert!(take(&mut there, 4096) == bytes(4096));
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn send_zc_fixed_cancelled_has_sent_nothing() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        // It is never freed, for the kernel may use it as long as the test runs.
        let data = Vec::leak(b"never".to_vec());
        let pair = tcp();
        let fixed = fixed_of(&pair.0, data.as_ptr(), 5, 0);
        // SAFETY: the memory is valid for ever, and nothing writes it.
        unsafe { sq.register_buffers(&[IoSliceMut::new(data)]) }.unwrap();
        // SAFETY: as above.
        unsafe { assert_cancelled_sends_nothing(cq, sq, pair, &fixed) };
    });
}
