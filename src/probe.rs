//! Which operations the running kernel has.

use std::ffi::c_uint;
use std::io;
use std::{fmt, ptr};

use crate::error::{SetupCause, SetupError};
use crate::features::{self, Features};
use crate::operation::{Needs, OpCode, Operation, release};
use crate::params::IoUringParams;
use crate::query::QueryOpcodes;
use crate::register::RegisterCode;
use crate::ring::Ring;
use crate::sys;

mod missing;

pub use missing::{Missing, MissingCause};

/// Which operations the running kernel has, as it says itself.
///
/// A version number would not tell: distributions bring features to old kernels and leave others
/// out of new ones.
///
/// The kernel tells which *codes* it knows. Of a form that came later than its code it says nothing
/// ([`RecvMulti`](crate::operation::RecvMulti) has the code of [`Recv`](crate::operation::Recv));
/// what else it has of the release that the form came with, or of a later one, shows that it has the
/// form too.
///
/// ```
/// use lio_uring::Probe;
/// use lio_uring::operation::{OpCode, Recv, RecvMulti};
///
/// # fn main() -> Result<(), lio_uring::SetupError> {
/// let probe = Probe::new()?;
/// assert!(probe.supports(OpCode::NOP) && probe.has::<Recv>());
/// match probe.check::<RecvMulti>() {
///     Ok(()) => println!("one entry receives again and again"),
///     Err(missing) => println!("{missing}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Probe {
    /// A bit for each code.
    supported: [u64; 4],
    last: u8,
    features: Features,
    /// The newest release that the kernel has something of.
    shown: &'static str,
}

