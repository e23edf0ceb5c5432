//! Ordinary users, for what the kernel grants to root alone.

use std::io;
use std::process;

#[allow(clippy::duplicate_mod, reason = "other helpers skip too")]
#[path = "skip.rs"]
mod skip;

/// Whether this process can become somebody else; prints why a test is skipped if it cannot.
#[track_caller]
pub(crate) fn is_root() -> bool {
    let lack = skip::Lack::Root;
    let root = !lack.is_missing();
    if !root {
        skip::skip(&lack);
    }
    root
}

/// Makes the whole process one of an ordinary user with these groups, for good.
///
/// No other process is this user's, as far as that can be: limits count what all of them have.
#[track_caller]
#[allow(dead_code, reason = "some tests only ask whether this is root")]
pub(crate) fn become_ordinary_user(groups: &[libc::gid_t]) {
    let check = |result| assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let id = 10_000 + process::id() % 50_000;
    // SAFETY: the pointer leads to as many groups as it says.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) });
    // SAFETY: the call has no conditions.
    check(unsafe { libc::setresgid(id, id, id) });
    // SAFETY: the call has no conditions.
    check(unsafe { libc::setresuid(id, id, id) });
}
