//! Chains of the owned layer: whole or not at all, and what ends them.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{
    Close, CloseDirect, Fsync, Full, Hard, Nop, OpenDirect, Read, Recv, Ring, Sleep, Ticket,
    Within, Write,
};

fn ring() -> Ring {
    Ring::new(8).expect("a ring")
}

type Bytes = (io::Result<usize>, Vec<u8>);

#[track_caller]
fn wait<O: lio_uring::owned::Operation>(ticket: Ticket<&Ring, O>) -> O::Output {
    ticket.wait().expect("a submission")
}

#[track_caller]
fn assert_cancelled<T: std::fmt::Debug>(result: io::Result<T>) {
    let errno = result.expect_err("an error").raw_os_error();
    assert_eq!(errno, Some(libc::ECANCELED));
}

#[test]
fn links_run_one_after_the_other() {
    let ring = ring();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path);
    let file = Rc::new(file.expect("a file"));
    for round in 0..20u8 {
        let write = Write {
            file: Rc::clone(&file),
            buffer: vec![round; 1000],
            offset: 0,
        };
        let fsync = Fsync {
            file: Rc::clone(&file),
            flags: FsyncFlags::DATASYNC,
        };
        let read = Read {
            file: Rc::clone(&file),
            buffer: vec![0; 1000],
            offset: 0,
        };
        let (written, synced, read) = ring.push_chain((write, fsync, read)).expect("room");
        let (count, bytes): Bytes = wait(read);
        assert_eq!((count.expect("no error"), bytes), (1000, vec![round; 1000]));
        wait(synced).expect("no error");
        assert_eq!(wait(written).0.expect("no error"), 1000);
    }
}

#[test]
fn short_read_ends_a_chain_unless_it_is_tied_hard() {
    let ring = ring();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"short").expect("room");
    let file = Rc::new(file);
    let read = |len| Read {
        file: Rc::clone(&file),
        buffer: vec![0; len],
        offset: 0,
    };
    let (whole, after) = ring.push_chain((read(5), Nop)).expect("room");
    assert_eq!(wait(whole).0.expect("no error"), 5);
    wait(after).expect("no error");

    let (short, after) = ring.push_chain((read(6), Nop)).expect("room");
    assert_eq!(wait(short).0.expect("no error"), 5);
    assert_cancelled(wait(after));

    let (short, after, last) = ring.push_chain((Hard(read(6)), Nop, Nop)).expect("room");
    assert_eq!(wait(short).0.expect("no error"), 5);
    wait(after).expect("no error");
    wait(last).expect("no error");
}

#[test]
fn what_is_behind_a_failure_never_runs_and_comes_back() {
    let ring = ring();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "before").expect("room");
    let write = |file, text: &str| Write {
        file,
        buffer: text.as_bytes().to_vec(),
        offset: 0,
    };
    let read_only = write(File::open(&path).expect("a file"), "one");
    let file = OpenOptions::new().write(true).open(&path).expect("a file");
    let other = write(file, "two");
    let (one, two) = ring.push_chain((read_only, other)).expect("room");
    let (count, buffer) = wait(two);
    assert_cancelled(count);
    assert_eq!(buffer, b"two");
    let (count, buffer) = wait(one);
    assert_eq!(
        count.expect_err("an error").raw_os_error(),
        Some(libc::EBADF)
    );
    assert_eq!(buffer, b"one");
    assert_eq!(fs::read(&path).expect("the file"), b"before");
}

#[test]
fn chain_is_pushed_whole_or_given_back_at_every_fill_of_the_queue() {
    for filled in 0..=8 {
        let ring = ring();
        let before: Vec<_> = (0..filled).map(|_| ring.push(Nop).expect("room")).collect();
        let read = |len| Read {
            file: File::open("/dev/zero").expect("a file"),
            buffer: vec![1; len],
            offset: 0,
        };
        let limit = Duration::from_secs(3600);
        let limited = Within {
            link: Hard(read(20)),
            limit,
        };
        match ring.push_chain((read(10), limited, Nop)) {
            Ok((first, second, third)) => {
                assert!(filled <= 4, "{filled}");
                assert_eq!(wait(third).expect("no error"), ());
                assert_eq!(wait(first).1, [0; 10]);
                assert_eq!(wait(second).1, [0; 20]);
            }
            Err(Full((first, second, Nop))) => {
                assert!(filled > 4, "{filled}");
                assert_eq!((first.buffer.len(), second.link.0.buffer.len()), (10, 20));
                assert_eq!(second.limit, limit);
                assert_eq!(ring.operations(), filled);
            }
        }
        for ticket in before {
            wait(ticket).expect("no error");
        }
        while ring.operations() > 0 {
            ring.submit_and_wait(1).expect("a submission");
        }
    }
}

