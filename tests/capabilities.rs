//! What the running kernel has, and that the table of `tests/kernels` says the same.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use lio_uring::operation::OpCode;
use lio_uring::{Features, QueryOpcodes, RegisterCode, SetupFlags, sys, with_capacity};

#[path = "support/capabilities.rs"]
mod capabilities;

/// Makes a ring without mapping it, and returns it or an errno.
fn ring(flags: SetupFlags) -> Result<OwnedFd, i32> {
    let (other, _sq) = with_capacity(2).expect("a ring");
    // SAFETY: the structure is made of integers, for which zero is a value.
    let mut params: sys::io_uring_params = unsafe { std::mem::zeroed() };
    params.flags = flags.bits();
    params.cq_entries = 16;
    if flags.contains(SetupFlags::ATTACH_WQ) {
        params.wq_fd = other.as_raw_fd().cast_unsigned();
    }
    // SAFETY: the pointer is to a value of the right type.
    let fd = unsafe { sys::io_uring_setup(4, &raw mut params) };
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: the descriptor is new, and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the kernel knows a flag: it calls one invalid that it does not.
fn knows_flag(flag: SetupFlags) -> bool {
    let needed = match flag {
        SetupFlags::SQ_AFF => SetupFlags::SQPOLL,
        SetupFlags::TASKRUN_FLAG => SetupFlags::COOP_TASKRUN,
        SetupFlags::DEFER_TASKRUN => SetupFlags::SINGLE_ISSUER,
        // It is given no memory, which is another error.
        SetupFlags::REGISTERED_FD_ONLY => SetupFlags::NO_MMAP,
        SetupFlags::HYBRID_IOPOLL => SetupFlags::IOPOLL,
        SetupFlags::SQ_REWIND => SetupFlags::NO_SQARRAY,
        _ => SetupFlags::empty(),
    };
    ring(flag | needed).err() != Some(libc::EINVAL)
}

/// The kernel's answer to a registration with this address, where nothing is mapped, or none.
fn answer(fd: RawFd, code: RegisterCode, address: usize, count: u32) -> i32 {
    let argument = ptr::without_provenance(address);
    // SAFETY: the kernel reads and writes nothing there: it is null, or in the page that is never
    // mapped.
    unsafe { sys::io_uring_register(fd.cast_unsigned(), code.0.into(), argument, count) }
}

/// Whether the kernel knows a registration: one that it does not is invalid with any arguments.
fn knows_registration(code: RegisterCode) -> bool {
    if code == RegisterCode::REGISTER_QUERY {
        return QueryOpcodes::ask().is_ok();
    }
    if code == RegisterCode::REGISTER_SEND_MSG_RING {
        return answer(-1, code, 8, 1) == -libc::EFAULT;
    }
    if let Ok(known) = QueryOpcodes::ask() {
        return u32::from(code.0) < known.registrations;
    }
    let deferred = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    [
        SetupFlags::empty(),
        SetupFlags::R_DISABLED,
        deferred,
        deferred | SetupFlags::CQE32,
    ]
    .into_iter()
    .filter_map(|flags| ring(flags).ok())
    .any(|ring| {
        let fd = ring.as_raw_fd();
        let personality = answer(fd, RegisterCode::REGISTER_PERSONALITY, 0, 0);
        let id = personality.try_into().expect("a personality");
        [(8, 0), (8, 1), (8, 2), (8, 32), (0, 0), (0, id)]
            .into_iter()
            .any(|(address, count)| answer(fd, code, address, count) != -libc::EINVAL)
    })
}

/// Everything that the crate knows of, by kind and name, and whether the kernel has it.
fn measured() -> BTreeMap<(String, String), bool> {
    let (_cq, mut sq) = with_capacity(8).expect("a ring");
    let probe = sq.probe().expect("kernels since 5.6 can be asked");
    let features = sq.features();
    let mut rows = BTreeMap::new();
    let mut add = |kind: &str, name: &str, has| {
        rows.insert((kind.to_owned(), name.to_owned()), has);
    };
    for code in OpCode::ALL {
        add("op", &code.to_string(), probe.supports(*code));
    }
    for code in RegisterCode::ALL {
        add("register", &code.to_string(), knows_registration(*code));
    }
    for (name, flag) in SetupFlags::all().iter_names() {
        add("setup", name, knows_flag(flag));
    }
    for (name, feature) in Features::all().iter_names() {
        add("feature", name, features.contains(feature));
    }
    for name in capabilities::DEVICES {
        add("device", name, capabilities::has_device(name));
    }
    // What is newer than the crate.
    for code in (0..=probe.last().0).map(OpCode) {
        if code.name().is_none() && probe.supports(code) {
            add("op", &code.0.to_string(), true);
        }
    }
    let mut unknown = vec![("feature", features.bits() & !Features::all().bits())];
    if let Ok(known) = QueryOpcodes::ask() {
        for code in 0..known.registrations {
            if RegisterCode::ALL.iter().all(|c| u32::from(c.0) != code) {
                add("register", &code.to_string(), true);
            }
        }
        unknown.push(("setup", (known.setup_flags - SetupFlags::all()).bits()));
    }
    for (kind, bits) in unknown {
        if bits != 0 {
            add(kind, &format!("{bits:#x}"), true);
        }
    }
    rows
}

#[test]
fn table_says_what_the_kernel_has() {
    let measured = measured();
    for ((kind, name), has) in &measured {
        println!("has\t{kind}\t{name}\t{}", if *has { "yes" } else { "no" });
    }
    let Some(column) = capabilities::column() else {
        return;
    };
    let stored: BTreeMap<_, _> = column.rows.into_iter().collect();
    let rows: BTreeSet<_> = stored.keys().chain(measured.keys()).collect();
    let differences: Vec<_> = rows
        .into_iter()
        .filter(|row| stored.get(row) != measured.get(row))
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    // A kernel without a column is compared with the one before, to show what is new.
    for difference in &differences {
        println!("NEW {difference}");
    }
    assert!(
        differences.is_empty() || !column.exact,
        "the kernel and the table differ; if the kernel is right, run tests/kernels/record:\n{}",
        differences.join("\n")
    );
}

#[test]
fn setup_flags_are_those_that_the_kernel_names() {
    let tried: SetupFlags = SetupFlags::all()
        .iter()
        .filter(|flag| knows_flag(*flag))
        .collect();
    if let Ok(known) = QueryOpcodes::ask() {
        assert_eq!(known.setup_flags, tried);
    }
}
