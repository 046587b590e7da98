//! What comes to the server changes what it may and must do: kept for the audit, and judged at the end.

use super::super::audit::{Verdict, is};
use super::audit::Seen;
use super::caller::{names, number_of};
use super::dialog::Stage;
use super::ledger::{Ledger, Use};
use super::party::{Party, branch_of};
use super::view::{In, Out, View};
use ringway::sip::{HeaderName, Method};

/// Nearly 64·T1: what comes later may find that it was given up.
pub const GIVEN_UP_MS: u64 = 31_000;

pub fn arrived(view: &mut View, ledger: &mut Ledger, seen: &Seen<'_>) {
    match seen.message.status() {
        None => request(view, ledger, seen),
        Some(status) => response(view, ledger, seen, status.code()),
    }
}

/// What a response to the last INVITE of a leg says: its status, and whether it rings. A reliable one does so
/// only in its order (RFC 3262 §4).
pub fn of_leg(view: &View, seen: &Seen<'_>) -> Option<(u16, bool)> {
    let message = &seen.message;
    let status = message.status()?.code();
    let invite = view.out.iter().rfind(|out| out.method == Method::Invite && out.tag.is_empty())?;
    if message.method() != Method::Invite || invite.branch != branch_of(message) {
        return None;
    }
    let rseq = number_of(message, HeaderName::RSeq).filter(|_| names(message, HeaderName::Require, "100rel"));
    let side = view.sides.iter().find(|side| side.tag == message.to_tag());
    let last = side.map_or(0, |side| side.rseq_in);
    let in_order = rseq.is_none_or(|rseq| last == 0 || rseq == last + 1);
    Some((status, in_order && matches!(status, 180 | 183)))
}

fn request(view: &mut View, ledger: &Ledger, seen: &Seen<'_>) {
    let message = &seen.message;
    let (method, branch, tag) = (message.method(), branch_of(message), message.from_tag());
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    if view.call_id.is_empty() {
        view.call_id = message.call_id().to_vec();
    }
    let token = ledger.token_of(message.body());
    if method == Method::Ack {
        let accepted = |asked: &&In| {
            asked.method == Method::Invite && asked.cseq == cseq && (200..300).contains(&asked.status)
        };
        let is_accepted = view.incoming.iter().find(accepted).is_some();
        let side = view.side(tag);
        side.acknowledged |= is_accepted;
        let answers = token.and_then(|token| ledger.get(token)).map(|body| body.of);
        if is_accepted && answers.is_some_and(|of| side.offer_out.is_some_and(|out| of == Use::Answer(out))) {
            (side.offer_out, side.settled) = (None, true);
        }
        return;
    }
    if view.incoming.iter().any(|asked| asked.branch == branch && asked.method == method) {
        return;
    }
    if method == Method::Cancel {
        let of_it = |asked: &&mut In| asked.method == Method::Invite && asked.branch == branch;
        if let Some(invite) = view.incoming.iter_mut().find(of_it) {
            invite.cancelled |= invite.status == 0;
        }
    }
    if method == Method::Prack {
        let rack = number_of(message, HeaderName::RAck);
        if let Some((rseq, _, pracked)) = &mut view.rseq_out {
            *pracked |= Some(*rseq) == rack;
        }
    }
    if method == Method::Invite && message.to_tag().is_empty() {
        // Behind a 422 everything begins anew.
        view.tag.clear();
        view.rseq_out = None;
    }
    let describes = matches!(method, Method::Invite | Method::Update | Method::Prack);
    let side = view.side(tag);
    let of = token.and_then(|token| ledger.get(token)).map(|body| body.of);
    let (mut offer, mut conflict) = (None, false);
    match of {
        Some(Use::Answer(to)) if side.offer_out == Some(to) => {
            (side.offer_out, side.settled) = (None, true);
        }
        Some(Use::Offer) if describes && side.is_open() => conflict = true,
        Some(Use::Offer) if describes => {
            side.offer_in = token;
            offer = token;
        }
        _ => {}
    }
    let (branch, tag, inside) = (branch.to_vec(), tag.to_vec(), !message.to_tag().is_empty());
    let arrived_ms = seen.now_ms;
    let (status, hash, cancelled) = (0, 0, false);
    let asked =
        In { branch, method, cseq, tag, token, offer, conflict, arrived_ms, status, hash, cancelled, inside };
    view.incoming.push(asked);
}

