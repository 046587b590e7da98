//! What every trace must obey, whatever the test was about (RFC 3261 §8, §9, §12, §13, §17).

mod acks;
mod dialogs;
mod history;
mod legs;
pub mod media;
mod offers;
mod records;
mod reliable;

use super::record::Posted;
use super::sip::{Sip, uri_of};
use super::trace::{Entry, Way};
use ringway::metrics::Metrics;
use std::collections::HashMap;

/// The counters agree with the trace, and nothing happened that no state explains.
pub fn metrics(metrics: &Metrics, trace: &[Entry]) {
    let count = |way| trace.iter().filter(|entry| entry.way == way).count() as u64;
    assert_eq!(metrics.impossible_events, 0, "events that no state explains");
    assert_eq!(metrics.datagrams_received, count(Way::In), "datagrams received");
    assert_eq!(metrics.datagrams_sent, count(Way::Out), "datagrams sent");
    assert_eq!(metrics.calls_started, metrics.calls_ended, "calls started and ended");
}

/// The whole trace obeys the RFC. `t1x64_ms` is 64·T1.
pub fn trace(trace: &[Entry], t1x64_ms: u64) {
    let messages = messages(trace);
    for message in messages.iter().filter(|message| message.way == Way::Out) {
        is_well_formed(message);
        match message.sip.is_request() {
            true => request_is_whole(message),
            false => response_answers_a_request(message, &messages),
        }
    }
    branches_are_unique(&messages);
    each_invite_has_one_final_response(&messages);
    other_requests_have_one_final_response_at_most(&messages, t1x64_ms);
    acks::each_final_response_is_acknowledged(&messages, t1x64_ms);
    cancels_come_in_time(&messages);
    dialogs::obey(&messages);
    legs::obey(&messages, t1x64_ms);
    reliable::obey(&messages);
    offers::obey(&messages);
    media::obey(&messages);
}

/// The records of legs agree with the trace.
pub fn records(trace: &[Entry], posted: &[Posted]) {
    records::tell_what_was(&messages(trace), posted);
}

fn messages(trace: &[Entry]) -> Vec<Message<'_>> {
    (0..trace.len()).filter_map(|place| Message::at(trace, place)).collect()
}

/// A datagram that is a message, and where it stands in the trace.
#[derive(Clone, Copy)]
struct Message<'a> {
    /// Its place in the trace.
    place: usize,
    at_ms: u64,
    way: Way,
    sip: &'a Sip,
}

impl<'a> Message<'a> {
    fn at(trace: &'a [Entry], place: usize) -> Option<Message<'a>> {
        let Entry { at_ms, way, sip, bytes, .. } = &trace[place];
        let text = String::from_utf8_lossy(bytes);
        // What refuses a malformed request copies its header fields all the same (RFC 3261 §8.2.6.2).
        let refuses = || text.starts_with("SIP/2.0 400 ") && trace[place - 1].sip.is_none();
        assert!(sip.is_some() || *way == Way::In || refuses(), "unreadable:\n{text}");
        Some(Message { place, at_ms: *at_ms, way: *way, sip: sip.as_ref()? })
    }

    fn is(&self, way: Way, method: &str) -> bool {
        self.way == way && self.sip.is_request() && self.sip.method == method
    }

    fn is_response(&self, way: Way, method: &str) -> bool {
        self.way == way && !self.sip.is_request() && self.sip.method == method
    }

    /// Whether it bears a session description.
    fn has_sdp(&self) -> bool {
        let types = self.sip.all("Content-Type");
        types.iter().any(|value| value.to_ascii_lowercase().starts_with("application/sdp"))
    }

    /// Whether a response belongs to this request.
    fn is_answered_by(&self, response: &Message<'_>) -> bool {
        response.way != self.way
            && response.status() > 0
            && response.place > self.place
            && response.sip.method == self.sip.method
            && response.sip.branch == self.sip.branch
            && response.sip.call_id == self.sip.call_id
            && response.sip.cseq == self.sip.cseq
    }

    fn status(&self) -> u16 {
        self.sip.status.unwrap_or_default()
    }
}

/// Read here by hand, not by the scanner: lines end in CRLF, each header has a name and a value, those of
/// which there is one stand once, Content-Length is the body's.
fn is_well_formed(message: &Message<'_>) {
    let text = message.sip.text();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of headers:\n{text}"));
    let lines: Vec<&str> = head.split("\r\n").collect();
    for line in &lines {
        assert!(!line.contains(['\r', '\n', '\0']), "a stray line break or NUL in {line:?}:\n{text}");
        assert_eq!(line.trim(), *line, "blanks around a line:\n{text}");
    }
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} in\n{text}"));
        assert!(!name.is_empty() && !name.contains(' ') && !value.is_empty(), "{line:?} in\n{text}");
    }
    for name in ["From", "To", "Call-ID", "CSeq", "Content-Length"] {
        let prefix = format!("{name}: ");
        let count = lines.iter().filter(|line| line.starts_with(&prefix)).count();
        assert_eq!(count, 1, "{name} in\n{text}");
    }
    let length = message.sip.one("Content-Length").parse::<usize>();
    assert_eq!(length, Ok(body.len()), "Content-Length in\n{text}");
    assert_eq!(message.sip.has("Content-Type"), !body.is_empty(), "Content-Type in\n{text}");
    let makes_dialog = message.sip.method == "INVITE" && (message.sip.is_request() || message.status() < 300);
    if makes_dialog && message.status() != 100 {
        assert_eq!(message.sip.all("Contact").len(), 1, "Contact in\n{text}");
    }
}

