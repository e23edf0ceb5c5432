//! Walks the pinned headers: every function and every constant of theirs has its counterpart in this
//! crate, or is named here with the reason why it has none.
//!
//! A name counts as wrapped when it stands in the crate's code outside the bindings, or in its
//! documentation where the C name is given: after `C:`, or as an alias.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lio_uring::operation::OpCode;

/// What this crate leaves out on purpose, and why.
const EXCLUDED: &[(&str, &str)] = &[
    // Constants.
    ("IORING_OFF_CQ_RING", MAPPING),
    ("IORING_OFF_MMAP_MASK", MAPPING),
    ("IORING_OFF_SQES", MAPPING),
    ("IORING_OFF_SQ_RING", MAPPING),
    ("IORING_REGISTER_SRC_REGISTERED", BY_LIBURING),
    ("IORING_REGISTER_USE_REGISTERED_RING", BY_LIBURING),
    ("IORING_RESTRICTION_LAST", "a count of the others"),
    ("IORING_RSRC_REGISTER_SPARSE", BY_LIBURING),
    ("IORING_TIMEOUT_CLOCK_MASK", SEVERAL_FLAGS),
    ("IORING_TIMEOUT_UPDATE_MASK", SEVERAL_FLAGS),
    ("IORING_URING_CMD_MASK", SEVERAL_FLAGS),
    ("IOSQE_ASYNC_BIT", BIT),
    ("IOSQE_BUFFER_SELECT_BIT", BIT),
    ("IOSQE_CQE_SKIP_SUCCESS_BIT", BIT),
    ("IOSQE_FIXED_FILE_BIT", BIT),
    ("IOSQE_IO_DRAIN_BIT", BIT),
    ("IOSQE_IO_HARDLINK_BIT", BIT),
    ("IOSQE_IO_LINK_BIT", BIT),
    ("IO_URING_CHECK_VERSION", VERSION),
    ("IO_URING_READ_ONCE", C_ATOMICS),
    ("IO_URING_VERSION_MAJOR", VERSION),
    ("IO_URING_VERSION_MINOR", VERSION),
    ("IO_URING_WRITE_ONCE", C_ATOMICS),
    ("IO_WQ_BOUND", "an index; `WorkerLimits` has fields"),
    ("IO_WQ_UNBOUND", "an index; `WorkerLimits` has fields"),
    ("LIBURING_BARRIER_H", PREPROCESSOR),
    ("LIBURING_HAVE_DATA64", PREPROCESSOR),
    ("LIBURING_INTERNAL", PREPROCESSOR),
    ("LIBURING_NOEXCEPT", PREPROCESSOR),
    ("LIBURING_SANITIZE_H", PREPROCESSOR),
    (
        "LIBURING_UDATA_TIMEOUT",
        "marks timers that liburing's waits push on old kernels; ours push none",
    ),
    // What liburing's inline functions call among themselves.
    ("__io_uring_get_cqe", INNER),
    ("__io_uring_peek_cqe", INNER),
    ("__io_uring_prep_poll_mask", INNER),
    ("__io_uring_prep_uring_cmd", INNER),
    ("__io_uring_set_target_fixed_file", INNER),
    ("__io_uring_sqring_wait", INNER),
    ("_io_uring_get_sqe", INNER),
    ("io_uring_skip_cqe", INNER),
    ("io_uring_smp_load_acquire", C_ATOMICS),
    ("io_uring_smp_mb", C_ATOMICS),
    ("io_uring_smp_store_release", C_ATOMICS),
    // Submission.
    ("io_uring_get_sqe", PUSH),
    ("io_uring_get_sqe128", "`SubmissionQueue::push_large`"),
    ("io_uring_initialize_sqe", PUSH),
    ("io_uring_load_sq_head", PUSH),
    ("io_uring_sqe_set_data", PUSH),
    ("io_uring_sqe_set_data64", PUSH),
    ("io_uring_sqe_set_flags", "`Sqe::insert_flags`"),
    ("io_uring_sqe_shift", "`SqeSize`"),
    ("io_uring_sqe_shift_from_flags", "`SqeSize`"),
    ("io_uring_sq_ready", "`SubmissionQueue::unsubmitted`"),
    ("io_uring_sq_space_left", "`SubmissionQueue::space_left`"),
    (
        "io_uring_submit_and_wait",
        "`SubmissionQueue::submit_and_wait`",
    ),
    ("io_uring_submit_and_wait_min_timeout", SUBMIT_AND_WAIT),
    ("io_uring_submit_and_wait_timeout", SUBMIT_AND_WAIT),
    // Completion.
    ("io_uring_cq_advance", NEXT),
    ("io_uring_cq_ready", "`CompletionQueue::ready`"),
    ("io_uring_cqe_get_data", "`Completion::user_data`"),
    ("io_uring_cqe_get_data64", "`Completion::user_data`"),
    ("io_uring_cqe_iter_init", ITERATE),
    ("io_uring_cqe_iter_next", ITERATE),
    ("io_uring_cqe_nr", "`CqeSize`"),
    ("io_uring_cqe_seen", NEXT),
    ("io_uring_cqe_shift", "`CqeSize`"),
    ("io_uring_cqe_shift_from_flags", "`CqeSize`"),
    ("io_uring_for_each_cqe", ITERATE),
    ("io_uring_peek_batch_cqe", ITERATE),
    ("io_uring_peek_cqe", "`CompletionQueue::peek`"),
    ("io_uring_wait_cqe", NEXT),
    ("io_uring_wait_cqe_nr", "`CompletionQueue::wait`"),
    ("io_uring_wait_cqe_timeout", WAIT),
    ("io_uring_wait_cqes", WAIT),
    ("io_uring_wait_cqes_min_timeout", WAIT),
    // Rings.
    (
        "io_uring_memory_size",
        "`io_uring_memory_size_params` with flags alone",
    ),
    ("io_uring_mlock_size", "0 on every kernel since 5.12"),
    (
        "io_uring_queue_init",
        "`io_uring_queue_init_params` with flags alone",
    ),
    (
        "io_uring_queue_mmap",
        "the second half of `io_uring_queue_init_params`",
    ),
    (
        "io_uring_ring_dontfork",
        "done by the library itself, for all its mappings",
    ),
    // Registration.
    ("__io_uring_buf_ring_cq_advance", TWO_STEPS),
    ("__io_uring_clone_buffers", CLONE),
    ("__io_uring_clone_buffers_offset", CLONE),
    ("io_uring_buf_ring_cq_advance", TWO_STEPS),
    ("io_uring_buf_ring_init", "`register_buffer_ring`"),
    ("io_uring_buf_ring_mask", "`BufferRing::capacity`"),
    ("io_uring_free_buf_ring", "dropping the `BufferRing`"),
    ("io_uring_free_probe", "a `Probe` holds its answers itself"),
    ("io_uring_get_probe_ring", "`SubmissionQueue::probe`"),
    (
        "io_uring_register_wait_reg",
        "answers `EINVAL` in liburing 2.15, whatever it is given",
    ),
];

