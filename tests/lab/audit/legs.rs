//! The legs of one call, which its Record-ID tells: who answers first wins, all others end (RFC 3261 §9.1,
//! §16.7 steps 5 and 10).

use super::{Message, history, media};
use crate::lab::trace::Way;
use std::collections::HashMap;

/// One INVITE of ours that began a leg.
struct Leg<'a> {
    invite: Message<'a>,
    /// What came for it, in order: provisional and final responses.
    responses: Vec<Message<'a>>,
}

/// A call: the INVITE that began it and its legs.
struct Call<'a> {
    invite: Message<'a>,
    legs: Vec<Leg<'a>>,
}

pub(super) fn obey(messages: &[Message<'_>], t1x64_ms: u64) {
    for call in calls(messages) {
        for leg in &call.legs {
            history::agrees(call.invite.sip, leg.invite.sip);
        }
        let over = messages.iter().find(|message| {
            message.is_response(Way::Out, "INVITE")
                && message.status() >= 200
                && call.invite.is_answered_by(message)
        });
        let Some(over) = over else { continue };
        no_leg_begins_after_the_end(&call, over);
        for leg in &call.legs {
            is_cancelled_in_time(messages, leg, over, t1x64_ms);
        }
        one_leg_wins(messages, &call);
        legs_are_alike(&call);
    }
}

/// The calls of a trace. A leg belongs to the INVITE that came last before the first with its Record-ID.
fn calls<'a>(messages: &[Message<'a>]) -> Vec<Call<'a>> {
    let mut calls: Vec<Call<'a>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut begun = None;
    let mut branches: Vec<&str> = Vec::new();
    for message in messages {
        if message.is(Way::In, "INVITE") && message.sip.to_tag.is_empty() {
            begun = Some(*message);
        }
        let is_leg = message.is(Way::Out, "INVITE") && message.sip.to_tag.is_empty();
        if !is_leg || branches.contains(&message.sip.branch.as_str()) {
            continue;
        }
        branches.push(&message.sip.branch);
        let Some(invite) = begun else { continue };
        let place = *places.entry(message.sip.one("Record-ID")).or_insert_with(|| {
            calls.push(Call { invite, legs: Vec::new() });
            calls.len() - 1
        });
        let ours = |other: &&Message<'a>| {
            message.is_answered_by(other) && other.sip.from_tag == message.sip.from_tag
        };
        let responses = messages.iter().filter(ours).copied().collect();
        calls[place].legs.push(Leg { invite: *message, responses });
    }
    calls
}

fn no_leg_begins_after_the_end(call: &Call<'_>, over: &Message<'_>) {
    for leg in &call.legs {
        let text = leg.invite.sip.text();
        assert!(leg.invite.place < over.place, "a leg after the final response:\n{text}");
    }
}

/// A leg that is not over when the caller gets its final response is cancelled, then or at its first
/// provisional response.
fn is_cancelled_in_time(messages: &[Message<'_>], leg: &Leg<'_>, over: &Message<'_>, t1x64_ms: u64) {
    let invite = &leg.invite;
    let ended = leg.responses.iter().find(|response| response.status() >= 200);
    let heard = leg.responses.iter().find(|response| response.status() < 200);
    let Some(heard) = heard.filter(|heard| ended.is_none_or(|ended| heard.place < ended.place)) else {
        return;
    };
    let is_over = ended.is_some_and(|ended| ended.place < over.place);
    // Timer B has given up an INVITE that nobody had answered.
    if is_over || heard.at_ms >= invite.at_ms + t1x64_ms {
        return;
    }
    let by = over.at_ms.max(heard.at_ms);
    let cancel = messages.iter().find(|other| {
        other.is(Way::Out, "CANCEL") && other.sip.branch == invite.sip.branch && other.at_ms <= by
    });
    let before_it_ended = |cancel: &&Message<'_>| ended.is_none_or(|ended| cancel.place < ended.place);
    let crossed = ended.is_some_and(|ended| ended.at_ms <= by && ended.place > over.place);
    let text = invite.sip.text();
    assert!(cancel.filter(before_it_ended).is_some() || crossed, "it rings on after the end:\n{text}");
}

/// Of all dialogs of all legs that were answered one may go on; all others get BYE as soon as they are
/// answered.
fn one_leg_wins(messages: &[Message<'_>], call: &Call<'_>) {
    let mut going_on: Vec<&Message<'_>> = Vec::new();
    for leg in &call.legs {
        let mut tags: Vec<&str> = Vec::new();
        for answer in leg.responses.iter().filter(|response| (200..300).contains(&response.status())) {
            if tags.contains(&answer.sip.to_tag.as_str()) {
                continue;
            }
            tags.push(&answer.sip.to_tag);
            let is_byed = messages.iter().any(|other| {
                other.is(Way::Out, "BYE")
                    && other.sip.call_id == answer.sip.call_id
                    && other.sip.to_tag == answer.sip.to_tag
                    && other.at_ms == answer.at_ms
                    && messages.iter().all(|between| {
                        between.way == Way::Out || !(answer.place + 1..other.place).contains(&between.place)
                    })
            });
            if !is_byed {
                going_on.push(answer);
            }
        }
    }
    let texts: Vec<String> = going_on.iter().map(|answer| answer.sip.text()).collect();
    assert!(going_on.len() < 2, "two that answered go on:\n{}", texts.join("\n"));
}

/// Each leg has a Call-ID, tag and branch of its own, and the caller's body.
fn legs_are_alike(call: &Call<'_>) {
    for (number, leg) in call.legs.iter().enumerate() {
        let sip = leg.invite.sip;
        let is_same = media::is_same_session(&sip.body, &call.invite.sip.body);
        assert!(is_same, "{}\n{}", sip.text(), call.invite.sip.text());
        assert_eq!(sip.one("To"), format!("<{}>", sip.request_uri), "{}", sip.text());
        for other in call.legs[..number].iter().map(|leg| leg.invite.sip) {
            let both = || format!("{}\n{}", sip.text(), other.text());
            // A 422 has the same leg tried again.
            let is_again = sip.call_id == other.call_id;
            assert_eq!(is_again, sip.from_tag == other.from_tag, "{}", both());
            assert!(!is_again || sip.cseq > other.cseq && sip.request_uri == other.request_uri, "{}", both());
        }
    }
}
