//! What every message of the server's must obey, checked as it leaves, and what comes in (RFC 3261 §8, §9,
//! §12 to §15, §17; RFC 3262; RFC 3264; RFC 3311; RFC 6337).

use super::super::audit::{Verdict, is};
use super::super::setup::hop_of;
use super::heard::GIVEN_UP_MS;
use super::ledger::{Ledger, Use};
use super::party::{Party, branch_of};
use super::script::Reliable;
use super::view::{In, Out, Side, View};
use ringway::sip::{HeaderName, Message, Method};
use std::net::SocketAddr;

/// A message, and when.
pub struct Seen<'a> {
    pub message: Message<'a>,
    pub hash: u64,
    pub now_ms: u64,
}

/// What the rules are about.
pub struct About<'a> {
    pub party: &'a Party,
    pub view: &'a mut View,
    pub ledger: &'a mut Ledger,
    /// The caller has its final response, or has cancelled.
    pub search_over: bool,
    /// Proxies before each peer, by its place; the caller's is the last.
    pub caller_proxies: u8,
}

/// Statuses that the server gives of its own accord in a dialog.
const OWN: [u16; 11] = [400, 408, 420, 422, 481, 483, 487, 491, 500, 503, 504];

pub fn well_formed(message: &Message<'_>) -> Verdict {
    let length = message.header(HeaderName::ContentLength).and_then(|text| std::str::from_utf8(text).ok());
    is(length.and_then(|text| text.parse().ok()) == Some(message.body().len()), "Content-Length")?;
    is(message.has(HeaderName::ContentType) != message.body().is_empty(), "Content-Type")?;
    if message.is_request() {
        is(message.values(HeaderName::Via).count() == 1, "one Via")?;
        is(message.max_forwards().is_some(), "Max-Forwards")?;
        is(!message.from_tag().is_empty(), "From tag")?;
        let branch = branch_of(message);
        is(branch.starts_with(b"z9hG4bK") && branch.len() > 7, "branch")?;
    }
    let status = message.status().map_or(0, |status| status.code());
    let has_target = matches!(message.method(), Method::Invite | Method::Update);
    if has_target && status < 300 && status != 100 {
        is(message.values(HeaderName::Contact).count() == 1, "Contact")?;
    }
    Ok(())
}

/// A request of the server's leaves.
pub fn request(about: &mut About<'_>, seen: &Seen<'_>, destination: SocketAddr) -> Verdict {
    let message = &seen.message;
    well_formed(message)?;
    let outside = message.to_tag().is_empty() || message.method() == Method::Ack;
    let first_hop = destination == about.party.edge() || outside && destination == about.party.address;
    is(first_hop, "not to the first hop")?;
    let (method, branch) = (message.method(), branch_of(message));
    if method == Method::Ack {
        return ack(about, seen);
    }
    let view = &mut *about.view;
    if let Some(before) = view.out.iter_mut().find(|out| out.branch == branch && out.method == method) {
        is(before.status == 0 || method == Method::Invite, "again behind its final response")?;
        return is(before.hash == seen.hash, "a repetition that differs");
    }
    if method == Method::Cancel {
        return cancel(about, seen);
    }
    let outside = message.to_tag().is_empty();
    let forgotten = |side: &&mut Side| side.orphaned && side.tag == message.to_tag();
    if let Some(side) = view.sides.iter_mut().find(forgotten).filter(|_| method == Method::Bye) {
        (side.bye_sent, side.unanswered_ms) = (true, None);
        return Ok(());
    }
    if outside {
        first_invite(about, seen)?;
    } else {
        inside(about, seen)?;
    }
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let invited = about.view.out.last().map_or(0, |out| out.cseq);
    let highest = if outside { invited } else { about.view.side(message.to_tag()).cseq_out };
    is(cseq > highest, "CSeq does not rise")?;
    is(about.view.out.iter().all(|out| out.branch != branch), "a branch used twice")?;
    let token = body(about, message)?;
    let tag = message.to_tag().to_vec();
    let mut offer = token.filter(|_| matches!(method, Method::Invite | Method::Update | Method::Prack));
    if !outside {
        let cancelled = about.view.out.iter().any(|out| out.cancelled_ms.is_some() && out.tag.is_empty());
        let side = about.view.side(&tag);
        offer = offering(about.ledger, (side, cancelled), (method, token, offer))?;
        side.bye_sent |= method == Method::Bye;
        if side.bye_sent && side.unanswered_ms == Some(seen.now_ms) {
            side.unanswered_ms = None;
        }
        side.cseq_out = cseq;
    }
    let view = &mut *about.view;
    view.out.push(Out {
        branch: branch.to_vec(),
        method,
        cseq,
        hash: seen.hash,
        tag,
        offer,
        token,
        sent_ms: seen.now_ms,
        cancelled_ms: None,
        heard_ms: None,
        status: 0,
        final_ms: 0,
        acks: 0,
        offered: Vec::new(),
    });
    Ok(())
}

