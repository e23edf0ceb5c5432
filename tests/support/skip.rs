//! The one way to skip a test: it says so, and fails where nothing is missing.

#![allow(dead_code, reason = "no test lacks all of it")]

use std::env;
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;
use std::thread;

use lio_uring::Probe;
use lio_uring::operation::OpCode;

#[path = "capabilities.rs"]
mod capabilities;

/// The tests that skip on Linux 6.18 and later: binary, test, and what they lack.
pub(crate) const LISTED: &str = include_str!("../skips.tsv");

/// What a test needs and may not find.
pub(crate) enum Lack<'a> {
    /// An operation of the kernel's.
    Operation(OpCode),
    /// What came with a release, and what the kernel says instead.
    Release(u32, u32, &'a dyn Display),
    /// A privileged user.
    Root,
    /// A file that stands for something of the system's, as `/dev/loop-control`.
    File(&'a str),
    /// A device of the guests that `tests/kernels/matrix` boots.
    Device(&'a str),
}

impl<'a> Lack<'a> {
    /// What a line of the list names.
    pub(crate) fn of_name(name: &'a str) -> Self {
        if let Some(code) = OpCode::ALL.iter().find(|code| code.name() == Some(name)) {
            return Self::Operation(*code);
        }
        match name.split_once('.').map(|(a, b)| (a.parse(), b.parse())) {
            Some((Ok(major), Ok(minor))) => Self::Release(major, minor, &"a newer kernel"),
            _ if name == "root" => Self::Root,
            _ if name.starts_with('/') => Self::File(name),
            _ => Self::Device(name),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Operation(code) => code.to_string(),
            Self::Release(major, minor, _) => format!("{major}.{minor}"),
            Self::Root => "root".to_owned(),
            Self::File(name) | Self::Device(name) => (*name).to_owned(),
        }
    }

    /// Whether it is missing here.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Operation(code) => !Probe::new().expect("a probe").supports(*code),
            Self::Release(major, minor, _) => older_than(*major, *minor),
            Self::Root => {
                // SAFETY: the call has no conditions.
                let user = unsafe { libc::geteuid() };
                user != 0
            }
            Self::File(path) => !Path::new(path).exists(),
            Self::Device(name) => !capabilities::has_device(name),
        }
    }

    /// What the table of the matrix says, if it says something.
    fn is_stored(&self) -> Option<bool> {
        match self {
            Self::Operation(code) => capabilities::stored("op", &code.to_string()),
            Self::Device(name) => capabilities::stored("device", name),
            Self::Release(..) | Self::Root | Self::File(_) => None,
        }
    }
}

impl Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(code) => write!(f, "the kernel has no {code}"),
            Self::Release(major, minor, said) => write!(f, "needs Linux {major}.{minor}: {said}"),
            Self::Root => f.write_str("needs root"),
            Self::File(path) => write!(f, "there is no {path}"),
            Self::Device(name) => write!(f, "no such device: {name}"),
        }
    }
}

/// Says that the running test is skipped, or a part of it.
///
/// Fails if what it lacks is there, or the matrix says that this kernel has it, or the kernel is not
/// old and the test is not on the list.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a skipped test must say so")]
pub(crate) fn skip(lack: &Lack<'_>) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a thread of a test");
    println!("SKIP {test}: {lack}");
    assert!(lack.is_missing(), "it is here, so {test} must not skip");
    assert_ne!(
        lack.is_stored(),
        Some(true),
        "tests/kernels/capabilities.tsv says that this kernel has it"
    );
    let line = format!("{}\t{test}\t{}", binary(), lack.name());
    assert!(
        older_than(6, 18) || LISTED.lines().any(|listed| listed == line),
        "no test skips on a new kernel unless tests/skips.tsv has the line\n{line}\n\
         Can it test what the kernel answers instead?"
    );
}

/// The name of the running test binary, without what Cargo appends.
fn binary() -> String {
    let path = env::current_exe().expect("a program has a path");
    let name = path.file_name().expect("a file").to_string_lossy();
    name.rsplit_once('-')
        .map_or(&*name, |(name, _)| name)
        .to_owned()
}

/// Whether the running kernel is older than this release.
pub(crate) fn older_than(major: u32, minor: u32) -> bool {
    let (running, _) = version();
    running < (major, minor)
}

/// The release of the running kernel, and which version of it that is.
pub(crate) fn version() -> ((u32, u32), u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let patch = text.split(|c: char| !c.is_ascii_digit()).nth(2);
    let patch = patch.and_then(|patch| patch.parse().ok());
    (capabilities::release(&text), patch.unwrap_or(0))
}
