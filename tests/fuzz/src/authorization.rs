//! Credentials: any value is read, passed over or refused; what is read was written there, and written again
//! in the plainest way it reads the same.

use ringway::auth::Algorithm;
use ringway::auth::credentials::{Authorization, is_for_realm};

pub fn run(data: &[u8]) {
    let Ok(Some(read)) = Authorization::parse(data) else { return };
    let texts = [
        ("username", read.username),
        ("realm", read.realm),
        ("nonce", read.nonce),
        ("uri", read.uri),
        ("response", read.response),
    ];
    for (name, text) in texts.into_iter().chain([("cnonce", read.cnonce), ("qop", read.qop)]) {
        let is_there = data.windows(text.len().max(1)).any(|window| window == text);
        assert!(text.is_empty() || is_there, "{name} of {}", crate::shown(data));
    }
    let mut again = b"Digest ".to_vec();
    for (name, text) in texts {
        again.extend_from_slice(&[name.as_bytes(), b"=\"", text, b"\", "].concat());
    }
    let algorithm = read.algorithm.name().to_ascii_lowercase();
    again.extend_from_slice(format!("algorithm={algorithm}").as_bytes());
    if !read.qop.is_empty() {
        assert_eq!(format!("{:08x}", read.nc).as_bytes(), read.nc_text.to_ascii_lowercase());
        let rest = [b", cnonce=\"", read.cnonce, b"\", qop=", read.qop, b",nc=", read.nc_text].concat();
        again.extend_from_slice(&rest);
    }
    let plain = match read.qop.is_empty() {
        true => Authorization { cnonce: b"", nc: 0, nc_text: b"", ..read },
        false => read,
    };
    assert_eq!(Authorization::parse(&again), Ok(Some(plain)), "{}", crate::shown(&again));
    assert_eq!(Algorithm::of(algorithm.as_bytes()), Some(read.algorithm));
    if let Ok(realm) = std::str::from_utf8(read.realm) {
        assert!(is_for_realm(data, realm) && is_for_realm(&again, realm));
        assert!(!is_for_realm(data, &format!("{realm}x")));
    }
}
