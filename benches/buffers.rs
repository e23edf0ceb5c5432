//! What the memory costs that a file is read into: fresh or kept, anywhere or aligned to pages.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench buffers
//! ```
//!
//! Files in the page cache are read whole, one read each, 16 at a time.

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring::operation::{Read, ReadFixed};
use lio_uring::{BufferPool, IoUring, PoolBuffer};
use lio_uring_benches::options::Options;
use lio_uring_benches::rounds::Rounds;
use lio_uring_benches::table::{Figure, comparison};

/// The sizes of each table's files.
const TABLES: [u32; 3] = [4 << 10, 64 << 10, 1 << 20];
/// How many files are read at a time.
const BATCH: u32 = 16;
const ENOUGH: Duration = Duration::from_millis(200);
/// Where the allocator begins large blocks, and so where a plain buffer lies in its page.
const PAGE_OFFSET: usize = 16;
const FIGURES: [Figure; 1] = [Figure::new("GB per second", 2)];
const NAMES: [&str; 5] = [
    "a new vector for each read",
    "vectors that are kept",
    "pool, buffers taken and dropped",
    "pool, registered",
    "pool of huge pages",
];

/// Reads files into memory of several kinds.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

/// Where a file goes. It lives until its read has ended.
trait Memory {
    fn address(&mut self) -> *mut u8;
}

impl Memory for Vec<u8> {
    fn address(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }
}

impl Memory for PoolBuffer {
    fn address(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }
}

/// Part of a vector that begins where the allocator's large blocks do.
struct Kept(Vec<u8>);

impl Memory for &mut Kept {
    fn address(&mut self) -> *mut u8 {
        let to_page = self.0.as_ptr().align_offset(4096);
        self.0[to_page + PAGE_OFFSET..].as_mut_ptr()
    }
}

struct Reader<'f> {
    ring: IoUring,
    file: &'f File,
    size: u32,
    registered: bool,
}

impl Reader<'_> {
    /// Reads the file so many times at once, each time into memory of its own.
    fn batch<M: Memory>(&mut self, memory: impl Iterator<Item = M>) {
        let (fd, size) = (self.file.as_raw_fd(), self.size);
        let mut all: Vec<M> = memory.take(BATCH as usize).collect();
        for one in &mut all {
            self.push(fd, one.address());
        }
        let done = self.ring.submit_and_take(BATCH).expect("a submission");
        done.for_each(|completion| {
            let whole = completion.raw_result() == size.cast_signed();
            assert!(whole, "a read was cut short: {completion:?}");
        });
        for one in &mut all {
            // SAFETY: so much was read into it.
            let last = unsafe { one.address().wrapping_add(size as usize - 1).read() };
            assert_eq!(last, 7, "the file's last byte");
        }
    }

    fn push(&mut self, fd: RawFd, address: *mut u8) {
        let (len, offset) = (self.size, 0);
        let pushed = if self.registered {
            let read = ReadFixed {
                fd,
                buf: address.cast(),
                nbytes: len,
                offset,
                buf_index: 0,
            };
            // SAFETY: the memory is kept until the read has ended, and used for nothing else.
            unsafe { self.ring.push(&read, 0) }
        } else {
            let ptr = address.cast();
            let read = Read {
                fd,
                ptr,
                len,
                offset,
            };
            // SAFETY: as above.
            unsafe { self.ring.push(&read, 0) }
        };
        pushed.expect("room");
    }
}

fn main() {
    let Args { options } = Args::parse();
    let wanted: Vec<_> = (0..NAMES.len())
        .filter(|&index| options.wants(NAMES[index]))
        .collect();
    let time = options.time(ENOUGH);
    for size in TABLES {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&vec![7; size as usize])
            .expect("room for it");
        let names: Vec<_> = wanted
            .iter()
            .map(|&index| NAMES[index])
            .filter(|name| !name.contains("huge") || huge(size).is_some())
            .collect();
        let rounds = Rounds::measure(options.rounds, names.len(), |index| {
            [measure(names[index], &file, size, time)]
        });
        let title = format!("{} KiB", size >> 10);
        println!(
            "{}\n",
            comparison(
                &title,
                &names,
                &NAMES[1..2],
                &options.shown(FIGURES),
                &rounds
            )
        );
    }
    if huge(TABLES[0]).is_none() {
        println!("No huge pages are set aside: sysctl vm.nr_hugepages.");
    }
}

fn huge(size: u32) -> Option<BufferPool> {
    BufferPool::huge(BATCH, size).ok()
}

/// How many GB per second are read.
fn measure(name: &str, file: &File, size: u32, time: Duration) -> f64 {
    let mut reader = Reader {
        ring: IoUring::new(BATCH).expect("a ring"),
        file,
        size,
        registered: name == NAMES[3],
    };
    let bytes = size as usize;
    let room = bytes + 4096 + PAGE_OFFSET;
    let mut kept: Vec<_> = (0..BATCH).map(|_| Kept(vec![1; room])).collect();
    let pool = if name == NAMES[4] {
        huge(size).expect("huge pages")
    } else {
        BufferPool::new(BATCH, size).expect("memory")
    };
    // SAFETY: the pool outlives all reads.
    unsafe { reader.ring.submission().register_buffers(&[pool.memory()]) }.expect("registered");
    let start = Instant::now();
    let mut batches = 0.0;
    loop {
        match name {
            "a new vector for each read" => {
                reader.batch((0..BATCH).map(|_| Vec::<u8>::with_capacity(bytes)));
            }
            "vectors that are kept" => reader.batch(kept.iter_mut()),
            _ => reader.batch((0..BATCH).map_while(|_| pool.take())),
        }
        batches += 1.0;
        let elapsed = start.elapsed();
        if elapsed >= time {
            let read = batches * f64::from(BATCH) * f64::from(size);
            return read / elapsed.as_secs_f64() / 1e9;
        }
    }
}
