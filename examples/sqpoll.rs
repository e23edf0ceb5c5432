//! Submitting without a system call: a thread of the kernel looks for new entries by itself.
//!
//! It reads blocks of a file, one after the other, and shows what handing an operation over costs
//! while that thread is awake, when it has gone to sleep and must be woken, and without it. The
//! price is the processor that the thread keeps busy while it is awake.
//!
//! ```sh
//! cargo run --release --example sqpoll
//! cargo run --release --example sqpoll -- --idle-ms 500 --cpu 1
//! strace -f -c -e trace=io_uring_enter target/release/examples/sqpoll    # counts the system calls
//! ```

#![expect(clippy::print_stdout, reason = "a program that talks to people")]
#![expect(clippy::print_stderr, reason = "errors are for people too")]

use std::error::Error;
use std::fs::{self, File};
use std::hint;
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring::operation::Read;
use lio_uring::{Completion, IoUring, SqeFlags};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BLOCK: usize = 4096;
/// The file's index among the registered ones, of which it is the only one.
const FILE_INDEX: RawFd = 0;
/// How often to look for a completion before waiting for it in the kernel.
const LOOKS: u32 = 20_000;
/// No more time than this goes into reading, which takes long if the thread has to share the only
/// processor.
const MOST_TIME: Duration = Duration::from_secs(3);
/// How often the thread is let go to sleep and woken.
const NAPS: u32 = 5;

/// Shows what it costs to submit with a polling thread in the kernel, and without.
#[derive(Parser)]
struct Args {
    /// After how many idle milliseconds the thread goes to sleep.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    idle_ms: u32,

    /// The processor that the thread is bound to; otherwise any.
    #[arg(long)]
    cpu: Option<u32>,

    /// The file to read; otherwise a temporary one is made.
    #[arg(long)]
    file: Option<PathBuf>,

    /// How many blocks to read, if that does not take too long.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    reads: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sqpoll: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let file = open(args)?;
    let mut params = IoUring::builder().entries(8).sqpoll(args.idle_ms);
    if let Some(cpu) = args.cpu {
        params = params.sq_aff(cpu);
    }
    let mut polled = Reader::new(params.build()?, &file)?;
    let start = Instant::now();
    let awake = polled.read_many(args.reads)?;
    let elapsed = start.elapsed();
    let busy = polling_thread().map(|thread| thread.cpu);
    let woken = read_after_naps(&mut polled, Duration::from_millis(args.idle_ms.into()))?;
    drop(polled);
    let ordinary = Reader::new(IoUring::new(8)?, &file)?.read_many(args.reads)?;

    println!(
        "{:34}{:>14}{:>20}",
        "median time", "to submit", "until completed"
    );
    print_row("thread awake, no system call", &awake);
    print_row("thread asleep, woken by a call", &woken);
    print_row("no thread, a call each", &ordinary);
    match busy {
        Some(busy) => println!(
            "\nWhile {} blocks were read in {elapsed:.0?}, the thread used {busy:.0?} of a \
             processor.",
            awake.total.len()
        ),
        None => println!("\nThe thread cannot be found in /proc/self/task."),
    }
    Ok(())
}

/// The file to be read, or one that vanishes when it is closed.
fn open(args: &Args) -> Result<File> {
    if let Some(path) = &args.file {
        let file =
            File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        return match file.metadata()?.len() {
            0..4096 => Err(format!("{} has less than a block", path.display()).into()),
            _ => Ok(file),
        };
    }
    let mut file = tempfile::tempfile()?;
    file.write_all(&vec![7; BLOCK * 256])?;
    Ok(file)
}

