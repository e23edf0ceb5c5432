//~ E0597
use lio_uring::owned::{Poll, TokioRing};
use std::fs::File;

async fn submit(uring: TokioRing) {
    let file = File::open("/dev/zero").unwrap();
    #[cfg(not(accepted))]
    let file = &file;
    drop(uring.submit(Poll { file, events: 1 }).await);
}

fn main() {
    let _ = submit;
}
