//! The views: URIs, name-addr and addr-spec, parameters, lists, via-parms.

use proptest::prelude::*;
use ringway::sip::name_addr::{param, split_list};
use ringway::sip::uri::Scheme;
use ringway::sip::{Malformed, NameAddr, Uri, Via};
use std::net::IpAddr;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
}

fn address(text: &str) -> NameAddr<'_> {
    NameAddr::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn a_sip_uri_comes_apart() {
    let uri = uri("sip:alice:secret@atlanta.example:5061;transport=tcp;lr?subject=x&to=y");
    assert_eq!(uri.scheme, Scheme::Sip);
    assert_eq!((uri.user, uri.host, uri.port), (&b"alice"[..], &b"atlanta.example"[..], Some(5061)));
    assert_eq!(uri.params, b";transport=tcp;lr");
    assert_eq!(uri.headers, b"?subject=x&to=y");
    assert_eq!(
        (uri.param("Transport"), uri.param("lr"), uri.param("x")),
        (Some(&b"tcp"[..]), Some(&b""[..]), None)
    );
}

#[test]
fn a_uri_may_be_no_more_than_a_host() {
    let uri = uri("sips:h");
    let nothing = (&b""[..], &b"h"[..], None, &b""[..], &b""[..]);
    assert_eq!(
        (uri.scheme, (uri.user, uri.host, uri.port, uri.params, uri.headers)),
        (Scheme::Sips, nothing)
    );
}

#[test]
fn schemes_compare_without_case() {
    assert_eq!(uri("SIP:a@b").scheme, Scheme::Sip);
    assert_eq!(uri("SiPs:a@b").scheme, Scheme::Sips);
    assert_eq!(uri("TEL:+1").scheme, Scheme::Tel);
    assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme, Scheme::Other);
    assert_eq!(uri("mailto:a@b").host, b"");
}

#[test]
fn a_user_may_hold_what_elsewhere_separates() {
    assert_eq!(uri("sip:user;par=u%40example.net@example.com").user, b"user;par=u%40example.net");
    assert_eq!(uri("sip:a?b/c,d=e+f$g&h@i").user, b"a?b/c,d=e+f$g&h");
    assert_eq!(uri("sip:sips%3Auser%40example.com@example.net").host, b"example.net");
}

#[test]
fn a_header_may_hold_a_question_mark() {
    assert_eq!(uri("sip:h?a=?&b=?").headers, b"?a=?&b=?");
    assert_eq!(uri("sip:h?a=;x").params, b"");
}

#[test]
fn a_tel_uri_is_a_number_and_parameters() {
    let uri = uri("tel:+49-30-1234;phone-context=example.com;isub=1");
    assert_eq!((uri.user, uri.host), (&b"+49-30-1234"[..], &b""[..]));
    assert_eq!(uri.param("phone-context"), Some(&b"example.com"[..]));
}

#[test]
fn an_ipv6_reference_keeps_its_brackets() {
    let uri = uri("sip:[2001:db8::10]:5070;x");
    assert_eq!((uri.host, uri.port), (&b"[2001:db8::10]"[..], Some(5070)));
    assert_eq!(uri.ip(), Some("2001:db8::10".parse::<IpAddr>().unwrap()));
    assert_eq!(self::uri("sip:[2001:db8::10:5070]").port, None);
}

#[test]
fn a_host_is_an_address_or_a_name() {
    assert_eq!(uri("sip:a@192.0.2.1").ip(), Some("192.0.2.1".parse::<IpAddr>().unwrap()));
    assert_eq!(
        uri("sip:a@[::ffff:192.0.2.10]:19823").ip(),
        Some("::ffff:192.0.2.10".parse::<IpAddr>().unwrap())
    );
    for name in ["sip:a@example.com", "sip:a@192.0.2.256", "sip:a@1.2.3", "sip:a@[1::2::3]", "sip:a@dead"] {
        assert_eq!(uri(name).ip(), None, "{name}");
    }
}

