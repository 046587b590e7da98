//! RAck and the values that are a number with parameters: what they hold, what they refuse, and that what is
//! written is read back.

use proptest::prelude::*;
use ringway::sip::name_addr::param;
use ringway::sip::number::{leading_number, whole_number};
use ringway::sip::{HeaderName, Malformed, Method, RAck};

fn rack(text: &str) -> RAck<'_> {
    RAck::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn reliable_responses_have_their_header_names() {
    assert_eq!(HeaderName::classify(b"RSeq"), HeaderName::RSeq);
    assert_eq!(HeaderName::classify(b"rack"), HeaderName::RAck);
}

#[test]
fn a_rack_names_a_response_and_a_request() {
    let expected = RAck { rseq: 776_656, cseq: 1, method: Method::Invite, method_text: b"INVITE" };
    assert_eq!(rack("776656 1 INVITE"), expected);
    assert_eq!(rack(" 00776656\t 01 \t INVITE "), expected);
    let other = rack("4294967295 2147483647 NEW-ONE");
    assert_eq!((other.rseq, other.cseq), (u32::MAX, (1 << 31) - 1));
    assert_eq!((other.method, other.method_text), (Method::Other, &b"NEW-ONE"[..]));
}

#[test]
fn a_text_that_is_no_rack_is_malformed() {
    let texts = [
        "",
        "1",
        "1 2",
        "1 INVITE",
        "1 2INVITE",
        "12 INVITE",
        "x 2 INVITE",
        "-1 2 INVITE",
        "1 -2 INVITE",
        "1;2 INVITE",
        "1 2 IN VITE",
        "1 2 INV(ITE",
        "1 2 INVITE;x",
        "4294967296 1 INVITE",
        "99999999999999999999 1 INVITE",
        "1 2147483648 INVITE",
    ];
    for text in texts {
        assert_eq!(RAck::parse(text.as_bytes()), Err(Malformed), "{text:?}");
    }
}

#[test]
fn a_number_may_be_followed_by_a_comment_and_parameters() {
    assert_eq!(leading_number(b"90"), Some((90, &b""[..])));
    assert_eq!(leading_number(b" 0090 "), Some((90, &b""[..])));
    assert_eq!(leading_number(b"1800;refresher=uac"), Some((1_800, &b";refresher=uac"[..])));
    assert_eq!(leading_number(b"1800 ; refresher=uac"), Some((1_800, &b"; refresher=uac"[..])));
    let commented = b"120 (I'm in a (long; \\) meeting)) ;duration=3600";
    assert_eq!(leading_number(commented), Some((120, &b";duration=3600"[..])));
    assert_eq!(leading_number(b"120 (later)"), Some((120, &b""[..])));
}

#[test]
fn a_number_too_large_to_hold_is_the_largest_time_and_no_sequence_number() {
    for text in ["4294967295", "4294967296", "99999999999999999999999999999999"] {
        assert_eq!(leading_number(text.as_bytes()), Some((u32::MAX, &b""[..])), "{text}");
    }
    assert_eq!(whole_number(b"4294967295"), Some(u32::MAX));
    assert_eq!(whole_number(b"4294967296"), None);
    assert_eq!(whole_number(b"99999999999999999999999999999999"), None);
}

#[test]
fn a_value_that_does_not_start_with_a_number_or_goes_on_oddly_is_none() {
    let texts =
        ["", " ", "x", "-1", "+1", ";1", "(1)", "1x", "1 2", "1,2", "1.5", "1=2", "1 (open", "1 () x"];
    for text in texts {
        assert_eq!(leading_number(text.as_bytes()), None, "{text:?}");
        assert_eq!(whole_number(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(leading_number(b"1 (open\\"), None);
    assert_eq!(whole_number(b"1;x"), None);
    assert_eq!(whole_number(b"1 (one)"), None);
}

/// Text that a strategy is made of.
fn like(letters: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(letters).unwrap()
}

fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    like("(1|99999999999|[ (;)\\\\]|INVITE){0,12}").prop_map(String::into_bytes)
}

proptest! {
    // A failure becomes a test of its own rather than a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rack_put_together_comes_apart_again(
        rseq: u32,
        cseq in 0u32..1 << 31,
        method in like("INVITE|UPDATE|[A-Za-z0-9.!%*_+`'~-]{1,12}"),
        blanks in like("[ \t]{1,3}"),
    ) {
        let text = format!("{rseq}{blanks}{cseq}{blanks}{method}");
        let found = RAck::parse(text.as_bytes());
        let method_text = method.as_bytes();
        let method = Method::from_token(method_text);
        prop_assert_eq!(found, Ok(RAck { rseq, cseq, method, method_text }));
    }

    #[test]
    fn a_number_put_together_comes_apart_again(
        number: u32,
        zeros in like("0{0,4}"),
        comment in like("( ?\\(([a-z;, ]|\\\\[()\\\\]){0,9}\\))?"),
        refresher in like("uac|uas"),
        blanks in like("[ \t]{0,2}"),
    ) {
        let text = format!("{zeros}{number}{comment}{blanks};x;refresher={refresher}");
        let (found, params) = leading_number(text.as_bytes()).unwrap();
        prop_assert_eq!(found, number);
        prop_assert_eq!(param(params, "refresher"), Some(refresher.as_bytes()));
        let bare = format!("{blanks}{zeros}{number}{blanks}");
        prop_assert_eq!(whole_number(bare.as_bytes()), Some(number));
        prop_assert_eq!(leading_number(bare.as_bytes()), Some((number, &b""[..])));
    }

    #[test]
    fn no_bytes_make_a_number_or_a_rack_panic(
        bytes in prop_oneof![any::<Vec<u8>>(), near_misses()],
    ) {
        if let Some((_, params)) = leading_number(&bytes) {
            prop_assert!(params.is_empty() || params[0] == b';');
        }
        let rack = RAck::parse(&bytes);
        prop_assert!(rack.is_err() || rack.unwrap().method_text.len() < bytes.len());
        let _ = whole_number(&bytes);
    }
}
