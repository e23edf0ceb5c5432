//! Registering buffers, files, an eventfd and buffer rings, and using what is registered.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::slice;
use std::thread;

use lio_uring::kind::Threads;
use lio_uring::operation::{Nop, OpCode, Read, ReadFixed, Write, WriteFixed};
use lio_uring::{
    AnyThread, BufferRing, Completion, CompletionQueue, IoUring, Probe, RegisterCause, SqeFlags,
    SubmissionQueue,
};

#[path = "support/eventfd.rs"]
mod eventfd;
#[path = "support/files.rs"]
mod files;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use eventfd::eventfd;
use files::{bytes, file};
use rings::{submit_pending, wait};

/// What memory holds that nothing has been read into.
const UNTOUCHED: u8 = 0xaa;
/// Not below 64, since kernels before Linux 6.10 let such a group have one ring of buffers only.
const GROUP: u16 = 80;

/// Memory that is never freed, so that it may be registered for ever.
#[derive(Clone, Copy)]
struct Memory {
    start: *mut u8,
    size: usize,
}

// SAFETY: the memory belongs to no thread, and the tests use it from one at a time.
unsafe impl Send for Memory {}

impl Memory {
    fn new(size: usize) -> Self {
        let start = Vec::leak(vec![UNTOUCHED; size]).as_mut_ptr();
        Self { start, size }
    }

    fn whole(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.start.cast(),
            iov_len: self.size,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        // SAFETY: the memory is never freed. The tests call this when no operation uses it.
        unsafe { slice::from_raw_parts(self.start, self.size) }.to_vec()
    }
}

/// Reads 8 bytes into a registered buffer, and returns the result.
#[track_caller]
fn read_fixed<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
    memory: Memory,
    buf_index: u16,
) -> i32 {
    let read = ReadFixed {
        fd: file.as_raw_fd(),
        buf: memory.start.cast(),
        nbytes: 8,
        offset: 0,
        buf_index,
    };
    // SAFETY: the memory is never freed and used by nothing else until this returns.
    unsafe { sq.push(&read, 0) }.expect("room");
    wait(cq, sq, 1)[0].raw_result()
}

