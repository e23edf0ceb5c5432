//! Files: opening into descriptors and slots, closing, flushing, sizing, looking at.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::ptr;

use lio_uring::kind::Threads;
use lio_uring::operation::{
    Close, Fallocate, Fsync, FsyncFlags, Ftruncate, Nop, OpCode, Openat, Operation, Read, Statx,
};
use lio_uring::{Completion, CompletionQueue, FileSlot, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/files.rs"]
mod files;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use files::{contents, file};
use folder::c_path;
use rings::{run, wait};
use slots::read_slot;

/// Opens a path, with the permissions 0600 if it is created.
#[track_caller]
fn openat<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    flags: i32,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    let openat = Openat {
        dfd,
        path: path.as_ptr(),
        flags,
        mode: 0o600,
    };
    // SAFETY: the path is borrowed until the completion has been taken, and this test's own rings
    // take any directory.
    unsafe { run(cq, sq, &openat, settings) }
}

/// The file that an operation has opened.
#[track_caller]
fn opened(done: Completion) -> File {
    let fd = done.result().expect("a descriptor");
    // SAFETY: the descriptor is new, and its completion is taken once.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A folder with files `one` and `two`, which hold their names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["one", "two"] {
        fs::write(folder.path().join(name), name).expect("room on the disk");
    }
    folder
}

/// A file that can only be read.
fn read_only() -> File {
    let path = tempfile::NamedTempFile::new().expect("a temporary file");
    File::open(path.path()).expect("the file is there")
}

/// An operation that fails when it is carried out, and its chain with it.
fn failure() -> impl Operation {
    Openat {
        dfd: libc::AT_FDCWD,
        path: c"/no/such/file".as_ptr(),
        flags: 0,
        mode: 0,
    }
}

#[test]
fn openat_gives_a_descriptor_of_the_file() {
    let folder = folder();
    let path = c_path(&folder.path().join("one"));
    each_ring!(|cq, sq| {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let mut file = opened(openat(cq, sq, libc::AT_FDCWD, &path, flags, |_| ()));
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        // SAFETY: the descriptor is open, and the command takes nothing.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        assert!(
            file.write_all(b"x").is_err(),
            "it is open for reading alone"
        );
    });
}

#[test]
fn openat_starts_from_its_directory() {
    let folder = folder();
    let directory = File::open(folder.path()).unwrap();
    each_ring!(|cq, sq| {
        let file = opened(openat(cq, sq, directory.as_raw_fd(), c"two", 0, |_| ()));
        assert_eq!(contents(&file), b"two");
    });
}

#[test]
fn openat_creates_a_file_with_the_mode_once() {
    each_ring!(|cq, sq| {
        let folder = folder();
        let path = folder.path().join("new");
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let mut file = opened(openat(cq, sq, -1, &c_path(&path), flags, |_| ()));
        file.write_all(b"fresh").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"fresh");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = openat(cq, sq, -1, &c_path(&path), flags, |_| ());
        assert_eq!(again.raw_result(), -libc::EEXIST);
    });
}

