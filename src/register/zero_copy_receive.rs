//! Receiving without a copy: a network device's queue whose data goes straight into memory of the
//! program's.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use super::buffers::explain_memlock;
use super::check;
use crate::error::{RegisterCause, RegisterError};
use crate::kind::{OneThread, SqeSize, Threads};
#[cfg(doc)]
use crate::operation::RecvZc;
use crate::params::{HUGE_PAGE, MAP_HUGE, Mapping, page_size};
#[cfg(doc)]
use crate::query::{QueryZcrx, ZcrxFeatures};
use crate::ring::Ring;
use crate::submission::SubmissionQueue;
use crate::sys;

mod area;
mod refill;

pub use area::{ReceiveArea, Received};
use refill::{Full, RefillQueue};

/// What a [`ZeroCopyReceive`] is to be made of.
///
/// C: `struct io_uring_zcrx_ifq_reg`.
#[derive(Clone, Copy, Debug)]
#[must_use = "it registers something when it is given to a queue"]
pub struct ZeroCopyReceiveParams<'fd> {
    interface: u32,
    queue: u32,
    flags: u32,
    bytes: usize,
    entries: u32,
    buffer_len: u32,
    huge: bool,
    dma_buf: Option<BorrowedFd<'fd>>,
}

impl<'fd> ZeroCopyReceiveParams<'fd> {
    /// For a receive queue of a network device, with memory of so many bytes to receive into and
    /// room for so many buffers that are given back.
    ///
    /// The interface's index is that of `if_nametoindex(3)`. The queue is the ring's alone until the
    /// ring is closed; steering flows to it, and splitting headers from data, is set up by other
    /// means (`ethtool`).
    ///
    /// The length is in whole pages. The kernel rounds the number of buffers up to a power of two;
    /// there can be 32768.
    pub const fn of_device(interface: u32, queue: u32, bytes: usize, entries: u32) -> Self {
        Self {
            interface,
            queue,
            flags: 0,
            bytes,
            entries,
            buffer_len: 0,
            huge: false,
            dma_buf: None,
        }
    }

    /// For no device: the kernel copies the data of any TCP connection into the memory.
    ///
    /// The kernel takes buffers back when it is told to: [`ZeroCopyReceive::flush`].
    ///
    /// Since Linux 7.1. C: `ZCRX_REG_NODEV`.
    pub const fn without_device(bytes: usize, entries: u32) -> Self {
        Self {
            flags: sys::ZCRX_REG_NODEV,
            ..Self::of_device(0, 0, bytes, entries)
        }
    }

    /// Asks the device for buffers of this length, a power of two from the size of a page on,
    /// instead of pages.
    ///
    /// They must be contiguous in the computer's memory, as in [`huge_pages`](Self::huge_pages).
    ///
    /// Since Linux 7.0; a kernel that can do so says [`ZcrxFeatures::RX_PAGE_SIZE`]. Without a device
    /// there are only pages.
    pub const fn buffer_len(mut self, bytes: u32) -> Self {
        self.buffer_len = bytes;
        self
    }

    /// Takes pages of 2 MiB that the system has set aside, and rounds the length up to them.
    pub const fn huge_pages(mut self) -> Self {
        self.huge = true;
        self
    }

    /// Receives into a dma-buf instead, memory of another device for instance. The length is the
    /// whole of it.
    ///
    /// It needs a network device, which copies nothing: data that came another way than through the
    /// queue cannot be received.
    ///
    /// Since Linux 6.16. C: `IORING_ZCRX_AREA_DMABUF`.
    pub const fn dma_buf(mut self, dma_buf: BorrowedFd<'fd>) -> Self {
        self.dma_buf = Some(dma_buf);
        self
    }
}

