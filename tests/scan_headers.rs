//! The scanner's behaviour behind the start line: lines, values, faults, the body.

use ringway::limits;
use ringway::sip::{Fault, HeaderName, Index, Malformed, Message, NameAddr, scan};

struct Scanned {
    buffer: Vec<u8>,
    index: Index,
    result: Result<(), Fault>,
}

impl Scanned {
    fn message(&self) -> Message<'_> {
        self.index.message(&self.buffer)
    }
}

fn scanned(datagram: impl AsRef<[u8]>) -> Scanned {
    let datagram = datagram.as_ref();
    let mut buffer = datagram.to_vec();
    buffer.resize(datagram.len() + limits::SCAN_PADDING, 0);
    let mut index = Index::new();
    let result = scan(&mut buffer, datagram.len(), &mut index);
    Scanned { buffer, index, result }
}

/// A request with these lines before the ones that every message has, and this body.
fn request(lines: &str, body: &str) -> String {
    format!(
        "INVITE sip:b@c SIP/2.0\r\n{lines}Via: SIP/2.0/UDP h;branch=b\r\nFrom: <sip:a>;tag=f\r\n\
         To: <sip:b>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n\r\n{body}"
    )
}

fn fault_of(datagram: impl AsRef<[u8]>) -> Option<Fault> {
    scanned(datagram).result.err()
}

fn without(name: &str) -> String {
    request("", "").split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
}

fn replaced(name: &str, line: &str) -> String {
    let keep = |old: &str| if old.starts_with(name) { format!("{line}\r\n") } else { old.to_string() };
    request("", "").split_inclusive("\r\n").map(keep).collect()
}

#[test]
fn folded_lines_are_unfolded_in_place() {
    let scanned = scanned(request("Subject: one\r\n two\r\n\tthree\r\nZ: y\r\n", ""));
    let message = scanned.message();
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(message.header(HeaderName::Subject), Some(&b"one   two  \tthree"[..]));
    assert_eq!(message.lines(0, 1), b"Subject: one   two  \tthree\r\n");
    assert_eq!(message.text(message.headers()[1].value), b"y");
}

#[test]
fn a_value_may_start_on_the_next_line() {
    let scanned = scanned(replaced("CSeq", "CSeq:\r\n 0009\r\n  INVITE"));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().cseq().unwrap().number, 9);
}

#[test]
fn a_fold_may_stand_before_the_colon() {
    let scanned = scanned(replaced("Call-ID", "Call-ID\r\n : folded"));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().call_id(), b"folded");
}

#[test]
fn a_body_that_starts_with_a_blank_is_no_fold() {
    let scanned = scanned(request("", " body"));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().body(), b" body");
}

#[test]
fn the_start_line_cannot_be_folded() {
    let scanned = scanned(request(" lr\r\n", ""));
    assert_eq!(scanned.result, Err(Fault::BrokenHeader));
    assert_eq!(scanned.message().request_uri(), b"sip:b@c");
    assert_eq!(scanned.message().call_id(), b"call");
}

#[test]
fn a_lone_line_feed_ends_a_line_and_is_a_fault() {
    let scanned = scanned(request("Subject: a\nX: b\r\n", ""));
    let message = scanned.message();
    assert_eq!(scanned.result, Err(Fault::BrokenHeader));
    assert_eq!(message.header(HeaderName::Subject), Some(&b"a"[..]));
    assert_eq!(message.headers().len(), 7);
    assert_eq!(message.call_id(), b"call");
    assert_eq!(fault_of(request("", "").replace("\r\n", "\n")), Some(Fault::BrokenHeader));
}

#[test]
fn a_lone_carriage_return_becomes_a_blank_and_is_a_fault() {
    let scanned = scanned(request("Subject: a\rVia: b\r\n", ""));
    assert_eq!(scanned.result, Err(Fault::BrokenHeader));
    assert_eq!(scanned.message().header(HeaderName::Subject), Some(&b"a Via: b"[..]));
    assert_eq!(scanned.message().headers().len(), 6);
}

#[test]
fn a_header_line_needs_a_token_and_a_colon() {
    for line in ["no colon here", ": value", "bad name: x", "b@d: x", "\u{e9}: x", " : x"] {
        let scanned = scanned(request(&format!("{line}\r\n"), ""));
        assert_eq!(scanned.result, Err(Fault::BrokenHeader), "{line}");
        assert_eq!(scanned.message().headers()[0].name, HeaderName::Other);
        assert_eq!(scanned.message().text(scanned.message().headers()[0].value), b"");
        assert_eq!(scanned.message().call_id(), b"call");
    }
}

