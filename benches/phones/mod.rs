//! The phones of the reference flow, for benches: what they send, made from what the server sent.

use ringway::directory::{Condition, Directory, Subscriber};
use ringway::limits::SCAN_PADDING;
use ringway::settings::{Listener, Settings};
use ringway::sip::{HeaderName, Index, scan};
use std::net::SocketAddr;
use std::sync::Arc;

pub const CALLER: &str = "127.0.0.137:5060";
pub const CALLEE: &str = "127.0.0.136:5060";
pub const TARGET: &str = "127.0.0.138:5060";
pub const SERVER: &str = "127.0.0.60:5060";

pub const SDP: &str = "v=0\r\no=ZED3 5525 5525 IN IP4 127.0.0.137\r\ns=ZED3\r\nc=IN IP4 127.0.0.137\r\n\
    t=0 0\r\nm=audio 6510 RTP/AVP 4 18 8 0 3 101\r\na=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:3 GSM/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// The lab's settings.
pub fn settings(server: &str) -> Settings {
    let listener = Listener { address: address(server), sent_by: server.into() };
    Settings { listeners: vec![listener], ..Settings::default() }
}

/// A phone and its number.
pub struct Phone {
    pub number: &'static str,
    pub peer: &'static str,
}

/// The lab's callee and target, and four more that a call may be forwarded to.
pub const CHAIN: [Phone; 6] = [
    Phone { number: "1004", peer: CALLEE },
    Phone { number: "1005", peer: TARGET },
    Phone { number: "1006", peer: "127.0.0.139:5060" },
    Phone { number: "1007", peer: "127.0.0.140:5060" },
    Phone { number: "1008", peer: "127.0.0.141:5060" },
    Phone { number: "1009", peer: "127.0.0.142:5060" },
];

impl Phone {
    /// What stands in its Contact.
    pub fn contact(&self) -> String {
        format!("{}@{}", self.number, self.peer)
    }
}

/// The caller, and phones that forward each to the next on no answer.
pub fn directory() -> Arc<Directory> {
    let at =
        |number: &str, peer: &str| Subscriber::new(number).at(&format!("sip:{number}@{peer}"), address(peer));
    let next = CHAIN.iter().map(Some).skip(1).chain([None]);
    let callees = CHAIN.iter().zip(next).map(|(phone, next)| {
        let subscriber = at(phone.number, phone.peer);
        match next {
            Some(next) => subscriber.forwarding_to(Condition::NoAnswer, next.number),
            None => subscriber,
        }
    });
    Directory::of(callees.chain([at("1003", CALLER)]))
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A response of a phone's to a request of the server's.
pub fn answer(request: &[u8], status: &str, tag: &str, contact: &str, body: &str) -> Vec<u8> {
    let mut buffer = request.to_vec();
    buffer.resize(request.len() + SCAN_PADDING, 0);
    let mut index = Index::new();
    scan(&mut buffer, request.len(), &mut index).expect("a message of the server's");
    let message = index.message(&buffer[..request.len()]);
    let field = |name| std::str::from_utf8(message.header(name).expect("a header")).expect("text");
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let (via, from, to) = (field(HeaderName::Via), field(HeaderName::From), field(HeaderName::To));
    let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    let (call_id, cseq) = (field(HeaderName::CallId), field(HeaderName::CSeq));
    format!(
        "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:{contact}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request of a phone's in the dialog that a message of the server's belongs to: its response, or its
/// request, to which the phone has given this `tag`.
pub fn in_dialog(
    of: &[u8],
    method: &str,
    cseq: u32,
    peer: &str,
    number: usize,
    tag: Option<&str>,
) -> Vec<u8> {
    let mut buffer = of.to_vec();
    buffer.resize(of.len() + SCAN_PADDING, 0);
    let mut index = Index::new();
    scan(&mut buffer, of.len(), &mut index).expect("a message of the server's");
    let message = index.message(&buffer[..of.len()]);
    let field = |name| std::str::from_utf8(message.header(name).expect("a header")).expect("text");
    let (from, to) = (field(HeaderName::From), field(HeaderName::To));
    let (from, to) = match tag {
        Some(tag) => (format!("{to};tag={tag}"), from.to_owned()),
        None => (from.to_owned(), to.to_owned()),
    };
    format!(
        "{method} sip:127.0.0.60:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {peer};rport;branch=z9hG4bK{method}{number}\r\n\
         From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 30\r\n\
         Content-Length: 0\r\n\r\n",
        field(HeaderName::CallId)
    )
    .into_bytes()
}

/// The caller's INVITE for a number of ours.
pub fn invite(called: &str, number: usize) -> Vec<u8> {
    format!(
        "INVITE sip:{called}@127.0.0.60:5060;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};rport;branch=z9hG4bKinvite{number}\r\n\
         From: \"1003\" <sip:1003@127.0.0.60:5060;user=phone>;tag=38736{number}\r\n\
         To: <sip:{called}@127.0.0.60:5060>\r\nCall-ID: call-{number}@127.0.0.137\r\nCSeq: 39 INVITE\r\n\
         Contact: <sip:1003@{CALLER}>\r\nMax-Forwards: 30\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, REGISTER, MESSAGE, INFO, SUBSCRIBE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}
