//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

use super::Malformed;
use super::text::{host_end, port};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// Any other absolute URI: 416 as a Request-URI.
    Other,
}

/// A URI in its parts; none of them is unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub scheme: Scheme,
    /// User part without password; the number of a tel URI; empty when there is none.
    pub user: &'a [u8],
    /// Host; an IPv6 reference keeps its brackets; empty for tel and other schemes.
    pub host: &'a [u8],
    pub port: Option<u16>,
    /// From the first `;` behind the host on; empty when there is none.
    pub params: &'a [u8],
    /// From the `?` on; empty when there is none.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Bytes above 127 are borne with in user, parameters and headers.
    ///
    /// # Errors
    /// [`Malformed`] for a text without a scheme, with a bad host or port, with blanks or control bytes.
    pub fn parse(text: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        let colon = scheme_end(text).ok_or(Malformed)?;
        let rest = &text[colon + 1..];
        if rest.is_empty() || rest.iter().any(|byte| is_excluded(*byte)) {
            return Err(Malformed);
        }
        match Scheme::of(&text[..colon]) {
            scheme @ (Scheme::Sip | Scheme::Sips) => Uri::parse_sip(scheme, rest).ok_or(Malformed),
            Scheme::Tel => {
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                let (user, params) = rest.split_at(end);
                if user.is_empty() {
                    Err(Malformed)
                } else {
                    Ok(Uri { user, params, ..Uri::empty(Scheme::Tel) })
                }
            }
            Scheme::Other => Ok(Uri::empty(Scheme::Other)),
        }
    }

    /// `[userinfo "@"] hostport uri-parameters [headers]` (RFC 3261 §25.1). No part allows an unescaped
    /// `@`, so the first one ends the userinfo, whatever stands before it (RFC 4475 §3.1.1.9).
    fn parse_sip(scheme: Scheme, rest: &'a [u8]) -> Option<Uri<'a>> {
        let mut uri = Uri::empty(scheme);
        let mut host_start = 0;
        if let Some(at_sign) = memchr::memchr(b'@', rest) {
            let userinfo = &rest[..at_sign];
            uri.user = &userinfo[..memchr::memchr(b':', userinfo).unwrap_or(at_sign)];
            if uri.user.is_empty() {
                return None;
            }
            host_start = at_sign + 1;
        }
        let mut end = host_end(rest, host_start)?;
        uri.host = &rest[host_start..end];
        if rest.get(end) == Some(&b':') {
            let (number, port_end) = port(rest, end + 1)?;
            uri.port = Some(number);
            end = port_end;
        }
        let tail = &rest[end..];
        let question = memchr::memchr(b'?', tail).unwrap_or(tail.len());
        (uri.params, uri.headers) = tail.split_at(question);
        matches!(uri.params.first(), None | Some(b';')).then_some(uri)
    }

    const fn empty(scheme: Scheme) -> Uri<'a> {
        Uri { scheme, user: &[], host: &[], port: None, params: &[], headers: &[] }
    }

    /// The host as an address, `None` for a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let host = std::str::from_utf8(self.host).ok()?;
        match host.strip_prefix('[') {
            Some(reference) => reference.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// A URI parameter's value; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        super::name_addr::param(self.params, name)
    }

    /// Whether two user parts name the same user: escapes are decoded, case matters (RFC 3261 §19.1.4).
    #[must_use]
    pub fn same_user(left: &[u8], right: &[u8]) -> bool {
        left == right || Unescaped { text: left }.eq(Unescaped { text: right })
    }

    /// A user part with its escapes decoded, in `room` where it has any; `None`: there is not room enough.
    #[must_use]
    pub fn decoded_user<'u>(user: &'u [u8], room: &'u mut [u8]) -> Option<&'u [u8]> {
        if !user.contains(&b'%') {
            return Some(user);
        }
        let mut length = 0;
        for byte in (Unescaped { text: user }) {
            *room.get_mut(length)? = byte;
            length += 1;
        }
        Some(&room[..length])
    }

    /// The first byte of a text whose escapes are decoded, and what stands behind it.
    pub(crate) fn first_byte(text: &[u8]) -> Option<(u8, &[u8])> {
        if let [b'%', high, low, rest @ ..] = text
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            return Some((high << 4 | low, rest));
        }
        text.split_first().map(|(first, rest)| (*first, rest))
    }
}

impl Scheme {
    fn of(text: &[u8]) -> Scheme {
        if text.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if text.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if text.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        }
    }
}

/// Where the scheme ends: `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":"`.
fn scheme_end(text: &[u8]) -> Option<usize> {
    let colon = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
    (text[colon] == b':' && text[0].is_ascii_alphabetic()).then_some(colon)
}

/// Blanks and control bytes, and the delimiters that no URI holds unescaped.
fn is_excluded(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, 0x7f | b'<' | b'>' | b'"')
}

/// A user part byte by byte, each `%` HEX HEX as the byte it stands for. It is decoded once: what comes out
/// of an escape is never part of another (RFC 3986 §2.4). A `%` without two digits stands for itself.
struct Unescaped<'a> {
    text: &'a [u8],
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = Uri::first_byte(self.text)?;
        self.text = rest;
        Some(first)
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
