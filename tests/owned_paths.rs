//! The owned layer: names in directories, opening from a directory, what is known of files.
#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lio_uring::operation::OpCode;
use lio_uring::owned::{
    Cwd, Link, MakeDirectory, Metadata, Open, OpenAt, OpenAt2, Remove, Rename, ResolveFlags, Ring,
    Statx, Symlink,
};

#[path = "support/folder.rs"]
mod folder;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/stops.rs"]
mod stops;

use folder::{Folder, c_path};
use stops::assert_stops;

use outcome::{errno, run};

fn directory(folder: &Folder) -> Arc<File> {
    Arc::new(File::open(folder.path.path()).expect("the folder"))
}

#[test]
fn make_directory_makes_one_with_its_mode() -> io::Result<()> {
    if !needs::operations(&[OpCode::MKDIRAT]) {
        return Ok(());
    }
    let folder = Folder::new();
    let make = MakeDirectory {
        directory: directory(&folder),
        path: c"new".into(),
        mode: 0o700,
    };
    run(make.clone())?;
    let metadata = fs::metadata(folder.path.path().join("new"))?;
    assert!(metadata.is_dir());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    assert_eq!(errno(run(make)), libc::EEXIST);

    run(MakeDirectory {
        directory: Cwd,
        path: folder.c_path("new/deeper"),
        mode: 0o777,
    })?;
    assert!(folder.path.path().join("new/deeper").is_dir());
    Ok(())
}

#[test]
fn remove_removes_names_and_empty_directories() -> io::Result<()> {
    if !needs::operations(&[OpCode::UNLINKAT]) {
        return Ok(());
    }
    let folder = Folder::new();
    let remove = |path: &str, flags| Remove {
        directory: directory(&folder),
        path: CString::new(path).expect("no NUL"),
        flags,
    };
    run(remove("one", 0))?;
    assert!(!folder.has("one"));
    assert_eq!(errno(run(remove("one", 0))), libc::ENOENT);
    assert_eq!(errno(run(remove("empty", 0))), libc::EISDIR);
    run(remove("empty", libc::AT_REMOVEDIR))?;
    assert!(!folder.has("empty"));
    run(Remove {
        directory: Cwd,
        path: folder.c_path("two"),
        flags: 0,
    })?;
    assert_eq!(fs::read_dir(&folder.path)?.count(), 0);
    Ok(())
}

#[test]
fn rename_moves_between_directories_and_replaces_unless_told_not_to() -> io::Result<()> {
    if !needs::operations(&[OpCode::RENAMEAT]) {
        return Ok(());
    }
    let (here, there) = (Folder::new(), Folder::new());
    let rename = |from: &str, to: &str, flags| Rename {
        from_directory: directory(&here),
        from: CString::new(from).expect("no NUL"),
        to_directory: Cwd,
        to: there.c_path(to),
        flags,
    };
    run(rename("one", "three", 0))?;
    assert!(!here.has("one"));
    assert_eq!(there.text("three"), "one");
    let kept = run(rename("two", "three", libc::RENAME_NOREPLACE));
    assert_eq!(errno(kept), libc::EEXIST);
    assert_eq!(
        (here.text("two"), there.text("three")),
        ("two".into(), "one".into())
    );
    run(rename("two", "three", libc::RENAME_EXCHANGE))?;
    assert_eq!(
        (here.text("two"), there.text("three")),
        ("one".into(), "two".into())
    );
    run(rename("two", "three", 0))?;
    assert_eq!(there.text("three"), "one");
    assert!(!here.has("two"));
    Ok(())
}

#[test]
fn link_gives_a_file_another_name() -> io::Result<()> {
    if !needs::operations(&[OpCode::LINKAT]) {
        return Ok(());
    }
    let folder = Folder::new();
    let link = Link {
        from_directory: Cwd,
        from: folder.c_path("one"),
        to_directory: directory(&folder),
        to: c"again".into(),
        flags: 0,
    };
    run(link.clone())?;
    let names = ["one", "again"].map(|name| fs::metadata(folder.path.path().join(name)));
    let [one, again] = names.map(|metadata| metadata.expect("a file").ino());
    assert_eq!(one, again);
    assert_eq!(errno(run(link)), libc::EEXIST);
    Ok(())
}

#[test]
fn symlink_says_what_it_was_given() -> io::Result<()> {
    if !needs::operations(&[OpCode::SYMLINKAT]) {
        return Ok(());
    }
    let folder = Folder::new();
    let symlink = Symlink {
        target: c"no such file".into(),
        directory: directory(&folder),
        path: c"link".into(),
    };
    run(symlink.clone())?;
    let target = fs::read_link(folder.path.path().join("link"))?;
    assert_eq!(target, Path::new("no such file"));
    assert_eq!(errno(run(symlink)), libc::EEXIST);
    Ok(())
}

#[test]
fn open_at_starts_from_the_directory() -> io::Result<()> {
    let folder = Folder::new();
    let open = |path: &str, flags| OpenAt {
        directory: directory(&folder),
        path: CString::new(path).expect("no NUL"),
        flags,
        mode: 0o600,
    };
    let mut text = String::new();
    File::from(run(open("one", libc::O_RDONLY))?).read_to_string(&mut text)?;
    assert_eq!(text, "one");
    let new = run(open("new", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL))?;
    assert!(has_cloexec(&new));
    File::from(new).write_all(b"new text")?;
    assert_eq!(folder.text("new"), "new text");
    let again = run(open("new", libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL));
    assert_eq!(errno(again), libc::EEXIST);
    Ok(())
}

