//~ E0277
use lio_uring::owned::{Nop, Ring};
use std::rc::Rc;

#[cfg(not(accepted))]
fn spawn<F: Future + Send + 'static>(_: F) {}
#[cfg(accepted)]
fn spawn<F: Future + 'static>(_: F) {}

fn main() {
    let ring = Rc::new(Ring::new(2).unwrap());
    spawn(ring.push_shared(Nop).unwrap());
}
