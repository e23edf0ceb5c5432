//! The owned layer: tickets, and what becomes of operations.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use lio_uring::owned::{
    Cancelled, Fsync, Full, Nop, Read, Recv, Ring, Send, Sleep, UniformRing, Write,
};
use lio_uring::{IoUring, SetupCause, SetupError};

#[test]
fn rings_that_are_disabled_are_refused() {
    let params = IoUring::builder().entries(8).r_disabled();
    let refused = Ring::with_params(params).expect_err("it is never enabled");
    let cause = |error: &SetupError| matches!(error.cause(), SetupCause::InvalidParams { .. });
    assert!(cause(&refused), "{refused}");
    let refused = UniformRing::<Nop>::with_params(params).expect_err("it is never enabled");
    assert!(cause(&refused), "{refused}");
}

#[test]
fn tickets_are_dropped_by_the_dozen_with_a_thread_of_the_kernels() {
    let ring = Ring::with_params(IoUring::builder().entries(2).sqpoll(1000)).expect("a ring");
    for _ in 0..20 {
        let mut tickets = Vec::new();
        let mut peers = Vec::new();
        while tickets.len() < 4 {
            let (socket, peer) = UnixStream::pair().expect("a pair");
            let mut recv = Recv {
                socket,
                buffer: vec![0; 8],
                flags: 0,
            };
            loop {
                match ring.push(recv) {
                    Ok(ticket) => break tickets.push(ticket),
                    Err(Full(back)) => recv = back,
                }
                ring.wait_for_space().expect("a submission");
            }
            peers.push(peer);
        }
        drop(tickets);
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
    }
}

#[test]
fn reads_and_writes_give_their_buffers_back() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let file = Arc::new(tempfile::tempfile()?);
    let write = Write {
        file: Arc::clone(&file),
        buffer: "some text",
        offset: 3,
    };
    let (written, text) = ring.push(write)?.wait()?;
    assert_eq!((written?, text), (9, "some text"));

    let read = Read {
        file: Arc::clone(&file),
        buffer: Vec::with_capacity(100),
        offset: 0,
    };
    let (read, bytes) = ring.push(read)?.wait()?;
    assert_eq!(read?, 12);
    assert_eq!(bytes, b"\0\0\0some text");
    assert_eq!(ring.operations(), 0);
    assert_eq!(Arc::strong_count(&file), 1, "the operations kept it");
    Ok(())
}

#[test]
fn buffer_comes_back_with_an_error() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let folder = File::open("/proc")?;
    let read = Read {
        file: folder,
        buffer: vec![7; 10],
        offset: 0,
    };
    let (read, bytes) = ring.push(read)?.wait()?;
    assert_eq!(
        read.expect_err("a folder").raw_os_error(),
        Some(libc::EISDIR)
    );
    assert_eq!(bytes, [7; 10]);
    Ok(())
}

#[test]
fn array_is_read_into_in_the_slot_and_large_one_in_a_box() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&[5; 4096])?;
    let file = Rc::new(file);
    let small = Read {
        file: Rc::clone(&file),
        buffer: [0; 16],
        offset: 0,
    };
    let large = Read {
        file,
        buffer: [0; 4096],
        offset: 0,
    };
    let (small, large) = (ring.push(small)?, ring.push(large)?);
    let (count, bytes) = large.wait()?;
    assert_eq!((count?, bytes), (4096, [5; 4096]));
    let (count, bytes) = small.wait()?;
    assert_eq!((count?, bytes), (16, [5; 16]));
    Ok(())
}

#[test]
fn full_ring_gives_the_operation_back() -> io::Result<()> {
    let ring = Ring::new(2)?;
    assert_eq!(ring.capacity(), 4);
    let mut tickets = vec![ring.push(Nop)?, ring.push(Nop)?];
    // The queue is full until it is submitted.
    let full = ring.push(Write {
        file: Arc::new(tempfile::tempfile()?),
        buffer: vec![1, 2, 3],
        offset: 0,
    });
    assert_eq!(full.expect_err("no room").0.buffer, [1, 2, 3]);
    ring.submit()?;
    tickets.extend([ring.push(Nop)?, ring.push(Nop)?]);
    ring.submit()?;
    // All slots are taken until outputs are.
    assert!(ring.push(Nop).is_err());
    for ticket in tickets.drain(..) {
        ticket.wait()??;
    }
    assert_eq!(ring.operations(), 0);
    ring.push(Nop)?.wait()??;
    Ok(())
}

