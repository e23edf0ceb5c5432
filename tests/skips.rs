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

/// The list, by binary: each test and whether what it lacks is missing here.
fn listed() -> BTreeMap<&'static str, Vec<(&'static str, bool)>> {
    let mut binaries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in skip::LISTED.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let &[binary, test, lack] = fields.as_slice() else {
            panic!("{line}: a line is binary, test and what is missing");
        };
        let missing = skip::Lack::of_name(lack).is_missing();
        binaries.entry(binary).or_default().push((test, missing));
    }
    binaries
}

/// The other half, that no other test skips, is seen to when one does.
#[test]
fn each_listed_test_skips_where_it_lacks_something_and_only_there() {
    // Older kernels lack more, and the tests may skip for that.
    if skip::older_than(6, 18) {
        return;
    }
    for (binary, tests) in listed() {
        let names = tests.iter().map(|(test, _)| test);
        let output = Command::new(built(binary))
            .args(["--exact", "--show-output"])
            .args(names)
            .output()
            .expect("a test binary can be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{binary}: {said}");
        for (test, missing) in tests {
            assert!(
                said.lines()
                    .any(|line| line == format!("test {test} ... ok")),
                "{binary} has no test {test}: {said}"
            );
            let skips = said.contains(&format!("SKIP {test}: "));
            assert_eq!(skips, missing, "{binary}: {test} skips where it should");
        }
    }
}

#[test]
fn list_is_sorted_and_names_each_test_once() {
    let lines: Vec<_> = skip::LISTED.lines().collect();
    assert!(lines.is_sorted());
    let mut tests: Vec<_> = lines.iter().map(|line| line.rsplit_once('\t')).collect();
    tests.dedup_by_key(|test| test.map(|(test, _)| test));
    assert_eq!(tests.len(), lines.len());
}
