//~ E0382
use lio_uring::owned::{Read, Ring};
use std::fs::File;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    let buffer = vec![0; 8];
    let ticket = ring.push(Read { file, buffer, offset: 0 }).unwrap();
    #[cfg(not(accepted))]
    println!("{buffer:?}");
    let (_, buffer) = ticket.wait().unwrap();
    println!("{buffer:?}");
}
