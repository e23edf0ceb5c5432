//~ E0382
use lio_uring::owned::{Nop, Ring};

fn main() {
    let ring = Ring::new(2).unwrap();
    let ticket = ring.push(Nop).unwrap();
    let first = ticket.wait();
    #[cfg(not(accepted))]
    drop(ticket.try_take());
    drop(first);
}
