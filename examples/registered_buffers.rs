//! Writes and reads a file through registered buffers and registered files, and compares that with
//! doing the same without.
//!
//! Registering spares the kernel the looking up of the file and the pinning of the memory for each
//! operation. How much that is worth depends on the rest of the work: more for small blocks and for
//! `--direct`, which goes past the page cache to the device.
//!
//! ```sh
//! cargo run --release --example registered_buffers
//! cargo run --release --example registered_buffers -- --direct --file /var/tmp/new-file
//! ```
//!
//! Many operations are in flight at once. Each has a buffer of its own, and as soon as one
//! completes, its buffer goes on with the next block of the file.

#![expect(clippy::print_stdout, reason = "a program that talks to people")]
#![expect(clippy::print_stderr, reason = "errors are for people too")]

use std::alloc::{self, Layout};
use std::error::Error;
use std::fs::{self, File};
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring::operation::{Read, ReadFixed, Write, WriteFixed};
use lio_uring::{Completion, IoUring, OneThread, QueueFull, SqeFlags, SubmissionQueue};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PAGE: usize = 4096;
/// The file's index among the registered ones, of which it is the only one.
const FILE_INDEX: RawFd = 0;
/// Each sector of the file begins with the place where it belongs.
const SECTOR: usize = 512;

/// Compares registered buffers and files with plain ones.
#[derive(Parser)]
struct Args {
    /// The file to work on, which is created and removed again. Otherwise a temporary one.
    #[arg(long)]
    file: Option<PathBuf>,

    /// The size of the file in MiB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    size: u32,

    /// The bytes that one operation moves, a multiple of 512.
    #[arg(long, default_value_t = 4096, value_parser = block_size)]
    block_size: u32,

    /// How many operations are in flight at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    depth: u16,

    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Go past the page cache (`O_DIRECT`).
    #[arg(long)]
    direct: bool,
}

fn block_size(text: &str) -> std::result::Result<u32, String> {
    match text.parse::<u32>() {
        Ok(size) if (512..=1 << 30).contains(&size) && size.is_multiple_of(512) => Ok(size),
        _ => Err("not a multiple of 512 from 512 to 1 GiB".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registered_buffers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| folder.path().join("blocks"));
    let file = create(&path, if args.direct { libc::O_DIRECT } else { 0 })?;
    let blocks = (u64::from(args.size) << 20) / u64::from(args.block_size);
    if blocks == 0 {
        return Err("the file is smaller than a block".into());
    }

    // The pool is made before the ring, and so dropped after it.
    let mut pool = Pool::new(args.block_size, args.depth)?;
    let mut ring = IoUring::new(args.depth.into())?;
    // SAFETY: the pool outlives the ring, and with it the registration. Its memory is used for what
    // this program's operations do and for nothing else.
    unsafe { ring.submission().register_buffers(&pool.vectors()) }?;
    ring.submission().register_files(&[file.as_raw_fd()])?;

    let mut work = Work {
        ring: &mut ring,
        pool: &mut pool,
        file: &file,
        blocks,
    };
    let table = measure(&mut work, args.rounds)?;
    println!(
        "{blocks} blocks of {} bytes, {} at a time, all as they should be",
        args.block_size, args.depth
    );
    println!(
        "{:10}{:>14}{:>14}{:>10}",
        "MiB/s", "plain", "registered", "ratio"
    );
    let bytes = blocks * u64::from(args.block_size);
    for (name, [plain, registered]) in table {
        let ratio = plain.as_secs_f64() / registered.as_secs_f64();
        let [plain, registered] = [plain, registered].map(|time| rate(bytes, time));
        println!("{name:10}{plain:>14.0}{registered:>14.0}{ratio:>10.2}");
    }
    Ok(())
}

/// Creates a file that vanishes when it is closed.
fn create(path: &Path, flags: i32) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) if flags == libc::O_DIRECT => {
                format!("the file system of {} has no O_DIRECT", path.display())
            }
            _ => format!("cannot create {}: {error}", path.display()),
        })?;
    fs::remove_file(path)?;
    Ok(file)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "it is rounded for printing anyway"
)]
fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// Measures both ways in turns, and returns the median times of each: for plain operations and for
/// registered ones.
fn measure(work: &mut Work<'_>, rounds: u32) -> Result<[(&'static str, [Duration; 2]); 2]> {
    let mut times = [[(); 2]; 2].map(|way| way.map(|()| Vec::new()));
    for round in 0..=rounds {
        for (way, mode) in [Mode::Plain, Mode::Registered].into_iter().enumerate() {
            let written = work.write(mode)?;
            let read = work.read(mode)?;
            work.check(mode)?;
            // The first round allocates the file's blocks, and is not like the others.
            if round > 0 {
                times[0][way].push(written);
                times[1][way].push(read);
            }
        }
    }
    let [written, read] = times.map(|ways| {
        ways.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
    });
    Ok([("write", written), ("read", read)])
}

