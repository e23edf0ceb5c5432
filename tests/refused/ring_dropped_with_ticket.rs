//~ E0505
use lio_uring::owned::{Nop, Ring};

fn main() {
    let ring = Ring::new(2).unwrap();
    let ticket = ring.push(Nop).unwrap();
    #[cfg(not(accepted))]
    drop(ring);
    drop(ticket.wait());
    #[cfg(accepted)]
    drop(ring);
}