#[test]
fn openat_of_what_is_not_there_gives_enoent_and_of_nowhere_efault() {
    each_ring!(|cq, sq| {
        let done = openat(cq, sq, libc::AT_FDCWD, c"/no/such/file", 0, |_| ());
        assert_eq!(done.raw_result(), -libc::ENOENT);
        let done = openat(cq, sq, -1, c"relative", 0, |_| ());
        assert_eq!(done.raw_result(), -libc::EBADF);
        let nowhere = Openat {
            dfd: libc::AT_FDCWD,
            path: ptr::without_provenance(1),
            flags: 0,
            mode: 0,
        };
        // SAFETY: nothing is mapped there, so the kernel reads nothing.
        let done = unsafe { run(cq, sq, &nowhere, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EFAULT);
    });
}

#[test]
fn openat_from_a_registered_directory_gives_ebadf() {
    let folder = folder();
    let directory = File::open(folder.path()).unwrap();
    each_ring!(|cq, sq| {
        sq.register_files(&[directory.as_raw_fd()]).unwrap();
        let done = openat(cq, sq, 0, c"one", 0, |sqe| {
            sqe.insert_flags(SqeFlags::FIXED_FILE);
        });
        assert_eq!(done.raw_result(), -libc::EBADF);
    });
}

#[test]
fn openat_keeps_no_path_once_it_is_submitted() {
    let folder = folder();
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut byte = [0u8];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: byte.as_mut_ptr().cast(),
            len: 1,
            offset: 0,
        };
        // SAFETY: the byte is left alone and the pipe open until the completion has been taken.
        unsafe { sq.push_with_flags(&read, 1, SqeFlags::IO_LINK) }.unwrap();
        let mut path = c_path(&folder.path().join("one")).into_bytes_with_nul();
        let openat = Openat {
            dfd: libc::AT_FDCWD,
            path: path.as_ptr().cast(),
            flags: libc::O_CLOEXEC,
            mode: 0,
        };
        // SAFETY: the path stays until the entry has been submitted.
        unsafe { sq.push(&openat, 2) }.unwrap();
        sq.submit().unwrap();
        path.fill(b'x');
        drop(path);
        // The open starts only now, behind the read.
        writer.write_all(b"!").unwrap();
        let done = wait(cq, sq, 2);
        assert_eq!(done[0].user_data(), 1);
        assert_eq!(contents(&opened(done[1])), b"one");
    });
}

#[test]
fn openat_into_a_slot_is_read_through_the_slot() {
    // Opening into slots came with Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let folder = folder();
    let one = c_path(&folder.path().join("one"));
    let two = c_path(&folder.path().join("two"));
    each_ring!(|cq, sq| {
        sq.register_files(&[-1; 4]).unwrap();
        let at_2 = |sqe: &mut Sqe| sqe.set_target(FileSlot::At(2));
        let done = openat(cq, sq, -1, &one, libc::O_RDONLY, at_2);
        assert_eq!(done.result().unwrap(), 0);
        assert_eq!(read_slot(cq, sq, 2).unwrap(), b"one");
        // What is there is replaced.
        let done = openat(cq, sq, -1, &two, libc::O_RDONLY, at_2);
        assert_eq!(done.result().unwrap(), 0);
        assert_eq!(read_slot(cq, sq, 2).unwrap(), b"two");
        for empty in [0, 1, 3] {
            let error = read_slot(cq, sq, empty).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        }
    });
}

#[test]
fn openat_into_an_allocated_slot_names_it_until_the_table_is_full() {
    // Allocated slots came with Linux 5.19.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let folder = folder();
    let one = c_path(&folder.path().join("one"));
    let two = c_path(&folder.path().join("two"));
    each_ring!(|cq, sq| {
        sq.register_files_sparse(3).unwrap();
        let allocate = |sqe: &mut Sqe| sqe.set_target(FileSlot::Allocate);
        let mut slots = Vec::new();
        for (path, text) in [(&one, b"one"), (&two, b"two"), (&one, b"one")] {
            let slot = openat(cq, sq, -1, path, 0, allocate).result().unwrap();
            assert_eq!(read_slot(cq, sq, slot).unwrap(), text);
            slots.push(slot);
        }
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2]);
        let done = openat(cq, sq, -1, &one, 0, allocate);
        assert_eq!(done.raw_result(), -libc::ENFILE);

        // A slot that is emptied is allocated again.
        let close = Close { fd: 0 };
        let at_1 = |sqe: &mut Sqe| sqe.set_target(FileSlot::At(1));
        // SAFETY: the slot belongs to this test.
        unsafe { run(cq, sq, &close, at_1) }.result().unwrap();
        assert_eq!(openat(cq, sq, -1, &two, 0, allocate).result().unwrap(), 1);
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"two");
    });
}

