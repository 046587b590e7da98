//! The scanner against a naive one that was written for clearness: both must tell the same of arbitrary
//! bytes, of damaged messages and of messages that were put together at random.

#[path = "scan_reference/agreement.rs"]
mod agreement;
#[path = "scan_reference/naive.rs"]
mod naive;

use agreement::{assert_agreement, told, told_before};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway::limits;
use ringway::sip::{HeaderName, Index};

/// What messages are made of, and what they break at.
const PIECES: &[&str] = &[
    "INVITE",
    "ACK",
    "SIP/2.0",
    "sip/2.0",
    "SIP/3.1",
    "SIP/",
    "200",
    "699",
    "700",
    "OK",
    " ",
    "  ",
    "\t",
    "\r\n",
    "\r\n ",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    ":",
    ";",
    ",",
    "=",
    "\"",
    "\\",
    "\\\"",
    "<",
    ">",
    "[",
    "]",
    "[::1]",
    "/",
    "?",
    "@",
    "%41",
    "Via",
    "v",
    "VIA ",
    "From",
    "f",
    "To",
    "t",
    "Call-ID",
    "i",
    "CSeq",
    "Max-Forwards",
    "Content-Length",
    "l",
    "Contact",
    "Subject",
    "X-Any",
    "SIP/2.0/UDP ",
    "SIP / 2.0 / TCP ",
    "host",
    "192.0.2.1",
    ":5060",
    ":65536",
    ";branch=z9hG4bK1",
    ";branch",
    ";rport",
    ";rport=1",
    ";received=2001:db8::1",
    ";x=\"a;b,c\"",
    "sip:a@b",
    "<sip:a@b>",
    "\"A\" <sip:a>",
    ";tag=1",
    ";TAG = 2",
    ";x=\";tag=3\"",
    "1",
    "0",
    "255",
    "256",
    "2147483647",
    "2147483648",
    "99999999999999999999",
    "-1",
    "1 INVITE",
    "\u{e9}",
    "\u{7f}",
    "a",
    "body",
];

const VALID: &[&str] = &[
    "INVITE sip:bob@biloxi.example;transport=udp SIP/2.0\r\n\
     Via: SIP/2.0/UDP pc33.example:5066;rport;branch=z9hG4bK776\r\n\
     Via: SIP/2.0/TCP [2001:db8::1];branch=2;x=\"a,b\"\r\nMax-Forwards: 70\r\n\
     To: Bob <sip:bob@biloxi.example>\r\n\
     From: \"Alice, \\\"A\\\"\" <sip:alice@atlanta.example>;tag=1928301774\r\n\
     Call-ID: a84b4c76e66710@pc33\r\n\
     CSeq: 314159 INVITE\r\nContact: <sip:alice@pc33.example>\r\nSubject: folded\r\n \there\r\n\
     Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nbody and more",
    "SIP/2.0 180 Ringing\r\nv: SIP / 2.0 / UDP host : 5070 ; branch = b1 , SIP/2.0/UDP second;branch=b2\r\n\
     f: sip:a@b;x=y;tag=f\r\nt: <sip:b@c;tag=no> ;tag=t\r\n\
     i: call\r\nCSEQ : 1 INVITE\r\nm: <sip:c>\r\nl: 0\r\n\r\n",
    "\r\n\r\nOPTIONS sip:b SIP/2.0\r\nTO :\r\n sip:vivekg@chair ;   tag    = 1918181833n\r\n\
     from   : \"J \\\\\\\"\"  <sip:j>\r\n  ;\r\n\
     \x20 tag = 98asjd8\r\nMaX-fOrWaRdS: 0068\r\nCall-ID: w\r\nContent-Length   : 2\r\n\
     cseq: 0009\r\n  OPTIONS\r\n\
     Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\n\r\nhi",
];

fn pieces(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(select(PIECES), 0..most).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A header line: one of the names that are read, its value at random or nearly right.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let names = select(vec![
        "Via",
        "v",
        "From",
        "To",
        "t",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "l",
        "Subject",
        "X-Any",
    ]);
    let colons = select(vec![":", ": ", " : ", ":\r\n ", "\t:"]);
    let ends = select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n \r\n", " \r\n", "\n"]);
    let any_line = (names, colons, pieces(8), ends).prop_map(|(name, colon, value, end)| {
        [name.as_bytes(), colon.as_bytes(), &value, end.as_bytes()].concat()
    });
    let via = near_line("Via: SIP/2.0/UDP h", VIA_ENDS);
    prop_oneof![2 => any_line, 1 => via, 1 => near_line("From:", ADDRESSES)]
}

fn near_line(start: &'static str, ends: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(ends), 0..6).prop_map(move |ends| format!("{start}{}\r\n", ends.concat()).into_bytes())
}

const VIA_ENDS: &[&str] = &[
    ";branch=1",
    ";branch=2",
    ";branch",
    ";Branch = \"3\"",
    ";rport",
    "; rport ",
    ";rport=4",
    ";x=\"a;,\\\"b\"",
    ";y=[::1]",
    ",SIP/2.0/UDP i;branch=5",
    " ",
    ":5060",
    ";",
    ";z=",
    "\r\n ",
];

