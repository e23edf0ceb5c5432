//! Operations that depend on each other, handed to the kernel in one go.
//!
//! It shows a chain (write, then flush, then read back) that takes a single system call, what
//! becomes of a chain when one of its parts fails, the harder link that goes on regardless, a time
//! limit for an operation, and a batch of operations that do not depend on each other.
//!
//! ```sh
//! cargo run --example linked_ops
//! cargo run --example linked_ops -- --timeout-ms 500 --batch 64
//! ```

#![expect(clippy::print_stdout, reason = "a program that talks to people")]
#![expect(clippy::print_stderr, reason = "errors are for people too")]

use std::error::Error;
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring::operation::{Fsync, FsyncFlags, LinkTimeout, Read, TimeoutFlags, Timespec, Write};
use lio_uring::{IoUring, SqeFlags};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Shows chains of operations, and what becomes of them.
#[derive(Parser)]
struct Args {
    /// How long the read of an empty pipe may take, in milliseconds.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,

    /// How many operations the batch has.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=128))]
    batch: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linked_ops: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the chains write and read back.
const TEXT: &[u8] = b"one system call for all of this";

fn run(args: &Args) -> Result<()> {
    let mut ring = IoUring::new(128)?;
    let file = tempfile::tempfile()?;
    let full = File::options().write(true).open("/dev/full")?;
    let all = TEXT.len().try_into()?;
    let (no_space, canceled) = (-libc::ENOSPC, -libc::ECANCELED);

    println!("A chain: each part starts when the one before has succeeded.");
    let results = run_chain(&mut ring, &file, &file, SqeFlags::IO_LINK)?;
    expect(results, [all, 0, all])?;

    println!("\nThe same, but the write fails: nothing after it is done.");
    let results = run_chain(&mut ring, &full, &file, SqeFlags::IO_LINK)?;
    expect(results, [no_space, canceled, canceled])?;

    println!("\nThe same with hard links: a failure does not end the chain.");
    let results = run_chain(&mut ring, &full, &file, SqeFlags::IO_HARDLINK)?;
    expect(results, [no_space, 0, all])?;

    let limit = Duration::from_millis(args.timeout_ms);
    println!("\nA read of an empty pipe, which may take {limit:?}.");
    let (reader, _writer) = io::pipe()?;
    let results = read_with_limit(&mut ring, &reader, limit)?;
    expect(results, [canceled, -libc::ETIME])?;

    println!(
        "\nA batch of {} writes that do not depend on each other.",
        args.batch
    );
    write_batch(&mut ring, &file, args.batch)
}

/// Writes a text to one file, flushes another, and reads the text back from that: as a chain, which
/// is submitted whole.
fn run_chain(ring: &mut IoUring, written: &File, file: &File, link: SqeFlags) -> Result<[i32; 3]> {
    let mut back = [0; TEXT.len()];
    let write = Write {
        fd: written.as_raw_fd(),
        ptr: TEXT.as_ptr().cast(),
        len: TEXT.len().try_into()?,
        offset: 0,
    };
    let flush = Fsync {
        fd: file.as_raw_fd(),
        fsync_flags: FsyncFlags::empty(),
    };
    let read = Read {
        fd: file.as_raw_fd(),
        ptr: back.as_mut_ptr().cast(),
        len: back.len().try_into()?,
        offset: 0,
    };
    // The flag links an entry to the next one, so the last has none. A chain ends where a submission
    // does: without the room reserved, a full queue could cut it in two.
    let mut chain = ring.submission().reserve(3)?;
    // SAFETY: the text is a constant. The file is open until `collect` has all three completions.
    unsafe { chain.push_with_flags(&write, 0, link) }?;
    // SAFETY: a flush points to nothing. The file is open, as above.
    unsafe { chain.push_with_flags(&flush, 1, link) }?;
    // SAFETY: nothing uses `back` before `collect` has all three completions. The file is open, as
    // above.
    unsafe { chain.push(&read, 2) }?;
    let results = collect(ring, ["write", "flush", "read"]);
    if results[2] > 0 && back != TEXT {
        return Err("what was read is not what was written".into());
    }
    Ok(results)
}

/// Reads from a pipe, and has the kernel cancel the read when time is up.
fn read_with_limit(ring: &mut IoUring, pipe: &PipeReader, limit: Duration) -> Result<[i32; 2]> {
    let mut byte = 0_u8;
    let time = Timespec::from(limit);
    let read = Read {
        fd: pipe.as_raw_fd(),
        ptr: (&raw mut byte).cast(),
        len: 1,
        offset: 0,
    };
    let limit = LinkTimeout {
        ts: &raw const time,
        flags: TimeoutFlags::empty(),
    };
    let start = Instant::now();
    let mut chain = ring.submission().reserve(2)?;
    // SAFETY: nothing uses `byte` before `collect` has both completions, and the pipe is open until
    // then.
    unsafe { chain.push_with_flags(&read, 0, SqeFlags::IO_LINK) }?;
    // SAFETY: the time lives until `collect` has both completions.
    unsafe { chain.push(&limit, 1) }?;
    let results = collect(ring, ["read", "time limit"]);
    println!("  after {:?}", start.elapsed());
    Ok(results)
}

/// Writes many pieces of a file at once, and checks that each has arrived in its place.
fn write_batch(ring: &mut IoUring, file: &File, count: u32) -> Result<()> {
    const SIZE: u32 = 512;
    let pieces: Vec<[u8; SIZE as usize]> = (0..count)
        .map(|number| [number.to_le_bytes()[0]; SIZE as usize])
        .collect();
    let mut batch = ring.submission().reserve(count)?;
    for (number, piece) in (0_u64..).zip(&pieces) {
        let write = Write {
            fd: file.as_raw_fd(),
            ptr: piece.as_ptr().cast(),
            len: SIZE,
            offset: number * u64::from(SIZE),
        };
        // SAFETY: the pieces are not touched, and the file is open, until all have completed.
        unsafe { batch.push(&write, number) }?;
    }
    let submitted = submit_and_wait(ring, count);
    println!("  {submitted} entries were submitted");
    for completion in ring.completions() {
        let number = completion.user_data();
        match completion.result() {
            Ok(written) if written.cast_unsigned() == SIZE => {}
            Ok(written) => return Err(format!("write {number} took {written} bytes only").into()),
            Err(error) => return Err(format!("write {number}: {error}").into()),
        }
    }
    let mut back = vec![0; pieces.len() * SIZE as usize];
    file.read_exact_at(&mut back, 0)?;
    if back != pieces.concat() {
        return Err("the file does not hold what was written".into());
    }
    println!("  all of them have arrived");
    Ok(())
}

/// Submits what is queued, waits for the completion of each, and returns the results in the order
/// of `names`, in which a name's index is the `user_data`. A negative result is an error number.
fn collect<const N: usize>(ring: &mut IoUring, names: [&str; N]) -> [i32; N] {
    let count = u32::try_from(N).expect("a chain is short");
    submit_and_wait(ring, count);
    let mut results = [0; N];
    for completion in ring.completions() {
        let index = usize::try_from(completion.user_data()).unwrap_or(N);
        let (Some(name), Some(result)) = (names.get(index), results.get_mut(index)) else {
            continue;
        };
        *result = completion.raw_result();
        match completion.result() {
            Ok(value) => println!("  {name}: {value}"),
            Err(error) => println!("  {name}: {error}"),
        }
    }
    results
}

/// Submits what is queued and waits until that many operations have ended.
#[expect(
    clippy::exit,
    reason = "to return would free memory that the kernel may be using"
)]
fn submit_and_wait(ring: &mut IoUring, count: u32) -> u32 {
    ring.submit_and_wait(count).unwrap_or_else(|error| {
        eprintln!("linked_ops: {error}");
        process::exit(1)
    })
}

fn expect<const N: usize>(results: [i32; N], expected: [i32; N]) -> Result<()> {
    if results == expected {
        Ok(())
    } else {
        Err(format!("the results are {results:?} and should be {expected:?}").into())
    }
}
