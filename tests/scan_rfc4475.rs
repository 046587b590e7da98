//! The torture tests of RFC 4475 and RFC 5118, the RFCs' own call flows and a fuzzer's seeds. The messages
//! are not part of this project: `SIP_CORPORA` names the folder that holds them.

#[path = "corpora/folder.rs"]
mod folder;

use folder::{corpus, files, stem};
use ringway::limits;
use ringway::sip::name_addr::split_list;
use ringway::sip::{Fault, HeaderName, Index, Malformed, Message, NameAddr, Uri, scan};
use std::collections::HashMap;
use std::path::Path;

struct Scanned {
    buffer: Vec<u8>,
    index: Index,
    result: Result<(), Fault>,
}

impl Scanned {
    fn of(bytes: &[u8]) -> Scanned {
        let length = bytes.len().min(limits::DATAGRAM_BYTES_MAX);
        let mut buffer = bytes[..length].to_vec();
        buffer.resize(length + limits::SCAN_PADDING, 0);
        let mut index = Index::new();
        let result = scan(&mut buffer, length, &mut index);
        Scanned { buffer, index, result }
    }

    fn message(&self) -> Message<'_> {
        self.index.message(&self.buffer)
    }
}

/// `name → expectation` of a table's column `parser`.
fn expectations(table: &Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(table).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let column = lines.next().unwrap().iter().position(|name| *name == "parser").unwrap();
    lines.map(|line| (line[0].to_string(), line[column].to_string())).collect()
}

/// Everything that a view can be asked; what it says does not matter here.
fn look_at_everything(message: &Message<'_>) -> Vec<(HeaderName, Malformed)> {
    let mut faults = Vec::new();
    let count = message.headers().len();
    for (number, header) in message.headers().iter().enumerate() {
        let name = header.name;
        let _ = (message.header(name), message.values(name).count(), message.lines(number, count));
        let items: Vec<&[u8]> = match name.is_list() {
            true => split_list(message.text(header.value)).collect(),
            false => vec![message.text(header.value)],
        };
        for item in items {
            faults.extend(view_fault(name, item).map(|fault| (name, fault)));
        }
    }
    if message.is_request() {
        let uri = Uri::parse(message.request_uri());
        if let Ok(uri) = uri {
            let _ = (uri.ip(), uri.param("lr"), Uri::same_user(uri.user, b"user"));
        }
        faults.extend(uri.err().map(|fault| (HeaderName::Other, fault)));
    }
    let _ = (message.top_via(), message.body(), message.bytes(), message.reason(), message.method_text());
    faults
}

fn view_fault(name: HeaderName, item: &[u8]) -> Option<Malformed> {
    use HeaderName::*;
    match name {
        Via => {
            let via = ringway::sip::Via::parse(item);
            let _ = via.map(|via| via.branch());
            via.err()
        }
        Contact if item == b"*" => None,
        From | To | Contact | Route | RecordRoute | Diversion | ReferTo => {
            let address = NameAddr::parse(item);
            match address {
                Ok(address) => {
                    let _ = (address.tag(), address.param("q"));
                    Uri::parse(address.uri).err()
                }
                Err(fault) => Some(fault),
            }
        }
        _ => None,
    }
}

/// What the scanner finds wrong with each message that the RFC rejects or lets us reject. `None`: the scan
/// alone does not tell, and a view must (`reject`) or nothing needs to (`either`).
const FAULTS: [(&str, Option<Fault>); 24] = [
    ("badinv01", Some(Fault::Malformed(HeaderName::Via))),
    ("clerr", Some(Fault::Truncated)),
    ("ncl", Some(Fault::Malformed(HeaderName::ContentLength))),
    ("scalar02", Some(Fault::Malformed(HeaderName::CSeq))),
    ("scalarlg", Some(Fault::Malformed(HeaderName::CSeq))),
    ("quotbal", Some(Fault::Malformed(HeaderName::To))),
    ("ltgtruri", Some(Fault::BrokenStartLine)),
    ("lwsruri", Some(Fault::BrokenStartLine)),
    ("lwsstart", Some(Fault::BrokenStartLine)),
    ("trws", Some(Fault::BrokenStartLine)),
    ("escruri", None),
    ("baddate", None),
    ("regbadct", None),
    ("badaspec", None),
    ("baddn", Some(Fault::Malformed(HeaderName::From))),
    ("badvers", Some(Fault::Version)),
    ("mismatch01", Some(Fault::CSeqMethod)),
    ("mismatch02", Some(Fault::CSeqMethod)),
    ("bigcode", Some(Fault::NotSip)),
    ("insuf", Some(Fault::Missing(HeaderName::From))),
    ("multi01", Some(Fault::Repeated(HeaderName::CSeq))),
    ("mcl01", Some(Fault::Repeated(HeaderName::ContentLength))),
    // RFC 5118 §4.2: an IPv6 address without brackets, in the Request-URI: the URI's view finds it.
    ("ipv6-bad", None),
    ("baddn-with-final-crlf", Some(Fault::Malformed(HeaderName::From))),
];

fn judge(name: &str, expected: &str, bytes: &[u8]) {
    let scanned = Scanned::of(bytes);
    let faults = look_at_everything(&scanned.message());
    if expected == "accept" {
        assert_eq!(scanned.result, Ok(()), "{name}");
        assert_eq!(faults, [], "{name}");
        return;
    }
    let (_, fault) =
        FAULTS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is new"));
    assert_eq!(scanned.result.err(), *fault, "{name}");
    assert!(fault.is_some() || expected == "either" || !faults.is_empty(), "{name}");
}

