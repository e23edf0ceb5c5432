//! What the contestants do: batches of one operation, again and again.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};

use clap::ValueEnum;

/// The size of the blocks that are read.
pub const BLOCK: u32 = 4096;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Doing nothing.
    Nop,
    /// Reading a block of a file that is in the page cache.
    Read,
}

/// Batches of operations.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What is done.
    pub operation: Operation,
    /// How many operations are submitted at a time, and then waited for.
    pub batch: u32,
    /// How many batches there are.
    pub rounds: u32,
}

/// A file of blocks, and a buffer for each of them.
#[derive(Debug)]
pub struct Blocks {
    file: File,
    buffers: *mut u8,
}

/// So many bytes, aligned to blocks, touched, and never freed.
pub(crate) fn aligned(bytes: usize) -> *mut u8 {
    let block = BLOCK as usize;
    let memory = vec![1_u8; bytes + block].leak();
    let skipped = memory.as_ptr().align_offset(block);
    memory[skipped..].as_mut_ptr()
}

impl Blocks {
    /// So many blocks.
    ///
    /// # Panics
    ///
    /// Without a temporary file.
    pub fn new(count: u32) -> Self {
        let len = (count * BLOCK) as usize;
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&vec![7; len]).expect("room for it");
        Self {
            file,
            buffers: aligned(len),
        }
    }

    /// The file.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Where the first buffer begins, and the others behind it.
    pub fn buffers(&self) -> *mut u8 {
        self.buffers
    }

    /// Where a block goes in memory, and lies in the file.
    #[inline]
    pub fn at(&self, n: u32) -> (*mut u8, u64) {
        let offset = n * BLOCK;
        (self.buffers.wrapping_add(offset as usize), offset.into())
    }
}
