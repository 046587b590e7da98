//! A scanned message: the datagram's bytes and an index of spans into them.

use super::{CSeq, HeaderName, Method, Status};
use crate::limits;

/// A range of the datagram: a position and a length, both in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u16,
    pub length: u16,
}

/// One header field of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: HeaderName,
    /// Where the field's line starts. The line ends where the next one starts.
    pub line_start: u16,
    /// The value without surrounding white space.
    pub value: Span,
}

/// What the scanner found: caller-owned, reused from datagram to datagram, never allocating.
///
/// Fields are private to `sip`; [`Message`] is how the rest of the program reads them.
pub struct Index {
    pub(super) headers: [Header; limits::HEADERS_MAX],
    pub(super) header_count: u8,
}

/// The topmost Via as far as routing needs it (RFC 3261 §18, RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopVia<'a> {
    /// Host of sent-by; an IPv6 reference keeps its brackets.
    pub host: &'a [u8],
    pub port: Option<u16>,
    /// Empty when there is none (RFC 2543).
    pub branch: &'a [u8],
    /// `rport` stands there without a value (RFC 3581 §3).
    pub wants_rport: bool,
    /// The first via-parm's text, without white space around it, up to the comma or the end of the value.
    pub text: &'a [u8],
}

/// A message: bytes and index together. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

impl Index {
    #[must_use]
    pub fn new() -> Index {
        unimplemented!()
    }

    /// The message that was scanned into this index. `datagram` is the buffer that was scanned.
    #[must_use]
    pub fn message<'a>(&'a self, datagram: &'a [u8]) -> Message<'a> {
        Message { bytes: datagram, index: self }
    }
}

impl<'a> Message<'a> {
    #[must_use]
    pub fn is_request(&self) -> bool {
        unimplemented!()
    }
    /// The request's method; for a response the method of its CSeq.
    #[must_use]
    pub fn method(&self) -> Method {
        unimplemented!()
    }
    /// The method as it stands in the Request-Line, or in the CSeq of a response.
    #[must_use]
    pub fn method_text(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// The Request-URI; empty for a response.
    #[must_use]
    pub fn request_uri(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// The status of a response, `None` for a request.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        unimplemented!()
    }
    /// The reason phrase of a response.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// The topmost Via; `None` only after a fault.
    #[must_use]
    pub fn top_via(&self) -> Option<TopVia<'a>> {
        unimplemented!()
    }
    /// `None` only after a fault.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq> {
        unimplemented!()
    }
    /// Empty only after a fault.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// The tag of From, empty when there is none (RFC 2543).
    #[must_use]
    pub fn from_tag(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// The tag of To, empty when there is none.
    #[must_use]
    pub fn to_tag(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// `None` when the header field is absent.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        unimplemented!()
    }
    /// The body: Content-Length bytes, or to the datagram's end where the field is absent.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// All header fields in their order.
    #[must_use]
    pub fn headers(&self) -> &'a [Header] {
        unimplemented!()
    }
    #[must_use]
    pub fn has(&self, name: HeaderName) -> bool {
        let _ = name;
        unimplemented!()
    }
    /// The value of the first field of this name.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&'a [u8]> {
        let _ = name;
        unimplemented!()
    }
    /// The values of all fields of this name, one item per field (lists are not split).
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let _ = name;
        std::iter::empty()
    }
    /// The whole lines of the fields `first..last` of [`Message::headers`], each with its CRLF, as they
    /// stand in the datagram.
    #[must_use]
    pub fn lines(&self, first: usize, last: usize) -> &'a [u8] {
        let _ = (first, last);
        unimplemented!()
    }
    /// The bytes of a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &'a [u8] {
        let _ = span;
        let _ = (self.bytes, self.index);
        unimplemented!()
    }
    /// The whole message: start line to the end of the body (bytes after Content-Length are left out).
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        unimplemented!()
    }
}