#[test]
fn a_text_that_is_no_uri_is_malformed() {
    let texts = [
        "",
        "sip",
        "sip:",
        ":a@b",
        "1sip:a@b",
        "*",
        "sip:@b",
        "sip:a@",
        "sip:a@b:",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b c",
        "sip:a b@c",
        "sip:a@b;lr x",
        "sip:a@b\t",
        "sip:a\0@b",
        "<sip:a@b>",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@[x]",
        "sip:2001:db8::10",
        "sip:a@b@c",
        "sip:a@b/c",
        "sip:a@b,c",
        "tel:",
        "tel:;x",
        "tel:1 2",
        "http:",
        "alice@atlanta",
        "sip :a@b",
        "sip:\"a\"@b",
    ];
    for text in texts {
        assert_eq!(Uri::parse(text.as_bytes()), Err(Malformed), "{text:?}");
    }
}

#[test]
fn users_are_the_same_however_they_are_escaped() {
    let same = [
        ("alice", "alice"),
        ("alice", "%61lice"),
        ("a%4a", "aJ"),
        ("a%4A", "a%4a"),
        ("", ""),
        ("%00", "%00"),
    ];
    for (left, right) in same {
        assert!(Uri::same_user(left.as_bytes(), right.as_bytes()), "{left} {right}");
    }
}

#[test]
fn users_differ_by_case_and_are_unescaped_once() {
    let other = [
        ("alice", "Alice"),
        ("a", "ab"),
        ("ab", "a"),
        ("value%25%34%31", "valueA"),
        ("a%00b", "a"),
        ("%6", "6"),
        ("%zz", "%zy"),
        ("a%4", "a@"),
    ];
    for (left, right) in other {
        assert!(!Uri::same_user(left.as_bytes(), right.as_bytes()), "{left} {right}");
    }
    assert!(Uri::same_user(b"value%25%34%31", b"value%2541"));
}

#[test]
fn a_name_addr_comes_apart() {
    let address = address("\"Alice <x>, \\\"A\\\"\" <sip:alice@a;x=y?h=1> ; tag=1;q=\"0.5;\" ;lr ");
    assert_eq!(address.display, b"\"Alice <x>, \\\"A\\\"\"");
    assert_eq!(address.uri, b"sip:alice@a;x=y?h=1");
    assert_eq!(address.params, b"; tag=1;q=\"0.5;\" ;lr");
    assert_eq!(
        (address.tag(), address.param("Q"), address.param("lr")),
        (&b"1"[..], Some(&b"0.5;"[..]), Some(&b""[..]))
    );
    assert_eq!(address.param("x"), None);
}

#[test]
fn without_brackets_parameters_are_the_headers() {
    let address = address("sip:alice@a;tag=1");
    assert_eq!((address.display, address.uri, address.tag()), (&b""[..], &b"sip:alice@a"[..], &b"1"[..]));
}

#[test]
fn a_display_name_may_be_tokens_utf8_or_stick_to_its_bracket() {
    assert_eq!(address("Bob Smith <sip:b>").display, b"Bob Smith");
    assert_eq!(address("caller<sip:b>").display, b"caller");
    assert_eq!(address("\u{5f20}\u{4e09} <sip:b>").display, "\u{5f20}\u{4e09}".as_bytes());
    assert_eq!(address("<sip:b>").display, b"");
}

#[test]
fn blanks_just_inside_the_brackets_are_left_out() {
    assert_eq!(address("\"Watson, Thomas\" < sip:t.watson@example.org >").uri, b"sip:t.watson@example.org");
}

#[test]
fn a_text_without_one_address_is_malformed() {
    let texts = [
        "",
        " ",
        ";tag=1",
        "\"A\"",
        "\"A <sip:b>",
        "<sip:b",
        "<>",
        "< >",
        "<sip:a b>",
        "sip:a b",
        "A, B <sip:b>",
        "a>b",
        "<sip:a>, <sip:b>",
        "<sip:a> x",
        "\"a\" sip:b",
    ];
    for text in texts {
        assert_eq!(NameAddr::parse(text.as_bytes()), Err(Malformed), "{text:?}");
    }
}

