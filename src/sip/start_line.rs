//! The start line: Request-Line and Status-Line (RFC 3261 §7.1, §7.2).

use super::message::{Facts, Kind};
use super::text::{is_token, trim};
use super::{Fault, Method, Span, Status};
use crate::limits;

/// Reads the line `buffer[start..end]`, its line break not included, into `facts`.
///
/// # Errors
/// [`Fault::NotSip`], and nothing is read; [`Fault::BrokenStartLine`], [`Fault::Version`] and
/// [`Fault::RequestUriTooLong`], and what can be told apart is read.
pub(super) fn read(buffer: &[u8], start: usize, end: usize, facts: &mut Facts) -> Result<(), Fault> {
    let line = Line { text: &buffer[start..end], start };
    match line.text.first_chunk::<4>() {
        Some(word) if is_sip_slash(word) => line.read_status(facts),
        _ => line.read_request(facts),
    }
}

struct Line<'a> {
    text: &'a [u8],
    start: usize,
}

/// ` SIP/2.0` or `SIP/2.0 `, the version in any case (RFC 3261 §7.1), as one word each.
const BEFORE_END: u64 = u64::from_le_bytes(*b" sip/2.0");
const AT_START: u64 = u64::from_le_bytes(*b"sip/2.0 ");
const BEFORE_END_FOLD: u64 = u64::from_le_bytes(*b"\0   \0\0\0\0");
const AT_START_FOLD: u64 = u64::from_le_bytes(*b"   \0\0\0\0\0");

impl Line<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.start + start, self.start + end)
    }

    /// `Method SP Request-URI SP SIP-Version`, each blank a single space.
    #[inline]
    fn read_request(&self, facts: &mut Facts) -> Result<(), Fault> {
        let Some((head, version)) = self.text.split_last_chunk::<8>() else {
            return self.read_odd_request(facts);
        };
        if u64::from_le_bytes(*version) | BEFORE_END_FOLD != BEFORE_END {
            return self.read_odd_request(facts);
        }
        let method_end = head.iter().position(|byte| *byte == b' ').unwrap_or(head.len());
        let method = Method::from_token(&head[..method_end]);
        let uri = head.get(method_end + 1..).unwrap_or_default();
        if !is_method(&head[..method_end], method) || !is_like_uri(uri) {
            return self.read_odd_request(facts);
        }
        facts.kind = Kind::Request;
        facts.method = method;
        facts.method_text = self.span(0, method_end);
        facts.request_uri = self.span(method_end + 1, head.len());
        if uri.len() > limits::REQUEST_URI_BYTES_MAX { Err(Fault::RequestUriTooLong) } else { Ok(()) }
    }

    /// Another line than that: still an attempt at a request if its last word is a version.
    #[cold]
    fn read_odd_request(&self, facts: &mut Facts) -> Result<(), Fault> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let line = trim(self.text);
        let word_start = line.iter().rposition(is_blank).map_or(0, |blank| blank + 1);
        let version = &line[word_start..];
        if word_start == 0 || !version.first_chunk().is_some_and(is_sip_slash) {
            return Err(Fault::NotSip);
        }
        facts.kind = Kind::Request;
        let offset = self.text.iter().take_while(|byte| is_blank(byte)).count();
        let method_end = line.iter().position(is_blank).unwrap_or(line.len());
        facts.method = Method::from_token(&line[..method_end]);
        facts.method_text = self.span(offset, offset + method_end);
        let uri_start = (method_end + 1).min(word_start - 1);
        let uri = &line[uri_start..word_start - 1];
        facts.request_uri = self.span(offset + uri_start, offset + word_start - 1);
        let is_plain =
            line.len() == self.text.len() && line[method_end] == b' ' && line[word_start - 1] == b' ';
        if is_plain
            && is_other_version(version)
            && is_method(&line[..method_end], facts.method)
            && is_like_uri(uri)
        {
            return Err(Fault::Version);
        }
        Err(Fault::BrokenStartLine)
    }

    /// `SIP-Version SP Status-Code SP Reason-Phrase`; the space before an empty phrase may be missing
    /// (RFC 4475 §3.1.1.13). A status that is none is not answered and not fit to be relayed: not SIP.
    #[inline]
    fn read_status(&self, facts: &mut Facts) -> Result<(), Fault> {
        let mut version_end = 7;
        let is_ours =
            self.text.first_chunk().is_some_and(|word| u64::from_le_bytes(*word) | AT_START_FOLD == AT_START);
        if !is_ours {
            version_end = memchr::memchr(b' ', self.text).ok_or(Fault::NotSip)?;
            if !is_other_version(&self.text[..version_end]) {
                return Err(Fault::NotSip);
            }
        }
        let code = self.text[version_end..].first_chunk().and_then(status).ok_or(Fault::NotSip)?;
        let reason_start = version_end + 5;
        if !matches!(self.text.get(reason_start - 1), None | Some(b' ')) {
            return Err(Fault::NotSip);
        }
        facts.kind = Kind::Response;
        facts.status = Some(code);
        facts.reason = self.span(reason_start.min(self.text.len()), self.text.len());
        if is_ours { Ok(()) } else { Err(Fault::Version) }
    }
}

/// A space and three digits, 100 to 699.
fn status(text: &[u8; 4]) -> Option<Status> {
    match text {
        [b' ', hundreds @ b'1'..=b'6', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Status::new(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
        }
        _ => None,
    }
}

fn is_sip_slash(word: &[u8; 4]) -> bool {
    word.eq_ignore_ascii_case(b"SIP/")
}

/// `SIP/` digits `.` digits. (`SIP/2.0` itself is met here only behind a blank that does not belong there.)
fn is_other_version(version: &[u8]) -> bool {
    let mut numbers = version[4..].split(|byte| *byte == b'.');
    let mut is_number =
        || numbers.next().is_some_and(|text| !text.is_empty() && text.iter().all(u8::is_ascii_digit));
    is_number() && is_number() && numbers.next().is_none() && !version[4..].eq_ignore_ascii_case(b"2.0")
}

fn is_method(text: &[u8], method: Method) -> bool {
    method != Method::Other || is_token(text)
}

/// A letter first, and neither blanks nor control bytes: the rest is the URI's own view to judge.
fn is_like_uri(uri: &[u8]) -> bool {
    // Without a way out in the middle the compiler looks at 16 bytes at once.
    let has_odd_byte = uri.iter().fold(false, |has, byte| has | (*byte <= b' ') | (*byte == 0x7f));
    uri.first().is_some_and(u8::is_ascii_alphabetic) && !has_odd_byte
}
