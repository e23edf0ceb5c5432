//! The C source that is compiled in: that it is the pinned one, all of it, and nothing else.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lio_uring::sys;
use sha2::{Digest, Sha256};

fn liburing() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("liburing")
}

/// Every file below `folder`, by its path from `root`, with its SHA-256 sum.
fn sums(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the folder of liburing's source") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            sums(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("a path below the root");
            let sum = Sha256::digest(fs::read(&path).expect("a readable file"));
            found.insert(name.display().to_string(), format!("{sum:x}"));
        }
    }
}

#[test]
fn source_is_the_pinned_one() {
    let text = fs::read_to_string(liburing().join("SHA256SUMS")).unwrap();
    let pinned: BTreeMap<_, _> = text
        .lines()
        .map(|line| {
            let (sum, name) = line.split_once("  ").expect("a sum, two spaces and a name");
            (name.to_owned(), sum.to_owned())
        })
        .collect();
    assert!(
        pinned.contains_key("src/setup.c"),
        "liburing/SHA256SUMS names no source"
    );

    let upstream = liburing().join("upstream");
    let mut found = BTreeMap::new();
    sums(&upstream, &upstream, &mut found);
    // The build script's note of where the files came from.
    found.remove("pin.txt");
    assert_eq!(
        found, pinned,
        "liburing/upstream is not what liburing/SHA256SUMS pins: remove the folder, and the next \
         build fetches it again"
    );
}

#[test]
fn version_is_that_of_the_compiled_source() {
    // SAFETY: the function takes nothing and returns a number.
    let major = unsafe { sys::io_uring_major_version() };
    // SAFETY: as above.
    let minor = unsafe { sys::io_uring_minor_version() };
    assert_eq!((major, minor), (2, 15));
    assert_eq!(
        (sys::IO_URING_VERSION_MAJOR, sys::IO_URING_VERSION_MINOR),
        (2, 15)
    );
    let readme = fs::read_to_string(liburing().join("README.md")).unwrap();
    assert!(
        readme.contains("liburing 2.15"),
        "liburing/README.md names another release"
    );
}

#[test]
fn every_function_has_a_name_of_its_own() {
    let symbols = fs::read_to_string(liburing().join("include/symbols.h")).unwrap();
    let bindings =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sys/bindings.rs"));
    let bindings = bindings.unwrap();
    let functions: Vec<_> = bindings
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn "))
        .filter_map(|rest| rest.split('(').next())
        .filter(|name| name.contains("io_uring"))
        .collect();
    assert!(
        functions.len() > 200,
        "only {} functions found",
        functions.len()
    );
    for function in functions {
        let line = format!("#define {function} lio_{function}");
        assert!(
            symbols.lines().any(|other| other == line),
            "symbols.h lacks: {line}"
        );
        let link_name = format!("\\u{{1}}lio_{function}\"");
        assert!(
            bindings.contains(&link_name),
            "the bindings lack the link name of {function}"
        );
    }
}