/// What a request in a dialog offers or answers: no offer while one is open. The offer.
fn offering(
    ledger: &Ledger,
    (side, cancelled): (&mut Side, bool),
    (method, token, offer): (Method, Option<u32>, Option<u32>),
) -> Verdict<Option<u32>> {
    // What came by UPDATE is no business of a PRACK's.
    let in_18x = side.offer_in.filter(|_| side.offer_in == side.offer_in_18x);
    match (method, in_18x, token) {
        (Method::Prack, Some(_), Some(token)) => {
            // Another fork's offer gets the answer that the caller gave to the first.
            let of = ledger.get(token).map(|body| body.of);
            is(matches!(of, Some(Use::Answer(_))), "answer in PRACK")?;
            (side.offer_in, side.settled) = (None, true);
            return Ok(None);
        }
        // Who is cancelled has nothing to send media to.
        (Method::Prack, Some(_), None) if cancelled => {}
        (Method::Prack, Some(_), None) => return Err("a PRACK without the answer to the offer"),
        _ if offer.is_some() => {
            is(!side.is_open(), "an offer while another is open")?;
            side.offer_out = offer;
        }
        (Method::Invite, ..) => is(!side.is_open(), "an INVITE for an offer while one is open")?,
        _ => {}
    }
    Ok(offer)
}

/// RFC 3327 §5.2; RFC 3261 §9.1, §17.1.1.3: a leg's INVITE follows the path of its binding, and what is hop
/// by hop with it.
pub fn follows_path(has_path: bool, party: &Party, view: &View, message: &Message<'_>) -> Verdict {
    let branch = branch_of(message);
    let invite = view.out.iter().find(|out| out.branch == branch && out.method == Method::Invite);
    let is_leg = invite.is_some_and(|invite| invite.tag.is_empty());
    if !is_leg {
        return Ok(());
    }
    let wanted = has_path.then(|| format!("<sip:{};lr>", party.address));
    let mut routes = message.values(HeaderName::Route);
    let is_right = routes.next() == wanted.as_ref().map(String::as_bytes) && routes.next().is_none();
    is(is_right, "Route towards a path")
}

/// The INVITE of a leg, or the one behind its 422.
fn first_invite(about: &mut About<'_>, seen: &Seen<'_>) -> Verdict {
    let message = &seen.message;
    is(message.method() == Method::Invite, "a request outside a dialog")?;
    is(!about.search_over, "an INVITE when the search is over")?;
    let hop = usize::from(hop_of(about.party.place));
    is(message.values(HeaderName::Diversion).count() == hop, "Diversion")?;
    is(message.max_forwards() == Some(69 - about.caller_proxies), "Max-Forwards of a leg")?;
    let view = &mut *about.view;
    match view.out.last() {
        None => {
            view.call_id = message.call_id().to_vec();
            view.tag = message.from_tag().to_vec();
        }
        Some(before) => is(before.status == 422, "a second INVITE to a leg")?,
    }
    is(
        view.call_id == message.call_id() && view.tag == message.from_tag(),
        "Call-ID and tag of a leg changed",
    )
}

