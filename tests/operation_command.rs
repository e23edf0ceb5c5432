//! Commands of drivers: with data of 16 and of 80 bytes, and the discarding of blocks.

#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt as _;

use lio_uring::kind::{HasLargeSqe, Threads};
use lio_uring::operation::{
    CmdDiscard, LargeOperation, OpCode, SocketOp, UringCmd, UringCmd128, UringCmdFlags,
    UringCmdLarge,
};
use lio_uring::{
    AnyThread, CompletionQueue, IoUring, IoUringParams, LargeSqe, Sqe, SubmissionQueue,
};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[allow(clippy::duplicate_mod, reason = "other helpers skip too")]
#[path = "support/skip.rs"]
mod skip;

use rings::run;
use skip::{Lack, skip};

/// A command that no driver has.
const UNKNOWN: u32 = 0xdead_beef;

/// Runs a command, and returns its result.
#[track_caller]
fn command<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    command: &UringCmd,
    settings: impl FnOnce(&mut Sqe),
) -> i32 {
    // SAFETY: the commands of the tests do what they are meant to, with values that stay until this
    // returns.
    unsafe { run(cq, sq, command, settings) }.raw_result()
}

fn small(fd: RawFd, cmd_op: u32) -> UringCmd {
    UringCmd {
        cmd_op,
        fd,
        cmd: [0; 16],
    }
}

fn plain(_: &mut Sqe) {}

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

/// A socket that a datagram of seven bytes has come to.
fn with_seven_bytes() -> UdpSocket {
    let socket = socket();
    let own = socket.local_addr().expect("a bound socket");
    socket.send_to(b"7 bytes", own).expect("room");
    socket.peek(&mut [0; 7]).expect("a datagram");
    socket
}

/// A socket, and a value for its option `SO_PRIORITY`, whose address is the first data of the
/// command that sets it.
struct Priority {
    socket: UdpSocket,
    value: Box<i32>,
}

impl Priority {
    fn new(value: i32) -> Self {
        Self {
            socket: socket(),
            value: Box::new(value),
        }
    }

    fn data<const N: usize>(&self) -> [u8; N] {
        let mut data = [0xee; N];
        let address = (&raw const *self.value).expose_provenance();
        data[..8].copy_from_slice(&(address as u64).to_ne_bytes());
        data
    }

    /// Writes the rest of the command.
    fn settings(sqe: &mut Sqe) {
        let mut option = [0; 8];
        option[..4].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        option[4..].copy_from_slice(&libc::SO_PRIORITY.to_ne_bytes());
        sqe.set_address(u64::from_ne_bytes(option));
        sqe.set_file_index(4);
    }

    /// Fails if the option has not been set.
    #[track_caller]
    fn assert_set(&self) {
        let (mut value, mut size) = (0_i32, 4);
        // SAFETY: value and size are valid for writes.
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PRIORITY,
                (&raw mut value).cast(),
                &raw mut size,
            )
        };
        assert_eq!((done, value), (0, *self.value));
    }
}

#[test]
fn command_reaches_its_driver_with_its_data() {
    // Sockets have commands since Linux 6.5, for options since 6.7.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let socket = with_seven_bytes();
        let waiting = small(socket.as_raw_fd(), SocketOp::SIOCINQ.0);
        assert_eq!(command(cq, sq, &waiting, plain), 7);
        socket.recv(&mut [0; 7]).unwrap();
        assert_eq!(command(cq, sq, &waiting, plain), 0);
        let priority = Priority::new(5);
        let set = UringCmd {
            cmd: priority.data(),
            ..small(priority.socket.as_raw_fd(), SocketOp::SETSOCKOPT.0)
        };
        assert_eq!(command(cq, sq, &set, Priority::settings), 0);
        priority.assert_set();
    });
}

#[test]
fn command_of_a_file_that_has_none_gives_eopnotsupp() {
    if !needs::operations(&[OpCode::URING_CMD]) {
        return;
    }
    let file = tempfile::tempfile().unwrap();
    each_ring!(|cq, sq| {
        let (reader, _writer) = io::pipe().unwrap();
        for (fd, errno) in [
            (file.as_raw_fd(), libc::EOPNOTSUPP),
            (reader.as_raw_fd(), libc::EOPNOTSUPP),
            (-1, libc::EBADF),
        ] {
            for cmd_op in [0, UNKNOWN] {
                let done = command(cq, sq, &small(fd, cmd_op), plain);
                assert_eq!(done, -errno);
            }
        }
    });
}