/// A request of ours: one Via of ours with a branch, tags, Max-Forwards.
fn request_is_whole(message: &Message<'_>) {
    let sip = message.sip;
    let text = sip.text();
    let via = sip.one("Via");
    assert!(via.starts_with("SIP/2.0/UDP "), "{text}");
    assert!(sip.branch.starts_with("z9hG4bK") && sip.branch.len() > 7, "{text}");
    assert!(sip.one("Max-Forwards").parse::<u8>().is_ok(), "{text}");
    assert!(!sip.from_tag.is_empty(), "{text}");
    let may_begin = ["INVITE", "CANCEL"].contains(&sip.method.as_str());
    assert!(may_begin || !sip.to_tag.is_empty(), "To tag in\n{text}");
    assert_eq!(sip.one("CSeq"), format!("{} {}", sip.cseq, sip.method), "{text}");
}

/// A response of ours belongs to a request that came before and was no ACK, and copies what RFC 3261
/// §8.2.6.2 says.
fn response_answers_a_request(message: &Message<'_>, messages: &[Message<'_>]) {
    let sip = message.sip;
    let text = sip.text();
    assert_ne!(sip.method, "ACK", "a response to an ACK:\n{text}");
    let before = messages.iter().filter(|other| other.place < message.place && other.way == Way::In);
    let mut requests = before.filter(|other| other.sip.is_request() && other.sip.method == sip.method);
    let same = |other: &Message<'_>| {
        let request = other.sip;
        request.branch == sip.branch && request.call_id == sip.call_id && request.cseq == sip.cseq
    };
    let Some(request) = requests.find(|other| same(other)) else {
        // A request with a fault is not in the list; its response is a refusal without a dialog.
        assert!((400..600).contains(&message.status()), "a response to nothing:\n{text}");
        return;
    };
    assert_eq!(sip.all("From"), request.sip.all("From"), "{text}");
    assert_eq!(sip.all("Via").len(), request.sip.all("Via").len(), "{text}");
    assert_eq!(sip.all("Via")[1..], request.sip.all("Via")[1..], "{text}");
    let to = sip.one("To");
    assert!(to.starts_with(request.sip.one("To")) && !sip.to_tag.is_empty(), "{text}");
    if !request.sip.to_tag.is_empty() {
        assert_eq!(to, request.sip.one("To"), "{text}");
    }
    // One To tag for all responses to one request, the 200 to its CANCEL included (RFC 3261 §9.2).
    let is_sibling = |other: &&Message<'_>| {
        other.way == Way::Out && !other.sip.is_request() && other.sip.branch == sip.branch && same(other)
    };
    let before = messages.iter().filter(|other| other.place < message.place);
    for sibling in before.filter(is_sibling) {
        assert_eq!(sibling.sip.to_tag, sip.to_tag, "the To tag changed:\n{text}");
    }
}

