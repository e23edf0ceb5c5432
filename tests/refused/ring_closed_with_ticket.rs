//~ E0505
use lio_uring::owned::{Nop, Ring};
use std::time::Duration;

fn main() {
    let ring = Ring::new(2).unwrap();
    let ticket = ring.push(Nop).unwrap();
    #[cfg(accepted)]
    drop(ticket.wait());
    ring.close(Duration::from_secs(1)).unwrap();
    #[cfg(not(accepted))]
    drop(ticket.wait());
}
