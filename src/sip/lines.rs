//! Where lines and names end: the two searches that touch every byte of a header section.
//!
//! A byte at a time they would cost more than all the rest of a scan. Sixteen at a time, and with the
//! answer for 64 bytes kept as one bit mask, a line of 40 bytes costs a shift and a count.

/// Bytes that one mask covers.
const BLOCK: usize = 64;

/// Finds line breaks: remembers the mask of the block it stands in, so that it reads each byte once.
///
/// To be kept in a local variable that nothing borrows: it is two registers then.
#[derive(Clone, Copy)]
pub(super) struct Breaks {
    base: usize,
    mask: u64,
}

impl Breaks {
    pub(super) fn new() -> Breaks {
        Breaks { base: usize::MAX, mask: 0 }
    }

    /// The position of the first CR or LF from `from` on; `length` or more when none stands before `length`.
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
                return at + ahead.trailing_zeros() as usize;
            }
            at = base + BLOCK;
        }
        length
    }
}

/// The same without a memory, for a place that is seldom reached.
pub(super) fn next_break(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    memchr::memchr2(b'\r', b'\n', rest).map_or(text.len(), |at| from + at)
}

/// The position of the first `:` in the head of a line, `None` when there is none.
#[inline]
pub(super) fn colon_in(head: &[u8; 2 * LANE]) -> Option<usize> {
    let (lanes, _) = head.as_chunks();
    let mask = lane_mask(&lanes[0], *b":") | lane_mask(&lanes[1], *b":") << LANE;
    (mask != 0).then_some(mask.trailing_zeros() as usize)
}

/// The position of the first byte of the set from `from` on; the text's length when there is none.
#[inline]
pub(super) fn find_any<const N: usize>(text: &[u8], from: usize, set: [u8; N]) -> usize {
    let mut at = from;
    while let Some(lane) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let mask = lane_mask(lane, set);
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += LANE;
    }
    match text.last_chunk() {
        Some(lane) if at < text.len() => {
            let seen = at + LANE - text.len();
            let mask = lane_mask(lane, set) >> seen;
            if mask == 0 { text.len() } else { at + mask.trailing_zeros() as usize }
        }
        _ => {
            while at < text.len() && !set.contains(&text[at]) {
                at += 1;
            }
            at.min(text.len())
        }
    }
}

/// The bytes at a position, and zeros behind the buffer's end.
#[inline]
pub(super) fn bytes_at<const N: usize>(buffer: &[u8], at: usize) -> [u8; N] {
    match head_at(buffer, at) {
        Some(bytes) => *bytes,
        None => tail(buffer, at),
    }
}

/// The bytes at a position; `None` where the buffer has ended before the last of them.
#[inline]
pub(super) fn head_at<const N: usize>(buffer: &[u8], at: usize) -> Option<&[u8; N]> {
    // A position in a datagram fits; that the sum cannot overflow spares a branch.
    let start = at as u32 as usize;
    buffer.get(start..start + N)?.first_chunk()
}

/// One bit for each CR or LF in the block at `base`; beyond the buffer there is none.
#[inline]
fn break_mask(buffer: &[u8], base: usize) -> u64 {
    let block: [u8; BLOCK] = bytes_at(buffer, base);
    let (lanes, _) = block.as_chunks::<LANE>();
    let mut mask = 0;
    for (number, lane) in lanes.iter().enumerate() {
        mask |= u64::from(lane_mask(lane, *b"\r\n")) << (number * LANE);
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

/// One bit for each byte that equals one of the set.
#[cfg(target_arch = "x86_64")]
#[inline]
fn lane_mask<const N: usize>(bytes: &[u8; LANE], set: [u8; N]) -> u32 {
    // SAFETY: SSE2 belongs to every x86-64 processor.
    unsafe { lane_mask_sse2(bytes, set) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn lane_mask_sse2<const N: usize>(bytes: &[u8; LANE], set: [u8; N]) -> u32 {
    use core::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let value = u128::from_le_bytes(*bytes);
    let lane = _mm_set_epi64x((value >> 64) as i64, value as i64);
    let mut hits = _mm_set1_epi8(0);
    for byte in set {
        hits = _mm_or_si128(hits, _mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8)));
    }
    _mm_movemask_epi8(hits) as u32
}

/// One bit for each byte that equals one of the set.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn lane_mask<const N: usize>(bytes: &[u8; LANE], set: [u8; N]) -> u32 {
    let mut mask = 0;
    for (number, byte) in bytes.iter().enumerate() {
        mask |= u32::from(set.contains(byte)) << number;
    }
    mask
}
