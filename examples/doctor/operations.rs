//! The operations: codes, and forms that came later than their code.

use std::fmt::{self, Write as _};

use lio_uring::operation::{Needs, OpCode, SocketOp};
use lio_uring::{MissingCause, Probe, SetupFlags};

use crate::families::FAMILIES;
use crate::report::{columns, heading, row};

pub(crate) fn write_operations(out: &mut String) -> fmt::Result {
    heading(out, "Operations")?;
    let probe = match Probe::new() {
        Ok(probe) => probe,
        Err(error) => return writeln!(out, "{error}"),
    };
    operation_columns(out)?;
    for family in FAMILIES {
        writeln!(out, "  {}:", family.name)?;
        let plain = family.operations.iter().filter(|row| !row.needs.is_form());
        for operation in plain {
            let name = format!("  {}", operation.name);
            write_operation(out, &probe, &name, &operation.needs)?;
        }
    }
    write_unknown(out, &probe)?;

    heading(
        out,
        "Later forms of operations, which have no code of their own",
    )?;
    operation_columns(out)?;
    for operation in FAMILIES.iter().flat_map(|family| family.operations) {
        if operation.needs.is_form() {
            write_operation(out, &probe, operation.name, &operation.needs)?;
        }
    }
    for (name, command) in SOCKET_COMMANDS {
        if let Some(needs) = command.needs() {
            write_operation(out, &probe, &format!("CmdSock, {name}"), &needs)?;
        }
    }
    Ok(())
}

/// The commands of sockets that came later than the operation.
const SOCKET_COMMANDS: [(&str, SocketOp); 3] = [
    ("GETSOCKOPT", SocketOp::GETSOCKOPT),
    ("SETSOCKOPT", SocketOp::SETSOCKOPT),
    ("TX_TIMESTAMP", SocketOp::TX_TIMESTAMP),
];

fn operation_columns(out: &mut String) -> fmt::Result {
    columns(out, &format!("{:<24}code", "name"))
}

fn write_operation(out: &mut String, probe: &Probe, name: &str, needs: &Needs) -> fmt::Result {
    let supported = match probe.meets(needs).map_err(|missing| missing.cause()) {
        Ok(()) => format!("yes{}", on_rings(needs.ring())),
        Err(MissingCause::Unknown { .. }) => {
            format!("unknown: only trying tells{}", instead(needs))
        }
        Err(MissingCause::Operation { .. }) => format!("no{}", instead(needs)),
        Err(cause) => format!("no: {cause}{}", instead(needs)),
    };
    let name = format!("{name:<24}{:>4}", needs.opcode().0);
    row(out, &name, needs.since(), &supported)
}

/// What the ring must be made with, if anything.
fn on_rings(flags: &[SetupFlags]) -> String {
    let names = |flags: &SetupFlags| {
        let names: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
        names.join(" or ")
    };
    let all: Vec<String> = flags.iter().map(names).collect();
    if all.is_empty() {
        return String::new();
    }
    format!(", on a ring with {}", all.join(" and "))
}

fn instead(needs: &Needs) -> String {
    needs
        .instead()
        .map_or(String::new(), |name| format!("; use {name}"))
}

/// Says how many operations there are that this library does not know.
fn write_unknown(out: &mut String, probe: &Probe) -> fmt::Result {
    let newer = (0..=probe.last().0)
        .map(OpCode)
        .filter(|code| code.name().is_none() && probe.supports(*code));
    match newer.count() {
        0 => Ok(()),
        count => writeln!(out, "  and {count} that this library does not know by name"),
    }
}