/// Registrations of releases that brought neither a code nor a feature that shows them everywhere:
/// Linux 5.10 took over io_uring of 5.15 without the operations on paths.
const ASKED: [RegisterCode; 2] = [
    RegisterCode::REGISTER_IOWQ_MAX_WORKERS,
    RegisterCode::REGISTER_QUERY,
];

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
    /// Those of making a ring; [`SetupCause::Unprobed`] on a kernel that cannot tell.
    pub fn new() -> Result<Self, SetupError> {
        let (_cq, mut sq) = crate::IoUring::with_params(IoUringParams::default().entries(2))?;
        sq.probe().map_err(|error| SetupError {
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
            cause: SetupCause::Unprobed,
        })
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
        let asked = [limits_workers(ring), QueryOpcodes::ask().is_ok()];
        Ok(Self::told(
            supported,
            answer.head.last_op,
            ring.features(),
            asked,
        ))
    }

    /// What the kernel has told: the codes, the features, and whether it knows each of [`ASKED`].
    fn told(supported: [u64; 4], last: u8, features: Features, asked: [bool; ASKED.len()]) -> Self {
        let mut probe = Self {
            supported,
            last,
            features,
            // The first that tells which codes it knows.
            shown: "5.6",
        };
        let codes = OpCode::ALL.iter().filter(|code| probe.supports(**code));
        let codes = codes.filter_map(|code| code.since());
        let named = features::SINCE.iter();
        let named = named.filter(|(feature, _)| features.contains(*feature));
        let asked = ASKED.iter().zip(asked).filter(|(_, known)| *known);
        let newest = codes
            .chain(named.map(|(_, since)| *since))
            .chain(asked.filter_map(|(code, _)| code.since()))
            .max_by_key(|since| release(since));
        probe.shown = newest.unwrap_or(probe.shown);
        probe
    }

    /// Whether the kernel has the operation with this code.
    ///
    /// C: `io_uring_opcode_supported(3)`.
    pub fn supports(&self, code: OpCode) -> bool {
        self.supported[usize::from(code.0) / 64] & 1 << (code.0 % 64) != 0
    }

    /// Whether the kernel is known to have the operation `O`: its code, and the form that it is of.
    ///
    /// A ring may have to be made in a certain way all the same; see [`Needs::missing_flags`].
    pub fn has<O: Operation>(&self) -> bool {
        self.check::<O>().is_ok()
    }

    /// Whether the kernel is known to have the operation `O`, and if not, what is missing and what
    /// can be used instead.
    ///
    /// # Errors
    ///
    /// What is missing. With [`MissingCause::Unknown`] it may be there: only trying tells.
    pub fn check<O: Operation>(&self) -> Result<(), Missing> {
        let path = std::any::type_name::<O>().trim_start_matches('&');
        // What comes with a type in angle brackets is part of neither the path nor the name.
        let path = path.split('<').next().unwrap_or(path);
        let name = path.rsplit("::").next().unwrap_or(path);
        self.check_needs(&O::NEEDS, Some(name))
    }

    /// Whether the kernel is known to have what an operation needs, and if not, what is missing.
    ///
    /// For operations of large entries, and for forms without a type: flags and commands.
    ///
    /// ```
    /// use lio_uring::Probe;
    /// use lio_uring::operation::{LargeOperation, Needs, Nop128, OpCode};
    ///
    /// # fn main() -> Result<(), lio_uring::SetupError> {
    /// let probe = Probe::new()?;
    /// println!("entries of two sizes: {:?}", probe.meets(&Nop128::NEEDS));
    /// println!("sends of several parts: {:?}", probe.meets(&Needs::form(OpCode::SEND, "6.17")));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`check`](Self::check).
    pub fn meets(&self, needs: &Needs) -> Result<(), Missing> {
        self.check_needs(needs, None)
    }

    fn check_needs(&self, needs: &Needs, name: Option<&'static str>) -> Result<(), Missing> {
        match self.missing(needs) {
            None => Ok(()),
            Some(cause) => Err(Missing {
                name,
                needs: *needs,
                cause,
            }),
        }
    }

    fn missing(&self, needs: &Needs) -> Option<MissingCause> {
        if !self.supports(needs.opcode()) {
            return Some(MissingCause::Operation {
                code: needs.opcode(),
            });
        }
        let unnamed = needs.features().difference(self.features);
        if !unnamed.is_empty() {
            return Some(MissingCause::Features { features: unnamed });
        }
        // The features that a form needs show that it is there.
        if !needs.is_form() || !needs.features().is_empty() {
            return None;
        }
        let wanted = release(needs.since()?);
        let shown = release(self.shown);
        if wanted <= shown {
            return None;
        }
        // Something that came after what the kernel has, and not after the form.
        let absent = told_apart().any(|since| (shown..=wanted).contains(&since) && since != shown);
        let shown = self.shown;
        Some(if absent {
            MissingCause::Release { shown }
        } else {
            MissingCause::Unknown { shown }
        })
    }

    /// The newest release of Linux that the kernel's io_uring has something of, as text: `"6.0"`.
    ///
    /// It is not the version of the kernel: some releases brought nothing that can be asked for.
    pub fn shown(&self) -> &'static str {
        self.shown
    }

    /// The features that the kernel named when the ring was made.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The highest code that the kernel has, which may be one that this library does not know.
    pub fn last(&self) -> OpCode {
        OpCode(self.last)
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = (0..=self.last).map(OpCode);
        let operations: Vec<OpCode> = codes.filter(|code| self.supports(*code)).collect();
        f.debug_struct("Probe")
            .field("operations", &operations)
            .field("features", &self.features)
            .field("shown", &self.shown())
            .finish_non_exhaustive()
    }
}

/// The releases that a kernel shows to have something of, if it has.
fn told_apart() -> impl Iterator<Item = (u32, u32)> {
    let codes = OpCode::ALL.iter().filter_map(|code| code.since());
    let named = features::SINCE.iter().map(|(_, since)| *since);
    let asked = ASKED.iter().filter_map(|code| code.since());
    codes.chain(named).chain(asked).map(release)
}

