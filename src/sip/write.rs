//! Messages out: pieces appended in order, runs of a received message copied whole (splicing).

use super::message::Header;
use super::{HeaderName, Message, Method, Status};

/// Appends SIP text to a buffer that has the room (`Outbox` checks that before a datagram is handled).
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    pub fn new(out: &'b mut Vec<u8>) -> Writer<'b> {
        Writer { out }
    }

    /// `INVITE sip:… SIP/2.0`
    pub fn request_line(&mut self, method: Method, uri: &[u8]) {
        self.raw(method.name().as_bytes()).raw(b" ").raw(uri).raw(b" SIP/2.0\r\n");
    }

    /// `SIP/2.0 180 Ringing`; an empty `reason` means the status's own phrase.
    pub fn status_line(&mut self, status: Status, reason: &[u8]) {
        let reason = if reason.is_empty() { status.reason().as_bytes() } else { reason };
        self.raw(b"SIP/2.0 ").number(u64::from(status.code())).raw(b" ").raw(reason).raw(b"\r\n");
    }

    /// A whole header field.
    pub fn header(&mut self, name: HeaderName, value: &[u8]) {
        self.name(name).raw(value).raw(b"\r\n");
    }

    /// `Name: `, for a value that is written in pieces; [`Writer::end_line`] closes it.
    pub fn name(&mut self, name: HeaderName) -> &mut Self {
        self.raw(name.text().as_bytes()).raw(b": ")
    }

    pub fn end_line(&mut self) {
        self.raw(b"\r\n");
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// How long the text is that was written so far, with what stood there before.
    #[must_use]
    pub fn length(&self) -> usize {
        self.out.len()
    }

    /// A decimal number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        let mut rest = number;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.raw(&digits[start..])
    }

    /// Copies every header field of `message` that `keep` accepts, in order; neighbours go in one copy.
    pub fn splice_headers(&mut self, message: &Message<'_>, keep: impl Fn(HeaderName) -> bool) {
        self.splice_fields(message, |header| keep(header.name));
    }

    /// The same for a `keep` that looks at more than the name.
    pub fn splice_fields(&mut self, message: &Message<'_>, keep: impl Fn(&Header) -> bool) {
        let headers = message.headers();
        let mut first = 0;
        while first < headers.len() {
            if !keep(&headers[first]) {
                first += 1;
                continue;
            }
            let mut last = first + 1;
            while last < headers.len() && keep(&headers[last]) {
                last += 1;
            }
            self.raw(message.lines(first, last));
            first = last;
        }
    }

    /// Content-Length, the empty line and the body: the end of the message.
    pub fn body(&mut self, body: &[u8]) {
        self.name(HeaderName::ContentLength).number(body.len() as u64).raw(b"\r\n\r\n").raw(body);
    }
}
