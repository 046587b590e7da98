//! Offer and answer (RFC 3264 §4, RFC 6337 §2): we send no second offer in a dialog while one is open, and
//! every offer that came is answered or refused.

use super::Message;
use crate::lab::trace::Way;

/// One exchange as seen by us.
struct Exchange<'a> {
    /// Who offers: `In` is the peer.
    way: Way,
    /// What bears the offer.
    offer: Message<'a>,
    /// Empty for a first INVITE, whose forks each have a dialog.
    remote_tag: &'a str,
}

pub(super) fn obey(messages: &[Message<'_>]) {
    let exchanges: Vec<Exchange<'_>> =
        messages.iter().filter_map(|message| offered(messages, message)).collect();
    for exchange in exchanges.iter().filter(|exchange| exchange.way == Way::Out) {
        for other in &exchanges {
            is_alone(messages, exchange, other);
        }
    }
    for exchange in exchanges.iter().filter(|exchange| exchange.way == Way::In) {
        is_answered(messages, exchange);
    }
}

/// The exchange that this message opens. Responses with an offer are those to an INVITE without one.
fn offered<'a>(messages: &[Message<'a>], message: &Message<'a>) -> Option<Exchange<'a>> {
    let sip = message.sip;
    if !message.has_sdp() || is_repetition(messages, message) {
        return None;
    }
    let remote = |outgoing: bool| if outgoing { sip.to_tag.as_str() } else { sip.from_tag.as_str() };
    let exchange = |remote_tag| Some(Exchange { way: message.way, offer: *message, remote_tag });
    match (sip.is_request(), sip.method.as_str()) {
        (true, "INVITE" | "UPDATE") => exchange(remote(message.way == Way::Out)),
        // With the answer to an offer in a reliable response a PRACK opens nothing.
        (true, "PRACK") if !answers_a_response(messages, message) => {
            exchange(remote(message.way == Way::Out))
        }
        _ => None,
    }
}

fn is_repetition(messages: &[Message<'_>], message: &Message<'_>) -> bool {
    let before = messages.iter().filter(|other| other.place < message.place && other.way == message.way);
    before
        .filter(|other| other.sip.branch == message.sip.branch)
        .any(|other| other.sip.bytes == message.sip.bytes)
}

/// Whether the INVITE that a PRACK belongs to had no offer: then the first PRACK's body is the answer.
fn answers_a_response(messages: &[Message<'_>], prack: &Message<'_>) -> bool {
    let invite = messages.iter().find(|other| {
        other.way == prack.way
            && other.sip.is_request()
            && other.sip.method == "INVITE"
            && other.sip.call_id == prack.sip.call_id
    });
    let earlier = messages.iter().any(|other| {
        other.place < prack.place
            && other.way == prack.way
            && other.sip.is_request()
            && other.sip.method == "PRACK"
            && other.sip.call_id == prack.sip.call_id
            && other.sip.branch != prack.sip.branch
            && other.has_sdp()
    });
    !earlier && invite.is_some_and(|invite| !invite.has_sdp())
}

/// Where the exchange ends for the dialog with this remote tag: at the answer or the refusal.
fn end(messages: &[Message<'_>], exchange: &Exchange<'_>, remote_tag: &str) -> usize {
    let closes = |message: &&Message<'_>| {
        if !exchange.offer.is_answered_by(message) {
            return false;
        }
        let fork = if exchange.way == Way::Out { message.sip.to_tag.as_str() } else { remote_tag };
        let same_dialog = fork == remote_tag;
        let is_reliable = message.sip.all("Require").iter().any(|tags| tags.contains("100rel"));
        match message.status() {
            300.. => true,
            200.. => same_dialog,
            _ => same_dialog && is_reliable && message.has_sdp(),
        }
    };
    messages.iter().find(closes).map_or(usize::MAX, |message| message.place)
}

/// No exchange of the same dialog is open when ours opens.
fn is_alone(messages: &[Message<'_>], ours: &Exchange<'_>, other: &Exchange<'_>) {
    let same_call = ours.offer.sip.call_id == other.offer.sip.call_id;
    let same_dialog = other.remote_tag == ours.remote_tag || other.remote_tag.is_empty();
    if !same_call || !same_dialog || other.offer.place >= ours.offer.place || ours.remote_tag.is_empty() {
        return;
    }
    let is_over = messages.iter().any(|message| {
        let timed_out = message.at_ms >= other.offer.at_ms + 32_000;
        timed_out && other.offer.sip.method != "INVITE" && message.place <= ours.offer.place
    });
    let closed = end(messages, other, ours.remote_tag) < ours.offer.place;
    let texts = || format!("{}\n{}", other.offer.sip.text(), ours.offer.sip.text());
    assert!(closed || is_over, "a second offer while one is open:\n{}", texts());
}

/// A 2xx of ours to an offer has the answer, unless a reliable response had it before.
fn is_answered(messages: &[Message<'_>], exchange: &Exchange<'_>) {
    let offer = &exchange.offer;
    let answers: Vec<&Message<'_>> =
        messages.iter().filter(|message| offer.is_answered_by(message) && message.status() > 100).collect();
    let accepted = answers.iter().find(|answer| (200..300).contains(&answer.status()));
    let Some(accepted) = accepted else { return };
    let is_first = offer.sip.method == "INVITE" && offer.sip.to_tag.is_empty();
    // What a callee leaves out of its answer to a first INVITE is not ours to make up.
    let is_answered = answers.iter().any(|answer| answer.has_sdp());
    assert!(is_first || is_answered, "an offer without an answer:\n{}", accepted.sip.text());
}