#[test]
fn openat_into_a_slot_that_cannot_be_fails() {
    // Opening into slots came with Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    let folder = folder();
    let one = c_path(&folder.path().join("one"));
    each_ring!(|cq, sq| {
        let at = |slot| move |sqe: &mut Sqe| sqe.set_target(FileSlot::At(slot));
        let done = openat(cq, sq, -1, &one, 0, at(0));
        assert_eq!(done.raw_result(), -libc::ENXIO, "without a table");
        sq.register_files(&[-1; 4]).unwrap();
        for outside in [4, 99, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
            let done = openat(cq, sq, -1, &one, 0, at(outside));
            assert_eq!(done.raw_result(), -libc::EINVAL, "outside of it: {outside}");
        }
        let done = openat(cq, sq, -1, &one, libc::O_CLOEXEC, at(1));
        assert_eq!(done.raw_result(), -libc::EINVAL, "with O_CLOEXEC");
        for empty in 0..4 {
            assert!(read_slot(cq, sq, empty).is_err());
        }
    });
}

/// Closes a descriptor.
///
/// # Safety
///
/// Nothing else uses the descriptor any more.
#[track_caller]
unsafe fn close<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    settings: impl FnOnce(&mut Sqe),
) -> Completion {
    // SAFETY: the caller's promise.
    unsafe { run(cq, sq, &Close { fd }, settings) }
}

#[test]
fn close_closes_the_descriptor() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the pipe's end gives its descriptor up.
        let done = unsafe { close(cq, sq, writer.into_raw_fd(), |_| ()) };
        assert_eq!(done.result().unwrap(), 0);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the other end is closed");
    });
}

#[test]
fn close_of_what_is_not_open_gives_ebadf() {
    each_ring!(|cq, sq| {
        for fd in [-1, i32::MAX] {
            // SAFETY: there is no such descriptor.
            let done = unsafe { close(cq, sq, fd, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EBADF);
        }
    });
}

#[test]
fn close_of_a_ring_gives_ebadf_and_leaves_it() {
    each_ring!(|cq, sq| {
        let mut other = lio_uring::with_capacity(4).unwrap();
        for ring in [sq.fd().unwrap().as_raw_fd(), other.1.as_raw_fd()] {
            // SAFETY: the kernel refuses to close rings.
            let done = unsafe { close(cq, sq, ring, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EBADF);
        }
        // SAFETY: there is no such descriptor.
        let done = unsafe { close(&mut other.0, &mut other.1, -1, |_| ()) };
        assert_eq!(done.raw_result(), -libc::EBADF, "the ring works");
    });
}

#[test]
fn close_of_a_registered_file_by_its_index_gives_ebadf() {
    let (_reader, writer) = io::pipe().unwrap();
    each_ring!(|cq, sq| {
        sq.register_files(&[writer.as_raw_fd()]).unwrap();
        let fixed = |sqe: &mut Sqe| sqe.insert_flags(SqeFlags::FIXED_FILE);
        // SAFETY: 0 is taken for an index, if for anything, and that file is the test's.
        let done = unsafe { close(cq, sq, 0, fixed) };
        assert_eq!(done.raw_result(), -libc::EBADF);
    });
}

#[test]
fn close_of_a_slot_closes_what_only_the_ring_holds() {
    // Since Linux 5.15.
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        sq.register_files(&[-1, writer.as_raw_fd()]).unwrap();
        drop(writer);
        let at = |slot| move |sqe: &mut Sqe| sqe.set_target(FileSlot::At(slot));
        // SAFETY: the slot belongs to this test.
        let done = unsafe { close(cq, sq, 0, at(1)) };
        assert_eq!(done.result().unwrap(), 0);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the other end is closed");
        for (empty, errno) in [(1, libc::EBADF), (0, libc::EBADF), (2, libc::EINVAL)] {
            // SAFETY: there is nothing in the slot.
            let done = unsafe { close(cq, sq, 0, at(empty)) };
            assert_eq!(done.raw_result(), -errno, "slot {empty}");
        }
    });
}

