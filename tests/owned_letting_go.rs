//! Every operation of the owned layer, let go of in every way while the kernel has it: nothing is
//! freed that the kernel still uses, and nothing stays behind.
#![cfg(target_os = "linux")]

#[path = "support/descriptors.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod descriptors;
#[path = "support/quarantine.rs"]
mod quarantine;

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use lio_uring::operation::FsyncFlags;
use lio_uring::owned::{
    Accept, Address, Bind, Close, Connect, Fsync, Listen, Nop, Open, Operation, Poll, Read, Recv,
    Ring, Send, SendZc, Shutdown, Sleep, Socket, Ticket, Write,
};

use quarantine::Quarantine;

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine;

/// The size of buffers: large enough to be kept.
const BYTES: usize = 256 << 10;

/// How an operation in flight is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DropTicket,
    DropTicketUnsubmitted,
    DropPolledTicket,
    Unwind,
    DropTicketAndRing,
    ForgetTicketAndDropRing,
    CloseRing,
    Cycle,
}

const WAYS: [Way; 8] = [
    Way::DropTicket,
    Way::DropTicketUnsubmitted,
    Way::DropPolledTicket,
    Way::Unwind,
    Way::DropTicketAndRing,
    Way::ForgetTicketAndDropRing,
    Way::CloseRing,
    Way::Cycle,
];

impl Way {
    /// Whether something is leaked, as it has to be.
    fn leaks(self) -> bool {
        matches!(self, Self::ForgetTicketAndDropRing | Self::Cycle)
    }
}

fn push<O: Operation>(ring: &Ring, operation: O) -> Ticket<&Ring, O> {
    ring.push(operation).expect("room")
}

/// Waits until the ring has none of its operations left.
fn settle(ring: &Ring) {
    while ring.operations() > 0 {
        ring.submit_and_wait(1).expect("a submission");
    }
}

/// A cycle of counted pointers, which is never dropped.
struct Cycle<O: Operation> {
    _ticket: Ticket<Rc<Ring>, O>,
    me: RefCell<Option<Rc<Self>>>,
}

fn let_go<O: Operation>(way: Way, operation: O) {
    let ring = Rc::new(Ring::new(8).expect("a ring"));
    match way {
        Way::DropTicket => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            drop(ticket);
            settle(&ring);
        }
        Way::DropTicketUnsubmitted => {
            drop(push(&ring, operation));
            settle(&ring);
        }
        Way::DropPolledTicket => {
            let mut ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            if !ticket.is_done() {
                let mut context = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
            }
            drop(ticket);
            settle(&ring);
        }
        Way::Unwind => {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _ticket = push(&ring, operation);
                ring.submit().expect("a submission");
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(unwound.is_err());
            settle(&ring);
        }
        Way::DropTicketAndRing => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            drop(ticket);
        }
        Way::ForgetTicketAndDropRing => {
            let ticket = push(&ring, operation);
            ring.submit().expect("a submission");
            #[expect(clippy::mem_forget, reason = "that is what is tested")]
            std::mem::forget(ticket);
        }
        Way::CloseRing => {
            drop(push(&ring, operation));
            let ring = Rc::into_inner(ring).expect("the only owner");
            ring.close(Duration::from_secs(60)).expect("all end");
            return;
        }
        Way::Cycle => {
            let ticket = ring.push_shared(operation).expect("room");
            ring.submit().expect("a submission");
            let cycle = Rc::new(Cycle {
                _ticket: ticket,
                me: RefCell::new(None),
            });
            *cycle.me.borrow_mut() = Some(Rc::clone(&cycle));
        }
    }
    drop(ring);
}

/// What operations work on, and what comes to them later.
struct World {
    folder: tempfile::TempDir,
    stream: Arc<UnixStream>,
    peer: UnixStream,
    listener: Arc<TcpListener>,
    connected: Arc<TcpStream>,
    drain: thread::JoinHandle<()>,
    direct: Arc<File>,
    file: Arc<File>,
}

