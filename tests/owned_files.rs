//! The owned layer: the space of files, ranges of them, extended attributes.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use lio_uring::operation::OpCode;
use lio_uring::owned::{
    Advise, Allocate, Buffer, BufferMut, FGetXattr, FSetXattr, GetXattr, Read, SetXattr, SyncRange,
    Truncate, View,
};

#[path = "support/files.rs"]
mod files;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/outcome.rs"]
mod outcome;

use files::{contents, file};
use folder::Folder;

use outcome::{errno, run};

fn read_only() -> File {
    File::open("/proc/self/comm").expect("every process has one")
}

#[test]
fn parts_of_buffers_are_read_into() -> io::Result<()> {
    let file = Arc::new(file(b"0123456789"));
    let vector = || {
        let mut vector = Vec::with_capacity(32);
        vector.extend(b"abcdef");
        vector
    };
    let read = |buffer| {
        let file = Arc::clone(&file);
        let (count, view): (_, View<Vec<u8>>) = run(Read {
            file,
            buffer,
            offset: 0,
        });
        io::Result::Ok((count?, view.into_inner()))
    };
    // Behind what is there, over its end, and in its midst.
    assert_eq!(read(vector().view(6..10))?, (4, b"abcdef0123".to_vec()));
    assert_eq!(read(vector().view(4..8))?, (4, b"abcd0123".to_vec()));
    assert_eq!(read(vector().view(1..3))?, (2, b"a01".to_vec()));
    // Nothing that was not written before is taken for bytes.
    assert_eq!(read(vector().view(9..12))?, (6, b"abcdef012345".to_vec()));
    assert_eq!(read(vector().view(6..6))?, (0, b"abcdef".to_vec()));
    let whole = vector();
    let capacity = u32::try_from(whole.capacity()).expect("a capacity");
    let (count, bytes) = read(whole.view(3..u32::MAX))?;
    assert_eq!((count, &bytes[..]), (10, &b"abc0123456789"[..]));
    assert_eq!(bytes.capacity(), capacity as usize);

    let read = Read {
        file: Arc::clone(&file),
        buffer: (*b"abcdef").view(2..5).view(1..9),
        offset: 0,
    };
    let (count, view) = run(read);
    assert_eq!((count?, view.into_inner().into_inner()), (2, *b"abc01f"));
    Ok(())
}

