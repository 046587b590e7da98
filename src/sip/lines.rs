//! Where lines and names end: the two searches that touch every byte of a header section.
//!
//! A byte at a time they would cost more than all the rest of a scan. Sixteen at a time, and with the
//! answer for 64 bytes kept as one bit mask, a line of 40 bytes costs a shift and a count.

/// Bytes that one mask covers.
const BLOCK: usize = 64;

/// Finds line breaks: remembers the mask of the block it stands in, so that it reads each byte once.
pub(super) struct Breaks {
    base: usize,
    mask: u64,
}

impl Breaks {
    pub(super) fn new() -> Breaks {
        Breaks { base: usize::MAX, mask: 0 }
    }

    /// The position of the first CR or LF in `buffer[from..length]`; `length` when there is none.
    /// A byte that was blanked since it was found may be reported again only from before its position.
    #[inline]
    pub(super) fn next(&mut self, buffer: &[u8], from: usize, length: usize) -> usize {
        let mut at = from;
        while at < length {
            let base = at & !(BLOCK - 1);
            if base != self.base {
                self.mask = break_mask(buffer, base);
                self.base = base;
            }
            let ahead = self.mask >> (at - base);
            if ahead != 0 {
                return (at + ahead.trailing_zeros() as usize).min(length);
            }
            at = base + BLOCK;
        }
        length
    }
}

/// The position of the first `:` in `buffer[from..end]`; `end` when there is none.
#[inline]
pub(super) fn find_colon(buffer: &[u8], from: usize, end: usize) -> usize {
    let mut at = from;
    while at < end {
        let mask = match buffer.get(at..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => lane_mask(bytes, b':', b':'),
            None => lane_mask(&tail(buffer, at), b':', b':'),
        };
        if mask != 0 {
            return (at + mask.trailing_zeros() as usize).min(end);
        }
        at += LANE;
    }
    end
}

/// One bit for each CR or LF in the block at `base`; beyond the buffer there is none.
#[inline]
fn break_mask(buffer: &[u8], base: usize) -> u64 {
    match buffer.get(base..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        Some(block) => block_mask(block),
        None => block_mask(&tail(buffer, base)),
    }
}

#[inline]
fn block_mask(block: &[u8; BLOCK]) -> u64 {
    let (lanes, _) = block.as_chunks::<LANE>();
    let mut mask = 0;
    for (number, lane) in lanes.iter().enumerate() {
        mask |= u64::from(lane_mask(lane, b'\r', b'\n')) << (number * LANE);
    }
    mask
}

/// What is left of the buffer from `at` on, with zeros behind it: only where the padding is missing.
#[cold]
fn tail<const N: usize>(buffer: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(buffer.iter().skip(at)) {
        *to = *from;
    }
    bytes
}

/// Bytes in one vector of the baseline instruction set.
const LANE: usize = 16;

/// One bit for each byte that equals `first` or `second`.
#[cfg(target_arch = "x86_64")]
#[inline]
fn lane_mask(bytes: &[u8; LANE], first: u8, second: u8) -> u32 {
    // SAFETY: SSE2 belongs to every x86-64 processor.
    unsafe { lane_mask_sse2(bytes, first, second) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn lane_mask_sse2(bytes: &[u8; LANE], first: u8, second: u8) -> u32 {
    use core::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let value = u128::from_le_bytes(*bytes);
    let lane = _mm_set_epi64x((value >> 64) as i64, value as i64);
    let first = _mm_cmpeq_epi8(lane, _mm_set1_epi8(first as i8));
    let second = _mm_cmpeq_epi8(lane, _mm_set1_epi8(second as i8));
    _mm_movemask_epi8(_mm_or_si128(first, second)) as u32
}

/// One bit for each byte that equals `first` or `second`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn lane_mask(bytes: &[u8; LANE], first: u8, second: u8) -> u32 {
    let mut mask = 0;
    for (number, byte) in bytes.iter().enumerate() {
        mask |= u32::from(*byte == first || *byte == second) << number;
    }
    mask
}
