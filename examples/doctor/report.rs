//! Lines of the report.

use std::fmt::{self, Write as _};

pub(crate) fn line(out: &mut String, name: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(out, "{name:<34}{value}")
}

pub(crate) fn heading(out: &mut String, text: &str) -> fmt::Result {
    writeln!(out, "\n{text}")
}

/// The first line of a table: what it is about, since when, and whether it is there.
pub(crate) fn columns(out: &mut String, name: &str) -> fmt::Result {
    row(out, name, Some("since"), &"supported")
}

pub(crate) fn row(
    out: &mut String,
    name: &str,
    since: Option<&str>,
    supported: &dyn fmt::Display,
) -> fmt::Result {
    writeln!(out, "  {name:<32}{:<8}{supported}", since.unwrap_or("?"))
}

pub(crate) fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
