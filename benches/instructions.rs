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

use clap::Parser;
use lio_uring_benches::contestant::Contestant;
use lio_uring_benches::instructions::count;
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

/// Counts the instructions that operations cost.
#[derive(Parser)]
struct Args {
    /// Does the work of one contestant, to be counted.
    #[arg(long, hide = true, num_args = 4, value_names = ["CONTESTANT", "OPERATION", "BATCH", "ROUNDS"])]
    work: Option<Vec<String>>,
    /// Only contestants whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(work) = args.work {
        return do_work(&work);
    }
    let mut header = vec!["instructions per operation".to_owned()];
    header.extend(COLUMNS.map(|(operation, batch)| format!("{operation:?} {batch}")));
    let mut table = table(&header);
    for (index, contestant) in Contestant::ALL.iter().enumerate() {
        if args
            .only
            .as_ref()
            .is_some_and(|name| !contestant.name.contains(name))
        {
            continue;
        }
        let mut row = vec![contestant.name.to_owned()];
        for (operation, batch) in COLUMNS {
            let [few, many] = [FEW, MANY].map(|rounds| {
                count(&[
                    "--work".to_owned(),
                    index.to_string(),
                    format!("{operation:?}").to_lowercase(),
                    batch.to_string(),
                    rounds.to_string(),
                ])
            });
            let more = u32::try_from(many - few).expect("a few million instructions");
            let each = f64::from(more) / f64::from(batch * (MANY - FEW));
            row.push(format!("{each:.1}"));
        }
        table.add_row(row);
    }
    println!("{table}");
}

fn do_work(work: &[String]) {
    let [contestant, operation, batch, rounds] = work else {
        unreachable!("clap counts them");
    };
    let index: usize = contestant.parse().expect("an index");
    Contestant::ALL[index].work(Work {
        operation: clap::ValueEnum::from_str(operation, true).expect("an operation"),
        batch: batch.parse().expect("a number"),
        rounds: rounds.parse().expect("a number"),
    });
}