/// Whether the kernel lets the number of its workers be limited. It is asked with an address that
/// nothing is at, so that it changes nothing.
fn limits_workers(ring: &Ring) -> bool {
    let nowhere: *mut c_uint = ptr::without_provenance_mut(1);
    // SAFETY: the ring is set up, and the kernel answers `EFAULT` for an address without memory.
    let result = unsafe { sys::io_uring_register_iowq_max_workers(ring.as_mut_ptr(), nowhere) };
    result == -libc::EFAULT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{RecvMulti, SendBundle, SendZc, Sendto};

    /// What a kernel of this release says, if nothing was brought to it and nothing left out.
    fn of(since: &str) -> Probe {
        with(since, &[], ASKED.map(|code| has(since, code.since())))
    }

    /// The same, with some codes left out, and with these answers for [`ASKED`].
    fn with(since: &str, left_out: &[OpCode], asked: [bool; ASKED.len()]) -> Probe {
        let mut supported = [0; 4];
        let codes = OpCode::ALL.iter().filter(|code| has(since, code.since()));
        for code in codes.filter(|code| !left_out.contains(code)) {
            supported[usize::from(code.0) / 64] |= 1 << (code.0 % 64);
        }
        let features = features::SINCE.iter();
        let features = features.filter(|(_, came)| has(since, Some(came)));
        let features = features.map(|(feature, _)| *feature).collect();
        Probe::told(supported, 0, features, asked)
    }

    fn has(kernel: &str, came: Option<&str>) -> bool {
        came.is_some_and(|came| release(came) <= release(kernel))
    }

    #[test]
    fn a_form_is_there_with_what_came_when_it_did() {
        assert!(of("6.0").has::<RecvMulti>() && of("7.0").has::<RecvMulti>());
        assert_eq!(
            of("5.19").check::<RecvMulti>().unwrap_err().to_string(),
            "RecvMulti needs Linux 6.0: the kernel has nothing in io_uring that is newer than \
             Linux 5.19; use Recv"
        );
    }

    #[test]
    fn something_newer_stands_for_what_was_left_out() {
        let probe = with("6.0", &[OpCode::SEND_ZC], [true, false]);
        let missing = probe.check::<RecvMulti>().unwrap_err();
        assert_eq!(missing.cause(), MissingCause::Release { shown: "5.19" });
        let probe = with("6.1", &[OpCode::SEND_ZC], [true, false]);
        assert!(probe.has::<RecvMulti>() && !probe.has::<SendZc>());
    }

    #[test]
    fn what_nothing_tells_is_unknown() {
        // Linux 6.2 brought nothing that can be asked for.
        for kernel in ["6.1", "6.2"] {
            let missing = of(kernel).check::<Sendto>().unwrap_err();
            assert_eq!(missing.cause(), MissingCause::Unknown { shown: "6.1" });
        }
        let missing = of("6.0").check::<Sendto>().unwrap_err();
        assert_eq!(missing.cause(), MissingCause::Release { shown: "6.0" });
        assert!(of("6.3").has::<Sendto>());
    }

    #[test]
    fn registrations_show_releases_that_brought_little_else() {
        let direct = Needs::form(OpCode::OPENAT, "5.15");
        // What Linux 5.10 took over.
        let probe = with("5.13", &[], [true, false]);
        assert_eq!((probe.shown(), probe.meets(&direct)), ("5.15", Ok(())));
        assert_eq!(
            of("5.13").meets(&direct).unwrap_err().to_string(),
            "this form of OPENAT needs Linux 5.15: the kernel has nothing in io_uring that is \
             newer than Linux 5.13"
        );
        assert_eq!(of("6.18").shown(), "6.18");
        assert_eq!(of("6.17").shown(), "6.16");
    }

    #[test]
    fn a_feature_that_a_form_has_decides_alone() {
        let mut probe = of("7.0");
        assert!(probe.has::<SendBundle>());
        probe.features.remove(Features::RECVSEND_BUNDLE);
        let missing = probe.check::<SendBundle>().unwrap_err();
        let features = Features::RECVSEND_BUNDLE;
        assert_eq!(missing.cause(), MissingCause::Features { features });
        let mut probe = of("6.9");
        probe.features.insert(features);
        assert!(probe.has::<SendBundle>());
    }

    #[test]
    fn a_code_that_is_not_there_is_missing_whatever_else_is() {
        let missing = of("5.5").check::<RecvMulti>().unwrap_err();
        let code = OpCode::RECV;
        assert_eq!(missing.cause(), MissingCause::Operation { code });
        assert_eq!(
            (missing.since(), missing.instead()),
            (Some("6.0"), Some("Recv"))
        );
    }
}
