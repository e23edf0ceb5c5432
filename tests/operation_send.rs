//! Sending: what arrives, how much of it, and when the memory is free again.

#![cfg(target_os = "linux")]

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{Cancel, CancelFlags, Nop, OpCode, ProvideBuffers, Send, SendZc};
use lio_uring::{Completion, CompletionQueue, RecvSendFlags, SqeFlags, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/zero_copy.rs"]
mod zero_copy;

use rings::{CANCEL, PENDING, cancel, next, run, submit_pending, wait};
use sockets::{assert_empty, bytes, count, fill, take, tcp};
use zero_copy::both;

/// More than the buffers of a socket hold.
const LARGE: usize = 16 << 20;

fn send_of(socket: &impl AsRawFd, data: &[u8], flags: i32) -> Send {
    Send {
        sockfd: socket.as_raw_fd(),
        buf: data.as_ptr().cast(),
        len: data.len().try_into().expect("a small buffer"),
        flags,
    }
}

/// Sends, and waits for the completion.
#[track_caller]
fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    data: &[u8],
    flags: i32,
) -> Completion {
    // SAFETY: data and socket are borrowed until the completion has been taken.
    unsafe { run(cq, sq, &send_of(socket, data, flags), |_| ()) }
}

#[test]
fn send_arrives_on_every_kind_of_socket() {
    each_ring!(|cq, sq| {
        let data = bytes(3000);
        let (here, mut there) = UnixStream::pair().unwrap();
        assert_eq!(count(send(cq, sq, &here, &data, 0)), 3000);
        assert_eq!(take(&mut there, 3000), data);
        let (here, mut there) = tcp();
        assert_eq!(count(send(cq, sq, &here, &data, 0)), 3000);
        assert_eq!(take(&mut there, 3000), data);
        let (here, there) = UnixDatagram::pair().unwrap();
        for n in [3000, 0, 1] {
            assert_eq!(count(send(cq, sq, &here, &data[..n], 0)), n);
            let mut buffer = [0; 4000];
            assert_eq!(there.recv(&mut buffer).unwrap(), n);
            assert_eq!(buffer[..n], data[..n]);
        }
    });
}

#[test]
fn send_of_more_than_there_is_room_for_is_short_and_no_failure() {
    let data = bytes(LARGE);
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let operation = send_of(&here, &data, 0);
        // SAFETY: data and socket stay until the completion has been taken.
        unsafe { sq.push_with_flags(&operation, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 2) }.unwrap();
        let done = wait(cq, sq, 2);
        let sent = count(done[0]);
        assert!(0 < sent && sent < LARGE, "{sent}");
        assert_eq!(done[1].result().unwrap(), 0, "the chain goes on");
        assert!(take(&mut there, sent) == data[..sent]);
        assert_empty(&there);
    });
}

#[test]
fn send_of_everything_waits_until_it_is_sent() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let data = bytes(LARGE);
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        thread::scope(|scope| {
            let reader = scope.spawn(|| take(&mut there, LARGE));
            let done = send(cq, sq, &here, &data, libc::MSG_WAITALL);
            assert_eq!(count(done), LARGE);
            assert!(reader.join().unwrap() == data);
        });
    });
}

#[test]
fn send_of_everything_cancelled_says_how_much_was_sent_and_fails_its_chain() {
    // The result says so since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    let data = bytes(LARGE);
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let operation = send_of(&here, &data, libc::MSG_WAITALL);
        // SAFETY: data and socket stay until the completion has been taken.
        unsafe { sq.push_with_flags(&operation, PENDING, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 3) }.unwrap();
        submit_pending(cq, sq);
        let cancel = Cancel {
            user_data: PENDING,
            flags: CancelFlags::empty(),
        };
        // SAFETY: a cancellation points to nothing.
        unsafe { sq.push(&cancel, CANCEL) }.unwrap();
        let mut done = wait(cq, sq, 3);
        done.sort_by_key(Completion::user_data);
        let sent = count(done[0]);
        assert!(0 < sent && sent < LARGE, "{sent}");
        assert_eq!(done[1].raw_result(), -libc::ECANCELED, "the chain ends");
        assert_eq!(done[2].result().unwrap(), 0);
        assert!(take(&mut there, sent) == data[..sent]);
        assert_empty(&there);
    });
}

#[test]
fn send_that_may_not_wait_gives_eagain() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let done = send(cq, sq, &here, b"never", libc::MSG_DONTWAIT);
        assert_eq!(done.raw_result(), -libc::EAGAIN);
        take(&mut there, filled);
        assert_empty(&there);
    });
}