/// A network device's queue, or the kernel in its place, that puts what TCP connections receive into
/// one stretch of memory.
///
/// [`RecvZc`] names it by its [`id`](Self::id). Each completion brings a piece of data, which
/// [`take`](ReceiveArea::take) finds in the [`area`](Self::area), and which goes back with
/// [`give_back`](Self::give_back) when the program is done with it.
///
/// ```no_run
/// # use std::os::fd::AsRawFd;
/// use lio_uring::operation::RecvZc;
/// use lio_uring::{IoUring, ZeroCopyReceiveParams};
///
/// # fn example(socket: std::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = IoUring::builder().defer_taskrun().cqe32().build()?;
/// let params = ZeroCopyReceiveParams::of_device(2, 7, 64 << 20, 4096);
/// let receive = ring.submission().register_zero_copy_receive(params)?;
/// let recv = RecvZc { sockfd: socket.as_raw_fd(), zcrx_ifq_idx: receive.id(), len: 0, flags: 0 };
/// // SAFETY: the socket is open until the last completion.
/// unsafe { ring.push(&recv, 1) }?;
/// ring.submit()?;
/// let completion = ring.completion().next()?;
/// // SAFETY: the completion is of that operation, and taken once.
/// if let Some(data) = unsafe { receive.area().take(&completion) } {
///     println!("{} bytes: {:?}", data.len(), data.bytes());
///     receive.give_back(data).expect("room for as many as there are buffers");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Running out
///
/// Each piece keeps a whole buffer, a page as a rule, from the others until it is given back. When
/// there is none left, a device drops what comes in, and TCP sends it again later. Data that has to
/// be copied stays in the socket, and [`RecvZc`] ends with `ENOMEM`; it is pushed again when room has
/// been given back.
///
/// # Its life
///
/// There is no taking it back: the registration lasts until the ring is closed. This value owns the
/// memory and keeps the ring open, also when both queues are dropped before it, so that data that was
/// taken can be read for as long. Dropping it unmaps the memory here. The kernel has its pages pinned
/// and keeps them until the ring is closed (or, if it was [exported](Self::export), until nothing
/// refers to it): operations that are under way go on, into memory that nobody sees, and run out of
/// it.
///
/// Forgetting it leaves ring and memory as they are, to the end of the process. A child process that
/// was forked has neither; there it may be dropped, which does nothing to the parent's.
///
/// It stays on the thread of its ring:
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<lio_uring::ZeroCopyReceive>();
/// ```
///
/// From [`SubmissionQueue::register_zero_copy_receive`].
pub struct ZeroCopyReceive {
    area: ReceiveArea,
    refill: RefillQueue,
    id: u32,
    ring: Arc<Ring>,
    _thread: PhantomData<<OneThread as Threads>::Marker>,
}

const ACTION: &str = "register a receive without copies";
const NEEDS: &str = "Linux 6.15 (7.1 without a device), a ring with `defer_taskrun` and \
     completions of 32 bytes, memory in whole pages, 1 to 32768 entries, and a device that can do it";
const IMPORT_NEEDS: &str =
    "Linux 6.19, and a ring with `defer_taskrun` and completions of 32 bytes";

/// Turns a result into ours, as [`check`] does, with what is peculiar to these calls.
fn check_receive(
    result: i32,
    action: &'static str,
    needs: &'static str,
) -> Result<(), RegisterError> {
    check(result, action, needs)
        .map(drop)
        .map_err(|error| match error.errno {
            libc::EOPNOTSUPP | libc::ERANGE => RegisterError {
                cause: RegisterCause::Refused { needs },
                ..error
            },
            _ => error,
        })
}

/// Maps memory. What the kernel then says of it is another matter.
fn map(bytes: usize, flags: i32) -> Result<Mapping, RegisterError> {
    Mapping::anonymous(bytes, libc::MAP_PRIVATE | flags)
        .and_then(Mapping::without_children)
        .map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
            check(-errno, ACTION, NEEDS).expect_err("the result is negative")
        })
}

/// Maps what is received into, and returns its length. A dma-buf is not mapped.
fn map_area(params: &ZeroCopyReceiveParams<'_>) -> Result<(Option<Mapping>, usize), RegisterError> {
    let bytes = params.bytes;
    if params.dma_buf.is_some() {
        return Ok((None, bytes));
    }
    if params.huge {
        let bytes = bytes.checked_next_multiple_of(HUGE_PAGE).unwrap_or(bytes);
        return Ok((Some(map(bytes, MAP_HUGE)?), bytes));
    }
    // Nothing cannot be mapped, and it is the kernel that refuses it.
    Ok((Some(map(bytes.max(1), 0)?), bytes))
}

