//! What the running kernel says of io_uring itself, asked without a ring.

use std::io;

use crate::entry::SqeFlags;
use crate::features::Features;
use crate::params::SetupFlags;
use crate::sys;

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

/// What the kernel knows of receiving without a copy.
///
/// C: `struct io_uring_query_zcrx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryZcrx {
    /// `ZCRX_REG_*`.
    pub register_flags: u64,
    /// `IORING_ZCRX_AREA_*`.
    pub area_flags: u64,
    /// How many commands there are, `ZCRX_CTRL_*`, from 0 on.
    pub controls: u32,
    /// `ZCRX_FEATURE_*`.
    pub features: u32,
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
            register_flags: raw.register_flags,
            area_flags: raw.area_flags,
            controls: raw.nr_ctrl_opcodes,
            features: raw.features,
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
