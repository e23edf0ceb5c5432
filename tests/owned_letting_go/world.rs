//! What operations work on, and what comes to them later.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use lio_uring::owned::{Ring, SendHeader, SendMsg};

/// The size of buffers: large enough to be kept.
pub(crate) const BYTES: usize = 256 << 10;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) stream: Arc<UnixStream>,
    peer: UnixStream,
    pub(crate) listener: Arc<TcpListener>,
    pub(crate) connected: Arc<TcpStream>,
    drain: thread::JoinHandle<()>,
    pub(crate) direct: Arc<File>,
    pub(crate) file: Arc<File>,
}

impl World {
    pub(crate) fn new() -> Self {
        // The target folder is on a disk, where the folder for temporary files may not be.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .or_else(|_| tempfile::tempdir())
            .expect("a folder");
        let (stream, peer) = UnixStream::pair().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let connected = TcpStream::connect(listener.local_addr().expect("one")).expect("connected");
        let (mut accepted, _) = listener.accept().expect("a connection");
        // Zero-copy sends end when their bytes have arrived.
        let drain = thread::spawn(move || {
            let _copied = io::copy(&mut accepted, &mut io::sink());
        });
        let path = folder.path().join("data");
        fs::write(&path, vec![7; 4 * BYTES]).expect("room on the disk");
        let open = |flags| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(flags);
            options.open(&path)
        };
        let file = open(0).expect("the file");
        file.sync_all().expect("written");
        Self {
            stream: Arc::new(stream),
            peer,
            listener: Arc::new(listener),
            connected: Arc::new(connected),
            drain,
            direct: Arc::new(open(libc::O_DIRECT).unwrap_or_else(|_| open(0).expect("the file"))),
            file: Arc::new(file),
            folder,
        }
    }

    /// Sends two descriptors, and a byte, to the Unix stream.
    pub(crate) fn pass_descriptors(&self) {
        let descriptor = || self.file.try_clone().expect("another").into();
        let send = SendMsg {
            socket: self.peer.try_clone().expect("another"),
            buffers: ["x"],
            header: SendHeader::new().descriptors([descriptor(), descriptor()]),
            flags: 0,
        };
        let ring = Ring::new(1).expect("a ring");
        let ticket = ring.push(send).expect("room");
        let (count, ..) = ticket.wait().expect("a submission");
        assert_eq!(count.expect("a message"), 1);
    }

    /// Has everything arrive that an operation could still wait for.
    pub(crate) fn stir(mut self) {
        // Those who have gone do not matter.
        let _done = self.peer.set_nonblocking(true);
        let _done = self.peer.write_all(&vec![9; BYTES]);
        let _done = self.peer.read(&mut vec![0; BYTES]);
        let address = self.listener.local_addr().expect("one");
        let _done = TcpStream::connect(address);
        let _done = self.connected.shutdown(std::net::Shutdown::Both);
        self.drain.join().expect("no panic");
    }

    pub(crate) fn path(&self, name: &str) -> CString {
        let path = self.folder.path().join(name).into_os_string();
        CString::new(path.into_encoded_bytes()).expect("no NUL")
    }
}

/// A socket of this family that nothing was done to.
pub(crate) fn fresh_socket(family: i32) -> OwnedFd {
    // SAFETY: the call has no conditions.
    let made = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(made >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it was just made.
    unsafe { OwnedFd::from_raw_fd(made) }
}
