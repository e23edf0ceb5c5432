//~ E0521
use lio_uring::owned::{Nop, Read, Ring};
use std::fs::File;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    let mut bytes = vec![0_u8; 8];
    let mut kept = None;
    ring.scope(|scope| {
        let read = Read { file: &file, buffer: &mut bytes[..], offset: 0 };
        let tickets = scope.push_chain((read, Nop));
        #[cfg(accepted)]
        let tickets = tickets.unwrap().0.wait().unwrap();
        kept = Some(tickets);
    });
    drop(kept);
}
