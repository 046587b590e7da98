//! Messages as peers send them, good but for what the input damages, and what is done with them.

use crate::input::Input;
use crate::sip::{Sip, uri_of};
use crate::world::{NUMBERS, World, peer};
use ringway::sip::NameAddr;
use std::fmt::Write;

/// Messages that one world is given at most.
const OPERATIONS_MAX: usize = 120;

const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n ",
    b" ",
    b"\t",
    b"\0",
    b";",
    b",",
    b"\"",
    b"<",
    b">",
    b"=",
    b":",
    b"@",
    b"%",
    b"\\",
    b"0",
    b"4294967296",
    b"z9hG4bK",
    b"SIP/2.0",
    b";tag=",
    b";rport",
    b"INVITE",
    b"\xff",
    b"\n",
];

const STATUSES: [&str; 24] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "199 Early Dialog Terminated",
    "200 OK",
    "202 Accepted",
    "299 ",
    "300 Multiple Choices",
    "302 Moved Temporarily",
    "400 Bad Request",
    "401 Unauthorized",
    "404 Not Found",
    "408 Request Timeout",
    "422 Session Interval Too Small",
    "480 Temporarily Unavailable",
    "481 Call/Transaction Does Not Exist",
    "485 Ambiguous",
    "486 Busy Here",
    "487 Request Terminated",
    "491 Request Pending",
    "500 Server Internal Error",
    "503 Service Unavailable",
    "600 Busy Everywhere",
    "699 x",
];

const METHODS: [&str; 9] =
    ["ACK", "BYE", "CANCEL", "INVITE", "OPTIONS", "INFO", "UPDATE", "PRACK", "UNKNOWN"];

const EXTRAS: [&str; 20] = [
    "Record-Route: <sip:192.0.2.9;lr>",
    "Record-Route: <sip:p1;lr>, <sip:p2;lr;x=\"a,b\">",
    "Route: <sip:192.0.2.8;lr>",
    "Diversion: <sip:1005@h>;reason=no-answer;counter=2",
    "Diversion: \"a,b\" <sip:1006@h>;counter=4294967296, <sip:1003@h>",
    "History-Info: <sip:1004@h>;index=1, <sip:1005@h;cause=408>;index=1.1",
    "Require: 100rel, timer",
    "Require: timer",
    "Supported: 100rel, timer",
    "Timestamp: 54 1",
    "Subject: a\r\n fold",
    "Reason: Q.850;cause=19",
    "Retry-After: 9",
    "Session-Expires: 90;refresher=uas",
    "RSeq: 1",
    "Alert-Info: <http://192.0.2.1/2>",
    "Expires: 5",
    "Content-Type: application/sdp",
    "Max-Forwards: 0",
    "X-Any: \"<,;",
];

const CONTACTS: [&str; 5] = [
    "<sip:x@192.0.2.2:5060>",
    "\"X\" <sip:x@192.0.2.2;transport=udp>;expires=5",
    "<sip:[2001:db8::4]:5060>",
    "sip:x@192.0.2.3;lr",
    "<sip:x>, <sip:y@h>;q=0.5",
];

/// Lets the input play all peers, and the clock.
pub fn play(world: &mut World, input: &mut Input<'_>) {
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            return;
        }
        match input.below(16) {
            0 => {
                let source = peer(input.below(4));
                let bytes = input.text().to_vec();
                world.receive(input.below(256), source, &bytes);
            }
            1 => {
                let by_ms = u64::from(input.number());
                world.advance(by_ms * u64::from(input.pick(&[1u8, 1, 8])));
            }
            2 | 3 => world.advance_to_wake(),
            4 | 5 => {
                let (from, text) = invite(input);
                send(world, input, from, text);
            }
            6..=9 => {
                if let Some((from, text)) = response(world, input) {
                    send(world, input, from, text);
                }
            }
            10..=12 => {
                if let Some((from, text)) = request_of_caller(world, input) {
                    send(world, input, from, text);
                }
            }
            13 => {
                if let Some((from, text)) = request_of_callee(world, input) {
                    send(world, input, from, text);
                }
            }
            14 => repeat(world, input),
            _ if input.one_in(16) => world.drain(),
            _ => {}
        }
    }
}

