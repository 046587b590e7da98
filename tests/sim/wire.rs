//! Messages of the peers as bytes. A message is written when it arrives, so that what is lost costs nothing:
//! everything in it is fixed once it was sent.

use super::call::{CALLER, Call, Kind, Parcel};
use super::callee::Contact;
use super::setup::{CALLERS, SERVER_TEXT, callee_address, hop_of, mark, number, phone_of};
use ringway::sip::Method;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A description from its beginning to the address, and behind that.
const SDP: [&[u8]; 2] =
    [b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 ", b"\r\nt=0 0\r\nm=audio 6510 RTP/AVP 8 0\r\n"];

/// Where a peer has its media.
pub fn media(who: u8) -> SocketAddr {
    let signalling = if who == CALLER { CALLERS } else { callee_address(who) };
    SocketAddr::new(signalling.ip(), 6_510)
}

/// CSeq of the caller's INVITE and BYE, and of a callee's BYE.
pub const INVITE_CSEQ: u32 = 39;
pub const CALLER_BYE_CSEQ: u32 = 40;
pub const CALLEE_BYE_CSEQ: u32 = 223;

/// Eight hexadecimal digits.
pub fn hex(number: u32) -> [u8; 8] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (28 - 4 * place) & 15) as usize])
}

/// The inverse of [`hex`].
pub fn read_hex(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..8)?;
    digits.iter().try_fold(0, |number, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(value))
    })
}

/// Adds texts to a message.
struct Pen<'a>(&'a mut Vec<u8>);

impl Pen<'_> {
    fn put(&mut self, parts: &[&[u8]]) -> &mut Self {
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        self
    }

    fn number(&mut self, number: u32) -> &mut Self {
        let mut digits = [0; 10];
        let mut place = digits.len();
        let mut rest = number;
        loop {
            place -= 1;
            digits[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(&[&digits[place..]])
    }

    fn cseq(&mut self, cseq: u32, method: Method) -> &mut Self {
        self.put(&[b"CSeq: "]).number(cseq).put(&[b" ", method.name().as_bytes(), b"\r\n"])
    }

    /// A description of a peer's, if it says one.
    fn body(&mut self, who: u8, with_sdp: bool) {
        if with_sdp {
            let IpAddr::V4(host) = media(who).ip() else { return };
            let length = SDP[0].len() + SDP[1].len() + digits(&host);
            self.put(&[b"Content-Type: application/sdp\r\nContent-Length: "]).number(length as u32);
            self.put(&[b"\r\n\r\n", SDP[0]]);
            for (place, octet) in host.octets().into_iter().enumerate() {
                self.put(&[if place > 0 { b"." } else { b"" }]).number(octet.into());
            }
            self.put(&[SDP[1]]);
        } else {
            self.put(&[b"Content-Length: 0\r\n\r\n"]);
        }
    }
}

/// How long an address is.
fn digits(host: &Ipv4Addr) -> usize {
    let digits = |octet: u8| 1 + usize::from(octet > 9) + usize::from(octet > 99);
    3 + host.octets().into_iter().map(digits).sum::<usize>()
}

/// Writes a message of a peer's.
pub fn write(out: &mut Vec<u8>, call: &Call, parcel: &Parcel) {
    let mut pen = Pen(out);
    match (parcel.who, parcel.kind) {
        (CALLER, Kind::Request(method)) => caller_request(&mut pen, call, method),
        (CALLER, Kind::Response(status, method)) => caller_response(&mut pen, call, status, method),
        (hop, Kind::Request(method)) => callee_request(&mut pen, call, hop, method),
        (hop, Kind::Response(status, method)) => callee_response(&mut pen, call, hop, (status, method)),
    }
}

/// The letter that ends a branch of a peer's: `i` the INVITE and what shares its branch, `b` BYE, `a` the
/// ACK to a 2xx.
fn branch_letter(call: &Call, method: Method) -> &'static [u8] {
    match method {
        Method::Bye => b"b",
        Method::Ack if call.caller.answered => b"a",
        _ => b"i",
    }
}

fn caller_request(pen: &mut Pen<'_>, call: &Call, method: Method) {
    let id = hex(call.index);
    let called = number(call.hops, 0);
    let caller = &call.caller;
    let in_dialog = method == Method::Bye || method == Method::Ack && caller.answered;
    let server = SERVER_TEXT.as_bytes();
    pen.put(&[method.name().as_bytes(), b" sip:", &called, b"@", server, b" SIP/2.0\r\n"]);
    pen.put(&[b"Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK", &id, branch_letter(call, method)]);
    pen.put(&[b"\r\nMax-Forwards: 70\r\nFrom: <sip:c", &id, b"@127.0.0.1>;tag=t", &id]);
    pen.put(&[b"\r\nTo: <sip:", &called, b"@", server, b">"]);
    if in_dialog || method == Method::Ack {
        pen.put(&[b";tag=", caller.server.tag.bytes()]);
    }
    pen.put(&[b"\r\nCall-ID: ", &id, b"@127.0.0.1\r\n"]);
    pen.cseq(if method == Method::Bye { CALLER_BYE_CSEQ } else { INVITE_CSEQ }, method);
    if method == Method::Invite {
        pen.put(&[b"Contact: <sip:c", &id, b"@127.0.0.1:5060>\r\nAllow: INVITE, ACK, CANCEL, BYE\r\n"]);
    }
    let late_offer = caller.script.late_offer;
    pen.body(
        CALLER,
        method == Method::Invite && !late_offer || method == Method::Ack && in_dialog && late_offer,
    );
}

