//! The scanner's behaviour, one rule a test (RFC 3261 §7, §8.1.1, §18.3).

use ringway::limits;
use ringway::sip::{CSeq, Fault, HeaderName, Index, Malformed, Message, Method, Status, Via, scan};

/// A datagram, its padding and what the scanner made of it.
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

/// An INVITE whose start line or header fields a test replaces; `\n` stands for CRLF.
const INVITE: &str = "INVITE sip:bob@biloxi.example SIP/2.0
Via: SIP/2.0/UDP pc33.example:5066;rport;branch=z9hG4bK776
Max-Forwards: 70
To: Bob <sip:bob@biloxi.example>
From: \"Alice\" <sip:alice@atlanta.example>;tag=1928301774
Call-ID: a84b4c76e66710@pc33
CSeq: 314159 INVITE
Contact: <sip:alice@pc33.example>
Content-Length: 4

body";

fn wire(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// The INVITE with one line replaced, or left out for an empty `line`.
fn with(start: &str, line: &str) -> String {
    let mut out = String::new();
    for old in INVITE.split_inclusive('\n') {
        match old.starts_with(start) {
            true if line.is_empty() => {}
            true => out += &format!("{line}\n"),
            false => out += old,
        }
    }
    wire(&out)
}

fn fault_of(datagram: impl AsRef<[u8]>) -> Option<Fault> {
    scanned(datagram).result.err()
}

#[test]
fn an_invite_is_read() {
    let scanned = scanned(wire(INVITE));
    let message = scanned.message();
    assert_eq!(scanned.result, Ok(()));
    assert!(message.is_request());
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.method_text(), b"INVITE");
    assert_eq!(message.request_uri(), b"sip:bob@biloxi.example");
    assert_eq!(message.status(), None);
    assert_eq!(message.call_id(), b"a84b4c76e66710@pc33");
    assert_eq!(message.from_tag(), b"1928301774");
    assert_eq!(message.to_tag(), b"");
    assert_eq!(message.cseq(), Some(CSeq { number: 314_159, method: Method::Invite }));
    assert_eq!(message.max_forwards(), Some(70));
    assert_eq!(message.body(), b"body");
    assert_eq!(message.headers().len(), 8);
    assert_eq!(message.header(HeaderName::Contact), Some(&b"<sip:alice@pc33.example>"[..]));
    assert_eq!(message.bytes(), wire(INVITE).as_bytes());
}

#[test]
fn the_top_via_is_read() {
    let scanned = scanned(wire(INVITE));
    let via = scanned.message().top_via().unwrap();
    assert_eq!(via.host, b"pc33.example");
    assert_eq!(via.port, Some(5066));
    assert_eq!(via.branch, b"z9hG4bK776");
    assert!(via.wants_rport);
    assert_eq!(via.text, b"SIP/2.0/UDP pc33.example:5066;rport;branch=z9hG4bK776");
}

#[test]
fn a_response_is_read() {
    let text = with("INVITE", "SIP/2.0 183 Session Progress");
    let scanned = scanned(text);
    let message = scanned.message();
    assert_eq!(scanned.result, Ok(()));
    assert!(!message.is_request());
    assert_eq!(message.status(), Some(Status::SESSION_PROGRESS));
    assert_eq!(message.reason(), b"Session Progress");
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.method_text(), b"INVITE");
    assert_eq!(message.request_uri(), b"");
}

#[test]
fn a_response_may_lack_its_reason_and_the_space_before_it() {
    for line in ["SIP/2.0 200 ", "SIP/2.0 200"] {
        let scanned = scanned(with("INVITE", line));
        assert_eq!(scanned.result, Ok(()));
        assert_eq!(scanned.message().status(), Some(Status::OK));
        assert_eq!(scanned.message().reason(), b"");
    }
}

#[test]
fn a_status_outside_100_to_699_is_not_sip() {
    for code in ["099", "700", "000", "20", "2000", "4294967301", "2x0", "-20"] {
        assert_eq!(fault_of(with("INVITE", &format!("SIP/2.0 {code} Odd"))), Some(Fault::NotSip), "{code}");
    }
    assert_eq!(fault_of(with("INVITE", "SIP/2.0 699 Odd")), None);
}

