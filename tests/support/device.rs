//! Devices of the guests that `tests/kernels/matrix` boots, and memory for direct I/O.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::slice;

#[allow(clippy::duplicate_mod, reason = "other helpers skip too")]
#[path = "skip.rs"]
mod skip;

/// The size of a disk's blocks.
pub(crate) const BLOCK: usize = 512;
/// The part of a disk that a test has for itself.
pub(crate) const REGION: u64 = 1 << 20;

/// Whether a device is there, and the tests' own. Says that the test is skipped if not.
#[track_caller]
pub(crate) fn is_there(name: &str) -> bool {
    let lack = skip::Lack::Device(name);
    let there = !lack.is_missing();
    if !there {
        skip::skip(&lack);
    }
    there
}

/// The NVMe disk, as `/dev/nvme1n1`: the one behind that of the work directory.
#[track_caller]
fn nvme() -> PathBuf {
    fs::canonicalize("/dev/disk-n2").expect("a second NVMe disk")
}

/// The disk of a device that is there.
#[track_caller]
pub(crate) fn disk(name: &str) -> PathBuf {
    match name {
        "nvme" => nvme(),
        _ => PathBuf::from("/dev/nullb0"),
    }
}

/// Opens a disk for reading and writing past the page cache.
#[track_caller]
pub(crate) fn open_direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .expect("the tests' own disk")
}

/// The NVMe disk's character devices: its own for reads and writes, and its controller's.
#[track_caller]
pub(crate) fn nvme_characters() -> (File, File) {
    let disk = nvme();
    let name = disk.file_name().expect("a name").to_string_lossy();
    let controller = name
        .rsplit_once('n')
        .expect("nvme, a number, n, a number")
        .0;
    let generic = name.replacen("nvme", "ng", 1);
    let open = |name: &str| {
        let path = Path::new("/dev").join(name);
        let opened = OpenOptions::new().read(true).write(true).open(path);
        opened.expect("a character device")
    };
    (open(&generic), open(controller))
}

/// Bytes that tell their place, and the seed.
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (seed..=250).chain(0..seed).cycle().take(len).collect()
}

/// Memory on whole pages, as direct I/O wants it.
#[derive(Debug)]
pub(crate) struct Pages {
    address: NonNull<u8>,
    len: usize,
}

impl Pages {
    /// So many bytes, all zero.
    #[track_caller]
    pub(crate) fn new(len: usize) -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(address, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self {
            address: NonNull::new(address.cast()).expect("not at zero"),
            len,
        }
    }

    /// As many bytes as these, with the same values.
    #[track_caller]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut pages = Self::new(bytes.len());
        pages.bytes_mut().copy_from_slice(bytes);
        pages
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped and initialised until the value is dropped, and the borrow
        // keeps others from writing.
        unsafe { slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else reads.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }

    /// What a disk holds at an offset, read without io_uring.
    #[track_caller]
    pub(crate) fn read_from(disk: &File, offset: u64, len: usize) -> Vec<u8> {
        let mut pages = Self::new(len);
        disk.read_exact_at(pages.bytes_mut(), offset)
            .expect("a read");
        pages.bytes().to_vec()
    }

    /// Writes bytes to a disk without io_uring.
    #[track_caller]
    pub(crate) fn write_to(disk: &File, offset: u64, bytes: &[u8]) {
        disk.write_all_at(Self::of(bytes).bytes(), offset)
            .expect("a write");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing borrows it any more.
        let result = unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
        assert_eq!(result, 0);
    }
}
