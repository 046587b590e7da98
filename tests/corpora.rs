//! Messages that others wrote: the RFCs' call flows, their torture tests and a fuzzer's seeds. Each is read
//! as the naive scanner reads it, can be written anew, and does a shard no harm.

#[path = "scan_reference/agreement.rs"]
mod agreement;
#[path = "corpora/folder.rs"]
mod folder;
#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;
#[path = "scan_reference/naive.rs"]
mod naive;

use agreement::assert_agreement;
use folder::{corpus, files, stem};
use lab::Lab;
use lab::peer::B;
use lab::trace::Way;
use ringway::limits::{DATAGRAM_BYTES_MAX, SCAN_PADDING};
use ringway::shard::Shard;
use ringway::sip::write::Writer;
use ringway::sip::{Fault, HeaderName, Index, Message, scan};
use std::path::PathBuf;

const FOLDERS: [&str; 4] = ["rfc4475/messages", "rfc5118", "rfc-flows", "pjproject-fuzz-seeds/unzipped"];

struct Scanned {
    buffer: Vec<u8>,
    index: Index,
    result: Result<(), Fault>,
}

impl Scanned {
    fn of(bytes: &[u8]) -> Scanned {
        let length = bytes.len().min(DATAGRAM_BYTES_MAX);
        let mut buffer = bytes[..length].to_vec();
        buffer.resize(length + SCAN_PADDING, 0);
        let mut index = Index::new();
        let result = scan(&mut buffer, length, &mut index);
        Scanned { buffer, index, result }
    }

    fn message(&self) -> Message<'_> {
        self.index.message(&self.buffer)
    }
}

/// Every file of every folder, short enough for a datagram. Where one is absent a word about it is enough.
fn everything(test: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = FOLDERS.into_iter().map_while(|name| corpus(test, name));
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    let all = folders.flat_map(|folder| files(&folder)).map(read);
    all.filter(|(_, bytes)| bytes.len() <= DATAGRAM_BYTES_MAX).collect()
}

#[test]
fn every_file_is_read_as_the_naive_scanner_reads_it() {
    for (_, bytes) in everything("corpora::every_file_is_read_as_the_naive_scanner_reads_it") {
        assert_agreement(&bytes);
        // A Content-Length or a folded line that was cut.
        for cut in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            assert_agreement(&bytes[..cut]);
        }
    }
}

/// A message written anew: start line, the fields spliced, Content-Length and body.
fn rewritten(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let line = message.bytes().split(|byte| *byte == b'\r').next().unwrap_or_default();
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
    let mut writer = Writer::new(&mut out);
    writer.splice_headers(message, |name| name != HeaderName::ContentLength);
    writer.body(message.body());
    out
}

/// Name and value of every field but Content-Length.
fn fields<'a>(message: &Message<'a>) -> Vec<(HeaderName, &'a [u8])> {
    let all = message.headers().iter().filter(|header| header.name != HeaderName::ContentLength);
    all.map(|header| (header.name, message.text(header.value))).collect()
}

#[test]
fn a_message_that_is_spliced_and_written_anew_is_the_same() {
    let mut count = 0;
    for (path, bytes) in everything("corpora::a_message_that_is_spliced_and_written_anew_is_the_same") {
        let before = Scanned::of(&bytes);
        if before.result.is_err() {
            continue;
        }
        count += 1;
        let out = rewritten(&before.message());
        let after = Scanned::of(&out);
        let (old, new) = (before.message(), after.message());
        assert_eq!(after.result, Ok(()), "{path:?}\n{}", out.escape_ascii());
        assert_eq!(fields(&new), fields(&old), "{path:?}");
        assert_eq!((new.body(), new.bytes()), (old.body(), &out[..]), "{path:?}");
        assert_eq!((new.method(), new.method_text()), (old.method(), old.method_text()));
        assert_eq!(
            (new.request_uri(), new.status(), new.reason()),
            (old.request_uri(), old.status(), old.reason())
        );
        assert_eq!((new.top_via(), new.cseq(), new.call_id()), (old.top_via(), old.cseq(), old.call_id()));
        assert_eq!((new.from_tag(), new.to_tag()), (old.from_tag(), old.to_tag()));
        assert_eq!(rewritten(&new), out, "{path:?}");
    }
    println!("{count} messages written anew");
}