#[test]
fn close_that_is_cancelled_has_closed_nothing() {
    each_ring!(|cq, sq| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        // SAFETY: the path is valid for ever.
        unsafe { sq.push_with_flags(&failure(), 1, SqeFlags::IO_LINK) }.unwrap();
        let close = Close {
            fd: writer.as_raw_fd(),
        };
        // SAFETY: the chain fails before it comes to closing.
        unsafe { sq.push(&close, 2) }.unwrap();
        let done = wait(cq, sq, 2);
        assert_eq!(done[1].raw_result(), -libc::ECANCELED);
        writer.write_all(b"open").unwrap();
        let mut text = [0; 4];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"open");
    });
}

#[test]
fn close_leaves_the_operations_that_have_started() {
    each_ring!(|cq, sq| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut buffer = [0; 4];
        let read = Read {
            fd: reader.as_raw_fd(),
            ptr: buffer.as_mut_ptr().cast(),
            len: 4,
            offset: 0,
        };
        // SAFETY: the buffer is left alone until the completion has been taken; the descriptor is
        // open until the read has started.
        unsafe { sq.push(&read, 1) }.unwrap();
        sq.submit().unwrap();
        // SAFETY: the pipe's end gives its descriptor up.
        let done = unsafe { close(cq, sq, reader.into_raw_fd(), |_| ()) };
        assert_eq!(done.result().unwrap(), 0);
        writer.write_all(b"late").unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!((done.user_data(), done.result().unwrap()), (1, 4));
        assert_eq!(&buffer, b"late");
    });
}

/// Flushes a file.
#[track_caller]
fn fsync<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    fsync_flags: FsyncFlags,
) -> Completion {
    let fsync = Fsync {
        fd: file.as_raw_fd(),
        fsync_flags,
    };
    // SAFETY: the file is borrowed.
    unsafe { run(cq, sq, &fsync, |_| ()) }
}

#[test]
fn fsync_of_a_file_completes_with_zero() {
    each_ring!(|cq, sq| {
        for flags in [FsyncFlags::empty(), FsyncFlags::DATASYNC] {
            let file = file(&[1; 10_000]);
            assert_eq!(fsync(cq, sq, &file, flags).result().unwrap(), 0);
            assert_eq!(contents(&file), [1; 10_000]);
        }
    });
}

#[test]
fn fsync_of_a_range_completes_with_zero() {
    each_ring!(|cq, sq| {
        let file = file(&[1; 10_000]);
        let fd = file.as_raw_fd();
        let fsync = Fsync {
            fd,
            fsync_flags: FsyncFlags::empty(),
        };
        let range = |sqe: &mut Sqe| sqe.read_write(fd, ptr::null::<u8>(), 4096, 4096);
        // SAFETY: the file is open until the completion has been taken.
        let done = unsafe { run(cq, sq, &fsync, range) };
        assert_eq!(done.result().unwrap(), 0);
    });
}

#[test]
fn fsync_of_what_cannot_be_flushed_gives_the_errors_of_the_call() {
    let (_reader, writer) = io::pipe().unwrap();
    each_ring!(|cq, sq| {
        let none = FsyncFlags::empty();
        assert_eq!(fsync(cq, sq, &-1, none).raw_result(), -libc::EBADF);
        assert_eq!(fsync(cq, sq, &writer, none).raw_result(), -libc::EINVAL);
        let unknown = FsyncFlags::from_bits_retain(1 << 31);
        let done = fsync(cq, sq, &file(b"x"), unknown);
        assert_eq!(done.raw_result(), -libc::EINVAL);
    });
}

/// Allocates or removes space of a file.
#[track_caller]
fn fallocate<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    mode: i32,
    offset: u64,
    len: u64,
) -> Completion {
    let fallocate = Fallocate {
        fd: file.as_raw_fd(),
        mode,
        offset,
        len,
    };
    // SAFETY: the file is borrowed.
    unsafe { run(cq, sq, &fallocate, |_| ()) }
}

