//! Runs a test a second time in a process of its own, where it can change what a process has only
//! one of.

use std::env;
use std::process::Command;

const CHILD: &str = "LIO_URING_TEST_CHILD";

/// Calls `body` in a child process: this test binary again, told to run the test `name` alone.
///
/// Here `around` is called first, and what it returns is dropped when the child has ended; `None`
/// skips the test.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a skipped test must say so")]
pub(crate) fn in_child<G>(name: &str, around: impl FnOnce() -> Option<G>, body: impl FnOnce()) {
    if env::var_os(CHILD).is_some_and(|child| child == name) {
        return body();
    }
    let Some(_guard) = around() else { return };
    let output = Command::new(env::current_exe().expect("a program has a path"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, name)
        .output()
        .expect("a test binary can be run again");
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that no test has would pass without running anything.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "in the child ({}): {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    for line in said.lines().filter(|line| line.starts_with("SKIP ")) {
        println!("{line}");
    }
}
