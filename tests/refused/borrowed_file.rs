//~ E0597
use lio_uring::owned::{Fsync, Ring};
use lio_uring::operation::FsyncFlags;
use std::fs::File;
use std::time::Duration;

fn main() {
    let ring = Ring::new(2).unwrap();
    let owned = File::open("/dev/zero").unwrap();
    #[cfg(not(accepted))]
    let file = &owned;
    #[cfg(accepted)]
    let file = owned;
    let flags = FsyncFlags::empty();
    drop(ring.push_within(Fsync { file, flags }, Duration::ZERO));
}