#[test]
fn command_that_the_driver_does_not_know_gives_eopnotsupp() {
    // Sockets have commands since Linux 6.5.
    if !needs::operations(&[OpCode::READ_MULTISHOT]) {
        return;
    }
    let socket = socket();
    each_ring!(|cq, sq| {
        let unknown = small(socket.as_raw_fd(), UNKNOWN);
        assert_eq!(command(cq, sq, &unknown, plain), -libc::EOPNOTSUPP);
    });
}

#[test]
fn command_with_an_unknown_flag_gives_einval() {
    if !needs::operations(&[OpCode::URING_CMD]) {
        return;
    }
    let null = File::open("/dev/null").unwrap();
    each_ring!(|cq, sq| {
        let done = command(cq, sq, &small(null.as_raw_fd(), 0), |sqe| {
            sqe.insert_command_flags(UringCmdFlags::from_bits_retain(1 << 20));
        });
        assert_eq!(done, -libc::EINVAL);
    });
}

/// Runs commands of 80 bytes on a ring with room for them.
#[track_caller]
fn run_large<S: HasLargeSqe, O: LargeOperation>(
    mut cq: CompletionQueue,
    mut sq: SubmissionQueue<AnyThread, S>,
    make: impl Fn(RawFd, u32, [u8; 80]) -> O,
) {
    let mut result = |operation: &O, settings: fn(&mut Sqe)| {
        let settings = |sqe: &mut LargeSqe| settings(&mut sqe.entry);
        // SAFETY: as for `command`.
        unsafe { sq.push_large_with(operation, 1, settings) }.expect("room");
        sq.submit().expect("a submission");
        cq.next().expect("a completion").raw_result()
    };
    let file = tempfile::tempfile().expect("a file");
    for (fd, errno) in [(file.as_raw_fd(), libc::EOPNOTSUPP), (-1, libc::EBADF)] {
        assert_eq!(result(&make(fd, UNKNOWN, [1; 80]), plain), -errno);
    }
    // Sockets have commands since Linux 6.5, for options since 6.7.
    if !needs::knows(OpCode::READ_MULTISHOT) {
        return;
    }
    let socket = with_seven_bytes();
    let waiting = make(socket.as_raw_fd(), SocketOp::SIOCINQ.0, [0; 80]);
    assert_eq!(result(&waiting, plain), 7);
    let priority = Priority::new(6);
    let fd = priority.socket.as_raw_fd();
    let set = make(fd, SocketOp::SETSOCKOPT.0, priority.data());
    assert_eq!(result(&set, Priority::settings), 0);
    priority.assert_set();
    assert_eq!(
        result(&make(fd, UNKNOWN, [1; 80]), plain),
        -libc::EOPNOTSUPP
    );
}

