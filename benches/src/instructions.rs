//! Counting instructions of user space, with callgrind.

use std::env;
use std::ffi::OsStr;
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
