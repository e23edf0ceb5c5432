//! Restrictions: what a ring, or all rings of a thread, may do.

use std::fmt;

use super::{RegisterCode, check, check_without_ring};
#[cfg(doc)]
use crate::disabled::Disabled;
use crate::entry::SqeFlags;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::operation::OpCode;
use crate::ring::Ring;
use crate::sys;

/// What a restricted ring may do. Everything else is forbidden.
///
/// A forbidden operation completes with `EACCES`, and a forbidden registration fails with
/// [`RegisterCause::NotAllowed`].
///
/// ```
/// use lio_uring::operation::{Nop, OpCode};
/// use lio_uring::{IoUringParams, Restrictions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = IoUringParams::default().entries(8).disabled()?;
/// ring.restrict(&Restrictions::new().allow_operation(OpCode::READ))?;
/// let (mut cq, mut sq) = ring.enable()?;
/// // SAFETY: a NOP points to nothing.
/// unsafe { sq.push(&Nop, 1) }?;
/// sq.submit()?;
/// assert_eq!(cq.next()?.raw_result(), -libc::EACCES);
/// # Ok(())
/// # }
/// ```
///
/// C: `struct io_uring_restriction`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "restrictions bind nothing by themselves"]
pub struct Restrictions {
    /// A bit for each code of an operation.
    operations: [u64; 4],
    /// A bit for each code of a registration.
    registrations: [u64; 4],
    allowed: SqeFlags,
    required: SqeFlags,
}

/// As many restrictions as there can be: one for each code, and two for flags.
const MOST: usize = 256 + 256 + 2;

impl Restrictions {
    /// Allows nothing at all.
    pub const fn new() -> Self {
        Self {
            operations: [0; 4],
            registrations: [0; 4],
            allowed: SqeFlags::empty(),
            required: SqeFlags::empty(),
        }
    }

    /// Allows an operation.
    ///
    /// C: `IORING_RESTRICTION_SQE_OP`.
    pub const fn allow_operation(mut self, code: OpCode) -> Self {
        self.operations[code.0 as usize / 64] |= 1 << (code.0 % 64);
        self
    }

    /// Allows operations.
    pub fn allow_operations(self, codes: impl IntoIterator<Item = OpCode>) -> Self {
        codes.into_iter().fold(self, Self::allow_operation)
    }

    /// Allows a registration, once the ring is enabled. Before, all are.
    ///
    /// C: `IORING_RESTRICTION_REGISTER_OP`.
    pub const fn allow_registration(mut self, code: RegisterCode) -> Self {
        self.registrations[code.0 as usize / 64] |= 1 << (code.0 % 64);
        self
    }

    /// Allows registrations.
    pub fn allow_registrations(self, codes: impl IntoIterator<Item = RegisterCode>) -> Self {
        codes.into_iter().fold(self, Self::allow_registration)
    }

    /// Allows flags on entries. Others are forbidden, unless they are required.
    ///
    /// C: `IORING_RESTRICTION_SQE_FLAGS_ALLOWED`.
    pub const fn allow_flags(mut self, flags: SqeFlags) -> Self {
        self.allowed = self.allowed.union(flags);
        self
    }

    /// Requires flags on every entry.
    ///
    /// C: `IORING_RESTRICTION_SQE_FLAGS_REQUIRED`.
    pub const fn require_flags(mut self, flags: SqeFlags) -> Self {
        self.required = self.required.union(flags);
        self
    }

    /// The operations that are allowed.
    pub fn operations(&self) -> impl Iterator<Item = OpCode> {
        codes(self.operations).map(OpCode)
    }

    /// The registrations that are allowed.
    pub fn registrations(&self) -> impl Iterator<Item = RegisterCode> {
        codes(self.registrations).map(RegisterCode)
    }

    /// The flags that are allowed, and those that are required.
    pub fn flags(&self) -> (SqeFlags, SqeFlags) {
        (self.allowed, self.required)
    }

    /// As the kernel takes them.
    ///
    /// Since Linux 7.0 it restricts registrations only if one is in the list. So there is always the
    /// one that does nothing any more: an enabled ring cannot be enabled.
    fn to_raw(self) -> Vec<sys::io_uring_restriction> {
        let operations = self
            .operations()
            .map(|code| (sys::IORING_RESTRICTION_SQE_OP, code.0));
        let with_one = self.allow_registration(RegisterCode::REGISTER_ENABLE_RINGS);
        let registrations = with_one
            .registrations()
            .map(|code| (sys::IORING_RESTRICTION_REGISTER_OP, code.0));
        let flags = [
            (sys::IORING_RESTRICTION_SQE_FLAGS_ALLOWED, self.allowed),
            (sys::IORING_RESTRICTION_SQE_FLAGS_REQUIRED, self.required),
        ]
        .map(|(kind, flags)| (kind, flags.bits()));
        operations
            .chain(registrations)
            .chain(flags)
            .map(|(kind, value)| sys::io_uring_restriction {
                opcode: kind.to_le_bytes()[0].into(),
                // All members of the union are these 8 bits.
                __bindgen_anon_1: sys::io_uring_restriction__bindgen_ty_1 { sqe_op: value },
                resv: 0,
                resv2: [0; 3],
            })
            .collect()
    }

