//! Protection information on files that have none.

#![cfg(target_os = "linux")]

use std::os::fd::AsRawFd;

use lio_uring::operation::{ProtectionInformation, Read, Write};

#[path = "support/files.rs"]
mod files;
#[path = "support/kernel.rs"]
mod kernel;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{contents, file};
use rings::run;

#[test]
fn protection_information_of_a_file_without_it_is_refused() {
    if kernel::older_than(6, 14) {
        return println!("SKIP: protection information came with Linux 6.14");
    }
    let file = file(b"unchanged");
    each_ring!(|cq, sq| {
        let mut checksums = [0xaa; 8];
        let information = ProtectionInformation::new(checksums.as_mut_ptr(), 8);
        let mut buffer = [0xaa; 4];
        let read = Read {
            fd: file.as_raw_fd(),
            ptr: buffer.as_mut_ptr().cast(),
            len: 4,
            offset: 0,
        };
        // SAFETY: all of it stays until the completion has been taken.
        let done = unsafe {
            run(cq, sq, &read, |sqe| {
                sqe.set_protection_information(&raw const information);
            })
        };
        assert_eq!(done.raw_result(), -libc::EINVAL);
        let write = Write {
            fd: file.as_raw_fd(),
            ptr: b"lost".as_ptr().cast(),
            len: 4,
            offset: 0,
        };
        // SAFETY: as above.
        let done = unsafe {
            run(cq, sq, &write, |sqe| {
                sqe.set_protection_information(&raw const information);
            })
        };
        assert_eq!(done.raw_result(), -libc::EINVAL);
        assert_eq!((buffer, checksums), ([0xaa; 4], [0xaa; 8]));
        assert_eq!(contents(&file), b"unchanged");
    });
}
