//! The scanner: one pass over a datagram, spans out.

use super::lines::{Breaks, find_colon};
use super::message::{Facts, Header, Kind, bit};
use super::text::{blanks_end, decimal, is_token, trim_end};
use super::{Fault, HeaderName, Index, Method, Span, cseq, name_addr, start_line, via};
use crate::limits;

/// Scans one datagram into `index`.
///
/// `buffer[..length]` is the datagram; `buffer` holds at least `limits::SCAN_PADDING` zero bytes behind
/// it. Folded header lines (RFC 3261 §7.3.1) are unfolded in place: the CR and LF of a fold become
/// blanks, so no span ever holds a line break. Everything that routing needs is checked here; the rest
/// is a span.
///
/// CR and LF before the start line are skipped (RFC 3261 §7.5). A line may end in a lone LF and a lone CR
/// becomes a blank, but both are faults: a peer might see other lines in them than we do.
///
/// # Errors
/// The first [`Fault`] met: the start line's, then the header lines' in their order, then mandatory fields
/// that are missing, CSeq's method, Content-Length. The index then holds what could be read: when Via, From,
/// To, Call-ID and CSeq are all readable they can be copied into a response.
pub fn scan(buffer: &mut [u8], length: usize, index: &mut Index) -> Result<(), Fault> {
    index.reset();
    let length = length.min(buffer.len()).min(limits::DATAGRAM_BYTES_MAX);
    let start = message_start(&buffer[..length])?;
    let mut scanner = Scanner { buffer, length, index, breaks: Breaks::new(), fault: None };
    scanner.read_start_line(start)?;
    scanner.read_headers();
    scanner.judge();
    match scanner.fault {
        None => Ok(()),
        Some(fault) => Err(fault),
    }
}

/// Behind the line breaks in front of the message.
#[inline]
fn message_start(datagram: &[u8]) -> Result<usize, Fault> {
    match datagram.first() {
        Some(first) if *first > b' ' => Ok(0),
        _ => late_message_start(datagram),
    }
}

#[cold]
fn late_message_start(datagram: &[u8]) -> Result<usize, Fault> {
    if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b'\0' | b' ' | b'\t')) {
        return Err(Fault::KeepAlive);
    }
    Ok(datagram.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count())
}

/// Fields that every message has (RFC 3261 §8.1.1); Max-Forwards is not among them, for RFC 2543's sake.
const MANDATORY: [HeaderName; 5] =
    [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];

const MANDATORY_BITS: u128 = {
    let mut bits = 0;
    let mut number = 0;
    while number < MANDATORY.len() {
        bits |= bit(MANDATORY[number]);
        number += 1;
    }
    bits
};

struct Scanner<'a> {
    buffer: &'a mut [u8],
    length: usize,
    index: &'a mut Index,
    breaks: Breaks,
    fault: Option<Fault>,
}

/// A line: where its text ends and where the next one starts.
struct Line {
    end: usize,
    next: usize,
}