#[test]
fn send_waits_for_room() {
    each_ring!(|cq, sq| {
        for nonblocking in [false, true] {
            let (here, mut there) = UnixStream::pair().unwrap();
            here.set_nonblocking(nonblocking).unwrap();
            // The kernel waits for descriptors that do not since Linux 5.15.
            if nonblocking && !needs::knows(OpCode::MKDIRAT) {
                continue;
            }
            let filled = fill(&here);
            let data = *b"late";
            // SAFETY: data and socket stay until the completion has been taken.
            unsafe { sq.push(&send_of(&here, &data, 0), PENDING) }.unwrap();
            submit_pending(cq, sq);
            take(&mut there, filled);
            assert_eq!(count(next(cq)), 4);
            assert_eq!(take(&mut there, 4), b"late");
        }
    });
}

#[test]
fn send_that_polls_first_is_sent() {
    // Since Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let data = *b"polled";
        let send = send_of(&here, &data, 0);
        // SAFETY: data and socket stay until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &send, |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
            })
        };
        assert_eq!(count(done), 6);
        assert_eq!(take(&mut there, 6), b"polled");
    });
}

#[test]
fn send_cancelled_has_sent_nothing() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let data = *b"never";
        // SAFETY: data and socket stay until the completion has been taken.
        unsafe { sq.push(&send_of(&here, &data, 0), PENDING) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(cancel(cq, sq).raw_result(), -libc::ECANCELED);
        take(&mut there, filled);
        assert_empty(&there);
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn send_to_a_peer_that_is_gone_gives_epipe_and_no_signal() {
    // Since Linux 5.12; MKDIRAT came with 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    // Rust programs ignore the signal. Blocked, it would be kept all the same.
    let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is valid for writes.
    unsafe { libc::sigemptyset(pipe.as_mut_ptr()) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE) };
    // SAFETY: the set is initialised; the old mask is not wanted.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), ptr::null_mut()) };
    assert_eq!(result, 0);
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let done = send(cq, sq, &here, b"never", 0);
        assert_eq!(done.raw_result(), -libc::EPIPE);
        let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is valid for writes.
        assert_eq!(unsafe { libc::sigpending(pending.as_mut_ptr()) }, 0);
        // SAFETY: the set is initialised.
        let signalled = unsafe { libc::sigismember(pending.as_ptr(), libc::SIGPIPE) };
        assert_eq!(signalled, 0);
    });
}

#[test]
fn send_on_what_cannot_gives_the_errors_of_the_call() {
    each_ring!(|cq, sq| {
        let (_reader, writer) = io::pipe().unwrap();
        let done = send(cq, sq, &writer, b"x", 0);
        assert_eq!(done.raw_result(), -libc::ENOTSOCK);
        assert_eq!(send(cq, sq, &-1, b"x", 0).raw_result(), -libc::EBADF);
        let alone = UnixDatagram::unbound().unwrap();
        let done = send(cq, sq, &alone, b"x", 0);
        assert_eq!(done.raw_result(), -libc::ENOTCONN);
        let (here, there) = UnixStream::pair().unwrap();
        let nowhere = Send {
            buf: ptr::without_provenance(1),
            ..send_of(&here, b"12345678", 0)
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
        assert_empty(&there);
    });
}

#[test]
fn send_from_a_registered_buffer_is_for_zero_copy_alone() {
    // The flag came with Linux 6.0.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = tcp();
        let data = *b"never";
        let send = send_of(&here, &data, 0);
        // SAFETY: data and socket stay until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &send, |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::FIXED_BUF);
            })
        };
        // Since Linux 7.2 the kernel looks for the buffer, which is not registered.
        let refused = if kernel::older_than(7, 2) {
            libc::EINVAL
        } else {
            libc::EFAULT
        };
        assert_eq!(done.raw_result(), -refused);
        assert_empty(&there);
    });
}

