//! The slots of a ring, and what completions do to them.

use std::mem::{self, ManuallyDrop};

use super::backlog::Backlog;
use super::due::{Due, Orphan, Retry};
use super::groups::{Groups, group_of};
use super::mail::{self, Mail};
use super::places::SlotId;
use super::shared_waker::SharedWaker;
use super::slot::{Dispose, State, WITHIN};
use super::stopping::Request;
use super::table::Table;
use super::waiting::Waiting;
use crate::completion::{Completion, CompletionFlags};

/// The slots, and what is known of the operations in them.
#[derive(Debug)]
pub(super) struct Store {
    /// Freed when the kernel has none of the operations any longer, or leaked.
    pub(super) table: ManuallyDrop<Table>,
    backlog: Backlog,
    pub(super) shared_waker: SharedWaker,
    pub(super) groups: Groups,
    /// Messages of other rings.
    pub(super) mail: Mail,
}

/// The flags of a completion that is not simply the only one of its operation, or that names a
/// buffer, and what must not be taken for one of ours.
pub(super) const RARE: u32 = CompletionFlags::MORE
    .union(CompletionFlags::NOTIF)
    .union(CompletionFlags::BUFFER)
    .bits()
    | WITHIN;

/// What a completion says, as an operation is told. The offset is where in a buffer of a group its
/// bytes begin.
#[inline]
pub(super) fn told(res: i32, flags: u32, offset: u32) -> Completion {
    Completion {
        user_data: offset.into(),
        res,
        flags,
        extra: (),
    }
}

/// Result and flags of a completion, as they lie in the queue, so that they need not be taken apart.
pub(super) type Packed = u64;

#[inline]
pub(super) fn packed(done: Completion) -> Packed {
    u64::from(done.flags) << 32 | u64::from(done.res.cast_unsigned())
}

fn unpacked(said: Packed) -> [u32; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper half is the other one"
    )]
    let res = said as u32;
    [res, (said >> 32) as u32]
}

impl Store {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            table: ManuallyDrop::new(Table::new(slots)),
            backlog: Backlog::new(),
            shared_waker: SharedWaker::new(),
            groups: Groups::new(),
            mail: Mail::new(),
        }
    }

    /// Takes what an operation with several completions has brought next, if there is something.
    pub(super) fn next_item(&mut self, id: SlotId) -> Option<Completion> {
        let (State::Streaming { items, .. } | State::Deserted { items, .. } | State::Dry { items }) =
            self.table.state(id)
        else {
            return None;
        };
        let item = self.backlog.pop(items)?;
        Some(told(item.result, item.flags, item.offset))
    }

    /// Takes the operation in a slot for one that nobody waits for, if it has ended.
    ///
    /// # Safety
    ///
    /// The slot holds an operation of the type that the function was made for, and nobody else takes it
    /// out.
    pub(super) unsafe fn take_orphan(&mut self, id: SlotId, dispose: Dispose) -> Option<Orphan> {
        let done = match self.table.state(id) {
            State::Dry { .. } => None,
            state => Some(state.ended()?),
        };
        // SAFETY: the caller's promise.
        Some(unsafe { Orphan::new(id, self.table.kept(id), dispose, done) })
    }

    /// The same as [`settle`](Self::settle), of a completion that comes in registers.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_rarely(&mut self, user_data: u64, said: Packed, due: &mut Due) -> bool {
        let [res, flags] = unpacked(said);
        let done = Completion {
            user_data,
            res: res.cast_signed(),
            flags,
            extra: (),
        };
        self.settle(done, due)
    }

    /// Notes what a completion says, and what is left to do for it. Returns whether more can be left to
    /// do.
    pub(super) fn settle(&mut self, done: Completion, due: &mut Due) -> bool {
        let Some(id) = self.table.id(done.user_data) else {
            return self.settle_other(done, due);
        };
        match *self.table.state(id) {
            State::InFlight { note }
            | State::Shared { note }
            | State::Awaited { note, .. }
            | State::Abandoned { note, .. } => self.settle_single(note, done, id, due),
            State::Streaming { group, .. } | State::Deserted { group, .. } => {
                self.settle_item(group, done, id, due)
            }
            State::Ended { .. } | State::Dry { .. } | State::Spent => {
                debug_assert!(false, "the kernel does not have slot {id:?}");
                true
            }
        }
    }

    /// Notes what is not the end of an operation: a message, or how a cancellation has ended.
    fn settle_other(&mut self, done: Completion, due: &mut Due) -> bool {
        if let Some(number) = mail::number(done.user_data) {
            let waker = self.mail.put(number, done.res.cast_unsigned());
            return waker.is_none_or(|waker| due.wake(Waiting::new(waker)));
        }
        let (number, asked, retry): (_, _, fn(SlotId) -> Retry) = match Request::of(done.user_data)
        {
            Some(Request::Cancel(number, asked)) => {
                // Otherwise it was stopped.
                if ![-libc::ENOENT, -libc::EALREADY].contains(&done.res) {
                    return true;
                }
                (number, asked, Retry::Later)
            }
            Some(Request::Pause(number, asked)) => (number, asked, Retry::Now),
            None => return true,
        };
        let Some(id) = self.table.id(number) else {
            return true;
        };
        // By now the slot may be another operation's, which is as abandoned if it is. The kernel is not
        // asked twice as often then.
        if self.table.state(id).asked().is_none_or(|now| *now != asked) {
            return true;
        }
        due.cancel_again(retry(id));
        false
    }

    fn settle_single(&mut self, note: i32, done: Completion, id: SlotId, due: &mut Due) -> bool {
        let offset = self.groups.offset(group_of(note), &done);
        let state = self.table.state(id);
        if done.more() {
            if let Some(note) = state.note() {
                *note = done.res;
            }
            return true;
        }
        // The result of a zero-copy send came before its notification.
        let result = if done.is_notification() {
            note
        } else {
            done.res
        };
        let flags = done.flags;
        let ended = State::ended_within(result, flags, offset);
        match mem::replace(state, ended) {
            State::Shared { .. } => {
                self.shared_waker.note_end();
                true
            }
            State::Awaited { waker, .. } => due.wake(waker),
            State::Abandoned { dispose, .. } => {
                let kept = self.table.kept(id);
                let told = told(result, flags, offset);
                // SAFETY: the function is that of the operation's own type, and its last completion
                // is this.
                due.dispose(unsafe { Orphan::new(id, kept, dispose, Some(told)) });
                false
            }
            _ => true,
        }
    }

    fn settle_item(&mut self, group: u16, done: Completion, id: SlotId, due: &mut Due) -> bool {
        let offset = self.groups.offset(group, &done);
        let state = self.table.state(id);
        let (State::Streaming { items, .. } | State::Deserted { items, .. }) = state else {
            return true;
        };
        self.backlog.push(items, done.res, done.flags, offset);
        let items = *items;
        let before = if done.more() {
            // Its waker is called once.
            match state {
                State::Streaming { waker, .. } => {
                    return waker.take().is_none_or(|waker| due.wake(waker));
                }
                _ => return true,
            }
        } else {
            mem::replace(state, State::Dry { items })
        };
        match before {
            State::Streaming {
                waker: Some(waker), ..
            } => due.wake(waker),
            State::Deserted { dispose, .. } => {
                let kept = self.table.kept(id);
                // SAFETY: as for one completion: the last of them has been taken.
                due.dispose(unsafe { Orphan::new(id, kept, dispose, None) });
                false
            }
            _ => true,
        }
    }
}
