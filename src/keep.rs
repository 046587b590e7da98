//! Bytes that outlive their datagram: a pool of blocks in size classes, so that keeping a message costs a
//! copy and no allocation once the pool has grown to what the load needs.

/// Block sizes. A CFNA call keeps messages of 350 to 900 bytes, and a URI as long as it lingers; the
/// largest holds any datagram.
const SIZES: [usize; 12] = [64, 128, 384, 512, 768, 1_024, 1_536, 2_048, 4_096, 8_192, 24_576, 65_536];

/// Bytes that a class grows by.
const CHUNK_BYTES: usize = 256 * 1024;

/// Kept bytes: where they are and how many. Not `Copy`: whoever holds it gives it back by
/// [`Keep::release`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    block: u32,
    length: u16,
    class: u8,
    is_some: bool,
}

/// The pool.
#[derive(Debug)]
pub struct Keep {
    classes: [Class; SIZES.len()],
    bytes_reserved: usize,
    bytes_max: usize,
    bytes_live: usize,
}

#[derive(Debug, Default)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    /// First free block + 1; each free block holds the next one's number in its first four bytes.
    free: u32,
    /// Blocks handed out at least once.
    used: u32,
}

impl Kept {
    /// Nothing kept.
    pub const NONE: Kept = Kept { block: 0, length: 0, class: 0, is_some: false };

    #[must_use]
    pub fn is_some(&self) -> bool {
        self.is_some
    }

    #[must_use]
    pub fn take(&mut self) -> Kept {
        std::mem::take(self)
    }
}

impl Keep {
    /// A pool that grows to at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Keep {
        Keep { classes: Default::default(), bytes_reserved: 0, bytes_max, bytes_live: 0 }
    }

    /// Copies `bytes` in; `None` when the pool is full or `bytes` is longer than a datagram.
    pub fn keep(&mut self, bytes: &[u8]) -> Option<Kept> {
        let fitting = SIZES.iter().position(|&size| bytes.len() <= size)?;
        let length = u16::try_from(bytes.len()).ok()?;
        // A pool that may not grow any more serves small needs from its large blocks.
        let (class, block) =
            (fitting..SIZES.len()).find_map(|class| self.block(class).map(|block| (class, block)))?;
        self.slice_mut(class, block)[..bytes.len()].copy_from_slice(bytes);
        self.bytes_live += SIZES[class];
        Some(Kept { block, length, class: class as u8, is_some: true })
    }

    /// The kept bytes; empty for [`Kept::NONE`].
    #[must_use]
    pub fn bytes(&self, kept: &Kept) -> &[u8] {
        if !kept.is_some {
            return &[];
        }
        let (chunk, offset, _) = place(kept.class as usize, kept.block);
        &self.classes[kept.class as usize].chunks[chunk][offset..offset + kept.length as usize]
    }

    /// Gives the block back.
    pub fn release(&mut self, kept: Kept) {
        if !kept.is_some {
            return;
        }
        let class = kept.class as usize;
        let next = self.classes[class].free;
        self.slice_mut(class, kept.block)[..4].copy_from_slice(&next.to_le_bytes());
        self.classes[class].free = kept.block + 1;
        self.bytes_live -= SIZES[class];
    }

    /// Whether a new call may begin: an eighth of the pool is kept for calls that live.
    #[must_use]
    pub fn has_room_for_call(&self) -> bool {
        self.bytes_live < self.bytes_max - self.bytes_max / 8
    }

    /// Whether a request may pass through a call that lives: half of the pool is kept for the calls
    /// themselves, whatever their parties have to say to each other.
    #[must_use]
    pub fn has_room_for_relay(&self) -> bool {
        self.bytes_live < self.bytes_max / 2
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes_live == 0
    }

    /// Bytes that the pool took from the system.
    #[must_use]
    pub fn bytes_reserved(&self) -> usize {
        self.bytes_reserved
    }

    fn block(&mut self, class: usize) -> Option<u32> {
        let free = self.classes[class].free;
        if free != 0 {
            let mut next = [0; 4];
            next.copy_from_slice(&self.slice_mut(class, free - 1)[..4]);
            self.classes[class].free = u32::from_le_bytes(next);
            return Some(free - 1);
        }
        let used = self.classes[class].used;
        let (chunk, _, _) = place(class, used);
        if chunk == self.classes[class].chunks.len() {
            let bytes = chunk_blocks(class) * SIZES[class];
            if self.bytes_reserved + bytes > self.bytes_max {
                return None;
            }
            self.bytes_reserved += bytes;
            self.classes[class].chunks.push(vec![0; bytes].into_boxed_slice());
        }
        self.classes[class].used = used + 1;
        Some(used)
    }

    fn slice_mut(&mut self, class: usize, block: u32) -> &mut [u8] {
        let (chunk, offset, size) = place(class, block);
        &mut self.classes[class].chunks[chunk][offset..offset + size]
    }
}

fn chunk_blocks(class: usize) -> usize {
    CHUNK_BYTES / SIZES[class]
}

/// A block's chunk, its offset in it, and its size.
fn place(class: usize, block: u32) -> (usize, usize, usize) {
    let blocks = chunk_blocks(class);
    let block = block as usize;
    (block / blocks, block % blocks * SIZES[class], SIZES[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were_kept_and_blocks_are_used_again() {
        let mut keep = Keep::new(64 << 20);
        let texts: Vec<Vec<u8>> =
            (0..200usize).map(|i| vec![i as u8; i * 331 % 65_508]).chain([vec![7; 65_507]]).collect();
        for _ in 0..3 {
            let kept: Vec<Kept> = texts.iter().map(|text| keep.keep(text).unwrap()).collect();
            for (kept, text) in kept.iter().zip(&texts) {
                assert_eq!(keep.bytes(kept), &text[..]);
            }
            let reserved = keep.bytes_reserved();
            kept.into_iter().for_each(|kept| keep.release(kept));
            assert!(keep.is_empty());
            assert_eq!(keep.bytes_reserved(), reserved);
        }
    }

    #[test]
    fn a_full_pool_keeps_nothing_more() {
        let mut keep = Keep::new(CHUNK_BYTES);
        let kept: Vec<Kept> = (0..4).map(|_| keep.keep(&[1; 65_507]).unwrap()).collect();
        assert_eq!(keep.keep(&[1; 1_000]), None);
        kept.into_iter().for_each(|kept| keep.release(kept));
        assert!(keep.keep(&[2; 65_507]).is_some());
    }

    #[test]
    fn a_pool_full_of_large_blocks_serves_small_needs_once_they_are_free() {
        let mut keep = Keep::new(CHUNK_BYTES);
        let large: Vec<Kept> = (0..4).map(|_| keep.keep(&[1; 65_507]).unwrap()).collect();
        assert!(!keep.has_room_for_call());
        large.into_iter().for_each(|kept| keep.release(kept));
        assert!(keep.has_room_for_call());
        let small = keep.keep(b"small").unwrap();
        assert_eq!(keep.bytes(&small), b"small");
        keep.release(small);
        assert!(keep.is_empty());
    }
}
