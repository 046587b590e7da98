//! The CSeq header field (RFC 3261 §20.16).

use super::Method;

/// A sequence number and the method that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    pub method: Method,
}