/// A number as C's structures have it.
fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A registration with nothing in it. Zero is what fields without a meaning have to be.
fn empty() -> sys::io_uring_zcrx_ifq_reg {
    // SAFETY: the structure is made of integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

impl<S: SqeSize> SubmissionQueue<OneThread, S> {
    /// Registers a network device's queue, or none, and memory to receive into.
    ///
    /// The ring has to be made with [`defer_taskrun`](crate::IoUringParams::defer_taskrun) and with
    /// completions of 32 bytes: [`cqe32`](crate::IoUringParams::cqe32) or
    /// [`cqe_mixed`](crate::IoUringParams::cqe_mixed). The program needs the capability
    /// `CAP_NET_ADMIN`. [`QueryZcrx`] says what the kernel knows of it.
    ///
    /// Since Linux 6.15. C: `io_uring_register_ifq(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::NotPermitted`] without the capability.
    /// * [`RegisterCause::Refused`] if the ring is of another kind, if the memory is not in whole
    ///   pages, with numbers or options that the kernel does not take, and if the device cannot do
    ///   it: `EOPNOTSUPP`, as the loopback device says.
    /// * [`RegisterCause::BadMemory`] for no memory at all, or, before Linux 7.2, for more than 1 GiB.
    /// * [`RegisterCause::AlreadyRegistered`] if the device's queue is in use.
    /// * [`RegisterCause::Memlock`] if a user may not lock that much.
    /// * `ENODEV` if there is no such interface, `ENOMEM` if there is not so much memory.
    pub fn register_zero_copy_receive(
        &mut self,
        params: ZeroCopyReceiveParams<'_>,
    ) -> Result<ZeroCopyReceive, RegisterError> {
        let page = page_size();
        let Some(refill_bytes) = RefillQueue::bytes(params.entries, page) else {
            return Err(check(-libc::EINVAL, ACTION, NEEDS).expect_err("it is negative"));
        };
        let refill = map(refill_bytes, 0)?;
        let (memory, bytes) = map_area(&params)?;
        let address = memory
            .as_ref()
            .map_or(ptr::null_mut(), |memory| memory.address().as_ptr());
        let mut area = sys::io_uring_zcrx_area_reg {
            addr: address as u64,
            len: wide(bytes),
            rq_area_token: 0,
            flags: params.dma_buf.map_or(0, |_| sys::IORING_ZCRX_AREA_DMABUF),
            dmabuf_fd: params
                .dma_buf
                .map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
            __resv2: [0; 2],
        };
        let mut region = sys::io_uring_region_desc {
            user_addr: refill.address().as_ptr() as u64,
            size: wide(refill_bytes),
            flags: sys::IORING_MEM_REGION_TYPE_USER,
            id: 0,
            mmap_offset: 0,
            __resv: [0; 4],
        };
        let mut argument = sys::io_uring_zcrx_ifq_reg {
            if_idx: params.interface,
            if_rxq: params.queue,
            rq_entries: params.entries,
            flags: params.flags,
            area_ptr: (&raw mut area) as u64,
            region_ptr: (&raw mut region) as u64,
            rx_buf_len: params.buffer_len,
            ..empty()
        };
        // SAFETY: the ring is set up, and the structures live until the call returns. The memory
        // that they name is made of mappings of its own, whose pages the kernel keeps as long as it
        // needs.
        let result =
            unsafe { sys::io_uring_register_ifq(self.ring().as_mut_ptr(), &raw mut argument) };
        check_receive(result, ACTION, NEEDS).map_err(|error| {
            let pinned = [(address, bytes), (refill.address().as_ptr(), refill_bytes)];
            let vectors = pinned.map(|(address, bytes)| libc::iovec {
                iov_base: address.cast(),
                iov_len: bytes,
            });
            explain_memlock(error, &vectors)
        })?;
        // SAFETY: the kernel has registered the memory, which is new, with these numbers.
        let refill = unsafe { RefillQueue::new(refill, argument.rq_entries, &argument.offsets) };
        Ok(ZeroCopyReceive {
            area: ReceiveArea::new(memory, area.len, area.rq_area_token),
            refill,
            id: argument.zcrx_id,
            ring: Arc::clone(self.ring()),
            _thread: PhantomData,
        })
    }

    /// Registers what another ring has [exported](ZeroCopyReceive::export), and returns the number
    /// that [`RecvZc`] names it by on this ring.
    ///
    /// Both rings receive into the same memory. What this one receives is taken from the same
    /// [`area`](ZeroCopyReceive::area), and given back in the same way. The ring has to be of the
    /// same kind; it has its share until it is closed.
    ///
    /// Since Linux 6.19. C: `io_uring_register_ifq(3)`, `ZCRX_REG_IMPORT`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::BadDescriptor`] if the descriptor is another one.
    /// * [`RegisterCause::NotPermitted`] without the capability `CAP_NET_ADMIN`.
    /// * [`RegisterCause::Refused`] if the ring is of another kind, or on an older kernel.
    pub fn import_zero_copy_receive(
        &mut self,
        exported: BorrowedFd<'_>,
    ) -> Result<u32, RegisterError> {
        let mut argument = sys::io_uring_zcrx_ifq_reg {
            if_idx: exported.as_raw_fd().cast_unsigned(),
            flags: sys::ZCRX_REG_IMPORT,
            ..empty()
        };
        // SAFETY: the ring is set up, and the structure lives until the call returns.
        let result =
            unsafe { sys::io_uring_register_ifq(self.ring().as_mut_ptr(), &raw mut argument) };
        check_receive(result, ACTION, IMPORT_NEEDS).map_err(|error| match error.errno {
            // Older kernels miss what an import does not have.
            libc::EFAULT => RegisterError {
                cause: RegisterCause::Refused {
                    needs: IMPORT_NEEDS,
                },
                ..error
            },
            _ => error,
        })?;
        Ok(argument.zcrx_id)
    }
}

impl ZeroCopyReceive {
    /// The number that [`RecvZc`] names it by.
    #[inline]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The memory, to take from it what completions bring.
    #[inline]
    pub fn area(&self) -> &ReceiveArea {
        &self.area
    }

    /// Gives the room of a piece back, to be received into again.
    ///
    /// One store: a network device looks at the queue when it needs buffers. Without a device
    /// nothing does before [`flush`](Self::flush).
    ///
    /// C: `struct io_uring_zcrx_rqe`.
    ///
    /// # Errors
    ///
    /// The piece itself if the queue is full: the kernel has taken none of the last
    /// [`capacity`](Self::capacity) of them, and [`flush`](Self::flush) has it do so.
    ///
    /// # Panics
    ///
    /// If the piece is another registration's.
    #[inline]
    pub fn give_back<'a>(&'a self, received: Received<'a>) -> Result<(), Received<'a>> {
        assert!(
            ptr::eq(received.area(), self.area()),
            "the piece is of another area"
        );
        self.refill
            .push(received.place(), received.len())
            .map_err(|Full| received)
    }

    /// How many pieces that were given back the kernel has not taken yet.
    #[inline]
    pub fn waiting(&self) -> u32 {
        self.refill.len()
    }

    /// How many pieces can wait for the kernel to take them.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.refill.capacity()
    }

    /// Has the kernel take all that was given back.
    ///
    /// Since Linux 6.19. C: `io_uring_register_zcrx_ctrl(3)`, `ZCRX_CTRL_FLUSH_RQ`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn flush(&self) -> Result<(), RegisterError> {
        self.control(
            sys::ZCRX_CTRL_FLUSH_RQ,
            "flush a refill queue",
            "Linux 6.19",
        )
        .map(drop)
    }

    /// A descriptor of the registration, for
    /// [`import_zero_copy_receive`](SubmissionQueue::import_zero_copy_receive) by other rings.
    ///
    /// While it is open, or imported anywhere, the kernel keeps the queue and the memory's pages.
    ///
    /// Since Linux 6.19. C: `io_uring_register_zcrx_ctrl(3)`, `ZCRX_CTRL_EXPORT`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel; `EMFILE` and `ENFILE` of `open(2)`.
    pub fn export(&self) -> Result<OwnedFd, RegisterError> {
        let control = self.control(
            sys::ZCRX_CTRL_EXPORT,
            "export a receive without copies",
            "Linux 6.19",
        )?;
        // SAFETY: all fields of the union are integers, and the kernel has written this one.
        let exported = unsafe { control.__bindgen_anon_1.zc_export };
        // SAFETY: the kernel has just opened the descriptor for this call.
        Ok(unsafe { OwnedFd::from_raw_fd(exported.zcrx_fd.cast_signed()) })
    }

    fn control(
        &self,
        op: u32,
        action: &'static str,
        needs: &'static str,
    ) -> Result<sys::zcrx_ctrl, RegisterError> {
        let mut control = sys::zcrx_ctrl {
            zcrx_id: self.id,
            op,
            __resv: [0; 2],
            __bindgen_anon_1: sys::zcrx_ctrl__bindgen_ty_1 {
                zc_flush: sys::zcrx_ctrl_flush_rq { __resv: [0; 6] },
            },
        };
        // SAFETY: the ring is set up, this is its thread, and the structure lives until the call
        // returns.
        let result =
            unsafe { sys::io_uring_register_zcrx_ctrl(self.ring.as_mut_ptr(), &raw mut control) };
        check_receive(result, action, needs)?;
        Ok(control)
    }
}

impl fmt::Debug for ZeroCopyReceive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZeroCopyReceive")
            .field("id", &self.id)
            .field("area", &self.area)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
