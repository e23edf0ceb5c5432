//! Rings whose queues can change their size.

use lio_uring::IoUring;

use crate::kernel;

/// A ring that can be resized, if the kernel can.
#[track_caller]
pub(crate) fn resizable(entries: u32, cq_entries: u32) -> Option<IoUring> {
    let params = IoUring::builder().entries(entries).cqsize(cq_entries);
    let mut ring = params.build().expect("a ring");
    kernel::since(6, 13, ring.resize(entries, cq_entries))?;
    Some(ring)
}