const ADDRESSES: &[&str] = &[
    "<sip:a;tag=1>",
    "sip:a@b",
    "\"A;tag=2<\\\"\"",
    " Bob ",
    ";tag=3",
    "; TAG = 4 ",
    ";tag=\"5;6\"",
    ";tag",
    ";x=\"y;tag=7\"",
    ";",
    "z\"",
    ",",
    ">",
    "\r\n\t",
];

fn start_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(b"INVITE sip:b@c SIP/2.0\r\n".to_vec()),
        3 => Just(b"SIP/2.0 200 OK\r\n".to_vec()),
        1 => Just(b"OPTIONS sip:b SIP/4.0\r\n".to_vec()),
        3 => pieces(7).prop_map(|line| [&line[..], b"\r\n"].concat()),
        3 => pieces(5).prop_map(|line| [b"INVITE ", &line[..], b" SIP/2.0\r\n"].concat()),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let fields =
        "v: SIP/2.0/UDP h;branch=b\r\nf: <sip:a>;tag=f\r\nt: <sip:b>\r\ni: call\r\nCSeq: 1 INVITE\r\n";
    let fields = prop_oneof![2 => Just(fields), 1 => Just("")];
    (start_line(), vec(line(), 0..6), fields, vec(line(), 0..3), pieces(4)).prop_map(
        |(start, before, fields, behind, body)| {
            [start, before.concat(), fields.into(), behind.concat(), b"\r\n".to_vec(), body].concat()
        },
    )
}

/// An edit: where, how many bytes go, what comes.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0usize..4, prop_oneof![pieces(2), vec(any::<u8>(), 0..3)]);
    (select(VALID), vec(edit, 1..5)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, gone, new) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, new);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn both_agree_on_arbitrary_bytes(bytes in vec(any::<u8>(), 0..400)) {
        assert_agreement(&bytes);
    }

    #[test]
    fn both_agree_on_pieces_of_sip(bytes in pieces(60)) {
        assert_agreement(&bytes);
    }

    #[test]
    fn both_agree_on_messages_put_together_at_random(bytes in message()) {
        assert_agreement(&bytes);
    }

    #[test]
    fn both_agree_on_damaged_messages(bytes in damaged()) {
        assert_agreement(&bytes);
    }

    #[test]
    fn both_agree_on_messages_cut_short(text in select(VALID), cut in any::<prop::sample::Index>()) {
        assert_agreement(&text.as_bytes()[..cut.index(text.len() + 1)]);
    }

    #[test]
    fn what_stands_behind_the_datagram_does_not_matter(
        bytes in damaged(),
        cut: prop::sample::Index,
        behind in pieces(20),
    ) {
        let datagram = &bytes[..cut.index(bytes.len() + 1)];
        let found = told_before(datagram, &behind, &mut Index::new());
        prop_assert_eq!(found, told(datagram, &mut Index::new()));
    }

    #[test]
    fn names_are_classified_as_by_comparing_them_all(
        name in pieces(3),
        known in select(HeaderName::ALL),
        at: usize,
        byte: u8,
    ) {
        let mut near = known.text().as_bytes().to_vec();
        let at = at % near.len();
        near[at] = byte;
        for name in [name, near] {
            let is_it = |known: &&HeaderName| {
                let is_compact = known.compact().is_some_and(|letter| [letter].eq_ignore_ascii_case(&name));
                is_compact || known.text().as_bytes().eq_ignore_ascii_case(&name)
            };
            let expected = HeaderName::ALL.iter().find(is_it).copied().unwrap_or(HeaderName::Other);
            prop_assert_eq!(HeaderName::classify(&name), expected);
        }
    }
}

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn both_agree_on_many_header_lines(lines in vec(line(), 110..300)) {
        let start = b"INVITE sip:b SIP/2.0\r\n".to_vec();
        assert_agreement(&[start, lines.concat(), b"\r\nbody".to_vec()].concat());
    }
}

/// `PROPTEST_CASES` says how many messages each property is shown; `share` is for slow ones. A failure is
/// printed, and becomes a test of its own rather than a file of seeds.
fn config(share: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    ProptestConfig { cases: cases / share, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn both_agree_at_the_sizes_limits() {
    let fits = limits::DATAGRAM_BYTES_MAX;
    assert_agreement(b"");
    for byte in 0..=255 {
        assert_agreement(&[byte]);
    }
    let head = VALID[0].as_bytes();
    assert_agreement(&[head, &vec![b'x'; fits - head.len()]].concat());
    assert_agreement(&vec![b'a'; fits]);
    assert_agreement(&[b"INVITE sip:b SIP/2.0\r\nX: ".to_vec(), vec![b'y'; fits - 25]].concat());
    assert_agreement(&b"SIP/2.0 200 OK\r\nX: y\r\n".repeat(fits / 22));
    assert_agreement(
        &[b"SIP/2.0 200 OK\r\nX: y".to_vec(), b"\r\n ".repeat(20_000), b"\r\n\r\n".to_vec()].concat(),
    );
}
