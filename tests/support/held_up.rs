//! A thread of the kernel is held up in the middle of an operation, which is let go of meanwhile.

use std::io;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use lio_uring::owned::{BufferMut, Operation, Ring, StillInFlight, Ticket};

#[path = "skip.rs"]
mod skip;
#[path = "until.rs"]
mod until;

use skip::{Lack, skip};
use until::until;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long the kernel is still held up once the operation has been let go of.
const HELD: Duration = Duration::from_millis(30);
/// The limit of an operation that has one: it passes while the kernel is held up, not before, when
/// Linux 7.2 was seen to stop the operation.
const LIMITED: Duration = Duration::from_millis(500);
/// How long it is if the operation is not let go of.
const HELD_AT_MOST: Duration = Duration::from_secs(4);
/// The size of buffers: some pages, of whatever size.
pub(crate) const BYTES: usize = 256 << 10;
/// What is written over a buffer when it is dropped.
const PATTERN: u8 = 0xa5;

/// Whether this is root, and this file there; prints why a test is skipped if not.
#[track_caller]
pub(crate) fn root_and(file: &str) -> bool {
    let lacks = [Lack::File(file), Lack::Root];
    let lack = lacks.into_iter().find(Lack::is_missing);
    if let Some(lack) = &lack {
        skip(lack);
    }
    lack.is_none()
}

/// Says that the rest of a test is skipped: the kernel is held up in the submission, and so is the
/// thread that would let go of the operation.
#[track_caller]
#[allow(dead_code, reason = "a thread of the ring's is always in time")]
pub(crate) fn skip_since_not_in_time() {
    skip(&Lack::Release(6, 12, &"no worker does it"));
}

/// The memory of a buffer, which is never unmapped, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Memory {
    address: usize,
    gone_on: AtomicBool,
    there: AtomicBool,
    drops: AtomicUsize,
    early_drops: AtomicUsize,
}

/// The one buffer that has such memory. Dropped, it says so, and marks the memory.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Memory>);

impl Memory {
    pub(crate) fn new() -> (Arc<Self>, Watched) {
        // SAFETY: new memory, wherever there is room.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        let memory = Arc::new(Self {
            address: address.expose_provenance(),
            gone_on: AtomicBool::new(false),
            there: AtomicBool::new(false),
            drops: AtomicUsize::new(0),
            early_drops: AtomicUsize::new(0),
        });
        let buffer = Watched(Arc::clone(&memory));
        (memory, buffer)
    }

    /// Where the memory is.
    #[allow(dead_code, reason = "slow files leave it alone")]
    pub(crate) fn address(&self) -> usize {
        self.address
    }

    /// Whether the kernel is no longer held up.
    fn has_gone_on(&self) -> bool {
        self.gone_on.load(Ordering::SeqCst)
    }

    /// Waits until what held the kernel up has been removed, all of it. Whoever used the memory in
    /// between was seen to be held up for good, on Linux 7.2.
    fn wait_until_there(&self) {
        until("stalled", || self.there.load(Ordering::SeqCst));
    }

    fn drops(&self) -> usize {
        self.drops.load(Ordering::SeqCst)
    }

    /// Whether the kernel has gone on, and has written something.
    fn is_written(&self) -> bool {
        let start = ptr::with_exposed_provenance::<u8>(self.address);
        if !self.has_gone_on() {
            return false;
        }
        self.wait_until_there();
        // SAFETY: the memory is there for good; whoever else uses it is the kernel.
        unsafe { start.read_volatile() != 0 }
    }

    /// Whether the memory is as it was when the buffer was dropped.
    fn is_marked(&self) -> bool {
        let start = ptr::with_exposed_provenance::<u8>(self.address);
        (0..BYTES).all(|n| {
            // SAFETY: within the memory.
            let byte = unsafe { start.add(n) };
            // SAFETY: the memory is there for good; whoever else uses it is the kernel.
            unsafe { byte.read_volatile() == PATTERN }
        })
    }
}

