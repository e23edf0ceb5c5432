//! What the kernels of the matrix have, as `tests/kernels/capabilities.tsv` keeps it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::env;
use std::fs;

/// The names of the devices that a guest can have.
pub(crate) const DEVICES: [&str; 4] = ["net", "null_blk", "nvme", "tls"];

/// What one kernel has, by kind and name.
pub(crate) struct Column {
    /// Whether it is that of the running kernel's release, and not of the nearest older one.
    pub(crate) exact: bool,
    /// Kind and name, and whether the kernel has it.
    pub(crate) rows: Vec<((String, String), bool)>,
}

/// The numbers of a release: major and minor.
#[track_caller]
pub(crate) fn release(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).expect("a number");
    (next(), next())
}

/// The table's column for the running kernel. `None` outside of the matrix.
pub(crate) fn column() -> Option<Column> {
    let table = fs::read_to_string(env::var_os("LIO_CAPABILITIES")?).expect("the table");
    let running = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let running = release(&running);
    let mut lines = table.lines().map(|line| line.split('\t'));
    let kernels = lines.next().expect("a head").skip(2).map(release);
    let (place, nearest) = kernels
        .enumerate()
        .filter(|(_, kernel)| *kernel <= running)
        .max_by_key(|(_, kernel)| *kernel)?;
    let rows = lines.map(|mut fields| {
        let mut next = || fields.next().expect("a field").to_owned();
        let name = (next(), next());
        (name, fields.nth(place) == Some("yes"))
    });
    Some(Column {
        exact: nearest == running,
        rows: rows.collect(),
    })
}

/// Whether the running kernel has something, as the table says.
pub(crate) fn stored(kind: &str, name: &str) -> Option<bool> {
    let rows = column()?.rows;
    let row = rows
        .iter()
        .find(|((k, n), _)| (k.as_str(), n.as_str()) == (kind, name));
    row.map(|(_, has)| *has)
}

/// Whether the tests have been given a device, which they may then write to.
pub(crate) fn has_device(name: &str) -> bool {
    env::var("LIO_DEVICES").is_ok_and(|given| given.split(' ').any(|given| given == name))
}
