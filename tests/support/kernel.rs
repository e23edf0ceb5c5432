//! What may be missing on the running kernel.

use std::fmt::Display;

#[allow(clippy::duplicate_mod, reason = "other helpers skip too")]
#[path = "skip.rs"]
mod skip;

use skip::{Lack, skip};

/// Whether the running kernel is older than this release.
///
/// For tests alone: it decides whether a feature *may* be missing, not whether it is there.
pub(crate) fn older_than(major: u32, minor: u32) -> bool {
    skip::older_than(major, minor)
}

/// Whether the running kernel is too old for a test. Says that the test is skipped if so.
#[track_caller]
#[allow(dead_code, reason = "most tests ask the kernel")]
pub(crate) fn lacks(major: u32, minor: u32, what: &str) -> bool {
    let older = older_than(major, minor);
    if older {
        skip(&Lack::Release(major, minor, &what));
    }
    older
}

/// Whether the running kernel may have a bug: one from this release on that is not as new as the
/// versions which were seen without it, one of each series, if there are any.
///
/// Says so. For what leaves a test nothing to look at.
#[track_caller]
#[allow(dead_code, reason = "most tests meet none")]
#[expect(clippy::print_stdout, reason = "a test that looks away must say so")]
pub(crate) fn may_have_bug(since: (u32, u32), without: &[((u32, u32), u32)], bug: &str) -> bool {
    let (release, patch) = skip::version();
    let same = without.iter().find(|(series, _)| *series == release);
    let last = without.iter().map(|(series, _)| *series).max();
    let may = match same {
        Some((_, mended)) => patch < *mended,
        None => since <= release && last.is_none_or(|last| release < last),
    };
    if may {
        println!("a bug that this kernel may have: {bug}");
    }
    may
}

/// What was made, or nothing and a printed reason if the kernel is too old for it.
#[track_caller]
#[allow(dead_code, reason = "not every test makes something")]
pub(crate) fn since<T>(major: u32, minor: u32, made: Result<T, impl Display>) -> Option<T> {
    since_or(major, minor, made, |error| {
        skip(&Lack::Release(major, minor, &error));
    })
}

/// What was made, or nothing if the kernel is too old for it; what it answers then goes to `check`.
#[track_caller]
#[allow(dead_code, reason = "not every test makes something")]
pub(crate) fn since_or<T, E: Display>(
    major: u32,
    minor: u32,
    made: Result<T, E>,
    check: impl FnOnce(E),
) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(error) if older_than(major, minor) => {
            check(error);
            None
        }
        Err(error) => panic!("Linux {major}.{minor} should have this: {error}"),
    }
}
