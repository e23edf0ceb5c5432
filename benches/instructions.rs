//! How many instructions of user space an operation costs, from filling its entry to having read its
//! completion.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench instructions
//! ```
//!
//! Each figure is a difference: the same program with more rounds and with fewer, so that neither
//! starting it nor making the ring counts. Needs valgrind.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lio_uring_benches::contestant::Contestant;
use lio_uring_benches::instructions::{count, known};
use lio_uring_benches::table::table;
use lio_uring_benches::work::{Operation, Work};

/// Operation and batch of each column.
const COLUMNS: [(Operation, u32); 5] = [
    (Operation::Nop, 1),
    (Operation::Nop, 8),
    (Operation::Nop, 32),
    (Operation::Nop, 128),
    (Operation::Read, 32),
];
const FEW: u32 = 20;
const MANY: u32 = 220;
/// How much more than the known figure is taken for a regression.
const TOLERANCE: f64 = 1.03;

/// Counts the instructions that operations cost.
#[derive(Parser)]
struct Args {
    /// Does the work of one contestant, to be counted.
    #[arg(long, hide = true, num_args = 4, value_names = ["CONTESTANT", "OPERATION", "BATCH", "ROUNDS"])]
    work: Option<Vec<String>>,
    /// Only contestants whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Fails if a figure is more than 3 % above that of the table in this Markdown file.
    #[arg(long)]
    check: Option<PathBuf>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(work) = args.work {
        do_work(&work);
        return ExitCode::SUCCESS;
    }
    let mut header = vec!["instructions per operation".to_owned()];
    header.extend(COLUMNS.map(|(operation, batch)| format!("{operation:?} {batch}")));
    let mut table = table(&header);
    let mut regressions = Vec::new();
    for (index, contestant) in counted().enumerate() {
        let name = contestant.name;
        if args.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let figures = COLUMNS.map(|(operation, batch)| cost(index, operation, batch));
        if let Some(file) = &args.check {
            let known = known(file, name, COLUMNS.len());
            for ((figure, known), column) in figures.iter().zip(known).zip(&header[1..]) {
                if *figure > known * TOLERANCE {
                    regressions.push(format!("{name}, {column}: {figure:.1} instead of {known}"));
                }
            }
        }
        let mut row = vec![name.to_owned()];
        row.extend(figures.map(|figure| format!("{figure:.1}")));
        table.add_row(row);
    }
    println!("{table}");
    for regression in &regressions {
        println!("more than before: {regression}");
    }
    if regressions.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whose instructions are counted.
fn counted() -> impl Iterator<Item = Contestant> {
    Contestant::ALL.iter().copied().chain([Contestant::NO_RING])
}

/// The instructions that one operation of a batch costs a contestant.
fn cost(contestant: usize, operation: Operation, batch: u32) -> f64 {
    let [few, many] = [FEW, MANY].map(|rounds| {
        count(&[
            "--work".to_owned(),
            contestant.to_string(),
            format!("{operation:?}").to_lowercase(),
            batch.to_string(),
            rounds.to_string(),
        ])
    });
    let more = u32::try_from(many - few).expect("a few million instructions");
    f64::from(more) / f64::from(batch * (MANY - FEW))
}

fn do_work(work: &[String]) {
    let [contestant, operation, batch, rounds] = work else {
        unreachable!("clap counts them");
    };
    let index: usize = contestant.parse().expect("an index");
    let contestant = counted().nth(index).expect("a contestant");
    contestant.work(Work {
        operation: clap::ValueEnum::from_str(operation, true).expect("an operation"),
        batch: batch.parse().expect("a number"),
        rounds: rounds.parse().expect("a number"),
    });
}
