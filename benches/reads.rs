//! How fast blocks of 4 KiB are read at random, 64 at a time, from the page cache and from storage.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench reads
//! cargo bench -p lio-uring-benches --bench reads -- --folder /mnt/disk
//! ```
//!
//! Every reader reads the same blocks in the same order, and checks that it got them.

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::env;
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring_benches::options::Options;
use lio_uring_benches::processor;
use lio_uring_benches::reads::{Numbered, Reader, Target, fio};
use lio_uring_benches::rounds::Rounds;
use lio_uring_benches::table::{Figure, comparison};

/// How many reads there are between two looks at the clock.
const READS: u32 = 8192;
const ENOUGH: Duration = Duration::from_millis(500);
const FIGURES: [Figure; 2] = [
    Figure::new("reads per second", 0),
    Figure::new("µs of a processor per read", 2),
];
const FIO: [(&str, bool); 2] = [("fio", false), ("fio, registered", true)];

/// Reads blocks at random.
#[derive(Parser)]
struct Args {
    /// Where the file to read is made, instead of the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// How large it is, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    size: u32,
    #[command(flatten)]
    options: Options,
}

fn main() {
    let Args {
        folder,
        size,
        options,
    } = Args::parse();
    let folder = folder.unwrap_or_else(env::temp_dir);
    let file = Numbered::new(&folder, size * 256).expect("a file");
    for (title, direct) in [("page cache", false), ("O_DIRECT", true)] {
        match Target::new(&file, direct, READS) {
            Ok(target) => println!("{}\n", compare(title, &file, &target, direct, &options)),
            Err(error) => println!("No {title} in {}: {error}\n", folder.display()),
        }
    }
    if !fio::is_installed() {
        println!("fio is not installed.");
    }
}

fn compare(
    title: &str,
    file: &Numbered,
    target: &Target,
    direct: bool,
    options: &Options,
) -> String {
    let readers: Vec<_> = Reader::ALL
        .iter()
        .filter(|reader| options.wants(reader.name))
        .collect();
    let with_fio: Vec<_> = FIO
        .iter()
        .filter(|(name, _)| options.wants(name) && fio::is_installed())
        .collect();
    let names: Vec<_> = (readers.iter().map(|reader| reader.name))
        .chain(with_fio.iter().map(|(name, _)| *name))
        .collect();
    let time = options.time(ENOUGH);
    let rounds = Rounds::measure(options.rounds, names.len(), |contestant| {
        if let Some(reader) = readers.get(contestant) {
            return figures(reader, target, time);
        }
        let (_, registered) = with_fio[contestant - readers.len()];
        fio::read(file, direct, *registered, time).expect("fio should read")
    });
    comparison(
        title,
        &names,
        &["C", "io-uring"],
        &options.shown(FIGURES),
        &rounds,
    )
    .to_string()
}

/// Reads per second, and processor time per read in microseconds.
fn figures(reader: &Reader, target: &Target, time: Duration) -> [f64; 2] {
    let mut worker = (reader.open)(target);
    let used = || processor::used_by(process::id());
    let (start, used_before) = (Instant::now(), used());
    let mut reads = 0.0;
    loop {
        worker.read();
        reads += f64::from(target.reads());
        let elapsed = start.elapsed();
        if elapsed >= time {
            let used = used().saturating_sub(used_before);
            return [
                reads / elapsed.as_secs_f64(),
                used.as_secs_f64() * 1e6 / reads,
            ];
        }
    }
}