#[test]
fn blanks_may_stand_between_a_name_of_any_length_and_its_colon() {
    for length in 2..100 {
        for blanks in [" ", "\t ", "          "] {
            let scanned = scanned(request(&format!("{}{blanks}: x\r\n", "X".repeat(length)), ""));
            assert_eq!(scanned.result, Ok(()), "{length}");
            assert_eq!(scanned.message().text(scanned.message().headers()[0].value), b"x");
        }
    }
}

#[test]
fn headers_without_an_end_are_broken_but_read() {
    let text = request("", "");
    for cut in 2..=5 {
        let scanned = scanned(&text[..text.len() - cut]);
        assert_eq!(scanned.result, Err(Fault::BrokenHeader), "{cut}");
        assert!(scanned.message().has(HeaderName::CSeq));
        assert_eq!(scanned.message().body(), b"");
    }
}

#[test]
fn values_hold_nul_and_any_other_byte() {
    let text = request("Subject: \u{e9}\u{4e2d}\0\u{7f}\\\r\n", "\0\0");
    let scanned = scanned(&text);
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().header(HeaderName::Subject), Some("\u{e9}\u{4e2d}\0\u{7f}\\".as_bytes()));
    assert_eq!(scanned.message().body(), b"\0\0");
}

#[test]
fn values_may_be_empty() {
    let scanned = scanned(request("Subject:\r\nX:\r\nSupported: \r\n", ""));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().header(HeaderName::Subject), Some(&b""[..]));
    assert_eq!(scanned.message().header(HeaderName::Supported), Some(&b""[..]));
    assert_eq!(scanned.message().header(HeaderName::Require), None);
}

#[test]
fn tags_are_found_behind_quotes_brackets_and_blanks() {
    let cases = [
        (r#"From: "a;tag=no,\"<" <sip:a;tag=no>;x="tag=;";TAG=yes;tag=late"#, "yes"),
        ("From: sip:a@b;tag=yes", "yes"),
        ("From: sip:a@b ;   tag    = yes  ; x", "yes"),
        ("From: A B <sip:a@b>\t;\ttag=yes", "yes"),
        ("From: <sip:a@b>;tag=\"yes\"", "yes"),
        ("From: <sip:a@b>;tag=yes;x=\"a;b\";y", "yes"),
        ("From: <sip:a@b>;;tag=yes;", "yes"),
        ("From: <sip:a@b>;tag=a:b/c==@d", "a:b/c==@d"),
        ("From: < sip:a@b >;tag=yes", "yes"),
        ("From: <sip:a@b?x=;tag=no>", ""),
        ("f: <sip:a@b>;nottag=no", ""),
    ];
    for (line, tag) in cases {
        let scanned = scanned(replaced("From", line));
        assert_eq!(scanned.result, Ok(()), "{line}");
        assert_eq!(scanned.message().from_tag(), tag.as_bytes(), "{line}");
    }
}

/// What neither the scanner nor the view takes for an address.
const NO_ADDRESSES: [&str; 26] = [
    "",
    "\"open <sip:a>",
    "<sip:a",
    "Bell, A <sip:a>",
    "<sip:a> junk",
    ";tag=a",
    "\"a\"",
    "<>;tag=a",
    "< >;tag=a",
    "<sip:a b>;tag=a",
    "sip:a b;tag=a",
    // RFC 3261 §25.1: a tag is a token, and that is one byte at least.
    "<sip:a>;tag",
    "<sip:a>;tag=",
    "<sip:a>;tag=;x",
    "<sip:a>;tag= ;x",
    "<sip:a>;TAG=\"\"",
    "<sip:a>;tag=a;tag=",
    "sip:a;tag=",
    // A quote that stays open, before a tag and behind one.
    "<sip:a>;x=\"open",
    "<sip:a>;x=\"open;tag=a",
    "<sip:a>;tag=a;x=\"open\\\"",
    "<sip:a>;tag=\"open",
    // Neither takes a list, and nothing but parameters stands behind the address.
    "<sip:a>;tag=a, <sip:b>;tag=b",
    "<sip:a>;tag=a junk",
    "<sip:a>;tag=\"a\"b",
    "<sip:a>;=b",
];

#[test]
fn a_from_or_to_that_is_no_address_is_malformed() {
    for value in NO_ADDRESSES {
        assert_eq!(NameAddr::parse(value.as_bytes()), Err(Malformed), "{value}");
        let fault = Some(Fault::Malformed(HeaderName::From));
        assert_eq!(fault_of(replaced("From", &format!("From: {value}"))), fault, "{value}");
        let fault = Some(Fault::Malformed(HeaderName::To));
        assert_eq!(fault_of(replaced("To", &format!("t: {value}"))), fault, "{value}");
    }
}

#[test]
fn a_cseq_is_a_number_below_two_to_the_31_and_a_method() {
    assert_eq!(fault_of(replaced("CSeq", "CSeq: 2147483647 INVITE")), None);
    let bad = [
        "2147483648 INVITE",
        "36893488147419103232 INVITE",
        "-1 INVITE",
        "INVITE",
        "1",
        "",
        "1INVITE",
        "1 IN VITE",
    ];
    for value in bad {
        let scanned = scanned(replaced("CSeq", &format!("CSeq: {value}")));
        assert_eq!(scanned.result, Err(Fault::Malformed(HeaderName::CSeq)), "{value}");
        assert_eq!(scanned.message().cseq(), None);
        assert!(scanned.message().has(HeaderName::CSeq));
    }
}

#[test]
fn the_cseq_of_a_request_names_its_method() {
    assert_eq!(fault_of(replaced("CSeq", "CSeq: 1 ACK")), Some(Fault::CSeqMethod));
    assert_eq!(fault_of(replaced("CSeq", "CSeq: 1 invite")), Some(Fault::CSeqMethod));
    assert_eq!(
        fault_of(replaced("CSeq", "CSeq: 1 ACK").replace("INVITE sip:b@c", "NEW sip:b")),
        Some(Fault::CSeqMethod)
    );
}

#[test]
fn max_forwards_is_0_to_255() {
    for (value, number) in [("0", 0), ("0068", 68), ("255", 255)] {
        let scanned = scanned(request(&format!("Max-Forwards: {value}\r\n"), ""));
        assert_eq!((scanned.result, scanned.message().max_forwards()), (Ok(()), Some(number)));
    }
    for value in ["256", "300", "-1", "7x", "", "99999999999999999999"] {
        let fault = fault_of(request(&format!("Max-Forwards: {value}\r\n"), ""));
        assert_eq!(fault, Some(Fault::Malformed(HeaderName::MaxForwards)), "{value}");
    }
}

#[test]
fn the_body_is_content_length_bytes_and_the_rest_is_ignored() {
    let scanned = scanned(request("Content-Length: 4\r\n", "bodyINVITE sip:x SIP/2.0\r\n"));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().body(), b"body");
    assert!(scanned.message().bytes().ends_with(b"\r\n\r\nbody"));
}

