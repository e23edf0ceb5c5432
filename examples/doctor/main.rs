//! What this machine's io_uring can do, and if it cannot be used, why and what to do about it.
//!
//! ```sh
//! cargo run --example doctor
//! cargo run --example doctor -- --quiet && echo io_uring can be used
//! ```
//!
//! It ends with 0 if io_uring can be used, otherwise with 1.

#![expect(clippy::print_stderr, reason = "errors are for people")]

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::process::ExitCode;

use clap::Parser;
use lio_uring::operation::OpCode;
use lio_uring::{Availability, Features, IoUring, Probe, availability};

/// Tells what this machine's io_uring can do, or why it cannot be used.
#[derive(Parser)]
struct Args {
    /// Print nothing: the exit status says whether io_uring can be used.
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let availability = availability();
    if !args.quiet {
        match print(&report(&availability)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("doctor: cannot print: {error}");
            }
            _ => {}
        }
    }
    if availability.is_available() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(report: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(report.as_bytes())?;
    out.flush()
}

fn report(availability: &Availability) -> String {
    let mut report = String::new();
    // Writing to a string does not fail.
    write_report(&mut report, availability).ok();
    report
}

fn write_report(out: &mut String, availability: &Availability) -> fmt::Result {
    line(out, "kernel", &kernel())?;
    match availability {
        Availability::Available { .. } => line(out, "io_uring", &"can be used")?,
        Availability::Unavailable(error) => {
            line(out, "io_uring", &"cannot be used")?;
            line(out, "cause", error)?;
        }
    }
    write_limits(out)?;
    if let Availability::Available { features } = availability {
        write_features(out, *features)?;
        write_setup_flags(out)?;
        write_operations(out)?;
    }
    Ok(())
}

fn line(out: &mut String, name: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(out, "{name:<34}{value}")
}

fn heading(out: &mut String, text: &str) -> fmt::Result {
    writeln!(out, "\n{text}")
}

/// The running kernel, as `uname -srm` prints it.
fn kernel() -> String {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to a value of the right type.
    if unsafe { libc::uname(name.as_mut_ptr()) } != 0 {
        return format!("unknown: {}", io::Error::last_os_error());
    }
    // SAFETY: it is made of bytes, for which zero is a value, and the call has filled it.
    let name = unsafe { name.assume_init() };
    let [system, release, machine] = [&name.sysname, &name.release, &name.machine].map(|field| {
        let bytes = field.iter().map(|byte| byte.cast_unsigned());
        String::from_utf8_lossy(&bytes.take_while(|byte| *byte != 0).collect::<Vec<u8>>())
            .into_owned()
    });
    format!("{system} {release} {machine}")
}

/// What can stand in the way of a ring, or of what is registered with it.
fn write_limits(out: &mut String) -> fmt::Result {
    heading(out, "Limits")?;
    let memory = limit(libc::RLIMIT_MEMLOCK);
    line(out, "locked memory in bytes", &memory)?;
    line(out, "open descriptors", &limit(libc::RLIMIT_NOFILE))?;
    for name in ["io_uring_disabled", "io_uring_group"] {
        let value = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        let value = match &value {
            Ok(value) => value.trim(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "none; since Linux 6.6",
            Err(_) => "cannot be read",
        };
        line(out, &format!("sysctl kernel.{name}"), &value)?;
    }
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t) -> String {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value of the right type.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return format!("unknown: {}", io::Error::last_os_error());
    }
    let [soft, hard] = [limit.rlim_cur, limit.rlim_max].map(|limit| match limit {
        libc::RLIM_INFINITY => "unlimited".to_owned(),
        limit => limit.to_string(),
    });
    format!("{soft} (can be raised to {hard})")
}

fn write_features(out: &mut String, features: Features) -> fmt::Result {
    heading(out, "Features that the kernel names")?;
    for (name, feature) in Features::all().iter_names() {
        line(out, name, &yes_or_no(features.contains(feature)))?;
    }
    Ok(())
}

/// The flags of a ring for one thread, which takes the best that the kernel has.
fn write_setup_flags(out: &mut String) -> fmt::Result {
    heading(out, "Flags of a ring made with IoUring::new")?;
    match IoUring::new(8) {
        Ok(mut ring) => {
            let flags = ring.submission().setup_flags();
            let names: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(" ")
            };
            writeln!(out, "{names}")
        }
        Err(error) => writeln!(out, "{error}"),
    }
}

fn write_operations(out: &mut String) -> fmt::Result {
    heading(out, "Operations")?;
    let probe = match Probe::new() {
        Ok(probe) => probe,
        Err(error) => return writeln!(out, "cannot be asked for before Linux 5.6: {error}"),
    };
    writeln!(out, "code  {:<22}{:<9}supported", "name", "since")?;
    for code in OpCode::ALL {
        let name = code.name().unwrap_or_default();
        let since = code.since().unwrap_or_default();
        let supported = yes_or_no(probe.supports(*code));
        writeln!(out, "{:>4}  {name:<22}{since:<9}{supported}", code.0)?;
    }
    let newer = (0..=probe.last().0)
        .map(OpCode)
        .filter(|code| code.name().is_none());
    match newer.filter(|code| probe.supports(*code)).count() {
        0 => Ok(()),
        count => writeln!(out, "and {count} that this library does not know by name"),
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
