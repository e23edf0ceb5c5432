//! Filling and emptying pipes.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd;

/// A pipe with text in it.
#[track_caller]
pub(crate) fn pipe_with(text: &[u8]) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(text).expect("room in the pipe");
    (reader, writer)
}

/// Takes `n` bytes out of a pipe.
#[track_caller]
pub(crate) fn taken(mut reader: &PipeReader, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    reader.read_exact(&mut bytes).expect("as many bytes");
    bytes
}

/// Checks that there is nothing in a pipe.
///
/// It does not wait for the pipe's end: a ring for one thread may hold files of operations that a
/// worker has completed until it is entered again.
#[track_caller]
pub(crate) fn assert_empty(reader: &PipeReader) {
    let mut there = 0;
    // SAFETY: the descriptor is open, and the answer is an integer.
    let result = unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &raw mut there) };
    assert_eq!((result, there), (0, 0), "{}", io::Error::last_os_error());
}

/// Fills a pipe until it takes no more, and returns how much that is.
#[track_caller]
pub(crate) fn fill(mut writer: &PipeWriter) -> usize {
    // SAFETY: the command takes no pointer.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let size = usize::try_from(size).expect("a size");
    writer.write_all(&vec![b'x'; size]).expect("as much room");
    size
}
