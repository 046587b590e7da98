//! The CSeq header field (RFC 3261 §20.16).

use super::text::{blanks_end, is_token};
use super::{Method, Span};

/// A sequence number and the method that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    pub method: Method,
}

/// CSeq numbers end here (RFC 3261 §8.1.1.5).
const NUMBER_END: u64 = 1 << 31;

/// Reads `1*DIGIT LWS Method`; the span is the method's, counted from the value's start.
pub(super) fn read(value: &[u8]) -> Option<(CSeq, Span)> {
    let mut number = 0u64;
    let mut at = 0;
    while let Some(digit @ b'0'..=b'9') = value.get(at) {
        number = number * 10 + u64::from(digit - b'0');
        if number >= NUMBER_END {
            return None;
        }
        at += 1;
    }
    let start = blanks_end(value, at);
    if at == 0 || start == at {
        return None;
    }
    let token = &value[start..];
    let method = Method::from_token(token);
    if method == Method::Other && !is_token(token) {
        return None;
    }
    Some((CSeq { number: number as u32, method }, Span::new(start, value.len())))
}