const BIT: &str = "the number of a bit; the flag has a name of its own";
const BY_LIBURING: &str = "set by those functions of liburing that need it";
const C_ATOMICS: &str = "Rust has atomic types";
const CLONE: &str = "`io_uring_clone_buffers_offset` says more";
const INNER: &str = "called by functions of liburing alone";
const ITERATE: &str = "`CompletionQueue::completions`";
const MAPPING: &str = "liburing maps the rings";
const NEXT: &str = "`CompletionQueue::next`";
const PREPROCESSOR: &str = "for the C preprocessor";
const PUSH: &str = "`SubmissionQueue::push`";
const SEVERAL_FLAGS: &str = "flags that have names of their own";
const SUBMIT_AND_WAIT: &str = "`SubmissionQueue::submit_and_wait_with`";
const TWO_STEPS: &str = "`BufferRing::publish`, and the completion queue moves on by itself";
const VERSION: &str = "the version that is compiled in";
const WAIT: &str = "`CompletionQueue::wait_with`";

/// How the names of constants begin.
const PREFIXES: [&str; 10] = [
    "BLOCK_URING_",
    "IORING_",
    "IOSQE_",
    "IOU_",
    "IO_URING_",
    "IO_WQ_",
    "LIBURING_",
    "SOCKET_URING_",
    "SPLICE_F_",
    "ZCRX_",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder and of those in it, with one extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        panic!("{}: {error}", folder.display());
    });
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

/// The names in a text, each with what follows it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |part: char| part.is_ascii_alphanumeric() || part == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|part| !is_part(part));
        let end = rest.find(|part| !is_part(part)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some((word, after))
    })
}

