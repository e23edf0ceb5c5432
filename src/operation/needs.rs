//! What an operation needs of the kernel, and of the ring that it is pushed to.

use super::OpCode;
use crate::features::Features;
use crate::params::SetupFlags;

/// What an operation needs of the kernel, and of the ring that it is pushed to.
///
/// Many operations have a code of their own, which a kernel has or has not. Others are a later
/// *form* of one, as [`RecvMulti`](super::RecvMulti) is of [`Recv`](super::Recv): an older kernel
/// knows the code, and refuses the form or takes it for the older one.
/// [`Probe::check`](crate::Probe::check) answers for both.
///
/// ```
/// use lio_uring::operation::{Needs, OpCode, Operation, RecvMulti};
///
/// assert_eq!(RecvMulti::NEEDS.opcode(), OpCode::RECV);
/// assert_eq!(RecvMulti::NEEDS.since(), Some("6.0"));
/// assert_eq!(RecvMulti::NEEDS.instead(), Some("Recv"));
///
/// // An accept that does not wait.
/// const NEEDS: Needs = Needs::form(OpCode::ACCEPT, "6.10").or("Accept");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    opcode: OpCode,
    form: Option<&'static str>,
    features: Features,
    ring: &'static [SetupFlags],
    instead: Option<&'static str>,
}

impl Needs {
    /// A code, and nothing else.
    pub const fn code(opcode: OpCode) -> Self {
        Self {
            opcode,
            form: None,
            features: Features::empty(),
            ring: &[],
            instead: None,
        }
    }

    /// A form of an operation that came later than its code, with this release of Linux.
    ///
    /// # Panics
    ///
    /// If `since` is not two numbers with a dot in between, such as `"6.0"`; in a constant that is an
    /// error of the compiler.
    pub const fn form(opcode: OpCode, since: &'static str) -> Self {
        release(since);
        let mut needs = Self::code(opcode);
        needs.form = Some(since);
        needs
    }

    /// Features that the kernel must name.
    pub const fn with_features(mut self, features: Features) -> Self {
        self.features = self.features.union(features);
        self
    }

    /// Flags that the ring must be made with: of each element one at least.
    pub const fn with_ring(mut self, ring: &'static [SetupFlags]) -> Self {
        self.ring = ring;
        self
    }

    /// The name of an operation that does the same with more work, for kernels without this one.
    pub const fn or(mut self, instead: &'static str) -> Self {
        self.instead = Some(instead);
        self
    }

    /// The code that the entry carries.
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// The first kernel that has it, as text: `"6.0"`; `None` for a code that this library does not
    /// know.
    ///
    /// For people to read: distributions bring features to old kernels.
    pub const fn since(&self) -> Option<&'static str> {
        match self.form {
            Some(since) => Some(since),
            None => self.opcode.since(),
        }
    }

    /// Whether it is a form that came later than its code.
    pub const fn is_form(&self) -> bool {
        self.form.is_some()
    }

    /// The features that the kernel must name.
    pub const fn features(&self) -> Features {
        self.features
    }

    /// The flags that the ring must be made with: of each element one at least.
    pub const fn ring(&self) -> &'static [SetupFlags] {
        self.ring
    }

    /// The first of [`ring`](Self::ring) that a ring made with `flags` has none of; `None` if nothing
    /// is missing.
    ///
    /// ```
    /// use lio_uring::operation::{Operation, RecvZc};
    /// use lio_uring::SetupFlags;
    ///
    /// # fn main() -> Result<(), lio_uring::SetupError> {
    /// let (_cq, sq) = lio_uring::with_capacity(8)?;
    /// let missing = RecvZc::NEEDS.missing_flags(sq.setup_flags());
    /// assert_eq!(missing, Some(SetupFlags::DEFER_TASKRUN));
    /// # Ok(())
    /// # }
    /// ```
    pub fn missing_flags(&self, flags: SetupFlags) -> Option<SetupFlags> {
        let lacks = |wanted: &&SetupFlags| !flags.intersects(**wanted);
        self.ring.iter().find(lacks).copied()
    }

    /// The name of an operation that does the same with more work.
    pub const fn instead(&self) -> Option<&'static str> {
        self.instead
    }
}

/// A release of Linux as numbers, to be compared with others.
pub(crate) const fn release(text: &str) -> (u32, u32) {
    let bytes = text.as_bytes();
    let mut numbers = [0; 2];
    let (mut dots, mut digits, mut at) = (0, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            digit @ b'0'..=b'9' => {
                numbers[dots] = numbers[dots] * 10 + (digit - b'0') as u32;
                digits += 1;
            }
            b'.' if dots == 0 && digits > 0 => (dots, digits) = (1, 0),
            _ => panic!("a release is two numbers with a dot in between"),
        }
        at += 1;
    }
    assert!(
        dots == 1 && digits > 0,
        "a release is two numbers with a dot in between"
    );
    (numbers[0], numbers[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(release("5.1"), (5, 1));
        assert!(release("6.10") > release("6.9"));
        assert!(release("7.0") > release("6.19"));
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["", "6", "6.", ".1", "6.1.2", "6.x", "-6.1"] {
            assert!(
                std::panic::catch_unwind(|| release(text)).is_err(),
                "{text}"
            );
        }
    }
}