/// Buffers of the same size, each at the start of a page.
struct Pool {
    memory: NonNull<u8>,
    layout: Layout,
    block: usize,
    depth: u16,
}

impl Pool {
    fn new(block_size: u32, depth: u16) -> Result<Self> {
        let block = usize::try_from(block_size)?;
        let layout = block
            .next_multiple_of(PAGE)
            .checked_mul(depth.into())
            .and_then(|bytes| Layout::from_size_align(bytes, PAGE).ok())
            .ok_or("the buffers would be larger than the memory can be")?;
        // SAFETY: neither the block size nor the depth is 0.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let memory = NonNull::new(memory)
            .ok_or_else(|| format!("there is no memory for {} bytes of buffers", layout.size()))?;
        let mut pool = Self {
            memory,
            layout,
            block,
            depth,
        };
        for slot in 0..depth {
            // SAFETY: no operation is in flight yet.
            fill(unsafe { pool.bytes(slot) });
        }
        Ok(pool)
    }

    fn address(&self, slot: u16) -> *mut u8 {
        debug_assert!(slot < self.depth);
        let offset = self.block.next_multiple_of(PAGE) * usize::from(slot);
        self.memory.as_ptr().wrapping_add(offset)
    }

    /// # Safety
    ///
    /// No operation that uses the slot is in flight.
    unsafe fn bytes(&mut self, slot: u16) -> &mut [u8] {
        // SAFETY: the slot lies in the allocation, which is initialised. The caller promises that
        // the kernel does not use it, and the borrow that nobody else does.
        unsafe { std::slice::from_raw_parts_mut(self.address(slot), self.block) }
    }

    /// The buffers as they are registered: a slot's number is its index.
    fn vectors(&self) -> Vec<libc::iovec> {
        let vector = |slot| libc::iovec {
            iov_base: self.address(slot).cast(),
            iov_len: self.block,
        };
        (0..self.depth).map(vector).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated with this layout. `Work::transfer` never returns while
        // an operation that uses it is in flight.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Bytes that tell their places in a block apart.
fn fill(block: &mut [u8]) {
    for (place, byte) in block.iter_mut().enumerate() {
        let [low, high, ..] = place.to_le_bytes();
        *byte = low ^ high.wrapping_mul(31);
    }
}

/// Writes into each sector of a filled block where it belongs.
fn stamp(block: &mut [u8], number: u64) {
    for (sector, bytes) in (0_u64..).zip(block.chunks_exact_mut(SECTOR)) {
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&sector.to_le_bytes());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Registered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// The file, and what it takes to move it.
struct Work<'a> {
    ring: &'a mut IoUring,
    pool: &'a mut Pool,
    file: &'a File,
    blocks: u64,
}

impl Work<'_> {
    fn write(&mut self, mode: Mode) -> Result<Duration> {
        let start = Instant::now();
        self.transfer(mode, Direction::Write, |number, block| {
            stamp(block, number);
            Ok(())
        })?;
        Ok(start.elapsed())
    }

    fn read(&mut self, mode: Mode) -> Result<Duration> {
        let start = Instant::now();
        self.transfer(mode, Direction::Read, |_, _| Ok(()))?;
        Ok(start.elapsed())
    }

    /// Reads everything once more and compares it byte by byte.
    fn check(&mut self, mode: Mode) -> Result<()> {
        let mut expected = vec![0; self.pool.block];
        fill(&mut expected);
        for slot in 0..self.pool.depth {
            // SAFETY: nothing is in flight between two transfers.
            unsafe { self.pool.bytes(slot) }.fill(0);
        }
        self.transfer(mode, Direction::Read, |number, block| {
            stamp(&mut expected, number);
            match block
                .iter()
                .zip(&expected)
                .position(|(read, written)| read != written)
            {
                None => Ok(()),
                Some(place) => Err(format!("byte {place} of block {number} is wrong").into()),
            }
        })?;
        for slot in 0..self.pool.depth {
            // SAFETY: as above.
            fill(unsafe { self.pool.bytes(slot) });
        }
        Ok(())
    }

    /// Moves all blocks, as many at a time as there are slots. `with_block` is called for each with
    /// its bytes: before they are written, or after they were read.
    ///
    /// When it returns, with an error or without, nothing is in flight.
    fn transfer(
        &mut self,
        mode: Mode,
        direction: Direction,
        with_block: impl FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let depth = self.pool.depth;
        let (cq, sq) = self.ring.queues();
        let mut transfer = Transfer {
            sq,
            pool: self.pool,
            file: self.file,
            mode,
            direction,
            slots: vec![Slot::default(); depth.into()],
            in_flight: 0,
            next: 0..self.blocks,
            with_block,
        };
        let mut outcome = (0..depth).try_for_each(|slot| transfer.start(slot));
        while transfer.in_flight > 0 {
            if let Err(error) = transfer.sq.submit_and_wait(1) {
                give_up(&error);
            }
            for completion in cq.completions() {
                outcome = outcome.and(transfer.on_completion(completion));
            }
            if outcome.is_err() {
                // Nothing more is started, but what is in flight has to end.
                transfer.next = 0..0;
            }
        }
        outcome
    }
}

/// A transfer under way. A slot's number is the `user_data` of its operation.
struct Transfer<'a, F> {
    sq: &'a mut SubmissionQueue<OneThread>,
    pool: &'a mut Pool,
    file: &'a File,
    mode: Mode,
    direction: Direction,
    slots: Vec<Slot>,
    /// How many operations were pushed and have not ended: at most one for each slot.
    in_flight: u32,
    /// The blocks that are still to be moved.
    next: Range<u64>,
    with_block: F,
}

