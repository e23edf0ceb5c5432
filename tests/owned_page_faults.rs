//! A page fault stops the kernel in the middle of writing to a buffer, for as long as a test wants:
//! whatever is let go of meanwhile, the buffer stays until the kernel is done with it.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lio_uring::IoUring;
use lio_uring::owned::{Read, Recv, Ring};

#[path = "support/held_up.rs"]
mod held_up;

use held_up::{BYTES, LIMIT, Memory, Obstacle, WAYS, Way, play};

/// There if the kernel was built with faults that a program handles.
const SWITCH: &str = "/proc/sys/vm/unprivileged_userfaultfd";

// From linux/userfaultfd.h.
const API: u64 = 0xaa;
const MISSING: u64 = 1;
const PAGEFAULT: u8 = 0x12;
const SET_API: libc::Ioctl = libc::_IOWR::<[u64; 3]>(0xaa, 0x3f);
const REGISTER: libc::Ioctl = libc::_IOWR::<[u64; 4]>(0xaa, 0x00);
const ZEROPAGE: libc::Ioctl = libc::_IOWR::<[u64; 4]>(0xaa, 0x04);

/// Whoever first uses some memory waits until the test has put pages there, and so does the kernel.
struct Faults {
    fd: OwnedFd,
    start: u64,
}

impl Faults {
    fn of(memory: &Memory) -> Self {
        // SAFETY: the call has no conditions.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let fd = i32::try_from(fd).expect("a descriptor");
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: it was just made.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let start = memory.address() as u64;
        let faults = Self { fd, start };
        faults.control(SET_API, [API, 0, 0]);
        faults.control(REGISTER, [start, BYTES as u64, MISSING, 0]);
        faults
    }

    fn control<const N: usize>(&self, command: libc::Ioctl, mut argument: [u64; N]) {
        // SAFETY: each command takes a structure of so many numbers, which it may change.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), command, &raw mut argument) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

impl Obstacle for Faults {
    fn wait(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let limit = i32::try_from(LIMIT.as_millis()).expect("a short time");
        // SAFETY: the pointer is to one such structure.
        if unsafe { libc::poll(&raw mut poll, 1, limit) } != 1 {
            return false;
        }
        let mut message = [0_u8; 32];
        let room = message.as_mut_ptr().cast();
        // SAFETY: there is room for a message.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), room, message.len()) };
        assert_eq!(read, 32, "{}", io::Error::last_os_error());
        message[0] == PAGEFAULT
    }

    fn remove(&self) {
        self.control(ZEROPAGE, [self.start, BYTES as u64, 0, 0]);
    }
}

#[test]
fn worker_that_writes_to_a_buffer_keeps_it() {
    if !held_up::root_and(SWITCH) {
        return;
    }
    for way in WAYS {
        let (memory, buffer) = Memory::new();
        let in_time = play(way, (&memory, b'N'), &Faults::of(&memory), |scene| {
            // A file that only workers read.
            let read = |buffer| Read {
                file: File::open("/proc/self/status").expect("the file"),
                buffer,
                offset: 0,
            };
            scene.play(Ring::new(8).expect("a ring"), buffer, read);
        });
        if !in_time {
            return held_up::skip_since_not_in_time();
        }
    }
}

#[test]
fn thread_that_submits_and_writes_to_a_buffer_keeps_it() {
    if !held_up::root_and(SWITCH) {
        return;
    }
    for way in WAYS {
        let (memory, buffer) = Memory::new();
        let (socket, mut peer) = UnixStream::pair().expect("a pair");
        let socket = Arc::new(socket);
        let recv = |buffer| Recv {
            socket: Arc::clone(&socket),
            buffer,
            flags: 0,
        };
        peer.write_all(b"data").expect("room");
        let in_time = play(way, (&memory, b'd'), &Faults::of(&memory), |scene| {
            let params = IoUring::builder().entries(8).sqpoll(1000);
            scene.play(Ring::with_params(params).expect("a ring"), buffer, recv);
        });
        // Closing such a ring's descriptor waits for what its thread is doing.
        assert!(in_time || way == Way::Close, "{way:?}");
        let owners = 1 + usize::from(way.leaks());
        assert_eq!(Arc::strong_count(&socket), owners, "{way:?}: the socket");
    }
}
