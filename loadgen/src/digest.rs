//! A phone's side of digest authentication (RFC 7616, RFC 8760): reads a challenge, answers it. MD5 and
//! SHA-256 with qop=auth. Pure.

use md5::Md5;
use ringway::sip::{HeaderName, Message};
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    #[value(name = "sha-256")]
    Sha256,
    Md5,
}

impl Algorithm {
    /// The name in a challenge and its answer (RFC 7616 §3.3).
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// The hash of the parts as one text.
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        match self {
            Algorithm::Sha256 => Hash::of::<Sha256>(parts),
            Algorithm::Md5 => Hash::of::<Md5>(parts),
        }
    }
}

/// A hash in lower-case hex, which is the only form that digest authentication uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    hex: [u8; 64],
    length: u8,
}

impl Default for Hash {
    /// The hash of nothing yet.
    fn default() -> Hash {
        Hash { hex: [0; 64], length: 0 }
    }
}

impl Hash {
    fn of<D: Digest>(parts: &[&[u8]]) -> Hash {
        let mut digest = D::new();
        for part in parts {
            digest.update(part);
        }
        let mut hash = Hash::default();
        for (i, byte) in digest.finalize().iter().enumerate() {
            hash.hex[2 * i] = b"0123456789abcdef"[usize::from(byte >> 4)];
            hash.hex[2 * i + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
            hash.length += 2;
        }
        hash
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.hex[..usize::from(self.length)]
    }
}

/// HA1: what the password is checked against (RFC 7616 §3.4.2).
pub fn ha1(algorithm: Algorithm, number: &[u8], realm: &[u8], password: &[u8]) -> Hash {
    algorithm.hash(&[number, b":", realm, b":", password])
}

/// A REGISTER's A2, hashed (RFC 7616 §3.4.3).
pub fn ha2(algorithm: Algorithm, uri: &[u8]) -> Hash {
    algorithm.hash(&[b"REGISTER:", uri])
}

/// The `response` to a nonce that is used for the `nc`th time (RFC 7616 §3.4.1).
pub fn response(
    algorithm: Algorithm,
    ha1: &Hash,
    nonce: &[u8],
    nc: &[u8; 8],
    cnonce: &[u8],
    ha2: &Hash,
) -> Hash {
    algorithm.hash(&[ha1.as_bytes(), b":", nonce, b":", nc, b":", cnonce, b":auth:", ha2.as_bytes()])
}

/// A nonce count as it stands in a request.
pub fn nonce_count(nc: u32) -> [u8; 8] {
    std::array::from_fn(|place| b"0123456789abcdef"[(nc >> (28 - 4 * place)) as usize & 15])
}

/// A challenge that a phone can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'m> {
    pub algorithm: Algorithm,
    pub realm: &'m [u8],
    pub nonce: &'m [u8],
    /// To be given back; empty: none.
    pub opaque: &'m [u8],
    /// The credentials were right but their nonce is too old, or was used with this count before.
    pub stale: bool,
}

impl<'m> Challenge<'m> {
    /// The one to answer among a 401's: that for `preferred`, else the first that can be answered.
    pub fn choose(response: &Message<'m>, preferred: Algorithm) -> Option<Challenge<'m>> {
        let all = || response.values(HeaderName::WwwAuthenticate).filter_map(Challenge::parse);
        all().find(|challenge| challenge.algorithm == preferred).or_else(|| all().next())
    }

    /// Reads one header field's value; `None`: another scheme, algorithm or quality of protection.
    fn parse(value: &'m [u8]) -> Option<Challenge<'m>> {
        let (scheme, parameters) = value.trim_ascii().split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"digest ") {
            return None;
        }
        let mut challenge =
            Challenge { algorithm: Algorithm::Md5, realm: b"", nonce: b"", opaque: b"", stale: false };
        let mut offers_auth = false;
        for (name, value) in Parameters(parameters) {
            match name.to_ascii_lowercase().as_slice() {
                b"realm" => challenge.realm = value,
                b"nonce" => challenge.nonce = value,
                b"opaque" => challenge.opaque = value,
                b"stale" => challenge.stale = value.eq_ignore_ascii_case(b"true"),
                b"qop" => {
                    let mut offers = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    offers_auth = offers.any(|offer| offer.eq_ignore_ascii_case(b"auth"));
                }
                b"algorithm" if value.eq_ignore_ascii_case(b"SHA-256") => {
                    challenge.algorithm = Algorithm::Sha256
                }
                b"algorithm" if !value.eq_ignore_ascii_case(b"MD5") => return None,
                _ => {}
            }
        }
        (offers_auth && !challenge.nonce.is_empty()).then_some(challenge)
    }
}

/// `name=value` pairs between commas; quotes are taken off, what they hold is not unescaped: it goes back as
/// it came.
struct Parameters<'m>(&'m [u8]);

impl<'m> Iterator for Parameters<'m> {
    type Item = (&'m [u8], &'m [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let equals = self.0.iter().position(|byte| *byte == b'=')?;
        let name = self.0[..equals].trim_ascii_start().trim_ascii_end();
        let rest = self.0[equals + 1..].trim_ascii_start();
        let (value, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.iter().position(|byte| {
                    let ends = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    ends
                })?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => {
                let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                (rest[..end].trim_ascii_end(), &rest[end..])
            }
        };
        let comma = rest.iter().position(|byte| *byte == b',').map_or(rest.len(), |at| at + 1);
        self.0 = &rest[comma..];
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1's user, password and nonces; the request there is a GET.
    #[test]
    fn responses_are_those_of_the_rfcs_example() {
        let nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let expected = [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (algorithm, expected) in expected {
            let ha1 = ha1(algorithm, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
            let ha2 = algorithm.hash(&[b"GET:/dir/index.html"]);
            let response = response(algorithm, &ha1, nonce, &nonce_count(1), cnonce, &ha2);
            assert_eq!(String::from_utf8_lossy(response.as_bytes()), expected);
        }
    }

    #[test]
    fn nonce_counts_have_eight_hex_digits() {
        assert_eq!((&nonce_count(1), &nonce_count(0x1234_abcd)), (b"00000001", b"1234abcd"));
    }

    #[test]
    fn a_challenge_is_read_in_any_order_and_case() {
        let value =
            br#"DIGEST nonce="a,\"b" , Stale=TRUE,algorithm=sha-256,qop="auth-int, auth",realm="r w""#;
        let challenge = Challenge::parse(value).expect("a challenge");
        assert_eq!((challenge.nonce, challenge.realm), (&br#"a,\"b"#[..], &b"r w"[..]));
        assert_eq!(
            (challenge.algorithm, challenge.stale, challenge.opaque),
            (Algorithm::Sha256, true, &b""[..])
        );
        let plain = Challenge::parse(br#"Digest realm="r",nonce="n",qop="auth",opaque="o""#).expect("MD5");
        assert_eq!((plain.algorithm, plain.stale, plain.opaque), (Algorithm::Md5, false, &b"o"[..]));
    }

    #[test]
    fn a_challenge_that_cannot_be_answered_is_none() {
        for value in [
            &br#"Basic realm="r""#[..],
            br#"Digest realm="r",nonce="n""#,
            br#"Digest realm="r",nonce="n",qop="auth-int""#,
            br#"Digest realm="r",qop="auth""#,
            br#"Digest realm="r",nonce="n",qop="auth",algorithm=SHA-512-256"#,
            br#"Digest realm="r",nonce="n"#,
            b"Digest",
            b"",
        ] {
            assert_eq!(Challenge::parse(value), None, "{}", String::from_utf8_lossy(value));
        }
    }
}