#[test]
fn fallocate_allocates_and_grows_the_file() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let done = fallocate(cq, sq, &file, 0, 0, 1 << 20);
        assert_eq!(done.result().unwrap(), 0);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(
            metadata.blocks() >= (1 << 20) / 512,
            "no space was allocated"
        );
        let contents = contents(&file);
        assert_eq!(&contents[..4], b"text");
        assert!(contents[4..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn fallocate_that_keeps_the_size_allocates_alone() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        let mode = libc::FALLOC_FL_KEEP_SIZE;
        let done = fallocate(cq, sq, &file, mode, 4096, 1 << 20);
        assert_eq!(done.result().unwrap(), 0);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 4);
        assert!(
            metadata.blocks() >= (1 << 20) / 512,
            "no space was allocated"
        );
    });
}

#[test]
fn fallocate_punches_a_hole() {
    each_ring!(|cq, sq| {
        let file = file(&vec![7; 64 << 10]);
        file.sync_all().unwrap();
        let before = file.metadata().unwrap().blocks();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let done = fallocate(cq, sq, &file, mode, 8 << 10, 32 << 10);
        assert_eq!(done.result().unwrap(), 0);
        let contents = contents(&file);
        assert_eq!(contents.len(), 64 << 10);
        assert!(contents[..8 << 10].iter().all(|byte| *byte == 7));
        assert!(contents[8 << 10..40 << 10].iter().all(|byte| *byte == 0));
        assert!(contents[40 << 10..].iter().all(|byte| *byte == 7));
        let after = file.metadata().unwrap().blocks();
        assert!(after + 64 <= before, "{before} blocks became {after}");
    });
}

#[test]
fn fallocate_of_an_impossible_range_gives_einval() {
    each_ring!(|cq, sq| {
        let file = file(b"text");
        for (offset, len) in [(0, 0), (0, 1 << 63), (1 << 63, 1), (u64::MAX, 1)] {
            let done = fallocate(cq, sq, &file, 0, offset, len);
            assert_eq!(done.raw_result(), -libc::EINVAL, "{len} at {offset}");
        }
        assert_eq!(contents(&file), b"text");
    });
}

#[test]
fn fallocate_in_a_mode_that_the_file_system_lacks_gives_eopnotsupp() {
    // SAFETY: the name is a C string.
    let memory = unsafe { libc::memfd_create(c"memory".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(memory >= 0);
    // SAFETY: the descriptor is new.
    let memory = unsafe { OwnedFd::from_raw_fd(memory) };
    each_ring!(|cq, sq| {
        let mode = libc::FALLOC_FL_COLLAPSE_RANGE;
        let done = fallocate(cq, sq, &memory, mode, 0, 4096);
        assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
    });
}

#[test]
fn fallocate_of_what_is_no_file_for_writing_gives_the_errors_of_the_call() {
    let (_reader, writer) = io::pipe().unwrap();
    let read_only = read_only();
    each_ring!(|cq, sq| {
        let done = fallocate(cq, sq, &read_only, 0, 0, 1);
        assert_eq!(done.raw_result(), -libc::EBADF);
        let done = fallocate(cq, sq, &writer, 0, 0, 1);
        assert_eq!(done.raw_result(), -libc::ESPIPE);
    });
}

/// Sets a file's length.
#[track_caller]
fn ftruncate<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    len: i64,
) -> Completion {
    let ftruncate = Ftruncate {
        fd: file.as_raw_fd(),
        len,
    };
    // SAFETY: the file is borrowed.
    unsafe { run(cq, sq, &ftruncate, |_| ()) }
}

#[test]
fn ftruncate_shortens_and_lengthens() {
    if !needs::operations(&[OpCode::FTRUNCATE]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        assert_eq!(ftruncate(cq, sq, &file, 4).result().unwrap(), 0);
        assert_eq!(contents(&file), b"0123");
        assert_eq!(ftruncate(cq, sq, &file, 6).result().unwrap(), 0);
        assert_eq!(contents(&file), b"0123\0\0");
        assert_eq!(ftruncate(cq, sq, &file, 5 << 30).result().unwrap(), 0);
        assert_eq!(file.metadata().unwrap().len(), 5 << 30);
    });
}

