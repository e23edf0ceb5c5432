//~ E0277
use lio_uring::owned::{Nop, Ring};

fn main() {
    #[cfg(not(accepted))]
    let ring = Ring::new(2).unwrap();
    std::thread::spawn(move || {
        #[cfg(accepted)]
        let ring = Ring::new(2).unwrap();
        drop(ring.push(Nop));
    });
}
