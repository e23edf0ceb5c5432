//! Reading blocks of a file at random, with many reads in flight.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::work::{BLOCK, aligned};

mod c;
pub mod fio;
mod io_uring;
mod lio_uring;
mod pread;

/// How many reads are in flight.
pub const DEPTH: u32 = 64;
/// How many bytes their buffers have together.
const ALL: usize = (DEPTH * BLOCK) as usize;

/// A file whose blocks begin with their own number.
#[derive(Debug)]
pub struct Numbered {
    file: NamedTempFile,
    blocks: u32,
}

impl Numbered {
    /// A file of so many blocks. It is on the storage and in the page cache.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(folder: &Path, blocks: u32) -> io::Result<Self> {
        let file = NamedTempFile::new_in(folder)?;
        let mut writer = BufWriter::new(file.as_file());
        for number in 0..blocks {
            let mut block = [0; BLOCK as usize];
            block[..4].copy_from_slice(&number.to_ne_bytes());
            writer.write_all(&block)?;
        }
        writer.flush()?;
        drop(writer);
        file.as_file().sync_all()?;
        Ok(Self { file, blocks })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// What is read, and where to.
#[derive(Debug)]
pub struct Target {
    file: File,
    /// The blocks to read, in this order.
    order: Vec<u32>,
    /// One for each read in flight, never freed.
    buffers: *mut u8,
}

impl Target {
    /// So many reads of the file's blocks, in an order that is always the same.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, as when the file system has no direct I/O.
    pub fn new(numbered: &Numbered, direct: bool, reads: u32) -> io::Result<Self> {
        let mut random = fastrand::Rng::with_seed(1);
        let flags = if direct { libc::O_DIRECT } else { 0 };
        Ok(Self {
            file: OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(numbered.path())?,
            order: (0..reads).map(|_| random.u32(..numbered.blocks)).collect(),
            buffers: aligned(ALL),
        })
    }

    /// How many reads there are.
    #[expect(clippy::missing_panics_doc, reason = "made from such a number")]
    pub fn reads(&self) -> u32 {
        u32::try_from(self.order.len()).expect("made from such a number")
    }

    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The buffer with this number.
    #[inline]
    fn buffer(&self, slot: u32) -> *mut u8 {
        self.buffers.wrapping_add((slot * BLOCK) as usize)
    }

    /// All buffers at once.
    fn memory(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.buffers.cast(),
            iov_len: ALL,
        }
    }

    /// Checks that a read has brought its block whole.
    ///
    /// # Safety
    ///
    /// The read that used the buffer has ended.
    #[inline]
    unsafe fn check(&self, read: InFlight, result: i32) {
        assert_eq!(
            result,
            BLOCK.cast_signed(),
            "a read of block {}",
            read.block
        );
        let start = self.buffer(read.slot).cast::<[u8; 4]>();
        // SAFETY: every buffer is longer than that, and nothing writes to it.
        let number = unsafe { start.read() };
        assert_eq!(u32::from_ne_bytes(number), read.block, "another block");
    }
}

/// A read in flight, as its `user_data` says it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    block: u32,
    slot: u32,
}

impl InFlight {
    #[inline]
    fn user_data(self) -> u64 {
        u64::from(self.block) << 32 | u64::from(self.slot)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is two halves")]
    fn from_user_data(user_data: u64) -> Self {
        Self {
            block: (user_data >> 32) as u32,
            slot: user_data as u32,
        }
    }

    #[inline]
    fn offset(self) -> u64 {
        u64::from(self.block) * u64::from(BLOCK)
    }
}

/// One way to read.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Library, kind of ring, and whether buffers and file are registered.
    pub name: &'static str,
    /// Makes what reads the target.
    pub open: fn(target: &Target) -> Box<dyn Read + '_>,
}

/// Something that reads.
pub trait Read {
    /// Does all the target's reads.
    fn read(&mut self);
}

impl Reader {
    /// All of them: C first, then the other library, then ours, then without a ring.
    pub const ALL: &[Self] = &[
        c::DEFAULT,
        c::REGISTERED,
        c::ONE_THREAD,
        c::ONE_THREAD_REGISTERED,
        io_uring::DEFAULT,
        io_uring::REGISTERED,
        io_uring::ONE_THREAD,
        io_uring::ONE_THREAD_REGISTERED,
        lio_uring::HALVES,
        lio_uring::HALVES_REGISTERED,
        lio_uring::ONE_THREAD,
        lio_uring::ONE_THREAD_REGISTERED,
        pread::ONE_BY_ONE,
    ];
}