impl Scanner<'_> {
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn facts(&mut self) -> &mut Facts {
        &mut self.index.facts
    }

    /// Reads the start line; only [`Fault::NotSip`] ends the scan.
    #[inline]
    fn read_start_line(&mut self, start: usize) -> Result<(), Fault> {
        let line = self.line(start, false);
        if let Err(fault) = start_line::read(self.buffer, start, line.end, &mut self.index.facts) {
            if fault == Fault::NotSip {
                return Err(fault);
            }
            self.note(fault);
        }
        let facts = self.facts();
        facts.start = start as u16;
        facts.headers_end = line.next as u16;
        Ok(())
    }

    /// Reads header lines up to the empty one. Leaves in `facts.headers_end` where they end, and in
    /// `facts.body` where the body may start.
    fn read_headers(&mut self) {
        let mut start = usize::from(self.index.facts.headers_end);
        loop {
            let line = self.line(start, true);
            if line.end == start {
                self.facts().headers_end = start as u16;
                self.facts().body = Span::new(line.next, line.next);
                return;
            }
            if !self.read_header(start, line.end) {
                self.note(Fault::TooManyHeaders);
                self.facts().headers_end = start as u16;
                self.facts().body = Span::new(self.length, self.length);
                return;
            }
            start = line.next;
        }
    }

    /// Finds the end of the line that starts at `start`, and undoes its folds.
    #[inline]
    fn line(&mut self, start: usize, may_fold: bool) -> Line {
        let mut from = start;
        loop {
            let end = self.breaks.next(self.buffer, from, self.length);
            let next = match self.buffer.get(end..self.length) {
                Some([b'\r', b'\n', ..]) => end + 2,
                Some([_, ..]) => match self.lone_break(end) {
                    Some(next) => next,
                    None => {
                        from = end + 1;
                        continue;
                    }
                },
                _ => {
                    self.note(Fault::BrokenHeader);
                    return Line { end, next: end };
                }
            };
            let is_fold = may_fold
                && end > start
                && next < self.length
                && matches!(self.buffer.get(next), Some(b' ' | b'\t'));
            if !is_fold {
                return Line { end, next };
            }
            self.buffer[end..next].fill(b' ');
            from = next;
        }
    }

    /// A CR or LF that stands alone: an LF ends the line, a CR does not.
    #[cold]
    fn lone_break(&mut self, at: usize) -> Option<usize> {
        self.note(Fault::BrokenHeader);
        if self.buffer[at] == b'\n' {
            return Some(at + 1);
        }
        self.buffer[at] = b' ';
        None
    }

    /// Reads one header line; false when the index is full.
    #[inline]
    fn read_header(&mut self, start: usize, end: usize) -> bool {
        let colon = find_colon(self.buffer, start, end);
        let name_end = start + trim_end(&self.buffer[start..colon]).len();
        let name = HeaderName::classify_at(self.buffer, start, name_end - start);
        if colon == end || name == HeaderName::Other && !is_token(&self.buffer[start..name_end]) {
            let value = Span::new(end, end);
            let header = Header { name: HeaderName::Other, line_start: start as u16, value };
            let has_room = self.index.push(header).is_some();
            if has_room {
                self.note(Fault::BrokenHeader);
            }
            return has_room;
        }
        let line = &self.buffer[..end];
        let value_start = blanks_end(line, colon + 1);
        let value = Span::new(value_start, value_start + trim_end(&line[value_start..]).len());
        match self.index.push(Header { name, line_start: start as u16, value }) {
            None => return false,
            Some(true) => self.read_value(name, value),
            Some(false) if name.is_once_only() => self.note(Fault::Repeated(name)),
            Some(false) => {}
        }
        true
    }

    /// Reads the values that routing needs.
    #[inline]
    fn read_value(&mut self, name: HeaderName, value: Span) {
        let start = usize::from(value.start);
        let text = &self.buffer[start..start + usize::from(value.length)];
        let facts = &mut self.index.facts;
        let is_good = match name {
            HeaderName::Via => {
                facts.via_start = value.start;
                facts.top_via = via::read_top(text);
                facts.top_via.is_some()
            }
            HeaderName::From => read_tag(text, start, &mut facts.from_tag),
            HeaderName::To => read_tag(text, start, &mut facts.to_tag),
            HeaderName::CallId => {
                facts.call_id = value;
                !text.is_empty()
            }
            HeaderName::CSeq => read_cseq(text, start, facts),
            HeaderName::MaxForwards => {
                facts.max_forwards = decimal(text).and_then(|number| u8::try_from(number).ok());
                facts.max_forwards.is_some()
            }
            HeaderName::ContentLength => {
                facts.content_length = decimal(text);
                facts.content_length.is_some()
            }
            _ => true,
        };
        if !is_good {
            self.note(Fault::Malformed(name));
        }
    }

    /// RFC 3261 §8.1.1.5. A CSeq that could not be read has been judged already.
    #[inline]
    fn is_cseq_method_ours(&self) -> bool {
        let facts = &self.index.facts;
        let Some(cseq) = facts.cseq else { return true };
        let text = |span: Span| &self.buffer[usize::from(span.start)..][..usize::from(span.length)];
        cseq.method == facts.method
            && (cseq.method != Method::Other || text(facts.cseq_method) == text(facts.method_text))
    }

    /// Judges the message as a whole, and measures its body.
    #[inline]
    fn judge(&mut self) {
        if self.index.present & MANDATORY_BITS != MANDATORY_BITS {
            let present = self.index.present;
            let is_missing = |name: &HeaderName| present & bit(*name) == 0;
            if let Some(name) = MANDATORY.into_iter().find(is_missing) {
                self.note(Fault::Missing(name));
            }
        }
        if self.index.facts.kind == Kind::Request && !self.is_cseq_method_ours() {
            self.note(Fault::CSeqMethod);
        }
        let facts = &mut self.index.facts;
        let start = usize::from(facts.body.start);
        let room = self.length - start;
        let wanted = facts.content_length.map_or(room, |bytes| bytes as usize);
        facts.body = Span::new(start, start + wanted.min(room));
        if wanted > room {
            self.note(Fault::Truncated);
        }
    }
}

#[inline]
fn read_tag(value: &[u8], start: usize, tag: &mut Span) -> bool {
    let Some(found) = name_addr::read_tag(value) else { return false };
    *tag = Span::new(start + found.start, start + found.end);
    true
}

#[inline]
fn read_cseq(value: &[u8], start: usize, facts: &mut Facts) -> bool {
    let Some((cseq, method)) = cseq::read(value) else { return false };
    facts.cseq = Some(cseq);
    facts.cseq_method = Span { start: method.start + start as u16, length: method.length };
    if facts.kind == Kind::Response {
        facts.method = cseq.method;
        facts.method_text = facts.cseq_method;
    }
    true
}
