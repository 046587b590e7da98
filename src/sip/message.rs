//! A scanned message: the datagram's bytes and an index of spans into them.

use super::{CSeq, HeaderName, Method, Status, via};
use crate::limits;
use std::ops::Range;

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

impl Span {
    /// Positions in a datagram fit: `limits::DATAGRAM_BYTES_MAX` bounds them.
    #[inline]
    pub(super) const fn new(start: usize, end: usize) -> Span {
        Span { start: start as u16, length: (end - start) as u16 }
    }

    #[inline]
    pub(super) fn of(range: Range<usize>) -> Span {
        Span::new(range.start, range.end)
    }

    #[inline]
    const fn behind(self, start: u16) -> Span {
        Span { start: self.start + start, length: self.length }
    }
}

/// What the scanner found: caller-owned, reused from datagram to datagram, never allocating.
///
/// Fields are private to `sip`; [`Message`] is how the rest of the program reads them. A reset writes
/// `facts`, `first` and `header_count`: entries beyond the count keep an older message's values and are never
/// read.
pub struct Index {
    pub(super) headers: [Header; limits::HEADERS_MAX],
    pub(super) header_count: u8,
    /// Where the first field of each name stands in `headers`; [`ABSENT`] for a name that does not.
    pub(super) first: [u8; NAME_COUNT],
    pub(super) facts: Facts,
}

/// Names with a slot: the known ones and `Other`.
const NAME_COUNT: usize = HeaderName::COUNT + 1;

/// No field's number.
const ABSENT: u8 = u8::MAX;

const _: () = assert!(limits::HEADERS_MAX <= ABSENT as usize);

/// What the start line made of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Request,
    Response,
}

/// What was read eagerly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub kind: Kind,
    pub start: u16,
    pub headers_end: u16,
    pub body: Span,
    pub method: Method,
    pub method_text: Span,
    pub request_uri: Span,
    pub status: Option<Status>,
    pub reason: Span,
    pub via_start: u16,
    pub top_via: Option<via::Top>,
    pub cseq: Option<CSeq>,
    pub cseq_method: Span,
    pub call_id: Span,
    pub from_tag: Span,
    pub to_tag: Span,
    pub max_forwards: Option<u8>,
    pub content_length: Option<u32>,
}

impl Facts {
    const NONE: Facts = Facts {
        kind: Kind::Unknown,
        start: 0,
        headers_end: 0,
        body: Span::new(0, 0),
        method: Method::Other,
        method_text: Span::new(0, 0),
        request_uri: Span::new(0, 0),
        status: None,
        reason: Span::new(0, 0),
        via_start: 0,
        top_via: None,
        cseq: None,
        cseq_method: Span::new(0, 0),
        call_id: Span::new(0, 0),
        from_tag: Span::new(0, 0),
        to_tag: Span::new(0, 0),
        max_forwards: None,
        content_length: None,
    };
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
    /// What stands for the body that came.
    body: Option<&'a [u8]>,
}

impl Index {
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "1 KiB that is made once and reused: no default by the way"
    )]
    pub fn new() -> Index {
        let none = Header { name: HeaderName::Other, line_start: 0, value: Span::new(0, 0) };
        Index {
            headers: [none; limits::HEADERS_MAX],
            header_count: 0,
            first: [ABSENT; NAME_COUNT],
            facts: Facts::NONE,
        }
    }

    /// The message that was scanned into this index. `datagram` is the buffer that was scanned.
    #[must_use]
    pub fn message<'a>(&'a self, datagram: &'a [u8]) -> Message<'a> {
        Message { bytes: datagram, index: self, body: None }
    }

    /// Forgets the message.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.header_count = 0;
        self.first = [ABSENT; NAME_COUNT];
        self.facts = Facts::NONE;
    }

    /// Appends a field; `None` when there is no room, otherwise whether it is the first of its name.
    #[inline]
    pub(super) fn push(&mut self, header: Header) -> Option<bool> {
        let number = self.header_count;
        *self.headers.get_mut(usize::from(number))? = header;
        self.header_count = number + 1;
        let first = &mut self.first[header.name as usize];
        let is_first = *first == ABSENT;
        if is_first {
            *first = number;
        }
        Some(is_first)
    }

    #[inline]
    pub(super) fn has(&self, name: HeaderName) -> bool {
        self.first[name as usize] != ABSENT
    }
}

