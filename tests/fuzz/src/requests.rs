//! Requests of peers: calls, and what belongs to calls that are there.

use crate::choices::{CONTACTS, HOPS, METHODS};
use crate::input::Input;
use crate::peers::{Said, body, extras, peer_number, pick_sent, session};
use crate::sip::Sip;
use crate::world::{NUMBERS, World, peer};
use ringway::sip::NameAddr;
use std::fmt::Write;

fn via(text: &mut String, input: &mut Input<'_>, from: usize, branch: &str) {
    let sent_by = peer(from);
    let rest = input.pick(&[
        ";rport",
        "",
        ";rport",
        ";rport;x=\"a;b,c\"",
        ", SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKp",
        ";received=1.1.1.1",
    ]);
    let _ = write!(text, "Via: SIP/2.0/UDP {sent_by};branch={branch}{rest}\r\n");
}

/// A call's INVITE, or another one that shares something with it.
pub fn invite(world: &World, input: &mut Input<'_>, lines: &str) -> (usize, String) {
    let (from, to) = (input.below(4), input.below(5));
    let variant = [0, 0, 0, 0, 0, 1, 2, 3][input.below(8)];
    // Most are new calls.
    let call = if input.one_in(4) { input.below(6) } else { 10 + world.received.len() };
    let number = NUMBERS.get(to).copied().unwrap_or("%31004");
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
    text.push_str(lines);
    session(&mut text, input);
    extras(&mut text, input);
    body(&mut text, input);
    (from, text)
}

/// A dialog as the peer sees it that got some message.
struct Dialog<'a> {
    peer: usize,
    call_id: &'a str,
    local: String,
    remote: &'a str,
    target: &'a str,
}

/// The dialog of a message that a shard sent.
fn dialog<'a>(world: &'a World, place: usize, input: &mut Input<'_>) -> Dialog<'a> {
    let sip: &Sip = &world.sent[place].sip;
    let contacts = sip.all("Contact");
    // A failure's Contacts are those of a callee, and may be anything.
    let contact = contacts.first().and_then(|contact| NameAddr::parse(contact.as_bytes()).ok());
    let target = contact.and_then(|contact| std::str::from_utf8(contact.uri).ok());
    let (local, remote) = match sip.is_request() {
        true => (sip.one("To"), sip.one("From")),
        false => (sip.one("From"), sip.one("To")),
    };
    // A callee has not said yet which tag is its own.
    let is_first = sip.is_request() && sip.to_tag.is_empty();
    let tag = if is_first { input.pick(&[";tag=t0", ";tag=t0", ";tag=t1", ";tag=t2"]) } else { "" };
    Dialog {
        peer: peer_number(world, place),
        call_id: &sip.call_id,
        local: format!("{local}{tag}"),
        remote,
        target: target.unwrap_or("sip:1004@198.51.100.1"),
    }
}

impl Dialog<'_> {
    /// A request up to CSeq.
    fn request(&self, input: &mut Input<'_>, method: &str, cseq: u32, branch: &str) -> String {
        let mut text = format!("{method} {} SIP/2.0\r\n", self.target);
        via(&mut text, input, self.peer, branch);
        let _ = write!(
            text,
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.local, self.remote, self.call_id
        );
        text
    }
}

/// A number that grows from request to request, whoever sends it; now and then a small one.
fn next_cseq(world: &World, input: &mut Input<'_>) -> u32 {
    match input.one_in(8) {
        true => u32::from(input.byte() % 4),
        false => 10 + world.received.len() as u32,
    }
}

fn next_branch(world: &World, input: &mut Input<'_>) -> String {
    match input.one_in(16) {
        true => format!("z9hG4bKd{}", input.byte() % 4),
        false => format!("z9hG4bKe{}", world.received.len()),
    }
}

/// A request in a dialog that is there, or may be.
pub fn in_dialog(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.is_request() || !sip.to_tag.is_empty())?;
    let dialog = dialog(world, place, input);
    let method = input.pick(&METHODS);
    let (cseq, branch) = (next_cseq(world, input), next_branch(world, input));
    let mut text = dialog.request(input, method, cseq, &branch);
    text.push_str(input.pick(&HOPS));
    if !input.one_in(8) {
        let _ = write!(text, "Contact: {}\r\n", input.pick(&CONTACTS));
    }
    match method {
        "INVITE" | "UPDATE" => session(&mut text, input),
        "REFER" => text.push_str("Refer-To: <sip:1005@h?Replaces=a>\r\n"),
        "NOTIFY" => {
            let referred = world.sent.iter().rev().find(|sent| sent.sip.method == "REFER");
            let number = referred.map_or(1, |sent| sent.sip.cseq);
            let event = input.pick(&["refer;id=", "refer", "refer;x;id=", "presence;id=", "refer;id=\""]);
            let number = if event.ends_with('=') { number.to_string() } else { String::new() };
            let _ = write!(text, "Event: {event}{number}\r\nSubscription-State: active\r\n");
        }
        _ => {}
    }
    extras(&mut text, input);
    body(&mut text, input);
    Some((dialog.peer, text))
}

/// ACK to a final response.
pub fn acknowledgement(world: &mut World, input: &mut Input<'_>) -> Said {
    let is_final = |sip: &Sip| sip.method == "INVITE" && sip.status >= Some(200);
    let place = pick_sent(world, input, is_final)?;
    let sip = &world.sent[place].sip;
    let dialog = dialog(world, place, input);
    let is_of_invite = (sip.status >= Some(300)) != input.one_in(16);
    let branch = if is_of_invite { sip.branch.clone() } else { next_branch(world, input) };
    let mut text = dialog.request(input, "ACK", sip.cseq, &branch);
    extras(&mut text, input);
    body(&mut text, input);
    Some((dialog.peer, text))
}

/// CANCEL of an INVITE, the first one or one in a dialog.
pub fn cancel(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.method == "INVITE" && sip.status.is_some())?;
    let sip = &world.sent[place].sip;
    let mut dialog = dialog(world, place, input);
    if !world.was_asked_in_dialog(sip) {
        dialog.remote = dialog.remote.split(";tag=").next().unwrap_or_default();
    }
    let mut text = dialog.request(input, "CANCEL", sip.cseq, &sip.branch);
    extras(&mut text, input);
    text.push_str("Content-Length: 0\r\n\r\n");
    Some((dialog.peer, text))
}

/// PRACK for a reliable provisional response, or nearly.
pub fn provisional_acknowledgement(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.status.is_some() && sip.has("RSeq"))?;
    let sip = &world.sent[place].sip;
    let dialog = dialog(world, place, input);
    let (cseq, branch) = (next_cseq(world, input), next_branch(world, input));
    let mut text = dialog.request(input, "PRACK", cseq, &branch);
    let rseq = sip.one("RSeq");
    let _ = match input.below(12) {
        0 => write!(text, "RAck: 1 {} INVITE\r\n", sip.cseq),
        1 => write!(text, "RAck: {rseq} {} INVITE\r\n", sip.cseq.wrapping_add(1)),
        2 => write!(text, "RAck: {rseq} {} UPDATE\r\n", sip.cseq),
        3 => write!(text, "RAck: {rseq}\r\n"),
        4 => Ok(()),
        _ => write!(text, "RAck: {rseq} {} INVITE\r\n", sip.cseq),
    };
    extras(&mut text, input);
    body(&mut text, input);
    Some((dialog.peer, text))
}
