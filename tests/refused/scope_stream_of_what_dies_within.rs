//~ E0597
use lio_uring::owned::{AcceptMulti, Ring};
use std::net::TcpListener;

fn main() {
    let ring = Ring::new(2).unwrap();
    ring.scope(|scope| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        #[cfg(not(accepted))]
        let listener = &listener;
        std::mem::forget(scope.push_stream(AcceptMulti { listener }));
    });
}