/// Whether a program that is started does not get a descriptor.
fn has_cloexec(fd: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the command takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

#[test]
fn open_at2_leads_nowhere_that_it_may_not() -> io::Result<()> {
    let folder = Folder::new();
    std::os::unix::fs::symlink("one", folder.path.path().join("link"))?;
    std::os::unix::fs::symlink("../..", folder.path.path().join("out"))?;
    let open = |path: &str, resolve| {
        let path = CString::new(path).expect("no NUL");
        run(OpenAt2::new(
            directory(&folder),
            path,
            libc::O_RDONLY,
            resolve,
        ))
    };
    for resolve in [ResolveFlags::empty(), ResolveFlags::BENEATH] {
        let file = open("link", resolve)?;
        assert!(has_cloexec(&file));
        assert_eq!(io::read_to_string(File::from(file))?, "one");
    }
    open("out", ResolveFlags::empty())?;
    assert_eq!(errno(open("out", ResolveFlags::BENEATH)), libc::EXDEV);
    let linked = open("link", ResolveFlags::NO_SYMLINKS);
    assert_eq!(errno(linked), libc::ELOOP);
    let root = File::from(open("/", ResolveFlags::IN_ROOT)?);
    assert_eq!(root.metadata()?.ino(), fs::metadata(&folder.path)?.ino());
    let unknown = ResolveFlags::from_bits_retain(1 << 40);
    assert_eq!(errno(open("one", unknown)), libc::EINVAL);

    // A mode is for what is made.
    let (path, none) = (folder.c_path("new"), ResolveFlags::empty());
    let refused = OpenAt2::new(Cwd, path.clone(), libc::O_RDWR, none).mode(0o600);
    assert_eq!(errno(run(refused)), libc::EINVAL);
    let flags = libc::O_RDWR | libc::O_CREAT;
    let made = File::from(run(OpenAt2::new(Cwd, path, flags, none).mode(0o600))?);
    assert_eq!(made.metadata()?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[test]
fn open_that_waits_on_a_worker_is_stopped() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.c_path("fifo");
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    // A file that could be made is opened on a worker.
    let flags = libc::O_RDONLY | libc::O_CREAT;
    let ring = Ring::new(8)?;
    let open = Open {
        path,
        flags,
        mode: 0o600,
    };
    assert_stops(&ring, open);
    Ok(())
}

#[track_caller]
fn assert_same(told: &Metadata, metadata: &fs::Metadata) {
    assert_eq!(told.len(), metadata.len());
    assert_eq!(told.mode(), metadata.mode());
    assert_eq!(
        [told.is_dir(), told.is_file(), told.is_symlink()],
        [metadata.is_dir(), metadata.is_file(), metadata.is_symlink()]
    );
    assert_eq!((told.uid(), told.gid()), (metadata.uid(), metadata.gid()));
    assert_eq!((told.dev(), told.ino()), (metadata.dev(), metadata.ino()));
    assert_eq!(u64::from(told.nlink()), metadata.nlink());
    assert_eq!(told.blocks(), metadata.blocks());
    assert_eq!(told.accessed(), metadata.accessed().ok());
    assert_eq!(told.modified(), metadata.modified().ok());
    assert_eq!(told.created(), metadata.created().ok());
    let changed = told.changed().expect("every file system has it");
    let since = changed
        .duration_since(std::time::UNIX_EPOCH)
        .expect("later");
    let seconds = i64::try_from(since.as_secs()).expect("not that late");
    assert_eq!(
        (seconds, i64::from(since.subsec_nanos())),
        (metadata.ctime(), metadata.ctime_nsec())
    );
}

#[test]
fn statx_agrees_with_the_standard_library() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.path.path().join("one");
    let file = File::options().write(true).open(&path)?;
    // Before 1970.
    let old = std::time::UNIX_EPOCH - Duration::from_millis(1500);
    file.set_modified(old)?;
    let link = folder.path.path().join("link");
    std::os::unix::fs::symlink("one", &link)?;

    let expected = file.metadata()?;
    let by_path = run(Statx::new(Cwd, c_path(&path)))?;
    assert_same(&by_path, &expected);
    assert_eq!(by_path.modified(), Some(old));
    assert_same(&run(Statx::new(directory(&folder), c"one"))?, &expected);
    assert_same(&run(Statx::new(directory(&folder), c"link"))?, &expected);
    assert_same(&run(Statx::of(file))?, &expected);
    let itself = Statx::new(Cwd, c_path(&link)).flags(libc::AT_SYMLINK_NOFOLLOW);
    assert_same(&run(itself)?, &link.symlink_metadata()?);
    let whole = run(Statx::of(directory(&folder)))?;
    assert_same(&whole, &fs::metadata(&folder.path)?);
    Ok(())
}

#[test]
fn statx_tells_no_time_that_is_not_known() -> io::Result<()> {
    // Nothing of /proc knows when it was made.
    let told = run(Statx::new(Cwd, c"/proc/self/status"))?;
    assert_eq!(told.as_raw().stx_mask & libc::STATX_BTIME, 0);
    assert_eq!(told.created(), None);
    assert!(told.modified().is_some());
    assert!(format!("{told:?}").starts_with("Metadata { mode: 0o100444, len: 0, "));
    Ok(())
}

#[test]
fn statx_that_cannot_be_gives_an_error() {
    let missing = run(Statx::new(Cwd, c"/no/such/file"));
    assert_eq!(errno(missing), libc::ENOENT);
    let unknown = run(Statx::new(Cwd, c"/").flags(1));
    assert_eq!(errno(unknown), libc::EINVAL);
    let reserved = run(Statx::new(Cwd, c"/").mask(1 << 31));
    assert_eq!(errno(reserved), libc::EINVAL);
    let file = tempfile::tempfile().expect("a file");
    let below = run(Statx::new(file, c"one"));
    assert_eq!(errno(below), libc::ENOTDIR);
}
