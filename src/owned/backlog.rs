//! What operations with several completions have brought, and nobody has taken yet.

/// No item.
const NONE: u32 = u32::MAX;

/// One completion of an operation that has several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) result: i32,
    pub(super) flags: u32,
    /// Where in its buffer the bytes begin.
    pub(super) offset: u32,
    /// The one behind it. Behind the last of a queue is the first.
    next: u32,
}

/// The items of one operation, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    last: u32,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { last: NONE }
    }
}

/// The items of all operations. Its memory grows with the longest backlog, and is kept.
#[derive(Debug)]
pub(super) struct Backlog {
    items: Vec<Item>,
    /// The first of those that are in no queue.
    free: u32,
}

impl Backlog {
    pub(super) const fn new() -> Self {
        Self {
            items: Vec::new(),
            free: NONE,
        }
    }

    fn item(&mut self, index: u32) -> &mut Item {
        &mut self.items[index as usize]
    }

    /// Adds an item at the end of a queue.
    pub(super) fn push(&mut self, queue: &mut Queue, result: i32, flags: u32, offset: u32) {
        let item = Item {
            result,
            flags,
            offset,
            next: NONE,
        };
        let index = if self.free == NONE {
            self.items.push(item);
            u32::try_from(self.items.len() - 1).expect("fewer items than fit into memory")
        } else {
            let index = self.free;
            self.free = self.item(index).next;
            *self.item(index) = item;
            index
        };
        self.item(index).next = if queue.last == NONE {
            index
        } else {
            std::mem::replace(&mut self.item(queue.last).next, index)
        };
        queue.last = index;
    }

    /// Takes the item at the front of a queue.
    pub(super) fn pop(&mut self, queue: &mut Queue) -> Option<Item> {
        if queue.last == NONE {
            return None;
        }
        let index = self.item(queue.last).next;
        let item = *self.item(index);
        if index == queue.last {
            queue.last = NONE;
        } else {
            self.item(queue.last).next = item.next;
        }
        self.item(index).next = self.free;
        self.free = index;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_keep_their_order_and_items_are_used_again() {
        let mut backlog = Backlog::new();
        let (mut one, mut two) = (Queue::new(), Queue::new());
        for round in 0..3 {
            for i in 0..5 {
                backlog.push(&mut one, i, 0, 7);
                backlog.push(&mut two, 10 + i, 1, 0);
            }
            for i in 0..5 {
                assert_eq!(backlog.pop(&mut one).map(|item| item.result), Some(i));
                backlog.push(&mut one, 20 + i, 0, 0);
            }
            for i in 0..5 {
                assert_eq!(backlog.pop(&mut two).map(|item| item.result), Some(10 + i));
                assert_eq!(backlog.pop(&mut one).map(|item| item.result), Some(20 + i));
            }
            assert!(backlog.pop(&mut one).is_none());
            assert!(backlog.pop(&mut two).is_none());
            assert_eq!(backlog.items.len(), 10, "round {round}");
        }
    }
}
