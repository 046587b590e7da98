//! The same scanner written once more, for clearness alone: it copies, splits and searches.

use ringway::limits::{HEADERS_MAX, REQUEST_URI_BYTES_MAX};
use ringway::sip::{CSeq, Fault, HeaderName, Method, Status};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Via {
    pub host: Vec<u8>,
    pub port: Option<u16>,
    pub branch: Vec<u8>,
    pub wants_rport: bool,
    pub text: Vec<u8>,
}

/// Everything that a scan tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub fault: Option<Fault>,
    pub is_request: bool,
    /// Then the Request-URI is anything.
    pub is_start_line_broken: bool,
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub status: Option<Status>,
    pub reason: Vec<u8>,
    /// Name, where the line starts, value.
    pub headers: Vec<(Option<HeaderName>, usize, Vec<u8>)>,
    pub top_via: Option<Via>,
    pub cseq: Option<CSeq>,
    pub call_id: Vec<u8>,
    pub from_tag: Vec<u8>,
    pub to_tag: Vec<u8>,
    pub max_forwards: Option<u8>,
    pub body: Vec<u8>,
    /// From the start line on, folds undone.
    pub bytes: Vec<u8>,
}

type Text<'a> = &'a [u8];

/// Facts in the making.
#[derive(Default)]
struct Reading {
    facts: Facts,
    faults: Vec<Fault>,
    content_length: Option<u128>,
    cseq_method: Option<Vec<u8>>,
}

pub fn scan(datagram: Text) -> Facts {
    if datagram.iter().all(|byte| b"\r\n\0 \t".contains(byte)) {
        return Facts { fault: Some(Fault::KeepAlive), ..Facts::default() };
    }
    let start = datagram.iter().position(|byte| !b"\r\n".contains(byte)).unwrap();
    let mut lines = Lines::of(datagram, start);
    let mut reading = Reading::default();
    if lines.lines[0].is_odd {
        reading.faults.push(Fault::BrokenHeader);
    }
    match start_line(lines.text(0), &mut reading.facts) {
        Some(Fault::NotSip) => return Facts { fault: Some(Fault::NotSip), ..Facts::default() },
        fault => {
            reading.facts.is_start_line_broken = fault == Some(Fault::BrokenStartLine);
            reading.faults.extend(fault);
        }
    }
    for (number, line) in lines.lines.iter().enumerate().skip(1) {
        if line.is_odd {
            reading.faults.push(Fault::BrokenHeader);
        }
        if line.start == line.end {
            break;
        }
        if reading.facts.headers.len() == HEADERS_MAX {
            reading.faults.push(Fault::TooManyHeaders);
            lines.body_start = lines.clean.len();
            break;
        }
        reading.header_line(line.start, lines.text(number));
    }
    reading.judge(&lines.clean, start, lines.body_start)
}

impl Reading {
    fn header_line(&mut self, start: usize, line: Text) {
        let Some((name, value)) = header(line) else {
            self.faults.push(Fault::BrokenHeader);
            self.facts.headers.push((None, start, Vec::new()));
            return;
        };
        let is_first = self.facts.headers.iter().all(|header| header.0 != name);
        self.facts.headers.push((name, start, value.to_vec()));
        match name {
            Some(name) if is_first => self.eager(name, value),
            Some(name) if name.is_once_only() => self.faults.push(Fault::Repeated(name)),
            _ => {}
        }
    }

    fn judge(mut self, clean: Text, start: usize, body_start: usize) -> Facts {
        let facts = &mut self.facts;
        for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq]
        {
            if !facts.headers.iter().any(|header| header.0 == Some(name)) {
                self.faults.push(Fault::Missing(name));
            }
        }
        if !facts.is_request {
            facts.method = self.cseq_method.unwrap_or_default();
        } else if self.cseq_method.is_some_and(|method| method != facts.method) {
            self.faults.push(Fault::CSeqMethod);
        }
        let room = clean.len() - body_start;
        let length = self.content_length.unwrap_or(room as u128);
        if length > room as u128 {
            self.faults.push(Fault::Truncated);
        }
        let end = body_start + length.min(room as u128) as usize;
        facts.body = clean[body_start..end].to_vec();
        facts.bytes = clean[start..end].to_vec();
        facts.fault = self.faults.first().copied();
        self.facts
    }
}

