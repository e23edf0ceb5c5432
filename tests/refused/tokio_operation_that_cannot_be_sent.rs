//~ E0277
use lio_uring::owned::{Poll, TokioRing};
use std::fs::File;
#[cfg(not(accepted))]
use std::rc::Rc as Shared;
#[cfg(accepted)]
use std::sync::Arc as Shared;

#[allow(unused_must_use)]
fn submit(uring: &TokioRing, file: File) {
    uring.submit(Poll { file: Shared::new(file), events: 1 });
}

fn main() {
    let _ = submit;
}