/// Sends a message as one of the peers, damaged one time in eight.
fn send(world: &mut World, input: &mut Input<'_>, from: usize, text: String) {
    let mut bytes = text.into_bytes();
    if input.one_in(8) {
        for _ in 0..=input.below(4) {
            damage(&mut bytes, input);
        }
    }
    world.receive(input.below(256), peer(from), &bytes);
}

fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let at = usize::from(input.number()) % (bytes.len() + 1);
    let end = |length: usize| (at + length).min(bytes.len());
    match input.below(5) {
        0 => drop(bytes.splice(at..end(1), [input.byte()])),
        1 => drop(bytes.drain(at..end(1 + input.below(32)))),
        2 => bytes.truncate(at),
        3 => drop(bytes.splice(at..at, input.pick(&PIECES).iter().copied())),
        _ => {
            // A whole line once more, somewhere else.
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (from, to) = (input.below(lines.len().max(1)), input.below(lines.len().max(1)));
            let mut lines = lines;
            if let Some(line) = lines.get(from).copied() {
                lines.insert(to, line);
            }
            *bytes = lines.concat();
        }
    }
}

/// Something that was received before, from the same peer or another one.
fn repeat(world: &mut World, input: &mut Input<'_>) {
    let count = world.received.len();
    if count == 0 {
        return;
    }
    let (source, bytes) = world.received[input.below(count)].clone();
    let source = if input.one_in(8) { peer(input.below(4)) } else { source };
    world.receive(input.below(256), source, &bytes);
}

fn extras(text: &mut String, input: &mut Input<'_>) {
    let count = [0, 0, 0, 0, 1, 1, 2, 3][input.below(8)];
    for _ in 0..count {
        let _ = write!(text, "{}\r\n", input.pick(&EXTRAS));
    }
}

fn body(text: &mut String, input: &mut Input<'_>) {
    let body = input.pick(&["", "v=0\r\ns=-\r\n"]);
    if !body.is_empty() && !text.contains("Content-Type") {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = match input.below(4) {
        0 => write!(text, "\r\n{body}"),
        _ => write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()),
    };
}

fn via(text: &mut String, input: &mut Input<'_>, from: usize, branch: &str) {
    let sent_by = peer(from);
    let rest = input.pick(&[
        ";rport",
        "",
        ";rport;x=\"a;b,c\"",
        ", SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKp",
        ";received=1.1.1.1",
    ]);
    let _ = write!(text, "Via: SIP/2.0/UDP {sent_by};branch={branch}{rest}\r\n");
}

/// A call's INVITE, or another one that shares something with it.
fn invite(input: &mut Input<'_>) -> (usize, String) {
    let (from, to, call) = (input.below(4), input.below(5), input.below(6));
    let number = NUMBERS.get(to).copied().unwrap_or("%31004");
    let variant = [0, 0, 0, 0, 0, 1, 2, 3][input.below(8)];
    let (cseq, branch) = match variant {
        0 => (1, format!("z9hG4bKi{call}")),
        1 => (1, format!("z9hG4bKj{call}")),
        2 => (2, format!("z9hG4bKk{call}")),
        _ => (1, "old".to_owned()),
    };
    let mut text = format!("INVITE sip:{number}@198.51.100.1:5060 SIP/2.0\r\n");
    via(&mut text, input, from, &branch);
    let display = input.pick(&["", "\"A, <B>\" ", "Alice "]);
    let _ = write!(
        text,
        "Max-Forwards: 70\r\nFrom: {display}<sip:{}@198.51.100.1>;tag=f{call}\r\nTo: <sip:{number}@h>\r\n\
         Call-ID: call{call}\r\nCSeq: {cseq} INVITE\r\nContact: {}\r\n",
        NUMBERS[from],
        input.pick(&CONTACTS),
    );
    extras(&mut text, input);
    body(&mut text, input);
    (from, text)
}

fn peer_number(world: &World, place: usize) -> usize {
    let to = world.sent[place].to;
    (0..4).find(|number| peer(*number) == to).unwrap_or_default()
}

