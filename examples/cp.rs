//! Copies a file, with many blocks in flight, and checks the copy.
//!
//! ```sh
//! cargo run --release --example cp -- FROM TO
//! ```
//!
//! Each block is read into a buffer, and written from it when it has arrived, in whatever order blocks
//! come. Nothing here is `unsafe`: the ring owns the buffers that the kernel uses.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what the program has to say"
)]

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use clap::Parser;
use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{Buffer, Fsync, Read, Ring, Ticket, View, Write};
use lio_uring::{BufferPool, PoolBuffer};

/// Copies a file, with many blocks in flight.
#[derive(Parser)]
struct Args {
    /// The file to be copied.
    from: PathBuf,
    /// Where to. A file that is there is replaced.
    to: PathBuf,
    /// How many blocks are in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
    /// How large a block is, in KiB.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(4..=65536))]
    block: u32,
    /// Does not read both files again to compare them.
    #[arg(long)]
    no_verify: bool,
}

/// A block under way.
enum Block<'r> {
    Read(u64, Ticket<&'r Ring, Read<Rc<File>, PoolBuffer>>),
    /// What is written up to which place.
    Write(
        u64,
        u32,
        Ticket<&'r Ring, Write<Rc<File>, View<PoolBuffer>>>,
    ),
}

struct Copy<'r> {
    ring: &'r Ring,
    from: Rc<File>,
    to: Rc<File>,
    len: u64,
    /// In the order that they are looked at.
    blocks: VecDeque<Block<'r>>,
    copied: u64,
}

impl Copy<'_> {
    fn read(&mut self, offset: u64, buffer: PoolBuffer) -> io::Result<()> {
        let file = Rc::clone(&self.from);
        let read = Read {
            file,
            buffer,
            offset,
        };
        let ticket = self.ring.push(read)?;
        self.blocks.push_back(Block::Read(offset, ticket));
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: PoolBuffer, start: u32, end: u32) -> io::Result<()> {
        let file = Rc::clone(&self.to);
        let write = Write {
            file,
            buffer: buffer.view(start..end),
            offset: offset + u64::from(start),
        };
        let ticket = self.ring.push(write)?;
        self.blocks.push_back(Block::Write(offset, end, ticket));
        Ok(())
    }

    /// Waits for the block that was pushed first, and goes on with it. Returns the buffer when the
    /// block is written.
    fn advance(&mut self) -> io::Result<Option<PoolBuffer>> {
        let Some(block) = self.blocks.pop_front() else {
            return Ok(None);
        };
        match block {
            Block::Read(offset, ticket) => {
                let (count, buffer) = ticket.wait()?;
                let end = u32::try_from(count?).map_err(io::Error::other)?;
                if end == 0 && offset < self.len {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file became shorter while it was copied",
                    ));
                }
                self.write(offset, buffer, 0, end)?;
                Ok(None)
            }
            Block::Write(offset, end, ticket) => {
                let (count, view) = ticket.wait()?;
                let count = u32::try_from(count?).map_err(io::Error::other)?;
                let start = view.start() + count;
                self.copied += u64::from(count);
                let buffer = view.into_inner();
                if start < end {
                    // Written in part: the rest follows.
                    self.write(offset, buffer, start, end)?;
                    return Ok(None);
                }
                let next = offset + u64::from(end);
                let wanted = (offset + u64::from(buffer_len(&buffer))).min(self.len);
                if next < wanted {
                    // Read in part.
                    self.read(next, buffer)?;
                    return Ok(None);
                }
                Ok(Some(buffer))
            }
        }
    }
}

fn buffer_len(buffer: &PoolBuffer) -> u32 {
    u32::try_from(buffer.len()).unwrap_or(u32::MAX)
}

/// Copies all of it, and returns how many bytes that were.
fn copy(args: &Args, progress: impl Fn(u64, u64)) -> io::Result<u64> {
    let from = File::open(&args.from)?;
    let len = from.metadata()?.len();
    let to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&args.to)?;
    let bytes = args.block * 1024;
    let pool = BufferPool::new(args.depth, bytes)?;
    let ring = Ring::new(args.depth).map_err(io::Error::other)?;
    let to = Rc::new(to);
    let mut copy = Copy {
        ring: &ring,
        from: Rc::new(from),
        to: Rc::clone(&to),
        len,
        blocks: VecDeque::new(),
        copied: 0,
    };
    let mut offsets = (0..len).step_by(bytes as usize);
    let starts = offsets.by_ref().take(args.depth as usize);
    for (offset, buffer) in starts
        .collect::<Vec<_>>()
        .into_iter()
        .zip(std::iter::from_fn(|| pool.take()))
    {
        copy.read(offset, buffer)?;
    }
    while !copy.blocks.is_empty() {
        if let Some(buffer) = copy.advance()? {
            progress(copy.copied, len);
            if let Some(offset) = offsets.next() {
                copy.read(offset, buffer)?;
            }
        }
    }
    let copied = copy.copied;
    drop(copy);
    let fsync = Fsync {
        file: to,
        flags: FsyncFlags::empty(),
    };
    ring.push(fsync)?.wait()??;
    Ok(copied)
}

/// Whether both files are the same to the last byte.
fn is_same(args: &Args) -> io::Result<bool> {
    if fs::metadata(&args.from)?.len() != fs::metadata(&args.to)?.len() {
        return Ok(false);
    }
    let mut from = BufReader::new(File::open(&args.from)?);
    let mut to = BufReader::new(File::open(&args.to)?);
    let (mut one, mut other) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = from.read(&mut one)?;
        if count == 0 {
            return Ok(true);
        }
        to.read_exact(&mut other[..count])?;
        if one[..count] != other[..count] {
            return Ok(false);
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let start = Instant::now();
    let progress = |done: u64, all: u64| {
        let percent = done * 100 / all.max(1);
        let bar = "#".repeat(usize::try_from(percent / 4).unwrap_or(0));
        eprint!("\r[{bar:<25}] {percent:3} %");
        let _shown = io::stderr().flush();
    };
    let copied = match copy(&args, progress) {
        Ok(copied) => copied,
        Err(error) => {
            eprintln!(
                "\ncannot copy {} to {}: {error}",
                args.from.display(),
                args.to.display()
            );
            return ExitCode::FAILURE;
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    eprintln!();
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let rate = copied as f64 / 1e6 / seconds;
    println!("{copied} bytes in {seconds:.2} s: {rate:.0} MB/s");
    if args.no_verify {
        return ExitCode::SUCCESS;
    }
    match is_same(&args) {
        Ok(true) => {
            println!("the copy is the same");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            eprintln!("the copy differs");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot compare: {error}");
            ExitCode::FAILURE
        }
    }
}