#[test]
fn without_content_length_the_body_is_the_rest() {
    assert_eq!(scanned(request("", "all of it")).message().body(), b"all of it");
}

#[test]
fn a_content_length_beyond_the_datagram_is_truncated() {
    for value in ["5", "9999", "99999999999999999999"] {
        let scanned = scanned(request(&format!("l: {value}\r\n"), "body"));
        assert_eq!(scanned.result, Err(Fault::Truncated), "{value}");
        assert_eq!(scanned.message().body(), b"body");
    }
}

#[test]
fn a_content_length_that_is_no_number_is_malformed() {
    for value in ["-999", "five", "", "4 4", "+4", "0x4"] {
        let fault = fault_of(request(&format!("Content-Length: {value}\r\n"), "body"));
        assert_eq!(fault, Some(Fault::Malformed(HeaderName::ContentLength)), "{value}");
    }
}

#[test]
fn each_mandatory_field_that_is_missing_is_told() {
    use HeaderName::*;
    for name in [Via, From, To, CallId, CSeq] {
        assert_eq!(fault_of(without(name.text())), Some(Fault::Missing(name)));
    }
    assert_eq!(fault_of("INVITE sip:b SIP/2.0\r\n\r\n"), Some(Fault::Missing(Via)));
}

#[test]
fn a_once_only_field_that_repeats_is_told_and_the_first_counts() {
    let scanned = scanned(request("i: first\r\n", ""));
    assert_eq!(scanned.result, Err(Fault::Repeated(HeaderName::CallId)));
    assert_eq!(scanned.message().call_id(), b"first");
    for name in HeaderName::ALL.iter().filter(|name| name.is_once_only()) {
        let line = format!("{}: 1\r\n", name.text());
        let fault = fault_of(format!("INVITE sip:b SIP/2.0\r\n{line}{line}\r\n"));
        assert!(matches!(fault, Some(Fault::Repeated(_) | Fault::Malformed(_))), "{name:?}");
    }
}

#[test]
fn fields_that_only_inform_may_repeat() {
    assert_eq!(fault_of(request("Subject: a\r\ns: b\r\nDate: a\r\nDate: b\r\nZ: a\r\nZ: b\r\n", "")), None);
}

#[test]
fn the_first_fault_is_the_one_told() {
    let scanned = scanned(request("broken\r\nMax-Forwards: x\r\nl: -1\r\n", ""));
    assert_eq!(scanned.result, Err(Fault::BrokenHeader));
    assert_eq!(scanned.message().headers().len(), 8);
}

