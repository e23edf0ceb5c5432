//! The owned layer: making pipes, and moving data through them.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use lio_uring::operation::{OpCode, SPLICE_F_FD_IN_FIXED};
use lio_uring::owned::{Pipe, Ring, Splice, Tee};

#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/pipes.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod pipes;
#[path = "support/stops.rs"]
mod stops;

use files::{contents, file};
use pipes::{assert_empty, pipe_with, taken};
use stops::assert_stops;

use outcome::{errno, run};

fn splice<F, T>(from: F, from_offset: Option<u64>, to: T, to_offset: Option<u64>) -> Splice<F, T> {
    Splice {
        from,
        from_offset,
        to,
        to_offset,
        len: 5,
        flags: 0,
    }
}

#[test]
fn pipe_has_two_ends() -> io::Result<()> {
    if !needs::operations(&[OpCode::PIPE]) {
        return Ok(());
    }
    let (reader, writer) = run(Pipe::new(libc::O_NONBLOCK))?;
    for end in [&reader, &writer] {
        // SAFETY: the command takes no pointer.
        let flags = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    let mut text = String::new();
    let nothing = reader.read_to_string(&mut text).expect_err("it is empty");
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    writer.write_all(b"through")?;
    drop(writer);
    reader.read_to_string(&mut text)?;
    assert_eq!(text, "through");
    assert_eq!(errno(run(Pipe::new(1 << 30))), libc::EINVAL);
    Ok(())
}

#[test]
fn splice_moves_from_files_to_pipes_and_back() -> io::Result<()> {
    let source = Arc::new(file(b"0123456789"));
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (Arc::new(reader), Arc::new(writer));
    let moved = run(splice(
        Arc::clone(&source),
        Some(2),
        Arc::clone(&writer),
        None,
    ))?;
    assert_eq!(moved, 5);
    let target = Arc::new(file(b"........."));
    let moved = run(splice(
        Arc::clone(&reader),
        None,
        Arc::clone(&target),
        Some(1),
    ))?;
    assert_eq!(moved, 5);
    assert_eq!(contents(&target), b".23456...");
    assert_empty(&reader);
    // At the end there is nothing.
    let moved = run(splice(
        Arc::clone(&source),
        Some(10),
        Arc::clone(&writer),
        None,
    ))?;
    assert_eq!(moved, 0);
    // Without an offset it begins at the position, and moves it.
    for expected in [b"01234", b"56789"] {
        assert_eq!(
            run(splice(Arc::clone(&source), None, Arc::clone(&writer), None))?,
            5
        );
        assert_eq!(taken(&reader, 5), expected);
    }
    Ok(())
}

#[test]
fn splice_that_cannot_be_gives_an_error() {
    let files = [file(b"01"), file(b"23")].map(Arc::new);
    let (reader, writer) = pipe_with(b"text");
    let (reader, writer) = (Arc::new(reader), Arc::new(writer));
    let no_pipe = run(splice(
        Arc::clone(&files[0]),
        None,
        Arc::clone(&files[1]),
        None,
    ));
    assert_eq!(errno(no_pipe), libc::EINVAL);
    let offset = run(splice(
        Arc::clone(&reader),
        Some(0),
        Arc::clone(&files[0]),
        None,
    ));
    assert_eq!(errno(offset), libc::ESPIPE);
    let wrong_end = run(splice(
        Arc::clone(&files[0]),
        Some(0),
        Arc::clone(&reader),
        None,
    ));
    assert_eq!(errno(wrong_end), libc::EBADF);
    // No offset is taken for the file's position.
    for beyond in [u64::MAX, 1 << 63] {
        let from = run(splice(
            Arc::clone(&files[0]),
            Some(beyond),
            Arc::clone(&writer),
            None,
        ));
        assert_eq!(errno(from), libc::EINVAL);
        let to = run(splice(
            Arc::clone(&reader),
            None,
            Arc::clone(&files[0]),
            Some(beyond),
        ));
        assert_eq!(errno(to), libc::EINVAL);
    }
    assert_eq!(taken(&reader, 4), b"text");
    let empty = Splice {
        flags: libc::SPLICE_F_NONBLOCK,
        ..splice(reader, None, Arc::clone(&files[0]), None)
    };
    assert_eq!(errno(run(empty)), libc::EAGAIN);
    assert_eq!(contents(&files[0]), b"01");
}

#[test]
fn tee_copies_and_leaves_the_data() -> io::Result<()> {
    let (from, _writer) = pipe_with(b"twice");
    let from = Arc::new(from);
    let (reader, to) = io::pipe()?;
    let tee = |len, to| Tee {
        from: Arc::clone(&from),
        to,
        len,
        flags: 0,
    };
    assert_eq!(run(tee(100, to))?, 5);
    assert_eq!(taken(&reader, 5), b"twice");
    assert_eq!(taken(&from, 5), b"twice");
    let no_pipe = Tee {
        from: Arc::clone(&from),
        to: file(b""),
        len: 1,
        flags: 0,
    };
    assert_eq!(errno(run(no_pipe)), libc::EINVAL);
    Ok(())
}

#[test]
fn transfer_that_waits_is_stopped() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let (from, _writer) = io::pipe()?;
    let from = Arc::new(from);
    let waits = splice(Arc::clone(&from), None, file(b""), Some(0));
    assert_stops(&ring, waits);
    let (_reader, to) = io::pipe()?;
    let waits = Tee {
        from,
        to,
        len: 1,
        flags: 0,
    };
    assert_stops(&ring, waits);
    Ok(())
}

#[test]
fn registered_files_are_told_from_descriptors_at_both_ends() {
    let ring = Ring::new(8).expect("a ring");
    let slots = ring.register_slots(2).expect("places");
    let slot = slots.insert(file(b"registered")).expect("a place");
    let (reader, writer) = io::pipe().expect("a pipe");
    let moved = ring.push(splice(slot.clone(), Some(0), writer, None));
    assert_eq!(
        moved.expect("room").wait().expect("an end").expect("moved"),
        5
    );
    assert_eq!(taken(&reader, 5), b"regis");

    let (reader, writer) = io::pipe().expect("a pipe");
    let end = slots.insert(writer).expect("a place");
    let moved = ring.push(splice(slot.clone(), Some(3), end, None));
    assert_eq!(
        moved.expect("room").wait().expect("an end").expect("moved"),
        5
    );
    assert_eq!(taken(&reader, 5), b"ister");

    // Another ring has no such file, whichever end it is.
    let (_reader, writer) = io::pipe().expect("a pipe");
    let from = run(splice(slot.clone(), Some(0), writer, None));
    assert_eq!(errno(from), libc::EBADF);
    let to = run(splice(file(b"01234"), Some(0), slot, None));
    assert_eq!(errno(to), libc::EBADF);

    let (reader, writer) = io::pipe().expect("a pipe");
    let claims = Splice {
        flags: SPLICE_F_FD_IN_FIXED,
        ..splice(file(b"01234"), Some(0), writer, None)
    };
    assert_eq!(run(claims).expect("the flag is taken away"), 5);
    assert_eq!(taken(&reader, 5), b"01234");
}
