//! Protection information: checksums that travel with the blocks of a device.

use std::mem::offset_of;

use crate::sys;

/// Where the protection information of a read or write is, and what is checked.
///
/// For block devices that keep checksums and tags with their blocks.
/// [`Sqe::set_protection_information`](crate::Sqe::set_protection_information) adds it.
///
/// Since Linux 6.14. C: `struct io_uring_attr_pi`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias("io_uring_attr_pi", "IORING_RW_ATTR_FLAG_PI"))]
pub struct ProtectionInformation {
    /// `IO_INTEGRITY_CHK_*`: what the device checks.
    pub flags: u16,
    /// The application's tag that is checked against.
    pub app_tag: u16,
    /// The size of the information in bytes.
    pub len: u32,
    /// Its address: to be written from there, or to be read to there.
    pub addr: u64,
    /// The number that the reference tags begin with.
    pub seed: u64,
    reserved: u64,
}

const _: () = assert!(
    size_of::<ProtectionInformation>() == size_of::<sys::io_uring_attr_pi>()
        && align_of::<ProtectionInformation>() == align_of::<sys::io_uring_attr_pi>()
        && offset_of!(ProtectionInformation, len) == offset_of!(sys::io_uring_attr_pi, len)
        && offset_of!(ProtectionInformation, addr) == offset_of!(sys::io_uring_attr_pi, addr)
        && offset_of!(ProtectionInformation, seed) == offset_of!(sys::io_uring_attr_pi, seed)
);

impl ProtectionInformation {
    /// Information of `len` bytes at `addr`, with nothing to be checked.
    pub fn new(addr: *mut u8, len: u32) -> Self {
        Self {
            addr: addr as u64,
            len,
            ..Self::default()
        }
    }
}
