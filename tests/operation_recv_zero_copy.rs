//! Receiving without copies, from real connections and without a network device.
#![cfg(target_os = "linux")]

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/ordinary_user.rs"]
mod ordinary_user;
#[path = "support/receivers.rs"]
mod receivers;

use std::io::Write as _;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use lio_uring::operation::RecvZc;
use lio_uring::{IoUring, IoUringParams, Received};
use receivers::{
    CANCEL, PAGE, RECV, await_unread, cancel, connection, next, params, pattern, push, receive_all,
    receive_with, receiver, registered, ring, ring_with, send,
};

const MIB: usize = 1 << 20;

#[test]
fn megabytes_come_in_order_through_memory_that_is_used_again() {
    // Queues shorter and longer than the memory.
    for (pages, entries) in [(64, 16), (16, 64), (128, 128), (1, 1)] {
        let Some((mut ring, receive)) = receiver(pages, entries) else {
            return;
        };
        let (here, there) = connection();
        let len = if pages == 1 { MIB / 8 } else { 4 * MIB };
        let sender = send(there, len);
        let (received, _) = receive_all(&mut ring, &receive, &here);
        assert_eq!(received, len);
        sender.join().expect("it has sent all");
    }
}

#[test]
fn rings_of_mixed_completions_receive_too() {
    let Some(mut ring) = ring_with((6, 18), IoUringParams::cqe_mixed) else {
        return;
    };
    let made = ring.submission().register_zero_copy_receive(params(64, 64));
    let Some(receive) = registered(made) else {
        return;
    };
    let (here, there) = connection();
    let sender = send(there, MIB);
    assert_eq!(receive_all(&mut ring, &receive, &here).0, MIB);
    sender.join().expect("it has sent all");
}

#[test]
fn length_limits_what_is_received() {
    let Some((mut ring, receive)) = receiver(8, 8) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 3000)).unwrap();
    for (start, len) in [(0, 1000), (1000, 1), (1001, 1999)] {
        push(&mut ring, receive.id(), here.as_raw_fd(), len);
        let mut got = Vec::new();
        while let completion = next(&mut ring)
            && completion.more()
        {
            // SAFETY: the completion is of this receive, and taken once.
            let data = unsafe { receive.area().take(&completion) }.unwrap();
            assert!(data.offset() + u64::from(data.len()) <= receive.area().len());
            got.extend_from_slice(data.bytes());
            receive.give_back(data).unwrap();
        }
        assert_eq!(got, pattern(start, len.try_into().unwrap()));
    }
}

#[test]
fn end_of_the_stream_is_the_last_completion() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(b"last words").unwrap();
    there.shutdown(Shutdown::Write).unwrap();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let completion = next(&mut ring);
    // SAFETY: the completion is of this receive, and taken once.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    assert_eq!(data.bytes(), b"last words");
    let end = next(&mut ring);
    assert_eq!((end.raw_result(), end.more()), (0, false));
    // SAFETY: as above.
    assert!(unsafe { receive.area().take(&end) }.is_none());
    // Nothing more comes of a stream that has ended.
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    assert_eq!(next(&mut ring).raw_result(), 0);
}

#[test]
fn memory_that_is_not_given_back_runs_out() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 16 * PAGE)).unwrap();
    await_unread(&here, 5 * PAGE);
    let mut held: Vec<Received<'_>> = Vec::new();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let last = loop {
        let completion = next(&mut ring);
        // SAFETY: the completion is of this receive, and taken once.
        match unsafe { receive.area().take(&completion) } {
            Some(data) => held.push(data),
            None => break completion,
        }
    };
    assert_eq!((last.raw_result(), last.more()), (-libc::ENOMEM, false));
    assert_eq!(held.len(), 4);
    // No two share a page, and all keep what they hold.
    let mut pages: Vec<_> = held.iter().map(|data| data.offset() / 4096).collect();
    pages.sort_unstable();
    assert_eq!(pages, [0, 1, 2, 3]);
    let bytes: Vec<u8> = held.iter().flat_map(Received::bytes).copied().collect();
    assert_eq!(bytes, pattern(0, bytes.len()));

    // A piece that is dropped is lost.
    held.truncate(3);
    for data in held {
        receive.give_back(data).unwrap();
    }
    assert_eq!(receive.waiting(), 3);
    receive.flush().unwrap();
    assert_eq!(receive.waiting(), 0);
    let mut position = bytes.len();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    for _ in 0..3 {
        let completion = next(&mut ring);
        // SAFETY: the completion is of this receive, and taken once.
        let data = unsafe { receive.area().take(&completion) }.unwrap();
        assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
        position += data.bytes().len();
    }
    assert_eq!(next(&mut ring).raw_result(), -libc::ENOMEM);
}