#[test]
fn blanks_and_line_breaks_alone_are_a_keep_alive() {
    for datagram in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b" \t\r\n\0", b"\n"] {
        assert_eq!(fault_of(datagram), Some(Fault::KeepAlive), "{datagram:?}");
    }
}

#[test]
fn line_breaks_before_the_start_line_are_skipped() {
    for lead in ["\r\n", "\r\n\r\n", "\n\n"] {
        let scanned = scanned(format!("{lead}{}", wire(INVITE)));
        assert_eq!(scanned.result, Ok(()));
        assert_eq!(scanned.message().bytes(), wire(INVITE).as_bytes());
    }
}

#[test]
fn what_is_neither_request_nor_response_is_not_sip() {
    for line in
        ["hello", "GET / HTTP/1.1", "INVITE sip:bob@b", "SIP/2.0", "SIP/2.0 OK", "SIP/2.0  200 OK", "SIP/2.0"]
    {
        let scanned = scanned(with("INVITE", line));
        assert_eq!(scanned.result, Err(Fault::NotSip), "{line}");
        assert!(!scanned.message().is_request());
        assert!(scanned.message().headers().is_empty());
    }
    assert_eq!(fault_of([0u8, 1, 0, 8, 33, 18, 164, 66]), Some(Fault::NotSip));
}

#[test]
fn a_request_line_with_stray_blanks_is_broken_but_answerable() {
    let lines = [
        "INVITE  sip:bob@b SIP/2.0",
        "INVITE sip:bob@b  SIP/2.0",
        "INVITE sip:bob@b SIP/2.0 ",
        "INVITE sip:bob@b; lr SIP/2.0",
        "INVITE\tsip:bob@b SIP/2.0",
        "INVITE sip:bob@b\tSIP/2.0",
        " INVITE sip:bob@b SIP/2.0",
        "INVITE sip:bob@b  SIP/3.0",
    ];
    for line in lines {
        let scanned = scanned(with("INVITE", line));
        let message = scanned.message();
        assert_eq!(scanned.result, Err(Fault::BrokenStartLine), "{line}");
        assert!(message.is_request());
        assert_eq!(message.top_via().unwrap().branch, b"z9hG4bK776");
        assert_eq!(message.call_id(), b"a84b4c76e66710@pc33");
        assert_eq!(message.cseq().unwrap().number, 314_159);
        assert_eq!(message.headers().len(), 8);
    }
}

#[test]
fn a_request_line_without_method_or_uri_is_broken() {
    for line in [
        "INVITE SIP/2.0",
        "INVITE  SIP/2.0",
        "IN@ITE sip:b SIP/2.0",
        "INVITE <sip:b> SIP/2.0",
        "INVITE * SIP/2.0",
    ] {
        assert_eq!(fault_of(with("INVITE", line)), Some(Fault::BrokenStartLine), "{line}");
    }
}

#[test]
fn the_version_may_stand_in_any_case() {
    assert_eq!(fault_of(with("INVITE", "INVITE sip:bob@b sip/2.0")), None);
    assert_eq!(fault_of(with("INVITE", "Sip/2.0 200 OK")), None);
}

#[test]
fn another_version_is_told_and_the_rest_is_read() {
    for line in [
        "INVITE sip:bob@b SIP/7.0",
        "INVITE sip:bob@b SIP/3.0",
        "INVITE sip:bob@b SIP/2.10",
        "SIP/3.0 200 OK",
    ] {
        let scanned = scanned(with("INVITE", line));
        assert_eq!(scanned.result, Err(Fault::Version), "{line}");
        assert_eq!(scanned.message().call_id(), b"a84b4c76e66710@pc33");
        assert_eq!(scanned.message().method(), Method::Invite);
    }
    assert_eq!(fault_of(with("INVITE", "INVITE sip:bob@b SIP/two")), Some(Fault::BrokenStartLine));
}

#[test]
fn a_request_uri_over_the_limit_is_told() {
    let fits = format!("sip:{}", "a".repeat(limits::REQUEST_URI_BYTES_MAX - 4));
    assert_eq!(fault_of(with("INVITE", &format!("INVITE {fits} SIP/2.0"))), None);
    assert_eq!(fault_of(with("INVITE", &format!("INVITE {fits}a SIP/2.0"))), Some(Fault::RequestUriTooLong));
}

