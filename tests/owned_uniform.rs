//! Rings whose operations are all of one type.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lio_uring::kind::AnyThread;
use lio_uring::owned::{
    BufferGroupParams, BufferMut, Full, Nop, Operation, Poll, Read, Recv, RecvPicked, Send, SendZc,
    Sleep, StillInFlight, UniformRing,
};
use lio_uring::{Completion, IoUringParams, Sqe};

type Bytes = (io::Result<usize>, Vec<u8>);

/// What a server does.
enum Work {
    Recv(Recv<Rc<TcpStream>, Vec<u8>>),
    Send(Send<Rc<TcpStream>, Vec<u8>>),
    SendZc(SendZc<Rc<TcpStream>, Vec<u8>>),
    Nop,
}

#[derive(Debug)]
enum Done {
    Received(Bytes),
    Sent(Bytes),
    Nothing,
}

// SAFETY: each passes on to one of the layer's own operations.
unsafe impl Operation for Work {
    type Output = Done;

    fn entry(&mut self) -> Sqe {
        match self {
            Self::Recv(recv) => recv.entry(),
            Self::Send(send) => send.entry(),
            Self::SendZc(send) => send.entry(),
            Self::Nop => Nop.entry(),
        }
    }

    unsafe fn complete(self, done: Completion) -> Done {
        match self {
            // SAFETY: the caller's promise.
            Self::Recv(recv) => Done::Received(unsafe { recv.complete(done) }),
            // SAFETY: the caller's promise.
            Self::Send(send) => Done::Sent(unsafe { send.complete(done) }),
            // SAFETY: the caller's promise.
            Self::SendZc(send) => Done::Sent(unsafe { send.complete(done) }),
            Self::Nop => Done::Nothing,
        }
    }
}

#[test]
fn thread_of_the_kernels_makes_room() {
    let params = IoUringParams::default().entries(4).sqpoll(10);
    let mut ring = UniformRing::<Nop, AnyThread>::with_params(params).expect("a ring");
    let mut ended = 0;
    for _ in 0..500 {
        // Fewer than there are slots for, so only the queue can be full.
        for _ in 0..6 {
            if ring.push(Nop).is_err() {
                ring.wait_for_space().expect("a submission");
                let _token = ring.push(Nop).expect("room");
            }
        }
        ring.submit_and_wait(6).expect("a submission");
        for (_, output) in ring.outputs() {
            output.expect("a NOP");
            ended += 1;
        }
    }
    assert_eq!(ended, 3000);
}

#[test]
fn event_loop_of_one_enum_echoes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("one");
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).expect("connected");
        for round in 0..200u8 {
            let text = [round; 999];
            client.write_all(&text).expect("sent");
            let mut got = [0; 999];
            client.read_exact(&mut got).expect("echoed");
            assert_eq!(got, text);
        }
    });
    let mut ring = UniformRing::new(8).expect("a ring");
    let socket = Rc::new(listener.accept().expect("a connection").0);
    let recv = |buffer| Recv {
        socket: Rc::clone(&socket),
        buffer,
        flags: 0,
    };
    let zero_copy = !kernel::older_than(6, 0);
    ring.push(Work::Recv(recv(Vec::with_capacity(4096))))
        .expect("room");
    ring.push(Work::Nop).expect("room");
    let (mut rounds, mut open) = (0u32, true);
    while ring.in_flight() > 0 {
        ring.submit_and_wait(1).expect("a submission");
        let done: Vec<_> = ring.outputs().map(|(_, done)| done).collect();
        for done in done {
            match done {
                Done::Received((count, buffer)) => {
                    rounds += 1;
                    open &= count.expect("no error") > 0;
                    let (socket, flags) = (Rc::clone(&socket), libc::MSG_WAITALL);
                    let work = match (open, zero_copy && rounds % 2 == 0) {
                        (false, _) => Work::Nop,
                        (true, false) => Work::Send(Send {
                            socket,
                            buffer,
                            flags,
                        }),
                        (true, true) => Work::SendZc(SendZc {
                            socket,
                            buffer,
                            flags,
                        }),
                    };
                    ring.push(work).expect("room");
                }
                Done::Sent((count, buffer)) => {
                    assert_eq!(count.expect("no error"), buffer.len());
                    ring.push(Work::Recv(recv(buffer))).expect("room");
                }
                Done::Nothing => {}
            }
        }
    }
    client.join().expect("no panic");
    assert!(rounds > 200);
}

