//! Records by index: a handle is a slot and the slot's generation, so a stale handle finds nothing.
//! Storage grows by whole chunks that never move, and a freed record keeps its buffers for the next one.

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Where a record is, and which of its slot's tenants it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    slot: u32,
    /// Odd while the slot is taken.
    generation: u32,
}

impl Handle {
    /// The handle as one number, which is what stands in our tags and branches.
    pub const fn bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    pub const fn from_bits(bits: u64) -> Handle {
        Handle { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

struct Slot<T> {
    generation: u32,
    record: T,
}

/// A table of records.
pub struct Slab<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    live: usize,
}

impl<T: Default> Slab<T> {
    pub fn new() -> Slab<T> {
        Slab { chunks: Vec::new(), free: Vec::new(), live: 0 }
    }

    /// Records that are taken.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Takes a free record. It holds whatever its last tenant left: the caller resets it.
    pub fn claim(&mut self) -> (Handle, &mut T) {
        if self.free.is_empty() {
            self.grow();
        }
        // `grow` has just put a chunk's worth of slots there, so slot 0 is never the answer by default.
        let slot = self.free.pop().unwrap_or_default();
        self.live += 1;
        let place = &mut self.chunks[slot as usize >> CHUNK_BITS][slot as usize & (CHUNK - 1)];
        place.generation = place.generation.wrapping_add(1);
        (Handle { slot, generation: place.generation }, &mut place.record)
    }

    /// The record that the handle names, unless it was released.
    #[inline]
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let place = self
            .chunks
            .get_mut(handle.slot as usize >> CHUNK_BITS)?
            .get_mut(handle.slot as usize & (CHUNK - 1))?;
        (place.generation == handle.generation && handle.generation & 1 == 1).then_some(&mut place.record)
    }

    /// Whether the handle names a record.
    pub fn contains(&mut self, handle: Handle) -> bool {
        self.get_mut(handle).is_some()
    }

    /// Gives a record back; a stale handle does nothing.
    pub fn release(&mut self, handle: Handle) {
        if !self.contains(handle) {
            return;
        }
        let place = &mut self.chunks[handle.slot as usize >> CHUNK_BITS][handle.slot as usize & (CHUNK - 1)];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(handle.slot);
        self.live -= 1;
    }

    /// The handles of all records that are taken.
    pub fn handles(&self) -> Vec<Handle> {
        let slots = self.chunks.iter().flat_map(|chunk| chunk.iter()).zip(0u32..);
        slots
            .filter(|(place, _)| place.generation & 1 == 1)
            .map(|(place, slot)| Handle { slot, generation: place.generation })
            .collect()
    }

    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        self.chunks.push((0..CHUNK).map(|_| Slot { generation: 0, record: T::default() }).collect());
        self.free.extend((first..first + CHUNK as u32).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_handle_finds_nothing_even_when_its_slot_is_taken_again() {
        let mut slab: Slab<u8> = Slab::new();
        let (first, record) = slab.claim();
        *record = 7;
        slab.release(first);
        slab.release(first);
        let (second, record) = slab.claim();
        assert_eq!(*record, 7, "a record keeps what its last tenant left");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 7));
        assert_eq!(slab.live(), 1);
        assert_eq!(slab.handles(), vec![second]);
    }

    #[test]
    fn a_handle_survives_its_number_form() {
        let mut slab: Slab<u8> = Slab::new();
        let handles: Vec<Handle> = (0..CHUNK + 3).map(|_| slab.claim().0).collect();
        for handle in handles {
            assert_eq!(Handle::from_bits(handle.bits()), handle);
            assert!(slab.contains(handle));
        }
        assert!(!slab.contains(Handle::from_bits(u64::MAX)));
    }
}
