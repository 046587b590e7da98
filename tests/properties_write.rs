//! What is written is read back as it was meant: start lines, fields spliced from a message and fields of our
//! own, numbers, bodies.

use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use ringway::limits::SCAN_PADDING;
use ringway::sip::write::Writer;
use ringway::sip::{Fault, HeaderName, Index, Message, Method, Status, scan};

struct Scanned {
    buffer: Vec<u8>,
    index: Index,
    result: Result<(), Fault>,
}

impl Scanned {
    fn of(datagram: &[u8]) -> Scanned {
        let mut buffer = datagram.to_vec();
        buffer.resize(datagram.len() + SCAN_PADDING, 0);
        let mut index = Index::new();
        let result = scan(&mut buffer, datagram.len(), &mut index);
        Scanned { buffer, index, result }
    }

    fn message(&self) -> Message<'_> {
        self.index.message(&self.buffer)
    }
}

/// Name and value of every field.
fn fields(message: &Message<'_>) -> Vec<(HeaderName, Vec<u8>)> {
    let value = |header: &ringway::sip::message::Header| message.text(header.value).to_vec();
    message.headers().iter().map(|header| (header.name, value(header))).collect()
}

fn like(letters: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(letters).unwrap()
}

/// A field as a peer writes it: full or compact, in any case, folded or not.
fn line() -> impl Strategy<Value = String> {
    let names = select(HeaderName::ALL);
    let known = (names, any::<bool>(), any::<bool>()).prop_map(|(name, is_compact, is_loud)| {
        let compact = name.compact().filter(|_| is_compact).map(|letter| char::from(letter).to_string());
        let text = compact.unwrap_or_else(|| name.text().to_string());
        if is_loud { text.to_ascii_uppercase() } else { text }
    });
    let name = prop_oneof![4 => known, 1 => like("X-[A-Za-z0-9.!%*_+`'~-]{1,40}")];
    let colon = select(vec![": ", ":", " : ", ":\r\n ", "\t:\t"]);
    let value = like("(([!-~\u{e9}\u{5f20}]|\\PC){1,9}(( |\t|\r\n |\r\n\t)[!-~]{1,9}){0,3})?");
    let end = select(vec!["\r\n", "\r\n", " \r\n", "\t\r\n"]);
    (name, colon, value, end).prop_map(|(name, colon, value, end)| format!("{name}{colon}{value}{end}"))
}

/// Fields that every message has, so that the scan is a good one.
const MANDATORY: &str =
    "Via: SIP/2.0/UDP h;branch=b\r\nFrom: <sip:a>;tag=f\r\nTo: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

/// Fields that the scanner reads do not repeat here.
fn is_free(line: &str) -> bool {
    let name = HeaderName::classify(line.split(':').next().unwrap_or_default().trim().as_bytes());
    let is_read = matches!(name, HeaderName::Via | HeaderName::MaxForwards | HeaderName::ContentLength);
    !is_read && !name.is_once_only()
}

fn own_field() -> impl Strategy<Value = (HeaderName, String)> {
    (select(vec![HeaderName::Subject, HeaderName::Diversion]), like("[!-~]([ -~]{0,20}[!-~])?"))
}

proptest! {
    // A failure becomes a test of its own rather than a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spliced_fields_and_own_ones_are_read_in_their_order(
        lines in vec(line().prop_filter("read eagerly", |line| is_free(line)), 0..20),
        kept in hash_set(select(HeaderName::ALL), 0..60),
        keeps_other: bool,
        own in vec(own_field(), 0..4),
        body in vec(any::<u8>(), 0..40),
    ) {
        let received = format!("INVITE sip:b SIP/2.0\r\n{MANDATORY}{}\r\n", lines.concat());
        let received = Scanned::of(received.as_bytes());
        prop_assert_eq!(received.result, Ok(()));
        let keep = |name: HeaderName| match name {
            HeaderName::Other => keeps_other,
            name => kept.contains(&name) || MANDATORY.contains(&format!("{}:", name.text())),
        };
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.request_line(Method::Invite, b"sip:c@d");
        writer.splice_headers(&received.message(), keep);
        for (name, value) in &own {
            writer.header(*name, value.as_bytes());
        }
        writer.body(&body);
        let mut expected = fields(&received.message());
        expected.retain(|(name, _)| keep(*name));
        expected.extend(own.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())));
        expected.push((HeaderName::ContentLength, body.len().to_string().into_bytes()));
        let written = Scanned::of(&out);
        let message = written.message();
        prop_assert_eq!(written.result, Ok(()));
        prop_assert_eq!((message.method(), message.request_uri()), (Method::Invite, &b"sip:c@d"[..]));
        prop_assert_eq!(fields(&message), expected);
        prop_assert_eq!((message.body(), message.bytes()), (&body[..], &out[..]));
    }

    #[test]
    fn a_status_line_is_read_back(code in 100u16..700, reason in like("(\\PC{0,30})?")) {
        let status = Status::new(code).unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.status_line(status, reason.as_bytes());
        writer.raw(MANDATORY.as_bytes());
        writer.body(b"");
        let scanned = Scanned::of(&out);
        let message = scanned.message();
        prop_assert_eq!((scanned.result, message.status()), (Ok(()), Some(status)));
        let expected = if reason.is_empty() { status.reason() } else { &reason };
        prop_assert_eq!(message.reason(), expected.as_bytes());
        prop_assert!(!message.is_request() && !expected.is_empty());
        prop_assert_eq!((status.is_provisional(), status.is_final()), (code < 200, code >= 200));
        prop_assert_eq!(status.is_success(), code / 100 == 2);
    }

    #[test]
    fn a_number_is_written_in_decimal(number in prop_oneof![any::<u64>(), 0u64..20, Just(u64::MAX)]) {
        let mut out = Vec::new();
        Writer::new(&mut out).number(number);
        prop_assert_eq!(out, number.to_string().into_bytes());
    }
}

#[test]
fn every_status_outside_100_to_699_is_none() {
    for code in [0, 1, 99, 700, 1_000, u16::MAX] {
        assert_eq!(Status::new(code), None, "{code}");
    }
}

#[test]
fn a_name_and_a_method_are_what_they_are_read_as() {
    use Method::*;
    let methods = [
        Invite, Ack, Bye, Cancel, Options, Register, Prack, Update, Info, Message, Notify, Subscribe, Refer,
        Publish,
    ];
    for method in methods {
        assert_eq!(Method::from_token(method.name().as_bytes()), method);
    }
    assert_eq!((Other.name(), Method::from_token(b"")), ("", Other));
    assert_eq!((HeaderName::Other.text(), HeaderName::Other.compact()), ("", None));
}
