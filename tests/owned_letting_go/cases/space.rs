//! The space of files, and ranges of them.

use std::sync::Arc;

use lio_uring::owned::{Advise, Allocate, SyncRange, Truncate};

use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Allocate", |world, way| {
        let allocate = Allocate {
            file: Arc::clone(&world.file),
            mode: 0,
            offset: 0,
            len: 64 << 20,
        };
        let_go(way, allocate);
    }),
    ("Truncate", |world, way| {
        let file = Arc::clone(&world.file);
        let_go(way, Truncate { file, len: 1 });
    }),
    ("SyncRange", |world, way| {
        let sync = SyncRange {
            file: Arc::clone(&world.file),
            offset: 0,
            len: 0,
            flags: libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
        };
        let_go(way, sync);
    }),
    ("Advise", |world, way| {
        let advise = Advise {
            file: Arc::clone(&world.file),
            offset: 0,
            len: 0,
            advice: libc::POSIX_FADV_DONTNEED,
        };
        let_go(way, advise);
    }),
];
