//~ E0597
use lio_uring::owned::{Poll, Ring};
use std::fs::File;
use std::os::fd::AsFd;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    #[cfg(not(accepted))]
    let file = file.as_fd();
    drop(ring.push(Poll { file, events: 1 }));
}
