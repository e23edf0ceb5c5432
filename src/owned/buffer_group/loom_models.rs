//! Pieces of buffers that come back while others are lent.

use loom::thread;

use super::*;
use crate::kind::AnyThread;
use crate::owned::core::Core;
use crate::params::IoUringParams;

fn group(params: BufferGroupParams) -> BufferGroup<AnyThread> {
    let halves = IoUringParams::default().entries(1).halves();
    let mut core = Core::new(halves.expect("a ring"));
    let buffers = BufferGroup::<AnyThread>::buffers(params).expect("buffers");
    BufferGroup::register(&mut core.sq, &mut core.store.groups, buffers, params).expect("a group")
}

/// A completion that names a buffer, as the store passes it on.
fn named(id: u16, offset: u32, bytes: i32, more: CompletionFlags) -> Completion {
    Completion {
        user_data: offset.into(),
        res: bytes,
        flags: (CompletionFlags::BUFFER | more).bits() | u32::from(id) << 16,
        extra: (),
    }
}

impl BufferGroup<AnyThread> {
    /// Every buffer is the kernel's, and was added once.
    fn assert_whole(&self) {
        let count = self.count();
        assert_eq!(self.provided(), count);
        let state = self.shared.state();
        let ends_well = (0..count).any(|first| {
            let mut seen = vec![first];
            for _ in 1..count {
                seen.push(state.places[usize::from(seen[seen.len() - 1])].next);
            }
            let ends = seen.last() == Some(&state.last);
            seen.sort_unstable();
            ends && seen.into_iter().eq(0..count)
        });
        assert!(ends_well, "not every buffer was added");
    }
}

#[test]
fn buffer_goes_back_once_when_its_pieces_do() {
    loom::model(|| {
        let group = group(BufferGroupParams::new(1, 64).incremental());
        let piece = group.lend(&named(0, 0, 10, CompletionFlags::BUF_MORE));
        let other = thread::spawn(move || drop(piece));
        let last = group.lend(&named(0, 10, 54, CompletionFlags::empty()));
        drop(last);
        other.join().expect("no panic");
        group.assert_whole();
    });
}

#[test]
fn bundle_goes_back_among_others() {
    loom::model(|| {
        let group = group(BufferGroupParams::new(3, 64));
        let bundle = group.lend_bundle(&named(0, 0, 128, CompletionFlags::empty()));
        let single = group.lend(&named(2, 0, 64, CompletionFlags::empty()));
        let other = thread::spawn(move || drop(single));
        drop(bundle);
        other.join().expect("no panic");
        group.assert_whole();
    });
}
