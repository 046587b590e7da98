//! Reliable provisional responses (RFC 3262).

use super::Message;
use crate::lab::sip::Sip;
use crate::lab::trace::Way;
use std::collections::HashMap;

pub(super) fn obey(messages: &[Message<'_>]) {
    for invite in messages.iter().filter(|message| message.is(Way::In, "INVITE")) {
        to_the_asker(messages, invite);
    }
    our_pracks(messages);
}

/// The number of a reliable provisional response.
fn rseq(sip: &Sip) -> Option<u32> {
    let required = requires(sip);
    assert!(!required || sip.has("RSeq"), "reliable without RSeq:\n{}", sip.text());
    required.then(|| sip.one("RSeq").parse().expect("RSeq is a number"))
}

fn lists(sip: &Sip, name: &str) -> bool {
    sip.list(name).iter().any(|tag| tag.trim().eq_ignore_ascii_case("100rel"))
}

fn requires(sip: &Sip) -> bool {
    sip.status.is_some_and(|status| status < 200) && lists(sip, "Require")
}

/// What we send reliably: only to one who asked for it, to one who requires it always, one at a time,
/// numbered by one, repeated until its PRACK and no longer; a 2xx waits for an answer that is unconfirmed
/// (§3).
fn to_the_asker(messages: &[Message<'_>], invite: &Message<'_>) {
    let [required, supported] = ["Require", "Supported"].map(|name| lists(invite.sip, name));
    let mut open: Option<(u32, &Sip)> = None;
    let mut last: Option<(u32, &Sip)> = None;
    for message in messages.iter().filter(|message| message.place > invite.place) {
        if acknowledges(message, invite).is_some_and(|number| open.is_some_and(|(open, _)| open == number)) {
            open = None;
        }
        if !invite.is_answered_by(message) {
            continue;
        }
        let text = message.sip.text();
        let Some(number) = rseq(message.sip) else {
            let unreliable = (101..200).contains(&message.status());
            assert!(!(unreliable && required), "the caller requires 100rel:\n{text}");
            let waits = (200..300).contains(&message.status());
            let held = open.is_some_and(|(_, reliable)| !reliable.body.is_empty());
            assert!(!(waits && held), "a 2xx before the PRACK:\n{text}");
            continue;
        };
        assert!(required || supported, "the caller did not ask for 100rel:\n{text}");
        assert_ne!(message.status(), 100, "100 is never reliable:\n{text}");
        assert!((1..=0x7fff_ffff).contains(&number), "RSeq in\n{text}");
        let is_repetition = last.is_some_and(|(_, last)| last.bytes == message.sip.bytes);
        if is_repetition {
            assert!(open.is_some(), "repeated after its PRACK:\n{text}");
            continue;
        }
        assert!(open.is_none(), "a second one before the first one's PRACK:\n{text}");
        assert!(last.is_none_or(|(last, _)| number == last + 1), "RSeq does not rise by one:\n{text}");
        open = Some((number, message.sip));
        last = open;
    }
}

/// The RSeq that a PRACK to us names, if it is of this INVITE's.
fn acknowledges(message: &Message<'_>, invite: &Message<'_>) -> Option<u32> {
    let sip = message.sip;
    if !message.is(Way::In, "PRACK") || sip.call_id != invite.sip.call_id || !sip.has("RAck") {
        return None;
    }
    let mut parts = sip.one("RAck").split_ascii_whitespace();
    let number = parts.next()?.parse().ok()?;
    let same = parts.next()?.parse() == Ok(invite.sip.cseq) && parts.next()? == "INVITE";
    same.then_some(number)
}

/// Our PRACKs: each names a reliable response that came in its dialog, in order, and none twice (§4). Each
/// that came in order gets one, unless the INVITE is over before.
fn our_pracks(messages: &[Message<'_>]) {
    let mut taken: HashMap<(&str, &str, u32), u32> = HashMap::new();
    let mut named: HashMap<&str, &str> = HashMap::new();
    for message in messages {
        let sip = message.sip;
        if message.is_response(Way::In, "INVITE") && requires(sip) {
            let Some(number) = rseq(sip) else { continue };
            let last = taken.entry((&sip.call_id, &sip.to_tag, sip.cseq)).or_insert(number);
            if number == *last + 1 {
                *last = number;
            }
        }
        if message.is(Way::Out, "PRACK") && named.insert(&sip.branch, sip.one("RAck")).is_none() {
            let parts: Vec<&str> = sip.one("RAck").split(' ').collect();
            let [number, cseq, "INVITE"] = parts[..] else { panic!("RAck in\n{}", sip.text()) };
            let numbers = (number.parse::<u32>(), cseq.parse::<u32>());
            let (Ok(number), Ok(cseq)) = numbers else { panic!("RAck in\n{}", sip.text()) };
            let last = taken.get(&(sip.call_id.as_str(), sip.to_tag.as_str(), cseq)).copied();
            assert!(last.is_some_and(|last| number <= last), "a PRACK of nothing:\n{}", sip.text());
            let twice = messages.iter().any(|other| {
                other.place < message.place
                    && other.is(Way::Out, "PRACK")
                    && (&other.sip.call_id, &other.sip.to_tag) == (&sip.call_id, &sip.to_tag)
                    && other.sip.one("RAck") == sip.one("RAck")
                    && other.sip.branch != sip.branch
            });
            assert!(!twice, "a second PRACK of one response:\n{}", sip.text());
        }
    }
    for ((call_id, to_tag, cseq), last) in taken {
        if !is_followed(messages, call_id, to_tag) {
            continue;
        }
        is_acknowledged(messages, (call_id, to_tag, cseq), last);
    }
}

/// The server follows the first eight early dialogs of an INVITE.
fn is_followed(messages: &[Message<'_>], call_id: &str, to_tag: &str) -> bool {
    let mut tags = Vec::new();
    for message in messages.iter().filter(|message| message.sip.call_id == call_id) {
        let tag = message.sip.to_tag.as_str();
        if message.is_response(Way::In, "INVITE") && message.status() > 100 && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags.iter().take(8).any(|tag| *tag == to_tag)
}

/// The newest response in order got its PRACK, or the INVITE was over.
fn is_acknowledged(messages: &[Message<'_>], (call_id, to_tag, cseq): (&str, &str, u32), last: u32) {
    let of_call = |message: &&Message<'_>| message.sip.call_id == call_id;
    let is_over = |message: &Message<'_>| {
        // A 2xx of its own does not spare it the PRACK, another fork's does.
        let ended = message.status() >= 300 || message.status() >= 200 && message.sip.to_tag != to_tag;
        let ended = ended && message.is_response(Way::In, "INVITE") && message.sip.cseq == cseq;
        ended || message.is(Way::Out, "CANCEL")
    };
    let rack = format!("{last} {cseq} INVITE");
    let is_prack = |message: &Message<'_>| {
        message.is(Way::Out, "PRACK") && message.sip.to_tag == to_tag && message.sip.one("RAck") == rack
    };
    let done = messages.iter().filter(of_call).any(|message| is_over(message) || is_prack(message));
    assert!(done, "never acknowledged: RSeq {last} of {call_id} {to_tag}");
}
