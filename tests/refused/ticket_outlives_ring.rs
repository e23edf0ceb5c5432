//~ E0597
use lio_uring::owned::{Nop, Ring};

fn main() {
    let other = Ring::new(2).unwrap();
    let ticket;
    {
        let ring = Ring::new(2).unwrap();
        #[cfg(not(accepted))]
        let pusher = &ring;
        #[cfg(accepted)]
        let pusher = &other;
        ticket = pusher.push(Nop).unwrap();
        drop(pusher.submit());
    }
    drop(ticket.wait());
    drop(other);
}