#[test]
fn buffers_of_both_kinds_of_slices_serve_reads_and_writes() {
    let data = bytes(10_000);
    each_ring!(|cq, sq| {
        let file = file(&[]);
        // SAFETY: the data stays, and nothing writes it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&[IoSlice::new(&[0]), IoSlice::new(&data)][1..]) }.unwrap();
        let write = WriteFixed {
            fd: file.as_raw_fd(),
            buf: data.as_ptr().cast(),
            nbytes: 10_000,
            offset: 0,
            buf_index: 0,
        };
        // SAFETY: the data is the registered buffer, and stays.
        unsafe { sq.push(&write, 0) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 10_000);
        sq.unregister_buffers().unwrap();

        let (mut a, mut b) = (vec![0; 5000], vec![0; 10_000]);
        let buf = b.as_mut_ptr();
        let slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        // SAFETY: the memory stays, and nothing else uses it, until the buffers are unregistered.
        unsafe { sq.register_buffers(&slices) }.unwrap();
        let read = ReadFixed {
            fd: file.as_raw_fd(),
            buf: buf.cast(),
            nbytes: 10_000,
            offset: 0,
            buf_index: 1,
        };
        // SAFETY: the memory is the registered buffer, and stays.
        unsafe { sq.push(&read, 0) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 10_000);
        sq.unregister_buffers().unwrap();
        assert!(b == data);
        assert!(a.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn buffers_unregistered_are_gone_and_others_can_come() {
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        for _ in 0..3 {
            let memory = Memory::new(8);
            // SAFETY: the memory is never freed.
            unsafe { sq.register_buffers(&[memory.whole()]) }.unwrap();
            assert_eq!(read_fixed(cq, sq, &file, memory, 0), 8);
            assert_eq!(memory.bytes(), b"contents");
            sq.unregister_buffers().unwrap();
            assert_eq!(read_fixed(cq, sq, &file, memory, 0), -libc::EFAULT);
            let error = sq.unregister_buffers().unwrap_err();
            assert_eq!(error.cause(), &RegisterCause::NotRegistered);
        }
    });
}

#[test]
fn buffers_of_a_sparse_table_come_and_go_by_updates() {
    // Sparse tables came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        let (one, two) = (Memory::new(8), Memory::new(8));
        sq.register_buffers_sparse(4).unwrap();
        for index in 0..5 {
            assert_eq!(read_fixed(cq, sq, &file, one, index), -libc::EFAULT);
        }
        // SAFETY: the memory is never freed.
        let updated = unsafe { sq.register_buffers_update(1, &[one.whole(), two.whole()]) };
        assert_eq!(updated.unwrap(), 2);
        assert_eq!(read_fixed(cq, sq, &file, one, 1), 8);
        assert_eq!(read_fixed(cq, sq, &file, two, 2), 8);
        assert_eq!(one.bytes(), two.bytes());
        for (memory, index) in [(one, 0), (two, 1), (one, 2), (two, 3)] {
            assert_eq!(read_fixed(cq, sq, &file, memory, index), -libc::EFAULT);
        }
        // A buffer takes the place of another.
        // SAFETY: as above.
        let updated = unsafe { sq.register_buffers_update(1, &[two.whole()]) };
        assert_eq!(updated.unwrap(), 1);
        assert_eq!(read_fixed(cq, sq, &file, one, 1), -libc::EFAULT);
        assert_eq!(read_fixed(cq, sq, &file, two, 1), 8);
        // And nothing that of a buffer.
        let nothing = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        // SAFETY: there is no memory.
        let updated = unsafe { sq.register_buffers_update(1, &[nothing]) };
        assert_eq!(updated.unwrap(), 1);
        assert_eq!(read_fixed(cq, sq, &file, two, 1), -libc::EFAULT);
        assert_eq!(read_fixed(cq, sq, &file, two, 2), 8);
        // Outside of the table there are no places.
        // SAFETY: as above.
        let error = unsafe { sq.register_buffers_update(4, &[one.whole()]) }.unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        sq.unregister_buffers().unwrap();
    });
}

#[test]
fn buffers_replaced_or_unregistered_serve_the_operation_that_has_them() {
    // Older kernels wait in there for the operations, before Linux 6.13.
    if !needs::operations(&[OpCode::EPOLL_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        for unregister in [false, true] {
            let (one, two) = (Memory::new(8), Memory::new(8));
            // SAFETY: the memory is never freed.
            unsafe { sq.register_buffers(&[one.whole()]) }.unwrap();
            let (reader, mut writer) = io::pipe().unwrap();
            let read = ReadFixed {
                fd: reader.as_raw_fd(),
                buf: one.start.cast(),
                nbytes: 8,
                offset: 0,
                buf_index: 0,
            };
            // SAFETY: as above, and the pipe stays open.
            unsafe { sq.push(&read, 0) }.unwrap();
            submit_pending(cq, sq);
            if unregister {
                sq.unregister_buffers().unwrap();
            } else {
                // SAFETY: as above.
                unsafe { sq.register_buffers_update(0, &[two.whole()]) }.unwrap();
            }
            writer.write_all(b"contents").unwrap();
            assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 8);
            assert_eq!(one.bytes(), b"contents");
            assert_eq!(two.bytes(), [UNTOUCHED; 8]);
            if !unregister {
                sq.unregister_buffers().unwrap();
            }
        }
    });
}

/// Reads up to 8 bytes through a place of the registered files.
#[track_caller]
fn read_place<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    place: RawFd,
) -> Result<Vec<u8>, i32> {
    let mut buffer = [0; 8];
    let read = Read {
        fd: place,
        ptr: buffer.as_mut_ptr().cast(),
        len: 8,
        offset: 0,
    };
    // SAFETY: the buffer is left alone until the completion has been taken, and the files are those
    // of the test.
    unsafe { sq.push_with_flags(&read, 0, SqeFlags::FIXED_FILE) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    match usize::try_from(done.raw_result()) {
        Ok(n) => Ok(buffer[..n].to_vec()),
        Err(_) => Err(-done.raw_result()),
    }
}

/// Fails unless the places hold files with these contents, or nothing.
#[track_caller]
fn assert_places<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    wanted: &[&str],
) {
    for (place, text) in (0..).zip(wanted) {
        let wanted = match *text {
            "" => Err(libc::EBADF),
            text => Ok(text.as_bytes().to_vec()),
        };
        assert_eq!(read_place(cq, sq, place), wanted, "place {place}");
    }
}

