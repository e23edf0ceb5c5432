//! How many rings can be made and closed per second, and how much memory each takes.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench setup
//! ```
//!
//! The memory is what a ring maps for its queues.

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring_benches::contestant::Contestant;
use lio_uring_benches::mapped;
use lio_uring_benches::options::Options;
use lio_uring_benches::rounds::Rounds;
use lio_uring_benches::table::{Figure, comparison};

/// The entries of each table's rings.
const TABLES: [u32; 3] = [8, 256, 4096];
/// How many rings are made between two looks at the clock.
const RINGS: u32 = 16;
const ENOUGH: Duration = Duration::from_millis(300);
/// The kernel frees closed rings a little later, which must not count against the next contestant.
const PAUSE: Duration = Duration::from_millis(50);
const FIGURES: [Figure; 2] = [
    Figure::new("rings per second", 0),
    Figure::new("KiB per ring", 0).alone(),
];

/// Makes rings and closes them.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() {
    let Args { options } = Args::parse();
    let contestants: Vec<_> = Contestant::RINGS
        .iter()
        .filter(|contestant| options.wants(contestant.name))
        .collect();
    let names: Vec<_> = contestants
        .iter()
        .map(|contestant| contestant.name)
        .collect();
    let time = options.time(ENOUGH);
    for entries in TABLES {
        let rounds = Rounds::measure(options.rounds, contestants.len(), |index| {
            let contestant = contestants[index];
            [
                per_second(contestant, entries, time),
                memory(contestant, entries),
            ]
        });
        let title = format!("{entries} entries");
        let table = comparison(
            &title,
            &names,
            &["C", "io-uring"],
            &options.shown(FIGURES),
            &rounds,
        );
        println!("{table}\n");
    }
}

fn per_second(contestant: &Contestant, entries: u32, time: Duration) -> f64 {
    thread::sleep(PAUSE);
    let start = Instant::now();
    let mut rings = 0.0;
    loop {
        for _ in 0..RINGS {
            drop((contestant.open)(entries));
        }
        rings += f64::from(RINGS);
        let elapsed = start.elapsed();
        if elapsed >= time {
            return rings / elapsed.as_secs_f64();
        }
    }
}

/// How many KiB a ring maps.
fn memory(contestant: &Contestant, entries: u32) -> f64 {
    let before = mapped::kibibytes("io_uring");
    let ring = (contestant.open)(entries);
    let with_ring = mapped::kibibytes("io_uring");
    drop(ring);
    f64::from(with_ring - before)
}
