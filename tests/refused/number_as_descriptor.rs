//~ E0277
use lio_uring::owned::{Accept, Ring};
use std::net::TcpListener;
use std::os::fd::AsRawFd;

fn main() {
    let ring = Ring::new(2).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    #[cfg(not(accepted))]
    let listener = listener.as_raw_fd();
    drop(ring.push(Accept { listener }));
}