/// What a 400 needs (RFC 3261 §8.2.6) stands in the index of every request that is rejected and has it.
fn assert_answerable(name: &str, bytes: &[u8]) {
    use HeaderName::*;
    let scanned = Scanned::of(bytes);
    let message = scanned.message();
    if message.is_request() && name != "insuf" {
        for field in [Via, From, To, CallId, CSeq] {
            assert!(message.header(field).is_some_and(|value| !value.is_empty()), "{name} {field:?}");
        }
    }
}

#[test]
fn the_torture_messages_are_judged_as_rfc_4475_does() {
    let Some(folder) = corpus("scan_rfc4475::the_torture_messages_are_judged_as_rfc_4475_does", "rfc4475")
    else {
        return;
    };
    let expected = expectations(&folder.join("expected.tsv"));
    let mut judged = Vec::new();
    for path in files(&folder.join("messages")) {
        let name = stem(&path);
        judged.extend(expected.get_key_value(name).map(|(name, _)| name.clone()));
        let bytes = std::fs::read(&path).unwrap();
        assert_answerable(name, &bytes);
        match (name, expected.get(name)) {
            // In the archive, and described nowhere.
            ("test", None) => assert_eq!(Scanned::of(&bytes).result, Err(Fault::NotSip)),
            // As the archive has it, without the last line's CRLF.
            ("baddn", _) => assert!(Scanned::of(&bytes).result.is_err()),
            ("baddn-with-final-crlf", None) => judge(name, "either", &bytes),
            (_, expected) => judge(name, expected.unwrap(), &bytes),
        }
    }
    assert_eq!((judged.len(), expected.len()), (49, 49), "every message that the RFC describes");
}

#[test]
fn the_torture_messages_hold_what_the_rfc_says() {
    let Some(folder) = corpus("scan_rfc4475::the_torture_messages_hold_what_the_rfc_says", "rfc4475") else {
        return;
    };
    let read = |name: &str| Scanned::of(&std::fs::read(folder.join("messages").join(name)).unwrap());
    let wsinv = read("wsinv.dat");
    let message = wsinv.message();
    assert_eq!(message.top_via().unwrap().branch, b"390skdjuw");
    assert_eq!(message.top_via().unwrap().host, b"192.0.2.2");
    assert_eq!((message.to_tag(), message.from_tag()), (&b"1918181833n"[..], &b"98asjd8"[..]));
    assert_eq!((message.cseq().unwrap().number, message.max_forwards()), (9, Some(68)));
    assert_eq!(message.values(HeaderName::Via).flat_map(split_list).count(), 3);
    assert_eq!(message.header(HeaderName::Subject), Some(&b""[..]));
    let esc02 = read("esc02.dat");
    assert_eq!(esc02.message().values(HeaderName::Contact).count(), 2);
    let dblreq = read("dblreq.dat");
    assert_eq!(dblreq.message().body(), b"");
    assert!(dblreq.message().bytes().ends_with(b"\r\n\r\n"));
    let semiuri = read("semiuri.dat");
    assert_eq!(Uri::parse(semiuri.message().request_uri()).unwrap().user, b"user;par=u%40example.net");
    let inv2543 = read("inv2543.dat");
    assert_eq!(inv2543.message().top_via().unwrap().branch, b"");
    assert!(inv2543.message().body().starts_with(b"v=0\r\n"));
    let mpart01 = read("mpart01.dat");
    assert_eq!(mpart01.message().body().len(), 553);
}

#[test]
fn the_ipv6_messages_are_judged_as_rfc_5118_does() {
    let Some(folder) = corpus("scan_rfc4475::the_ipv6_messages_are_judged_as_rfc_5118_does", "rfc5118")
    else {
        return;
    };
    let expected = expectations(&folder.join("expected.tsv"));
    let paths = files(&folder.join("wire"));
    for path in &paths {
        let name = stem(path);
        judge(name, &expected[name], &std::fs::read(path).unwrap());
    }
    assert_eq!((paths.len(), expected.len()), (12, 12), "every message of the RFC");
}

#[test]
fn every_message_of_the_basic_call_flows_is_accepted() {
    let Some(folder) =
        corpus("scan_rfc4475::every_message_of_the_basic_call_flows_is_accepted", "rfc-flows/rfc3665")
    else {
        return;
    };
    let messages: Vec<_> =
        files(&folder).into_iter().filter(|path| path.extension() == Some("sip".as_ref())).collect();
    assert!(messages.len() >= 178);
    for path in messages {
        let scanned = Scanned::of(&std::fs::read(&path).unwrap());
        assert_eq!(scanned.result, Ok(()), "{path:?}");
        assert_eq!(look_at_everything(&scanned.message()), [], "{path:?}");
    }
}

#[test]
fn no_file_of_any_corpus_makes_us_panic() {
    for name in ["rfc4475", "rfc5118", "rfc-flows", "pjproject-fuzz-seeds/unzipped"] {
        let Some(folder) = corpus("scan_rfc4475::no_file_of_any_corpus_makes_us_panic", name) else { return };
        for path in files(&folder) {
            let bytes = std::fs::read(&path).unwrap();
            look_at_everything(&Scanned::of(&bytes).message());
            let cuts = (0..bytes.len().min(limits::DATAGRAM_BYTES_MAX)).step_by(37);
            cuts.for_each(|cut| drop(look_at_everything(&Scanned::of(&bytes[..cut]).message())));
        }
    }
}
