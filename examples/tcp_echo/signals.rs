//! SIGINT and SIGTERM as something that a ring can wait for: a descriptor that becomes readable.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

const STOPPING: [(libc::c_int, &str); 2] = [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM")];

/// Keeps the two signals from ending the program, in this thread and those that it starts.
pub(crate) struct Signals {
    file: File,
    set: libc::sigset_t,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let set = stopping_set();
        change_mask(libc::SIG_BLOCK, &set)?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set lives, and -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, so it is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            file: File::from(fd),
            set,
        })
    }

    /// The descriptor that is readable when a signal has arrived.
    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Takes the signal that has arrived and returns its name. From now on the two signals end the
    /// program as they usually do.
    pub(crate) fn take(&mut self) -> io::Result<&'static str> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        self.file.read_exact(&mut info)?;
        change_mask(libc::SIG_UNBLOCK, &self.set)?;
        // The number is the structure's first field.
        let [a, b, c, d, ..] = info;
        let number = i32::from_ne_bytes([a, b, c, d]);
        let name = STOPPING
            .iter()
            .find(|(signal, _)| *signal == number)
            .map(|(_, name)| *name);
        Ok(name.unwrap_or("signal"))
    }
}

fn stopping_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writes.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for (signal, _) in STOPPING {
        // SAFETY: the set was initialised, and the signal exists.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: `sigemptyset` has initialised it.
    unsafe { set.assume_init() }
}

fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is valid for reads, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