/// One of the newest messages that shards sent and that `is_fit` takes.
fn pick_sent(world: &World, input: &mut Input<'_>, is_fit: impl Fn(&Sip) -> bool) -> Option<usize> {
    let back = input.below(256);
    let places = (0..world.sent.len()).rev().filter(|place| is_fit(&world.sent[*place].sip));
    let places: Vec<usize> = places.collect();
    (!places.is_empty()).then(|| places[back % places.len()])
}

/// A response to a request of ours.
fn response(world: &World, input: &mut Input<'_>) -> Option<(usize, String)> {
    let place = pick_sent(world, input, |sip| sip.is_request() && sip.method != "ACK")?;
    let request = &world.sent[place].sip;
    let status = input.pick(&STATUSES);
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From"] {
        let _ = write!(text, "{name}: {}\r\n", request.one(name));
    }
    let tag = match request.to_tag.is_empty() {
        true => input.pick(&[";tag=t0", ";tag=t0", ";tag=t1", ""]),
        false => "",
    };
    let _ = write!(text, "To: {}{tag}\r\n", request.one("To"));
    for name in ["Call-ID", "CSeq"] {
        let _ = write!(text, "{name}: {}\r\n", request.one(name));
    }
    if !input.one_in(4) {
        let _ = write!(text, "Contact: {}\r\n", input.pick(&CONTACTS));
    }
    extras(&mut text, input);
    body(&mut text, input);
    Some((peer_number(world, place), text))
}

/// A request by which a caller goes on: in the dialog, or for its INVITE.
fn request_of_caller(world: &World, input: &mut Input<'_>) -> Option<(usize, String)> {
    let place = pick_sent(world, input, |sip| sip.status.is_some() && sip.method == "INVITE")?;
    let response = &world.sent[place].sip;
    let from = peer_number(world, place);
    let method = METHODS[[0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8][input.below(13)]];
    let is_of_invite = method == "CANCEL" || method == "ACK" && response.status >= Some(300);
    let is_of_invite = is_of_invite != input.one_in(16);
    let cseq =
        if method == "CANCEL" || method == "ACK" { response.cseq } else { 2 + u32::from(input.byte() % 4) };
    let branch = match is_of_invite {
        true => response.branch.clone(),
        false => format!("z9hG4bKd{method}{cseq}{}", input.byte() % 4),
    };
    // A failure's Contacts are those of a callee.
    let contacts = response.list("Contact");
    let contact = contacts.first().filter(|contact| NameAddr::parse(contact.as_bytes()).is_ok());
    let uri = contact.map_or("sip:1004@198.51.100.1", |contact| uri_of(contact));
    let mut text = format!("{method} {uri} SIP/2.0\r\n");
    via(&mut text, input, from, &branch);
    let to = response.one("To");
    let to = if method == "CANCEL" { to.split(";tag=").next().unwrap_or_default() } else { to };
    let _ = write!(
        text,
        "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
        response.one("From"),
        response.call_id
    );
    extras(&mut text, input);
    body(&mut text, input);
    Some((from, text))
}

/// A request of a callee's in the dialog that our INVITE makes.
fn request_of_callee(world: &World, input: &mut Input<'_>) -> Option<(usize, String)> {
    let place = pick_sent(world, input, |sip| sip.is_request() && sip.method == "INVITE")?;
    let invite = &world.sent[place].sip;
    let from = peer_number(world, place);
    let method = METHODS[[1, 1, 1, 0, 3, 4, 5, 6][input.below(8)]];
    let cseq = 1 + u32::from(input.byte() % 4);
    let mut text = format!("{method} {} SIP/2.0\r\n", invite.contact());
    let branch = format!("z9hG4bKc{method}{cseq}{}", input.byte() % 4);
    via(&mut text, input, from, &branch);
    let _ = write!(
        text,
        "From: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
        invite.one("To"),
        input.pick(&["t0", "t0", "t1"]),
        invite.one("From"),
        invite.call_id
    );
    extras(&mut text, input);
    body(&mut text, input);
    Some((from, text))
}
