//! The digest of RFC 7616 §3.4 with the algorithms of RFC 8760: what a password becomes, and what a request
//! that proves to know it must say.

use super::credentials::Authorization;
use crate::directory::Credentials;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::hint::black_box;

/// A hash that we challenge with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Md5,
}

impl Algorithm {
    /// As a challenge names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// The algorithm that a text names, in any case; `None` for one that we never offer.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Algorithm> {
        [Algorithm::Sha256, Algorithm::Md5]
            .into_iter()
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// What is stored of a password: H(number ":" realm ":" password) for each algorithm (RFC 7616 §3.4.2).
#[must_use]
pub fn credentials(number: &str, realm: &str, password: &str) -> Credentials {
    let parts = [number.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
    Credentials { sha256: hash::<Sha256>(&parts).into(), md5: hash::<Md5>(&parts).into() }
}

/// Whether a request of this method proves to know the password (RFC 7616 §3.4.1, qop=auth). It takes as
/// long for a wrong answer as for the right one.
#[must_use]
pub fn is_right(credentials: &Credentials, method: &[u8], authorization: &Authorization<'_>) -> bool {
    match authorization.algorithm {
        Algorithm::Sha256 => is_response::<Sha256>(&credentials.sha256, method, authorization),
        Algorithm::Md5 => is_response::<Md5>(&credentials.md5, method, authorization),
    }
}

fn is_response<D: Digest>(ha1: &[u8], method: &[u8], authorization: &Authorization<'_>) -> bool {
    let Authorization { nonce, nc_text, cnonce, qop, uri, response, .. } = *authorization;
    let mut digits = [[0; HEX_BYTES_MAX]; 2];
    let [first, second] = &mut digits;
    let a2 = hash::<D>(&[method, b":", uri]);
    let (ha1, ha2) = (hex(ha1, first), hex(&a2, second));
    let parts = [ha1, b":", nonce, b":", nc_text, b":", cnonce, b":", qop, b":", ha2];
    let expected = hash::<D>(&parts);
    let mut room = [0; HEX_BYTES_MAX];
    is_same(hex(&expected, &mut room), response)
}

/// Hexadecimal digits of the longest hash.
const HEX_BYTES_MAX: usize = 64;

fn hash<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

fn hex<'o>(bytes: &[u8], out: &'o mut [u8; HEX_BYTES_MAX]) -> &'o [u8] {
    for (digits, byte) in out.chunks_exact_mut(2).zip(bytes) {
        digits[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        digits[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    &out[..(bytes.len() * 2).min(HEX_BYTES_MAX)]
}

/// Whether two texts are the same but for the case of letters. How long it takes tells nothing of where they
/// differ.
fn is_same(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected
        .iter()
        .zip(given)
        .fold(0, |sum, (expected, given)| black_box(sum | (expected ^ given.to_ascii_lowercase())));
    expected.len() == given.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1.
    fn mufasa<'a>(algorithm: Algorithm, response: &'a [u8]) -> Authorization<'a> {
        Authorization {
            username: b"Mufasa",
            realm: b"http-auth@example.org",
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            uri: b"/dir/index.html",
            response,
            algorithm,
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            qop: b"auth",
            nc: 1,
            nc_text: b"00000001",
        }
    }

    #[test]
    fn the_examples_of_rfc_7616_are_right_and_everything_near_them_is_wrong() {
        let known = credentials("Mufasa", "http-auth@example.org", "Circle of Life");
        let answers: [(Algorithm, &[u8]); 2] = [
            (Algorithm::Sha256, b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (Algorithm::Md5, b"8ca523f5e9506fed4657c9700eebdbec"),
        ];
        for (algorithm, answer) in answers {
            assert!(is_right(&known, b"GET", &mufasa(algorithm, answer)));
            assert!(is_right(&known, b"GET", &mufasa(algorithm, &answer.to_ascii_uppercase())));
            assert!(!is_right(&known, b"POST", &mufasa(algorithm, answer)));
            let other = credentials("Mufasa", "http-auth@example.org", "Circle of life");
            assert!(!is_right(&other, b"GET", &mufasa(algorithm, answer)));
            for position in 0..answer.len() {
                let mut wrong = answer.to_vec();
                wrong[position] ^= 1;
                assert!(!is_right(&known, b"GET", &mufasa(algorithm, &wrong)));
                assert!(!is_right(&known, b"GET", &mufasa(algorithm, &answer[..position])));
            }
            assert!(!is_right(&known, b"GET", &mufasa(algorithm, &[answer, b"0"].concat())));
        }
    }

    #[test]
    fn algorithms_are_named_in_any_case_and_sessions_are_none_of_ours() {
        assert_eq!(Algorithm::of(b"sha-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::of(b"md5"), Some(Algorithm::Md5));
        for other in [&b"MD5-sess"[..], b"SHA-256-sess", b"SHA-512-256", b""] {
            assert_eq!(Algorithm::of(other), None);
        }
    }
}