#[test]
fn files_are_read_and_written_through_their_places() {
    each_ring!(|cq, sq| {
        let (one, two) = (file(b"one"), file(b"two"));
        sq.register_files(&[two.as_raw_fd(), -1, one.as_raw_fd()])
            .unwrap();
        assert_places(cq, sq, &["two", "", "one", ""]);
        let text = *b"more";
        let write = Write {
            fd: 2,
            ptr: text.as_ptr().cast(),
            len: 4,
            offset: 3,
        };
        // SAFETY: the text stays until the completion has been taken, and the file is the test's.
        unsafe { sq.push_with_flags(&write, 0, SqeFlags::FIXED_FILE) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 4);
        assert_places(cq, sq, &["two", "", "onemore"]);
    });
}

#[test]
fn files_stay_open_in_their_places_until_they_are_unregistered() {
    each_ring!(|cq, sq| {
        let (mut reader, writer) = io::pipe().unwrap();
        sq.register_files(&[file(b"gone").as_raw_fd(), writer.as_raw_fd()])
            .unwrap();
        drop(writer);
        assert_places(cq, sq, &["gone"]);
        let text = *b"still here";
        let write = Write {
            fd: 1,
            ptr: text.as_ptr().cast(),
            len: 10,
            offset: 0,
        };
        // SAFETY: the text stays until the completion has been taken, and the file is the test's.
        unsafe { sq.push_with_flags(&write, 0, SqeFlags::FIXED_FILE) }.unwrap();
        assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 10);
        sq.unregister_files().unwrap();
        assert_places(cq, sq, &["", ""]);
        let mut arrived = Vec::new();
        reader.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived, text, "and then the end, since nobody has it open");
        let error = sq.unregister_files().unwrap_err();
        assert_eq!(error.cause(), &RegisterCause::NotRegistered);
        // Others can come.
        sq.register_files(&[file(b"new").as_raw_fd()]).unwrap();
        assert_places(cq, sq, &["new", ""]);
    });
}

#[test]
fn files_are_replaced_taken_out_and_left_by_updates() {
    each_ring!(|cq, sq| {
        let files = ["zero", "one", "two", "three"].map(|text| file(text.as_bytes()));
        let [zero, one, two, three] = files.each_ref().map(AsRawFd::as_raw_fd);
        sq.register_files(&[zero, one, two]).unwrap();
        // -2 leaves a place alone, and -1 empties it.
        assert_eq!(sq.register_files_update(0, &[three, -2, -1]).unwrap(), 3);
        assert_places(cq, sq, &["three", "one", ""]);
        assert_eq!(sq.register_files_update(2, &[zero]).unwrap(), 1);
        assert_places(cq, sq, &["three", "one", "zero"]);
        assert_eq!(sq.register_files_update(1, &[-1, -1]).unwrap(), 2);
        assert_places(cq, sq, &["three", "", ""]);
        // What is not open empties its place and ends the update. What came before it stays.
        let updated = sq.register_files_update(0, &[two, i32::MAX, one]);
        assert_eq!(updated.unwrap(), 1);
        assert_places(cq, sq, &["two", "", ""]);
        let error = sq.register_files_update(0, &[i32::MAX]).unwrap_err();
        assert_eq!(error.cause(), &RegisterCause::BadDescriptor);
        assert_places(cq, sq, &["", "", ""]);
        // Outside of the table there are no places.
        assert_eq!(sq.register_files_update(2, &[two]).unwrap(), 1);
        for (offset, fds) in [(3, &[one][..]), (2, &[one, one]), (u32::MAX, &[one])] {
            let error = sq.register_files_update(offset, fds).unwrap_err();
            let errno = error.errno();
            assert!([libc::EINVAL, libc::EOVERFLOW].contains(&errno), "{error}");
        }
        assert_places(cq, sq, &["", "", "two"]);
    });
}

