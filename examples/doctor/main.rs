//! What this machine's io_uring can do, and if it cannot be used, why and what to do about it.
//!
//! ```sh
//! cargo run --example doctor
//! cargo run --example doctor -- --quiet && echo io_uring can be used
//! ```
//!
//! It ends with 0 if io_uring can be used, otherwise with 1.

#![expect(clippy::print_stderr, reason = "errors are for people")]

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use lio_uring::{Availability, availability};

mod families;
mod operations;
mod queries;
mod registrations;
mod report;
mod rings;
mod system;

use report::line;

/// Tells what this machine's io_uring can do, or why it cannot be used.
#[derive(Parser)]
struct Args {
    /// Print nothing: the exit status says whether io_uring can be used.
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let availability = availability();
    if !args.quiet {
        match print(&report(&availability)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("doctor: cannot print: {error}");
            }
            _ => {}
        }
    }
    if availability.is_available() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(report: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(report.as_bytes())?;
    out.flush()
}

fn report(availability: &Availability) -> String {
    let mut report = String::new();
    // Writing to a string does not fail.
    write_report(&mut report, availability).ok();
    report
}

fn write_report(out: &mut String, availability: &Availability) -> fmt::Result {
    line(out, "kernel", &system::kernel())?;
    match availability {
        Availability::Available { .. } => line(out, "io_uring", &"can be used")?,
        Availability::Unavailable(error) => {
            line(out, "io_uring", &"cannot be used")?;
            line(out, "cause", error)?;
        }
    }
    system::write_limits(out)?;
    if let Availability::Available { features } = availability {
        rings::write_features(out, *features)?;
        rings::write_fastest(out)?;
        rings::write_setup_flags(out)?;
        operations::write_operations(out)?;
        registrations::write_registrations(out)?;
        queries::write_queries(out)?;
    }
    Ok(())
}