fn without_c_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        kept.push_str(&rest[..start]);
        kept.push(' ');
        rest = rest[start..].split_once("*/").map_or("", |parts| parts.1);
    }
    kept.push_str(rest);
    kept.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The functions and constants of the pinned headers, and the file in which each was found.
fn names_of_the_headers() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in files(&root().join("liburing/upstream/src/include"), "h") {
        let file = path.file_name().expect("a file has a name");
        for (word, after) in words(&without_c_comments(&read(&path))) {
            let function = word.trim_start_matches('_').starts_with("io_uring_")
                && after.trim_start().starts_with('(');
            if function || PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
                found
                    .entry(word.to_owned())
                    .or_insert_with(|| file.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// The names in the crate's code, and those in its documentation that stand behind `C:`.
fn names_of_the_crate() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(&root().join("src"), "rs") {
        if path.ends_with("sys/bindings.rs") {
            continue;
        }
        let mut names_c = false;
        for line in read(&path).lines() {
            let line = line.trim_start();
            let documentation = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"));
            let text = match documentation {
                Some(text) if names_c && !text.trim().is_empty() => text,
                Some(text) => {
                    let name = text.split_once("C: `").map(|parts| parts.1);
                    names_c = name.is_some();
                    name.unwrap_or_default()
                }
                None => {
                    names_c = false;
                    line.split("//").next().unwrap_or_default()
                }
            };
            found.extend(words(text).map(|(word, _)| word.to_owned()));
        }
    }
    found
}

#[test]
fn every_name_of_the_headers_is_wrapped_or_excluded() {
    let theirs = names_of_the_headers();
    let ours = names_of_the_crate();
    let functions = theirs
        .keys()
        .filter(|name| name.contains("io_uring_"))
        .count();
    assert!(
        functions > 230 && theirs.len() - functions > 250,
        "only {functions} functions and {} names in all were found: the walk does not work",
        theirs.len()
    );
    let missing: Vec<String> = theirs
        .iter()
        .filter(|(name, _)| !ours.contains(*name))
        .filter(|(name, _)| EXCLUDED.iter().all(|excluded| excluded.0 != *name))
        .map(|(name, file)| format!("\n  {name} of {file}"))
        .collect();
    assert!(
        missing.is_empty(),
        "these have no counterpart in src; give each one, with its C name in the documentation, or \
         name it in EXCLUDED of this test with the reason:{}",
        missing.concat()
    );
}

#[test]
fn no_exclusion_is_out_of_date() {
    let theirs = names_of_the_headers();
    let ours = names_of_the_crate();
    let mut seen = BTreeSet::new();
    for (name, reason) in EXCLUDED {
        assert!(!reason.is_empty(), "{name} is excluded without a reason");
        assert!(seen.insert(name), "{name} is listed twice");
        assert!(
            theirs.contains_key(*name),
            "{name} is no longer in the headers: drop it from this test"
        );
        assert!(
            !ours.contains(*name),
            "{name} is wrapped by now: drop it from this test"
        );
    }
}

/// A reason that is the name of something of this crate must name something that is there.
#[test]
fn what_an_exclusion_refers_to_exists() {
    let ours = names_of_the_crate();
    let theirs = names_of_the_headers();
    for (name, reason) in EXCLUDED {
        for reference in reason.split('`').skip(1).step_by(2) {
            for (word, _) in words(reference) {
                assert!(
                    ours.contains(word) || theirs.contains_key(word) || word == "EINVAL",
                    "the reason for {name} refers to `{reference}`, and there is no {word}"
                );
            }
        }
    }
}

#[test]
fn every_code_has_an_operation() {
    let source: String = files(&root().join("src/operation"), "rs")
        .iter()
        .map(|path| read(path))
        .collect();
    for code in OpCode::ALL {
        let line = format!("const OPCODE: OpCode = OpCode::{code};");
        assert!(
            source.contains(&line),
            "no struct of src/operation stands for {code}"
        );
    }
}

#[test]
fn every_preparing_function_is_compared_with() {
    let mut compared = BTreeSet::new();
    for path in files(&root().join("tests/oracle"), "rs") {
        compared.extend(words(&read(&path)).map(|(word, _)| word.to_owned()));
    }
    for name in names_of_the_headers().keys() {
        assert!(
            !name.starts_with("io_uring_prep_") || compared.contains(name),
            "tests/oracle compares no entry with what {name} writes"
        );
    }
}