fn print_row(name: &str, times: &Times) {
    let median = |times: &[Duration]| {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    let [submit, total] = [&times.submit, &times.total].map(|times| median(times));
    println!(
        "{name:34}{:>14}{:>20}",
        format!("{submit:.1?}"),
        format!("{total:.1?}")
    );
}

/// Reads a block each time that the thread has gone to sleep.
fn read_after_naps(reader: &mut Reader, idle: Duration) -> Result<Times> {
    let mut times = Times::default();
    for nap in 0..NAPS {
        let end = Instant::now() + idle + Duration::from_secs(2);
        thread::sleep(idle);
        while polling_thread().is_some_and(|thread| thread.awake) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        reader.read(nap.into(), &mut times)?;
    }
    Ok(times)
}

#[derive(Default)]
struct Times {
    /// What each call to submit took.
    submit: Vec<Duration>,
    /// From there until the completion was taken.
    total: Vec<Duration>,
}

/// A ring with a file registered, and a buffer to read blocks into.
struct Reader {
    ring: IoUring,
    buffer: Box<[u8; BLOCK]>,
    blocks: u64,
}

impl Reader {
    /// Registers the file: before Linux 5.11 a polling thread can use no others.
    fn new(mut ring: IoUring, file: &File) -> Result<Self> {
        ring.submission().register_files(&[file.as_raw_fd()])?;
        let blocks = file.metadata()?.len() / BLOCK as u64;
        Ok(Self {
            ring,
            buffer: Box::new([0; BLOCK]),
            blocks,
        })
    }

    fn read_many(&mut self, count: u32) -> Result<Times> {
        let end = Instant::now() + MOST_TIME;
        let mut times = Times::default();
        for number in (0..count).take_while(|_| Instant::now() < end) {
            self.read(number.into(), &mut times)?;
        }
        Ok(times)
    }

    /// Reads a block and adds how long it took.
    fn read(&mut self, number: u64, times: &mut Times) -> Result<()> {
        let read = Read {
            fd: FILE_INDEX,
            ptr: self.buffer.as_mut_ptr().cast(),
            len: u32::try_from(BLOCK)?,
            offset: number % self.blocks * BLOCK as u64,
        };
        // SAFETY: nothing touches the buffer before the completion, which `wait` does not return
        // without. The file is registered under this index.
        unsafe {
            self.ring
                .push_with_flags(&read, number, SqeFlags::FIXED_FILE)
        }?;
        let start = Instant::now();
        if let Err(error) = self.ring.submit() {
            give_up(&error);
        }
        times.submit.push(start.elapsed());
        let completion = self.wait();
        times.total.push(start.elapsed());
        match completion.result()? {
            0 => Err("the file has become shorter".into()),
            _ => Ok(()),
        }
    }

    /// Takes the completion of the one operation in flight: in memory, without a system call, if it
    /// comes soon.
    fn wait(&mut self) -> Completion {
        for _ in 0..LOOKS {
            match self.ring.try_next() {
                Ok(Some(completion)) => return completion,
                Ok(None) => hint::spin_loop(),
                Err(error) => give_up(&error),
            }
        }
        self.ring.next().unwrap_or_else(|error| give_up(&error))
    }
}

/// The thread in the kernel, which the system lists among the threads of this process.
struct PollingThread {
    awake: bool,
    /// How long it has been running.
    cpu: Duration,
}

fn polling_thread() -> Option<PollingThread> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let task = tasks.flatten().map(|task| task.path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("iou-sqp-"))
    })?;
    // Behind the name, which may hold anything and ends with a parenthesis.
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    let awake = stat.rsplit_once(") ")?.1.starts_with('R');
    let times = fs::read_to_string(task.join("schedstat")).ok()?;
    let cpu = Duration::from_nanos(times.split(' ').next()?.parse().ok()?);
    Some(PollingThread { awake, cpu })
}

/// Ends the program: the ring does not say what became of the operation.
#[expect(
    clippy::exit,
    reason = "to return would free memory that the kernel may be using"
)]
fn give_up(error: &dyn Error) -> ! {
    eprintln!("sqpoll: the ring has failed: {error}");
    process::exit(1)
}
