//! Dialogs: tags, CSeq numbers, route sets, and their end (RFC 3261 §12, §15).

use super::Message;
use crate::lab::sip::{Sip, uri_of};
use crate::lab::trace::Way;
use std::collections::HashMap;

pub(super) fn obey(messages: &[Message<'_>]) {
    sequence_numbers_rise_by_one(messages);
    requests_take_their_route(messages);
    nothing_follows_the_end(messages);
}

fn is_ours(message: &&Message<'_>) -> bool {
    message.way == Way::Out && message.sip.is_request()
}

/// CSeq numbers of our requests rise by one within a dialog (RFC 3261 §12.2.1.1); ACK and CANCEL have their
/// INVITE's; our tag never changes.
fn sequence_numbers_rise_by_one(messages: &[Message<'_>]) {
    let mut last: HashMap<(&str, &str), (u32, &str)> = HashMap::new();
    let mut tags: HashMap<&str, &str> = HashMap::new();
    for message in messages.iter().filter(is_ours) {
        let sip = message.sip;
        let tag = *tags.entry(&sip.call_id).or_insert(&sip.from_tag);
        assert_eq!(tag, sip.from_tag, "our tag changed:\n{}", sip.text());
        if ["ACK", "CANCEL"].contains(&sip.method.as_str()) {
            let is_invite = |other: &&Message<'_>| {
                is_ours(other) && other.sip.method == "INVITE" && other.sip.call_id == sip.call_id
            };
            let invites = messages.iter().filter(is_invite);
            assert!(invites.map(|invite| invite.sip.cseq).any(|cseq| cseq == sip.cseq), "{}", sip.text());
            continue;
        }
        // The early dialog and the dialog that it becomes count on from the INVITE that made them.
        let (number, branch) = *last.get(&(sip.call_id.as_str(), "")).unwrap_or(&(0, ""));
        let key = (sip.call_id.as_str(), sip.to_tag.as_str());
        let (number, branch) = *last.get(&key).unwrap_or(&(number, branch));
        let is_repetition = branch == sip.branch || is_earlier(messages, message);
        assert!(is_repetition || sip.cseq > number, "CSeq does not rise:\n{}", sip.text());
        let leaves_out = number != 0 && sip.cseq > number + 1;
        assert!(!leaves_out, "CSeq leaves out a number after {number}:\n{}", sip.text());
        if sip.cseq > number {
            last.insert(key, (sip.cseq, &sip.branch));
        }
    }
}

/// Request-URI and Route of a request to `target` (RFC 3261 §12.2.1.1).
pub(super) fn routed(target: &str, routes: &[String]) -> (String, Vec<String>) {
    match routes.first() {
        Some(first) if !is_loose(uri_of(first)) => {
            let mut rest = routes[1..].to_vec();
            rest.push(format!("<{target}>"));
            (uri_of(first).into(), rest)
        }
        _ => (target.into(), routes.to_vec()),
    }
}

fn is_loose(uri: &str) -> bool {
    uri.split(';').skip(1).any(|param| param.split('=').next() == Some("lr"))
}

/// Our requests take the route that the dialog was made with: towards the caller the INVITE's Record-Route as
/// it stands, towards a callee that of its last response that made the dialog, reversed. Nothing in the
/// dialog changes it (§12.2).
fn requests_take_their_route(messages: &[Message<'_>]) {
    for message in messages.iter().filter(is_ours) {
        let sip = message.sip;
        if sip.to_tag.is_empty() || shares_a_branch(messages, sip) {
            continue;
        }
        let before = || messages.iter().filter(|other| other.place < message.place && other.way == Way::In);
        let of_caller = before().find(|other| {
            let (other, is_request) = (other.sip, other.sip.is_request());
            is_request && other.method == "INVITE" && other.to_tag.is_empty() && other.call_id == sip.call_id
        });
        let makes_dialog = |other: &&Message<'_>| {
            let made = other.is_response(Way::In, "INVITE") && (101..300).contains(&other.status());
            made && other.sip.call_id == sip.call_id
                && other.sip.to_tag == sip.to_tag
                && is_of_a_first_invite(messages, other.sip)
        };
        let of_callee = before().rfind(makes_dialog);
        let routes = match (of_caller, of_callee) {
            (Some(invite), _) => invite.sip.list("Record-Route"),
            (None, Some(answer)) => answer.sip.list("Record-Route").into_iter().rev().collect(),
            (None, None) => continue,
        };
        let (_, expected) = routed("", &routes);
        let mut taken = sip.list("Route");
        if expected.last().is_some_and(|last| last == "<>") {
            // The target, whatever it is by now.
            assert!(taken.pop().is_some(), "no target behind the strict router:\n{}", sip.text());
            assert_eq!(sip.request_uri, uri_of(&routes[0]), "{}", sip.text());
            assert_eq!(taken, expected[..expected.len() - 1], "{}", sip.text());
            continue;
        }
        assert_eq!(taken, expected, "the route:\n{}", sip.text());
    }
}

/// CANCEL and the ACK to a refusal have their INVITE's route, which `branches_are_unique` sees to.
fn shares_a_branch(messages: &[Message<'_>], sip: &Sip) -> bool {
    let is_invite = |other: &Message<'_>| {
        is_ours(&other) && other.sip.method == "INVITE" && other.sip.branch == sip.branch
    };
    sip.method != "INVITE" && messages.iter().any(is_invite)
}

/// Whether the response is to an INVITE of ours that began a call.
fn is_of_a_first_invite(messages: &[Message<'_>], response: &Sip) -> bool {
    messages
        .iter()
        .any(|other| is_ours(&other) && other.sip.branch == response.branch && other.sip.to_tag.is_empty())
}

/// Behind a BYE of either side, or the refusal of the INVITE that began the dialog, no new request of ours
/// but an ACK. A BYE that was refused ended nothing.
fn nothing_follows_the_end(messages: &[Message<'_>]) {
    let mut ended: HashMap<(&str, &str, &str), &Sip> = HashMap::new();
    for message in messages {
        let sip = message.sip;
        let is_to_them = sip.is_request() == (message.way == Way::Out);
        let (own, remote) =
            if is_to_them { (&sip.from_tag, &sip.to_tag) } else { (&sip.to_tag, &sip.from_tag) };
        // A call that was challenged begins again with the same Call-ID and From tag (RFC 3261 §22.2).
        let dialog = (sip.call_id.as_str(), own.as_str(), remote.as_str());
        if is_ours(&message) && sip.method != "ACK" && !is_earlier(messages, message) {
            if let Some(end) = ended.get(&dialog) {
                assert_eq!(end.bytes, sip.bytes, "after the dialog's end:\n{}\n{}", end.text(), sip.text());
            }
            if sip.method == "BYE" {
                ended.insert(dialog, sip);
            }
        }
        let refused = message.is_response(Way::Out, "INVITE")
            && message.status() >= 300
            && messages.iter().any(|other| begins(other, message));
        let byed = message.is_response(Way::Out, "BYE") && message.status() < 300;
        if refused || byed {
            ended.entry(dialog).or_insert(sip);
        }
    }
}

/// Whether the same request was sent before: Timer E goes on after the dialog's end.
fn is_earlier(messages: &[Message<'_>], message: &Message<'_>) -> bool {
    let before = messages.iter().filter(|other| other.place < message.place);
    before.filter(is_ours).any(|other| other.sip.bytes == message.sip.bytes)
}

/// Whether `request` is the INVITE that began what `response` refuses.
fn begins(request: &Message<'_>, response: &Message<'_>) -> bool {
    request.sip.is_request() && request.sip.to_tag.is_empty() && request.is_answered_by(response)
}
