//~ E0502
use lio_uring::owned::{Read, Ring, Within};
use std::fs::File;
use std::time::Duration;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    let mut bytes = vec![0_u8; 8];
    ring.scope(|scope| {
        let link = Read { file: &file, buffer: &mut bytes[..], offset: 0 };
        let limit = Duration::from_secs(1);
        let tickets = scope.push_chain((Within { link, limit },));
        #[cfg(not(accepted))]
        println!("{}", bytes[0]);
        drop(tickets);
    });
    println!("{}", bytes[0]);
}