fn response(view: &mut View, ledger: &mut Ledger, seen: &Seen<'_>, status: u16) {
    let message = &seen.message;
    let (method, branch) = (message.method(), branch_of(message));
    let Some(number) = view.out.iter().position(|out| out.branch == branch && out.method == method) else {
        return;
    };
    let out = &mut view.out[number];
    out.heard_ms.get_or_insert(seen.now_ms);
    let first = status >= 200 && out.status == 0;
    if first {
        (out.status, out.final_ms) = (status, seen.now_ms);
    }
    let late = |since_ms: u64| seen.now_ms > since_ms + GIVEN_UP_MS;
    let orphans = out.status != 0 && late(out.final_ms) || late(out.sent_ms) && out.final_ms == seen.now_ms;
    let orphans = orphans || out.cancelled_ms.is_some_and(late);
    let (offer, cseq_token) = (out.offer, out.token);
    if let (Some(token), true) = (cseq_token, first) {
        ledger.arrived(token, status, seen.now_ms);
    }
    let token = ledger.token_of(message.body());
    if message.to_tag().is_empty() || !matches!(method, Method::Invite | Method::Update | Method::Prack) {
        return;
    }
    if status >= 300 {
        let tag = message.to_tag().to_vec();
        for side in &mut view.sides {
            if side.offer_out == offer && (side.tag == tag || !view.out[number].tag.is_empty()) {
                side.offer_out = None;
            }
        }
        return;
    }
    let rseq = number_of(message, HeaderName::RSeq).filter(|_| names(message, HeaderName::Require, "100rel"));
    // The body of an offer that has its answer may come again; it is no offer then.
    let repeated = token.is_some_and(|token| view.out[number].offered.contains(&token));
    let side = view.side(message.to_tag());
    if method == Method::Invite && status < 200 {
        let Some(rseq) = rseq else { return };
        if side.rseq_in != 0 && rseq != side.rseq_in + 1 {
            return;
        }
        side.rseq_in = rseq;
    }
    if method == Method::Invite && status >= 200 {
        side.answered = true;
        side.orphaned |= orphans;
    }
    match token.and_then(|token| ledger.get(token)).map(|body| body.of) {
        Some(Use::Answer(to)) if side.offer_out == Some(to) => {
            (side.offer_out, side.settled) = (None, true);
        }
        Some(Use::Offer) if method == Method::Invite && offer.is_none() && !(repeated && side.settled) => {
            side.offer_in = token;
            if status < 200 {
                side.offer_in_18x = token;
            }
            view.out[number].offered.extend(token);
        }
        _ => {}
    }
}

/// The end: everything was answered, and nobody was left behind.
pub fn ended(party: &Party, view: &View, ledger: &Ledger) -> Verdict {
    for asked in view.incoming.iter().filter(|asked| asked.status == 0) {
        let relayed = !matches!(asked.method, Method::Invite | Method::Bye | Method::Cancel);
        is(relayed, "a request without a final response")?;
        let answer_ms = asked.token.and_then(|token| ledger.answer_ms(token));
        let came = answer_ms.is_some_and(|ms| ms < asked.arrived_ms + GIVEN_UP_MS);
        // A PRACK without a body, or with an answer that went to other callees as well: not told from theirs.
        let of = asked.token.and_then(|token| ledger.get(token)).map(|body| body.of);
        if asked.method == Method::Prack && !matches!(of, Some(Use::Offer)) {
            continue;
        }
        is(!came && asked.token.is_some(), "a request without a final response that there was")?;
    }
    for out in view.out.iter().filter(|out| out.method == Method::Invite && out.status != 0) {
        let since_ms = out.cancelled_ms.unwrap_or(out.sent_ms);
        let known =
            out.final_ms < since_ms + GIVEN_UP_MS || out.heard_ms.is_some() && out.cancelled_ms.is_none();
        is(
            out.acks > 0 || !known || out.final_ms >= out.sent_ms + GIVEN_UP_MS,
            "a final response without ACK",
        )?;
    }
    if party.dead || party.forgot {
        return Ok(());
    }
    for dialog in &party.dialogs {
        let side = view.sides.iter().find(|side| side.tag == dialog.local_tag.as_bytes());
        let lost = side.is_none_or(|side| side.bye_sent || side.bye_taken);
        is(dialog.stage != Stage::Confirmed || lost, "a peer was left in the call")?;
        let hangs = side.is_some_and(|side| side.unanswered_ms.is_some());
        is(!hangs, "an offer in a 2xx was never answered")?;
    }
    let Some(invite) = party.invite.map(|number| &party.served[usize::from(number)]) else { return Ok(()) };
    let heard = view.out.iter().rfind(|out| out.method == Method::Invite && out.tag.is_empty());
    let in_time = |out: &Out| out.heard_ms.is_some_and(|ms| ms < out.sent_ms + GIVEN_UP_MS);
    let given_up = heard.is_none_or(|out| !in_time(out) || out.cancelled_ms.is_some());
    is(invite.status >= 200 || given_up, "a callee was left ringing")
}