#[test]
fn methods_are_case_sensitive_and_not_unescaped() {
    for method in ["invite", "RE%47IST%45R", "!odd-Method_*+`.%indeed'~"] {
        let text = with("INVITE", &format!("{method} sip:b SIP/2.0"))
            .replace("314159 INVITE", &format!("1 {method}"));
        let scanned = scanned(text);
        assert_eq!(scanned.result, Ok(()));
        assert_eq!(scanned.message().method(), Method::Other);
        assert_eq!(scanned.message().method_text(), method.as_bytes());
    }
}

#[test]
fn compact_names_and_any_case_are_known() {
    let text = "OPTIONS sip:b SIP/2.0\r\nv: SIP/2.0/UDP a;branch=1\r\nF: <sip:a>;tag=f\r\n\
                t: <sip:b>;tag=t\r\n\
                I: call\r\ncSEQ: 1 OPTIONS\r\nMAX-forwards: 1\r\nL: 2\r\nm: <sip:c>\r\nx: 90\r\n\r\nhi!";
    let scanned = scanned(text);
    let message = scanned.message();
    assert_eq!(scanned.result, Ok(()));
    assert_eq!((message.from_tag(), message.to_tag()), (&b"f"[..], &b"t"[..]));
    assert_eq!(message.call_id(), b"call");
    assert_eq!(message.header(HeaderName::Contact), Some(&b"<sip:c>"[..]));
    assert_eq!(message.header(HeaderName::SessionExpires), Some(&b"90"[..]));
    assert_eq!(message.body(), b"hi");
}

#[test]
fn white_space_around_the_colon_is_no_part_of_name_or_value() {
    let scanned = scanned(with("Call-ID", "Call-ID \t :\t  spaced \t"));
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(scanned.message().call_id(), b"spaced");
}

#[test]
fn a_via_may_be_full_of_white_space() {
    let scanned =
        scanned(with("Via", "Via  :  SIP /  2.0 / UDP \t host : 5070 ; branch = b1 ; rport , SIP/2.0/TCP x"));
    let via = scanned.message().top_via().unwrap();
    assert_eq!(scanned.result, Ok(()));
    assert_eq!(
        (via.host, via.port, via.branch, via.wants_rport),
        (&b"host"[..], Some(5070), &b"b1"[..], true)
    );
    assert_eq!(via.text, b"SIP /  2.0 / UDP \t host : 5070 ; branch = b1 ; rport");
}

#[test]
fn a_via_may_name_an_ipv6_reference() {
    let scanned =
        scanned(with("Via", "Via: SIP/2.0/UDP [2001:db8::9:1]:5070;received=2001:db8::9:255;branch=b"));
    let via = scanned.message().top_via().unwrap();
    assert_eq!(scanned.result, Ok(()));
    assert_eq!((via.host, via.port, via.branch), (&b"[2001:db8::9:1]"[..], Some(5070), &b"b"[..]));
}

