//! Where relative paths start.

use std::os::fd::{AsFd, AsRawFd, RawFd};

/// What a relative path starts from: [`Cwd`], or an open directory.
///
/// All that is [`AsFd`] and owns what it names, or shares it, as for
/// [`Descriptor`](super::Descriptor): `File`, `OwnedFd`, `Arc<File>`. A registered file cannot be
/// one, for the kernel.
///
/// ```compile_fail,E0277
/// use lio_uring::owned::{MakeDirectory, Ring};
///
/// # let ring = Ring::new(8).unwrap();
/// let slot = ring.register_slots(1).unwrap().take().unwrap();
/// let _ = ring.push(MakeDirectory { directory: slot, path: c"new".into(), mode: 0o777 });
/// ```
pub trait Directory: Start {}

/// The working directory that the process has when an operation is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cwd;

/// So that nobody else implements [`Directory`].
#[expect(unnameable_types, reason = "its purpose")]
pub trait Start {
    /// The number that the kernel knows it by. It stays the same until the value is dropped.
    #[doc(hidden)]
    fn number(&self) -> RawFd;
}

impl<D: Start> Directory for D {}

impl<D: AsFd> Start for D {
    fn number(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Start for Cwd {
    fn number(&self) -> RawFd {
        libc::AT_FDCWD
    }
}
