//! The RAck header field of a PRACK: which reliable provisional response it acknowledges (RFC 3262 §7.2).

use super::number::digits;
use super::text::{blanks_end, trim};
use super::{Malformed, Method, cseq};

/// The RSeq of a response, and the CSeq of the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    pub rseq: u32,
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub cseq: u32,
    pub method: Method,
    /// The method as it stands.
    pub method_text: &'a [u8],
}

impl<'a> RAck<'a> {
    /// Parses `response-num LWS CSeq-num LWS Method`.
    ///
    /// # Errors
    /// [`Malformed`] when it is anything else, or a number is too large for what it names.
    pub fn parse(value: &'a [u8]) -> Result<RAck<'a>, Malformed> {
        let value = trim(value);
        let (rseq, end) = digits(value, 0).ok_or(Malformed)?;
        let rseq = u32::try_from(rseq).map_err(|_| Malformed)?;
        let start = blanks_end(value, end);
        if start == end {
            return Err(Malformed);
        }
        let rest = &value[start..];
        let (cseq, method) = cseq::read(rest).ok_or(Malformed)?;
        let method_text = &rest[usize::from(method.start)..];
        Ok(RAck { rseq, cseq: cseq.number, method: cseq.method, method_text })
    }
}
