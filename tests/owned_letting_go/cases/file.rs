//! Files.

use std::sync::Arc;

use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{Close, Fsync, Open, Read, Write};

use crate::world::BYTES;
use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Read", |world, way| {
        let (file, buffer) = (Arc::clone(&world.direct), vec![1; BYTES]);
        let_go(
            way,
            Read {
                file,
                buffer,
                offset: 0,
            },
        );
        let (file, buffer) = (Arc::clone(&world.stream), vec![1; BYTES].into_boxed_slice());
        let_go(
            way,
            Read {
                file,
                buffer,
                offset: u64::MAX,
            },
        );
    }),
    ("Write", |world, way| {
        let (file, buffer) = (Arc::clone(&world.direct), vec![1; BYTES]);
        let_go(
            way,
            Write {
                file,
                buffer,
                offset: 0,
            },
        );
        let (file, buffer) = (Arc::clone(&world.stream), vec![1; 4 * BYTES]);
        let_go(
            way,
            Write {
                file,
                buffer,
                offset: u64::MAX,
            },
        );
    }),
    ("Fsync", |world, way| {
        let (file, flags) = (Arc::clone(&world.file), FsyncFlags::empty());
        let_go(way, Fsync { file, flags });
    }),
    ("Open", |world, way| {
        let (flags, mode) = (libc::O_RDWR | libc::O_CREAT, 0o600);
        let path = world.path("opened");
        let_go(way, Open { path, flags, mode });
    }),
    ("Close", |world, way| {
        let fd = world.file.try_clone().expect("another").into();
        let_go(way, Close { fd });
    }),
    ("Read", |world, way| {
        // Large enough to be boxed, and too small for the allocator's attention.
        let file = Arc::clone(&world.stream);
        let_go(
            way,
            Read {
                file,
                buffer: [0; 512],
                offset: u64::MAX,
            },
        );
    }),
];