#[test]
fn a_list_splits_at_commas_outside_quotes_and_brackets() {
    let list = "<sip:a,b>;x=\"1,2\" , \"C, \\\"D\" <sip:c>,, sip:d,";
    let items: Vec<&[u8]> = split_list(list.as_bytes()).collect();
    assert_eq!(items, [&b"<sip:a,b>;x=\"1,2\""[..], b"\"C, \\\"D\" <sip:c>", b"sip:d"]);
    assert_eq!(split_list(b"").count() + split_list(b" , ,").count(), 0);
    assert_eq!(split_list(b"\"open, a").collect::<Vec<_>>(), [b"\"open, a"]);
    assert_eq!(split_list(b"<open, a").collect::<Vec<_>>(), [b"<open, a"]);
}

#[test]
fn parameters_are_found_by_name_without_case() {
    let params = b"; a ;b=c; D = \"e;f=no\" ;g=\"\\\";h=no\";i;tag=1;tag=2;j=\"open";
    let find = |name| param(params, name);
    assert_eq!((find("a"), find("B"), find("d")), (Some(&b""[..]), Some(&b"c"[..]), Some(&b"e;f=no"[..])));
    assert_eq!((find("f"), find("h"), find("no")), (None, None, None));
    assert_eq!(
        (find("g"), find("i"), find("tag")),
        (Some(&b"\\\";h=no"[..]), Some(&b""[..]), Some(&b"1"[..]))
    );
    assert_eq!((find("j"), find("k")), (Some(&b"open"[..]), None));
    assert_eq!(param(b"", "a"), None);
}

#[test]
fn a_via_comes_apart() {
    let via = Via::parse(b"SIP/2.0/UDP host:5060;branch=z9hG4bK1;received=192.0.2.1;rport=99").unwrap();
    assert_eq!((via.transport, via.host, via.port), (&b"UDP"[..], &b"host"[..], Some(5060)));
    assert_eq!((via.branch(), via.param("RPORT")), (&b"z9hG4bK1"[..], Some(&b"99"[..])));
    assert_eq!(via.params, b";branch=z9hG4bK1;received=192.0.2.1;rport=99");
}

#[test]
fn a_via_may_have_white_space_and_another_protocol() {
    let via = Via::parse(b"XIP  / 3.x /\tSCTP \t[::1] : 7 ; branch = b ").unwrap();
    assert_eq!((via.transport, via.host, via.port), (&b"SCTP"[..], &b"[::1]"[..], Some(7)));
    assert_eq!((via.params, via.branch()), (&b"; branch = b"[..], &b"b"[..]));
    assert_eq!(Via::parse(b"SIP/2.0/ UDP h").unwrap().transport, b"UDP");
    assert_eq!(Via::parse(b"SIP/2.0/UDP h").unwrap().params, b"");
}

#[test]
fn a_text_that_is_no_via_is_malformed() {
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDPhost",
        "SIP/2.0 /UDP",
        "SIP//UDP h",
        "SIP/2.0/UDP a@b",
        "SIP/2.0/UDP a, b",
    ] {
        assert_eq!(Via::parse(text.as_bytes()), Err(Malformed), "{text:?}");
    }
}

fn display() -> impl Strategy<Value = String> {
    prop_oneof![part("([a-z0-9.!%*_+`'~-]{1,8} ?){0,3}"), part("\"([^\"\\\\\r\n]|\\\\.){0,12}\"")]
}

/// Text of the letters that RFC 3261 §25.1 allows in a part.
fn part(letters: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(letters).unwrap()
}

fn optional(part: impl Strategy<Value = String>, lead: &'static str) -> impl Strategy<Value = String> {
    proptest::option::of(part)
        .prop_map(move |part| part.map(|part| format!("{lead}{part}")).unwrap_or_default())
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![part("[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?"), part("\\[[0-9a-f:]{2,9}\\]")]
}

