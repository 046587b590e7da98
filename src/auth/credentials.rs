//! The Authorization header field (RFC 7616 §3.4, RFC 3261 §22.4).

use super::Algorithm;
use crate::sip::name_addr::split_list;
use crate::sip::{HeaderName, Malformed, Message};

/// The answer to a digest challenge. Texts stand as they were sent, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorization<'a> {
    pub username: &'a [u8],
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub uri: &'a [u8],
    pub response: &'a [u8],
    pub algorithm: Algorithm,
    /// Empty without `qop`.
    pub cnonce: &'a [u8],
    /// `auth` in any case; empty where there is none, as RFC 2069 had it, or another.
    pub qop: &'a [u8],
    /// How often the nonce was used; 0 without `qop`.
    pub nc: u32,
    /// The same as it was sent: eight hexadecimal digits.
    pub nc_text: &'a [u8],
}

/// Which of a request's Authorization header fields counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// None of them answers a challenge of ours.
    None,
    /// One that cannot be read, and none that answers us.
    Malformed,
    Ours(Authorization<'a>),
}

/// Parameters of credentials as they were written, in the order of [`NAMES`].
#[derive(Clone, Copy, Default)]
struct Parameters<'a> {
    values: [Option<&'a [u8]>; NAMES.len()],
}