#[test]
fn ftruncate_to_less_than_nothing_or_without_leave_to_write_gives_einval() {
    if !needs::operations(&[OpCode::FTRUNCATE]) {
        return;
    }
    let read_only = read_only();
    each_ring!(|cq, sq| {
        let file = file(b"0123456789");
        for len in [-1, i64::MIN] {
            let done = ftruncate(cq, sq, &file, len);
            assert_eq!(done.raw_result(), -libc::EINVAL);
        }
        assert_eq!(contents(&file), b"0123456789");
        let done = ftruncate(cq, sq, &read_only, 0);
        assert_eq!(done.raw_result(), -libc::EINVAL);
        assert_eq!(ftruncate(cq, sq, &-1, 0).raw_result(), -libc::EBADF);
    });
}

/// Asks for all basic properties of a path.
#[track_caller]
fn statx<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    dfd: RawFd,
    path: &CStr,
    flags: i32,
) -> io::Result<libc::statx> {
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    let statx = Statx {
        dfd,
        path: path.as_ptr(),
        flags,
        mask: libc::STATX_BASIC_STATS,
        statxbuf: answer.as_mut_ptr(),
    };
    // SAFETY: the path is borrowed and the answer left alone until the completion has been taken.
    let done = unsafe { run(cq, sq, &statx, |_| ()) };
    // SAFETY: the structure is made of integers, for which zero is a value.
    let answer = unsafe { answer.assume_init() };
    done.result().map(|result| {
        assert_eq!(result, 0);
        answer
    })
}

/// Compares the kernel's answer with what the standard library finds.
#[track_caller]
fn assert_same(answer: &libc::statx, metadata: &fs::Metadata) {
    assert_eq!(
        answer.stx_mask & libc::STATX_BASIC_STATS,
        libc::STATX_BASIC_STATS
    );
    assert_eq!(answer.stx_size, metadata.len());
    assert_eq!(u32::from(answer.stx_mode), metadata.mode());
    assert_eq!(answer.stx_ino, metadata.ino());
    assert_eq!(u64::from(answer.stx_nlink), metadata.nlink());
    assert_eq!(
        (answer.stx_uid, answer.stx_gid),
        (metadata.uid(), metadata.gid())
    );
    assert_eq!(answer.stx_blocks, metadata.blocks());
    assert_eq!(u64::from(answer.stx_blksize), metadata.blksize());
    assert_eq!(
        libc::makedev(answer.stx_dev_major, answer.stx_dev_minor),
        metadata.dev()
    );
    for (time, seconds, nanoseconds) in [
        (answer.stx_mtime, metadata.mtime(), metadata.mtime_nsec()),
        (answer.stx_ctime, metadata.ctime(), metadata.ctime_nsec()),
    ] {
        assert_eq!(
            (time.tv_sec, i64::from(time.tv_nsec)),
            (seconds, nanoseconds)
        );
    }
}