impl<'a> Message<'a> {
    /// False also for a datagram that was no message at all ([`super::Fault::NotSip`]).
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.index.facts.kind == Kind::Request
    }

    /// The request's method; for a response the method of its CSeq.
    #[must_use]
    pub fn method(&self) -> Method {
        self.index.facts.method
    }

    /// The method as it stands in the Request-Line, or in the CSeq of a response.
    #[must_use]
    pub fn method_text(&self) -> &'a [u8] {
        self.text(self.index.facts.method_text)
    }

    /// The Request-URI; empty for a response.
    #[must_use]
    pub fn request_uri(&self) -> &'a [u8] {
        self.text(self.index.facts.request_uri)
    }

    /// The status of a response, `None` for a request.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.index.facts.status
    }

    /// The reason phrase of a response.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.text(self.index.facts.reason)
    }

    /// The topmost Via; `None` only after a fault.
    #[must_use]
    pub fn top_via(&self) -> Option<TopVia<'a>> {
        let start = self.index.facts.via_start;
        let top = self.index.facts.top_via?;
        Some(TopVia {
            host: self.text(top.host.behind(start)),
            port: top.port,
            branch: self.text(top.branch.behind(start)),
            wants_rport: top.wants_rport,
            text: self.text(Span { start, length: top.length }),
        })
    }

    /// Whether there is one Via value and no more, in one field or several. The response to a request of our
    /// own has just the one that we wrote: with another it is not for us (RFC 3261 §8.1.3.3). False after a
    /// fault in the topmost one.
    #[must_use]
    pub fn has_one_via(&self) -> bool {
        let mut values = self.values(HeaderName::Via);
        let (first, second) = (values.next(), values.next());
        let top = self.index.facts.top_via;
        // What stands behind the topmost one in its field begins with a comma.
        let is_alone = first.zip(top).is_some_and(|(value, top)| value.len() == usize::from(top.length));
        is_alone && second.is_none()
    }

    /// `None` only after a fault.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq> {
        self.index.facts.cseq
    }

    /// Empty only after a fault.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.text(self.index.facts.call_id)
    }

    /// The tag of From, empty when there is none (RFC 2543).
    #[must_use]
    pub fn from_tag(&self) -> &'a [u8] {
        self.text(self.index.facts.from_tag)
    }

    /// The tag of To, empty when there is none.
    #[must_use]
    pub fn to_tag(&self) -> &'a [u8] {
        self.text(self.index.facts.to_tag)
    }

    /// `None` when the header field is absent.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        self.index.facts.max_forwards
    }

    /// The body: Content-Length bytes, or to the datagram's end where the field is absent.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        match self.body {
            Some(body) => body,
            None => self.text(self.index.facts.body),
        }
    }

    /// The message with another body in the place of its own. Content-Length still says the old one's.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Message<'a> {
        Message { body: Some(body), ..self }
    }

    /// All header fields in their order. A line that is no header field ([`super::Fault::BrokenHeader`])
    /// stands among them as `Other` with an empty value.
    #[must_use]
    pub fn headers(&self) -> &'a [Header] {
        let index = self.index;
        &index.headers[..usize::from(index.header_count)]
    }

    #[must_use]
    pub fn has(&self, name: HeaderName) -> bool {
        self.index.has(name)
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&'a [u8]> {
        let number = usize::from(self.index.first[name as usize]);
        self.headers().get(number).map(|header| self.text(header.value))
    }

    /// The values of all fields of this name, one item per field (lists are not split).
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let message = *self;
        let first = usize::from(self.index.first[name as usize]);
        let headers = self.headers().get(first..).unwrap_or_default();
        headers.iter().filter(move |header| header.name == name).map(move |header| message.text(header.value))
    }

    /// The whole lines of the fields `first..last` of [`Message::headers`], each with its CRLF, as they
    /// stand in the datagram (a fold as blanks). `last` may be the number of fields; an empty or impossible
    /// range has no lines.
    #[must_use]
    pub fn lines(&self, first: usize, last: usize) -> &'a [u8] {
        let headers = self.headers();
        let Some(header) = headers.get(first) else { return &[] };
        let end = match headers.get(last) {
            Some(behind) => behind.line_start,
            None if last == headers.len() => self.index.facts.headers_end,
            None => return &[],
        };
        self.bytes.get(usize::from(header.line_start)..usize::from(end)).unwrap_or_default()
    }

    /// The bytes of a span.
    #[must_use]
    #[inline]
    pub fn text(&self, span: Span) -> &'a [u8] {
        let start = usize::from(span.start);
        self.bytes.get(start..start + usize::from(span.length)).unwrap_or_default()
    }

    /// The whole message: start line to the end of the body (bytes after Content-Length are left out).
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        let facts = &self.index.facts;
        let end = usize::from(facts.body.start) + usize::from(facts.body.length);
        self.bytes.get(usize::from(facts.start)..end).unwrap_or_default()
    }
}