#[test]
fn files_of_a_sparse_table_come_by_updates() {
    // Sparse tables came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        sq.register_files_sparse(4).unwrap();
        assert_places(cq, sq, &[""; 5]);
        let one = file(b"one");
        assert_eq!(sq.register_files_update(3, &[one.as_raw_fd()]).unwrap(), 1);
        drop(one);
        assert_places(cq, sq, &["", "", "", "one", ""]);
        sq.unregister_files().unwrap();
        assert_places(cq, sq, &[""; 5]);
    });
}

#[test]
fn files_replaced_or_unregistered_serve_the_operation_that_has_them() {
    each_ring!(|cq, sq| {
        for unregister in [false, true] {
            // Older kernels wait in there for the operations, before Linux 6.13.
            if unregister && !needs::knows(OpCode::EPOLL_WAIT) {
                continue;
            }
            let (reader, mut writer) = io::pipe().unwrap();
            sq.register_files(&[reader.as_raw_fd()]).unwrap();
            drop(reader);
            let mut buffer = [UNTOUCHED; 8];
            let read = Read {
                fd: 0,
                ptr: buffer.as_mut_ptr().cast(),
                len: 8,
                offset: 0,
            };
            // SAFETY: the buffer is left alone until the completion has been taken, and the file is
            // the test's.
            unsafe { sq.push_with_flags(&read, 0, SqeFlags::FIXED_FILE) }.unwrap();
            submit_pending(cq, sq);
            if unregister {
                sq.unregister_files().unwrap();
            } else {
                assert_eq!(sq.register_files_update(0, &[-1]).unwrap(), 1);
            }
            writer.write_all(b"late").unwrap();
            assert_eq!(wait(cq, sq, 1)[0].result().unwrap(), 4);
            assert_eq!(&buffer[..4], b"late");
            if !unregister {
                sq.unregister_files().unwrap();
            }
        }
    });
}

#[test]
fn files_and_buffers_are_registered_on_another_thread() {
    let (mut cq, mut sq) = lio_uring::with_capacity(4).unwrap();
    let one = file(b"contents");
    let mut sq = thread::spawn(move || {
        let memory = Memory::new(8);
        sq.register_files(&[one.as_raw_fd()]).unwrap();
        // SAFETY: the memory is never freed.
        unsafe { sq.register_buffers(&[memory.whole()]) }.unwrap();
        let read = ReadFixed {
            fd: 0,
            buf: memory.start.cast(),
            nbytes: 8,
            offset: 0,
            buf_index: 0,
        };
        // SAFETY: the memory is never freed, and the file is the test's.
        unsafe { sq.push_with_flags(&read, memory.start as u64, SqeFlags::FIXED_FILE) }.unwrap();
        sq
    })
    .join()
    .unwrap();
    let done = wait(&mut cq, &mut sq, 1)[0];
    assert_eq!(done.result().unwrap(), 8);
    let start = ptr::with_exposed_provenance_mut(done.user_data().try_into().unwrap());
    assert_eq!(Memory { start, size: 8 }.bytes(), b"contents");
}

/// An eventfd that does not wait.
/// How often an eventfd was signalled since this was last asked.
///
/// Kernel workers post a completion first and signal it then, so this is for what completes on the
/// thread itself.
fn signals(eventfd: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    let mut file = File::from(eventfd.try_clone().expect("a descriptor more"));
    match file.read_exact(&mut count) {
        Ok(()) => u64::from_ne_bytes(count),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            0
        }
    }
}

/// Waits until an eventfd is signalled.
#[track_caller]
fn await_signal(eventfd: &OwnedFd) {
    let mut poll = libc::pollfd {
        fd: eventfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: there is one structure, and it is valid for writes.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 60_000) };
    assert_eq!(ready, 1, "no signal");
}

#[track_caller]
fn nop<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>, flags: SqeFlags) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_with_flags(&Nop, 0, flags) }.expect("room");
    assert_eq!(wait(cq, sq, 1)[0].raw_result(), 0);
}

