//! Registered files given from one ring to another.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, PipeReader, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{MsgRingFd, MsgRingFlags, Nop, OpCode, Read};
use lio_uring::{CompletionQueue, FileSlot, IoUring, IoUringParams, SqeFlags, SubmissionQueue};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use rings::{next, run};

/// The slot of the sender that holds the file.
const SOURCE: u32 = 1;
const DATA: u64 = u64::MAX - 1;

/// Whether files can be sent, which came with Linux 6.0, as `SEND_ZC` did.
fn possible() -> bool {
    needs::operations(&[OpCode::SEND_ZC])
}

fn message(fd: RawFd, target_fd: FileSlot) -> MsgRingFd {
    MsgRingFd {
        fd,
        source_fd: SOURCE,
        target_fd,
        data: DATA,
        flags: MsgRingFlags::empty(),
    }
}

/// Sends a file, and returns the result for the sender.
#[track_caller]
fn send<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    message: &MsgRingFd,
) -> i32 {
    // SAFETY: the targets are rings of this test, which expects what comes there.
    unsafe { run(cq, sq, message, |_| ()) }.raw_result()
}

/// A pipe with this in it.
fn pipe(text: &[u8]) -> PipeReader {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(text).expect("room");
    reader
}

/// Gives the sender a pipe with this in it, which nothing else holds.
#[track_caller]
fn load<T: Threads>(sq: &mut SubmissionQueue<T>, text: &[u8]) {
    let file = pipe(text);
    sq.register_files_update(SOURCE, &[file.as_raw_fd()])
        .expect("a table");
}

/// What the file in a slot has, or the error.
#[track_caller]
fn read<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    slot: i32,
) -> Result<Vec<u8>, i32> {
    let mut buffer = vec![0; 16];
    let read = Read {
        fd: slot,
        ptr: buffer.as_mut_ptr().cast(),
        len: 16,
        offset: 0,
    };
    // SAFETY: the buffer stays until the completion has been taken.
    let done = unsafe { run(cq, sq, &read, |sqe| sqe.insert_flags(SqeFlags::FIXED_FILE)) };
    let n = usize::try_from(done.raw_result()).map_err(|_| -done.raw_result())?;
    buffer.truncate(n);
    Ok(buffer)
}

/// Takes the completion at the target, and returns its result.
#[track_caller]
fn arrived<T: Threads>(cq: &mut CompletionQueue<T>) -> i32 {
    let done = next(cq);
    assert_eq!((done.user_data(), done.flags().bits()), (DATA, 0));
    done.result().expect("a file")
}

/// Sends files to a ring in all ways.
#[track_caller]
fn send_to<T: Threads, U: Threads>(
    (cq, sq): (&mut CompletionQueue<T>, &mut SubmissionQueue<T>),
    (target, target_sq): (&mut CompletionQueue<U>, &mut SubmissionQueue<U>),
) {
    let fd = target_sq.fd().expect("a descriptor").as_raw_fd();
    sq.register_files_sparse(2).expect("a table");
    target_sq.register_files_sparse(3).expect("a table");
    load(sq, b"to a slot");
    assert_eq!(send(cq, sq, &message(fd, FileSlot::At(2))), 0);
    assert_eq!(arrived(target), 0);
    // The target holds the file by itself.
    load(sq, b"to any slot");
    assert_eq!(read(target, target_sq, 2), Ok(b"to a slot".to_vec()));
    for slot in [0, 1] {
        assert_eq!(send(cq, sq, &message(fd, FileSlot::Allocate)), slot);
        assert_eq!(arrived(target), slot);
    }
    let full = send(cq, sq, &message(fd, FileSlot::Allocate));
    assert_eq!(full, -libc::ENFILE);
    assert_eq!(read(target, target_sq, 0), Ok(b"to any slot".to_vec()));
    // What a slot held is replaced.
    load(sq, b"instead");
    let silent = MsgRingFd {
        flags: MsgRingFlags::CQE_SKIP,
        ..message(fd, FileSlot::At(0))
    };
    assert_eq!(send(cq, sq, &silent), 0);
    assert_eq!(read(target, target_sq, 0), Ok(b"instead".to_vec()));
    assert_eq!(target.try_next().expect("no error"), None);
    // The sender has it still.
    target_sq.unregister_files().expect("a table");
    assert_eq!(read(cq, sq, 1), Ok(Vec::new()));
}

#[test]
fn message_gives_files_to_a_ring_of_two_halves() {
    if !possible() {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, mut target_sq) = lio_uring::with_capacity(4).unwrap();
        send_to((cq, sq), (&mut target, &mut target_sq));
    });
}

#[test]
fn message_gives_files_to_a_ring_for_one_thread() {
    if !possible() {
        return;
    }
    each_ring!(|cq, sq| {
        let mut ring = IoUring::new(4).unwrap();
        send_to((cq, sq), ring.queues());
    });
}

