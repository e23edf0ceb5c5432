//! The kernel's name, and what can stand in the way of a ring.

use std::fmt;
use std::fs;
use std::io;
use std::mem::MaybeUninit;

use crate::report::{heading, line};

/// The running kernel, as `uname -srm` prints it.
pub(crate) fn kernel() -> String {
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
pub(crate) fn write_limits(out: &mut String) -> fmt::Result {
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