/// Reads a byte that comes after the submission.
#[track_caller]
fn late_read<T: Threads>(cq: &mut CompletionQueue<T>, sq: &mut SubmissionQueue<T>) {
    let (here, mut there) = UnixStream::pair().expect("sockets");
    let mut byte = [0u8];
    let read = Read {
        fd: here.as_raw_fd(),
        ptr: byte.as_mut_ptr().cast(),
        len: 1,
        offset: 0,
    };
    // SAFETY: the byte is left alone and the socket open until the completion has been taken.
    unsafe { sq.push(&read, 0) }.expect("room");
    submit_pending(cq, sq);
    there.write_all(b"x").expect("a connection");
    assert_eq!(wait(cq, sq, 1)[0].raw_result(), 1);
}

#[test]
fn eventfd_is_signalled_until_it_is_unregistered() {
    each_ring!(|cq, sq| {
        let eventfd = eventfd();
        let registered = eventfd.try_clone().unwrap();
        sq.register_eventfd(registered.as_fd()).unwrap();
        // The ring has a reference of its own.
        drop(registered);
        assert_eq!(signals(&eventfd), 0);
        nop(cq, sq, SqeFlags::empty());
        assert_ne!(signals(&eventfd), 0);
        for _ in 0..4 {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 0) }.unwrap();
        }
        assert_eq!(wait(cq, sq, 4).len(), 4);
        assert!((1..=4).contains(&signals(&eventfd)));
        late_read(cq, sq);
        assert_ne!(signals(&eventfd), 0);

        sq.unregister_eventfd().unwrap();
        nop(cq, sq, SqeFlags::empty());
        late_read(cq, sq);
        assert_eq!(signals(&eventfd), 0);
        let error = sq.unregister_eventfd().unwrap_err();
        assert_eq!(error.cause(), &RegisterCause::NotRegistered);
        sq.register_eventfd(eventfd.as_fd()).unwrap();
        nop(cq, sq, SqeFlags::empty());
        assert_ne!(signals(&eventfd), 0);
    });
}

#[test]
fn eventfd_is_signalled_by_kernel_workers() {
    each_ring!(|cq, sq| {
        let eventfd = eventfd();
        sq.register_eventfd(eventfd.as_fd()).unwrap();
        nop(cq, sq, SqeFlags::ASYNC);
        await_signal(&eventfd);
    });
}

#[test]
fn eventfd_async_is_signalled_by_kernel_workers_alone() {
    each_ring!(|cq, sq| {
        let eventfd = eventfd();
        sq.register_eventfd_async(eventfd.as_fd()).unwrap();
        nop(cq, sq, SqeFlags::empty());
        // What waits for a socket takes no worker.
        late_read(cq, sq);
        assert_eq!(signals(&eventfd), 0);
        nop(cq, sq, SqeFlags::ASYNC);
        await_signal(&eventfd);
    });
}

#[test]
fn eventfd_is_silent_while_it_is_disabled() {
    each_ring!(|cq, sq| {
        let eventfd = eventfd();
        sq.register_eventfd(eventfd.as_fd()).unwrap();
        assert!(cq.eventfd_enabled());
        for _ in 0..3 {
            assert!(cq.disable_eventfd(), "kernels since 5.8 can");
            assert!(!cq.eventfd_enabled());
            nop(cq, sq, SqeFlags::empty());
            late_read(cq, sq);
            assert_eq!(signals(&eventfd), 0);
            cq.enable_eventfd();
            assert!(cq.eventfd_enabled());
            assert_eq!(signals(&eventfd), 0, "nothing is made up for");
            nop(cq, sq, SqeFlags::empty());
            assert_ne!(signals(&eventfd), 0);
        }
    });
}

/// Memory for 8 buffers of 8 bytes.
fn eight() -> Memory {
    Memory::new(64)
}

/// Adds one of the 8 buffers, and shows it.
fn add<T: Threads>(ring: &mut BufferRing<T>, memory: Memory, id: u16) {
    let address = memory.start.wrapping_add(8 * usize::from(id % 8));
    // SAFETY: the memory is never freed, and the tests add a buffer again only when a completion
    // has named it or the group is gone.
    unsafe { ring.add(address.cast(), 8, id) };
    ring.publish();
}