#[test]
fn message_of_a_file_that_is_not_there_gives_ebadf() {
    if !possible() {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut target, mut target_sq) = lio_uring::with_capacity(4).unwrap();
        target_sq.register_files_sparse(1).unwrap();
        let message = message(target.as_raw_fd(), FileSlot::At(0));
        assert_eq!(send(cq, sq, &message), -libc::EBADF, "no table");
        sq.register_files_sparse(2).unwrap();
        for source_fd in [0, 1, 2, u32::MAX] {
            let message = MsgRingFd {
                source_fd,
                ..message
            };
            assert_eq!(send(cq, sq, &message), -libc::EBADF, "{source_fd}");
        }
        assert_eq!(target.try_next().unwrap(), None);
    });
}

#[test]
fn message_of_a_file_to_what_cannot_take_it_fails() {
    if !possible() {
        return;
    }
    let null = File::open("/dev/null").unwrap();
    each_ring!(|cq, sq| {
        sq.register_files_sparse(2).unwrap();
        load(sq, b"kept");
        let (mut target, mut target_sq) = lio_uring::with_capacity(4).unwrap();
        let own = sq.fd().unwrap().as_raw_fd();
        let fd = target.as_raw_fd();
        for (fd, slot, errno) in [
            (null.as_raw_fd(), FileSlot::At(0), libc::EBADFD),
            (-1, FileSlot::At(0), libc::EBADF),
            (own, FileSlot::At(0), libc::EINVAL),
            (fd, FileSlot::At(0), libc::ENXIO),
            (fd, FileSlot::Allocate, libc::ENFILE),
        ] {
            assert_eq!(send(cq, sq, &message(fd, slot)), -errno, "{slot:?}");
        }
        target_sq.register_files_sparse(1).unwrap();
        for slot in [1, u32::MAX] {
            let done = send(cq, sq, &message(fd, FileSlot::At(slot)));
            assert_eq!(done, -libc::EINVAL, "{slot}");
        }
        let unknown = MsgRingFd {
            flags: MsgRingFlags::from_bits_retain(1 << 31),
            ..message(fd, FileSlot::At(0))
        };
        assert_eq!(send(cq, sq, &unknown), -libc::EINVAL);
        assert_eq!(target.try_next().unwrap(), None);
        assert_eq!(read(&mut target, &mut target_sq, 0), Err(libc::EBADF));
        assert_eq!(read(cq, sq, 1).unwrap(), b"kept");
    });
}

#[test]
fn message_of_a_file_to_a_ring_that_is_not_enabled_gives_ebadfd() {
    // Refused since Linux 6.2.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(2).unwrap();
        load(sq, b"text");
        let params = IoUringParams::default().entries(4).r_disabled();
        let (mut target, mut target_sq) = IoUring::with_params(params).unwrap();
        target_sq.register_files_sparse(1).unwrap();
        let message = message(target.as_raw_fd(), FileSlot::At(0));
        assert_eq!(send(cq, sq, &message), -libc::EBADFD);
        target_sq.enable().unwrap();
        assert_eq!(send(cq, sq, &message), 0);
        assert_eq!(arrived(&mut target), 0);
    });
}

#[test]
fn message_of_a_file_to_the_ring_of_a_thread_that_has_ended_is_refused_or_lost() {
    // Rings belong to threads since Linux 6.1.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(2).unwrap();
        load(sq, b"kept");
        let fd = thread::spawn(|| {
            let params = IoUring::builder()
                .entries(4)
                .single_issuer()
                .defer_taskrun();
            let mut ring = params.build().unwrap();
            ring.submission().register_files_sparse(1).unwrap();
            // The ring lives on as long as somebody has it open.
            ring.fd().unwrap().try_clone_to_owned().unwrap()
        })
        .join()
        .unwrap();
        let sent = send(cq, sq, &message(fd.as_raw_fd(), FileSlot::At(0)));
        if sent == 0 {
            assert!(kernel::older_than(6, 12), "it should be refused");
        } else {
            assert_eq!(sent, -libc::EOWNERDEAD);
        }
        assert_eq!(read(cq, sq, 1).unwrap(), b"kept");
    });
}

#[test]
fn message_of_a_file_to_a_full_queue_gives_the_file_all_the_same() {
    if !possible() {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(2).unwrap();
        let params = IoUringParams::default().entries(2).cqsize(2);
        let (mut target, mut target_sq) = IoUring::with_params(params).unwrap();
        target_sq.register_files_sparse(1).unwrap();
        for i in 0..2 {
            // SAFETY: a NOP points to nothing.
            unsafe { target_sq.push(&Nop, i) }.unwrap();
        }
        target_sq.submit().unwrap();
        assert_eq!(target.ready(), 2);
        load(sq, b"text");
        let fd = target.as_raw_fd();
        let sent = send(cq, sq, &message(fd, FileSlot::At(0)));
        for i in 0..2 {
            assert_eq!(next(&mut target).user_data(), i);
        }
        if sent == 0 {
            assert_eq!(arrived(&mut target), 0);
        } else {
            assert_eq!(sent, -libc::EOVERFLOW);
            assert_eq!(target.try_next().unwrap(), None);
        }
        assert_eq!(read(&mut target, &mut target_sq, 0).unwrap(), b"text");
    });
}
