//! A few things of one kind: what came with an INVITE and what is made of it.

use crate::limits::HISTORY_ENTRIES_MAX;

/// At most [`HISTORY_ENTRIES_MAX`] of something, in their order. Empty, as it mostly is, it takes no memory
/// of its own.
#[derive(Clone)]
pub(super) struct Few<T> {
    items: Vec<T>,
}

impl<T: Copy> Few<T> {
    pub const fn new() -> Few<T> {
        Few { items: Vec::new() }
    }

    /// `false`: there is no room.
    pub fn push(&mut self, item: T) -> bool {
        let has_room = self.items.len() < HISTORY_ENTRIES_MAX;
        if has_room {
            self.items.push(item);
        }
        has_room
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + Clone {
        self.items.iter().copied()
    }

    pub fn get(&self, place: usize) -> Option<T> {
        self.items.get(place).copied()
    }

    pub fn first(&self) -> Option<T> {
        self.get(0)
    }

    pub fn last(&self) -> Option<T> {
        self.items.last().copied()
    }

    pub const fn len(&self) -> usize {
        self.items.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
