//! The owned layer: tickets, and what becomes of operations.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use lio_uring::owned::{Nop, Read, Ring, Write};

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