#[test]
fn statx_agrees_with_the_standard_library() {
    let folder = folder();
    let path = folder.path().join("one");
    fs::write(&path, [1; 12_345]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(&path, folder.path().join("second name")).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    let directory = File::open(folder.path()).unwrap();
    each_ring!(|cq, sq| {
        let by_path = statx(cq, sq, libc::AT_FDCWD, &c_path(&path), 0).unwrap();
        assert_same(&by_path, &fs::metadata(&path).unwrap());
        assert_eq!((by_path.stx_size, by_path.stx_nlink), (12_345, 2));
        let relative = statx(cq, sq, directory.as_raw_fd(), c"second name", 0).unwrap();
        assert_same(&relative, &fs::metadata(&path).unwrap());
        let itself = statx(cq, sq, directory.as_raw_fd(), c"", libc::AT_EMPTY_PATH).unwrap();
        assert_same(&itself, &directory.metadata().unwrap());
    });
}

#[test]
fn statx_follows_links_unless_told_not_to() {
    let folder = folder();
    let link = folder.path().join("link");
    symlink("one", &link).unwrap();
    each_ring!(|cq, sq| {
        let followed = statx(cq, sq, libc::AT_FDCWD, &c_path(&link), 0).unwrap();
        assert_same(&followed, &fs::metadata(&link).unwrap());
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        let itself = statx(cq, sq, libc::AT_FDCWD, &c_path(&link), flags).unwrap();
        assert_same(&itself, &fs::symlink_metadata(&link).unwrap());
        assert_ne!(itself.stx_ino, followed.stx_ino);
    });
}

#[test]
fn statx_of_what_is_not_there_gives_enoent() {
    each_ring!(|cq, sq| {
        let error = statx(cq, sq, libc::AT_FDCWD, c"/no/such/file", 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let error = statx(cq, sq, libc::AT_FDCWD, c"", 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "an empty path");
    });
}

#[test]
fn statx_from_or_to_memory_that_is_not_mapped_gives_efault() {
    let nowhere = ptr::without_provenance_mut::<u8>(1);
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    each_ring!(|cq, sq| {
        for (path, statxbuf) in [
            (nowhere.cast_const().cast(), answer.as_mut_ptr()),
            (c"/".as_ptr(), nowhere.cast()),
        ] {
            let statx = Statx {
                dfd: libc::AT_FDCWD,
                path,
                flags: 0,
                mask: libc::STATX_BASIC_STATS,
                statxbuf,
            };
            // SAFETY: at the one address nothing is mapped, so the kernel uses nothing there; at
            // the other is what it asks for.
            let done = unsafe { run(cq, sq, &statx, |_| ()) };
            assert_eq!(done.raw_result(), -libc::EFAULT);
        }
    });
}

#[test]
fn statx_from_a_registered_directory_gives_ebadf() {
    let directory = File::open("/").unwrap();
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    each_ring!(|cq, sq| {
        sq.register_files(&[directory.as_raw_fd()]).unwrap();
        let statx = Statx {
            dfd: 0,
            path: c"tmp".as_ptr(),
            flags: 0,
            mask: libc::STATX_BASIC_STATS,
            statxbuf: answer.as_mut_ptr(),
        };
        // SAFETY: the path is valid for ever, and the answer until the completion has been taken.
        let done = unsafe { run(cq, sq, &statx, |sqe| sqe.insert_flags(SqeFlags::FIXED_FILE)) };
        assert_eq!(done.raw_result(), -libc::EBADF);
    });
}

#[test]
fn errors_of_the_calls_do_not_end_a_chain() {
    // They did before Linux 6.0. Of these operations, one is younger.
    if !needs::operations(&[OpCode::FTRUNCATE]) {
        return;
    }
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    each_ring!(|cq, sq| {
        let (_reader, writer) = io::pipe().unwrap();
        let fd = writer.as_raw_fd();
        let fsync = Fsync {
            fd,
            fsync_flags: FsyncFlags::empty(),
        };
        let fallocate = Fallocate {
            fd,
            mode: 0,
            offset: 0,
            len: 1,
        };
        let ftruncate = Ftruncate { fd, len: 0 };
        let statx = Statx {
            dfd: libc::AT_FDCWD,
            path: c"/no/such/file".as_ptr(),
            flags: 0,
            mask: libc::STATX_BASIC_STATS,
            statxbuf: answer.as_mut_ptr(),
        };
        // SAFETY: the pipe is open until all have completed.
        unsafe { sq.push_with_flags(&fsync, 1, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&fallocate, 2, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: as above.
        unsafe { sq.push_with_flags(&ftruncate, 3, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: the path is valid for ever, and the answer until all have completed.
        unsafe { sq.push_with_flags(&statx, 4, SqeFlags::IO_LINK) }.unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 5) }.unwrap();
        let results: Vec<_> = wait(cq, sq, 5).iter().map(Completion::raw_result).collect();
        let (einval, espipe, enoent) = (-libc::EINVAL, -libc::ESPIPE, -libc::ENOENT);
        assert_eq!(results, [einval, espipe, einval, enoent, 0]);
    });
}