#[test]
fn a_comma_inside_quotes_does_not_end_the_top_via() {
    let scanned = scanned(with("Via", r#"Via: SIP/2.0/UDP h;x="a,\";b";branch=b, SIP/2.0/UDP i;branch=c"#));
    let via = scanned.message().top_via().unwrap();
    assert_eq!(via.branch, b"b");
    assert_eq!(via.text, br#"SIP/2.0/UDP h;x="a,\";b";branch=b"#);
}

#[test]
fn rport_with_a_value_is_no_wish_for_one() {
    let scanned = scanned(with("Via", "Via: SIP/2.0/UDP h;rport=5060"));
    assert!(!scanned.message().top_via().unwrap().wants_rport);
}

#[test]
fn a_via_that_cannot_be_read_is_malformed() {
    let values = [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 host",
        "SIP/2.0/UDP host;;branch=b",
        "SIP/2.0/UDP host;,SIP/2.0/UDP b",
        "SIP/2.0/UDP host;branch=b;",
        "SIP/2.0/UDP host:99999",
        "SIP/2.0/UDP host:",
        "SIP/2.0/UDP ho(st",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP host;branch=\"b",
        "SIP/2.0/UDP host;branch=b junk",
    ];
    for value in values {
        let scanned = scanned(with("Via", &format!("Via: {value}")));
        assert_eq!(scanned.result, Err(Fault::Malformed(HeaderName::Via)), "{value}");
        assert_eq!(Via::parse(value.as_bytes()), Err(Malformed), "{value}");
        assert_eq!(scanned.message().top_via(), None);
        assert_eq!(scanned.message().cseq().unwrap().number, 314_159);
    }
}

#[test]
fn only_the_first_via_is_the_top() {
    let scanned = scanned(with("Max", "Via: SIP/2.0/TCP second;branch=2"));
    let message = scanned.message();
    assert_eq!(message.top_via().unwrap().branch, b"z9hG4bK776");
    assert_eq!(message.values(HeaderName::Via).count(), 2);
    assert_eq!(message.values(HeaderName::Via).nth(1), Some(&b"SIP/2.0/TCP second;branch=2"[..]));
}

#[test]
fn the_first_branch_counts_for_the_scanner_and_the_view() {
    let cases = [
        ("SIP/2.0/UDP h;branch=a;branch=b", "a"),
        ("SIP/2.0/UDP h;Branch = \"a\" ; branch=b", "a"),
        ("SIP/2.0/UDP h;rport;x=y;BRANCH=a", "a"),
        // A branch without a value is none (RFC 2543), and the first one all the same.
        ("SIP/2.0/UDP h;branch;branch=b", ""),
        ("SIP/2.0/UDP h;branch=;branch=b", ""),
        ("SIP/2.0/UDP h;branch=", ""),
        ("SIP/2.0/UDP h;branch", ""),
        ("SIP/2.0/UDP h;nobranch=a", ""),
        ("SIP/2.0/UDP h;x=\";branch=a\"", ""),
    ];
    for (value, branch) in cases {
        let scanned = scanned(with("Via", &format!("Via: {value}")));
        assert_eq!(scanned.result, Ok(()), "{value}");
        assert_eq!(scanned.message().top_via().unwrap().branch, branch.as_bytes(), "{value}");
        assert_eq!(Via::parse(value.as_bytes()).unwrap().branch(), branch.as_bytes(), "{value}");
    }
}

#[test]
fn the_branch_of_a_later_via_is_not_the_top_ones() {
    for lines in [
        "Via: SIP/2.0/UDP h, SIP/2.0/UDP i;branch=later",
        "Via: SIP/2.0/UDP h;rport ,SIP/2.0/UDP i;branch=later",
        "Via: SIP/2.0/UDP h\nVia: SIP/2.0/UDP i;branch=later",
    ] {
        let scanned = scanned(with("Via", lines));
        assert_eq!(scanned.result, Ok(()), "{lines}");
        assert_eq!(scanned.message().top_via().unwrap().branch, b"", "{lines}");
    }
}

#[test]
fn one_via_is_told_from_several() {
    let one = ["Via: SIP/2.0/UDP h;branch=b", "v : SIP/2.0/UDP h ;x=\"a, b\" ", "Via: SIP/2.0/UDP\n h"];
    for lines in one {
        assert!(scanned(with("Via", lines)).message().has_one_via(), "{lines}");
    }
    let several = [
        "Via: SIP/2.0/UDP h;branch=b, SIP/2.0/UDP i;branch=c",
        "Via: SIP/2.0/UDP h;branch=b,SIP/2.0/UDP i",
        "Via: SIP/2.0/UDP h ,",
        "Via: SIP/2.0/UDP h;branch=b\nVia: SIP/2.0/UDP i;branch=c",
        "Via: SIP/2.0/UDP h;branch=b\nSubject: x\nV: what this is does not matter",
        "Via: SIP/2.0/UDP h\nVia:",
    ];
    for lines in several {
        let scanned = scanned(with("Via", lines));
        assert_eq!(scanned.result, Ok(()), "{lines}");
        assert!(!scanned.message().has_one_via(), "{lines}");
    }
    for lines in ["", "Via: SIP/2.0/UDP", "Via: SIP/2.0/UDP\nVia: SIP/2.0/UDP h"] {
        assert!(!scanned(with("Via", lines)).message().has_one_via(), "{lines}");
    }
}