#[test]
fn chain_that_finds_no_slots_is_given_back() {
    let ring = ring();
    let all = ring.capacity();
    let mut sleeps = Vec::new();
    while ring.operations() < all - 1 {
        match ring.push(Sleep::new(Duration::from_secs(3600))) {
            Ok(sleep) => sleeps.push(sleep),
            Err(Full(_)) => ring.submit().expect("a submission"),
        }
    }
    ring.submit().expect("a submission");
    let Full((Nop, Nop)) = ring.push_chain((Nop, Nop)).expect_err("one slot");
    let Full(links) = ring.push_chain(vec![Nop; 3]).expect_err("one slot");
    assert_eq!(links.len(), 3);
    assert_eq!(ring.operations(), all - 1);
    wait(ring.push_chain((Nop,)).expect("one slot").0).expect("no error");
}

/// A vector of links is one as any other, also where the trait of chains is in scope.
#[test]
fn vectors_of_links_are_pushed_to() {
    #[expect(unused_imports, reason = "its methods are not taken for the vector's")]
    use lio_uring::owned::Chain as _;

    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(Nop);
    }
    let tickets = ring().push_chain(links).map(|tickets| tickets.len());
    assert_eq!(tickets.expect("room"), 3);
}

#[test]
fn chains_of_any_length_are_vectors() {
    let ring = Ring::new(64).expect("a ring");
    let tickets = ring.push_chain(vec![Nop; 64]).expect("room");
    assert_eq!(tickets.len(), 64);
    for ticket in tickets {
        wait(ticket).expect("no error");
    }
    assert!(
        ring.push_chain(Vec::<Nop>::new())
            .expect("nothing to push")
            .is_empty()
    );
    assert!(ring.push_chain(vec![Nop; 65]).is_err());
    assert_eq!(ring.operations(), 0);
}

#[test]
fn limit_ends_its_link_and_the_chain() {
    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let recv = Recv {
        socket,
        buffer: vec![0; 8],
        flags: 0,
    };
    let limited = Within {
        link: recv,
        limit: Duration::from_millis(1),
    };
    let (received, after) = ring.push_chain((limited, Nop)).expect("room");
    let (count, buffer) = wait(received);
    assert_cancelled(count);
    assert_eq!(buffer.len(), 8);
    assert_cancelled(wait(after));
}

#[test]
fn dropped_ticket_ends_the_chain() {
    let ring = ring();
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let recv = Recv {
        socket,
        buffer: vec![0; 8],
        flags: 0,
    };
    let (received, after) = ring.push_chain((recv, Nop)).expect("room");
    ring.submit().expect("a submission");
    drop(received);
    assert_cancelled(wait(after));
    assert_eq!(ring.operations(), 0);
}

#[test]
fn dropped_link_is_stopped_when_it_begins_however_late() {
    let ring = ring();
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let recv = Recv {
        socket,
        buffer: vec![0; 8],
        flags: 0,
    };
    // The kernel does not find the link as long as this takes, however often it is asked.
    let pause = Hard(Sleep::new(Duration::from_millis(200)));
    let (pause, dropped) = ring.push_chain((pause, recv)).expect("room");
    drop(dropped);
    // Otherwise it would wait for ever.
    let (has_ended, end) = mpsc::channel::<()>();
    let helper = thread::spawn(move || {
        let late = end.recv_timeout(Duration::from_secs(60)).is_err();
        late.then(|| peer.write_all(&[1; 8]))
    });
    wait(pause).expect("time has passed");
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
    has_ended.send(()).expect("the helper waits");
    let late = helper.join().expect("no panic");
    assert!(late.is_none(), "it went on until something was sent");
}

#[test]
fn file_is_opened_read_and_closed_in_one_chain() {
    if kernel::lacks(5, 15, "opening into places") {
        return;
    }
    let ring = ring();
    let slots = ring.register_slots(1).expect("places");
    for (path, start) in [(c"/proc/self/exe", *b"\x7fELF"), (c"/dev/zero", [0; 4])] {
        let slot = slots.take().expect("a place");
        let open = OpenDirect {
            path: path.into(),
            flags: libc::O_RDONLY,
            mode: 0,
            slot: slot.clone(),
        };
        let read = Read {
            file: slot.clone(),
            buffer: vec![0; 4],
            offset: 0,
        };
        let chain = (open, Hard(read), CloseDirect { slot });
        let (opened, read, closed) = ring.push_chain(chain).expect("room");
        wait(closed).0.expect("no error");
        let (count, bytes) = wait(read);
        assert_eq!((count.expect("no error"), &*bytes), (4, start.as_slice()));
        wait(opened).expect("no error");
        assert_eq!(slots.available(), 1);
    }
}

#[test]
fn chain_closes_what_it_has_written() {
    let ring = ring();
    let (reader, writer) = io::pipe().expect("a pipe");
    let write = Write {
        file: writer.try_clone().expect("another"),
        buffer: "bye",
        offset: u64::MAX,
    };
    let close = Close { fd: writer.into() };
    let (written, closed) = ring.push_chain((write, close)).expect("room");
    wait(closed).expect("no error");
    assert_eq!(wait(written).0.expect("no error"), 3);
    assert_eq!(io::read_to_string(reader).expect("text"), "bye");
}
