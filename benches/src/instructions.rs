//! Counting instructions of user space with callgrind, and what was counted before.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many instructions this program takes with these arguments.
///
/// # Panics
///
/// If valgrind is missing or the program fails.
pub fn count<A: AsRef<OsStr>>(arguments: &[A]) -> u64 {
    let program = env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .output()
        .expect("valgrind should be installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "callgrind failed: {said}");
    said.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind said no count: {said}"))
}

/// The figures of a contestant in a table of a Markdown file.
///
/// # Panics
///
/// If there is no such row with that many figures.
pub fn known(file: &Path, contestant: &str, figures: usize) -> Vec<f64> {
    let text = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    text.lines()
        .find_map(|line| {
            let mut cells = line.trim().trim_matches('|').split('|').map(str::trim);
            let named = cells.next()? == contestant;
            let row: Vec<f64> = cells.map_while(|cell| cell.parse().ok()).collect();
            (named && row.len() == figures).then_some(row)
        })
        .unwrap_or_else(|| {
            panic!(
                "{} has no row of {figures} figures for {contestant}",
                file.display()
            )
        })
}
