//! Which operations the running kernel has.

use std::fmt;
use std::io;

use crate::error::SetupError;
use crate::operation::{OpCode, Operation};
use crate::params::IoUringParams;
use crate::ring::Ring;
use crate::sys;

/// Which operations the running kernel has, as it says itself.
///
/// A version number would not tell: distributions bring features to old kernels and leave others
/// out of new ones.
///
/// ```
/// use lio_uring::{Probe, operation::{OpCode, Read}};
///
/// # fn main() -> std::io::Result<()> {
/// let probe = Probe::new()?;
/// assert!(probe.supports(OpCode::NOP));
/// if !probe.has::<Read>() {
///     println!("before Linux 5.6: use Readv");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Probe {
    /// A bit for each code.
    supported: [u64; 4],
    last: u8,
}

/// The kernel's answer, with room for all codes that there can be.
#[repr(C)]
struct Answer {
    head: sys::io_uring_probe,
    operations: [sys::io_uring_probe_op; 256],
}

impl Probe {
    /// Asks the kernel, by way of a ring made for the purpose.
    ///
    /// Since Linux 5.6. C: `io_uring_get_probe(3)`.
    ///
    /// # Errors
    ///
    /// Those of making a ring; `EINVAL` on a kernel that cannot tell.
    pub fn new() -> io::Result<Self> {
        let (_cq, mut sq) = crate::IoUring::with_params(IoUringParams::default().entries(2))
            .map_err(|error: SetupError| io::Error::from(error))?;
        sq.probe()
    }

    pub(crate) fn of(ring: &Ring) -> io::Result<Self> {
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut answer: Answer = unsafe { std::mem::zeroed() };
        // SAFETY: the ring is set up, and behind the head is room for 256 operations.
        let result = unsafe {
            sys::io_uring_register_probe(ring.as_mut_ptr(), (&raw mut answer).cast(), 256)
        };
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let mut supported = [0; 4];
        for operation in &answer.operations[..usize::from(answer.head.ops_len)] {
            if u32::from(operation.flags) & sys::IO_URING_OP_SUPPORTED != 0 {
                supported[usize::from(operation.op) / 64] |= 1 << (operation.op % 64);
            }
        }
        Ok(Self {
            supported,
            last: answer.head.last_op,
        })
    }

    /// Whether the kernel has the operation with this code.
    ///
    /// C: `io_uring_opcode_supported(3)`.
    pub fn supports(&self, code: OpCode) -> bool {
        self.supported[usize::from(code.0) / 64] & 1 << (code.0 % 64) != 0
    }

    /// Whether the kernel has the operation `O`.
    pub fn has<O: Operation>(&self) -> bool {
        self.supports(O::OPCODE)
    }

    /// The highest code that the kernel has, which may be one that this library does not know.
    pub fn last(&self) -> OpCode {
        OpCode(self.last)
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = (0..=self.last)
            .map(OpCode)
            .filter(|code| self.supports(*code));
        f.debug_set().entries(codes).finish()
    }
}
