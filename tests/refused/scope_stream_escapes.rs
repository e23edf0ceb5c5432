//~ E0521
use lio_uring::owned::{AcceptMulti, Ring};
use std::net::TcpListener;

fn main() {
    let ring = Ring::new(2).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut kept = None;
    ring.scope(|scope| {
        let connections = scope.push_stream(AcceptMulti { listener: &listener });
        #[cfg(not(accepted))]
        let connection = connections;
        #[cfg(accepted)]
        let connection = connections.unwrap().try_next();
        kept = Some(connection);
    });
    drop(kept);
}
