//! Sending the buffers of a group, several in one go.

#![cfg(target_os = "linux")]

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use lio_uring::kind::Threads;
use lio_uring::operation::{OpCode, SendBundle};
use lio_uring::{Completion, CompletionQueue, Features, SubmissionQueue};

#[path = "support/group.rs"]
mod group;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use group::{Buffers, GROUP, select};
use rings::{PENDING, cancel, next, run, submit_pending};
use sockets::{assert_empty, count, fill, take, tcp, udp};

const SIZE: usize = 64;

/// Whether the kernel has bundles: since Linux 6.10.
#[track_caller]
fn has_bundles() -> bool {
    needs::operations(&[OpCode::BIND])
}

fn bundle_of(socket: &impl AsRawFd, len: u32) -> SendBundle {
    SendBundle {
        sockfd: socket.as_raw_fd(),
        len,
        flags: 0,
    }
}

/// Buffers that hold a letter each, `SIZE` times, from `A` on.
fn letters(n: u16) -> Buffers {
    let buffers = Buffers::new(n, SIZE);
    for (id, letter) in (0..n).zip(b'A'..) {
        // SAFETY: the buffer was not added yet.
        unsafe { buffers.write(id, &[letter; SIZE]) };
    }
    buffers
}

/// What buffers with these numbers hold.
fn text_of(ids: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let letters = (b'A'..).take(26).collect::<Vec<_>>();
    ids.into_iter()
        .flat_map(|id| [letters[usize::from(id)]; SIZE])
        .collect()
}

/// Takes the completions of a bundle up to the last.
#[track_caller]
fn all<T: Threads>(cq: &mut CompletionQueue<T>) -> Vec<Completion> {
    let mut all = Vec::new();
    loop {
        let done = next(cq);
        assert_eq!(done.user_data(), PENDING);
        all.push(done);
        if !done.more() {
            return all;
        }
    }
}

/// Sends the group, and takes all completions.
#[track_caller]
fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    socket: &impl AsRawFd,
    len: u32,
) -> Vec<Completion> {
    // SAFETY: the buffers of the group are valid for ever, and the socket is borrowed.
    unsafe { sq.push_with(&bundle_of(socket, len), PENDING, select) }.expect("room");
    sq.submit().expect("a submission");
    all(cq)
}

#[test]
fn send_bundle_sends_the_group_in_its_order() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let buffers = letters(8);
        let mut ring = sq.register_buffer_ring(8, GROUP).unwrap();
        let order = [3, 0, 7, 1, 2];
        for id in order {
            buffers.add(&mut ring, id);
        }
        let done = send(cq, sq, &here, 0);
        let mut place = 0;
        for done in &done {
            // Each completion is for whole buffers here, and names the first.
            assert_eq!(done.buffer_id(), Some(order[place]));
            let n = count(*done);
            assert_eq!(n % SIZE, 0);
            place += n / SIZE;
        }
        assert_eq!(place, 5, "{done:?}");
        let sent = text_of(order);
        assert_eq!(take(&mut there, sent.len()), sent);
        assert_eq!(ring.available().unwrap(), 0);
        assert_empty(&there);
    });
}

#[test]
fn send_bundle_limits_the_first_completion_alone() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        // Of a buffer that is longer only the beginning is sent; others are sent whole.
        for (len, first) in [(128, 128), (100, 64), (64, 64), (40, 40)] {
            let (here, mut there) = tcp();
            let buffers = letters(8);
            let ring = buffers.ring(sq);
            let done = send(cq, sq, &here, len);
            assert_eq!((count(done[0]), done[0].buffer_id()), (first, Some(0)));
            assert!(done[0].more());
            let used = u16::try_from(first.div_ceil(SIZE)).unwrap();
            assert_eq!(done[1].buffer_id(), Some(used));
            let rest: usize = done[1..].iter().copied().map(count).sum();
            assert_eq!(take(&mut there, first), text_of(0..8)[..first]);
            assert_eq!(take(&mut there, rest), text_of(used..8));
            assert_eq!(ring.available().unwrap(), 0);
            assert_empty(&there);
        }
    });
}

#[test]
fn send_bundle_of_provided_buffers_has_a_completion_for_each() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = tcp();
        let buffers = letters(3);
        buffers.provide(cq, sq, 0, 3);
        let mut ids = Vec::new();
        for done in send(cq, sq, &here, 0) {
            assert_eq!(count(done), SIZE);
            ids.push(done.buffer_id().expect("a buffer"));
        }
        assert_eq!(take(&mut there, 3 * SIZE), text_of(ids.iter().copied()));
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2]);
        assert_empty(&there);
    });
}

#[test]
fn send_bundle_that_cannot_be_gives_the_documented_errors() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, there) = UnixStream::pair().unwrap();
        let bundle = bundle_of(&here, 0);
        // SAFETY: there is no group, and the socket stays.
        let done = unsafe { run(cq, sq, &bundle, select) };
        assert_eq!(done.raw_result(), -libc::ENOENT, "there is no such group");
        let buffers = letters(2);
        let mut ring = sq.register_buffer_ring(2, GROUP).unwrap();
        // SAFETY: the group is empty, and the socket stays.
        let done = unsafe { run(cq, sq, &bundle, select) };
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
        // SAFETY: nothing is mapped at address 0, and the socket stays.
        let done = unsafe { run(cq, sq, &bundle_of(&here, 8), |_| ()) };
        let errno = -done.raw_result();
        assert!([libc::EFAULT, libc::EINVAL].contains(&errno), "{done:?}");
        let (pipe, _writer) = io::pipe().unwrap();
        buffers.add(&mut ring, 0);
        let done = send(cq, sq, &pipe, 0);
        assert_eq!(done[0].raw_result(), -libc::ENOTSOCK);
        assert_eq!(ring.available().unwrap(), 1, "it is still there");
        assert_empty(&there);
    });
}