fn caller_response(pen: &mut Pen<'_>, call: &Call, status: u16, method: Method) {
    let id = hex(call.index);
    let caller = &call.caller;
    let request = caller.server.request(method);
    status_line(pen, status);
    pen.put(&[b"Via: SIP/2.0/UDP ", SERVER_TEXT.as_bytes(), b";branch=", request.branch.bytes()]);
    pen.put(&[b"\r\nFrom: <sip:", &number(call.hops, 0), b"@", SERVER_TEXT.as_bytes(), b">;tag="]);
    pen.put(&[caller.server.tag.bytes(), b"\r\nTo: <sip:c", &id, b"@127.0.0.1>;tag=t", &id]);
    pen.put(&[b"\r\nCall-ID: ", &id, b"@127.0.0.1\r\n"]);
    pen.cseq(request.cseq, method).body(CALLER, false);
}

fn callee_request(pen: &mut Pen<'_>, call: &Call, hop: u8, method: Method) {
    let id = hex(call.index);
    let server = &call.callees[usize::from(hop)].server;
    let place = [mark(hop)];
    let caller_uri: [&[u8]; 3] = [b"sip:c", &id, b"@"];
    pen.put(&[method.name().as_bytes(), b" "]).put(&caller_uri).put(&[SERVER_TEXT.as_bytes()]);
    pen.put(&[b" SIP/2.0\r\nVia: SIP/2.0/UDP ", &host(hop), b":5060;rport;branch=z9hG4bK", &id, b"k"]);
    pen.put(&[&place, b"\r\nMax-Forwards: 70\r\nFrom: "]);
    write_callee_address(pen, call, hop);
    pen.put(&[b";tag=k", &id, &place, b"\r\nTo: <"]).put(&caller_uri);
    pen.put(&[b"127.0.0.1>;tag=", server.tag.bytes(), b"\r\nCall-ID: ", server.call_id.bytes(), b"\r\n"]);
    pen.cseq(CALLEE_BYE_CSEQ, method).body(hop, false);
}

/// `<sip:120@127.0.1.1:5060>`
fn write_callee_address(pen: &mut Pen<'_>, call: &Call, hop: u8) {
    pen.put(&[b"<sip:", &number(call.hops, hop_of(hop)), b"@", &host(hop), b":5060>"]);
}

fn host(hop: u8) -> [u8; 9] {
    let mut host = *b"127.0.1.1";
    host[6] += phone_of(hop);
    host[8] += hop_of(hop);
    host
}

fn callee_response(pen: &mut Pen<'_>, call: &Call, hop: u8, (status, method): (u16, Method)) {
    let id = hex(call.index);
    let callee = &call.callees[usize::from(hop)];
    let request = callee.server.request(method);
    status_line(pen, status);
    pen.put(&[b"Via: SIP/2.0/UDP ", SERVER_TEXT.as_bytes(), b";branch=", request.branch.bytes()]);
    pen.put(&[b"\r\nFrom: <sip:c", &id, b"@127.0.0.1>;tag=", callee.server.tag.bytes(), b"\r\nTo: "]);
    write_callee_address(pen, call, hop);
    if status > 100 {
        pen.put(&[b";tag=k", &id, &[mark(hop)]]);
    }
    pen.put(&[b"\r\nCall-ID: ", callee.server.call_id.bytes(), b"\r\n"]);
    pen.cseq(request.cseq, method);
    let invite = method == Method::Invite;
    if invite && status == 302 {
        deflection(pen, call, hop);
    } else if invite && (101..400).contains(&status) {
        pen.put(&[b"Contact: "]);
        write_callee_address(pen, call, hop);
        pen.put(&[b"\r\n"]);
    }
    if invite && status == 480 && callee.script.no_answer_cause {
        pen.put(&[b"Reason: Q.850;cause=19\r\n"]);
    }
    pen.body(hop, invite && (status == 183 || (200..300).contains(&status)));
}

/// The Contact of a 302, and one that is preferred less.
fn deflection(pen: &mut Pen<'_>, call: &Call, place: u8) {
    let hop = hop_of(place);
    let digits = match call.callees[usize::from(place)].script.contact {
        Contact::Next => number(call.hops, hop + 1),
        Contact::Own => number(call.hops, hop),
        Contact::Nobody => *b"199",
        Contact::Missing => return,
    };
    match call.index % 3 {
        0 => pen.put(&[b"Contact: <tel:", &digits, b">;q=0.7\r\n"]),
        _ => pen.put(&[b"Contact: <sip:", &digits, b"@", SERVER_TEXT.as_bytes(), b">;q=0.7\r\n"]),
    };
    if call.index.is_multiple_of(2) {
        pen.put(&[b"Contact: <sip:", &number(call.hops, 0), b"@", SERVER_TEXT.as_bytes(), b">;q=0.1\r\n"]);
    }
}

fn status_line(pen: &mut Pen<'_>, status: u16) {
    pen.put(&[b"SIP/2.0 "]).number(u32::from(status)).put(&[b" Some Reason\r\n"]);
}
