//! Opening files into slots of the registered files.

#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use lio_uring::kind::Threads;
use lio_uring::operation::{
    CloseFixed, OpCode, OpenHow, Openat2Direct, OpenatDirect, Operation, Read,
};
use lio_uring::{CompletionQueue, FileSlot, Sqe, SqeFlags, SubmissionQueue};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/late.rs"]
mod late;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/slots.rs"]
mod slots;

use folder::Folder;
use late::run_late;
use rings::{results, run};
use slots::{is_empty, read_slot, write_slot};

/// The operations that open into slots.
#[derive(Clone, Copy, Debug)]
enum Opens {
    Openat,
    Openat2,
}

use Opens::{Openat, Openat2};

/// Opens a file into a slot, with the permissions 0600 if it is created, and returns the result.
#[track_caller]
fn open<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    opens: Opens,
    (dfd, path): (RawFd, &CStr),
    flags: i32,
    file_index: FileSlot,
) -> i32 {
    let created = flags & libc::O_CREAT != 0;
    let how = OpenHow {
        flags: flags.cast_unsigned().into(),
        mode: if created { 0o600 } else { 0 },
        resolve: 0,
    };
    let openat = OpenatDirect {
        dfd,
        path: path.as_ptr(),
        flags,
        mode: 0o600,
        file_index,
    };
    let openat2 = Openat2Direct {
        dfd,
        path: path.as_ptr(),
        how: &raw const how,
        file_index,
    };
    let done = match opens {
        // SAFETY: the path is borrowed until the completion has been taken, and the slots are this
        // test's.
        Openat => unsafe { run(cq, sq, &openat, |_| ()) },
        // SAFETY: as above; so is how it is opened.
        Openat2 => unsafe { run(cq, sq, &openat2, |_| ()) },
    };
    done.raw_result()
}

/// Whether the kernel opens into slots, which it does since Linux 5.15.
#[track_caller]
fn opens_into_slots() -> bool {
    needs::operations(&[OpCode::MKDIRAT])
}

/// Whether the kernel picks slots, which it does since Linux 5.19.
#[track_caller]
fn allocates_slots() -> bool {
    needs::operations(&[OpCode::SOCKET])
}

#[test]
fn open_into_a_slot_fills_it_and_no_other() {
    if !opens_into_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        sq.register_files(&[-1; 4]).unwrap();
        for (opens, slot) in [(Openat, 1), (Openat2, 3)] {
            let at = FileSlot::At(slot);
            let one = (folder.fd(), c"one");
            assert_eq!(open(cq, sq, opens, one, libc::O_RDONLY, at), 0);
        }
        for (slot, text) in [(1, b"one"), (3, b"one")] {
            assert_eq!(read_slot(cq, sq, slot).unwrap(), text);
            let error = write_slot(cq, sq, slot, b"x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "read only");
        }
        assert!(is_empty(cq, sq, 0) && is_empty(cq, sq, 2));
    });
}

#[test]
fn open_into_a_slot_creates_and_writes_through_it() {
    if !opens_into_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        sq.register_files(&[-1; 2]).unwrap();
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        for (opens, name, text) in [(Openat, c"three", "new"), (Openat2, c"four", "newer")] {
            let (path, at) = ((folder.fd(), name), FileSlot::At(1));
            assert_eq!(open(cq, sq, opens, path, flags, at), 0);
            let n = write_slot(cq, sq, 1, text.as_bytes()).unwrap();
            assert_eq!(usize::try_from(n), Ok(text.len()));
            assert_eq!(folder.text(name.to_str().unwrap()), text);
            let again = open(cq, sq, opens, path, flags, at);
            assert_eq!(again, -libc::EEXIST);
            let held = read_slot(cq, sq, 1).unwrap();
            assert_eq!(held, text.as_bytes(), "a failure leaves the slot");
        }
    });
}

#[test]
fn open_into_an_occupied_slot_replaces_what_is_there() {
    if !opens_into_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let old = File::open("/proc/self/comm").unwrap();
        sq.register_files(&[old.as_raw_fd()]).unwrap();
        for (opens, name) in [
            (Openat, c"one"),
            (Openat2, c"two"),
            (Openat2, c"one"),
            (Openat, c"two"),
        ] {
            let path = (folder.fd(), name);
            assert_eq!(open(cq, sq, opens, path, 0, FileSlot::At(0)), 0);
            assert_eq!(read_slot(cq, sq, 0).unwrap(), name.to_bytes());
        }
    });
}

