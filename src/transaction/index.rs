//! A fixed hash index over the records' slots: buckets of slot numbers, chained through the records.

/// Buckets of a chained hash table whose links and keys live in the records.
#[derive(Debug)]
pub(super) struct Buckets {
    /// First slot of the chain + 1; 0: empty. Zeroed by the allocator, so untouched buckets cost nothing.
    first: Vec<u32>,
    mask: usize,
}

impl Buckets {
    /// As many buckets as records, rounded up to a power of two.
    pub fn new(capacity: u32) -> Buckets {
        let buckets = (capacity as usize).next_power_of_two();
        Buckets { first: vec![0; buckets], mask: buckets - 1 }
    }

    /// The first slot of the key's chain.
    pub fn first(&self, key: u64) -> Option<u32> {
        self.first[key as usize & self.mask].checked_sub(1)
    }

    /// Puts `slot` at the head of the key's chain and returns what must become its link.
    pub fn push(&mut self, key: u64, slot: u32) -> u32 {
        std::mem::replace(&mut self.first[key as usize & self.mask], slot + 1)
    }

    /// The head's cell, for unlinking.
    pub fn head_mut(&mut self, key: u64) -> &mut u32 {
        &mut self.first[key as usize & self.mask]
    }
}