    /// Restricts all rings that this thread, and those that it starts, will make from now on, for
    /// good.
    ///
    /// Restrictions of each ring can come on top.
    ///
    /// Since Linux 7.0. C: `IORING_REGISTER_RESTRICTIONS` without a ring.
    ///
    /// # Errors
    ///
    /// * [`RegisterCause::Refused`] on an older kernel.
    /// * [`RegisterCause::NotPermitted`] or [`RegisterCause::NotAllowed`] without privileges, unless
    ///   the thread has given up gaining any (`PR_SET_NO_NEW_PRIVS`).
    /// * `EPERM` or `EBUSY` if the thread is restricted already.
    pub fn apply_to_thread(&self) -> Result<(), RegisterError> {
        const ACTION: &str = "register restrictions of the thread";
        const NEEDS: &str = "Linux 7.0, and operations and registrations that the kernel has";
        /// C's structure with room for all that can follow it.
        #[repr(C)]
        struct Argument {
            head: sys::io_uring_task_restriction,
            restrictions: [sys::io_uring_restriction; MOST],
        }
        // As in `restrict`.
        let restrictions = self
            .allow_registration(RegisterCode::UNREGISTER_RING_FDS)
            .to_raw();
        // SAFETY: the structure is made of integers, for which zero is a value.
        let mut argument: Argument = unsafe { std::mem::zeroed() };
        argument.head.nr_res = u16::try_from(restrictions.len()).unwrap_or(u16::MAX);
        argument.restrictions[..restrictions.len()].copy_from_slice(&restrictions);
        // SAFETY: the pointer is to the structure that goes with the code, followed by as many
        // restrictions as it says. The descriptor -1 stands for the thread.
        let result = unsafe {
            sys::io_uring_register(
                u32::MAX,
                sys::IORING_REGISTER_RESTRICTIONS,
                (&raw const argument).cast(),
                1,
            )
        };
        check_without_ring(result, ACTION, NEEDS)
    }
}

/// The codes whose bits are set.
fn codes(bits: [u64; 4]) -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(move |code| bits[usize::from(code / 64)] & 1 << (code % 64) != 0)
}

impl fmt::Debug for Restrictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restrictions")
            .field("operations", &self.operations().collect::<Vec<_>>())
            .field("registrations", &self.registrations().collect::<Vec<_>>())
            .field("allowed_flags", &self.allowed)
            .field("required_flags", &self.required)
            .finish()
    }
}

/// Restricts a disabled ring.
pub(crate) fn restrict(ring: &Ring, restrictions: &Restrictions) -> Result<(), RegisterError> {
    let mut restrictions = *restrictions;
    // The ring's own descriptor, registered with the thread, keeps the ring alive; so taking it back
    // when the ring is dropped must be allowed.
    if ring.is_registered() {
        restrictions = restrictions.allow_registration(RegisterCode::UNREGISTER_RING_FDS);
    }
    let mut raw = restrictions.to_raw();
    let count = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    // SAFETY: the ring is set up, and the pointer is to as many restrictions as are given.
    let result =
        unsafe { sys::io_uring_register_restrictions(ring.as_mut_ptr(), raw.as_mut_ptr(), count) };
    check(
        result,
        "register restrictions",
        "Linux 5.10, and operations and registrations that the kernel has",
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_restriction_is_handed_over_once() {
        let restrictions = Restrictions::new()
            .allow_operations([OpCode::READ, OpCode::READ, OpCode(255)])
            .allow_registrations([RegisterCode::REGISTER_FILES, RegisterCode(255)])
            .allow_flags(SqeFlags::IO_LINK)
            .allow_flags(SqeFlags::ASYNC)
            .require_flags(SqeFlags::FIXED_FILE);
        let raw: Vec<_> = restrictions
            .to_raw()
            .into_iter()
            .map(|raw| {
                // SAFETY: all members of the union are the same 8 bits.
                let value = unsafe { raw.__bindgen_anon_1.sqe_op };
                (u32::from(raw.opcode), value)
            })
            .collect();
        assert_eq!(
            raw,
            [
                (sys::IORING_RESTRICTION_SQE_OP, OpCode::READ.0),
                (sys::IORING_RESTRICTION_SQE_OP, 255),
                (sys::IORING_RESTRICTION_REGISTER_OP, 2),
                (sys::IORING_RESTRICTION_REGISTER_OP, 12),
                (sys::IORING_RESTRICTION_REGISTER_OP, 255),
                (sys::IORING_RESTRICTION_SQE_FLAGS_ALLOWED, 4 | 16),
                (sys::IORING_RESTRICTION_SQE_FLAGS_REQUIRED, 1),
            ]
        );
        let all = (0..=u8::MAX).fold(Restrictions::new(), |all, code| {
            all.allow_operation(OpCode(code))
                .allow_registration(RegisterCode(code))
        });
        assert_eq!(all.to_raw().len(), MOST);
    }
}