#[test]
fn tokens_cancel_what_they_name_and_nothing_else() {
    let mut ring = UniformRing::new(8).expect("a ring");
    let hour = Sleep::new(Duration::from_secs(3600));
    let (first, second) = (
        ring.push(hour).expect("room"),
        ring.push(hour).expect("room"),
    );
    assert_ne!(first, second);
    ring.submit().expect("a submission");
    ring.cancel(first).expect("room");
    ring.submit_and_wait(2).expect("a submission");
    let done: Vec<_> = ring.outputs().collect();
    let [(token, Err(error))] = &*done else {
        panic!("{done:?}");
    };
    assert_eq!(
        (*token, error.raw_os_error()),
        (first, Some(libc::ECANCELED))
    );
    // Its slot is another operation's now.
    let third = ring.push(hour).expect("room");
    assert_ne!(first, third);
    ring.cancel(first).expect("nothing to do");
    ring.submit().expect("a submission");
    assert_eq!(ring.outputs().count(), 0);
    assert_eq!(ring.in_flight(), 2);
    ring.cancel(third).expect("room");
    ring.cancel(second).expect("room");
    while ring.in_flight() > 0 {
        ring.submit_and_wait(1).expect("a submission");
        let all = ring.outputs().all(|(_, done)| done.is_err());
        assert!(all, "one was not cancelled");
    }
}

#[test]
fn operations_come_back_when_there_is_no_room() {
    let mut ring = UniformRing::new(4).expect("a ring");
    let read = |number| Read {
        file: File::open("/dev/zero").expect("a file"),
        buffer: vec![number; 8],
        offset: 0,
    };
    for number in 0..4 {
        ring.push(read(number)).expect("room");
    }
    let Full(back) = ring.push(read(4)).expect_err("a full queue");
    assert_eq!(back.buffer, [4; 8]);
    ring.submit().expect("a submission");
    for number in 4..8 {
        ring.push(read(number)).expect("room");
    }
    ring.submit().expect("a submission");
    let Full(back) = ring.push(read(8)).expect_err("no slot");
    assert_eq!(back.buffer, [8; 8]);
    ring.submit_and_wait(8).expect("a submission");
    // An iterator that is left early leaves the rest.
    assert_eq!(ring.outputs().take(3).count(), 3);
    assert_eq!(ring.in_flight(), 5);
    for (_, (count, bytes)) in ring.outputs() {
        assert_eq!((count.expect("no error"), bytes), (8, vec![0; 8]));
    }
    assert_eq!(ring.in_flight(), 0);
}

/// A buffer that says when it is gone.
struct Counted {
    bytes: Box<[u8]>,
    dropped: Rc<Cell<u32>>,
}

