//! Filters: small programs that look at operations before they are carried out.

use super::{check, check_without_ring};
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::operation::OpCode;
use crate::submission::SubmissionQueue;
use crate::sys;

/// A filter for the operations with one code: a classic BPF program, as seccomp has them.
///
/// The program reads the kernel's `struct io_uring_bpf_ctx`: the user data at 0, the code at 8, the
/// entry's flags at 9, the size of what follows at 10, and from 16 on what the operation is about:
/// family, type and protocol of a socket, or flags, mode and resolve of an open. An operation for
/// which it returns 0 completes with `EACCES`.
///
/// C: `struct io_uring_bpf_filter`.
#[derive(Clone, Copy, Debug)]
#[must_use = "a filter does nothing until it is registered"]
pub struct BpfFilter<'p> {
    opcode: OpCode,
    program: &'p [libc::sock_filter],
    flags: u32,
    data_size: u8,
}

impl<'p> BpfFilter<'p> {
    /// A filter for operations with this code.
    pub const fn new(opcode: OpCode, program: &'p [libc::sock_filter]) -> Self {
        Self {
            opcode,
            program,
            flags: 0,
            data_size: 0,
        }
    }

    /// Forbids all operations that have no filter.
    ///
    /// C: `IO_URING_BPF_FILTER_DENY_REST`.
    pub const fn deny_rest(mut self) -> Self {
        self.flags |= sys::IO_URING_BPF_FILTER_DENY_REST;
        self
    }

    /// Says how many bytes the program takes what the operation is about to have: 12 of a socket,
    /// 24 of an open, 0 of most.
    pub const fn data_size(mut self, bytes: u8) -> Self {
        self.data_size = bytes;
        self
    }

    /// Refuses the filter if the kernel takes that to have another size.
    ///
    /// C: `IO_URING_BPF_FILTER_SZ_STRICT`.
    pub const fn strict(mut self) -> Self {
        self.flags |= sys::IO_URING_BPF_FILTER_SZ_STRICT;
        self
    }

    fn to_raw(self) -> sys::io_uring_bpf {
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut raw: sys::io_uring_bpf = unsafe { std::mem::zeroed() };
        raw.cmd_type = sys::IO_URING_BPF_CMD_FILTER.to_le_bytes()[0].into();
        raw.__bindgen_anon_1.filter = sys::io_uring_bpf_filter {
            opcode: self.opcode.0.into(),
            flags: self.flags,
            filter_len: u32::try_from(self.program.len()).unwrap_or(u32::MAX),
            pdu_size: self.data_size,
            resv: [0; 3],
            filter_ptr: self.program.as_ptr() as u64,
            resv2: [0; 5],
        };
        raw
    }

    /// Registers the filter with the calling thread: for all rings that it, and those that it
    /// starts, will make from now on, for good.
    ///
    /// Since Linux 7.0. C: `io_uring_register_bpf_filter_task(3)`.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::Refused`] on an older kernel, or if the program is not valid.
    /// * [`RegisterCause::NotPermitted`] or [`RegisterCause::NotAllowed`] without privileges, unless
    ///   the thread has given up gaining any (`PR_SET_NO_NEW_PRIVS`).
    pub fn apply_to_thread(&self) -> Result<(), RegisterError> {
        let mut raw = self.to_raw();
        // SAFETY: the structure names the program and its length; the kernel checks and copies it.
        let result = unsafe { sys::io_uring_register_bpf_filter_task(&raw mut raw) };
        check_without_ring(result, "register a filter of the thread", NEEDS)
    }
}

/// What a refused filter can be for.
const NEEDS: &str = "Linux 7.0, built with filters, and a program that is valid";

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Registers a filter for the operations of this ring. Further ones for the same code come on
    /// top.
    ///
    /// Since Linux 7.0. C: `io_uring_register_bpf_filter(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel, or if the program is not valid; `EMSGSIZE` if
    /// the sizes differ, with [`strict`](BpfFilter::strict).
    pub fn register_bpf_filter(&mut self, filter: &BpfFilter<'_>) -> Result<(), RegisterError> {
        let mut raw = filter.to_raw();
        // SAFETY: the ring is set up. The structure names the program and its length; the kernel
        // checks and copies it.
        let result =
            unsafe { sys::io_uring_register_bpf_filter(self.ring().as_mut_ptr(), &raw mut raw) };
        check(result, "register a filter", NEEDS).map(drop)
    }
}
