//! A via-parm in full (RFC 3261 §20.42, RFC 3581). The scanner reads the topmost one itself.

use super::text::{blanks_end, host_end, port, quoted_end, trim_end};
use super::{Malformed, Span};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, … as it stands.
    pub transport: &'a [u8],
    /// Host of sent-by; an IPv6 reference keeps its brackets.
    pub host: &'a [u8],
    pub port: Option<u16>,
    /// From the first `;` on.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Parses one via-parm (see [`super::name_addr::split_list`]); white space around `/` and `:` is allowed.
    ///
    /// # Errors
    /// [`Malformed`] when protocol or sent-by cannot be read.
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let sent = Sent::read(value).ok_or(Malformed)?;
        if !matches!(value.get(sent.end), None | Some(b';')) {
            return Err(Malformed);
        }
        Ok(Via {
            transport: &value[sent.transport],
            host: &value[sent.host],
            port: sent.port,
            params: trim_end(&value[sent.end..]),
        })
    }

    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        super::name_addr::param(self.params, name)
    }

    #[must_use]
    pub fn branch(&self) -> &'a [u8] {
        self.param("branch").unwrap_or_default()
    }
}

/// What the scanner keeps of the topmost via-parm; spans count from the value's start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Top {
    pub host: Span,
    pub port: Option<u16>,
    pub branch: Span,
    pub wants_rport: bool,
    pub text: Span,
}

/// Reads the first via-parm of a field. Its parameters are checked as they are walked: an empty one or
/// text between two of them makes it malformed.
pub(super) fn read_top(value: &[u8]) -> Option<Top> {
    let sent = Sent::read(value)?;
    let mut top = Top { host: Span::of(sent.host), port: sent.port, ..Top::default() };
    let mut at = sent.end;
    let mut text_end = sent.text_end;
    let mut has_branch = false;
    while value.get(at) == Some(&b';') {
        let param = Param::read(value, at + 1)?;
        match (&value[param.name.clone()], param.value) {
            (name, Some(found)) if !has_branch && name.eq_ignore_ascii_case(b"branch") => {
                top.branch = Span::of(found);
                has_branch = true;
            }
            (name, None) if name.eq_ignore_ascii_case(b"rport") => top.wants_rport = true,
            _ => {}
        }
        text_end = param.end;
        at = blanks_end(value, param.end);
    }
    top.text = Span::new(0, text_end);
    matches!(value.get(at), None | Some(b',')).then_some(top)
}

/// `sent-protocol LWS sent-by`, and where it ends.
struct Sent {
    transport: Range<usize>,
    host: Range<usize>,
    port: Option<u16>,
    /// Behind the last byte that is no blank.
    text_end: usize,
    /// Behind the blanks.
    end: usize,
}

impl Sent {
    #[inline]
    fn read(value: &[u8]) -> Option<Sent> {
        let transport = transport(value)?;
        let host_start = blanks_end(value, transport.end);
        if host_start == transport.end {
            return None;
        }
        let host = host_start..host_end(value, host_start)?;
        let mut sent = Sent { transport, text_end: host.end, end: host.end, host, port: None };
        sent.end = blanks_end(value, sent.text_end);
        if value.get(sent.end) == Some(&b':') {
            let (number, end) = port(value, blanks_end(value, sent.end + 1))?;
            sent.port = Some(number);
            sent.text_end = end;
            sent.end = blanks_end(value, end);
        }
        Some(sent)
    }
}

/// Where the transport stands in `protocol-name / protocol-version / transport`.
#[inline]
fn transport(value: &[u8]) -> Option<Range<usize>> {
    let start = match value.first_chunk() {
        Some(b"SIP/2.0/") => blanks_end(value, 8),
        _ => transport_start(value)?,
    };
    let end = word_end(value, start);
    (end > start).then_some(start..end)
}

/// The same where blanks stand around the slashes or the protocol is another.
fn transport_start(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    for _ in 0..2 {
        let end = word_end(value, at);
        let slash = blanks_end(value, end);
        if end == at || value.get(slash) != Some(&b'/') {
            return None;
        }
        at = blanks_end(value, slash + 1);
    }
    Some(at)
}

#[inline]
fn word_end(value: &[u8], mut at: usize) -> usize {
    while !matches!(value.get(at), None | Some(b' ' | b'\t' | b'/' | b';' | b',' | b':')) {
        at += 1;
    }
    at
}

/// One via-param.
struct Param {
    name: Range<usize>,
    /// Without quotes; `None` when there is no `=`.
    value: Option<Range<usize>>,
    end: usize,
}

impl Param {
    #[inline]
    fn read(text: &[u8], at: usize) -> Option<Param> {
        let start = blanks_end(text, at);
        let end = param_word_end(text, start, true);
        if end == start {
            return None;
        }
        let equals = blanks_end(text, end);
        if text.get(equals) != Some(&b'=') {
            return Some(Param { name: start..end, value: None, end });
        }
        let value = blanks_end(text, equals + 1);
        if text.get(value) == Some(&b'"') {
            let value_end = quoted_end(text, value)?;
            return Some(Param { name: start..end, value: Some(value + 1..value_end - 1), end: value_end });
        }
        let value_end = param_word_end(text, value, false);
        // Nothing behind `=`: the parameter ends there and not behind the blanks.
        let param_end = if value_end == value { equals + 1 } else { value_end };
        Some(Param { name: start..end, value: Some(value..value_end), end: param_end })
    }
}

#[inline]
fn param_word_end(text: &[u8], mut at: usize, is_name: bool) -> usize {
    while let Some(byte) = text.get(at) {
        let ends = match byte {
            b' ' | b'\t' | b';' | b',' | b'"' => true,
            b'=' => is_name,
            _ => false,
        };
        if ends {
            break;
        }
        at += 1;
    }
    at
}