/// The parameters that we look at; of others (`opaque`, what extensions bring) nothing is made.
const NAMES: [&str; 9] =
    ["username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "qop", "nc"];

/// The place of the realm among them.
const REALM: usize = 1;

impl<'a> Authorization<'a> {
    /// Reads one field's value. `Ok(None)`: of another scheme than Digest, or with an algorithm that we never
    /// offer.
    ///
    /// # Errors
    /// [`Malformed`]: no list of `name=value`, a parameter twice, one that RFC 7616 §3.4 requires missing, an
    /// `nc` other than eight hexadecimal digits.
    pub fn parse(value: &'a [u8]) -> Result<Option<Authorization<'a>>, Malformed> {
        let Some(parameters) = digest_parameters(value) else { return Ok(None) };
        let parameters = Parameters::read(parameters)?;
        let [username, realm, nonce, uri, response, algorithm, cnonce, qop, nc] = parameters.values;
        // RFC 7616 §3.3: without an algorithm it is MD5.
        let algorithm = Algorithm::of(algorithm.unwrap_or(b"MD5"));
        let mut authorization = Authorization {
            username: username.ok_or(Malformed)?,
            realm: realm.ok_or(Malformed)?,
            nonce: nonce.ok_or(Malformed)?,
            uri: uri.ok_or(Malformed)?,
            response: response.ok_or(Malformed)?,
            algorithm: match algorithm {
                Some(algorithm) => algorithm,
                None => return Ok(None),
            },
            cnonce: b"",
            qop: b"",
            nc: 0,
            nc_text: b"",
        };
        if let Some(qop) = qop {
            authorization.cnonce = cnonce.ok_or(Malformed)?;
            authorization.nc_text = nc.ok_or(Malformed)?;
            authorization.nc = count(authorization.nc_text).ok_or(Malformed)?;
            authorization.qop = if qop.eq_ignore_ascii_case(b"auth") { qop } else { b"" };
        }
        Ok(Some(authorization))
    }

    /// The one of a request's that answers a challenge of ours: the first with our realm and an algorithm
    /// that we offer.
    #[must_use]
    pub fn find(request: &Message<'a>, realm: &str, offered: &[Algorithm]) -> Found<'a> {
        let mut found = Found::None;
        for value in request.values(HeaderName::Authorization) {
            match Authorization::parse(value) {
                Ok(Some(one)) if one.realm == realm.as_bytes() && offered.contains(&one.algorithm) => {
                    return Found::Ours(one);
                }
                Ok(_) => {}
                Err(Malformed) => found = Found::Malformed,
            }
        }
        found
    }
}

/// Whether credentials are for this realm, whatever their scheme and algorithm. What cannot be read is.
#[must_use]
pub fn is_for_realm(value: &[u8], realm: &str) -> bool {
    match digest_parameters(value).map(Parameters::read) {
        None => false,
        Some(Err(Malformed)) => true,
        Some(Ok(parameters)) => parameters.values[REALM].is_none_or(|named| named == realm.as_bytes()),
    }
}

/// What stands behind the scheme; `None`: it is not Digest.
fn digest_parameters(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let (scheme, parameters) = value.split_at(end);
    scheme.eq_ignore_ascii_case(b"Digest").then_some(parameters)
}

impl<'a> Parameters<'a> {
    fn read(text: &'a [u8]) -> Result<Parameters<'a>, Malformed> {
        let mut parameters = Parameters::default();
        for item in split_list(text) {
            let equals = memchr::memchr(b'=', item).ok_or(Malformed)?;
            let (name, value) = (item[..equals].trim_ascii(), item[equals + 1..].trim_ascii());
            let value = unquoted(value).ok_or(Malformed)?;
            let Some(place) = NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
            else {
                continue;
            };
            if parameters.values[place].replace(value).is_some() {
                return Err(Malformed);
            }
        }
        Ok(parameters)
    }
}

/// A value without its quotes, which it may have or lack; quoted pairs stay as they are. `None`: a quote that
/// is not closed or stands in the middle, or nothing at all.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let Some(rest) = value.strip_prefix(b"\"") else {
        let is_word = |byte: &u8| !matches!(byte, b'"' | b' ' | b'\t' | b'\\');
        return (!value.is_empty() && value.iter().all(is_word)).then_some(value);
    };
    let mut at = 0;
    loop {
        match rest.get(at)? {
            b'"' => return (at + 1 == rest.len()).then_some(&rest[..at]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Eight hexadecimal digits (RFC 7616 §3.4).
fn count(text: &[u8]) -> Option<u32> {
    let is_count = text.len() == 8 && text.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_count)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "Digest username=\"1003\", realm=\"ringway\", nonce=\"84a4\", \
         uri=\"sip:1004@h;x=<,>\", response=\"42\" , algorithm=sha-256,\
         cnonce=\"a,\\\"b\", opaque=\"\",qop=auth, nc=0000001F, new=1";

    #[test]
    fn credentials_are_read_whatever_stands_around_them() {
        let read = Authorization::parse(WHOLE.as_bytes()).expect("well-formed").expect("a digest");
        let expected = Authorization {
            username: b"1003",
            realm: b"ringway",
            nonce: b"84a4",
            uri: b"sip:1004@h;x=<,>",
            response: b"42",
            algorithm: Algorithm::Sha256,
            cnonce: b"a,\\\"b",
            qop: b"auth",
            nc: 31,
            nc_text: b"0000001F",
        };
        assert_eq!(read, expected);
        let without = WHOLE.replace("algorithm=sha-256,", "").replace("qop=auth, nc=0000001F,", "");
        let read = Authorization::parse(without.as_bytes()).expect("well-formed").expect("a digest");
        assert_eq!(
            read,
            Authorization {
                algorithm: Algorithm::Md5,
                cnonce: b"",
                qop: b"",
                nc: 0,
                nc_text: b"",
                ..expected
            }
        );
    }

    #[test]
    fn what_is_no_digest_of_ours_is_passed_over_and_what_is_broken_is_malformed() {
        for other in ["Basic MTAwMzpx", "", "Digested x=1", &WHOLE.replace("sha-256", "MD5-sess")] {
            assert_eq!(Authorization::parse(other.as_bytes()), Ok(None), "{other}");
        }
        let cut = |part: &str| WHOLE.replace(part, "");
        for broken in [
            "Digest",
            "Digest x",
            &cut("username=\"1003\","),
            &cut("realm=\"ringway\","),
            &cut("nonce=\"84a4\","),
            &cut("response=\"42\" ,"),
            &cut(", nc=0000001F"),
            &cut("cnonce=\"a,\\\"b\","),
            &WHOLE.replace("0000001F", "1F"),
            &WHOLE.replace("0000001F", "+000001F"),
            &WHOLE.replace("\"42\"", "\"42"),
            &WHOLE.replace("\"42\"", "\"4\"2"),
            &WHOLE.replace("new=1", "nc=00000020"),
        ] {
            assert_eq!(Authorization::parse(broken.as_bytes()), Err(Malformed), "{broken}");
        }
    }

    #[test]
    fn what_is_ours_is_told_by_the_realm() {
        assert!(is_for_realm(WHOLE.as_bytes(), "ringway"));
        assert!(is_for_realm(b"Digest broken", "ringway"));
        assert!(!is_for_realm(WHOLE.as_bytes(), "other"));
        assert!(!is_for_realm(b"Basic MTAwMzpx", "ringway"));
    }
}
