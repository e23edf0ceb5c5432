//~ E0597
use lio_uring::owned::{Nop, Read, Ring};
use std::fs::File;

fn main() {
    let ring = Ring::new(2).unwrap();
    let file = File::open("/dev/zero").unwrap();
    #[cfg(accepted)]
    let mut bytes = vec![0_u8; 8];
    ring.scope(|scope| {
        #[cfg(not(accepted))]
        let mut bytes = vec![0_u8; 8];
        let read = Read { file: &file, buffer: &mut bytes[..], offset: 0 };
        std::mem::forget(scope.push_chain((read, Nop)));
    });
}
