//! The scanner: one pass over a datagram, spans out.

use super::header::{NAME_ROOM, last_of};
use super::lines::{Breaks, bytes_at, colon_in, head_at, next_break};
use super::message::{Facts, Header, Kind};
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
    let mut scanner = Scanner { buffer, length, index, fault: None };
    scanner.read_lines(start)?;
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

struct Scanner<'a> {
    buffer: &'a mut [u8],
    length: usize,
    index: &'a mut Index,
    fault: Option<Fault>,
}

/// A line: where its text ends, the last byte of it and where the next one starts. Small enough to be
/// returned in registers.
#[derive(Clone, Copy)]
struct Line {
    end: u32,
    next: u32,
    last: u8,
}

impl Scanner<'_> {
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn facts(&mut self) -> &mut Facts {
        &mut self.index.facts
    }

    /// Reads the start line and the header lines up to the empty one. Leaves in `facts.headers_end` where
    /// they end, and in `facts.body` where the body may start. Only [`Fault::NotSip`] ends it early.
    fn read_lines(&mut self, first: usize) -> Result<(), Fault> {
        let mut breaks = Breaks::new();
        let line = self.line(first, false, &mut breaks);
        self.read_start_line(first, line.end as usize)?;
        let mut start = line.next as usize;
        loop {
            let line = self.line(start, true, &mut breaks);
            let mut body = line.next as usize;
            let is_empty = line.end as usize == start;
            if !is_empty && self.read_header(start, line) {
                start = line.next as usize;
                continue;
            }
            if !is_empty {
                self.note(Fault::TooManyHeaders);
                body = self.length;
            }
            self.facts().headers_end = start as u16;
            self.facts().body = Span::new(body, body);
            return Ok(());
        }
    }

    #[inline]
    fn read_start_line(&mut self, start: usize, end: usize) -> Result<(), Fault> {
        if let Err(fault) = start_line::read(self.buffer, start, end, &mut self.index.facts) {
            if fault == Fault::NotSip {
                return Err(fault);
            }
            self.note(fault);
        }
        self.facts().start = start as u16;
        Ok(())
    }

    /// Finds the end of the line that starts at `start`, and undoes its folds.
    #[inline(always)]
    fn line(&mut self, start: usize, may_fold: bool, breaks: &mut Breaks) -> Line {
        let end = breaks.next(self.buffer, start, self.length);
        let next = end + 2;
        match bytes_at(self.buffer, end.wrapping_sub(1)) {
            [last, b'\r', b'\n', behind] if behind != b' ' && behind != b'\t' && next <= self.length => {
                Line { end: end as u32, next: next as u32, last }
            }
            _ => self.odd_line(start, end, may_fold),
        }
    }

    /// The same for a line that seems to be folded, or that has no proper end at `end`.
    #[cold]
    fn odd_line(&mut self, start: usize, end: usize, may_fold: bool) -> Line {
        let mut end = end.min(self.length);
        loop {
            let mut next = end + 1;
            let mut has_ended = false;
            match self.break_at(end) {
                None => {
                    self.note(Fault::BrokenHeader);
                    next = end;
                    has_ended = true;
                }
                // A lone CR does not end a line.
                Some(0) => {}
                Some(length) => {
                    next = end + length;
                    let goes_on = next < self.length && matches!(self.buffer[next], b' ' | b'\t');
                    has_ended = !(goes_on && may_fold && end > start);
                    if !has_ended {
                        self.buffer[end..next].fill(b' ');
                    }
                }
            }
            if has_ended {
                let last = self.buffer[start..end].last().copied().unwrap_or_default();
                return Line { end: end as u32, next: next as u32, last };
            }
            end = next_break(&self.buffer[..self.length], next);
        }
    }

    /// The length of the line break that stands here; `None` at the datagram's end. A lone LF is one of
    /// length one; a lone CR is none and becomes a blank.
    fn break_at(&mut self, at: usize) -> Option<usize> {
        match self.buffer[at..self.length] {
            [] => None,
            [b'\r', b'\n', ..] => Some(2),
            [first, ..] => {
                self.note(Fault::BrokenHeader);
                if first == b'\r' {
                    self.buffer[at] = b' ';
                }
                Some(usize::from(first == b'\n'))
            }
        }
    }

    /// Reads one header line; false when the index is full.
    #[inline(always)]
    fn read_header(&mut self, start: usize, line: Line) -> bool {
        let end = line.end as usize;
        let beyond;
        let head = match head_at(self.buffer, start) {
            Some(head) => head,
            None => {
                beyond = bytes_at(self.buffer, start);
                &beyond
            }
        };
        let colon = match colon_in(head) {
            Some(length) => start + length,
            None => self.late_colon(start, end),
        };
        if colon >= end {
            return self.push_broken(start, end);
        }
        let mut name_length = colon - start;
        // Of a name that the head does not hold the last byte is not known.
        if name_length > NAME_ROOM || last_of(head, name_length) <= b' ' {
            name_length = trim_end(&self.buffer[start..colon]).len();
        }
        let name = HeaderName::classify_head(head, name_length);
        if name == HeaderName::Other && !is_token(&self.buffer[start..start + name_length]) {
            return self.push_broken(start, end);
        }
        let value = match bytes_at(self.buffer, colon + 1) {
            [b' ', first] if first > b' ' && line.last > b' ' && colon + 2 < end => Span::new(colon + 2, end),
            _ => self.trimmed(colon + 1, end),
        };
        match self.index.push(Header { name, line_start: start as u16, value }) {
            None => return false,
            Some(true) => self.read_value(name, value),
            Some(false) if name.is_once_only() => self.note(Fault::Repeated(name)),
            Some(false) => {}
        }
        true
    }

    /// The text without blanks around it.
    #[cold]
    fn trimmed(&self, start: usize, end: usize) -> Span {
        let line = &self.buffer[..end];
        let start = blanks_end(line, start);
        Span::new(start, start + trim_end(&line[start..]).len())
    }

    /// The colon behind a very long name.
    #[cold]
    fn late_colon(&self, start: usize, end: usize) -> usize {
        memchr::memchr(b':', &self.buffer[start..end]).map_or(end, |length| start + length)
    }

    #[cold]
    fn push_broken(&mut self, start: usize, end: usize) -> bool {
        let header = Header { name: HeaderName::Other, line_start: start as u16, value: Span::new(end, end) };
        let has_room = self.index.push(header).is_some();
        if has_room {
            self.note(Fault::BrokenHeader);
        }
        has_room
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
        if let Some(name) = MANDATORY.into_iter().find(|name| !self.index.has(*name)) {
            self.note(Fault::Missing(name));
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