proptest! {
    #[test]
    fn a_uri_put_together_comes_apart_again(
        user in optional(part("[A-Za-z0-9%&=+$,;?/_.!~*'()-]{1,12}"), ""),
        host in host(),
        port in proptest::option::of(any::<u16>()),
        params in optional(part("[a-z=%0-9;\\[\\]/:&+$]{0,20}"), ";"),
        headers in optional(part("[a-z=%0-9&\\[\\]/?:+$;]{0,20}"), "?"),
    ) {
        let at = if user.is_empty() { "" } else { "@" };
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let text = format!("sip:{user}{at}{host}{port_text}{params}{headers}");
        let uri = Uri::parse(text.as_bytes()).unwrap();
        prop_assert_eq!((uri.user, uri.host, uri.port), (user.as_bytes(), host.as_bytes(), port));
        prop_assert_eq!((uri.params, uri.headers), (params.as_bytes(), headers.as_bytes()));
    }

    #[test]
    fn an_address_put_together_comes_apart_again(
        display in display(),
        uri in part("sip:[^<>\" \t\r\n\\x0c]{1,20}"),
        tag in optional(part("[a-z0-9.!%*_+`'~-]{1,9}"), ";tag="),
    ) {
        let text = format!("{display}<{uri}>{tag};x");
        let address = NameAddr::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(address.display, display.trim_end_matches(' ').as_bytes());
        prop_assert_eq!(address.uri, uri.as_bytes());
        prop_assert_eq!(address.tag(), tag.trim_start_matches(";tag=").as_bytes());
        prop_assert_eq!(address.param("x"), Some(&b""[..]));
        let list = format!("{text}, {text},{text}");
        prop_assert_eq!(split_list(list.as_bytes()).collect::<Vec<_>>(), vec![text.as_bytes(); 3]);
    }

    #[test]
    fn a_via_put_together_comes_apart_again(
        blanks in vec_of_blanks(),
        transport in part("[A-Za-z0-9.!%*_+`'~-]{1,6}"),
        host in host(),
        port in proptest::option::of(any::<u16>()),
        branch in part("[a-zA-Z0-9.!%*_+`'~-]{1,20}"),
    ) {
        let [a, b, c, d, e, f, g] = &blanks[..] else { unreachable!() };
        let port_text = port.map(|port| format!("{e}:{f}{port}")).unwrap_or_default();
        let sent = format!("SIP{a}/{b}2.0{c}/{d}{transport} {host}{port_text}");
        let text = format!("{sent}{g};rport{a};branch{b}={c}{branch}");
        let via = Via::parse(text.as_bytes()).unwrap();
        prop_assert_eq!((via.transport, via.host, via.port), (transport.as_bytes(), host.as_bytes(), port));
        prop_assert_eq!((via.branch(), via.param("rport")), (branch.as_bytes(), Some(&b""[..])));
    }

    #[test]
    fn a_user_is_the_same_when_some_of_it_is_escaped(user in any::<Vec<u8>>(), escaped in any::<u64>()) {
        let escape = |(at, byte): (usize, &u8)| match escaped >> (at % 64) & 1 {
            0 if *byte != b'%' => vec![*byte],
            _ => format!("%{byte:02x}").into_bytes(),
        };
        let other: Vec<u8> = user.iter().enumerate().flat_map(escape).collect();
        let plain: Vec<u8> = user.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect();
        prop_assert!(Uri::same_user(&plain, &other));
    }

    #[test]
    fn no_bytes_make_a_view_panic(bytes in prop_oneof![any::<Vec<u8>>(), near_misses()]) {
        let _ = Uri::parse(&bytes).map(|uri| (uri.ip(), uri.param("lr")));
        let _ = NameAddr::parse(&bytes).map(|address| address.tag());
        let _ = Via::parse(&bytes).map(|via| via.branch());
        let length: usize = split_list(&bytes).map(<[u8]>::len).sum();
        prop_assert!(length <= bytes.len());
        let _ = (param(&bytes, "tag"), param(&bytes, ""), Uri::same_user(&bytes, b"%"));
    }
}

fn vec_of_blanks() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(part("[ \t]{0,2}"), 7)
}

fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    part("(sip:|SIP/2\\.0/UDP |<|>|\"|\\\\|;tag=|;|=|,|@|:|\\[|\\]|%|a|1| ){0,30}")
        .prop_map(String::into_bytes)
}