#[test]
fn send_from_a_buffer_group_sends_a_buffer_each_until_there_is_none() {
    // Sends take buffers since Linux 6.10.
    if !needs::operations(&[OpCode::BIND]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut memory = *b"firstsecnd";
        let provide = ProvideBuffers {
            addr: memory.as_mut_ptr().cast(),
            len: 5,
            nr: 2,
            bgid: 3,
            bid: 7,
        };
        // SAFETY: the memory is left alone until both buffers have been sent.
        unsafe { run(cq, sq, &provide, |_| ()) }.result().unwrap();
        let select = Send {
            sockfd: here.as_raw_fd(),
            buf: ptr::null(),
            len: 0,
            flags: 0,
        };
        let mut used = Vec::new();
        for _ in 0..2 {
            // SAFETY: the buffers of the group are valid, and the socket stays.
            let done = unsafe { run(cq, sq, &select, |sqe| sqe.select_buffer(3)) };
            assert_eq!(count(done), 5);
            let id = done.buffer_id().expect("a buffer");
            let wanted = if id == 7 { b"first" } else { b"secnd" };
            assert_eq!(take(&mut there, 5), wanted);
            used.push(id);
        }
        used.sort_unstable();
        assert_eq!(used, [7, 8]);
        // SAFETY: as above.
        let done = unsafe { run(cq, sq, &select, |sqe| sqe.select_buffer(3)) };
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
        assert_eq!(&memory, b"firstsecnd");
    });
}

#[test]
fn send_of_several_buffers_sends_them_in_order_or_is_refused() {
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let buffers = [&b"one"[..], b"", b"three"].map(IoSlice::new);
        let several = Send {
            sockfd: here.as_raw_fd(),
            buf: buffers.as_ptr().cast(),
            len: 3,
            flags: 0,
        };
        // SAFETY: an `IoSlice` has the layout of `iovec`. The array of them, what it names and the
        // socket stay until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &several, |sqe| {
                sqe.insert_recv_send_flags(RecvSendFlags::SEND_VECTORIZED);
            })
        };
        // Since Linux 6.17, and no operation came with it.
        if done.raw_result() == -libc::EINVAL {
            println!("the kernel refuses several buffers");
            assert_empty(&there);
        } else {
            assert_eq!(count(done), 8);
            assert_eq!(take(&mut there, 8), b"onethree");
        }
    });
}

fn zc_of(socket: &impl AsRawFd, data: &[u8], zc_flags: RecvSendFlags) -> SendZc {
    SendZc {
        sockfd: socket.as_raw_fd(),
        buf: data.as_ptr().cast(),
        len: data.len().try_into().expect("a small buffer"),
        flags: 0,
        zc_flags,
    }
}

/// Sends without a copy, and waits for all completions.
#[track_caller]
fn send_zc<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    data: &[u8],
    zc_flags: RecvSendFlags,
) -> (Completion, Option<Completion>) {
    // SAFETY: data and socket are borrowed until the last completion has been taken.
    unsafe { sq.push(&zc_of(socket, data, zc_flags), 7) }.expect("room");
    sq.submit().expect("a submission");
    both(cq)
}

#[test]
fn send_zc_gives_a_result_and_then_a_notification() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        for n in [1, 4096, 100_000] {
            let data = bytes(n);
            thread::scope(|scope| {
                let reader = scope.spawn(|| take(&mut there, n));
                let (result, notification) = send_zc(cq, sq, &here, &data, RecvSendFlags::empty());
                let sent = count(result);
                assert!(0 < sent && sent <= n);
                assert_eq!(notification.expect("a notification").raw_result(), 0);
                // A stream may take less, and the rest is sent in the ordinary way.
                (&here).write_all(&data[sent..]).unwrap();
                assert!(reader.join().unwrap() == data);
            });
        }
        assert_eq!(cq.try_next().unwrap(), None);
    });
}

#[test]
fn send_zc_over_the_loopback_device_reports_that_it_has_copied() {
    // The flag came with Linux 6.2.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let data = bytes(5000);
        let report = RecvSendFlags::SEND_ZC_REPORT_USAGE;
        let (result, notification) = send_zc(cq, sq, &here, &data, report);
        let sent = count(result);
        let notification = notification.expect("a notification");
        assert_eq!(notification.raw_result(), i32::MIN);
        assert_eq!(take(&mut there, sent), data[..sent]);
    });
}

#[test]
fn send_zc_where_the_protocol_cannot_gives_eopnotsupp() {
    // AF_UNIX refuses since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        let (result, _) = send_zc(cq, sq, &here, b"never", RecvSendFlags::empty());
        assert_eq!(result.raw_result(), -libc::EOPNOTSUPP);
        assert_empty(&there);
    });
}

#[test]
fn send_zc_on_what_cannot_gives_the_errors_of_the_call() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let none = RecvSendFlags::empty();
        let (_reader, writer) = io::pipe().unwrap();
        for (fd, errno) in [(writer.as_raw_fd(), libc::ENOTSOCK), (-1, libc::EBADF)] {
            let (result, _) = send_zc(cq, sq, &fd, b"never", none);
            assert_eq!(result.raw_result(), -errno);
        }
        let (here, there) = tcp();
        here.shutdown(std::net::Shutdown::Write).unwrap();
        let (result, _) = send_zc(cq, sq, &here, b"never", none);
        assert_eq!(result.raw_result(), -libc::EPIPE);
        drop(there);
    });
}

