//! Scopes of the owned layer: borrowed memory, and that nothing outlives them.
#![cfg(target_os = "linux")]

#[path = "support/ways.rs"]
mod ways;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{
    Buffer, BufferMut, End, Fsync, Multishot, Nop, Poll, PollMulti, Read, Recv, Ring, ScopedTicket,
    Send, Sleep, Write,
};
use lio_uring::{Completion, Sqe};

use ways::{WAYS, Way, let_go};

fn ring() -> Ring {
    Ring::new(8).expect("a ring")
}

fn recv<'b>(socket: &'b UnixStream, buffer: &'b mut [u8]) -> Recv<&'b UnixStream, &'b mut [u8]> {
    Recv {
        socket,
        buffer,
        flags: 0,
    }
}

#[test]
fn borrowed_memory_is_read_and_written() {
    let ring = ring();
    let (one, other) = UnixStream::pair().expect("a pair");
    let text = String::from("borrowed");
    let mut got = [0; 16];
    let mut collected = Vec::with_capacity(16);
    ring.scope(|scope| {
        let send = |buffer| Send {
            socket: &one,
            buffer,
            flags: 0,
        };
        let ticket = scope.push(send(text.as_str())).expect("room");
        let received = scope.push(recv(&other, &mut got)).expect("room");
        assert_eq!(
            received.wait().expect("a submission").0.expect("no error"),
            8
        );
        assert_eq!(ticket.wait().expect("a submission").0.expect("no error"), 8);
        // A vector has the length of what was read.
        let ticket = scope.push(send("more")).expect("room");
        let received = scope.push(Recv {
            socket: &other,
            buffer: &mut collected,
            flags: 0,
        });
        assert_eq!(
            received
                .expect("room")
                .wait()
                .expect("a submission")
                .0
                .expect("no error"),
            4
        );
        drop(ticket);
    });
    assert_eq!(&got[..8], b"borrowed");
    assert_eq!(collected, b"more");
    assert_eq!(ring.operations(), 0);
}

#[test]
fn nothing_is_written_to_after_the_scope_however_a_ticket_is_let_go_of() {
    for way in WAYS {
        let ring = ring();
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let mut buffer = [7; 64];
        let left = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let kept = Cell::new(None);
                let ticket = scope.push(recv(&socket, &mut buffer)).expect("room");
                let_go(way, scope.ring(), ticket, &kept);
            });
        }));
        assert_eq!(left.is_err(), matches!(way, Way::Panic), "{way:?}");
        assert_eq!(ring.operations(), 0, "{way:?}");
        peer.write_all(&[9; 64]).expect("room");
        ring.push(Nop)
            .expect("room")
            .wait()
            .expect("a submission")
            .expect("no error");
        assert_eq!(buffer, [7; 64], "{way:?}");
        // What came is still there.
        let mut left = [0; 64];
        (&socket).read_exact(&mut left).expect("data");
        assert_eq!(left, [9; 64], "{way:?}");
    }
}

#[test]
fn scope_waits_for_what_cannot_be_stopped() {
    let ring = ring();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&vec![3; 1 << 20]).expect("room");
    for _ in 0..20 {
        let mut buffer = vec![0u8; 1 << 20];
        ring.scope(|scope| {
            let read = Read {
                file: &file,
                buffer: &mut buffer[..],
                offset: 0,
            };
            let ticket = scope.push(read).expect("room");
            ring.submit().expect("a submission");
            drop(ticket);
        });
        let before = buffer.clone();
        thread::sleep(Duration::from_millis(2));
        assert!(buffer == before, "written to after the scope");
    }
}

#[test]
fn outputs_of_what_has_ended_and_was_forgotten_are_dropped() {
    /// Counts how often it is dropped.
    struct Counted<'c>(&'c Cell<u32>, [u8; 4]);
    // SAFETY: the bytes are the value's own.
    unsafe impl Buffer for Counted<'_> {
        fn address(&self) -> *const u8 {
            self.1.as_ptr()
        }
        fn bytes(&self) -> usize {
            self.1.len()
        }
    }
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    let ring = ring();
    let dropped = Cell::new(0);
    let null = File::options()
        .write(true)
        .open("/dev/null")
        .expect("a file");
    ring.scope(|scope| {
        for _ in 0..4 {
            let write = Write {
                file: &null,
                buffer: Counted(&dropped, [1; 4]),
                offset: 0,
            };
            let ticket = scope.push(write).expect("room");
            ring.submit_and_wait(1).expect("a submission");
            assert!(ticket.is_done());
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(ticket);
        }
        assert_eq!(dropped.get(), 0);
    });
    assert_eq!(dropped.get(), 4);
    assert_eq!(ring.operations(), 0);
}