struct Line {
    start: usize,
    end: usize,
    /// It holds or ends in a line break that it should not, or does not end at all.
    is_odd: bool,
}

/// A datagram without folds, cut into lines; the last one is empty, or one too many for the limit.
struct Lines {
    clean: Vec<u8>,
    lines: Vec<Line>,
    body_start: usize,
}

impl Lines {
    fn text(&self, number: usize) -> Text<'_> {
        &self.clean[self.lines[number].start..self.lines[number].end]
    }

    fn of(datagram: Text, first: usize) -> Lines {
        let mut clean = datagram.to_vec();
        let mut lines = Vec::new();
        let mut start = first;
        let mut is_odd = false;
        let mut at = start;
        while at < clean.len() {
            let break_length = match clean[at] {
                b'\r' if clean.get(at + 1) == Some(&b'\n') => 2,
                b'\n' => 1,
                byte => {
                    if byte == b'\r' {
                        is_odd = true;
                        clean[at] = b' ';
                    }
                    at += 1;
                    continue;
                }
            };
            is_odd |= break_length == 1;
            let end = at;
            at += break_length;
            let next = clean.get(at).copied().unwrap_or_default();
            if !lines.is_empty() && end > start && b" \t".contains(&next) {
                clean[end..at].fill(b' ');
                continue;
            }
            lines.push(Line { start, end, is_odd });
            let is_last = lines.len() > 1 && end == start || lines.len() == HEADERS_MAX + 2;
            if is_last {
                return Lines { clean, lines, body_start: at };
            }
            start = at;
            is_odd = false;
        }
        if start < at {
            lines.push(Line { start, end: at, is_odd: true });
        }
        lines.push(Line { start: at, end: at, is_odd: true });
        Lines { clean, lines, body_start: at }
    }
}

fn start_line(line: Text, facts: &mut Facts) -> Option<Fault> {
    let lower = line.to_ascii_lowercase();
    if lower.starts_with(b"sip/") {
        return status_line(line, facts);
    }
    let words: Vec<Text> = line.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty()).collect();
    let version = words.last().copied().unwrap_or_default();
    if words.len() < 2 || !version.to_ascii_lowercase().starts_with(b"sip/") {
        return Some(Fault::NotSip);
    }
    facts.is_request = true;
    facts.method = words[0].to_vec();
    let parts: Vec<Text> = line.split(|byte| *byte == b' ').collect();
    let [method, uri, last] = parts[..] else { return Some(Fault::BrokenStartLine) };
    let is_uri = uri.first().is_some_and(u8::is_ascii_alphabetic)
        && uri.iter().all(|b| !b"\x7f".contains(b) && *b > 32);
    if !is_token(method) || !is_uri || last != version {
        return Some(Fault::BrokenStartLine);
    }
    facts.uri = uri.to_vec();
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Some(if is_version(version) { Fault::Version } else { Fault::BrokenStartLine });
    }
    (uri.len() > REQUEST_URI_BYTES_MAX).then_some(Fault::RequestUriTooLong)
}

fn status_line(line: Text, facts: &mut Facts) -> Option<Fault> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let version = parts.next().unwrap();
    let code = parts.next().unwrap_or_default();
    let number = std::str::from_utf8(code).ok().and_then(|code| code.parse::<u16>().ok());
    let status = number.filter(|_| code.len() == 3 && code[0] != b'+').and_then(Status::new);
    if status.is_none() || !is_version(version) {
        return Some(Fault::NotSip);
    }
    facts.status = status;
    facts.reason = parts.next().unwrap_or_default().to_vec();
    (!version.eq_ignore_ascii_case(b"SIP/2.0")).then_some(Fault::Version)
}

fn is_version(version: Text) -> bool {
    let text = String::from_utf8_lossy(&version[4..]).to_string();
    let numbers: Vec<&str> = text.split('.').collect();
    numbers.len() == 2
        && numbers.iter().all(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

fn is_token(text: Text) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte))
}

fn trim(text: Text) -> Text {
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let first = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let last = text.iter().rposition(|byte| !is_blank(byte)).map_or(first, |last| last + 1);
    &text[first..last]
}