#[test]
fn receive_that_runs_out_of_memory_while_it_waits_can_be_pushed_again() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    there.write_all(&pattern(0, 8 * PAGE)).unwrap();
    let mut position = 0;
    for _ in 0..4 {
        let completion = next(&mut ring);
        // SAFETY: the completion is of this receive, and taken once.
        let data = unsafe { receive.area().take(&completion) }.unwrap();
        assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
        position += data.bytes().len();
        receive.give_back(data).unwrap();
    }
    if kernel::older_than(7, 2) {
        receive.flush().unwrap();
        cancel(&mut ring);
        let ends = [next(&mut ring), next(&mut ring)].map(|done| done.raw_result());
        let ended = ends.contains(&-libc::ENOMEM) && ends.contains(&-libc::ENOENT);
        let waited = ends.contains(&-libc::ECANCELED) && ends.contains(&0);
        assert!(ended || waited, "{ends:?}");
    } else {
        let last = next(&mut ring);
        assert_eq!((last.raw_result(), last.more()), (-libc::ENOMEM, false));
        receive.flush().unwrap();
    }
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let completion = next(&mut ring);
    // SAFETY: as above.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
}

#[test]
fn full_completion_queue_ends_a_receive_and_loses_nothing() {
    let Some(mut ring) = ring_with((6, 1), |params| params.entries(2).cqe32()) else {
        return;
    };
    assert_eq!(ring.completion().capacity(), 4);
    let made = ring.submission().register_zero_copy_receive(params(64, 64));
    let Some(receive) = registered(made) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 16 * PAGE)).unwrap();
    await_unread(&here, 5 * PAGE);
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let mut position = 0;
    for _ in 0..4 {
        let completion = next(&mut ring);
        // SAFETY: the completion is of this receive, and taken once.
        let data = unsafe { receive.area().take(&completion) }.unwrap();
        assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
        position += data.bytes().len();
    }
    let last = next(&mut ring);
    assert_eq!((last.raw_result(), last.more()), (-libc::ENOSPC, false));
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let completion = next(&mut ring);
    // SAFETY: as above.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    assert_eq!(data.bytes(), pattern(position, data.bytes().len()));
}

#[test]
fn full_refill_queue_returns_the_piece() {
    let Some((mut ring, receive)) = receiver(8, 2) else {
        return;
    };
    assert_eq!((receive.capacity(), receive.waiting()), (2, 0));
    let (here, mut there) = connection();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    for round in 0..20_u8 {
        let mut held = Vec::new();
        for piece in 0..3 {
            there.write_all(&[round, piece]).unwrap();
            let completion = next(&mut ring);
            // SAFETY: the completion is of this receive, and taken once.
            held.push(unsafe { receive.area().take(&completion) }.unwrap());
        }
        let third = held.pop().unwrap();
        for data in held {
            receive.give_back(data).unwrap();
        }
        let third = receive.give_back(third).unwrap_err();
        assert_eq!((third.bytes(), receive.waiting()), (&[round, 2][..], 2));
        receive.flush().unwrap();
        assert_eq!(receive.waiting(), 0);
        receive.give_back(third).unwrap();
        receive.flush().unwrap();
    }
}

#[test]
fn cancelled_receive_ends_with_ecanceled() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    there.write_all(b"before").unwrap();
    let completion = next(&mut ring);
    // SAFETY: the completion is of this receive, and taken once.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    cancel(&mut ring);
    let mut both = [next(&mut ring), next(&mut ring)].map(|done| {
        assert!(!done.more());
        (done.user_data(), done.raw_result())
    });
    both.sort_unstable();
    assert_eq!(both, [(RECV, -libc::ECANCELED), (CANCEL, 0)]);
    assert_eq!(data.bytes(), b"before");
    // The connection goes on, and so does what was registered.
    there.write_all(b"after").unwrap();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let completion = next(&mut ring);
    // SAFETY: as above.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    assert_eq!(data.bytes(), b"after");
}

