//! The records of legs that ended (CDR): one for each leg and for each caller's INVITE that got a 100, and
//! what they say is what the trace shows.

use super::Message;
use crate::lab::STARTED;
use crate::lab::record::Posted;
use crate::lab::trace::Way;
use ringway::mail::{Cause, EndedBy, EndedLeg};
use std::collections::HashMap;

pub(super) fn tell_what_was(messages: &[Message<'_>], posted: &[Posted]) {
    let mut wanted: HashMap<(&str, bool), usize> = HashMap::new();
    for (_, call_id) in legs(messages) {
        wanted.insert((call_id, false), 1);
    }
    for invite in callers(messages) {
        *wanted.entry((&invite.sip.call_id, true)).or_default() += 1;
    }
    let mut told: HashMap<(&str, bool), usize> = HashMap::new();
    for Posted { leg, .. } in posted {
        *told.entry((leg.names.call_id(), leg.leg == 0)).or_default() += 1;
    }
    assert_eq!(told, wanted, "records by Call-ID, of callers or not: left those that were posted");
    for (place, record) in posted.iter().enumerate() {
        let leg = &record.leg;
        times_are_in_order(record);
        let is_caller = leg.leg == 0;
        match is_caller {
            true => tells_of_the_caller(messages, record),
            false => tells_of_a_leg(messages, record),
        }
        let siblings = || posted.iter().filter(|other| other.leg.names.record_id() == leg.names.record_id());
        let mut numbers: Vec<u16> = siblings().map(|other| other.leg.leg).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u16), "{numbers:?}");
        let is_last =
            !posted[place + 1..].iter().any(|other| other.leg.names.record_id() == leg.names.record_id());
        assert_eq!(is_last, is_caller, "the caller's comes last, and once: {numbers:?}");
        let caller = siblings().find(|other| other.leg.leg == 0).expect("the caller's");
        chain_leads_to_it(leg, &caller.leg);
        ended_by_whom_the_trace_shows(messages, record, siblings().collect());
    }
}

/// The first INVITE of each leg, by Call-ID.
fn legs<'a>(messages: &[Message<'a>]) -> Vec<(Message<'a>, &'a str)> {
    let mut found: Vec<(Message<'a>, &str)> = Vec::new();
    for message in messages.iter().filter(|m| m.is(Way::Out, "INVITE") && m.sip.to_tag.is_empty()) {
        if !found.iter().any(|(_, call_id)| *call_id == message.sip.call_id) {
            found.push((*message, &message.sip.call_id));
        }
    }
    found
}

/// The callers' INVITEs that got a 100, each once. One that comes again when its call is long over begins
/// another, with another tag of ours.
fn callers<'a>(messages: &[Message<'a>]) -> Vec<Message<'a>> {
    let mut tags: Vec<(&str, &str)> = Vec::new();
    let mut found = Vec::new();
    for trying in messages.iter().filter(|m| m.is_response(Way::Out, "INVITE") && m.status() == 100) {
        let asks = |m: &&Message<'_>| m.is(Way::In, "INVITE") && m.is_answered_by(trying);
        let Some(invite) = messages.iter().filter(asks).max_by_key(|m| m.place) else { continue };
        let tag = (invite.sip.call_id.as_str(), trying.sip.to_tag.as_str());
        if invite.sip.to_tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
            found.push(*invite);
        }
    }
    found
}

fn unix_ms(at_ms: u64) -> u64 {
    STARTED.0 * 1_000 + at_ms
}

fn times_are_in_order(record: &Posted) {
    let leg = &record.leg;
    let times = [Some(leg.setup_at), leg.ring_at, leg.answer_at, Some(leg.end_at)];
    let times: Vec<u64> = times.into_iter().flatten().collect();
    assert!(times.is_sorted() && leg.end_at <= unix_ms(record.at_ms), "{leg:#?}");
}

fn chain_leads_to_it(leg: &EndedLeg, caller: &EndedLeg) {
    // A URI's own semicolons are escaped.
    let own = |text: &str| text.replace(';', "%3B");
    let parts: Vec<&str> = leg.names.chain().split(';').collect();
    if leg.names.chain().is_empty() {
        return assert_eq!(leg.names.called(), caller.names.called(), "{leg:#?}");
    }
    assert!(parts.len() % 2 == 1 && parts.len() > 1 && *parts[0] == own(caller.names.called()), "{leg:#?}");
    assert!(caller.names.chain().starts_with(leg.names.chain()), "{leg:#?}\n{caller:#?}");
    if leg.leg > 0 {
        assert_eq!(parts.last(), Some(&&*own(leg.names.called())), "{leg:#?}");
    }
}

