//~ E0597
use lio_uring::owned::{Ring, Send};
use std::os::unix::net::UnixStream;

fn main() {
    let ring = Ring::new(2).unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let text = vec![0_u8; 8];
    #[cfg(not(accepted))]
    let buffer = &text[..];
    #[cfg(accepted)]
    let buffer = text;
    drop(ring.push(Send { socket, buffer, flags: 0 }));
}