#[test]
fn panic_of_what_was_left_comes_when_all_have_ended() {
    struct Panics([u8; 8]);
    // SAFETY: the bytes are the value's own.
    unsafe impl BufferMut for Panics {
        fn room(&mut self) -> *mut u8 {
            self.0.as_mut_ptr()
        }
        fn capacity(&self) -> usize {
            self.0.len()
        }
        unsafe fn filled(&mut self, _: usize) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0[0] == 1 {
                resume_unwind(Box::new("on purpose"));
            }
        }
    }

    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let mut buffer = [7; 8];
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ring.scope(|scope| {
            for number in [1, 2, 1] {
                let recv = Recv {
                    socket: &socket,
                    buffer: Panics([number; 8]),
                    flags: 0,
                };
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                std::mem::forget(scope.push(recv).expect("room"));
            }
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(scope.push(recv(&socket, &mut buffer)).expect("room"));
            ring.submit().expect("a submission");
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(ring.operations(), 0);
    peer.write_all(&[9; 8]).expect("room");
    assert_eq!(buffer, [7; 8]);
}

/// Panics when it is dropped, with what does so, too.
struct Explosive(UnixStream);

impl AsFd for Explosive {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        struct Splinter;
        impl Drop for Splinter {
            fn drop(&mut self) {
                resume_unwind(Box::new("a splinter"));
            }
        }
        resume_unwind(Box::new(Splinter));
    }
}

#[test]
fn first_panic_comes_out_of_a_scope_whatever_else_panics() {
    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let another = || socket.try_clone().expect("another");
    for result_panics in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let file = Explosive(another());
                let fsync = Fsync {
                    file,
                    flags: FsyncFlags::empty(),
                };
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                std::mem::forget(scope.push(fsync).expect("room"));
                if !result_panics {
                    resume_unwind(Box::new("the first"));
                }
                Explosive(another())
            })
        }));
        let payload = panicked.map(std::mem::forget).expect_err("a panic");
        assert_eq!(payload.is::<&str>(), !result_panics);
        #[expect(clippy::mem_forget, reason = "it would panic")]
        std::mem::forget(payload);
        assert_eq!(ring.operations(), 0);
    }
}

#[test]
fn scopes_nest_and_leave_the_operations_of_others_alone() {
    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let owned = ring
        .push(Recv {
            socket: socket.try_clone().expect("another"),
            buffer: vec![0; 5],
            flags: 0,
        })
        .expect("room");
    let mut outer = [0; 4];
    ring.scope(|scope| {
        let outer: ScopedTicket<'_, _> = scope
            .push(Read {
                file: File::open("/proc/self/exe").expect("a file"),
                buffer: &mut outer[..],
                offset: 0,
            })
            .expect("room");
        ring.scope(|inner| {
            let mut tickets = Vec::new();
            while let Ok(ticket) = inner.push(Sleep::new(Duration::from_secs(3600))) {
                tickets.push(ticket);
            }
            assert!(tickets.len() > 2);
            ring.submit().expect("a submission");
        });
        assert_eq!(ring.operations(), 2);
        assert_eq!(outer.wait().expect("a submission").0.expect("no error"), 4);
    });
    assert_eq!(outer, *b"\x7fELF");
    peer.write_all(b"owned").expect("room");
    let (count, text) = owned.wait().expect("a submission");
    assert_eq!((count.expect("no error"), &*text), (5, b"owned".as_slice()));
}

#[test]
fn ticket_that_is_kept_in_another_operation_stands_for_nothing_after_the_scope() {
    /// A socket that does something with a ticket when it is dropped.
    struct Keeps<'s> {
        socket: UnixStream,
        ticket: Option<ScopedTicket<'s, Nop>>,
        waits: bool,
    }
    impl AsFd for Keeps<'_> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }
    impl Drop for Keeps<'_> {
        fn drop(&mut self) {
            if let Some(ticket) = self.ticket.take().filter(|_| self.waits) {
                assert!(ticket.is_done());
                let waited = catch_unwind(AssertUnwindSafe(|| ticket.wait().is_ok()));
                assert!(waited.is_err(), "it stood for something");
            }
        }
    }

    for (ended, waits) in [(false, false), (true, false), (false, true), (true, true)] {
        let ring = ring();
        let (socket, _peer) = UnixStream::pair().expect("a pair");
        ring.scope(|scope| {
            let ticket = scope.push(Nop).expect("room");
            if ended {
                ring.submit_and_wait(1).expect("a submission");
            }
            let keeps = Keeps {
                socket,
                ticket: Some(ticket),
                waits,
            };
            let poll = Poll {
                file: keeps,
                events: 1,
            };
            drop(scope.push(poll).expect("room"));
        });
        assert_eq!(ring.operations(), 0);
        // The slots are as good as new, and the queue without the cancellation.
        ring.submit().expect("a submission");
        let tickets = ring.push_chain(vec![Nop; 8]).expect("room");
        for ticket in tickets {
            ticket.wait().expect("a submission").expect("no error");
        }
    }
}

