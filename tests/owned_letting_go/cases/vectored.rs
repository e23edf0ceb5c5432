//! Several buffers.

use std::sync::Arc;

use lio_uring::owned::{Readv, Writev};

use crate::world::BYTES;
use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Readv", |world, way| {
        let buffers = || [vec![1; BYTES], vec![1; BYTES]];
        let_go(way, Readv::new(Arc::clone(&world.direct), buffers(), 0));
        let stream = || Arc::clone(&world.stream);
        let_go(way, Readv::new(stream(), buffers(), u64::MAX));
        let_go(way, Readv::new(stream(), buffers().to_vec(), u64::MAX));
        // The buffers themselves are in what the ring has boxed, or what the vector has.
        let_go(way, Readv::new(stream(), [[1; BYTES / 16]; 2], u64::MAX));
        let_go(
            way,
            Readv::new(stream(), vec![[1; BYTES / 16]; 9], u64::MAX),
        );
    }),
    ("Writev", |world, way| {
        let buffers = || [vec![1; 2 * BYTES], vec![1; 2 * BYTES]];
        let_go(way, Writev::new(Arc::clone(&world.direct), buffers(), 0));
        let stream = || Arc::clone(&world.stream);
        let_go(way, Writev::new(stream(), buffers(), u64::MAX));
        let_go(way, Writev::new(stream(), buffers().to_vec(), u64::MAX));
        let_go(way, Writev::new(stream(), [[1; BYTES / 16]; 2], u64::MAX));
    }),
];
