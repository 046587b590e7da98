//! Records by handle: a slab whose slots carry a generation, so that a stale handle finds nothing.

/// Names one record: its slot and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub index: u32,
    pub generation: u32,
}

/// A bounded table of records. Its memory is reserved at the start and touched as it fills.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    live: u32,
    capacity: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Free { next: u32 },
    Live(T),
}

const END: u32 = u32::MAX;

impl<T> Slab<T> {
    /// A table of at most `capacity` records.
    #[must_use]
    pub fn new(capacity: u32) -> Slab<T> {
        Slab { slots: Vec::with_capacity(capacity as usize), free: END, live: 0, capacity }
    }

    /// The handle that the next [`Slab::insert`] will give out; `None`: the table is full.
    #[must_use]
    pub fn next_handle(&self) -> Option<Handle> {
        if let Some(slot) = self.slots.get(self.free as usize) {
            return Some(Handle { index: self.free, generation: slot.generation });
        }
        let index = self.slots.len() as u32;
        (index < self.capacity).then_some(Handle { index, generation: 1 })
    }

    /// Puts a record in; a full table gives it back.
    pub fn insert(&mut self, record: T) -> Result<Handle, T> {
        let Some(handle) = self.next_handle() else { return Err(record) };
        match self.slots.get_mut(handle.index as usize) {
            Some(slot) => {
                if let Content::Free { next } = slot.content {
                    self.free = next;
                }
                slot.content = Content::Live(record);
            }
            None => self.slots.push(Slot { generation: 1, content: Content::Live(record) }),
        }
        self.live += 1;
        Ok(handle)
    }

    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&T> {
        match self.slots.get(handle.index as usize) {
            Some(Slot { generation, content: Content::Live(record) }) if *generation == handle.generation => {
                Some(record)
            }
            _ => None,
        }
    }

    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        match self.slots.get_mut(handle.index as usize) {
            Some(Slot { generation, content: Content::Live(record) }) if *generation == handle.generation => {
                Some(record)
            }
            _ => None,
        }
    }

    /// The record in a slot, whatever its generation, with its handle.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<(Handle, &T)> {
        match self.slots.get(index as usize) {
            Some(Slot { generation, content: Content::Live(record) }) => {
                Some((Handle { index, generation: *generation }, record))
            }
            _ => None,
        }
    }

    /// How many slots were ever used: [`Slab::at`] finds nothing from there on.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The generation that a free slot's next record will have; `None`: the slot is taken or was never used.
    #[must_use]
    pub fn free_generation(&self, index: u32) -> Option<u32> {
        match self.slots.get(index as usize) {
            Some(Slot { generation, content: Content::Free { .. } }) => Some(*generation),
            _ => None,
        }
    }

    /// Takes a record out; its handle finds nothing from now on.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        self.get(handle)?;
        let slot = self.slots.get_mut(handle.index as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        let content = std::mem::replace(&mut slot.content, Content::Free { next: self.free });
        self.free = handle.index;
        self.live -= 1;
        match content {
            Content::Live(record) => Some(record),
            Content::Free { .. } => None,
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.live as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_records_handle_finds_nothing_even_when_the_slot_is_used_again() {
        let mut slab = Slab::new(1);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.insert('b'), Err('b'));
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('c').unwrap();
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'c'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn the_next_handle_is_the_one_that_insert_gives() {
        let mut slab = Slab::new(3);
        for record in 0..3 {
            let next = slab.next_handle();
            assert_eq!(slab.insert(record).ok(), next);
        }
        assert_eq!(slab.next_handle(), None);
        let gone = slab.at(1).unwrap().0;
        slab.remove(gone);
        let next = slab.next_handle();
        assert_eq!(slab.insert(9).ok(), next);
    }
}
