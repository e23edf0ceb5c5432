//! The list of the tests that skip on a new kernel is exact.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[path = "support/skip.rs"]
mod skip;

/// The test binary of a name, beside this one. Of several the last one built is that of these
/// sources: Cargo builds all of them before it runs one.
#[track_caller]
fn built(name: &str) -> PathBuf {
    let here = env::current_exe().expect("a program has a path");
    let folder = here.parent().expect("a folder");
    let is_built = |file: &str| match file.strip_prefix(name) {
        Some("") => true,
        // What Cargo appends; there are other files of that name, with an extension.
        Some(rest) => rest.starts_with('-') && rest[1..].chars().all(|c| c.is_ascii_hexdigit()),
        None => false,
    };
    fs::read_dir(folder)
        .expect("it can be read")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| is_built(&entry.file_name().to_string_lossy()))
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())
        .unwrap_or_else(|| {
            panic!("tests/{name}.rs has not been built: run `cargo test` as a whole")
        })
        .path()
}

/// The list, by binary: each test, and whether something of what it needs is missing here.
fn listed() -> BTreeMap<&'static str, BTreeMap<&'static str, bool>> {
    let mut binaries: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in skip::LISTED.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let &[binary, test, lack] = fields.as_slice() else {
            panic!("{line}: a line is binary, test and what is missing");
        };
        let tests = binaries.entry(binary).or_default();
        *tests.entry(test).or_default() |= skip::Lack::of_name(lack).is_missing();
    }
    binaries
}

/// Runs a test binary.
#[track_caller]
fn run<'a>(binary: &str, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = Command::new(built(binary)).args(arguments).output();
    let output = output.expect("a test binary can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{binary}: {said}");
    said.into_owned()
}

/// A test that skips although nothing is missing, or is not on the list, sees to that itself.
#[test]
fn each_listed_test_skips_where_something_is_missing() {
    // Older kernels lack more, and the tests may skip for that.
    if skip::older_than(6, 18) {
        return;
    }
    for (binary, tests) in listed() {
        let all = run(binary, ["--list"]);
        for test in tests.keys() {
            let line = format!("{test}: test");
            assert!(all.lines().any(|l| l == line), "{binary} has no {test}");
        }
        let missing = tests.iter().filter(|(_, missing)| **missing);
        let names: Vec<_> = missing.map(|(test, _)| *test).collect();
        if names.is_empty() {
            continue;
        }
        let said = run(
            binary,
            ["--exact", "--show-output"].iter().chain(&names).copied(),
        );
        for test in names {
            let skips = said.contains(&format!("SKIP {test}: "));
            assert!(skips, "{binary}: {test} does not skip any more");
        }
    }
}

#[test]
fn list_is_sorted() {
    let lines: Vec<_> = skip::LISTED.lines().collect();
    assert!(lines.is_sorted_by(|a, b| a < b));
}