/// The name, `None` inside for an unknown one, and the value.
fn header(line: Text) -> Option<(Option<HeaderName>, Text)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = trim(&line[..colon]);
    if !is_token(name) || !line.starts_with(name) {
        return None;
    }
    let is_it = |known: &&HeaderName| {
        let is_compact = known.compact().is_some_and(|letter| [letter].eq_ignore_ascii_case(name));
        is_compact || known.text().as_bytes().eq_ignore_ascii_case(name)
    };
    Some((HeaderName::ALL.iter().find(is_it).copied(), trim(&line[colon + 1..])))
}

impl Reading {
    fn eager(&mut self, name: HeaderName, value: Text) {
        let facts = &mut self.facts;
        let is_good = match name {
            HeaderName::Via => {
                facts.top_via = via(value);
                facts.top_via.is_some()
            }
            HeaderName::From | HeaderName::To => {
                let tag = tag(value);
                let is_good = tag.is_some();
                let place = if name == HeaderName::From { &mut facts.from_tag } else { &mut facts.to_tag };
                *place = tag.unwrap_or_default();
                is_good
            }
            HeaderName::CallId => {
                facts.call_id = value.to_vec();
                !value.is_empty()
            }
            HeaderName::CSeq => {
                let words = value.splitn(2, |byte| b" \t".contains(byte)).collect::<Vec<_>>();
                let number = words.first().and_then(|word| digits(word)).filter(|number| *number < 1 << 31);
                let method = words.get(1).map(|method| trim(method)).filter(|method| is_token(method));
                if let (Some(number), Some(method)) = (number, method) {
                    facts.cseq = Some(CSeq { number: number as u32, method: Method::from_token(method) });
                    self.cseq_method = Some(method.to_vec());
                }
                facts.cseq.is_some()
            }
            HeaderName::MaxForwards => {
                facts.max_forwards = digits(value).and_then(|number| number.try_into().ok());
                facts.max_forwards.is_some()
            }
            HeaderName::ContentLength => {
                self.content_length = digits(value);
                self.content_length.is_some()
            }
            _ => true,
        };
        if !is_good {
            self.faults.push(Fault::Malformed(name));
        }
    }
}

fn digits(text: Text) -> Option<u128> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(text).unwrap().parse().unwrap_or(u128::MAX))
}

/// Splits where the separator stands outside quotes, up to the first `end` outside quotes. Tells whether the
/// last quote is open.
fn split(text: Text, separator: u8, end: Option<u8>) -> (Vec<Text>, bool) {
    let mut parts = Vec::new();
    let mut first = 0;
    let mut is_open = false;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' if is_open => at += 1,
            b'"' => is_open = !is_open,
            byte if !is_open && Some(byte) == end => break,
            byte if !is_open && byte == separator => {
                parts.push(&text[first..at]);
                first = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&text[first..at.min(text.len())]);
    (parts, is_open)
}

/// `[name, value]` of a strict parameter.
fn parameter(text: Text) -> Option<(Text, Option<Text>)> {
    let text = trim(text);
    let is_name = |byte: &u8| !b" \t=\"".contains(byte);
    let name_end = text.iter().position(|byte| !is_name(byte)).unwrap_or(text.len());
    let name = &text[..name_end];
    let rest = trim(&text[name_end..]);
    if name.is_empty() {
        return None;
    }
    let Some(value) = rest.strip_prefix(b"=").map(trim) else {
        return rest.is_empty().then_some((name, None));
    };
    if let Some(inside) = value.strip_prefix(b"\"") {
        let inside = inside.strip_suffix(b"\"")?;
        return one_string(value).then_some((name, Some(inside)));
    }
    let is_word = !value.iter().any(|byte| b" \t\"".contains(byte));
    is_word.then_some((name, Some(value)))
}

/// Whether a text in quotes is one string and not `"a""b"`.
fn one_string(text: Text) -> bool {
    let mut at = 1;
    while at + 1 < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return false,
            _ => at += 1,
        }
    }
    at + 1 == text.len() && text[at] == b'"'
}