impl Watched {
    fn bytes(&self) -> &[u8] {
        self.0.wait_until_there();
        let start = ptr::with_exposed_provenance(self.0.address);
        // SAFETY: the memory is this buffer's alone, zero at first, and there for good.
        unsafe { slice::from_raw_parts(start, BYTES) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::SeqCst);
        if self.0.has_gone_on() {
            self.0.wait_until_there();
            let start = ptr::with_exposed_provenance_mut::<u8>(self.0.address);
            // SAFETY: the memory is this buffer's alone, and there for good.
            unsafe { start.write_bytes(PATTERN, BYTES) };
        } else {
            // Writing could be held up as well.
            self.0.early_drops.fetch_add(1, Ordering::SeqCst);
        }
    }
}

// SAFETY: the memory is there for good, and used by this buffer alone.
unsafe impl BufferMut for Watched {
    fn room(&mut self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.0.address)
    }

    fn capacity(&self) -> usize {
        BYTES
    }

    unsafe fn filled(&mut self, _: usize) {}
}

/// What is done while the kernel is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Wait,
    WaitWithLimit,
    DropTicket,
    ForgetTicket,
    DropRing,
    ForgetTicketAndDropRing,
    Close,
}

pub(crate) const WAYS: [Way; 7] = [
    Way::Wait,
    Way::WaitWithLimit,
    Way::DropTicket,
    Way::ForgetTicket,
    Way::DropRing,
    Way::ForgetTicketAndDropRing,
    Way::Close,
];

impl Way {
    /// Whether the buffer is never dropped: nobody is left who could, or could know when.
    pub(crate) fn leaks(self) -> bool {
        matches!(
            self,
            Self::ForgetTicket | Self::ForgetTicketAndDropRing | Self::Close
        )
    }
}

/// What holds the kernel up.
pub(crate) trait Obstacle {
    /// Waits until the kernel is held up.
    fn wait(&self) -> bool;

    /// Lets the kernel go on.
    fn remove(&self);
}

/// What the thread of the ring needs.
pub(crate) struct Scene<'a> {
    way: Way,
    memory: &'a Memory,
    /// What is read begins so.
    begins: u8,
    /// Told when the kernel is held up.
    held_up: Receiver<()>,
    /// Tells that the operation was let go of.
    let_go: Sender<()>,
}

fn push<O: Operation + 'static>(way: Way, ring: &Ring, operation: O) -> Ticket<&Ring, O> {
    let pushed = match way {
        Way::WaitWithLimit => ring.push_within(operation, LIMITED),
        _ => ring.push(operation),
    };
    pushed.expect("room")
}

#[track_caller]
fn assert_stopped(way: Way, error: &io::Error) {
    assert_eq!(way, Way::WaitWithLimit, "{error}");
    let stopped = [libc::ECANCELED, libc::EINTR].map(Some);
    assert!(stopped.contains(&error.raw_os_error()), "{error}");
}

fn forget<T>(value: T) {
    #[expect(clippy::mem_forget, reason = "that is what is tested")]
    std::mem::forget(value);
}