#[test]
fn receives_that_cannot_be_are_errors() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, _there) = connection();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, _other) = UnixStream::pair().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut error = |sockfd: RawFd, id: u32, flags: i32| {
        let recv = RecvZc {
            sockfd,
            zcrx_ifq_idx: id,
            len: 0,
            flags,
        };
        // SAFETY: the sockets are open; so is nothing else under the number of the closed one.
        unsafe { ring.push(&recv, RECV) }.unwrap();
        ring.submit().unwrap();
        let completion = next(&mut ring);
        assert!(!completion.more());
        -completion.raw_result()
    };
    let (tcp, id) = (here.as_raw_fd(), receive.id());
    assert_eq!(error(tcp, id + 1, 0), libc::EINVAL);
    assert_eq!(error(tcp, u32::MAX, 0), libc::EINVAL);
    assert_eq!(error(tcp, id, libc::MSG_PEEK), libc::EINVAL);
    assert_eq!(error(udp.as_raw_fd(), id, 0), libc::EPROTONOSUPPORT);
    assert_eq!(error(unix.as_raw_fd(), id, 0), libc::EPROTONOSUPPORT);
    assert_eq!(error(null.as_raw_fd(), id, 0), libc::ENOTSOCK);
    assert_eq!(error(closed_fd::closed_fd(), id, 0), libc::EBADF);
    let unconnected = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(error(unconnected.as_raw_fd(), id, 0), libc::ENOTCONN);
}

#[test]
fn imported_registration_receives_on_a_ring_of_another_thread() {
    let Some((_ring, receive)) = receiver(32, 32) else {
        return;
    };
    let exported = receive.export().expect("7.1 can");
    let (here, there) = connection();
    let sender = send(there, MIB);
    let (done, to_give_back) = mpsc::sync_channel(4);
    let area = receive.area();
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut ring = ring().expect("as here");
            let id = ring
                .submission()
                .import_zero_copy_receive(exported.as_fd())
                .expect("7.1 can");
            drop(exported);
            let give = |data| done.send(data).expect("the other thread listens");
            receive_with(&mut ring, (id, area), &here, give, || ()).0
        });
        for data in to_give_back {
            receive.give_back(data).expect("it is flushed each time");
            receive.flush().unwrap();
        }
        assert_eq!(receiver.join().expect("no panic"), MIB);
    });
    sender.join().expect("it has sent all");
}

#[test]
fn two_registrations_of_a_ring_have_memory_of_their_own() {
    let Some((mut ring, first)) = receiver(4, 4) else {
        return;
    };
    let second = ring.submission().register_zero_copy_receive(params(4, 4));
    let second = second.expect("another one");
    assert_ne!(first.id(), second.id());
    let (here, mut there) = connection();
    for (round, receive) in [(0, &first), (1, &second)] {
        there.write_all(&[round; 5]).unwrap();
        push(&mut ring, receive.id(), here.as_raw_fd(), 5);
        let completion = next(&mut ring);
        // SAFETY: the completion is of this receive, and taken once.
        let data = unsafe { receive.area().take(&completion) }.unwrap();
        assert_eq!(data.bytes(), [round; 5]);
        assert_eq!(next(&mut ring).raw_result(), 0);
        let other = if round == 0 { &second } else { &first };
        let given = catch_unwind(AssertUnwindSafe(|| other.give_back(data).is_ok()));
        assert!(given.is_err(), "the piece is not of that memory");
        assert_eq!(other.waiting(), 0);
    }
}

#[test]
fn data_outlives_the_queues() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    there.write_all(&pattern(0, 1000)).unwrap();
    push(&mut ring, receive.id(), here.as_raw_fd(), 0);
    let completion = next(&mut ring);
    // SAFETY: the completion is of this receive, and taken once.
    let data = unsafe { receive.area().take(&completion) }.unwrap();
    drop(ring);
    there.write_all(&pattern(1000, 1000)).unwrap();
    // What closing a ring would take care of goes on in another thread of the kernel's.
    drop(IoUring::new(4).unwrap());
    assert_eq!(data.bytes(), pattern(0, 1000));
    receive.give_back(data).unwrap();
    receive.flush().expect("the ring is still there");
    assert_eq!(receive.waiting(), 0);
}

#[test]
fn receives_go_on_without_the_memory_until_it_is_full() {
    let Some((mut ring, receive)) = receiver(4, 4) else {
        return;
    };
    let (here, mut there) = connection();
    let id = receive.id();
    push(&mut ring, id, here.as_raw_fd(), 0);
    drop(receive);
    // Memory that would be written to if the kernel went by addresses.
    let others: Vec<Vec<u8>> = (0..16).map(|_| vec![7; 4 * PAGE]).collect();
    for _ in 0..3 {
        there.write_all(&[1; 1000]).unwrap();
        let completion = next(&mut ring);
        assert_eq!((completion.raw_result(), completion.more()), (1000, true));
    }
    assert!(others.iter().flatten().all(|byte| *byte == 7));
    there.write_all(&pattern(0, 16 * PAGE)).unwrap();
    assert!(next(&mut ring).more());
    // There was room for one more. Another one finds none.
    push(&mut ring, id, here.as_raw_fd(), 0);
    let last = next(&mut ring);
    assert_eq!((last.raw_result(), last.more()), (-libc::ENOMEM, false));
    assert!(others.iter().flatten().all(|byte| *byte == 7));
}
