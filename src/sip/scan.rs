//! The scanner: one pass over a datagram, `memchr` for line ends, spans out.

use super::{Fault, Index};

/// Scans one datagram into `index`.
///
/// `buffer[..length]` is the datagram; `buffer` holds at least `limits::SCAN_PADDING` zero bytes behind
/// it. Folded header lines (RFC 3261 §7.3.1) are unfolded in place: the CR and LF of a fold become
/// blanks, so no span ever holds a line break. Everything that routing needs is checked here; the rest
/// is a span.
///
/// # Errors
/// The first [`Fault`] met. The index then holds what could be read: when Via, From, To, Call-ID and
/// CSeq are all readable they can be copied into a response.
pub fn scan(buffer: &mut [u8], length: usize, index: &mut Index) -> Result<(), Fault> {
    let _ = (buffer, length, index);
    unimplemented!()
}