#[test]
fn command_of_80_bytes_reaches_its_driver() {
    let params = IoUringParams::default().entries(4).sqe128();
    let Some((cq, sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    run_large(cq, sq, |fd, cmd_op, cmd| UringCmdLarge { cmd_op, fd, cmd });
}

#[test]
fn command_of_80_bytes_among_small_entries_reaches_its_driver_or_is_not_known() {
    let params = IoUringParams::default().entries(4);
    if kernel::older_than(6, 19) {
        let made = IoUring::with_params(params.sqe128());
        let Some((mut cq, mut sq)) = kernel::since(5, 19, made) else {
            return;
        };
        let null = File::open("/dev/null").unwrap();
        let command = UringCmd128 {
            cmd_op: 0,
            fd: null.as_raw_fd(),
            cmd: [0; 80],
        };
        // SAFETY: the file stays open, and the kernel does not know the code.
        unsafe { sq.push_large(&command, 1) }.unwrap();
        sq.submit().unwrap();
        assert_eq!(cq.next().unwrap().raw_result(), -libc::EINVAL);
        return;
    }
    let (cq, sq) = IoUring::with_params(params.sqe_mixed()).unwrap();
    run_large(cq, sq, |fd, cmd_op, cmd| UringCmd128 { cmd_op, fd, cmd });
}

/// A block device whose blocks are those of a file.
struct Loop {
    device: File,
    path: String,
    file: File,
}

impl Loop {
    const SIZE: usize = 1 << 20;
    const SET_FD: libc::Ioctl = 0x4c00;
    const CLR_FD: libc::Ioctl = 0x4c01;
    const CTL_GET_FREE: libc::Ioctl = 0x4c82;

    /// `None`, and a printed reason, where there are no such devices.
    #[track_caller]
    fn new() -> Option<Self> {
        let open = |path: &str| OpenOptions::new().read(true).write(true).open(path);
        let control = match open("/dev/loop-control") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skip(&Lack::File("/dev/loop-control"));
                return None;
            }
            control => control.expect("root may make loop devices"),
        };
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&vec![0xaa; Self::SIZE], 0).expect("room");
        loop {
            // SAFETY: the request takes nothing.
            let free = unsafe { libc::ioctl(control.as_raw_fd(), Self::CTL_GET_FREE) };
            assert!(free >= 0, "{}", io::Error::last_os_error());
            let path = format!("/dev/loop{free}");
            let device = open(&path).expect("a loop device");
            let fd = file.as_raw_fd();
            // SAFETY: the file is open.
            if unsafe { libc::ioctl(device.as_raw_fd(), Self::SET_FD, fd) } == 0 {
                return Some(Self { device, path, file });
            }
            // Somebody else was faster.
            let error = io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        }
    }

    /// The range of bytes that are zero, if all others are as they were.
    #[track_caller]
    fn zeros(&self) -> std::ops::Range<usize> {
        let mut blocks = vec![0; Self::SIZE];
        self.device.read_exact_at(&mut blocks, 0).expect("blocks");
        let mut stored = vec![1; Self::SIZE];
        self.file.read_exact_at(&mut stored, 0).expect("blocks");
        assert!(blocks == stored, "the device differs from its file");
        let zero = |byte: &u8| *byte == 0;
        let start = blocks.iter().position(zero).unwrap_or(0);
        let end = blocks.iter().rposition(zero).map_or(0, |last| last + 1);
        assert!(blocks[start..end].iter().all(zero));
        let untouched = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0xaa);
        assert!(untouched(&blocks[..start]) && untouched(&blocks[end..]));
        start..end
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // SAFETY: the device is this value's.
        unsafe { libc::ioctl(self.device.as_raw_fd(), Self::CLR_FD) };
    }
}

/// Discards a range, and returns the result.
#[track_caller]
fn discard<T: Threads>(
    cq: &mut CompletionQueue<T>,
    sq: &mut SubmissionQueue<T>,
    fd: RawFd,
    (offset, nbytes): (u64, u64),
) -> i32 {
    let discard = CmdDiscard { fd, offset, nbytes };
    // SAFETY: the devices are of the tests, which expect it.
    unsafe { run(cq, sq, &discard, |_| ()) }.raw_result()
}

#[test]
fn discard_has_the_blocks_read_as_zeros() {
    each_ring!(|cq, sq| {
        let Some(device) = Loop::new() else { return };
        let fd = device.device.as_raw_fd();
        assert_eq!(device.zeros(), 0..0);
        let done = discard(cq, sq, fd, (65536, 131_072));
        if kernel::older_than(6, 12) {
            assert!([-libc::EOPNOTSUPP, -libc::EINVAL].contains(&done));
            return;
        }
        assert_eq!(done, 0);
        assert_eq!(device.zeros(), 65536..196_608);
    });
}

#[test]
fn discard_of_what_cannot_be_discarded_fails_and_leaves_the_blocks() {
    if kernel::lacks(6, 12, "blocks are not discarded") {
        return;
    }
    each_ring!(|cq, sq| {
        let Some(device) = Loop::new() else { return };
        let (fd, size) = (device.device.as_raw_fd(), Loop::SIZE as u64);
        for range in [
            (1, 4096),
            (4096, 100),
            (4096, 0),
            (size, 4096),
            (size - 4096, 8192),
            (u64::MAX - 4095, 8192),
        ] {
            assert_eq!(discard(cq, sq, fd, range), -libc::EINVAL, "{range:?}");
        }
        let reader = File::open(&device.path).unwrap();
        let done = discard(cq, sq, reader.as_raw_fd(), (0, 4096));
        assert_eq!(done, -libc::EBADF);
        let unknown = small(fd, UNKNOWN);
        assert_eq!(command(cq, sq, &unknown, plain), -libc::EINVAL);
        assert_eq!(device.zeros(), 0..0);
    });
}

#[test]
fn discard_of_what_is_no_device_gives_eopnotsupp() {
    if !needs::operations(&[OpCode::URING_CMD]) {
        return;
    }
    each_ring!(|cq, sq| {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let done = discard(cq, sq, file.as_raw_fd(), (0, 4096));
        assert_eq!(done, -libc::EOPNOTSUPP);
        assert_eq!(discard(cq, sq, -1, (0, 4096)), -libc::EBADF);
    });
}