fn inside(about: &mut About<'_>, seen: &Seen<'_>) -> Verdict {
    let (message, method) = (&seen.message, seen.message.method());
    routed(about.party, message)?;
    let view = &mut *about.view;
    is(view.call_id == message.call_id(), "the dialog's Call-ID changed")?;
    is(view.tag == message.from_tag(), "our tag changed")?;
    is(view.has_side(message.to_tag()), "a request in a dialog that never was")?;
    let unanswered = |out: &&Out| out.method == Method::Invite && out.status == 0 && !out.tag.is_empty();
    // RFC 3261 §9.1: cancelled, and nobody has answered for 64·T1.
    let given_up = |out: &&Out| out.cancelled_ms.is_some_and(|ms| seen.now_ms > ms + GIVEN_UP_MS);
    // Timer F: an UPDATE that nobody has answered for so long.
    let timed_out =
        |out: &&Out| out.method == Method::Update && out.status == 0 && seen.now_ms >= out.sent_ms + 32_000;
    let given_up_invites = view.out.iter().filter(unanswered).filter(given_up);
    let dropped = given_up_invites.chain(view.out.iter().filter(timed_out)).map(|out| out.offer);
    let dropped: Vec<_> = dropped.filter(Option::is_some).collect();
    let side = view.side(message.to_tag());
    if dropped.contains(&side.offer_out) {
        side.offer_out = None;
    }
    if method == Method::Invite {
        let pending = |out: &Out| unanswered(&out) && !given_up(&out);
        is(!view.out.iter().any(pending), "an INVITE while one is pending")?;
        let asked = |asked: &In| asked.method == Method::Invite && asked.status == 0;
        is(!view.incoming.iter().any(asked), "an INVITE while the peer's is pending")?;
    }
    if method == Method::Prack {
        let rack = message.header(HeaderName::RAck).unwrap_or_default();
        let rack = String::from_utf8_lossy(rack).into_owned();
        let invite = view.out.iter().find(|out| out.method == Method::Invite && out.tag.is_empty());
        let cseq = invite.map_or(0, |invite| invite.cseq);
        let latest = view.out.iter().rev().find(|out| out.method == Method::Invite && out.tag.is_empty());
        let cseq = latest.map_or(cseq, |latest| latest.cseq);
        let side = view.side(message.to_tag());
        is(rack == format!("{} {cseq} INVITE", side.rseq_in), "RAck")?;
        is(side.rseq_acked < side.rseq_in, "a PRACK twice")?;
        side.rseq_acked = side.rseq_in;
    }
    let side = view.side(message.to_tag());
    is(!side.bye_sent && !side.bye_taken, "a new request in a dialog that has ended")?;
    is(method != Method::Bye || side.acknowledged || side.answered, "a BYE in a dialog that is not confirmed")
}

/// Request-URI and Route of a request in a dialog (RFC 3261 §12.2.1.1).
pub fn routed(party: &Party, message: &Message<'_>) -> Verdict {
    let uri = String::from_utf8_lossy(message.request_uri()).into_owned();
    let route = |number| {
        let lr = if party.strict { "" } else { ";lr" };
        format!("sip:r{:08x}@{}{lr}", party.call, party.proxy(number))
    };
    let mut wanted: Vec<String> = (1..=party.proxies).map(route).collect();
    let mut routes = Vec::new();
    for value in message.values(HeaderName::Route) {
        let text = String::from_utf8_lossy(value).into_owned();
        routes.extend(text.split(',').map(|route| route.trim().trim_matches(['<', '>']).to_owned()));
    }
    let contact = if party.strict && party.proxies > 0 {
        is(uri == wanted.remove(0), "Request-URI towards a strict router")?;
        routes.pop().unwrap_or_default()
    } else {
        uri
    };
    is(routes == wanted, "Route")?;
    let own = party
        .dialogs
        .iter()
        .any(|dialog| contact.starts_with(dialog.contact.split(';').next().unwrap_or("")));
    is(own, "not the remote target")
}

fn cancel(about: &mut About<'_>, seen: &Seen<'_>) -> Verdict {
    let message = &seen.message;
    let branch = branch_of(message);
    let found = about.view.out.iter_mut().find(|out| out.branch == branch && out.method == Method::Invite);
    let invite = found.ok_or("a CANCEL of nothing")?;
    is(message.cseq().is_some_and(|cseq| cseq.number == invite.cseq), "CSeq of a CANCEL")?;
    if invite.cancelled_ms.is_none() {
        is(invite.heard_ms.is_some(), "a CANCEL before any response")?;
        is(invite.status == 0, "a CANCEL behind the final response")?;
    }
    invite.cancelled_ms.get_or_insert(seen.now_ms);
    Ok(())
}