#[test]
fn send_bundle_needs_linux_6_10() {
    each_ring!(|cq, sq| {
        if sq.features().contains(Features::RECVSEND_BUNDLE) {
            return;
        }
        assert!(kernel::older_than(6, 10));
        let (here, _there) = UnixStream::pair().unwrap();
        // SAFETY: there is no group, and the socket stays.
        let done = unsafe { run(cq, sq, &bundle_of(&here, 0), select) };
        assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
    });
}

#[test]
fn send_bundle_that_waits_keeps_the_order_of_the_group() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let buffers = letters(16);
        let mut ring = sq.register_buffer_ring(16, GROUP).unwrap();
        (0..8).for_each(|id| buffers.add(&mut ring, id));
        // SAFETY: the buffers of the group are valid for ever, and the socket stays.
        unsafe { sq.push_with(&bundle_of(&here, 0), PENDING, select) }.unwrap();
        submit_pending(cq, sq);
        assert_eq!(ring.available().unwrap(), 0, "they are taken at once");
        // What is added while it waits is for the next.
        (8..16).for_each(|id| buffers.add(&mut ring, id));
        take(&mut there, filled);
        let mut sent: usize = all(cq).into_iter().map(count).sum();
        while sent < 16 * SIZE {
            sent += send(cq, sq, &here, 0).into_iter().map(count).sum::<usize>();
        }
        assert_eq!(take(&mut there, 16 * SIZE), text_of(0..16));
        assert_eq!(ring.available().unwrap(), 0);
        assert_empty(&there);
    });
}

#[test]
fn send_bundles_that_wait_together_go_one_after_the_other_in_any_order() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let buffers = letters(4);
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        for user_data in [0, 2] {
            buffers.add(&mut ring, user_data);
            buffers.add(&mut ring, user_data + 1);
            let bundle = bundle_of(&here, 0);
            // SAFETY: the buffers of the group are valid for ever, and the socket stays.
            unsafe { sq.push_with(&bundle, user_data.into(), select) }.unwrap();
            submit_pending(cq, sq);
            assert_eq!(ring.available().unwrap(), 0, "they are taken at once");
        }
        take(&mut there, filled);
        let both = [next(cq), next(cq)];
        let firsts = both.map(|done| done.buffer_id().expect("a buffer"));
        for done in both {
            assert_eq!((count(done), done.more()), (2 * SIZE, false));
            assert_eq!(done.buffer_id().map(u64::from), Some(done.user_data()));
        }
        let wanted = text_of(firsts.into_iter().flat_map(|first| [first, first + 1]));
        assert_eq!(take(&mut there, 4 * SIZE), wanted);
    });
}

#[test]
fn send_bundle_cancelled_has_sent_nothing_and_names_the_buffers() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let filled = fill(&here);
        let buffers = letters(4);
        let mut ring = buffers.ring(sq);
        // SAFETY: the buffers of the group are valid for ever, and the socket stays.
        unsafe { sq.push_with(&bundle_of(&here, 0), PENDING, select) }.unwrap();
        submit_pending(cq, sq);
        let done = cancel(cq, sq);
        assert_eq!((done.raw_result(), done.more()), (-libc::ECANCELED, false));
        assert_eq!(done.buffer_id(), Some(0));
        assert_eq!(ring.available().unwrap(), 0);
        take(&mut there, filled);
        assert_empty(&there);
        // The caller has them again, and can add them anew.
        (0..4).for_each(|id| buffers.add(&mut ring, id));
        let sent = send(cq, sq, &here, 0).into_iter().map(count).sum();
        assert_eq!(sent, 4 * SIZE);
        assert_eq!(take(&mut there, sent), text_of(0..4));
    });
}

#[test]
fn send_bundle_on_a_connection_that_is_shut_gives_epipe_and_names_the_buffers() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, mut there) = UnixStream::pair().unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        let buffers = letters(4);
        let ring = buffers.ring(sq);
        let done = send(cq, sq, &here, 0)[0];
        assert_eq!((done.raw_result(), done.more()), (-libc::EPIPE, false));
        assert_eq!(done.buffer_id(), Some(0));
        assert_eq!(ring.available().unwrap(), 0);
        assert_eq!(there.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn send_bundle_makes_one_datagram_of_the_group() {
    if !has_bundles() {
        return;
    }
    each_ring!(|cq, sq| {
        let ((here, _), (there, to)) = (udp(), udp());
        here.connect(to).unwrap();
        let buffers = letters(4);
        let ring = buffers.ring(sq);
        let done = send(cq, sq, &here, 0);
        assert_eq!((count(done[0]), done[0].buffer_id()), (4 * SIZE, Some(0)));
        let mut datagram = [0; 5 * SIZE];
        let n = there.recv(&mut datagram).unwrap();
        assert_eq!(datagram[..n], text_of(0..4));
        // The group is empty then, which the last completion says if the first was not it.
        if let Some(end) = done.get(1) {
            assert_eq!((done.len(), end.raw_result()), (2, -libc::ENOBUFS));
        }
        assert_eq!(ring.available().unwrap(), 0);
        assert_empty(&there);
    });
}