/// Whatever is asked for, the bytes are what was there before, and then what was read.
#[test]
fn parts_of_parts_hold_nothing_that_was_not_written() -> io::Result<()> {
    let file = Arc::new(file(b"0123456789"));
    let ranges = || (0..8).flat_map(|start| (0..9).map(move |end| start..end));
    for length in 0..6 {
        for (outer, inner) in
            ranges().flat_map(|outer| ranges().map(move |inner| (outer.clone(), inner)))
        {
            let mut vector = vec![b'a'; length];
            vector.reserve_exact(7 - length);
            let read = Read {
                file: Arc::clone(&file),
                buffer: vector.view(outer.clone()).view(inner.clone()),
                offset: 0,
            };
            // Most of it is only asked where it would be.
            let mut parts = read.buffer;
            let (room, initialized) = (BufferMut::capacity(&parts), parts.initialized());
            assert!(initialized <= room, "{length} {outer:?} {inner:?}");
            if outer.end % 3 != 0 || inner.end % 3 != 0 {
                continue;
            }
            let address = parts.room();
            let (count, parts) = run(Read {
                file: Arc::clone(&file),
                buffer: parts,
                offset: 0,
            });
            let count = count?;
            let bytes = parts.into_inner().into_inner();
            let (before, read) = bytes.split_at(bytes.len() - count);
            assert_eq!(bytes.as_ptr().wrapping_add(before.len()), address);
            assert!(before.len() <= length && before.iter().all(|byte| *byte == b'a'));
            assert_eq!(
                read,
                &b"0123456789"[..count],
                "{length} {outer:?} {inner:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn allocate_allocates_grows_and_punches() -> io::Result<()> {
    let file = Arc::new(file(&vec![7; 64 << 10]));
    let allocate = |mode, offset, len| {
        run(Allocate {
            file: Arc::clone(&file),
            mode,
            offset,
            len,
        })
    };
    allocate(0, 0, 1 << 20)?;
    let grown = file.metadata()?;
    assert_eq!(grown.len(), 1 << 20);
    assert!(grown.blocks() >= (1 << 20) / 512);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    allocate(punch, 8 << 10, 32 << 10)?;
    let bytes = contents(&file);
    assert!(bytes[..8 << 10].iter().all(|byte| *byte == 7));
    assert!(bytes[8 << 10..40 << 10].iter().all(|byte| *byte == 0));
    assert!(bytes[40 << 10..64 << 10].iter().all(|byte| *byte == 7));

    assert_eq!(errno(allocate(0, 0, 0)), libc::EINVAL);
    assert_eq!(errno(allocate(0, 0, u64::MAX)), libc::EINVAL);
    let refused = run(Allocate {
        file: read_only(),
        mode: 0,
        offset: 0,
        len: 1,
    });
    assert_eq!(errno(refused), libc::EBADF);
    Ok(())
}

#[test]
fn truncate_sets_the_length() -> io::Result<()> {
    if !needs::operations(&[OpCode::FTRUNCATE]) {
        return Ok(());
    }
    let file = Arc::new(file(b"some text"));
    let truncate = |len| {
        run(Truncate {
            file: Arc::clone(&file),
            len,
        })
    };
    truncate(4)?;
    assert_eq!(contents(&file), b"some");
    truncate(6)?;
    assert_eq!(contents(&file), b"some\0\0");
    assert_eq!(errno(truncate(u64::MAX)), libc::EINVAL);
    let file = read_only();
    assert_eq!(errno(run(Truncate { file, len: 0 })), libc::EINVAL);
    Ok(())
}

#[test]
fn range_is_synchronized() -> io::Result<()> {
    let file = Arc::new(file(&vec![7; 64 << 10]));
    let sync = |flags| {
        run(SyncRange {
            file: Arc::clone(&file),
            offset: 4096,
            len: 4096,
            flags,
        })
    };
    sync(libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER)?;
    assert_eq!(errno(sync(1 << 20)), libc::EINVAL);
    let (reader, _writer) = io::pipe()?;
    let refused = run(SyncRange {
        file: reader,
        offset: 0,
        len: 0,
        flags: 0,
    });
    assert_eq!(errno(refused), libc::ESPIPE);
    Ok(())
}

#[test]
fn advice_is_taken() -> io::Result<()> {
    let file = Arc::new(file(b"some text"));
    let advise = |len, advice| {
        run(Advise {
            file: Arc::clone(&file),
            offset: 0,
            len,
            advice,
        })
    };
    advise(0, libc::POSIX_FADV_SEQUENTIAL)?;
    advise(4096, libc::POSIX_FADV_WILLNEED)?;
    assert_eq!(errno(advise(0, 77)), libc::EINVAL);
    assert_eq!(contents(&file), b"some text");

    let long = advise(1 << 40, libc::POSIX_FADV_WILLNEED);
    if long.is_err() && kernel::older_than(6, 11) {
        assert_eq!(errno(long), libc::EINVAL);
    } else {
        long?;
    }
    let (reader, _writer) = io::pipe()?;
    let refused = run(Advise {
        file: reader,
        offset: 0,
        len: 0,
        advice: libc::POSIX_FADV_NORMAL,
    });
    assert_eq!(errno(refused), libc::ESPIPE);
    Ok(())
}

#[test]
fn xattr_that_is_set_by_path_is_read_by_path() -> io::Result<()> {
    if !needs::operations(&[OpCode::SETXATTR, OpCode::GETXATTR]) {
        return Ok(());
    }
    let folder = Folder::new();
    let set = |flags| SetXattr {
        path: folder.c_path("one"),
        name: c"user.mime_type".into(),
        buffer: "text/plain",
        flags,
    };
    let (done, value) = run(set(libc::XATTR_CREATE));
    done?;
    assert_eq!(value, "text/plain");
    let (again, value) = run(set(libc::XATTR_CREATE));
    assert_eq!((errno(again), value), (libc::EEXIST, "text/plain"));

    let get = |name: &std::ffi::CStr, buffer| {
        run(GetXattr {
            path: folder.c_path("one"),
            name: name.into(),
            buffer,
        })
    };
    let (size, value) = get(c"user.mime_type", Vec::with_capacity(100));
    assert_eq!((size?, &value[..]), (10, &b"text/plain"[..]));
    // How much room it needs, too little, and another name.
    let (size, value) = get(c"user.mime_type", Vec::new());
    assert_eq!((size?, value.len()), (10, 0));
    let (size, value) = get(c"user.mime_type", vec![1; 3]);
    assert_eq!((errno(size), value), (libc::ERANGE, vec![1; 3]));
    let (size, value) = get(c"user.other", vec![1; 100]);
    assert_eq!((errno(size), value), (libc::ENODATA, vec![1; 100]));
    Ok(())
}

#[test]
fn xattr_that_is_set_of_an_open_file_is_read_of_it() -> io::Result<()> {
    if !needs::operations(&[OpCode::FSETXATTR, OpCode::FGETXATTR]) {
        return Ok(());
    }
    let folder = Folder::new();
    let path = folder.path.path().join("two");
    let file = Arc::new(File::options().write(true).open(path)?);
    let set = |buffer, flags| {
        run(FSetXattr {
            file: Arc::clone(&file),
            name: c"user.binary".into(),
            buffer,
            flags,
        })
    };
    let bytes = || files::bytes(300);
    let (replaced, value) = set(bytes(), libc::XATTR_REPLACE);
    assert_eq!((errno(replaced), value), (libc::ENODATA, bytes()));
    let (done, value) = set(bytes(), 0);
    done?;
    assert_eq!(value, bytes());
    let (long, _) = set(vec![0; 65537], 0);
    assert_eq!(errno(long), libc::E2BIG);

    let (size, value) = run(FGetXattr {
        file: Arc::clone(&file),
        name: c"user.binary".into(),
        buffer: [0; 400],
    });
    assert_eq!(size?, 300);
    assert_eq!(value[..300], bytes());
    assert!(value[300..].iter().all(|byte| *byte == 0));
    let (size, value) = run(FGetXattr {
        file,
        name: c"user.other".into(),
        buffer: [9; 4],
    });
    assert_eq!((errno(size), value), (libc::ENODATA, [9; 4]));
    Ok(())
}
