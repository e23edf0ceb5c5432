//! `pread` in one thread, without a ring.

use std::os::unix::fs::FileExt as _;
use std::slice;

use super::{InFlight, Read, Reader, Target};
use crate::work::BLOCK;

pub(super) const ONE_BY_ONE: Reader = Reader {
    name: "pread, one thread",
    open: |target| Box::new(OneByOne(target)),
};

struct OneByOne<'t>(&'t Target);

impl Read for OneByOne<'_> {
    fn read(&mut self) {
        let target = self.0;
        for &block in &target.order {
            let read = InFlight { block, slot: 0 };
            // SAFETY: the buffer has so many bytes, and nothing else uses it meanwhile.
            let buffer = unsafe { slice::from_raw_parts_mut(target.buffer(0), BLOCK as usize) };
            let count = target.file.read_at(buffer, read.offset()).expect("a read");
            let result = i32::try_from(count).expect("not more than a block");
            // SAFETY: the read has returned.
            unsafe { target.check(read, result) };
        }
    }
}
