//! Every skip goes through `tests/support/skip.rs`, which sees to it that something is missing.

use std::fs;
use std::path::{Path, PathBuf};

/// The files that print it, or look for it.
const ALLOWED: [&str; 4] = [
    "skip_sources.rs",
    "skips.rs",
    "support/child.rs",
    "support/skip.rs",
];

/// All Rust files in a folder and those in it.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_else_says_that_a_test_is_skipped() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    sources(&tests, &mut found);
    assert!(found.len() > 50);
    for path in found {
        if ALLOWED.iter().any(|allowed| path == tests.join(allowed)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file");
        for (number, line) in (1..).zip(text.lines()) {
            assert!(
                !line.contains("\"SKIP"),
                "{}:{number}: use `kernel::lacks`, `kernel::since`, `needs::operations` or \
                 `skip::skip`",
                path.display()
            );
        }
    }
}
