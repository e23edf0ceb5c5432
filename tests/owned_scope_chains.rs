//! Chains within scopes: borrowed memory, whole or not at all, and that nothing outlives the scope.
#![cfg(target_os = "linux")]

#[path = "support/ways.rs"]
mod ways;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{
    Fsync, Full, Hard, Nop, Operation, Read, Recv, Ring, Scope, ScopedTicket, Sleep, Within, Write,
};
use lio_uring::{Completion, Sqe};

use ways::{WAYS, Way, let_go};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);

fn ring() -> Ring {
    Ring::new(8).expect("a ring")
}

#[track_caller]
fn wait<O: Operation>(ticket: ScopedTicket<'_, O>) -> O::Output {
    ticket.wait().expect("a submission")
}

#[track_caller]
fn assert_cancelled<T: std::fmt::Debug>(result: io::Result<T>) {
    let errno = result.expect_err("an error").raw_os_error();
    assert_eq!(errno, Some(libc::ECANCELED));
}

fn write<'b>(file: &'b File, text: &'b str) -> Write<&'b File, &'b str> {
    Write {
        file,
        buffer: text,
        offset: 0,
    }
}

fn read<'b>(file: &'b File, buffer: &'b mut [u8]) -> Read<&'b File, &'b mut [u8]> {
    Read {
        file,
        buffer,
        offset: 0,
    }
}

fn recv<'b>(socket: &'b UnixStream, buffer: &'b mut [u8]) -> Recv<&'b UnixStream, &'b mut [u8]> {
    Recv {
        socket,
        buffer,
        flags: 0,
    }
}

#[test]
fn chain_writes_and_reads_back_what_is_borrowed() {
    let ring = ring();
    let file = tempfile::tempfile().expect("a file");
    for text in ["borrowed", "and again"] {
        let mut back = [0; 9];
        let count = ring.scope(|scope| {
            let fsync = Fsync {
                file: &file,
                flags: FsyncFlags::DATASYNC,
            };
            let chain = (
                write(&file, text),
                fsync,
                read(&file, &mut back[..text.len()]),
            );
            let (written, synced, read) = scope.push_chain(chain).expect("room");
            let (count, got) = wait(read);
            assert_eq!(got, text.as_bytes());
            wait(synced).expect("no error");
            assert_eq!(wait(written).0.expect("no error"), text.len());
            count.expect("no error")
        });
        assert_eq!(&back[..count], text.as_bytes());
    }
    assert_eq!(ring.operations(), 0);
}

#[test]
fn chains_of_any_length_are_vectors() {
    let ring = Ring::new(64).expect("a ring");
    let file = File::open("/proc/self/exe").expect("a file");
    let mut buffers = [[0; 4]; 64];
    ring.scope(|scope| {
        let links = buffers.iter_mut().map(|buffer| read(&file, buffer));
        let tickets = scope.push_chain(links.collect::<Vec<_>>()).expect("room");
        assert_eq!(tickets.len(), 64);
        for ticket in tickets.into_iter().rev() {
            assert_eq!(wait(ticket).0.expect("no error"), 4);
        }
    });
    assert!(buffers.iter().all(|buffer| buffer == b"\x7fELF"));
    assert_eq!(ring.operations(), 0);
}

#[test]
fn failing_link_ends_a_chain_unless_it_is_tied_hard() {
    let ring = ring();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, "before").expect("room");
    let (read_only, file) = (File::open(&path), File::options().write(true).open(&path));
    let (read_only, file) = (read_only.expect("a file"), file.expect("a file"));
    let assert_not_writable = |result: io::Result<usize>| {
        let errno = result.expect_err("an error").raw_os_error();
        assert_eq!(errno, Some(libc::EBADF));
    };
    ring.scope(|scope| {
        let chain = (write(&read_only, "one"), write(&file, "two"));
        let (one, two) = scope.push_chain(chain).expect("room");
        let (count, text) = wait(two);
        assert_cancelled(count);
        assert_eq!(text, "two");
        assert_not_writable(wait(one).0);
    });
    assert_eq!(std::fs::read(&path).expect("the file"), b"before");
    // A read that is short is one that fails.
    let mut text = [0; 8];
    ring.scope(|scope| {
        let short = read(&read_only, &mut text);
        let (one, two) = scope
            .push_chain((Hard(short), write(&file, "after.")))
            .expect("room");
        assert_eq!(wait(two).0.expect("no error"), 6);
        assert_eq!(wait(one).0.expect("no error"), 6);
    });
    assert_eq!(&text, b"before\0\0");
    assert_eq!(std::fs::read(&path).expect("the file"), b"after.");
}

