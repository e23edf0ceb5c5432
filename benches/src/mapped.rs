//! What this process has mapped.

use std::fs;

/// How many KiB the mappings have whose name contains this.
///
/// # Panics
///
/// If the kernel does not say.
pub fn kibibytes(name: &str) -> u32 {
    let maps = fs::read_to_string("/proc/self/maps").expect("a list of mappings");
    maps.lines()
        .filter(|line| line.contains(name))
        .map(|line| {
            let (range, _) = line.split_once(' ').expect("a range of addresses");
            let (start, end) = range.split_once('-').expect("two addresses");
            let [start, end] =
                [start, end].map(|address| u64::from_str_radix(address, 16).expect("a number"));
            u32::try_from((end - start) / 1024).expect("less than there is memory")
        })
        .sum()
}
