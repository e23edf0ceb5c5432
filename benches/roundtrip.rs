//! How long an operation takes, from filling its entry to having read its completion.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench roundtrip
//! ```
//!
//! The work is that of the benchmark `instructions`, timed.

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::time::{Duration, Instant};

use clap::Parser;
use lio_uring_benches::contestant::{Contestant, ENTRIES};
use lio_uring_benches::options::Options;
use lio_uring_benches::rounds::Rounds;
use lio_uring_benches::table::{self, Figure, comparison};
use lio_uring_benches::work::{Blocks, Operation, Work};

/// Operation and batch of each table.
const TABLES: [(Operation, u32); 5] = [
    (Operation::Nop, 1),
    (Operation::Nop, 8),
    (Operation::Nop, 32),
    (Operation::Nop, 128),
    (Operation::Read, 32),
];
/// How many operations are done between two looks at the clock.
const OPERATIONS: u32 = 4096;
const ENOUGH: Duration = Duration::from_millis(100);
const FIGURES: [Figure; 1] = [Figure::new("ns per operation", 1)];

/// Times operations.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() {
    let Args { options } = Args::parse();
    let contestants: Vec<_> = Contestant::ALL
        .iter()
        .filter(|contestant| options.wants(contestant.name))
        .collect();
    let names: Vec<_> = contestants
        .iter()
        .map(|contestant| contestant.name)
        .collect();
    let time = options.time(ENOUGH);
    let mut all = Vec::new();
    let mut header = vec!["ratio to C".to_owned()];
    for (operation, batch) in TABLES {
        let blocks = Blocks::new(batch);
        let work = Work {
            operation,
            batch,
            rounds: OPERATIONS / batch,
        };
        let rounds = Rounds::measure(options.rounds, contestants.len(), |index| {
            [nanoseconds(contestants[index], work, &blocks, time)]
        });
        let title = format!("{operation:?} {batch}");
        let table = comparison(
            &title,
            &names,
            &["C", "io-uring"],
            &options.shown(FIGURES),
            &rounds,
        );
        println!("{table}\n");
        header.push(title);
        all.push(rounds);
    }
    let Some(c) = names.iter().position(|&name| name == "C") else {
        return;
    };
    let mut ratios = table::table(&header);
    for (contestant, name) in names.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        row.extend((all.iter()).map(|rounds| format!("{:.2}", rounds.ratio(contestant, c, 0))));
        ratios.add_row(row);
    }
    println!("{ratios}");
}

/// How long an operation takes on a new ring, of as many as fit into the time.
fn nanoseconds(contestant: &Contestant, work: Work, blocks: &Blocks, time: Duration) -> f64 {
    let mut ring = (contestant.open)(ENTRIES);
    let start = Instant::now();
    let mut operations = 0.0;
    loop {
        ring.work(work, blocks);
        operations += f64::from(work.batch * work.rounds);
        let elapsed = start.elapsed();
        if elapsed >= time {
            return elapsed.as_secs_f64() * 1e9 / operations;
        }
    }
}
