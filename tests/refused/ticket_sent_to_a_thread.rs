//~ E0277
use lio_uring::owned::{Nop, Ring};

fn main() {
    let ring = Ring::new(2).unwrap();
    let ticket = ring.push(Nop).unwrap();
    std::thread::scope(|scope| {
        #[cfg(not(accepted))]
        scope.spawn(move || drop(ticket));
        #[cfg(accepted)]
        {
            drop(ticket);
            drop(scope);
        }
    });
}