/// The topmost via-parm.
fn via(value: Text) -> Option<Via> {
    let head_end = value.iter().position(|byte| b";,".contains(byte)).unwrap_or(value.len());
    let (head, tail) = value.split_at(head_end);
    let mut via = sent_by(head)?;
    let mut text_length = trim(head).len();
    if tail.first() == Some(&b';') {
        // Nothing but the top via-parm is looked at, not even whether what follows is well quoted.
        let end = parm_end(tail)?;
        text_length = head_end + trim(&tail[..end]).len();
        let mut has_branch = false;
        for text in split(&tail[1..end], b';', None).0 {
            let (name, value) = parameter(text)?;
            if name.eq_ignore_ascii_case(b"branch") && !has_branch {
                has_branch = true;
                via.branch = value.unwrap_or_default().to_vec();
            }
            via.wants_rport |= name.eq_ignore_ascii_case(b"rport") && value.is_none();
        }
    }
    via.text = value[..text_length].to_vec();
    Some(via)
}

/// Where the comma outside quotes stands, or the end; `None` when a quote stays open before one.
fn parm_end(text: Text) -> Option<usize> {
    let (parts, is_open) = split(text, b',', Some(b','));
    (!is_open).then(|| parts[0].len())
}

fn sent_by(head: Text) -> Option<Via> {
    let parts: Vec<Text> = head.splitn(3, |byte| *byte == b'/').collect();
    let [protocol, version, rest] = parts[..] else { return None };
    let is_word = |text: Text| !text.is_empty() && !text.iter().any(|byte| b" \t:".contains(byte));
    if !is_word(trim(protocol)) || !is_word(trim(version)) {
        return None;
    }
    let rest = trim(rest);
    let blank =
        rest.iter().position(|byte| b" \t/:".contains(byte)).filter(|at| b" \t".contains(&rest[*at]))?;
    let address = trim(&rest[blank..]);
    let host_end = match address.first()? {
        b'[' => address.iter().position(|byte| *byte == b']')? + 1,
        _ => address.iter().position(|byte| b" \t:".contains(byte)).unwrap_or(address.len()),
    };
    let (host, port) = address.split_at(host_end);
    let inside = host.strip_prefix(b"[").map(|host| &host[..host.len() - 1]);
    let is_host = match inside {
        Some(inside) => inside.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)),
        None => host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)),
    };
    if !is_host || inside.unwrap_or(host).is_empty() {
        return None;
    }
    let port = match trim(port).strip_prefix(b":") {
        Some(port) => Some(u16::try_from(digits(trim(port))?).ok()?),
        None if trim(port).is_empty() => None,
        None => return None,
    };
    Some(Via { host: host.to_vec(), port, ..Via::default() })
}

/// The tag of an address, empty when there is none; `None` when the value is no address.
fn tag(value: Text) -> Option<Vec<u8>> {
    let mut is_open = false;
    let mut has_quotes = false;
    let mut at = 0;
    let stop = loop {
        match value.get(at) {
            None if is_open => return None,
            None => break at,
            Some(b'\\') if is_open => at += 1,
            Some(b'"') => {
                is_open = !is_open;
                has_quotes = true;
            }
            Some(b'<' | b';' | b',' | b'>') if !is_open => break at,
            Some(_) => {}
        }
        at += 1;
    };
    let (uri, params) = match value.get(stop) {
        Some(b'<') => {
            let close = stop + value[stop..].iter().position(|byte| *byte == b'>')?;
            (&value[stop + 1..close], trim(&value[close + 1..]))
        }
        Some(b';') | None if !has_quotes => (&value[..stop], &value[stop..]),
        _ => return None,
    };
    let uri = trim(uri);
    if uri.is_empty() || uri.iter().any(|byte| b" \t".contains(byte)) {
        return None;
    }
    let params = trim(params);
    if params.is_empty() {
        return Some(Vec::new());
    }
    first_tag(params.strip_prefix(b";")?)
}

/// The first tag of strict parameters, empty when there is none; empty parameters do not count.
fn first_tag(params: Text) -> Option<Vec<u8>> {
    let (parts, is_open) = split(params, b';', None);
    if is_open {
        return None;
    }
    let mut tags = Vec::new();
    for text in parts.into_iter().filter(|text| !trim(text).is_empty()) {
        let (name, value) = parameter(text)?;
        if name.contains(&b',') || value.is_some_and(|value| !text.contains(&b'"') && value.contains(&b',')) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"tag") {
            tags.push(value.filter(|value| !value.is_empty())?.to_vec());
        }
    }
    Some(tags.into_iter().next().unwrap_or_default())
}
