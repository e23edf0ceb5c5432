//! The life of a file, each step an operation of a ring: create, write, flush, look at, read back,
//! shorten, close, remove.
//!
//! It shows how an operation is pushed, submitted and completed, what its result means, and how a
//! failure looks. One operation at a time, so it is no faster than ordinary system calls; the other
//! examples keep many in flight.
//!
//! ```sh
//! cargo run --example basic_io
//! cargo run --example basic_io -- --size 10000000 /var/tmp/new-file
//! ```

#![expect(clippy::print_stdout, reason = "a program that talks to people")]
#![expect(clippy::print_stderr, reason = "errors are for people too")]

use std::error::Error;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{self, ExitCode};

use clap::Parser;
use lio_uring::IoUring;
use lio_uring::operation::{
    Close, Fsync, FsyncFlags, Ftruncate, Openat, Operation, Read, Statx, Unlinkat, Write,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Takes a file through its life with io_uring, and checks each step.
#[derive(Parser)]
struct Args {
    /// The file to create and remove again; it must not exist. Otherwise one in a temporary folder.
    path: Option<PathBuf>,

    /// How many bytes to write.
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(2..=1 << 30))]
    size: u32,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("basic_io: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = args.path.unwrap_or_else(|| folder.path().join("basic_io"));
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut ring = IoUring::new(8)?;

    let file = create(&mut ring, &path)?;
    println!(
        "created {} as descriptor {}",
        path.to_string_lossy(),
        file.as_raw_fd()
    );
    let outcome = use_file(&mut ring, &path, file, args.size);
    // Whatever happened, the file is ours to remove.
    remove(&mut ring, &path)?;
    println!("removed it");
    outcome?;

    match open(&mut ring, &path, libc::O_RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("opening it again fails, as it should: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("the file is still there after it was removed".into()),
    }
}

/// Everything between the file's creation and its removal.
fn use_file(ring: &mut IoUring, path: &CString, file: OwnedFd, size: u32) -> Result<()> {
    let data = pattern(size);
    write_all(ring, &file, &data)?;
    println!("wrote {size} bytes");
    flush(ring, &file)?;
    println!("flushed them to storage");
    expect_size(ring, path, size.into())?;

    if read_all(ring, &file, data.len())? != data {
        return Err("what was read is not what was written".into());
    }
    println!("read them back, and they are the same");

    if ring.submission().probe()?.has::<Ftruncate>() {
        shorten(ring, &file, size / 2)?;
        println!("cut the file in half");
        expect_size(ring, path, u64::from(size / 2))?;
    } else {
        println!("this kernel cannot cut a file through a ring; that takes Linux 6.9");
    }

    close(ring, file)?;
    println!("closed it");
    Ok(())
}

/// Bytes that do not repeat soon.
fn pattern(size: u32) -> Vec<u8> {
    let mix = |mixed: u8, byte| mixed.wrapping_mul(31) ^ byte;
    (0..size)
        .map(|i| i.to_le_bytes().into_iter().fold(0, mix))
        .collect()
}

/// Pushes one operation, submits it, waits, and returns the result that it completes with.
///
/// # Safety
///
/// What the operation asks for under *Safety* holds until this returns.
unsafe fn complete<O: Operation>(ring: &mut IoUring, operation: &O) -> io::Result<u32> {
    // SAFETY: the caller's promise, which is enough because this does not return, or unwind,
    // before the operation has ended.
    unsafe { ring.push(operation, 0) }?;
    if let Err(error) = ring.submit_and_wait(1) {
        give_up(&error);
    }
    match ring.next() {
        Ok(completion) => completion.result().map(i32::cast_unsigned),
        Err(error) => give_up(&error),
    }
}

/// Ends the program: the ring does not say what became of an operation.
#[expect(
    clippy::exit,
    reason = "to return would free memory that the kernel may be using"
)]
fn give_up(error: &dyn Error) -> ! {
    eprintln!("basic_io: the ring has failed: {error}");
    process::exit(1)
}

fn failed(action: &str) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {action}: {error}")
}

/// Opens a file, and owns the descriptor that is the operation's result.
fn open(ring: &mut IoUring, path: &CString, flags: i32) -> io::Result<OwnedFd> {
    let open = Openat {
        dfd: libc::AT_FDCWD,
        path: path.as_ptr(),
        flags: flags | libc::O_CLOEXEC,
        mode: 0o644,
    };
    // SAFETY: the path is a C string that lives until the call returns.
    let fd = unsafe { complete(ring, &open) }?;
    // SAFETY: the operation has made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) })
}