fn ack(about: &mut About<'_>, seen: &Seen<'_>) -> Verdict {
    let message = &seen.message;
    let branch = branch_of(message);
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let view = &mut *about.view;
    let found = view.out.iter_mut().find(|out| out.method == Method::Invite && out.cseq == cseq);
    let invite = found.ok_or("an ACK to nothing")?;
    invite.acks += 1;
    if invite.status >= 300 {
        is(invite.branch == branch, "the branch of an ACK")?;
        return is(message.body().is_empty(), "a body in the ACK to a refusal");
    }
    is(invite.status >= 200, "an ACK to no final response")?;
    is(invite.branch != branch, "the INVITE's branch in the ACK to a 2xx")?;
    let offered = invite.offered.clone();
    let token = about.ledger.token_of(message.body());
    is(token.is_some() != message.body().is_empty(), "a body that nobody wrote")?;
    let side = about.view.side(message.to_tag());
    // A 2xx that comes again when the call is over finds no route set any more.
    if !side.bye_sent && !side.bye_taken {
        routed(about.party, message)?;
    }
    is(side.answered, "an ACK in a dialog without a 2xx")?;
    side.acknowledged = true;
    // An ACK said again, or to an older 2xx, has nothing to do with a later offer.
    match (side.offer_in.filter(|open| offered.contains(open)), token) {
        (Some(open), Some(token))
            if about.ledger.get(token).map(|body| body.of) == Some(Use::Answer(open)) =>
        {
            (side.offer_in, side.settled) = (None, true);
            Ok(())
        }
        (None, None) => Ok(()),
        // Said again.
        (None, Some(token)) => {
            let answers = matches!(about.ledger.get(token).map(|body| body.of), Some(Use::Answer(_)));
            is(answers, "an ACK with a description that nobody asked for")
        }
        // Who has lost gets a BYE instead.
        (Some(_), None) => {
            side.unanswered_ms = Some(seen.now_ms).filter(|_| !side.bye_sent && !side.bye_taken);
            Ok(())
        }
        _ => Err("an ACK with another offer's answer"),
    }
}

/// A body comes from the other side, as it was.
fn body(about: &About<'_>, message: &Message<'_>) -> Verdict<Option<u32>> {
    if message.body().is_empty() {
        return Ok(None);
    }
    let token = about.ledger.token_of(message.body()).ok_or("a body that nobody wrote")?;
    let body = about.ledger.get(token).ok_or("a body of nobody")?;
    is(body.from != about.party.place, "a peer's own body came back")?;
    Ok(Some(token))
}

/// A response of the server's leaves.
pub fn response(about: &mut About<'_>, seen: &Seen<'_>, destination: SocketAddr) -> Verdict {
    let (message, status) = (&seen.message, seen.message.status().map_or(0, |status| status.code()));
    well_formed(message)?;
    is(destination == about.party.edge(), "a response that goes elsewhere")?;
    let (method, branch) = (message.method(), branch_of(message));
    let view = &mut *about.view;
    let found = view.incoming.iter().position(|asked| asked.branch == branch && asked.method == method);
    let number = found.ok_or("a response to nothing")?;
    let asked = &mut view.incoming[number];
    is(message.cseq().is_some_and(|cseq| cseq.number == asked.cseq), "CSeq of a response")?;
    is(message.from_tag() == asked.tag, "From tag of a response")?;
    if asked.status == 481 && asked.hash != seen.hash {
        // What is in no dialog yet is not remembered; the dialog may have come since.
        asked.status = 0;
    }
    // Timer J: after 64·T1 nothing is remembered.
    if asked.status != 0 && asked.hash != seen.hash && seen.now_ms > asked.arrived_ms + 32_000 {
        return Ok(());
    }
    if asked.status != 0 {
        return is(asked.hash == seen.hash, "something else behind the final response");
    }
    let first = method == Method::Invite && !asked.inside;
    if first && status > 100 {
        is(!message.to_tag().is_empty(), "no To tag")?;
        if view.tag.is_empty() {
            view.tag = message.to_tag().to_vec();
        }
        is(view.tag == message.to_tag(), "the To tag changed")?;
        is(!(asked.cancelled && status >= 200) || status == 487, "a CANCEL came, and not 487")?;
    }
    let token = body(about, message)?;
    if status < 200 {
        return match method {
            Method::Invite => provisional(about, seen, number),
            _ => is(status == 100, "a provisional response to another request than INVITE"),
        };
    }
    let view = &mut *about.view;
    let asked = &mut view.incoming[number];
    (asked.status, asked.hash) = (status, seen.hash);
    let (sent, offer, conflict, tag) = (asked.token, asked.offer, asked.conflict, asked.tag.clone());
    if let Some(sent) = sent.filter(|_| !first && method != Method::Prack) {
        let relayed = about.ledger.was_answered(sent, status);
        is(relayed || OWN.contains(&status), "a status that the far side never gave")?;
    }
    let reliable = about.view.rseq_out;
    let side = about.view.side(&tag);
    if status >= 300 {
        if offer.is_some() && side.offer_in == offer {
            side.offer_in = None;
        }
        return Ok(());
    }
    side.bye_taken |= method == Method::Bye;
    if method == Method::Invite {
        side.answered = true;
        is(!first || reliable.is_none_or(|(.., pracked)| pracked), "a 2xx before the PRACK")?;
    }
    is(!conflict || method == Method::Prack, "an offer taken while another is open")?;
    if !matches!(method, Method::Invite | Method::Update | Method::Prack) {
        return Ok(());
    }
    described(about.ledger, side, (method, token, offer))
}

