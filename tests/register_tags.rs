//! Tags: completions that tell when the ring has let go of a file or buffer.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::os::fd::AsRawFd;

use lio_uring::operation::{Read, ReadFixed};
use lio_uring::{
    CompletionQueue, RegisterCause, RegisterError, SqeFlags, SubmissionQueue, with_capacity,
};

/// The user data of the completions that are there, all of which have the result 0.
#[track_caller]
fn tags(cq: &mut CompletionQueue, n: u32) -> Vec<u64> {
    cq.wait(n).expect("a wait");
    let mut tags: Vec<_> = cq
        .completions()
        .inspect(|completion| assert_eq!(completion.raw_result(), 0))
        .map(|completion| completion.user_data())
        .collect();
    tags.sort_unstable();
    tags
}

/// Checks that a whole table has gone with the tags of what was left in it.
#[track_caller]
fn unregistered(cq: &mut CompletionQueue, left: &[u64]) {
    if kernel::older_than(6, 13) {
        assert_eq!(cq.try_next().expect("no error"), None);
        return;
    }
    let n = left.len().try_into().expect("few tags");
    assert_eq!(tags(cq, n), left);
    assert_eq!(cq.try_next().expect("no error"), None);
}

fn files(sq: &mut SubmissionQueue, fds: &[i32], tags: &[u64]) -> Result<(), RegisterError> {
    // SAFETY: the tests tell tags from user data.
    unsafe { sq.register_files_tags(fds, tags) }
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, RegisterError>) {
    let error = result.expect_err("it cannot be done");
    assert_eq!(error.errno(), libc::EINVAL, "{error}");
    assert!(
        matches!(error.cause(), RegisterCause::Refused { .. }),
        "{error}"
    );
}

#[test]
fn tags_of_files_come_back_when_they_are_replaced_and_unregistered() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let null = File::open("/dev/null").unwrap();
    let fd = null.as_raw_fd();
    let made = files(&mut sq, &[fd, fd, -1, fd], &[101, 0, 0, 104]);
    if kernel::since(5, 13, made).is_none() {
        return;
    }
    assert_eq!(cq.try_next().unwrap(), None);

    // SAFETY: as for the registration.
    let updated = unsafe { sq.register_files_update_tags(0, &[fd, fd, fd], &[201, 202, 203]) };
    assert_eq!(updated.unwrap(), 3);
    assert_eq!(tags(&mut cq, 1), [101], "the second had no tag");
    // -2 leaves a place and its tag alone.
    // SAFETY: as above.
    let updated = unsafe { sq.register_files_update_tags(0, &[-1, -2], &[0, 0]) };
    assert_eq!(updated.unwrap(), 2);
    assert_eq!(tags(&mut cq, 1), [201]);

    sq.unregister_files().unwrap();
    unregistered(&mut cq, &[104, 202, 203]);
}

#[test]
fn tag_of_a_file_in_use_comes_back_when_its_operation_has_ended() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    if kernel::since(5, 13, files(&mut sq, &[reader.as_raw_fd()], &[77])).is_none() {
        return;
    }
    let mut byte = [0u8; 1];
    let read = Read {
        fd: 0,
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the buffer lives until the completion has been taken.
    unsafe { sq.push_with_flags(&read, 1, SqeFlags::FIXED_FILE) }.unwrap();
    sq.submit().unwrap();
    sq.register_files_update(0, &[-1]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(cq.try_next().unwrap(), None, "the read has the file");

    writer.write_all(b"x").unwrap();
    assert_eq!(cq.wait(2).unwrap(), 2);
    let mut ended: Vec<_> = cq
        .completions()
        .map(|completion| (completion.user_data(), completion.raw_result()))
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, [(1, 1), (77, 0)]);
}

#[test]
fn tags_of_buffers_come_back_when_they_are_replaced_and_unregistered() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let mut memory = [[0u8; 64]; 3];
    let [first, second, third] = &mut memory;
    let buffers = [IoSliceMut::new(first), IoSliceMut::new(second)];
    // SAFETY: the memory outlives the ring, and the tests tell tags from user data.
    let made = unsafe { sq.register_buffers_tags(&buffers, &[11, 12]) };
    if kernel::since(5, 13, made).is_none() {
        return;
    }
    // SAFETY: as above.
    let updated = unsafe { sq.register_buffers_update_tags(1, &[IoSliceMut::new(third)], &[13]) };
    assert_eq!(updated.unwrap(), 1);
    assert_eq!(tags(&mut cq, 1), [12]);

    let text = File::open("/proc/self/comm").unwrap();
    let read = ReadFixed {
        fd: text.as_raw_fd(),
        buf: memory[2].as_mut_ptr().cast(),
        nbytes: 4,
        offset: 0,
        buf_index: 1,
    };
    // SAFETY: the memory lives until the completion has been taken.
    unsafe { sq.push(&read, 1) }.unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(cq.next().unwrap().raw_result(), 4);
    assert_ne!(memory[2][..4], [0; 4]);

    sq.unregister_buffers().unwrap();
    unregistered(&mut cq, &[11, 13]);
}

#[test]
fn lists_of_different_lengths_are_refused() {
    let (_cq, mut sq) = with_capacity(8).unwrap();
    refused(files(&mut sq, &[-1, -1], &[1]));
    refused(files(&mut sq, &[-1], &[]));
    refused(files(&mut sq, &[], &[]));
    let mut memory = [0u8; 64];
    let buffers = [IoSliceMut::new(&mut memory)];
    // SAFETY: nothing is registered.
    refused(unsafe { sq.register_buffers_tags(&buffers, &[1, 2]) });
    // SAFETY: as above.
    refused(unsafe { sq.register_buffers_tags::<IoSliceMut<'_>>(&[], &[]) });

    sq.register_files(&[-1, -1]).unwrap();
    // SAFETY: as above.
    refused(unsafe { sq.register_files_update_tags(0, &[-1, -1], &[0]) });
    if kernel::since(5, 19, sq.register_buffers_sparse(2)).is_some() {
        // SAFETY: as above.
        refused(unsafe { sq.register_buffers_update_tags(0, &buffers, &[]) });
    }
}

#[test]
fn tag_of_an_empty_place_is_refused() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    refused(files(&mut sq, &[-1], &[5]));
    // Nothing was registered.
    assert_eq!(sq.unregister_files().unwrap_err().errno(), libc::ENXIO);
    sq.register_files(&[-1]).unwrap();
    // SAFETY: the tests tell tags from user data.
    let updated = unsafe { sq.register_files_update_tags(0, &[-1], &[5]) };
    assert_eq!(updated.unwrap_err().errno(), libc::EINVAL);
    let none = libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    };
    // SAFETY: an empty place names no memory.
    refused(unsafe { sq.register_buffers_tags(&[none], &[5]) });
    assert_eq!(cq.try_next().unwrap(), None);
}