/// The caller's record agrees with its INVITE and the final response that went out.
fn tells_of_the_caller(messages: &[Message<'_>], record: &Posted) {
    let leg = &record.leg;
    let same = |m: &&Message<'_>| m.sip.call_id == leg.names.call_id() && unix_ms(m.at_ms) == leg.setup_at;
    let callers = callers(messages);
    let finals: Vec<(u16, u64)> = callers
        .iter()
        .filter(same)
        .filter_map(|invite| {
            let end = messages.iter().find(|m| {
                m.is_response(Way::Out, "INVITE") && m.status() >= 200 && invite.is_answered_by(m)
            })?;
            Some((end.status(), unix_ms(end.at_ms)))
        })
        .collect();
    let told = (leg.status, leg.answer_at.unwrap_or(leg.end_at));
    assert!(finals.contains(&told), "{finals:?} {leg:#?}");
    assert_eq!(leg.answer_at.is_some(), (200..300).contains(&leg.status), "{leg:#?}");
}

/// A callee's record agrees with its INVITE and what came for it.
fn tells_of_a_leg(messages: &[Message<'_>], record: &Posted) {
    let leg = &record.leg;
    let ours = || messages.iter().filter(|m| m.sip.call_id == leg.names.call_id() && m.place < record.place);
    let invites: Vec<&Message<'_>> =
        ours().filter(|m| m.is(Way::Out, "INVITE") && m.sip.to_tag.is_empty()).collect();
    let (first, last) = (invites[0], invites[invites.len() - 1]);
    assert_eq!(unix_ms(first.at_ms), leg.setup_at, "{leg:#?}");
    assert_eq!(first.sip.one("Record-ID"), leg.names.record_id(), "{leg:#?}");
    // Each repetition of it is the same.
    let last = invites.iter().find(|invite| invite.sip.cseq == last.sip.cseq).expect("itself");
    let of_last = || ours().filter(|m| last.is_answered_by(m) && m.sip.from_tag == last.sip.from_tag);
    let end = of_last().find(|m| m.status() >= 200);
    assert_eq!(leg.status, end.map_or(0, Message::status), "{leg:#?}");
    assert_eq!(leg.answer_at.is_some(), (200..300).contains(&leg.status), "{leg:#?}");
    if let (Some(end), Some(answer_at)) = (end, leg.answer_at) {
        assert_eq!(unix_ms(end.at_ms), answer_at, "{leg:#?}");
    } else if let Some(end) = end {
        assert_eq!(unix_ms(end.at_ms), leg.end_at, "{leg:#?}");
    }
    let is_ringing = |m: &&Message<'_>| [180, 183].contains(&m.status());
    let rang = of_last().filter(is_ringing).any(|m| Some(unix_ms(m.at_ms)) == leg.ring_at);
    assert!(rang || leg.ring_at.is_none(), "{leg:#?}");
}

/// Whoever is said to have ended it did: its CANCEL, BYE or final response is in the trace.
fn ended_by_whom_the_trace_shows(messages: &[Message<'_>], record: &Posted, siblings: Vec<&Posted>) {
    let leg = &record.leg;
    let caller = siblings.iter().find(|other| other.leg.leg == 0).expect("the caller's");
    let by_then = |m: &Message<'_>| m.place < record.place && unix_ms(m.at_ms) <= leg.end_at;
    let caller_ends = |method| {
        messages
            .iter()
            .any(|m| by_then(m) && m.is(Way::In, method) && m.sip.call_id == caller.leg.names.call_id())
    };
    let of_leg =
        |m: &Message<'_>| siblings.iter().any(|o| o.leg.leg > 0 && m.sip.call_id == o.leg.names.call_id());
    let callee_byes = messages.iter().any(|m| by_then(m) && m.is(Way::In, "BYE") && of_leg(m));
    let refuses = |m: &Message<'_>| m.is_response(Way::In, "INVITE") && m.status() >= 300 && of_leg(m);
    let callee_refuses = messages.iter().any(|m| by_then(m) && refuses(m));
    let is_shown = match (leg.ended_by, leg.cause) {
        (EndedBy::Caller, Cause::Cancel) => caller_ends("CANCEL"),
        (EndedBy::Caller, Cause::Bye) => caller_ends("BYE"),
        (EndedBy::Callee, Cause::Bye) => callee_byes,
        (EndedBy::Callee, Cause::Rejected | Cause::Redirected) => callee_refuses,
        (EndedBy::Caller | EndedBy::Callee, _) => false,
        // What we end no party has ended: the BYE of a call that both wanted to end comes later.
        (EndedBy::Server, Cause::Bye | Cause::Cancel | Cause::Rejected) => false,
        (EndedBy::Server, _) if leg.leg == 0 && leg.answer_at.is_some() => {
            let end = leg.end_at;
            !messages.iter().any(|m| {
                m.is(Way::In, "BYE")
                    && m.sip.call_id == leg.names.call_id()
                    && unix_ms(m.at_ms) < end
                    && by_then(m)
            })
        }
        (EndedBy::Server, _) => true,
    };
    assert!(is_shown, "{leg:#?}");
}