/// What the buffer in one slot is used for.
#[derive(Clone, Copy, Default)]
struct Slot {
    block: u64,
    /// How many bytes of it have been moved.
    done: usize,
}

impl<F: FnMut(u64, &mut [u8]) -> Result<()>> Transfer<'_, F> {
    /// Starts to move the next block, if there is one, through a slot that is not in use.
    fn start(&mut self, number: u16) -> Result<()> {
        let Some(block) = self.next.next() else {
            return Ok(());
        };
        self.slots[usize::from(number)] = Slot { block, done: 0 };
        if self.direction == Direction::Write {
            // SAFETY: the slot is not in use.
            (self.with_block)(block, unsafe { self.pool.bytes(number) })?;
        }
        Ok(self.push(number)?)
    }

    /// Pushes an operation for what is left of a slot's block.
    fn push(&mut self, number: u16) -> std::result::Result<(), QueueFull> {
        let Slot { block, done } = self.slots[usize::from(number)];
        let offset = block * self.pool.block as u64 + done as u64;
        let address = self.pool.address(number).wrapping_add(done);
        let len = u32::try_from(self.pool.block - done).unwrap_or(u32::MAX);
        let user_data = u64::from(number);
        let fd = self.file.as_raw_fd();
        match (self.mode, self.direction) {
            (Mode::Plain, Direction::Read) => {
                let ptr = address.cast();
                let read = Read {
                    fd,
                    ptr,
                    len,
                    offset,
                };
                // SAFETY: what is left of the slot is `len` bytes at `ptr`, which nothing touches
                // before the completion. The file is open.
                unsafe { self.sq.push(&read, user_data) }?;
            }
            (Mode::Plain, Direction::Write) => {
                let ptr = address.cast();
                let write = Write {
                    fd,
                    ptr,
                    len,
                    offset,
                };
                // SAFETY: as for a plain read.
                unsafe { self.sq.push(&write, user_data) }?;
            }
            (Mode::Registered, Direction::Read) => {
                let read = ReadFixed {
                    fd: FILE_INDEX,
                    buf: address.cast(),
                    nbytes: len,
                    offset,
                    buf_index: number,
                };
                // SAFETY: as for a plain read. The slot is registered under its number, and the
                // file under the index.
                unsafe {
                    self.sq
                        .push_with_flags(&read, user_data, SqeFlags::FIXED_FILE)
                }?;
            }
            (Mode::Registered, Direction::Write) => {
                let write = WriteFixed {
                    fd: FILE_INDEX,
                    buf: address.cast(),
                    nbytes: len,
                    offset,
                    buf_index: number,
                };
                // SAFETY: as for a registered read.
                unsafe {
                    self.sq
                        .push_with_flags(&write, user_data, SqeFlags::FIXED_FILE)
                }?;
            }
        }
        self.in_flight += 1;
        Ok(())
    }

    fn on_completion(&mut self, completion: Completion) -> Result<()> {
        self.in_flight -= 1;
        let number = u16::try_from(completion.user_data())?;
        let slot = &mut self.slots[usize::from(number)];
        let moved = completion
            .result()
            .map_err(|error| format!("block {}: {error}", slot.block))?;
        if moved == 0 {
            return Err(format!("block {}: the file ends too early", slot.block).into());
        }
        slot.done += usize::try_from(moved)?;
        if slot.done < self.pool.block {
            return Ok(self.push(number)?);
        }
        let block = slot.block;
        if self.direction == Direction::Read {
            // SAFETY: the slot's operation has ended, and no other has been started.
            (self.with_block)(block, unsafe { self.pool.bytes(number) })?;
        }
        self.start(number)
    }
}

/// Ends the program: the ring does not say what became of the operations.
#[expect(
    clippy::exit,
    reason = "to return would free memory that the kernel may be using"
)]
fn give_up(error: &dyn Error) -> ! {
    eprintln!("registered_buffers: the ring has failed: {error}");
    process::exit(1)
}