/// A branch is one transaction: a request and its repetitions byte for byte; CANCEL and the ACK to a
/// non-2xx share their INVITE's (RFC 3261 §8.1.1.7, §9.1, §17.1.1.3).
fn branches_are_unique(messages: &[Message<'_>]) {
    let mut first: HashMap<(&str, &str), &Sip> = HashMap::new();
    for message in messages.iter().filter(|message| message.way == Way::Out && message.sip.is_request()) {
        let sip = message.sip;
        let known = *first.entry((&sip.branch, &sip.method)).or_insert(sip);
        assert_eq!(known.bytes, sip.bytes, "two requests with one branch:\n{}\n{}", known.text(), sip.text());
        match first.get(&(sip.branch.as_str(), "INVITE")) {
            Some(invite) if sip.method != "INVITE" => shares_the_branch_of(invite, sip),
            Some(_) => {}
            None => assert_ne!(sip.method, "CANCEL", "a CANCEL of nothing:\n{}", sip.text()),
        }
    }
    let mut methods: HashMap<&str, Vec<&str>> = HashMap::new();
    for (branch, method) in first.keys() {
        methods.entry(branch).or_default().push(method);
    }
    for (branch, methods) in methods {
        let alone = methods.len() == 1 || methods.contains(&"INVITE");
        assert!(alone, "the branch {branch} is shared by {methods:?}");
    }
}

fn shares_the_branch_of(invite: &Sip, sip: &Sip) {
    let both = format!("{}\n{}", invite.text(), sip.text());
    assert!(["ACK", "CANCEL"].contains(&sip.method.as_str()), "{both}");
    assert_eq!(sip.request_uri, invite.request_uri, "{both}");
    assert_eq!(sip.all("Route"), invite.all("Route"), "{both}");
    for name in ["Via", "From", "Call-ID"] {
        assert_eq!(sip.one(name), invite.one(name), "{both}");
    }
    assert_eq!(sip.cseq, invite.cseq, "{both}");
    assert_eq!(uri_of(sip.one("To")), uri_of(invite.one("To")), "{both}");
    match sip.method.as_str() {
        "CANCEL" => assert_eq!(sip.to_tag, invite.to_tag, "{both}"),
        _ => assert!(!sip.to_tag.is_empty(), "{both}"),
    }
}

/// Every INVITE that came gets one final response; repeated byte for byte, and nothing else after it.
fn each_invite_has_one_final_response(messages: &[Message<'_>]) {
    for invite in messages.iter().filter(|message| message.is(Way::In, "INVITE")) {
        let answers = messages.iter().filter(|message| {
            message.is_response(Way::Out, "INVITE")
                && message.sip.branch == invite.sip.branch
                && message.sip.call_id == invite.sip.call_id
                && message.sip.cseq == invite.sip.cseq
        });
        let mut last: Option<&Sip> = None;
        for answer in answers {
            if let Some(last) = last {
                assert_eq!(last.bytes, answer.sip.bytes, "after the final response:\n{}", last.text());
            }
            if answer.status() >= 200 {
                last = Some(answer.sip);
            }
        }
        assert!(last.is_some(), "an INVITE without a final response:\n{}", invite.sip.text());
    }
}

/// Any other request gets at most one final response while its transaction lives, and no provisional one (RFC
/// 4320 §4.1); an ACK none at all.
fn other_requests_have_one_final_response_at_most(messages: &[Message<'_>], t1x64_ms: u64) {
    let mut answers: HashMap<(&str, &str, u32), &Message<'_>> = HashMap::new();
    let is_answer = |message: &&Message<'_>| {
        message.way == Way::Out && message.status() > 0 && message.sip.method != "INVITE"
    };
    for answer in messages.iter().filter(is_answer) {
        let sip = answer.sip;
        assert!(answer.status() >= 200, "a provisional response to no INVITE:\n{}", sip.text());
        let first = answers.entry((&sip.branch, &sip.call_id, sip.cseq)).or_insert(answer);
        let same = first.sip.method != sip.method || first.sip.status == sip.status;
        // Behind Timer J it is another request.
        let is_over = answer.at_ms >= first.at_ms + t1x64_ms;
        assert!(same || is_over, "after the final response:\n{}\n{}", first.sip.text(), sip.text());
    }
}

/// No CANCEL before a provisional response, none after a final one (RFC 3261 §9.1).
fn cancels_come_in_time(messages: &[Message<'_>]) {
    let mut seen: Vec<&str> = Vec::new();
    for cancel in messages.iter().filter(|message| message.is(Way::Out, "CANCEL")) {
        if seen.contains(&cancel.sip.branch.as_str()) {
            continue;
        }
        seen.push(&cancel.sip.branch);
        let before = messages.iter().filter(|other| {
            other.place < cancel.place
                && other.is_response(Way::In, "INVITE")
                && other.sip.branch == cancel.sip.branch
        });
        let statuses: Vec<u16> = before.map(Message::status).collect();
        assert!(statuses.iter().any(|status| *status < 200), "CANCEL before a provisional response");
        assert!(statuses.iter().all(|status| *status < 200), "CANCEL after a final response: {statuses:?}");
    }
}
