//! Memory that child processes do not get, and get nothing else in place of.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// A stretch of memory: where it begins, and how many bytes it has.
type Stretch = (usize, usize);

/// What is kept from children.
static KEPT: Mutex<Vec<Stretch>> = Mutex::new(Vec::new());

/// What holds [`KEPT`] while the process is forked.
struct Held(UnsafeCell<Option<MutexGuard<'static, Vec<Stretch>>>>);

// SAFETY: it is used by the thread that forks, from when it has locked `KEPT` until it unlocks it; and in
// the child by the only thread that there is.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

fn kept() -> MutexGuard<'static, Vec<Stretch>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn before_fork() {
    let guard = kept();
    // SAFETY: nobody else uses it, since the lock is held.
    unsafe { *HELD.0.get() = Some(guard) };
}

extern "C" fn after_fork_in_parent() {
    // SAFETY: as above.
    drop(unsafe { (*HELD.0.get()).take() });
}

/// Maps what cannot be used wherever something was left out. The child's own memory would be mapped there
/// otherwise, sooner or later, and a queue that is used in spite of all would write into it.
extern "C" fn after_fork_in_child() {
    // SAFETY: as above.
    let Some(kept) = (unsafe { (*HELD.0.get()).take() }) else {
        return;
    };
    for (start, len) in &*kept {
        let address: *mut c_void = std::ptr::with_exposed_provenance_mut(*start);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping, where there is none.
        let mapped = unsafe { libc::mmap(address, *len, libc::PROT_NONE, flags, -1, 0) };
        if mapped != libc::MAP_FAILED && mapped != address {
            // An old kernel has put it elsewhere.
            // SAFETY: it was just mapped, and nobody uses it.
            unsafe { libc::munmap(mapped, *len) };
        }
    }
}

/// Leaves a mapping out of child processes, whose threads fault where it was.
pub(crate) fn keep_from_children(start: *mut c_void, len: usize) -> io::Result<()> {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        // Without them, for want of memory, it is only left out.
        // SAFETY: the functions can be called whenever the process is forked.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
    });
    // SAFETY: what is in the mapping is not touched.
    if unsafe { libc::madvise(start, len, libc::MADV_DONTFORK) } != 0 {
        return Err(io::Error::last_os_error());
    }
    kept().push((start.expose_provenance(), len));
    Ok(())
}

/// Notes that a mapping that was kept from children is to be unmapped.
pub(crate) fn release(start: *mut c_void) {
    let mut kept = kept();
    if let Some(place) = kept.iter().position(|(kept, _)| *kept == start.addr()) {
        kept.swap_remove(place);
    }
}
