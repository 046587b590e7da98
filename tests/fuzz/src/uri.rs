//! URIs: the parts put together again are the same URI; users compare as their decoded bytes do.

use ringway::sip::Uri;
use ringway::sip::uri::Scheme;

pub fn run(data: &[u8]) {
    let middle = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (left, right) = (&data[..middle], data.get(middle + 1..).unwrap_or_default());
    assert_eq!(Uri::same_user(left, right), decoded(left) == decoded(right));
    assert!(Uri::same_user(left, &escaped(left)));
    let Ok(uri) = Uri::parse(data) else { return };
    assert!(!data.iter().any(|byte| *byte <= b' '));
    if uri.scheme == Scheme::Other {
        return;
    }
    let colon = data.iter().position(|byte| *byte == b':').unwrap_or_default();
    let mut again = data[..=colon].to_vec();
    again.extend_from_slice(uri.user);
    if uri.scheme != Scheme::Tel && !uri.user.is_empty() {
        again.push(b'@');
    }
    again.extend_from_slice(uri.host);
    if let Some(port) = uri.port {
        again.extend_from_slice(format!(":{port}").as_bytes());
    }
    again.extend_from_slice(uri.params);
    again.extend_from_slice(uri.headers);
    assert_eq!(Uri::parse(&again), Ok(uri), "{}", crate::shown(&again));
    let is_reference = uri.host.starts_with(b"[");
    assert!(uri.ip().is_none_or(|ip| ip.is_ipv6() == is_reference));
}

fn decoded(user: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < user.len() {
        let digits = user.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits.and_then(|digits| std::str::from_utf8(digits).ok()) {
            Some(digits) if user[at] == b'%' => {
                bytes.extend(u8::from_str_radix(digits, 16));
                at += 3;
            }
            _ => {
                bytes.push(user[at]);
                at += 1;
            }
        }
    }
    bytes
}

/// The same user with every byte escaped.
fn escaped(user: &[u8]) -> Vec<u8> {
    decoded(user).iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect()
}
