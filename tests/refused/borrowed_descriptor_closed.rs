//~ E0308
use lio_uring::owned::{Close, Ring};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = OwnedFd::from(File::open("/dev/zero").unwrap());
    #[cfg(not(accepted))]
    let fd = file.as_fd();
    #[cfg(accepted)]
    let fd = file;
    drop(ring.push(Close { fd }));
}