#[test]
fn open_into_allocated_slots_names_them_until_the_table_is_full() {
    if !allocates_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (one, two) = ((folder.fd(), c"one"), (folder.fd(), c"two"));
        sq.register_files_sparse(4).unwrap();
        let mut slots = Vec::new();
        for (opens, path) in [(Openat, one), (Openat2, two), (Openat, two), (Openat2, one)] {
            let slot = open(cq, sq, opens, path, 0, FileSlot::Allocate);
            assert_eq!(read_slot(cq, sq, slot).unwrap(), path.1.to_bytes());
            slots.push(slot);
        }
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3]);
        for opens in [Openat, Openat2] {
            let full = open(cq, sq, opens, one, 0, FileSlot::Allocate);
            assert_eq!(full, -libc::ENFILE);
            // A slot that is emptied is picked again.
            // SAFETY: the slot is this test's.
            let done = unsafe { run(cq, sq, &CloseFixed { file_index: 2 }, |_| ()) };
            assert_eq!(done.raw_result(), 0);
            assert_eq!(open(cq, sq, opens, one, 0, FileSlot::Allocate), 2);
        }
    });
}

/// Whether the kernel may look for a slot behind one that was filled by its number.
fn picks_outside_of_the_range() -> bool {
    let without = [((6, 18), 44), ((6, 19), 14)];
    kernel::may_have_bug((6, 16), &without, "a slot outside of the range is picked")
}

#[test]
fn open_into_allocated_slots_stays_in_the_range() {
    // The range came with Linux 6.0, as SEND_ZC did.
    if !needs::operations(&[OpCode::SEND_ZC]) {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let (one, two) = ((folder.fd(), c"one"), (folder.fd(), c"two"));
        sq.register_files_sparse(8).unwrap();
        sq.register_file_alloc_range(5, 2).unwrap();
        let mut slots = [Openat, Openat2].map(|opens| {
            let slot = open(cq, sq, opens, one, 0, FileSlot::Allocate);
            assert_eq!(read_slot(cq, sq, slot).unwrap(), b"one");
            slot
        });
        slots.sort_unstable();
        assert_eq!(slots, [5, 6]);
        for (opens, outside) in [(Openat, 0), (Openat2, 7)] {
            let full = open(cq, sq, opens, one, 0, FileSlot::Allocate);
            if full != -libc::ENFILE && picks_outside_of_the_range() {
                return;
            }
            assert_eq!(full, -libc::ENFILE);
            // Named slots are where they are.
            let at = FileSlot::At(outside);
            assert_eq!(open(cq, sq, opens, two, 0, at), 0);
        }
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"two");
        assert_eq!(read_slot(cq, sq, 7).unwrap(), b"two");
        for slot in 1..5 {
            assert!(is_empty(cq, sq, slot), "slot {slot}");
        }
    });
}

#[test]
fn open_into_a_slot_that_cannot_be_fails() {
    if !opens_into_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let one = (folder.fd(), c"one");
        let at = FileSlot::At;
        for opens in [Openat, Openat2] {
            let done = open(cq, sq, opens, one, 0, at(0));
            assert_eq!(done, -libc::ENXIO, "without a table");
        }
        sq.register_files(&[-1; 3]).unwrap();
        for opens in [Openat, Openat2] {
            for outside in [3, 99, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
                let done = open(cq, sq, opens, one, 0, at(outside));
                assert_eq!(done, -libc::EINVAL, "{opens:?} into {outside}");
            }
            let done = open(cq, sq, opens, one, libc::O_CLOEXEC, at(0));
            assert_eq!(done, -libc::EINVAL, "{opens:?} with O_CLOEXEC");
            let missing = (folder.fd(), c"three");
            let done = open(cq, sq, opens, missing, 0, at(0));
            assert_eq!(done, -libc::ENOENT);
            let done = open(cq, sq, opens, (-1, c"one"), 0, at(0));
            assert_eq!(done, -libc::EBADF);
        }
        for slot in 0..3 {
            assert!(is_empty(cq, sq, slot), "slot {slot}");
        }
    });
}

#[test]
fn open_into_an_allocated_slot_that_cannot_be_fails() {
    if !allocates_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let one = (folder.fd(), c"one");
        let allocate = FileSlot::Allocate;
        for opens in [Openat, Openat2] {
            let done = open(cq, sq, opens, one, 0, allocate);
            assert_eq!(done, -libc::ENFILE, "without a table");
        }
        sq.register_files(&[-1]).unwrap();
        for opens in [Openat, Openat2] {
            let done = open(cq, sq, opens, one, libc::O_CLOEXEC, allocate);
            assert_eq!(done, -libc::EINVAL, "{opens:?} with O_CLOEXEC");
            let done = open(cq, sq, opens, (-1, c"one"), 0, allocate);
            assert_eq!(done, -libc::EBADF);
            assert!(is_empty(cq, sq, 0));
        }
    });
}