/// Reads the file into a buffer of the group.
#[track_caller]
fn read_selecting<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    file: &impl AsRawFd,
) -> Completion {
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: ptr::null_mut(),
        len: 8,
        offset: 0,
    };
    // SAFETY: the group's buffers are never freed, and the file is borrowed.
    unsafe { sq.push_with(&read, 0, |sqe| sqe.select_buffer(GROUP)) }.expect("room");
    wait(cq, sq, 1)[0]
}

/// The number of the buffer that a read has filled.
#[track_caller]
fn filled(done: Completion, memory: Memory, contents: &[u8]) -> u16 {
    let n = usize::try_from(done.result().expect("a read")).expect("a count");
    assert_eq!(n, contents.len());
    let id = done.buffer_id().expect("a buffer");
    let place = 8 * usize::from(id % 8);
    assert_eq!(memory.bytes()[place..place + n], *contents);
    id
}

#[test]
fn buffer_ring_hands_out_its_buffers_in_order_until_it_is_empty() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        let memory = eight();
        let mut ring = sq.register_buffer_ring(8, GROUP).unwrap();
        assert_eq!((ring.group(), ring.capacity()), (GROUP, 8));
        let ids = [3, 0, 7, 1, 6, 2, 5, 4];
        for id in ids {
            add(&mut ring, memory, id);
        }
        for id in ids {
            assert_eq!(
                filled(read_selecting(cq, sq, &file), memory, b"contents"),
                id
            );
        }
        let done = read_selecting(cq, sq, &file);
        assert_eq!(done.raw_result(), -libc::ENOBUFS);
        add(&mut ring, memory, 6);
        assert_eq!(
            filled(read_selecting(cq, sq, &file), memory, b"contents"),
            6
        );
    });
}

#[test]
fn buffer_ring_shows_buffers_when_they_are_published() {
    // Rings came with Linux 5.19, and FIXED_FD_INSTALL with 6.8, as `available` did.
    if !needs::operations(&[OpCode::FIXED_FD_INSTALL]) {
        return;
    }
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        let memory = eight();
        let mut ring = sq.register_buffer_ring(4, GROUP).unwrap();
        assert_eq!(ring.available().unwrap(), 0);
        for id in 0..3 {
            let address = memory.start.wrapping_add(8 * usize::from(id));
            // SAFETY: the memory is never freed, and each buffer is added once.
            unsafe { ring.add(address.cast(), 8, id) };
        }
        let done = read_selecting(cq, sq, &file);
        assert_eq!(done.raw_result(), -libc::ENOBUFS, "nothing is published");
        ring.publish();
        for left in [3, 2, 1] {
            assert_eq!(ring.available().unwrap(), left);
            filled(read_selecting(cq, sq, &file), memory, b"contents");
        }
        assert_eq!(ring.available().unwrap(), 0);
        add(&mut ring, memory, 5);
        assert_eq!(ring.available().unwrap(), 1);
    });
}

#[test]
fn buffer_ring_goes_around_many_times() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let file = file(b"contents");
    for entries in [1, 2, 8] {
        let (mut cq, mut sq) = lio_uring::with_capacity(4).unwrap();
        let memory = eight();
        let mut ring = sq.register_buffer_ring(entries, GROUP).unwrap();
        for id in 0..entries {
            add(&mut ring, memory, id);
        }
        // More than the 65536 that the ring's own counter has.
        for i in 0..70_000u32 {
            let done = read_selecting(&mut cq, &mut sq, &file);
            assert_eq!(done.result().unwrap(), 8, "round {i}");
            let id = done.buffer_id().expect("a buffer");
            assert_eq!(u32::from(id), i % u32::from(entries), "round {i}");
            add(&mut ring, memory, id);
        }
        if needs::knows(OpCode::FIXED_FD_INSTALL) {
            assert_eq!(ring.available().unwrap(), entries);
        }
    }
}

