//! What may be missing on the running kernel.

use std::fmt::Display;

/// Whether the running kernel is older than this release.
///
/// For tests alone: it decides whether a feature *may* be missing, not whether it is there.
pub(crate) fn older_than(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let mut next = || {
        numbers
            .next()
            .and_then(Result::ok)
            .expect("a number in the release")
    };
    (next(), next()) < (major, minor)
}

/// What was made, or nothing and a printed reason if the kernel is too old for it.
#[track_caller]
#[allow(dead_code, reason = "not every test makes something")]
#[expect(clippy::print_stdout, reason = "a skipped test must say so")]
pub(crate) fn since<T>(major: u32, minor: u32, made: Result<T, impl Display>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(error) if older_than(major, minor) => {
            println!("SKIP: needs Linux {major}.{minor}: {error}");
            None
        }
        Err(error) => panic!("Linux {major}.{minor} should have this: {error}"),
    }
}