#[test]
fn open_into_a_slot_keeps_no_arguments_once_it_is_submitted() {
    if !opens_into_slots() {
        return;
    }
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        sq.register_files(&[-1; 2]).unwrap();
        let (mut path, mut how) = (*b"one\0", OpenHow::default());
        let openat2 = Openat2Direct {
            dfd: folder.fd(),
            path: path.as_ptr().cast(),
            how: &raw const how,
            file_index: FileSlot::At(1),
        };
        let spoil = || (path, how.flags) = (*b"two\0", u64::MAX);
        // SAFETY: the arguments stay until the entry has been submitted, the directory until the
        // completion has been taken.
        assert_eq!(unsafe { run_late(cq, sq, &openat2, spoil) }, 0);
        assert_eq!((&path, how.flags), (b"two\0", u64::MAX));
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"one");

        let mut path = *b"two\0";
        let openat = OpenatDirect {
            dfd: folder.fd(),
            path: path.as_ptr().cast(),
            flags: libc::O_RDONLY,
            mode: 0,
            file_index: FileSlot::At(0),
        };
        // SAFETY: as above.
        let done = unsafe { run_late(cq, sq, &openat, || path = *b"bad\0") };
        assert_eq!((done, &path), (0, b"bad\0"));
        assert_eq!(read_slot(cq, sq, 0).unwrap(), b"two");
    });
}

/// Links an operation to the next, on a registered file or not.
#[track_caller]
fn link<T: Threads>(
    sq: &mut SubmissionQueue<T>,
    operation: &impl Operation,
    user_data: u64,
    flags: SqeFlags,
) {
    let settings = |sqe: &mut Sqe| sqe.insert_flags(flags | SqeFlags::IO_LINK);
    // SAFETY: the tests keep what their chains use until they have completed.
    unsafe { sq.push_with(operation, user_data, settings) }.expect("room");
}

/// A read of three bytes from the start of the file in slot 1.
fn read_into(buffer: &mut [u8; 3]) -> Read {
    Read {
        fd: 1,
        ptr: buffer.as_mut_ptr().cast(),
        len: 3,
        offset: 0,
    }
}

#[test]
fn chain_opens_reads_and_closes_through_one_slot_again_and_again() {
    // A chain finds the files that it has opened itself since Linux 5.18.
    if !allocates_slots() {
        return;
    }
    let none = SqeFlags::empty();
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        sq.register_files(&[-1; 2]).unwrap();
        let how = OpenHow::default();
        let open_one = OpenatDirect {
            dfd: folder.fd(),
            path: c"one".as_ptr(),
            flags: libc::O_RDONLY,
            mode: 0,
            file_index: FileSlot::At(1),
        };
        let open_two = Openat2Direct {
            dfd: folder.fd(),
            path: c"two".as_ptr(),
            how: &raw const how,
            file_index: FileSlot::At(1),
        };
        let close = CloseFixed { file_index: 1 };
        let mut texts = [[0; 3]; 3];
        let [first, second, third] = &mut texts;
        link(sq, &open_one, 1, none);
        link(sq, &read_into(first), 2, SqeFlags::FIXED_FILE);
        link(sq, &close, 3, none);
        link(sq, &open_two, 4, none);
        link(sq, &read_into(second), 5, SqeFlags::FIXED_FILE);
        // The slot is not emptied before it is used again.
        link(sq, &open_one, 6, none);
        link(sq, &read_into(third), 7, SqeFlags::FIXED_FILE);
        // SAFETY: the slot is this test's.
        unsafe { sq.push(&close, 8) }.unwrap();
        let done = results(cq, sq, 8);
        let wanted = [0, 3, 0, 0, 3, 0, 3, 0];
        assert_eq!(done, (1..).zip(wanted).collect::<Vec<_>>());
        assert_eq!(texts, [*b"one", *b"two", *b"one"]);
        assert!(is_empty(cq, sq, 1));
    });
}

#[test]
fn chain_that_cannot_open_reads_and_closes_nothing() {
    if !opens_into_slots() {
        return;
    }
    let none = SqeFlags::empty();
    each_ring!(|cq, sq| {
        let folder = Folder::new();
        let kept = File::open(folder.path.path().join("two")).unwrap();
        sq.register_files(&[-1, kept.as_raw_fd()]).unwrap();
        let missing = OpenatDirect {
            dfd: folder.fd(),
            path: c"three".as_ptr(),
            flags: libc::O_RDONLY,
            mode: 0,
            file_index: FileSlot::At(1),
        };
        let mut text = [0; 3];
        link(sq, &missing, 1, none);
        link(sq, &read_into(&mut text), 2, SqeFlags::FIXED_FILE);
        // SAFETY: the slot is this test's.
        unsafe { sq.push(&CloseFixed { file_index: 1 }, 3) }.unwrap();
        let cancelled = -libc::ECANCELED;
        assert_eq!(
            results(cq, sq, 3),
            [(1, -libc::ENOENT), (2, cancelled), (3, cancelled)]
        );
        assert_eq!(text, [0; 3]);
        assert_eq!(read_slot(cq, sq, 1).unwrap(), b"two");
    });
}
