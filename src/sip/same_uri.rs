//! When two URIs are the same (RFC 3261 §19.1.4).

use super::Uri;
use super::uri::Scheme;

/// Parameters that make two URIs differ though only one of them has it. RFC 3261 names the first four; the
/// transport is among its examples.
const NEVER_IGNORED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

/// Whether two SIP URIs, or two SIPS URIs, are equivalent; any other texts are the same if their bytes are.
/// The relation is symmetric, but not transitive: a parameter that only one URI has is ignored.
///
/// The work grows with the product of the numbers of their parameters.
#[must_use]
pub fn is_same_uri(left: &[u8], right: &[u8]) -> bool {
    if left == right {
        return true;
    }
    let (Ok(one), Ok(other)) = (Uri::parse(left), Uri::parse(right)) else { return false };
    let is_sip = matches!(one.scheme, Scheme::Sip | Scheme::Sips);
    is_sip
        && one.scheme == other.scheme
        && one.port == other.port
        && is_same_host(&one, &other)
        && is_same_text(userinfo(left), userinfo(right), Case::Matters)
        && has_params_of(&one, &other)
        && has_params_of(&other, &one)
        && has_headers_of(one.headers, other.headers)
        && has_headers_of(other.headers, one.headers)
}

/// How many parameters a URI has, for those who bound [`is_same_uri`]'s work.
#[must_use]
pub fn count_params(uri: &Uri<'_>) -> usize {
    pairs(uri.params, b';').count()
}

/// User and password: what stands between the scheme and the `@`.
fn userinfo(text: &[u8]) -> &[u8] {
    let rest = memchr::memchr(b':', text).map_or(text, |colon| &text[colon + 1..]);
    memchr::memchr(b'@', rest).map_or(&[], |at_sign| &rest[..at_sign])
}

/// Addresses are compared as numbers (RFC 5954 §4.2), names without case.
fn is_same_host(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    match (one.ip(), other.ip()) {
        (Some(one), Some(other)) => one == other,
        _ => one.host.eq_ignore_ascii_case(other.host),
    }
}

/// Whether each parameter of `one` stands in `other` with the same value or may be ignored there.
fn has_params_of(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    pairs(one.params, b';').all(|(name, value)| {
        let mut others = pairs(other.params, b';');
        match others.find(|(other, _)| is_same_text(name, other, Case::Folds)) {
            Some((_, other)) => is_same_text(value, other, Case::Folds),
            None => !NEVER_IGNORED.iter().any(|known| is_same_text(name, known, Case::Folds)),
        }
    })
}

/// Header components are never ignored.
fn has_headers_of(one: &[u8], other: &[u8]) -> bool {
    pairs(one, b'&').all(|(name, value)| {
        pairs(other, b'&').any(|(other, text)| {
            is_same_text(name, other, Case::Folds) && is_same_text(value, text, Case::Matters)
        })
    })
}

/// Names and values of `;a=b;c` or `?a=b&c=d`.
fn pairs(text: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    let text = text.strip_prefix(b"?").unwrap_or(text);
    let parts = text.split(move |byte| *byte == separator).filter(|part| !part.is_empty());
    parts.map(|part| match memchr::memchr(b'=', part) {
        Some(equals) => (&part[..equals], &part[equals + 1..]),
        None => (part, &[][..]),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Matters,
    Folds,
}

fn is_same_text(left: &[u8], right: &[u8], case: Case) -> bool {
    left == right || Letters { text: left, case }.eq(Letters { text: right, case })
}

/// A text letter by letter. An escape is the byte it stands for, but for reserved ones: those mean something
/// else when they are not escaped.
struct Letters<'a> {
    text: &'a [u8],
    case: Case,
}

/// Marks a reserved byte that was escaped.
const ESCAPED: u16 = 0x100;

impl Iterator for Letters<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let (byte, rest) = Uri::first_byte(self.text)?;
        let is_escape = self.text.len() - rest.len() > 1;
        self.text = rest;
        if is_escape && b";/?:@&=+$,".contains(&byte) {
            return Some(ESCAPED | u16::from(byte));
        }
        let byte = if self.case == Case::Folds { byte.to_ascii_lowercase() } else { byte };
        Some(u16::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(left: &str, right: &str) {
        assert!(is_same_uri(left.as_bytes(), right.as_bytes()), "{left} is {right}");
        assert!(is_same_uri(right.as_bytes(), left.as_bytes()), "{right} is {left}");
    }

    #[track_caller]
    fn different(left: &str, right: &str) {
        assert!(!is_same_uri(left.as_bytes(), right.as_bytes()), "{left} is not {right}");
        assert!(!is_same_uri(right.as_bytes(), left.as_bytes()), "{right} is not {left}");
    }

    #[test]
    fn the_rfcs_equivalent_uris() {
        same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp");
        same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5");
        same("sip:carol@chicago.com", "sip:carol@chicago.com;security=on");
        same("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on");
        same(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        );
        same(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        );
    }

    #[test]
    fn the_rfcs_different_uris() {
        different("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP");
        different("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060");
        different("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp");
        different("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp");
        different("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting");
        different("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4");
        different("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off");
    }

    #[test]
    fn schemes_passwords_and_users_that_are_missing_make_a_difference() {
        different("sip:1004@192.0.2.4", "sips:1004@192.0.2.4");
        different("sip:1004@192.0.2.4", "sip:192.0.2.4");
        different("sip:1004:secret@192.0.2.4", "sip:1004@192.0.2.4");
        different("sip:1004:secret@192.0.2.4", "sip:1004:Secret@192.0.2.4");
        for name in ["user=phone", "ttl=1", "method=INVITE", "maddr=192.0.2.9"] {
            different("sip:1004@192.0.2.4", &format!("sip:1004@192.0.2.4;{name}"));
        }
    }

    #[test]
    fn an_escaped_reserved_byte_is_not_the_byte() {
        same("sip:%2a1004@192.0.2.4", "sip:*1004@192.0.2.4");
        different("sip:10%3b04@192.0.2.4", "sip:10;04@192.0.2.4");
        same("sip:10%3b04@192.0.2.4", "sip:10%3B04@192.0.2.4");
        different("sip:100%254@192.0.2.4", "sip:100%25254@192.0.2.4");
    }

    #[test]
    fn addresses_are_numbers() {
        same("sip:1004@[2001:db8::1]:5070", "sip:1004@[2001:0DB8:0::1]:5070");
        different("sip:1004@[2001:db8::1]", "sip:1004@[2001:db8::2]");
    }

    #[test]
    fn what_is_no_sip_uri_is_compared_as_text() {
        same("tel:+1004", "tel:+1004");
        different("tel:+1004", "tel:+1-004");
        different("not a uri", "sip:1004@192.0.2.4");
    }
}