#[test]
fn send_zc_without_a_completion_for_success_gives_einval() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = tcp();
        let data = *b"never";
        let send = zc_of(&here, &data, RecvSendFlags::empty());
        // SAFETY: data and socket stay until the last completion has been taken.
        unsafe { sq.push_with_flags(&send, 7, SqeFlags::CQE_SKIP_SUCCESS) }.unwrap();
        sq.submit().unwrap();
        let (result, notification) = both(cq);
        assert_eq!((result.raw_result(), notification), (-libc::EINVAL, None));
        assert_empty(&there);
    });
}

/// Sends from a registered buffer, and waits for all completions.
///
/// # Safety
///
/// The memory is valid for reads if the kernel takes it for a part of a registered buffer.
#[track_caller]
unsafe fn send_fixed<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    sockfd: RawFd,
    (buf, len): (*const u8, u32),
    index: u16,
) -> Completion {
    let send = SendZc {
        sockfd,
        buf: buf.cast(),
        len,
        flags: 0,
        zc_flags: RecvSendFlags::FIXED_BUF,
    };
    // SAFETY: the caller's promise, until the last completion has been taken.
    unsafe { sq.push_with(&send, 7, |sqe| sqe.set_buffer_index(index)) }.expect("room");
    sq.submit().expect("a submission");
    both(cq).0
}

#[test]
fn send_zc_from_a_registered_buffer_sends_its_bytes() {
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let (mut a, mut b) = (bytes(4096), bytes(4096));
        b.reverse();
        let starts = [a.as_ptr(), b.as_ptr()];
        let slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        // SAFETY: the memory stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&slices) }.unwrap();
        let fd = here.as_raw_fd();
        for (index, from, n) in [(0, 0, 4096), (1, 1000, 500), (1, 0, 4096)] {
            let part = (starts[usize::from(index)].wrapping_add(from), n);
            // SAFETY: the part lies in the buffer with this index.
            let sent = count(unsafe { send_fixed(cq, sq, fd, part, index) });
            assert_eq!(sent, n as usize);
            let whole = if index == 0 {
                bytes(4096)
            } else {
                bytes(4096).into_iter().rev().collect()
            };
            assert_eq!(take(&mut there, sent), whole[from..from + sent]);
        }
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn send_zc_outside_the_registered_buffer_or_without_one_gives_efault() {
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
            ("across its end", 47, 2, 0),
            ("behind it", 48, 8, 0),
            ("the next index", 16, 8, 1),
        ] {
            let part = (start.wrapping_add(from), n);
            // SAFETY: all of it lies in the memory.
            let done = unsafe { send_fixed(cq, sq, here.as_raw_fd(), part, index) };
            assert_eq!(done.raw_result(), -libc::EFAULT, "{what}");
        }
        sq.unregister_buffers().unwrap();
        assert_empty(&there);
    });
}

#[test]
fn send_zc_cancelled_has_sent_nothing() {
    static DATA: [u8; 5] = *b"never";
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let send = zc_of(&here, &DATA, RecvSendFlags::empty());
        // The other end acknowledges when it likes, and so can make room at any time.
        let (mut filled, mut notifications) = (0, 0);
        loop {
            filled += fill(&here);
            // SAFETY: the data is valid for ever, and the socket stays.
            unsafe { sq.push(&send, PENDING) }.unwrap();
            let cancel = Cancel {
                user_data: PENDING,
                flags: CancelFlags::empty(),
            };
            // SAFETY: a cancellation points to nothing.
            unsafe { sq.push(&cancel, CANCEL) }.unwrap();
            sq.submit().unwrap();
            let mut seen = 0;
            let mut first = None;
            while seen < 2 {
                let done = next(cq);
                if done.is_notification() {
                    notifications -= 1;
                    continue;
                }
                seen += 1;
                if done.user_data() == PENDING {
                    notifications += i32::from(done.more());
                    first = Some(done);
                }
            }
            match first.expect("a result").result() {
                Ok(n) => filled += usize::try_from(n).unwrap(),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
                    break;
                }
            }
        }
        take(&mut there, filled);
        for _ in 0..notifications {
            assert!(next(cq).is_notification());
        }
        drop(here);
        assert_eq!(there.read(&mut [0]).unwrap(), 0, "it was sent after all");
    });
}