#[test]
fn cancellation_says_what_it_found() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let sleep = ring.push(Sleep::new(Duration::from_secs(3600)))?;
    ring.submit()?;
    assert_eq!(sleep.cancel()?.wait()??, Cancelled::Stopped);
    let stopped = sleep.wait()?.expect_err("it was stopped");
    assert_eq!(stopped.raw_os_error(), Some(libc::ECANCELED));

    let nop = ring.push(Nop)?;
    ring.submit_and_wait(1)?;
    assert_eq!(nop.cancel()?.wait()??, Cancelled::NotFound);
    nop.wait()??;
    Ok(())
}

#[test]
fn limit_stops_what_takes_longer_and_nothing_else() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let (one, mut other) = UnixStream::pair()?;
    let one = Rc::new(one);
    let recv = |buffer| Recv {
        socket: Rc::clone(&one),
        buffer,
        flags: 0,
    };
    let (late, buffer) = ring
        .push_within(recv(vec![0; 8]), Duration::from_millis(2))?
        .wait()?;
    assert_eq!(
        late.expect_err("nothing was sent").raw_os_error(),
        Some(libc::ECANCELED)
    );
    other.write_all(b"in time")?;
    let (count, buffer) = ring
        .push_within(recv(buffer), Duration::from_secs(3600))?
        .wait()?;
    assert_eq!((count?, &buffer[..]), (7, &b"in time"[..]));
    // The limit has ended with what it was for.
    while ring.operations() > 0 {
        ring.submit_and_wait(1)?;
    }
    Ok(())
}

#[test]
fn limited_operation_is_pushed_whole_or_not_at_all() -> io::Result<()> {
    let ring = Ring::new(2)?;
    let first = ring.push(Nop)?;
    let full = ring.push_within(Nop, Duration::from_secs(1));
    assert!(full.is_err(), "there is room for one entry only");
    // Nothing of it is left.
    let second = ring.push(Nop)?;
    first.wait()??;
    second.wait()??;
    assert_eq!(ring.operations(), 0);
    Ok(())
}

#[test]
fn futures_are_driven_by_the_ring() -> io::Result<()> {
    let ring = Rc::new(Ring::new(8)?);
    let (one, other) = UnixStream::pair()?;
    let (one, other) = (Rc::new(one), Rc::new(other));
    let talk = async {
        let send = Send {
            socket: Rc::clone(&one),
            buffer: String::from("a question"),
            flags: 0,
        };
        let recv = Recv {
            socket: Rc::clone(&other),
            buffer: Vec::with_capacity(64),
            flags: 0,
        };
        let (receiving, sending) = (ring.push_shared(recv)?, ring.push_shared(send)?);
        let (count, text) = receiving.await;
        assert_eq!((count?, &text[..]), (10, &b"a question"[..]));
        let (count, text) = sending.await;
        assert_eq!((count?, &text[..]), (10, "a question"));
        io::Result::Ok(())
    };
    ring.block_on(talk)??;
    assert_eq!(ring.operations(), 0);
    Ok(())
}

#[test]
fn operation_that_was_dropped_before_it_was_submitted_never_runs() -> io::Result<()> {
    let file = Arc::new(tempfile::tempfile()?);
    let ring = Ring::new(8)?;
    let write = Write {
        file: Arc::clone(&file),
        buffer: "never written",
        offset: 0,
    };
    drop(ring.push(write)?);
    drop(ring);
    assert_eq!(file.metadata()?.len(), 0);
    assert_eq!(Arc::strong_count(&file), 1);
    Ok(())
}

#[test]
fn ring_that_is_closed_says_that_all_has_ended() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let (socket, _peer) = UnixStream::pair()?;
    let recv = Recv {
        socket,
        buffer: vec![0; 8],
        flags: 0,
    };
    drop(ring.push(recv)?);
    ring.submit()?;
    ring.close(Duration::from_secs(60))?;
    Ok(())
}

#[test]
fn file_is_flushed() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let file = tempfile::tempfile()?;
    let fsync = Fsync {
        file,
        flags: lio_uring::operation::FsyncFlags::DATASYNC,
    };
    ring.push(fsync)?.wait()?
}

#[test]
fn output_is_taken_once() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let mut ticket = ring.push(Nop)?;
    ring.block_on(&mut ticket)??;
    assert!(ticket.is_done());
    assert_eq!(format!("{ticket:?}"), "Ticket { done: true, .. }");
    assert_eq!(ticket.cancel()?.wait()??, Cancelled::NotFound);
    // Another operation is in the slot now, which must stay its ticket's.
    let other = ring.push(Nop)?;
    ring.submit_and_wait(1)?;
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ticket.try_take()));
    assert!(again.is_err(), "it was taken twice");
    other.wait()??;
    Ok(())
}
