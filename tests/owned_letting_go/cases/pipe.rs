//! Pipes.

use std::io;
use std::sync::Arc;

use lio_uring::owned::{Pipe, Splice, Tee};

use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Pipe", |_, way| let_go(way, Pipe::new(0))),
    ("Splice", |world, way| {
        // Nothing will come out of the pipe.
        let (from, _writer) = io::pipe().expect("a pipe");
        let splice = Splice {
            from,
            from_offset: None,
            to: Arc::clone(&world.file),
            to_offset: Some(0),
            len: 4096,
            flags: 0,
        };
        let_go(way, splice);
        let (_reader, to) = io::pipe().expect("a pipe");
        let splice = Splice {
            from: Arc::clone(&world.file),
            from_offset: Some(0),
            to,
            to_offset: None,
            len: 1 << 20,
            flags: 0,
        };
        let_go(way, splice);
    }),
    ("Tee", |_, way| {
        let (from, _writer) = io::pipe().expect("a pipe");
        let (_reader, to) = io::pipe().expect("a pipe");
        let (len, flags) = (4096, 0);
        let_go(
            way,
            Tee {
                from,
                to,
                len,
                flags,
            },
        );
    }),
];
