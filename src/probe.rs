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
/// use lio_uring::operation::{OpCode, Recv, RecvMulti};
/// use lio_uring::{MissingCause, Probe};
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
    /// Whether the kernel knows each of [`ASKED`].
    registrations: [bool; ASKED.len()],
}

/// Registrations of releases that brought forms, and neither a code nor a feature that shows them
/// everywhere: Linux 5.10 took over io_uring of 5.15 without the operations on paths.
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
        Ok(Self {
            supported,
            last: answer.head.last_op,
            features: ring.features(),
            registrations: [limits_workers(ring), QueryOpcodes::ask().is_ok()],
        })
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
        self.check_needs(&O::NEEDS, name)
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
        self.check_needs(needs, needs.opcode().name().unwrap_or("the operation"))
    }

    fn check_needs(&self, needs: &Needs, name: &'static str) -> Result<(), Missing> {
        match self.missing(needs) {
            None => Ok(()),
            Some(cause) => Err(Missing {
                name,
                since: needs.since(),
                cause,
                instead: needs.instead(),
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
        let shown = self.shown();
        if wanted <= release(shown) {
            return None;
        }
        // What came before the form, or together with it, and is not there.
        let absent = self.witnesses().any(|(since, there)| {
            !there && release(since) > release(shown) && release(since) <= wanted
        });
        Some(if absent {
            MissingCause::Release { shown }
        } else {
            MissingCause::Unknown { shown }
        })
    }

    /// The newest release of Linux of which the kernel's io_uring has something, as text: `"6.0"`.
    ///
    /// It is not the version of the kernel: some releases brought nothing that can be asked for.
    pub fn shown(&self) -> &'static str {
        let there = self.witnesses().filter(|(_, there)| *there);
        there
            .map(|(since, _)| since)
            .max_by_key(|since| release(since))
            .unwrap_or("5.6")
    }

    /// What tells releases apart: when it came, and whether it is there.
    fn witnesses(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let codes = OpCode::ALL
            .iter()
            .map(|code| (code.since(), self.supports(*code)));
        let registrations = ASKED.iter().zip(self.registrations);
        let registrations = registrations.map(|(code, known)| (code.since(), known));
        let features = features::SINCE.iter();
        let features =
            features.map(|(feature, since)| (Some(*since), self.features.contains(*feature)));
        let all = codes.chain(registrations).chain(features);
        all.filter_map(|(since, there)| Some((since?, there)))
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
    use crate::operation::{RecvMulti, SendBundle, Sendto};

    /// What a kernel of this release says, if nothing was brought to it and nothing left out.
    fn of(since: &str) -> Probe {
        let mut probe = Probe {
            supported: [0; 4],
            last: 0,
            features: Features::empty(),
            registrations: ASKED.map(|code| has(since, code.since())),
        };
        for code in OpCode::ALL.iter().filter(|code| has(since, code.since())) {
            probe.supported[usize::from(code.0) / 64] |= 1 << (code.0 % 64);
            probe.last = code.0;
        }
        let features = features::SINCE.iter();
        let features = features.filter(|(_, came)| has(since, Some(came)));
        probe.features = features.map(|(feature, _)| *feature).collect();
        probe
    }

    fn has(kernel: &str, came: Option<&str>) -> bool {
        came.is_some_and(|came| release(came) <= release(kernel))
    }

    #[test]
    fn a_form_is_there_with_what_came_when_it_did() {
        assert!(of("6.0").has::<RecvMulti>() && of("7.0").has::<RecvMulti>());
        assert_eq!(
            of("5.19").check::<RecvMulti>().unwrap_err().to_string(),
            "RecvMulti, which came with Linux 6.0, cannot be relied on: the kernel has nothing in \
             io_uring that is newer than Linux 5.19; use Recv"
        );
    }

    #[test]
    fn a_code_that_was_left_out_does_not_make_a_kernel_older() {
        let mut probe = of("6.18");
        probe.supported[usize::from(OpCode::SEND_ZC.0) / 64] &= !(1 << (OpCode::SEND_ZC.0 % 64));
        assert!(probe.has::<RecvMulti>());
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
        let mut probe = of("5.13");
        assert!(probe.meets(&direct).is_err());
        probe.registrations[0] = true;
        assert_eq!((probe.shown(), probe.meets(&direct)), ("5.15", Ok(())));
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
