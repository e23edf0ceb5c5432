//! The owned layer: several buffers at once.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lio_uring::owned::{Buffer as _, Operation, Readv, Ring, Writev};

#[path = "support/files.rs"]
mod files;
#[path = "support/outcome.rs"]
mod outcome;

use files::{contents, file};

use outcome::{errno, run};

#[test]
fn readv_fills_buffers_in_their_order() -> io::Result<()> {
    let file = Arc::new(file(b"0123456789"));
    let vectors = vec![
        Vec::with_capacity(3),
        Vec::new(),
        Vec::with_capacity(5),
        vec![7; 5],
        vec![7; 5],
    ];
    let capacities: Vec<_> = vectors.iter().map(Vec::capacity).collect();
    let (count, vectors) = run(Readv::new(Arc::clone(&file), vectors, 1));
    assert_eq!(count?, 9);
    let texts: Vec<_> = vectors.iter().map(|text| &text[..]).collect();
    assert_eq!(texts, [&b"123"[..], b"", b"45678", b"9", b""]);
    let same: Vec<_> = vectors.iter().map(Vec::capacity).collect();
    assert_eq!(same, capacities);

    let arrays = [[b'.'; 4]; 3];
    let (count, arrays) = run(Readv::new(Arc::clone(&file), arrays, 0));
    assert_eq!((count?, arrays), (10, [*b"0123", *b"4567", *b"89.."]));
    let boxed = vec![[b'.'; 4]; 3];
    let (count, boxed) = run(Readv::new(Arc::clone(&file), boxed, 8));
    assert_eq!(count?, 2);
    assert_eq!(boxed, [*b"89..", *b"....", *b"...."]);

    // At the end nothing is left for any.
    let (count, vectors) = run(Readv::new(file, [vec![7; 5], vec![7; 5]], 10));
    assert_eq!((count?, vectors), (0, [Vec::new(), Vec::new()]));
    Ok(())
}

#[test]
fn readv_that_fails_leaves_buffers_as_they_were() -> io::Result<()> {
    let folder = Arc::new(File::open("/proc")?);
    let (count, vectors) = run(Readv::new(Arc::clone(&folder), [vec![7; 5], vec![8]], 0));
    assert_eq!(errno(count), libc::EISDIR);
    assert_eq!(vectors, [vec![7; 5], vec![8]]);
    let unknown = Readv::new(file(b"text"), [vec![7; 5]], 0).flags(1 << 30);
    let (count, vectors) = run(unknown);
    let refused = errno(count);
    assert!([libc::EOPNOTSUPP, libc::EINVAL].contains(&refused));
    assert_eq!(vectors, [vec![7; 5]]);
    Ok(())
}

#[test]
fn vectored_of_too_many_buffers_is_refused() -> io::Result<()> {
    let file = Arc::new(file(b""));
    let (count, vectors) = run(Writev::new(Arc::clone(&file), vec![*b"ab"; 1024], 0));
    assert_eq!((count?, vectors.len()), (2048, 1024));
    let (count, vectors) = run(Writev::new(Arc::clone(&file), vec![*b"ab"; 1025], 0));
    assert_eq!(errno(count), libc::EINVAL);
    assert_eq!(vectors, [*b"ab"; 1025]);
    let (count, vectors) = run(Readv::new(Arc::clone(&file), vec![vec![7]; 1025], 0));
    assert_eq!(errno(count), libc::EINVAL);
    assert_eq!(vectors, vec![vec![7]; 1025]);
    // None at all is no error.
    let (count, []) = run(Readv::new(Arc::clone(&file), <[Vec<u8>; 0]>::default(), 0));
    assert_eq!(count?, 0);
    let (count, vectors) = run(Writev::new(file, Vec::<String>::new(), 0));
    assert_eq!((count?, vectors.len()), (0, 0));
    Ok(())
}

#[test]
fn writev_writes_buffers_in_their_order() -> io::Result<()> {
    let file = Arc::new(file(b"........"));
    let texts = vec!["one", "", " two", " three"];
    let (count, texts) = run(Writev::new(Arc::clone(&file), texts, 2));
    assert_eq!(count?, 13);
    assert_eq!(texts, ["one", "", " two", " three"]);
    assert_eq!(contents(&file), b"..one two three");

    let shared: Arc<[u8]> = (*b"0123456789").into();
    let views = [2..5, 7..100].map(|range| Arc::clone(&shared).view(range));
    let (count, views) = run(Writev::new(Arc::clone(&file), views, 0).flags(libc::RWF_DSYNC));
    assert_eq!(count?, 6);
    assert_eq!(views.map(|view| view.start()), [2, 7]);
    assert_eq!(contents(&file), b"234789two three");
    Ok(())
}

#[test]
fn writev_that_fails_gives_buffers_back() {
    let read_only = File::open("/proc/self/comm").expect("every process has one");
    let texts = vec![String::from("some"), String::from("text")];
    let (count, texts) = run(Writev::new(read_only, texts, 0));
    assert_eq!(errno(count), libc::EBADF);
    assert_eq!(texts, ["some", "text"]);
}

#[test]
fn readv_of_a_stream_waits_until_there_is_something() -> io::Result<()> {
    let ring = Ring::new(8)?;
    let (one, mut other) = UnixStream::pair()?;
    let one = Arc::new(one);
    let buffers = [vec![7; 4], vec![7; 4]];
    let ticket = ring.push(Readv::new(Arc::clone(&one), buffers, u64::MAX))?;
    ring.submit()?;
    assert!(!ticket.is_done());
    other.write_all(b"sixish")?;
    let (count, [first, second]) = ticket.wait()?;
    assert_eq!(
        (count?, &first[..], &second[..]),
        (6, &b"sixi"[..], &b"sh"[..])
    );

    let write = Writev::new(one, [*b"ab", *b"cd"], u64::MAX);
    let (count, _) = ring.push(write)?.wait()?;
    assert_eq!(count?, 4);
    let mut text = [0; 4];
    other.read_exact(&mut text)?;
    assert_eq!(&text, b"abcd");
    Ok(())
}

#[test]
fn position_of_a_file_moves_with_vectored_operations() -> io::Result<()> {
    let file = Arc::new(file(b"0123456789"));
    let read = || run(Readv::new(Arc::clone(&file), [[0; 2], [0; 2]], u64::MAX));
    let ((first, one), (second, two)) = (read(), read());
    assert_eq!((first?, one), (4, [*b"01", *b"23"]));
    assert_eq!((second?, two), (4, [*b"45", *b"67"]));
    Ok(())
}

#[test]
fn operations_can_be_sent_with_what_can_be_sent() {
    fn can_be_sent<O: Operation + Send>(_: O) {}
    let file = Arc::new(file(b""));
    can_be_sent(Readv::new(Arc::clone(&file), vec![vec![7]], 0));
    can_be_sent(Writev::new(file, ["text"], 0));
}