#[test]
fn chain_is_pushed_whole_or_given_back_at_every_fill_of_the_queue() {
    let file = File::open("/dev/zero").expect("a file");
    for filled in 0..=8 {
        let ring = ring();
        let before: Vec<_> = (0..filled).map(|_| ring.push(Nop).expect("room")).collect();
        let (mut one, mut two) = ([1; 10], [1; 20]);
        let gave_back = ring.scope(|scope| {
            let link = Hard(read(&file, &mut two));
            let chain = (read(&file, &mut one), Within { link, limit: LONG }, Nop);
            let (tickets, gave_back) = match scope.push_chain(chain) {
                Ok(tickets) => (tickets, false),
                Err(Full(back)) => {
                    assert_eq!(ring.operations(), filled, "something was left behind");
                    assert_eq!(
                        (&*back.0.buffer, &*back.1.link.0.buffer),
                        (&[1; 10][..], &[1; 20][..])
                    );
                    assert_eq!(back.1.limit, LONG);
                    // It is as good as new.
                    ring.submit().expect("a submission");
                    (scope.push_chain(back).expect("room"), true)
                }
            };
            wait(tickets.2).expect("no error");
            wait(tickets.0).0.expect("no error");
            wait(tickets.1).0.expect("no error");
            gave_back
        });
        assert_eq!(gave_back, filled > 4, "{filled}");
        assert_eq!((one, two), ([0; 10], [0; 20]));
        for ticket in before {
            ticket.wait().expect("a submission").expect("no error");
        }
    }
}

#[test]
fn chain_that_finds_no_slots_is_given_back() {
    let ring = ring();
    let zeros = File::open("/dev/zero").expect("a file");
    let mut buffers = [[1; 4]; 3];
    let [one, two, three] = &mut buffers;
    ring.scope(|scope| {
        let mut sleeps = Vec::new();
        while ring.operations() < ring.capacity() - 1 {
            match scope.push(Sleep::new(LONG)) {
                Ok(sleep) => sleeps.push(sleep),
                Err(Full(_)) => ring.submit().expect("a submission"),
            }
        }
        ring.submit().expect("a submission");
        let links = vec![read(&zeros, one), read(&zeros, two), read(&zeros, three)];
        let Full(links) = scope.push_chain(links).expect_err("one slot");
        assert!(links.iter().all(|link| *link.buffer == [1; 4]));
        let limited = scope.push_within(Nop, LONG).expect_err("one slot");
        assert_eq!(ring.operations(), ring.capacity() - 1);
        drop((limited, sleeps.pop(), sleeps.pop(), sleeps.pop()));
        while ring.operations() > ring.capacity() - 3 {
            ring.submit_and_wait(1).expect("a submission");
        }
        for ticket in scope.push_chain(links).expect("three slots") {
            assert_eq!(wait(ticket).0.expect("no error"), 4);
        }
    });
    assert_eq!(buffers, [[0; 4]; 3]);
    assert_eq!(ring.operations(), 0);
}

#[test]
fn limit_ends_what_takes_longer_and_nothing_else() {
    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let mut buffer = [7; 8];
    ring.scope(|scope| {
        let limit = Duration::from_millis(1);
        let received = scope.push_within(recv(&socket, &mut buffer), limit);
        let (count, buffer) = wait(received.expect("room"));
        assert_cancelled(count);
        assert_eq!(*buffer, [7; 8]);
        peer.write_all(b"in time").expect("room");
        let received = scope.push_within(recv(&socket, buffer), LONG);
        let (count, buffer) = wait(received.expect("room"));
        assert_eq!(
            (count.expect("no error"), &buffer[..7]),
            (7, &b"in time"[..])
        );
    });
    assert_eq!(buffer, *b"in time\x07");
}

/// What becomes of a chain that is let go of in a scope.
fn assert_nothing_is_received_later(
    push: impl for<'s> Fn(&'s Scope<'s, '_>, [Recv<&'s UnixStream, &'s mut [u8]>; 2], Way),
) {
    for way in WAYS {
        let ring = ring();
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let mut buffers = [[7; 32]; 2];
        let [one, two] = &mut buffers;
        let (one, two) = (&mut one[..], &mut two[..]);
        let left = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| push(scope, [recv(&socket, one), recv(&socket, two)], way));
        }));
        assert_eq!(left.is_err(), way == Way::Panic, "{way:?}");
        peer.write_all(&[9; 64]).expect("room");
        let nop = ring.push(Nop).expect("room").wait();
        nop.expect("a submission").expect("no error");
        assert_eq!(buffers, [[7; 32]; 2], "{way:?}: written to after the scope");
        // Limits of links are the ring's own, and end with their links.
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
        let mut left = [0; 64];
        (&socket).read_exact(&mut left).expect("data");
        assert_eq!(left, [9; 64], "{way:?}: something has gone on");
    }
}

