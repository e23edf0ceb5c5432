//~ E0277
use lio_uring::owned::{Nop, Ring};

fn main() {
    let ring = Ring::new(2).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            #[cfg(accepted)]
            let ring = Ring::new(2).unwrap();
            drop(ring.push(Nop));
        });
    });
    drop(ring);
}
