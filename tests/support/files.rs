//! Files with something in them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// A file with this in it.
#[track_caller]
pub(crate) fn file(contents: &[u8]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(contents, 0).expect("room on the disk");
    file
}

/// All that a small file has in it.
#[track_caller]
pub(crate) fn contents(file: &File) -> Vec<u8> {
    let mut contents = vec![0; 100];
    let n = file.read_at(&mut contents, 0).expect("it can be read");
    assert!(n < contents.len(), "it is not small");
    contents.truncate(n);
    contents
}
