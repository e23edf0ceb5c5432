//! What the running kernel says of io_uring itself, asked without a ring.

use std::io;

use bitflags::bitflags;

use crate::entry::SqeFlags;
use crate::features::Features;
use crate::params::SetupFlags;
use crate::sys;
#[cfg(doc)]
use crate::{SubmissionQueue, ZeroCopyReceiveParams};

/// Asks one question.
///
/// # Safety
///
/// `A` is the structure that C has for the answer to `question`: made of integers alone.
unsafe fn ask<A>(question: u32) -> io::Result<A> {
    // SAFETY: the caller's promise: zero is a value of each integer.
    let mut answer: A = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of::<A>()).expect("the size is a few dozen bytes");
    let mut query = sys::io_uring_query_hdr {
        next_entry: 0,
        query_data: (&raw mut answer) as u64,
        query_op: question,
        size,
        result: 0,
        __resv: [0; 3],
    };
    // SAFETY: the query points to the answer's room, whose size it gives. The kernel writes no more
    // than that, and leaves what it does not know.
    let result = unsafe { sys::io_uring_register_query(&raw mut query) };
    // The call succeeds even for a question that the kernel does not understand.
    match result.min(query.result) {
        0.. => Ok(answer),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// The flags of a 64-bit mask that fit into the 32 bits that they have so far.
#[expect(
    clippy::cast_possible_truncation,
    reason = "this library knows no flag above"
)]
fn low(mask: u64) -> u32 {
    mask as u32
}

/// What the kernel knows: operations, registrations and flags.
///
/// ```
/// use lio_uring::{QueryOpcodes, SetupFlags};
///
/// match QueryOpcodes::ask() {
///     Ok(known) => println!("SQ_REWIND: {}", known.setup_flags.contains(SetupFlags::SQ_REWIND)),
///     Err(error) => println!("before Linux 6.18: {error}"),
/// }
/// ```
///
/// C: `struct io_uring_query_opcode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryOpcodes {
    /// How many codes of operations there are, from 0 on. Some may be left out of the build;
    /// [`Probe`](crate::Probe) tells.
    pub operations: u32,
    /// How many codes of registrations there are, from 0 on.
    pub registrations: u32,
    /// How many questions there are.
    pub queries: u32,
    /// The features that rings report.
    pub features: Features,
    /// The flags that a ring can be made with.
    pub setup_flags: SetupFlags,
    /// `IORING_ENTER_*`.
    pub enter_flags: u64,
    /// The flags that entries can have.
    pub sqe_flags: SqeFlags,
}

impl QueryOpcodes {
    /// Asks the kernel.
    ///
    /// Since Linux 6.18. C: `io_uring_register_query(3)`, `IO_URING_QUERY_OPCODES`.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `EBADF` on a kernel that cannot tell.
    pub fn ask() -> io::Result<Self> {
        // SAFETY: the structure is that of the question.
        let raw: sys::io_uring_query_opcode = unsafe { ask(sys::IO_URING_QUERY_OPCODES) }?;
        Ok(Self {
            operations: raw.nr_request_opcodes,
            registrations: raw.nr_register_opcodes,
            queries: raw.nr_query_opcodes,
            features: Features::from_bits_retain(low(raw.feature_flags)),
            setup_flags: SetupFlags::from_bits_retain(low(raw.ring_setup_flags)),
            enter_flags: raw.enter_flags,
            sqe_flags: SqeFlags::from_bits_retain(raw.sqe_flags.to_le_bytes()[0]),
        })
    }
}

bitflags! {
    /// How receiving without a copy can be registered.
    ///
    /// C: `enum zcrx_reg_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxRegisterFlags: u64 {
        /// As another ring has it: [`SubmissionQueue::import_zero_copy_receive`]. Since Linux 6.19.
        const IMPORT = sys::ZCRX_REG_IMPORT as u64;
        /// Without a network device: [`ZeroCopyReceiveParams::without_device`]. Since Linux 7.1.
        const NODEV = sys::ZCRX_REG_NODEV as u64;

        const _ = !0;
    }
}

bitflags! {
    /// What data can be received into.
    ///
    /// C: `enum io_uring_zcrx_area_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxAreaFlags: u64 {
        /// A dma-buf: [`ZeroCopyReceiveParams::dma_buf`]. Since Linux 6.16.
        const DMABUF = sys::IORING_ZCRX_AREA_DMABUF as u64;

        const _ = !0;
    }
}

bitflags! {
    /// What else the kernel can do for receiving without a copy.
    ///
    /// C: `enum zcrx_features`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ZcrxFeatures: u32 {
        /// Buffers of more than a page: [`ZeroCopyReceiveParams::buffer_len`]. Since Linux 7.0.
        const RX_PAGE_SIZE = sys::ZCRX_FEATURE_RX_PAGE_SIZE;

        const _ = !0;
    }
}

/// What the kernel knows of receiving without a copy.
///
/// C: `struct io_uring_query_zcrx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryZcrx {
    /// How it can be registered.
    pub register_flags: ZcrxRegisterFlags,
    /// What data can be received into.
    pub area_flags: ZcrxAreaFlags,
    /// How many commands there are, `ZCRX_CTRL_*`, from 0 on.
    pub controls: u32,
    /// What else it can do.
    pub features: ZcrxFeatures,
    /// The size of a refill queue's header in bytes.
    pub refill_header_size: u32,
    /// The alignment of that header in bytes.
    pub refill_header_alignment: u32,
}

impl QueryZcrx {
    /// Asks the kernel.
    ///
    /// Since Linux 6.19. C: `io_uring_register_query(3)`, `IO_URING_QUERY_ZCRX`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` on a kernel that does not know the question; `EINVAL` or `EBADF` on one that knows
    /// none.
    pub fn ask() -> io::Result<Self> {
        // SAFETY: the structure is that of the question.
        let raw: sys::io_uring_query_zcrx = unsafe { ask(sys::IO_URING_QUERY_ZCRX) }?;
        Ok(Self {
            register_flags: ZcrxRegisterFlags::from_bits_retain(raw.register_flags),
            area_flags: ZcrxAreaFlags::from_bits_retain(raw.area_flags),
            controls: raw.nr_ctrl_opcodes,
            features: ZcrxFeatures::from_bits_retain(raw.features),
            refill_header_size: raw.rq_hdr_size,
            refill_header_alignment: raw.rq_hdr_alignment,
        })
    }
}

/// The header of the memory that the queues lie in.
///
/// C: `struct io_uring_query_scq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryScq {
    /// Its size in bytes.
    pub header_size: u64,
    /// Its alignment in bytes.
    pub header_alignment: u64,
}

impl QueryScq {
    /// Asks the kernel.
    ///
    /// Since Linux 6.19. C: `io_uring_register_query(3)`, `IO_URING_QUERY_SCQ`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` on a kernel that does not know the question; `EINVAL` or `EBADF` on one that knows
    /// none.
    pub fn ask() -> io::Result<Self> {
        // SAFETY: the structure is that of the question.
        let raw: sys::io_uring_query_scq = unsafe { ask(sys::IO_URING_QUERY_SCQ) }?;
        Ok(Self {
            header_size: raw.hdr_size,
            header_alignment: raw.hdr_alignment,
        })
    }
}