impl World {
    fn new() -> Self {
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

    /// Has everything arrive that an operation could still wait for.
    fn stir(mut self) {
        // Those who have gone do not matter.
        let _done = self.peer.set_nonblocking(true);
        let _done = self.peer.write_all(&vec![9; BYTES]);
        let _done = self.peer.read(&mut vec![0; BYTES]);
        let address = self.listener.local_addr().expect("one");
        let _done = TcpStream::connect(address);
        let _done = self.connected.shutdown(std::net::Shutdown::Both);
        self.drain.join().expect("no panic");
    }

    fn path(&self, name: &str) -> CString {
        let path = self.folder.path().join(name).into_os_string();
        CString::new(path.into_encoded_bytes()).expect("no NUL")
    }
}

/// A socket of this family that nothing was done to.
fn fresh_socket(family: i32) -> OwnedFd {
    // SAFETY: the call has no conditions.
    let made = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(made >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it was just made.
    unsafe { OwnedFd::from_raw_fd(made) }
}

/// Pushes an operation that works on something, and lets go of it.
type Case = fn(&World, Way);

/// Each operation of the layer, by its name, with one that is likely to be in flight.
const CASES: [(&str, Case); 20] = [
    ("Nop", |_, way| let_go(way, Nop)),
    ("Read", |world, way| {
        let (file, buffer) = (Arc::clone(&world.direct), vec![1; BYTES]);
        let_go(
            way,
            Read {
                file,
                buffer,
                offset: 0,
            },
        );
        let (file, buffer) = (Arc::clone(&world.stream), vec![1; BYTES].into_boxed_slice());
        let_go(
            way,
            Read {
                file,
                buffer,
                offset: u64::MAX,
            },
        );
    }),
    ("Write", |world, way| {
        let (file, buffer) = (Arc::clone(&world.direct), vec![1; BYTES]);
        let_go(
            way,
            Write {
                file,
                buffer,
                offset: 0,
            },
        );
        let (file, buffer) = (Arc::clone(&world.stream), vec![1; 4 * BYTES]);
        let_go(
            way,
            Write {
                file,
                buffer,
                offset: u64::MAX,
            },
        );
    }),
    ("Fsync", |world, way| {
        let (file, flags) = (Arc::clone(&world.file), FsyncFlags::empty());
        let_go(way, Fsync { file, flags });
    }),
    ("Recv", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; BYTES]);
        let_go(
            way,
            Recv {
                socket,
                buffer,
                flags: 0,
            },
        );
    }),
    ("Send", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; 4 * BYTES]);
        let_go(
            way,
            Send {
                socket,
                buffer,
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("SendZc", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.connected), vec![1; 16 * BYTES]);
        let_go(
            way,
            SendZc {
                socket,
                buffer,
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("Open", |world, way| {
        let (flags, mode) = (libc::O_RDWR | libc::O_CREAT, 0o600);
        let path = world.path("opened");
        let_go(way, Open { path, flags, mode });
    }),
    ("Close", |world, way| {
        let fd = world.file.try_clone().expect("another").into();
        let_go(way, Close { fd });
    }),
    ("Socket", |_, way| {
        let (domain, kind, protocol) = (libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let_go(
            way,
            Socket {
                domain,
                kind,
                protocol,
            },
        );
    }),
    ("Accept", |world, way| {
        let listener = Arc::clone(&world.listener);
        let_go(way, Accept { listener });
    }),
    ("Connect", |world, way| {
        let address: Address = world.listener.local_addr().expect("one").into();
        let socket = fresh_socket(libc::AF_INET);
        let_go(way, Connect { socket, address });
    }),
    ("Bind", |world, way| {
        let address = Address::unix(world.folder.path().join("bound")).expect("an address");
        let socket = fresh_socket(libc::AF_UNIX);
        let_go(way, Bind { socket, address });
    }),
    ("Listen", |_, way| {
        let socket = fresh_socket(libc::AF_INET);
        let_go(way, Listen { socket, backlog: 5 });
    }),
    ("Shutdown", |world, way| {
        let (socket, how) = (Arc::clone(&world.stream), std::net::Shutdown::Write);
        let_go(way, Shutdown { socket, how });
    }),
    ("Sleep", |_, way| {
        let_go(way, Sleep::new(Duration::from_secs(3600)));
    }),
    ("Poll", |world, way| {
        let (file, events) = (
            Arc::clone(&world.stream),
            u32::from(libc::POLLIN.cast_unsigned()),
        );
        let_go(way, Poll { file, events });
    }),
    ("Read", |world, way| {
        // Large enough to be boxed, and too small for the allocator's attention.
        let file = Arc::clone(&world.stream);
        let_go(
            way,
            Read {
                file,
                buffer: [0; 512],
                offset: u64::MAX,
            },
        );
    }),
    ("CancelRequest", |_, _| {
        let ring = Ring::new(8).expect("a ring");
        let sleep = push(&ring, Sleep::new(Duration::from_secs(3600)));
        // Neither the request nor its answer is waited for.
        drop(sleep.cancel().expect("room"));
        ring.submit().expect("a submission");
        let request = sleep.cancel().expect("room");
        drop((request, sleep));
        settle(&ring);
    }),
    ("Limit", |world, way| {
        let ring = Ring::new(8).expect("a ring");
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; BYTES]);
        let recv = Recv {
            socket,
            buffer,
            flags: 0,
        };
        let limit = if way == Way::DropTicket { 0 } else { 3600 };
        let ticket = ring
            .push_within(recv, Duration::from_secs(limit))
            .expect("room");
        if way != Way::DropTicketUnsubmitted {
            ring.submit().expect("a submission");
        }
        drop(ticket);
        if way != Way::DropTicketAndRing {
            settle(&ring);
        }
    }),
];

#[test]
fn whatever_is_let_go_of_the_kernel_writes_to_nothing_that_was_freed() {
    // What is made once, whenever it is first used.
    let_go(Way::DropTicket, Nop);
    let _ = descriptors::open_descriptors();
    let mut freed = quarantine::freed();
    for (name, case) in CASES {
        for way in WAYS {
            let before = descriptors::open_descriptors();
            let world = World::new();
            case(&world, way);
            world.stir();
            if !way.leaks() {
                let after = descriptors::open_descriptors();
                assert_eq!(after, before, "{name}, {way:?}: descriptors");
            }
        }
        assert_eq!(quarantine::pages_written(), 0, "{name}: pages written to");
        assert!(quarantine::freed() > freed, "{name}: nothing was watched");
        freed = quarantine::freed();
    }
    // Direct reads were seen to go on for 78 ms after their ring was closed.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(quarantine::pages_written(), 0, "pages written to later");
}
