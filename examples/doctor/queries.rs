//! What the kernel says of itself when it is asked.

use std::fmt;
use std::io;

use lio_uring::{QueryOpcodes, QueryScq, QueryZcrx};

use crate::report::{heading, line};

pub(crate) fn write_queries(out: &mut String) -> fmt::Result {
    heading(out, "Queries")?;
    write_answer(
        out,
        "QueryOpcodes, since 6.18",
        QueryOpcodes::ask(),
        |known| {
            format!(
                "{} codes of operations, {} of registrations, {} queries",
                known.operations, known.registrations, known.queries
            )
        },
    )?;
    write_answer(out, "QueryZcrx, since 6.19", QueryZcrx::ask(), |zcrx| {
        format!(
            "{} commands, features {:#x}, flags {:#x}",
            zcrx.controls, zcrx.features, zcrx.register_flags
        )
    })?;
    write_answer(out, "QueryScq, since 6.19", QueryScq::ask(), |scq| {
        format!(
            "a header of {} bytes, aligned to {}",
            scq.header_size, scq.header_alignment
        )
    })
}

fn write_answer<A>(
    out: &mut String,
    question: &str,
    answer: io::Result<A>,
    tell: impl FnOnce(A) -> String,
) -> fmt::Result {
    match answer.map(tell) {
        Ok(told) => line(out, question, &told),
        Err(error) => line(out, question, &format!("not answered: {error}")),
    }
}
