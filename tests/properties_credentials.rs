//! Credentials that are put together at random come apart again, and nothing else is made of any text.

#[path = "fuzz/src/authorization.rs"]
mod authorization;

use proptest::prelude::*;
use ringway::auth::credentials::Authorization;

/// Bytes as a failure prints them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A parameter, more or less as it should be.
fn parameter() -> impl Strategy<Value = String> {
    const NAMES: [&str; 10] =
        ["username", "REALM", "nonce", "uri", "response", "algorithm", "cnonce", "qop", "nc", "opaque"];
    let value = prop_oneof![
        3 => "\"([a-z0-9,=<>@: ]|\\\\[\"\\\\a]){0,8}\"",
        2 => "[a-zA-Z0-9<>:@=]{0,8}",
        1 => "[\"\\\\, =a]{0,6}",
        1 => Just("auth".to_owned()),
        1 => Just("SHA-256".to_owned()),
        1 => "[0-9a-fA-F]{8}",
    ];
    (proptest::sample::select(&NAMES[..]), " ?= ?", value)
        .prop_map(|(name, equals, value)| format!("{name}{equals}{value}"))
}

proptest! {
    #[test]
    fn any_list_of_parameters_is_read_or_refused(
        parameters in proptest::collection::vec(parameter(), 0..10),
        scheme in proptest::sample::select(&["Digest ", "digest\t", "Basic ", "Digest"][..]),
    ) {
        authorization::run(format!("{scheme}{}", parameters.join(", ")).as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        authorization::run(&bytes);
        authorization::run(&[b"Digest ", &bytes[..]].concat());
    }

    #[test]
    fn whatever_phones_may_write_is_read(
        values in proptest::array::uniform6("([ -!#-\\[\\]-~]|\\\\[ -~]){1,12}"),
        nc in any::<u32>(),
    ) {
        let [username, realm, nonce, uri, response, cnonce] = &values;
        let text = format!(
            "Digest username=\"{username}\",realm=\"{realm}\" , nonce=\"{nonce}\",\turi=\"{uri}\", \
             response=\"{response}\", cnonce=\"{cnonce}\", qop=\"AUTH\", nc={nc:08X}, algorithm=\"md5\""
        );
        let read = Authorization::parse(text.as_bytes()).expect("well-formed").expect("a digest");
        let found = [read.username, read.realm, read.nonce, read.uri, read.response, read.cnonce];
        prop_assert_eq!(found, [username, realm, nonce, uri, response, cnonce].map(|value| value.as_bytes()));
        prop_assert_eq!((read.nc, read.qop), (nc, &b"AUTH"[..]));
        authorization::run(text.as_bytes());
    }
}