// SAFETY: the bytes are the value's own.
unsafe impl BufferMut for Counted {
    fn room(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }
    fn capacity(&self) -> usize {
        self.bytes.len()
    }
    unsafe fn filled(&mut self, _: usize) {}
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

#[test]
fn dropping_the_ring_ends_and_disposes_of_all() {
    for submitted in [false, true] {
        let dropped = Rc::new(Cell::new(0));
        let (socket, _peer) = UnixStream::pair().expect("a pair");
        let socket = Arc::new(socket);
        let mut ring = UniformRing::new(8).expect("a ring");
        for _ in 0..8 {
            let buffer = Counted {
                bytes: vec![0; 64].into(),
                dropped: Rc::clone(&dropped),
            };
            let recv = Recv {
                socket: Arc::clone(&socket),
                buffer,
                flags: 0,
            };
            ring.push(recv).expect("room");
        }
        if submitted {
            ring.submit().expect("a submission");
            ring.close(Duration::from_secs(60)).expect("all end");
        } else {
            drop(ring);
        }
        assert_eq!(dropped.get(), 8);
        assert_eq!(Arc::strong_count(&socket), 1);
    }
}

#[test]
fn panics_of_outputs_lose_nothing_else() {
    struct Panics(u32);
    // SAFETY: the entry points to nothing.
    unsafe impl Operation for Panics {
        type Output = u32;
        fn entry(&mut self) -> Sqe {
            Nop.entry()
        }
        unsafe fn complete(self, _: Completion) -> u32 {
            if self.0.is_multiple_of(3) {
                resume_unwind(Box::new(self.0));
            }
            self.0
        }
    }

    let mut ring = UniformRing::new(8).expect("a ring");
    for number in 0..8 {
        ring.push(Panics(number)).expect("room");
    }
    ring.submit_and_wait(8).expect("a submission");
    let mut seen = Vec::new();
    while ring.in_flight() > 0 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            seen.extend(ring.outputs().map(|(_, number)| number));
        }));
        if let Err(number) = panicked {
            seen.push(*number.downcast().expect("its number"));
        }
    }
    // What `extend` had taken before a panic may be lost with it, but not what was to come.
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn receives_take_their_buffers_from_groups() {
    // What is used up piece by piece has no piece that is smaller than what comes.
    let params = BufferGroupParams::new(4, 64);
    for (params, minor) in [(params, None), (params.incremental(), Some(12))] {
        let mut ring = UniformRing::new(8).expect("a ring");
        let made = ring.register_group(params);
        let made = match minor {
            Some(minor) => kernel::since(6, minor, made),
            None => kernel::since(5, 19, made),
        };
        let Some(buffers) = made else {
            return;
        };
        let pairs = [(); 2].map(|()| UnixStream::pair().expect("a pair"));
        let [one, other] = pairs.map(|(socket, peer)| (Rc::new(socket), peer));
        for round in 0..50u8 {
            let mut sources = Vec::new();
            for (name, (socket, peer)) in [(1, &one), (2, &other)] {
                let recv = RecvPicked {
                    socket: Rc::clone(socket),
                    buffers: buffers.clone(),
                    flags: 0,
                };
                sources.push((ring.push(recv).expect("room"), name));
                let mut peer: &UnixStream = peer;
                peer.write_all(&[round, name, 7, 9]).expect("room");
            }
            let mut kept = Vec::new();
            while kept.len() < 2 {
                ring.submit_and_wait(1).expect("a submission");
                for (token, received) in ring.outputs() {
                    let source = sources.iter().find(|(pushed, _)| *pushed == token);
                    let (_, name) = *source.expect("one that was pushed");
                    kept.push((received.expect("no error").expect("data"), name));
                }
            }
            for (piece, name) in kept {
                assert_eq!(*piece, [round, name, 7, 9], "{params:?}");
            }
        }
        // Nothing was lost: what was used up has come back.
        assert_eq!(buffers.provided(), 4, "{params:?}");
    }
}

#[test]
fn rings_for_any_thread_can_be_sent_with_what_is_in_flight() {
    let params = IoUringParams::<AnyThread>::default().entries(8);
    let mut ring = UniformRing::with_params(params).expect("a ring");
    let file = Arc::new(File::open("/proc/self/exe").expect("a file"));
    let buffer = vec![0; 4];
    ring.push(Read {
        file,
        buffer,
        offset: 0,
    })
    .expect("room");
    let read = thread::spawn(move || {
        ring.submit_and_wait(1).expect("a submission");
        ring.outputs()
            .map(|(_, (_, bytes))| bytes)
            .collect::<Vec<_>>()
    });
    assert_eq!(read.join().expect("no panic"), [b"\x7fELF"]);
}

#[test]
fn what_does_not_end_in_time_is_leaked() {
    let dropped = Rc::new(Cell::new(0));
    let mut ring = UniformRing::new(8).expect("a ring");
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let buffer = Counted {
        bytes: vec![0; 64].into(),
        dropped: Rc::clone(&dropped),
    };
    ring.push(Recv {
        socket,
        buffer,
        flags: 0,
    })
    .expect("room");
    ring.submit().expect("a submission");
    // No time at all is too short for a cancellation.
    let closed = ring.close(Duration::ZERO);
    assert_eq!(closed, Err(StillInFlight { operations: 1 }));
    assert_eq!(dropped.get(), 0);
}

#[test]
fn what_ends_at_once_does_not_keep_the_rest_from_ending() {
    let mut ring = UniformRing::new(8).expect("a ring");
    let events = u32::from(libc::POLLIN.cast_unsigned());
    let (file, peer) = UnixStream::pair().expect("a pair");
    let waits = ring.push(Poll { file, events }).expect("room");
    ring.submit().expect("a submission");
    // The kernel puts it off until it is asked.
    drop(peer);
    let mut ended = Vec::new();
    for _ in 0..2 {
        let (file, peer) = UnixStream::pair().expect("a pair");
        drop(peer);
        ring.push(Poll { file, events }).expect("room");
        ring.submit().expect("a submission");
        ended.extend(ring.outputs().map(|(token, _)| token));
    }
    assert!(ended.contains(&waits), "{ended:?}");
}