#[test]
fn nothing_is_written_to_after_the_scope_however_a_chain_is_let_go_of() {
    assert_nothing_is_received_later(|scope, [one, two], way| {
        let kept = Cell::new(None);
        let tickets = scope.push_chain((Hard(one), two)).expect("room");
        let_go(way, scope.ring(), tickets, &kept);
    });
    assert_nothing_is_received_later(|scope, links, way| {
        let kept = Cell::new(None);
        let tickets = scope.push_chain(Vec::from(links)).expect("room");
        let_go(way, scope.ring(), tickets, &kept);
    });
    assert_nothing_is_received_later(|scope, [one, two], way| {
        let kept = Cell::new(None);
        let limited = |link| Within { link, limit: LONG };
        let chain = (limited(Hard(one)), limited(Hard(two)), Nop);
        let tickets = scope.push_chain(chain).expect("room");
        let_go(way, scope.ring(), tickets, &kept);
    });
    assert_nothing_is_received_later(|scope, [one, two], way| {
        let kept = Cell::new(None);
        let tickets = [one, two].map(|one| scope.push_within(one, LONG).expect("room"));
        let_go(way, scope.ring(), tickets, &kept);
    });
}

#[test]
fn link_behind_one_that_cannot_be_stopped_is_stopped_when_it_begins() {
    /// A pause that nobody ends.
    struct Stubborn(Sleep);
    // SAFETY: it is the pause's own entry and output.
    unsafe impl Operation for Stubborn {
        type Output = ();
        const CANCELLED_WHEN_ABANDONED: bool = false;
        fn entry(&mut self) -> Sqe {
            self.0.entry()
        }
        unsafe fn complete(self, _: Completion) {}
    }

    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let mut buffer = [7; 8];
    // Otherwise the scope would wait for ever.
    let (has_ended, end) = mpsc::channel::<()>();
    let helper = thread::spawn(move || {
        if end.recv_timeout(Duration::from_secs(60)).is_err() {
            peer.write_all(&[9; 8]).expect("room");
        }
        peer
    });
    ring.scope(|scope| {
        // The kernel does not find the link as long as this takes, however often it is asked.
        let pause = Hard(Stubborn(Sleep::new(Duration::from_millis(250))));
        let tickets = scope.push_chain((pause, recv(&socket, &mut buffer)));
        #[expect(clippy::mem_forget, reason = "that is what is tested")]
        std::mem::forget(tickets.expect("room"));
    });
    has_ended.send(()).expect("it waits");
    let _peer = helper.join().expect("no panic");
    assert_eq!(buffer, [7; 8], "it was not stopped, but has received");
    socket.set_nonblocking(true).expect("no error");
    let kind = (&socket).read(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::WouldBlock));
}

#[test]
fn panic_of_a_link_leaves_nothing_behind_and_what_it_pushed_is_waited_for() {
    /// Pushes something else, and panics, before there is an entry.
    struct Panics<'scope, 'env, 'b> {
        scope: &'scope Scope<'scope, 'env>,
        other: Option<Recv<&'b UnixStream, &'b mut [u8]>>,
    }
    // SAFETY: there is no entry.
    unsafe impl<'b: 'scope, 'scope> Operation for Panics<'scope, '_, 'b> {
        type Output = ();
        fn entry(&mut self) -> Sqe {
            let other = self.other.take().expect("it is asked once");
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(self.scope.push(other).expect("room"));
            resume_unwind(Box::new("on purpose"));
        }
        unsafe fn complete(self, _: Completion) {}
    }

    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let mut buffers = [[7; 8]; 3];
    let [first, last, other] = &mut buffers;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ring.scope(|scope| {
            let panics = Panics {
                scope,
                other: Some(recv(&socket, other)),
            };
            let chain = (recv(&socket, first), panics, recv(&socket, last));
            drop(scope.push_chain(chain));
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(ring.operations(), 0);
    peer.write_all(&[9; 24]).expect("room");
    let nop = ring.push(Nop).expect("room").wait();
    nop.expect("a submission").expect("no error");
    assert_eq!(buffers, [[7; 8]; 3], "written to after the scope");
}
