//! A folder to work in, and paths as the kernel takes them.

#![allow(dead_code, reason = "no test needs all of it")]

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}

/// A folder with files `one` and `two`, which hold their names, and an empty folder `empty`.
pub(crate) struct Folder {
    pub(crate) path: tempfile::TempDir,
    directory: File,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let path = tempfile::tempdir().expect("a temporary folder");
        for name in ["one", "two"] {
            fs::write(path.path().join(name), name).expect("room on the disk");
        }
        fs::create_dir(path.path().join("empty")).expect("room on the disk");
        let directory = File::open(path.path()).expect("the folder is there");
        Self { path, directory }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.directory.as_raw_fd()
    }

    pub(crate) fn c_path(&self, name: &str) -> CString {
        c_path(&self.path.path().join(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path.path().join(name).symlink_metadata().is_ok()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path.path().join(name)).expect("a file of this name")
    }
}