#[test]
fn header_fields_up_to_the_limit_are_read_and_no_more() {
    let room = limits::HEADERS_MAX - 5;
    assert_eq!(fault_of(request(&"Z: y\r\n".repeat(room), "")), None);
    let text = request("", "").replace("\r\n\r\n", &format!("\r\n{}\r\n", "Z: y\r\n".repeat(300)));
    let scanned = scanned(&text);
    assert_eq!(scanned.result, Err(Fault::TooManyHeaders));
    assert_eq!(scanned.message().headers().len(), limits::HEADERS_MAX);
    assert_eq!(scanned.message().call_id(), b"call");
    assert_eq!(scanned.message().lines(127, 128), b"Z: y\r\n");
}

#[test]
fn lines_come_whole_with_their_ends() {
    let text = request("Subject : a\r\nX:b\r\n", "body");
    let scanned = scanned(&text);
    let message = scanned.message();
    let count = message.headers().len();
    let all = text.split_once("\r\n").unwrap().1.strip_suffix("\r\nbody").unwrap();
    assert_eq!(message.lines(0, count), all.as_bytes());
    assert_eq!(message.lines(0, 2), b"Subject : a\r\nX:b\r\n");
    assert_eq!(message.lines(count - 1, count), b"CSeq: 1 INVITE\r\n");
    assert_eq!(message.lines(1, 1), b"");
    assert_eq!(message.lines(2, 1), b"");
    assert_eq!(message.lines(count, count), b"");
    assert_eq!(message.lines(0, count + 1), b"");
}

#[test]
fn an_index_forgets_the_message_before() {
    let mut first = request("Subject: s\r\nMax-Forwards: 3\r\nl: 0\r\n", "").into_bytes();
    let length = first.len();
    first.resize(length + limits::SCAN_PADDING, 0);
    let mut index = Index::new();
    assert_eq!(scan(&mut first, length, &mut index), Ok(()));
    let mut second = [0; limits::SCAN_PADDING];
    assert_eq!(scan(&mut second, 0, &mut index), Err(Fault::KeepAlive));
    let message = index.message(&second);
    assert!(message.headers().is_empty() && !message.has(HeaderName::Subject));
    assert_eq!(message.header(HeaderName::Subject), None);
    assert_eq!(message.values(HeaderName::Via).count(), 0);
    assert_eq!((message.max_forwards(), message.cseq(), message.call_id()), (None, None, &b""[..]));
    assert_eq!(message.bytes(), b"");
}

#[test]
fn a_buffer_without_padding_is_read_all_the_same() {
    let text = request("Subject: s\r\n", "body");
    for length in 0..=text.len() {
        let mut bare = text.as_bytes()[..length].to_vec();
        let mut index = Index::new();
        let result = scan(&mut bare, length, &mut index);
        assert_eq!(result, scanned(&text[..length]).result, "{length}");
    }
}

#[test]
fn a_length_beyond_the_buffer_is_the_buffers() {
    let mut buffer = request("", "body").into_bytes();
    let mut index = Index::new();
    assert_eq!(scan(&mut buffer, usize::MAX, &mut index), Ok(()));
    assert_eq!(index.message(&buffer).body(), b"body");
    assert_eq!(scan(&mut [], 1, &mut index), Err(Fault::KeepAlive));
}

#[test]
fn a_datagram_longer_than_udp_carries_is_cut() {
    let mut buffer = request("", "").into_bytes();
    buffer.resize(limits::DATAGRAM_BYTES_MAX + 1_000, b'x');
    let length = buffer.len();
    let mut index = Index::new();
    assert_eq!(scan(&mut buffer, length, &mut index), Ok(()));
    assert_eq!(index.message(&buffer).bytes().len(), limits::DATAGRAM_BYTES_MAX);
}

#[test]
fn every_name_is_known_in_any_case_and_no_other_is() {
    for name in HeaderName::ALL {
        let text = name.text();
        assert_eq!(HeaderName::classify(text.as_bytes()), *name);
        assert_eq!(HeaderName::classify(text.to_ascii_uppercase().as_bytes()), *name);
        assert_eq!(HeaderName::classify(text.to_ascii_lowercase().as_bytes()), *name);
        if let Some(letter) = name.compact() {
            assert_eq!(HeaderName::classify(&[letter]), *name);
            assert_eq!(HeaderName::classify(&[letter.to_ascii_uppercase()]), *name);
        }
        assert_eq!(HeaderName::classify(format!("{text}x").as_bytes()), HeaderName::Other);
        assert_eq!(HeaderName::classify(format!("x{text}").as_bytes()), HeaderName::Other);
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] ^= 0x20;
            let is_letter = text.as_bytes()[at].is_ascii_alphabetic();
            let expected = if is_letter { *name } else { HeaderName::Other };
            assert_eq!(HeaderName::classify(&other), expected);
        }
    }
    assert_eq!(HeaderName::classify(b""), HeaderName::Other);
    assert_eq!(HeaderName::classify(&[b'a'; 500]), HeaderName::Other);
}
