//! Protection information on files that have none.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::AsRawFd;

use lio_uring::kind::Threads;
use lio_uring::operation::{Operation, ProtectionInformation, Read, Write};
use lio_uring::{CompletionQueue, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/kernel.rs"]
mod kernel;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use files::{contents, file};
use rings::run;

fn read_of(file: &File, buffer: &mut [u8; 4]) -> Read {
    Read {
        fd: file.as_raw_fd(),
        ptr: buffer.as_mut_ptr().cast(),
        len: 4,
        offset: 0,
    }
}

fn write_of(file: &File, text: &[u8; 4]) -> Write {
    Write {
        fd: file.as_raw_fd(),
        ptr: text.as_ptr().cast(),
        len: 4,
        offset: 0,
    }
}

/// Runs a read or write with protection information, and returns the result.
#[track_caller]
fn protected<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
) -> i32 {
    let mut checksums = [0xaa; 8];
    let information = ProtectionInformation::new(checksums.as_mut_ptr(), 8);
    // SAFETY: the information and the checksums stay until the completion has been taken, and so do
    // the buffers and files of the tests.
    let done = unsafe {
        run(cq, sq, operation, |sqe| {
            sqe.set_protection_information(&raw const information);
        })
    };
    assert_eq!(checksums, [0xaa; 8]);
    done.raw_result()
}

#[test]
fn protection_information_of_a_file_without_it_is_refused_or_ignored() {
    each_ring!(|cq, sq| {
        let file = file(b"unchanged");
        let mut buffer = [0xaa; 4];
        let read = protected(cq, sq, &read_of(&file, &mut buffer));
        let written = protected(cq, sq, &write_of(&file, b"lost"));
        if kernel::older_than(6, 14) {
            assert_eq!((read, written), (4, 4));
            assert_eq!(&buffer, b"unch");
            assert_eq!(contents(&file), b"lostanged");
        } else {
            assert_eq!((read, written), (-libc::EINVAL, -libc::EINVAL));
            assert_eq!(buffer, [0xaa; 4]);
            assert_eq!(contents(&file), b"unchanged");
        }
    });
}
