//! What would be unsound does not compile: each program of `tests/refused` is refused with the error
//! of its first line, and compiles with what `cfg(accepted)` changes, so that nothing else is wrong.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused");

/// The compiler that came with the Cargo that runs the test, if that can be told.
fn compiler() -> OsString {
    env::var_os("RUSTC")
        .or_else(|| {
            let beside = Path::new(&env::var_os("CARGO")?).with_file_name("rustc");
            beside.exists().then(|| beside.into())
        })
        .unwrap_or_else(|| "rustc".into())
}

/// The folder that the library and what it needs were built into.
fn folder() -> PathBuf {
    let here = env::current_exe().expect("a program has a path");
    here.parent().expect("a folder").to_owned()
}

/// Compiles a program as far as its types and borrows are checked.
fn compile(program: &Path, library: &Path, accepted: bool) -> Output {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(compiler());
    command
        .args(["--edition=2024", "--crate-type=bin", "--emit=metadata"])
        .args(["--check-cfg=cfg(accepted)", "--cap-lints=allow"])
        .arg("--out-dir")
        .arg(scratch.path())
        .arg(program)
        .arg("-L")
        .arg(format!("dependency={}", folder().display()))
        .arg("--extern")
        .arg(format!("lio_uring={}", library.display()));
    if accepted {
        command.args(["--cfg", "accepted"]);
    }
    command.output().expect("the compiler can be run")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The library of the last build with what this test was built with. Cargo builds it before it runs
/// this.
fn library() -> PathBuf {
    let mut built: Vec<_> = fs::read_dir(folder())
        .expect("it can be read")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("liblio_uring-") && name.ends_with(".rlib")
        })
        .collect();
    built.sort_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    let scratch = tempfile::tempdir().expect("a folder");
    let program = scratch.path().join("least.rs");
    let ring = if cfg!(feature = "tokio") {
        "TokioRing"
    } else {
        "Ring"
    };
    let text = format!("fn main() {{ drop(None::<lio_uring::owned::{ring}>); }}");
    fs::write(&program, text).expect("room");
    let mut said = String::new();
    for entry in built.into_iter().rev() {
        let output = compile(&program, &entry.path(), false);
        if output.status.success() {
            return entry.path();
        }
        said += &errors(&output);
    }
    panic!("there is no library beside this test that it can use: {said}");
}

/// The codes of the errors that the compiler has found.
fn codes(errors: &str) -> BTreeSet<&str> {
    let heads = errors.lines().filter(|line| line.starts_with("error["));
    heads.filter_map(|line| line.get(6..11)).collect()
}

#[test]
fn unsound_programs_are_refused_for_what_is_unsound_in_them() {
    let library = library();
    let mut programs: Vec<_> = fs::read_dir(PROGRAMS)
        .expect("the programs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    programs.sort();
    assert!(programs.len() > 15);
    let mut wrong = Vec::new();
    for program in programs {
        let name = program.file_stem().expect("a name").to_string_lossy();
        if name.starts_with("tokio_") && !cfg!(feature = "tokio") {
            continue;
        }
        let text = fs::read_to_string(&program).expect("text");
        let code = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//~ "));
        let code = code.expect("the first line names the error");
        let accepted = compile(&program, &library, true);
        if !accepted.status.success() {
            wrong.push(format!("{name}: sound, and refused\n{}", errors(&accepted)));
        }
        let refused = errors(&compile(&program, &library, false));
        let found = codes(&refused);
        if found != BTreeSet::from([code]) {
            wrong.push(format!(
                "{name}: expected {code}, found {found:?}\n{refused}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