/// The description in a 2xx is the answer to the request's offer, or an offer where it had none.
fn described(
    ledger: &Ledger,
    side: &mut Side,
    (method, token, offer): (Method, Option<u32>, Option<u32>),
) -> Verdict {
    let of = token.and_then(|token| ledger.get(token)).map(|body| body.of);
    match (side.offer_in, of) {
        (Some(open), Some(Use::Answer(to))) if open == to => {
            (side.offer_in, side.settled) = (None, true);
            Ok(())
        }
        (Some(_), Some(_)) if offer.is_some() => Err("an answer to another offer"),
        (Some(open), None) if offer == Some(open) => Err("a 2xx without the answer"),
        (None, None) if method == Method::Invite && offer.is_none() && !side.settled => {
            Err("a 2xx without an offer")
        }
        (None, Some(_)) if method == Method::Invite && offer.is_none() => {
            is(side.offer_out.is_none(), "an offer while another is open")?;
            side.offer_out = token;
            Ok(())
        }
        (None, Some(_)) if offer.is_none() => Err("an answer without an offer"),
        _ => Ok(()),
    }
}

/// RFC 3262 §3: one reliable response at a time, RSeq one higher each time.
fn provisional(about: &mut About<'_>, seen: &Seen<'_>, number: usize) -> Verdict {
    let message = &seen.message;
    let rseq = super::caller::number_of(message, HeaderName::RSeq);
    let bare = message.status().is_some_and(|status| status.code() == 100);
    let wanted = about.party.script.reliable == Reliable::Required && !about.view.incoming[number].inside;
    is(rseq.is_some() || bare || !wanted, "unreliable where 100rel is required")?;
    let Some(rseq) = rseq else { return Ok(()) };
    let view = &mut *about.view;
    match view.rseq_out {
        Some((before, hash, _)) if before == rseq => {
            return is(hash == seen.hash, "a reliable response again and different");
        }
        Some((before, _, pracked)) => {
            is(pracked, "a second reliable response before the PRACK")?;
            is(rseq == before + 1, "RSeq")?;
        }
        None => is((1..1 << 31).contains(&rseq), "the first RSeq")?,
    }
    view.rseq_out = Some((rseq, seen.hash, false));
    let (tag, offer) = (view.incoming[number].tag.clone(), view.incoming[number].offer);
    let token = about.ledger.token_of(message.body());
    let side = about.view.side(&tag);
    let of = token.and_then(|token| about.ledger.get(token)).map(|body| body.of);
    match (side.offer_in, of) {
        (Some(open), Some(Use::Answer(to))) if to == open => {
            (side.offer_in, side.settled) = (None, true);
            Ok(())
        }
        (Some(open), Some(_)) if offer == Some(open) => {
            Err("an answer to another offer in a reliable response")
        }
        (None, Some(_)) if offer.is_none() && !side.settled => {
            side.offer_out = token;
            Ok(())
        }
        _ => Ok(()),
    }
}
