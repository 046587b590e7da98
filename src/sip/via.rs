//! A via-parm in full (RFC 3261 §20.42, RFC 3581). The scanner reads the topmost one itself.

use super::param::Param;
use super::text::{WORD_END, blanks_end, host_end, is_word, port, run_end, trim_end};
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
    /// [`Malformed`] when protocol, sent-by or a parameter cannot be read: what the scanner refuses too.
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let sent = Sent::read(value).ok_or(Malformed)?;
        let mut end = sent.end;
        while value.get(end) == Some(&b';') {
            end = blanks_end(value, Param::read(value, end + 1).ok_or(Malformed)?.end);
        }
        if end < value.len() {
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

    /// The first `branch`; empty when there is none or it has no value (RFC 2543).
    #[must_use]
    pub fn branch(&self) -> &'a [u8] {
        self.param("branch").unwrap_or_default()
    }
}

/// What the scanner keeps of the topmost via-parm; spans count from the value's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    pub host: Span,
    pub port: Option<u16>,
    /// The first one's value; empty when there is none or it has none.
    pub branch: Span,
    pub wants_rport: bool,
    /// Of the via-parm's text.
    pub length: u16,
}

/// Reads the first via-parm of a field. Its parameters are checked as they are walked: an empty one or
/// text between two of them makes it malformed.
pub(super) fn read_top(value: &[u8]) -> Option<Top> {
    let sent = Sent::read(value)?;
    let mut branch = None;
    let mut wants_rport = false;
    let mut length = sent.text_end;
    let mut at = sent.end;
    while value.get(at) == Some(&b';') {
        let param = Param::read(value, at + 1)?;
        let name = &value[param.name];
        if branch.is_none() && is_word(name, b"branch") {
            branch = Some(Span::of(param.value));
        } else if !param.has_value && is_word(name, b"rport") {
            wants_rport = true;
        }
        length = param.end;
        at = blanks_end(value, param.end);
    }
    if !matches!(value.get(at), None | Some(b',')) {
        return None;
    }
    let branch = branch.unwrap_or_default();
    Some(Top { host: Span::of(sent.host), port: sent.port, branch, wants_rport, length: length as u16 })
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
    #[inline(always)]
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
    let end = run_end(value, start, WORD_END);
    (end > start).then_some(start..end)
}

/// The same where blanks stand around the slashes or the protocol is another.
fn transport_start(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    for _ in 0..2 {
        let end = run_end(value, at, WORD_END);
        let slash = blanks_end(value, end);
        if end == at || value.get(slash) != Some(&b'/') {
            return None;
        }
        at = blanks_end(value, slash + 1);
    }
    Some(at)
}
