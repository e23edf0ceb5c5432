//~ E0597
use lio_uring::owned::{Poll, Ring};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

struct Noisy<T: AsRef<str>>(UnixStream, T);

impl<T: AsRef<str>> AsFd for Noisy<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

// It runs when the operation has ended, which can be long after its ticket is gone.
impl<T: AsRef<str>> Drop for Noisy<T> {
    fn drop(&mut self) {
        println!("{}", self.1.as_ref());
    }
}

fn main() {
    let ring = Rc::new(Ring::new(2).unwrap());
    let (socket, _peer) = UnixStream::pair().unwrap();
    let text = String::from("freed before the ring");
    #[cfg(not(accepted))]
    let text = text.as_str();
    let file = Noisy(socket, text);
    drop(ring.push_shared(Poll { file, events: 1 }));
}
