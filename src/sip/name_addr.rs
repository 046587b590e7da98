//! name-addr and addr-spec with header parameters: From, To, Contact, Route, Record-Route, Diversion
//! (RFC 3261 §20.10, §25.1).

use super::Malformed;
use super::lines::find_any;
use super::param::Param;
use super::text::{PARAM_END, blanks_end, is_word, quoted_end, run_end, trim, trim_end, value_end};
use std::ops::Range;

/// `"Alice" <sip:alice@host>;tag=1` or `sip:alice@host;tag=1` (then everything behind `;` is a header
/// parameter, RFC 3261 §20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As it stands, quotes included; empty when there is none.
    pub display: &'a [u8],
    /// The URI without its angle brackets.
    pub uri: &'a [u8],
    /// Everything behind the address, from the first `;` on; empty when there is none.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Parses one address. `value` holds exactly one (see [`split_list`]). The URI itself is not looked
    /// into; blanks just inside the angle brackets are left out (RFC 4475 §3.1.2.14).
    ///
    /// # Errors
    /// [`Malformed`] when no address can be told from it: a quote or a bracket that is not closed, an
    /// unquoted display name with a separator in it (RFC 4475 §3.1.2.15), something other than parameters
    /// behind the address, no URI or one with blanks in it, a `tag` without a value. The scanner refuses
    /// the same in a From and a To.
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let parts = Parts::read(value).ok_or(Malformed)?;
        checked_tag(value, parts.params).ok_or(Malformed)?;
        Ok(NameAddr {
            display: trim(&value[..parts.display_end]),
            uri: &value[parts.uri],
            params: trim_end(&value[parts.params..]),
        })
    }

    /// A parameter's value without quotes; `Some(b"")` for one without a value. Names compare without case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }

    /// The `tag` parameter; empty when there is none.
    #[must_use]
    pub fn tag(&self) -> &'a [u8] {
        self.param("tag").unwrap_or_default()
    }
}

/// Where the parts of an address stand in a value.
struct Parts {
    display_end: usize,
    /// Without blanks in it or around it.
    uri: Range<usize>,
    /// The first `;` behind the address, or the value's end.
    params: usize,
}

impl Parts {
    /// RFC 3261 §20.10: without angle brackets the first `;` opens the header parameters.
    #[inline]
    fn read(value: &[u8]) -> Option<Parts> {
        let mut at = 0;
        let mut has_quotes = false;
        loop {
            at = find_any(value, at, *b"\"<;,>");
            match value.get(at) {
                Some(b'"') => {
                    at = quoted_end(value, at)?;
                    has_quotes = true;
                }
                Some(b'<') => return Parts::read_brackets(value, at),
                None | Some(b';') => {
                    let start = blanks_end(value, 0);
                    let uri = start..find_any(&value[..at], start, *b" \t");
                    let is_address = !has_quotes && !uri.is_empty() && blanks_end(value, uri.end) >= at;
                    return is_address.then_some(Parts { display_end: 0, uri, params: at });
                }
                Some(_) => return None,
            }
        }
    }

    #[inline]
    fn read_brackets(value: &[u8], open: usize) -> Option<Parts> {
        let start = blanks_end(value, open + 1);
        let uri = start..find_any(value, start, *b"> \t");
        let close = blanks_end(value, uri.end);
        if uri.is_empty() || value.get(close) != Some(&b'>') {
            return None;
        }
        let params = blanks_end(value, close + 1);
        let ends_well = matches!(value.get(params), None | Some(b';'));
        ends_well.then_some(Parts { display_end: open, uri, params })
    }
}

/// Where the tag of a From or To stands: an empty range when there is none, `None` when the value is no
/// address.
pub(super) fn read_tag(value: &[u8]) -> Option<Range<usize>> {
    let parts = Parts::read(value)?;
    let params = &value[parts.params..];
    if params.is_empty() {
        return Some(0..0);
    }
    // As nearly every peer writes it: one parameter, the tag.
    if let [b';', b't', b'a', b'g', b'=', first, ..] = params
        && !matches!(first, b' ' | b'\t' | b'"')
    {
        let tag = parts.params + 5..value_end(value, parts.params + 5);
        if tag.end == value.len() {
            return Some(tag);
        }
    }
    checked_tag(value, parts.params)
}

/// Walks the parameters that start at `at`: where the first tag stands, an empty range when there is none.
/// `None` when a quote stays open, something stands between two parameters, or a tag has no value (RFC 3261
/// §25.1: one that counts could not be told from none). An empty parameter (`;;`, a last `;`) is borne with.
#[cold]
fn checked_tag(value: &[u8], params: usize) -> Option<Range<usize>> {
    let mut tag = 0..0;
    let mut at = params;
    while value.get(at) == Some(&b';') {
        let start = blanks_end(value, at + 1);
        if matches!(value.get(start), None | Some(b';')) {
            at = start;
            continue;
        }
        let param = Param::read(value, start)?;
        if is_word(&value[param.name], b"tag") {
            if param.value.is_empty() {
                return None;
            }
            if tag.is_empty() {
                tag = param.value;
            }
        }
        at = blanks_end(value, param.end);
    }
    (at == value.len()).then_some(tag)
}

/// Splits a list at the commas outside quotes and angle brackets. Items come without white space around
/// them; empty items are left out. A quote or a bracket that is never closed holds all that follows.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = item_end(rest);
            let item = trim(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            if !item.is_empty() {
                return Some(item);
            }
        }
        None
    })
}

/// Where a list's first item ends: its comma or the list's end.
fn item_end(list: &[u8]) -> usize {
    let mut at = 0;
    while at < list.len() {
        match list[at] {
            b',' => return at,
            b'"' => at = quoted_end(list, at).unwrap_or(list.len()),
            b'<' => at += memchr::memchr(b'>', &list[at..]).unwrap_or(list.len() - at),
            _ => at += 1,
        }
    }
    list.len()
}

/// Looks a parameter up in `;a;b=c;d="e"`: the first of that name, its value without quotes (quoted pairs
/// stay as they are), `Some(b"")` without a value. Names compare without case.
#[must_use]
pub fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    find_param(params, name.as_bytes()).map(|range| &params[range])
}

/// Where the value of the first parameter of this name stands.
fn find_param(params: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    loop {
        while let Some(b' ' | b'\t' | b';') = params.get(at) {
            at += 1;
        }
        let start = at;
        at = run_end(params, at, PARAM_END);
        let is_it = params[start..at].eq_ignore_ascii_case(name);
        let (value, end) = param_value(params, at);
        if is_it {
            return Some(value);
        }
        at = next_param(params, end)?;
    }
}

/// The next `;` outside quotes.
fn next_param(params: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match params.get(at)? {
            b';' => return Some(at),
            b'"' => at = quoted_end(params, at)?,
            _ => at += 1,
        }
    }
}

/// The value behind a parameter's name that ends at `name_end`, and where to go on behind it.
fn param_value(params: &[u8], name_end: usize) -> (Range<usize>, usize) {
    let equals = blanks_end(params, name_end);
    if params.get(equals) != Some(&b'=') {
        return (name_end..name_end, name_end);
    }
    let start = blanks_end(params, equals + 1);
    if params.get(start) == Some(&b'"') {
        // A quote that never closes: the value is what is left.
        return match quoted_end(params, start) {
            Some(end) => (start + 1..end - 1, end),
            None => (start + 1..params.len(), params.len()),
        };
    }
    let end = value_end(params, start);
    (start..end, end)
}
