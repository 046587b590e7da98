//! A few things of one kind in place, so that what a leg is told takes no memory of its own.

use crate::limits::HISTORY_ENTRIES_MAX;

/// At most [`HISTORY_ENTRIES_MAX`] of something, in their order.
#[derive(Clone, Copy)]
pub(super) struct Few<T> {
    items: [Option<T>; HISTORY_ENTRIES_MAX],
    count: usize,
}

impl<T: Copy> Few<T> {
    pub const fn new() -> Few<T> {
        Few { items: [None; HISTORY_ENTRIES_MAX], count: 0 }
    }

    /// `false`: there is no room.
    pub fn push(&mut self, item: T) -> bool {
        let Some(place) = self.items.get_mut(self.count) else { return false };
        *place = Some(item);
        self.count += 1;
        true
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + Clone {
        self.items[..self.count].iter().copied().flatten()
    }

    pub fn get(&self, place: usize) -> Option<T> {
        self.items.get(place).copied().flatten()
    }

    pub fn first(&self) -> Option<T> {
        self.get(0)
    }

    pub fn last(&self) -> Option<T> {
        self.get(self.count.checked_sub(1)?)
    }

    pub const fn len(&self) -> usize {
        self.count
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