#[test]
fn buffer_ring_dropped_is_gone_and_another_can_come() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        let memory = eight();
        for round in 0..5 {
            let mut ring = sq.register_buffer_ring(2, GROUP).unwrap();
            let error = sq.register_buffer_ring(2, GROUP).unwrap_err();
            assert_eq!(error.cause(), &RegisterCause::AlreadyRegistered);
            add(&mut ring, memory, round);
            add(&mut ring, memory, round + 1);
            let id = filled(read_selecting(cq, sq, &file), memory, b"contents");
            assert_eq!(id, round);
            drop(ring);
            let done = read_selecting(cq, sq, &file);
            assert_eq!(done.raw_result(), -libc::ENOBUFS);
        }
    });
}

#[test]
fn buffer_ring_dropped_ends_what_waits_for_data_with_enobufs() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    each_ring!(|cq, sq| {
        let memory = eight();
        let mut ring = sq.register_buffer_ring(2, GROUP).unwrap();
        add(&mut ring, memory, 0);
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let read = Read {
            fd: here.as_raw_fd(),
            ptr: ptr::null_mut(),
            len: 8,
            offset: 0,
        };
        // SAFETY: the group's buffers are never freed, and the socket stays open.
        unsafe { sq.push_with(&read, 0, |sqe| sqe.select_buffer(GROUP)) }.unwrap();
        submit_pending(cq, sq);
        drop(ring);
        there.write_all(b"kept").unwrap();
        let done = wait(cq, sq, 1)[0];
        assert_eq!(
            (done.raw_result(), done.buffer_id()),
            (-libc::ENOBUFS, None)
        );
        let mut kept = [0; 4];
        here.read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
        assert_eq!(memory.bytes(), [UNTOUCHED; 64]);
    });
}

#[test]
fn buffer_ring_has_room_for_32768_and_for_other_groups_beside_it() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let file = file(b"contents");
    each_ring!(|cq, sq| {
        let (memory, other) = (eight(), eight());
        let mut ring = sq.register_buffer_ring(32_768, GROUP).unwrap();
        assert_eq!(ring.capacity(), 32_768);
        let mut beside = sq.register_buffer_ring(1, u16::MAX).unwrap();
        add(&mut beside, other, 4);
        for id in 0..8 {
            add(&mut ring, memory, id + 65_528);
        }
        for id in 0..8 {
            let done = read_selecting(cq, sq, &file);
            assert_eq!(filled(done, memory, b"contents"), id + 65_528);
        }
        assert_eq!(other.bytes(), [UNTOUCHED; 64]);
    });
}

#[test]
fn buffer_ring_outlives_the_queues() {
    // Buffer rings came with Linux 5.19, as SOCKET did.
    if !needs::operations(&[OpCode::SOCKET]) {
        return;
    }
    let looks = needs::knows(OpCode::FIXED_FD_INSTALL);
    let memory = eight();
    let (cq, mut sq) = lio_uring::with_capacity(4).unwrap();
    let mut ring: BufferRing<AnyThread> = sq.register_buffer_ring(4, GROUP).unwrap();
    drop(cq);
    drop(sq);
    add(&mut ring, memory, 0);
    if looks {
        assert_eq!(ring.available().unwrap(), 1, "the ring lives on");
    }
    // On another thread, too.
    thread::spawn(move || {
        add(&mut ring, memory, 1);
        drop(ring);
    })
    .join()
    .unwrap();

    let mut one_thread = IoUring::new(4).unwrap();
    let mut ring = one_thread
        .submission()
        .register_buffer_ring(4, GROUP)
        .unwrap();
    drop(one_thread);
    add(&mut ring, memory, 2);
    if looks {
        assert_eq!(ring.available().unwrap(), 1, "the ring lives on");
    }
}

#[test]
fn probe_says_what_the_kernel_does_with_every_code() {
    let probe = Probe::new().unwrap();
    for code in (0..=u8::MAX).map(OpCode) {
        // On a ring of ordinary entries the kernel refuses what needs larger ones.
        if [OpCode::NOP128, OpCode::URING_CMD128].contains(&code) {
            continue;
        }
        // It compares the two.
        assert_eq!(needs::knows(code), probe.supports(code), "{code}");
        assert!(!probe.supports(code) || code <= probe.last(), "{code}");
    }
    assert!(probe.supports(probe.last()));
    assert!(probe.has::<Read>() && probe.has::<Nop>());
}