#[test]
fn panics_with_payloads_that_panic_do_not_end_a_scope_early() {
    /// Panics when it is dropped, with what panics when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("a bomb"));
        }
    }
    struct Panics(UnixStream, bool);
    impl AsFd for Panics {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            if self.1 {
                resume_unwind(Box::new(Bomb));
            }
            resume_unwind(Box::new("the first"));
        }
    }

    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let mut buffer = [7; 8];
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        ring.scope(|scope| {
            for bomb in [false, true, true] {
                let file = Panics(socket.try_clone().expect("another"), bomb);
                let events = u32::from(libc::POLLOUT.cast_unsigned());
                let poll = scope.push(Poll { file, events }).expect("room");
                ring.submit_and_wait(1).expect("a submission");
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                std::mem::forget(poll);
            }
            let ticket = scope.push(recv(&socket, &mut buffer)).expect("room");
            ring.submit().expect("a submission");
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(ticket);
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"the first"));
    assert_eq!(ring.operations(), 0);
    peer.write_all(&[9; 8]).expect("room");
    assert_eq!(buffer, [7; 8]);
}

/// Readiness whose items, or whose making of them, panic.
struct PanicsOften<'c> {
    ready: PollMulti<&'c UnixStream>,
    items: bool,
    dropped: &'c Cell<u32>,
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a bomb"));
    }
}

impl Drop for PanicsOften<'_> {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

// SAFETY: the entry is that of the readiness, and items are of the completions alone.
unsafe impl Multishot for PanicsOften<'_> {
    type Item = Bomb;
    fn entry(&mut self) -> Sqe {
        self.ready.entry()
    }
    unsafe fn item(&self, _: Completion) -> io::Result<Option<Bomb>> {
        if self.items {
            return Ok(Some(Bomb));
        }
        resume_unwind(Box::new("no item"));
    }
}

#[test]
fn panics_of_items_do_not_end_a_scope_early_nor_keep_it_open() {
    for (items, ended, dropped_within) in [
        (true, false, false),
        (true, true, false),
        (false, false, false),
        (false, true, false),
        (true, false, true),
        (true, true, true),
        (false, false, true),
        (false, true, true),
    ] {
        let ring = ring();
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let dropped = Cell::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                let operation = PanicsOften {
                    ready: PollMulti {
                        file: &socket,
                        events: u32::from(libc::POLLIN.cast_unsigned()),
                    },
                    items,
                    dropped: &dropped,
                };
                let stream = scope.push_stream(operation).expect("room");
                ring.submit().expect("a submission");
                for _ in 0..3 {
                    peer.write_all(b"!").expect("room");
                    ring.submit_and_wait(1).expect("a submission");
                }
                if ended {
                    let request = stream.cancel().expect("room").wait();
                    request.expect("a submission").expect("no error");
                }
                if dropped_within {
                    return drop(stream);
                }
                #[expect(clippy::mem_forget, reason = "that is what is tested")]
                std::mem::forget(stream);
            });
        }));
        let case = format!("items: {items}, ended: {ended}, dropped within: {dropped_within}");
        let expected = if items { "a bomb" } else { "no item" };
        assert_eq!(
            panicked.unwrap_err().downcast_ref(),
            Some(&expected),
            "{case}"
        );
        assert_eq!(dropped.get(), 1, "{case}: the operation");
        assert_eq!(ring.operations(), 0, "{case}: not ended");
    }
}

#[test]
fn stream_whose_last_item_panics_has_ended() {
    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let dropped = Cell::new(0);
    ring.scope(|scope| {
        let operation = PanicsOften {
            ready: PollMulti {
                file: &socket,
                events: u32::from(libc::POLLIN.cast_unsigned()),
            },
            items: false,
            dropped: &dropped,
        };
        let mut stream = scope.push_stream(operation).expect("room");
        let request = stream.cancel().expect("room").wait();
        request.expect("a submission").expect("no error");
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(stream.wait_next())));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"no item"));
        let end = stream.end();
        // Dropped, one that has not ended would wait for its end.
        #[expect(clippy::mem_forget, reason = "see above")]
        std::mem::forget(stream);
        assert_eq!(end, Some(End::Failed));
    });
    assert_eq!(dropped.get(), 1);
    assert_eq!(ring.operations(), 0);
}