/// What is wrong with messages that an RFC misprints, or cuts with an ellipsis.
const MISPRINTS: [(&str, Fault); 21] = [
    // A line of prose, and ` ...`.
    ("rfc3842/4.1__004_x_200-OK", Fault::Malformed(HeaderName::CSeq)),
    ("rfc3842/4.2__015_x_REGISTER", Fault::Malformed(HeaderName::From)),
    // `1INVITE`
    ("rfc3911/8.1__005_x_INVITE", Fault::Malformed(HeaderName::CSeq)),
    ("rfc3911/8.1__006_x_200-OK", Fault::Malformed(HeaderName::CSeq)),
    // A fold that makes one Via of two.
    ("rfc4244/11__002_F2_INVITE", Fault::Malformed(HeaderName::Via)),
    ("rfc4244/11__012_x_INVITE", Fault::Malformed(HeaderName::Via)),
    // The CSeq of another request, method and all.
    ("rfc5589/6.1__005_F5_INVITE", Fault::CSeqMethod),
    ("rfc5589/6.2__010_F4_NOTIFY", Fault::CSeqMethod),
    ("rfc5589/6.2__011_F5_INVITE", Fault::CSeqMethod),
    ("rfc5589/6.2__012_F6_NOTIFY", Fault::CSeqMethod),
    ("rfc5806/8.1__009_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.1__013_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.1__019_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.2__024_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.2__026_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.2__028_x_ACK", Fault::CSeqMethod),
    ("rfc5806/8.2__031_x_ACK", Fault::CSeqMethod),
    // A user in sent-by.
    ("rfc7315/4.3.2.3__008_F2_REGISTER", Fault::Malformed(HeaderName::Via)),
    ("rfc7315/4.3.2.3__009_F3_REGISTER", Fault::Malformed(HeaderName::Via)),
    ("rfc7315/4.5.2.3__011_F2_INVITE", Fault::Malformed(HeaderName::Via)),
    ("rfc7315/4.6.2.3__013_F2_INVITE", Fault::Malformed(HeaderName::Via)),
];

