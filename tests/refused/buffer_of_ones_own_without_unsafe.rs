//~ E0200
use lio_uring::owned::BufferMut;

struct Wrong;

#[cfg(accepted)]
unsafe impl BufferMut for Wrong {
    fn room(&mut self) -> *mut u8 {
        std::ptr::null_mut()
    }
    fn capacity(&self) -> usize {
        0
    }
    unsafe fn filled(&mut self, _: usize) {}
}

#[cfg(not(accepted))]
impl BufferMut for Wrong {
    fn room(&mut self) -> *mut u8 {
        std::ptr::null_mut()
    }
    fn capacity(&self) -> usize {
        0
    }
    unsafe fn filled(&mut self, _: usize) {}
}

fn main() {
    drop(Wrong.room());
}
