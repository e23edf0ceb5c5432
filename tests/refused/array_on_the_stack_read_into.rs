//~ E0597
use lio_uring::owned::{Read, Ring};
use std::fs::File;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    let mut array = [0_u8; 8];
    #[cfg(not(accepted))]
    let buffer = &mut array;
    #[cfg(accepted)]
    let buffer = std::mem::take(&mut array);
    drop(ring.push(Read { file, buffer, offset: 0 }));
}