/// A printed message with what the RFC left out for brevity: mandatory fields, and a Content-Length that is
/// `...` or counts another body.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let (line, rest) = text.split_once("\r\n").expect("a start line");
    let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest.trim_end(), ""));
    let is_length = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        HeaderName::classify(name.as_bytes()) == HeaderName::ContentLength
    };
    let mut lines: Vec<&str> =
        head.split("\r\n").filter(|line| !line.is_empty() && !is_length(line)).collect();
    let method = line.split(' ').next().filter(|word| !word.starts_with("SIP/")).unwrap_or("INVITE");
    let cseq = format!("CSeq: 1 {method}");
    let fields =
        ["Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a>;tag=f", "To: <sip:b>", "Call-ID: c", &cseq];
    for field in fields {
        let name_of =
            |line: &str| HeaderName::classify(line.split(':').next().unwrap_or_default().trim().as_bytes());
        if !lines.iter().any(|line| name_of(line) == name_of(field)) {
            lines.push(field);
        }
    }
    format!("{line}\r\n{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

#[test]
fn every_message_of_the_rfcs_call_flows_is_accepted() {
    let Some(folder) = corpus("corpora::every_message_of_the_rfcs_call_flows_is_accepted", "rfc-flows")
    else {
        return;
    };
    let mut odd = Vec::new();
    let mut count = 0;
    for path in files(&folder).into_iter().filter(|path| path.extension() == Some("sip".as_ref())) {
        let bytes = mended(&std::fs::read(&path).expect("a readable file"));
        let name = format!("{}/{}", stem(path.parent().expect("a folder")), stem(&path));
        odd.extend(Scanned::of(&bytes).result.err().map(|fault| (name, fault)));
        count += 1;
    }
    let odd: Vec<(&str, Fault)> = odd.iter().map(|(name, fault)| (name.as_str(), *fault)).collect();
    assert_eq!((count, &odd[..]), (882, &MISPRINTS[..]));
}

/// The datagrams that a shard sent within seven minutes of this one from a stranger, and whether B was
/// called. Then nothing is left. (The laboratory's audit is not asked: a stranger's NUL comes back to it, as
/// it should.)
fn sent_after(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut lab = Lab::new();
    lab.send_bytes("203.0.113.9:5060".parse().expect("an address"), bytes);
    lab.advance(420_000);
    let is_called = lab.sent_to(B).iter().any(|message| message == "INVITE");
    let left = (lab.calls(), lab.transactions(), lab.shards.iter().all(Shard::is_empty));
    assert_eq!(left, (0, 0, true), "{}", bytes.escape_ascii());
    let sent =
        lab.trace.iter().filter(|entry| entry.way == Way::Out).map(|entry| entry.bytes.to_vec()).collect();
    lab.abandon();
    (sent, is_called)
}

#[test]
fn no_message_of_others_leaves_anything_in_a_shard() {
    for (_, bytes) in everything("corpora::no_message_of_others_leaves_anything_in_a_shard") {
        let (sent, _) = sent_after(&bytes);
        if !Scanned::of(&bytes).message().is_request() {
            assert!(sent.is_empty(), "what is no request is never answered");
        }
    }
}

#[test]
fn an_invite_of_others_to_a_subscriber_of_ours_becomes_a_call_that_ends() {
    let name = "corpora::an_invite_of_others_to_a_subscriber_of_ours_becomes_a_call_that_ends";
    let mut calls = 0;
    let all = everything(name);
    for (path, bytes) in &all {
        let Some(rest) = bytes.strip_prefix(b"INVITE ").filter(|_| Scanned::of(bytes).result.is_ok()) else {
            continue;
        };
        let end = rest.iter().position(|byte| *byte == b' ').expect("a version");
        let (sent, is_called) = sent_after(&[b"INVITE sip:1004@192.168.11.60", &rest[end..]].concat());
        let is_refused = |sent: &Vec<u8>| sent.starts_with(b"SIP/2.0 4");
        assert!(is_called || sent.iter().all(is_refused), "{path:?}");
        assert!(sent.last().is_some_and(is_refused), "{path:?}");
        calls += usize::from(is_called);
    }
    assert!(all.is_empty() || calls >= 90, "{calls}");
}

/// What RFC 4475 lets us answer to those of its messages that are no good; `None`: nothing.
const REFUSALS: [(&str, Option<&str>); 22] = [
    // Its topmost Via cannot be read: nobody knows whom to answer.
    ("badinv01", None),
    ("clerr", Some("400")),
    ("ncl", Some("400")),
    ("scalar02", Some("400")),
    ("scalarlg", None),
    ("quotbal", Some("400")),
    ("ltgtruri", Some("400")),
    ("lwsruri", Some("400")),
    ("lwsstart", Some("400")),
    ("trws", Some("400")),
    // The RFC lets us look past the blanks inside its brackets.
    ("badaspec", Some("200")),
    ("baddn", Some("400")),
    ("badvers", Some("505")),
    ("mismatch01", Some("400")),
    ("mismatch02", Some("400")),
    ("bigcode", None),
    ("insuf", None),
    ("multi01", Some("400")),
    ("mcl01", Some("400")),
    ("unreason", None),
    ("noreason", None),
    ("bcast", None),
];

#[test]
fn the_torture_messages_are_answered_as_rfc_4475_lets_us() {
    let Some(folder) = corpus("corpora::the_torture_messages_are_answered_as_rfc_4475_lets_us", FOLDERS[0])
    else {
        return;
    };
    for (name, expected) in REFUSALS {
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).expect("a message");
        let (sent, _) = sent_after(&bytes);
        let status = sent.first().map(|response| String::from_utf8_lossy(&response[8..11]).into_owned());
        assert_eq!(status.as_deref(), expected, "{name}");
        assert!(sent.windows(2).all(|pair| pair[0] == pair[1]), "{name}: but one response");
    }
}