impl Scene<'_> {
    fn let_go(&self) {
        self.let_go.send(()).expect("the test waits");
    }

    /// Pushes a read into the buffer, and lets go of it when the kernel is held up in it.
    pub(crate) fn play<O>(&self, ring: Ring, buffer: Watched, read: impl Fn(Watched) -> O)
    where
        O: Operation<Output = (io::Result<usize>, Watched)> + 'static,
    {
        let (way, memory) = (self.way, self.memory);
        let mut ticket = push(way, &ring, read(buffer));
        ring.submit().expect("a submission");
        let start = Instant::now();
        loop {
            // Before a worker is given the read, the thread itself may have to try again.
            ring.submit_and_wait(0).expect("a submission");
            if self.held_up.try_recv().is_ok() {
                break;
            }
            ticket = match ticket.try_take() {
                Ok((count, buffer)) => {
                    // A worker that comes late finds it stopped.
                    assert_stopped(way, &count.expect_err("nothing held it up"));
                    push(way, &ring, read(buffer))
                }
                Err(ticket) => ticket,
            };
            assert!(start.elapsed() < LIMIT, "stalled");
            thread::sleep(Duration::from_millis(1));
        }
        match way {
            Way::Wait | Way::WaitWithLimit => {
                self.let_go();
                let (count, buffer) = ticket.wait().expect("a wait");
                assert!(memory.has_gone_on(), "{way:?}: the kernel still writes");
                match count {
                    Ok(count) => {
                        assert!(count > 0);
                        assert_eq!(buffer.bytes()[0], self.begins, "not what was read");
                        assert_eq!(buffer.bytes()[count..].iter().max(), Some(&0));
                    }
                    Err(error) => assert_stopped(way, &error),
                }
            }
            Way::DropTicket => {
                drop(ticket);
                ring.submit().expect("a submission");
                if !memory.has_gone_on() {
                    assert_eq!(ring.operations(), 1, "its slot is the kernel's");
                }
                self.let_go();
                while ring.operations() > 0 {
                    ring.submit_and_wait(1).expect("a submission");
                }
                assert_eq!(memory.drops(), 1, "as soon as it has ended");
            }
            Way::ForgetTicket => {
                forget(ticket);
                self.let_go();
                until("stalled", || memory.is_written());
                for _ in 0..20 {
                    ring.submit().expect("a submission");
                    thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(ring.operations(), 1, "its slot is not used again");
            }
            Way::DropRing | Way::ForgetTicketAndDropRing => {
                if way == Way::DropRing {
                    drop(ticket);
                } else {
                    forget(ticket);
                }
                self.let_go();
                drop(ring);
                assert!(memory.has_gone_on(), "{way:?}: the kernel still writes");
            }
            Way::Close => {
                drop(ticket);
                let closed = ring.close(Duration::from_millis(5));
                assert_eq!(closed, Err(StillInFlight { operations: 1 }));
                self.let_go();
                until("stalled", || memory.is_written());
            }
        }
    }
}

/// Whether the operation was let go of while the kernel was held up.
pub(crate) type InTime = bool;

/// Plays one way on another thread, and lets the kernel go on some time after it has let go.
pub(crate) fn play(
    way: Way,
    (memory, begins): (&Memory, u8),
    obstacle: &impl Obstacle,
    body: impl FnOnce(Scene<'_>) + Send,
) -> InTime {
    let (tell_held_up, held_up) = mpsc::channel();
    let (let_go, told) = mpsc::channel();
    let in_time = thread::scope(|scope| {
        let scene = Scene {
            way,
            memory,
            begins,
            held_up,
            let_go,
        };
        let ring = scope.spawn(move || body(scene));
        let was_held_up = obstacle.wait();
        // If the other thread has panicked, its join says so.
        let _told = tell_held_up.send(());
        let in_time = told.recv_timeout(HELD_AT_MOST).is_ok();
        if way == Way::WaitWithLimit {
            thread::sleep(LIMITED);
        }
        thread::sleep(HELD);
        let drops = memory.drops();
        memory.gone_on.store(true, Ordering::SeqCst);
        obstacle.remove();
        memory.there.store(true, Ordering::SeqCst);
        ring.join().expect("no panic");
        assert!(was_held_up, "{way:?}: the kernel did not come there");
        assert_eq!(drops, 0, "{way:?}: dropped while the kernel writes to it");
        in_time
    });
    // What the kernel still does has time to show.
    thread::sleep(Duration::from_millis(10));
    assert_eq!(memory.early_drops.load(Ordering::SeqCst), 0, "{way:?}");
    assert_eq!(memory.drops(), usize::from(!way.leaks()), "{way:?}: drops");
    if !way.leaks() {
        assert!(memory.is_marked(), "{way:?}: written to after the drop");
    }
    in_time
}
