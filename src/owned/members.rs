//! Which operations of a scope are left.

use std::cell::{Cell, RefCell};

use super::places::SlotId;
use super::slot::Dispose;

/// The operations of a scope that have not left their slots.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: RefCell<List>,
    /// Whether the closure has returned, so that what stands for operations stands for nothing.
    ending: Cell<bool>,
}

#[derive(Debug, Default)]
struct List {
    members: Vec<Option<Member>>,
    /// Places in the list that are not used.
    free: Vec<usize>,
}

/// How an operation of a scope is let go of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its slot, or [`SlotId::NONE`] as long as it is not pushed.
    pub(super) id: SlotId,
    pub(super) dispose: Dispose,
    /// Whether it is cancelled when nobody waits for it.
    pub(super) cancelled: bool,
}

impl Members {
    /// Notes that the closure has returned.
    pub(super) fn end(&self) {
        self.ending.set(true);
    }

    /// Whether the closure has returned.
    pub(super) fn are_ending(&self) -> bool {
        self.ending.get()
    }

    pub(super) fn assert_open(&self) {
        assert!(!self.ending.get(), "the scope has ended, and let go of it");
    }

    /// Adds an operation that is not pushed yet.
    pub(super) fn join(&self, dispose: Dispose, cancelled: bool) -> Membership<'_> {
        let member = Some(Member {
            id: SlotId::NONE,
            dispose,
            cancelled,
        });
        let list = &mut *self.list.borrow_mut();
        let place = if let Some(place) = list.free.pop() {
            list.members[place] = member;
            place
        } else {
            list.members.push(member);
            list.members.len() - 1
        };
        Membership {
            members: self,
            place,
        }
    }

    /// Notes the slot of an operation that was pushed.
    pub(super) fn set_id(&self, place: usize, id: SlotId) {
        if let Some(member) = &mut self.list.borrow_mut().members[place] {
            member.id = id;
        }
    }

    fn remove(&self, place: usize) {
        let list = &mut *self.list.borrow_mut();
        list.members[place] = None;
        list.free.push(place);
    }

    /// Whether some are in their slots.
    pub(super) fn are_left(&self) -> bool {
        self.next(0).is_some()
    }

    /// Calls a function for each that is in its slot. It may call foreign code.
    pub(super) fn for_each(&self, mut function: impl FnMut(Member)) {
        let mut from = 0;
        while let Some((place, member)) = self.next(from) {
            from = place + 1;
            function(member);
        }
    }

    /// One that is in its slot, from a place in the list on.
    fn next(&self, from: usize) -> Option<(usize, Member)> {
        let list = self.list.borrow();
        let members = list.members.iter().enumerate().skip(from);
        members
            .filter_map(|(place, member)| Some((place, (*member)?)))
            .find(|(_, member)| member.id != SlotId::NONE)
    }
}

/// Being an operation of a scope. It ends when the operation has left its slot.
#[derive(Debug)]
pub(super) struct Membership<'scope> {
    members: &'scope Members,
    place: usize,
}

impl Membership<'_> {
    /// The place in the scope's list.
    pub(super) fn place(&self) -> usize {
        self.place
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.members.remove(self.place);
    }
}