fn create(ring: &mut IoUring, path: &CString) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    Ok(open(ring, path, flags).map_err(failed(&format!("create {}", path.to_string_lossy())))?)
}

/// Writes all of `data`, in as many operations as it takes: one may write a part only.
fn write_all(ring: &mut IoUring, file: &OwnedFd, data: &[u8]) -> Result<()> {
    let mut written = 0;
    while let Some(rest) = data.get(written..).filter(|rest| !rest.is_empty()) {
        let write = Write {
            fd: file.as_raw_fd(),
            ptr: rest.as_ptr().cast(),
            len: u32::try_from(rest.len()).unwrap_or(u32::MAX),
            offset: written as u64,
        };
        // SAFETY: `rest` is borrowed until the call returns, so it is valid and nobody writes it.
        // The file is open.
        match unsafe { complete(ring, &write) }.map_err(failed("write"))? {
            0 => return Err("cannot write: the file takes no more".into()),
            count => written += count as usize,
        }
    }
    Ok(())
}

/// Reads `len` bytes from the start, or as many as there are.
fn read_all(ring: &mut IoUring, file: &OwnedFd, len: usize) -> Result<Vec<u8>> {
    let mut data = vec![0; len];
    let mut done = 0;
    while done < len {
        let rest = &mut data[done..];
        let read = Read {
            fd: file.as_raw_fd(),
            ptr: rest.as_mut_ptr().cast(),
            len: u32::try_from(rest.len()).unwrap_or(u32::MAX),
            offset: done as u64,
        };
        // SAFETY: `rest` is borrowed mutably until the call returns, so it is valid and nobody else
        // uses it. The file is open.
        match unsafe { complete(ring, &read) }.map_err(failed("read"))? {
            // The end of the file.
            0 => break,
            count => done += count as usize,
        }
    }
    data.truncate(done);
    Ok(data)
}

fn flush(ring: &mut IoUring, file: &OwnedFd) -> Result<()> {
    let fsync = Fsync {
        fd: file.as_raw_fd(),
        fsync_flags: FsyncFlags::DATASYNC,
    };
    // SAFETY: the operation points to nothing, and the file is open.
    unsafe { complete(ring, &fsync) }.map_err(failed("flush"))?;
    Ok(())
}

/// Asks for the file's size, and compares it.
fn expect_size(ring: &mut IoUring, path: &CString, expected: u64) -> Result<()> {
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    let statx = Statx {
        dfd: libc::AT_FDCWD,
        path: path.as_ptr(),
        flags: 0,
        mask: libc::STATX_SIZE,
        statxbuf: answer.as_mut_ptr(),
    };
    // SAFETY: the path is a C string and the answer has room for what is written, and both live
    // until the call returns.
    unsafe { complete(ring, &statx) }.map_err(failed("look at the file"))?;
    // SAFETY: it is made of integers, for which zero is a value, and the kernel has filled it.
    let size = unsafe { answer.assume_init() }.stx_size;
    println!("its size is {size}");
    if size == expected {
        Ok(())
    } else {
        Err(format!("the file has {size} bytes and should have {expected}").into())
    }
}

fn shorten(ring: &mut IoUring, file: &OwnedFd, len: u32) -> Result<()> {
    let truncate = Ftruncate {
        fd: file.as_raw_fd(),
        len: len.into(),
    };
    // SAFETY: the operation points to nothing, and the file is open.
    unsafe { complete(ring, &truncate) }.map_err(failed("cut the file"))?;
    Ok(())
}

fn close(ring: &mut IoUring, file: OwnedFd) -> Result<()> {
    let close = Close {
        fd: file.into_raw_fd(),
    };
    // SAFETY: the descriptor was ours, and is given up here.
    unsafe { complete(ring, &close) }.map_err(failed("close the file"))?;
    Ok(())
}

fn remove(ring: &mut IoUring, path: &CString) -> Result<()> {
    let unlink = Unlinkat {
        dfd: libc::AT_FDCWD,
        path: path.as_ptr(),
        flags: 0,
    };
    // SAFETY: the path is a C string that lives until the call returns.
    unsafe { complete(ring, &unlink) }.map_err(failed("remove the file"))?;
    Ok(())
}
