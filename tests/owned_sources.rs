//! What the sources of the owned layer must hold, read from them.
#![cfg(target_os = "linux")]

use std::fs;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/owned");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/owned_letting_go/cases");

/// The names and texts of the sources in a folder.
fn sources(folder: &str) -> Vec<(String, String)> {
    fs::read_dir(folder)
        .expect("the sources")
        .map(|file| file.expect("a file").path())
        // Models of what threads share lie in folders, and are no part of the layer.
        .filter(|path| path.is_file())
        .map(|path| {
            let text = fs::read_to_string(&path).expect("text");
            (path.display().to_string(), text)
        })
        .collect()
}

#[test]
fn every_operation_is_let_go_of_in_a_test() {
    let cases: String = sources(CASES).into_iter().map(|(_, text)| text).collect();
    let mut operations = 0;
    for (_, text) in sources(FOLDER) {
        for line in text.lines().filter(|line| line.starts_with("unsafe impl")) {
            let name = line
                .split_once(" Operation for ")
                .or_else(|| line.split_once(" Multishot for "));
            let Some((_, name)) = name else {
                continue;
            };
            let name = name.split(['<', ' ']).next().expect("a name");
            operations += 1;
            assert!(
                cases.contains(&format!("(\"{name}\", ")),
                "{name} is not among the cases of {CASES}"
            );
        }
    }
    assert!(
        operations > 15,
        "the sources were not understood: {operations}"
    );
}

#[test]
fn no_safe_function_takes_a_number_for_a_descriptor_or_a_pointer() {
    let mut seen = 0;
    for (path, text) in sources(FOLDER) {
        for line in text.lines().map(str::trim) {
            let field = line.starts_with("pub ") && line.ends_with(',');
            if !line.starts_with("pub fn ") && !field {
                continue;
            }
            seen += 1;
            for word in ["RawFd", "*const", "*mut", "NonNull"] {
                assert!(!line.contains(word), "{path}: {line}");
            }
        }
    }
    assert!(seen > 40, "the sources were not understood: {seen}");
}
