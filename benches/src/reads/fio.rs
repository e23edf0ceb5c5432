//! `fio`, with its engine for `io_uring`.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{DEPTH, Numbered};
use crate::work::BLOCK;

/// Reads per second, and processor time per read in microseconds.
pub type Result = std::result::Result<[f64; 2], String>;

/// Whether it is installed.
pub fn is_installed() -> bool {
    let version = Command::new("fio").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Has it do the same reads for this long.
///
/// # Errors
///
/// What it said when it failed.
pub fn read(file: &Numbered, direct: bool, registered: bool, time: Duration) -> Result {
    let (direct, registered) = (u8::from(direct), u8::from(registered));
    let output = Command::new("fio")
        .args(["--name=reads", "--rw=randread", "--ioengine=io_uring"])
        .args(["--norandommap", "--readonly", "--invalidate=0", "--thread"])
        .args(["--time_based", "--output-format=json"])
        .arg(format!("--filename={}", file.path().display()))
        .arg(format!("--bs={BLOCK}"))
        .arg(format!("--iodepth={DEPTH}"))
        .arg(format!("--runtime={}ms", time.as_millis()))
        .arg(format!("--direct={direct}"))
        .arg(format!("--fixedbufs={registered}"))
        .arg(format!("--registerfiles={registered}"))
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    figures(&output.stdout).ok_or_else(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn figures(output: &[u8]) -> Option<[f64; 2]> {
    // What comes before are notes.
    let start = output.iter().position(|&byte| byte == b'{')?;
    let output: Value = serde_json::from_slice(&output[start..]).ok()?;
    let job = &output["jobs"][0];
    let rate = job["read"]["iops"].as_f64()?;
    let percent = job["usr_cpu"].as_f64()? + job["sys_cpu"].as_f64()?;
    Some([rate, percent / 100.0 / rate * 1e6])
}
