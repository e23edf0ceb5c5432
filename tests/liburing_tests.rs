//! The tests of liburing that matter to a library on top of it, and those here that check the same:
//! the table `liburing_tests.tsv`, kept true.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many of liburing's tests the table has.
const ROWS: usize = 120;

/// A line of the table.
struct Row {
    theirs: String,
    checks: String,
    /// Each as `binary::test`.
    ours: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table() -> Vec<Row> {
    let text = read(&root().join("tests/liburing_tests.tsv"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("theirs\tchecks\tours"));
    lines
        .map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            let &[theirs, checks, ours] = cells.as_slice() else {
                panic!("not three cells: {line}");
            };
            Row {
                theirs: theirs.to_owned(),
                checks: checks.to_owned(),
                ours: ours.split(' ').map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// The Rust files of a folder, and the folders in it.
fn list(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let (folders, mut files): (Vec<_>, Vec<_>) = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    (files, folders)
}

fn stem(path: &Path) -> &str {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.expect("the files have names")
}

/// Adds the tests that a file has, as those of a binary.
fn add_tests_of(path: &Path, binary: &str, found: &mut BTreeSet<String>) {
    let text = read(path);
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == "#[test]") {
        let name = lines
            .by_ref()
            .take_while(|line| line.starts_with("#[") || line.starts_with("fn "))
            .find_map(|line| line.strip_prefix("fn ")?.split('(').next());
        let name = name.unwrap_or_else(|| panic!("{}: a test without a name", path.display()));
        found.insert(format!("{binary}::{name}"));
    }
}

/// Adds the tests of the library itself, which are all `lib`'s.
fn add_tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    let (files, folders) = list(folder);
    for file in files {
        add_tests_of(&file, "lib", found);
    }
    for folder in folders {
        add_tests_below(&folder, found);
    }
}

/// Every test that there is.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (files, folders) = list(&root().join("tests"));
    for file in files {
        add_tests_of(&file, stem(&file), &mut found);
    }
    for folder in folders {
        // One binary of several files.
        if folder.join("main.rs").exists() {
            for file in list(&folder).0 {
                add_tests_of(&file, stem(&folder), &mut found);
            }
        }
    }
    add_tests_below(&root().join("src"), &mut found);
    found
}

#[test]
fn every_test_of_liburing_has_its_row_once() {
    let rows = table();
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert!(seen.insert(&row.theirs), "{} is there twice", row.theirs);
        assert!(
            !row.theirs.is_empty() && !row.checks.is_empty(),
            "{}",
            row.theirs
        );
    }
    assert_eq!(rows.len(), ROWS);
}

#[test]
fn every_named_test_exists() {
    let tests = tests();
    let found = ["liburing_tests::every_named_test_exists", "oracle::nop"];
    for name in found {
        assert!(tests.contains(name), "{name} was not found");
    }
    assert!(tests.iter().any(|name| name.starts_with("lib::")));
    let mut missing = Vec::new();
    for row in table() {
        let mut seen = BTreeSet::new();
        for name in row.ours {
            if !tests.contains(&name) || !seen.insert(name.clone()) {
                missing.push(format!("{}: {name}", row.theirs));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "named in tests/liburing_tests.tsv, and not there or there twice in the row:\n{}",
        missing.join("\n")
    );
}
