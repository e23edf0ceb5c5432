//! The registrations.

use std::fmt::{self, Write as _};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use lio_uring::{IoUring, IoUringParams, QueryOpcodes, RegisterCode, SetupError};

use crate::report::{columns, heading, row, yes_or_no};

pub(crate) fn write_registrations(out: &mut String) -> fmt::Result {
    heading(out, "Registrations")?;
    match known() {
        Ok(known) => {
            columns(out, "name")?;
            for (code, known) in RegisterCode::ALL.iter().zip(known) {
                let name = code.name().unwrap_or_default();
                row(out, name, code.since(), &yes_or_no(known))?;
            }
            Ok(())
        }
        Err(error) => writeln!(out, "{error}"),
    }
}

/// Whether the kernel knows each registration.
fn known() -> Result<Vec<bool>, SetupError> {
    // The kernel's own answer, since Linux 6.18.
    if let Ok(known) = QueryOpcodes::ask() {
        let codes = RegisterCode::ALL.iter();
        return Ok(codes
            .map(|code| u32::from(code.0) < known.registrations)
            .collect());
    }
    // Some registrations are for rings of one kind only.
    let params = IoUringParams::default().entries(2);
    if let Ok((_cq, sq)) = IoUring::with_params(params.cqe32().defer_taskrun()) {
        return Ok(sq.fd().map_or_else(Vec::new, ask_all));
    }
    let (_cq, sq) = IoUring::with_params(params)?;
    Ok(sq.fd().map_or_else(Vec::new, ask_all))
}

fn ask_all(ring: BorrowedFd<'_>) -> Vec<bool> {
    let codes = RegisterCode::ALL.iter();
    codes.map(|code| knows(ring.as_raw_fd(), *code)).collect()
}

/// Whether the kernel knows a registration: if so, it complains of something else than the code when
/// it is asked for with an address that nothing is at.
fn knows(ring: RawFd, code: RegisterCode) -> bool {
    const NOWHERE: usize = 1;
    let (ring, code) = match code {
        // It is asked for without a ring.
        RegisterCode::REGISTER_SEND_MSG_RING => (-1, code),
        // It came together with the other, and its error is that of an unknown code.
        RegisterCode::UNREGISTER_PERSONALITY => (ring, RegisterCode::REGISTER_PERSONALITY),
        _ => (ring, code),
    };
    // How many arguments there are is looked at first: elements, bytes, or none.
    [
        (NOWHERE, 1),
        (NOWHERE, 0),
        (NOWHERE, 2),
        (NOWHERE, 32),
        (0, 0),
    ]
    .into_iter()
    .any(|(address, count)| {
        let error = ask(ring, code, address, count);
        ![Some(libc::EINVAL), Some(libc::EBADF)].contains(&error)
    })
}

/// Asks for a registration, and returns the error.
fn ask(ring: RawFd, code: RegisterCode, address: usize, count: u32) -> Option<i32> {
    // SAFETY: the kernel finds no arguments at these addresses, and what takes none concerns a ring
    // that nothing is registered with.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            u32::from(code.0),
            address,
            count,
        )
    };
    if result < 0 {
        io::Error::last_os_error().raw_os_error()
    } else {
        None
    }
}
