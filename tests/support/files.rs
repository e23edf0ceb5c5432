//! Files without a name, and what is in them.

#![allow(dead_code, reason = "no test needs all of it")]

use std::fs::File;
use std::os::unix::fs::FileExt;

pub(crate) fn file(contents: &[u8]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(contents, 0).expect("room on the disk");
    file
}

/// All that is in a file.
#[track_caller]
pub(crate) fn contents(file: &File) -> Vec<u8> {
    let length = file.metadata().expect("a file").len();
    let mut contents = vec![0; length.try_into().expect("a small file")];
    file.read_exact_at(&mut contents, 0)
        .expect("as many bytes as there are");
    contents
}

/// Bytes that tell their place.
pub(crate) fn bytes(n: usize) -> Vec<u8> {
    (0..=250).cycle().take(n).collect()
}
