//! What every message of the server's must obey, checked as it leaves (RFC 3261 §8, §9, §12, §13, §17).

use super::call::{CALLER, Call, Kind, Parcel, Text};
use super::callee::Callee;
use super::caller::Caller;
use super::history;
use super::rounds::Said;
use super::setup::{CALLERS, callee_address, callee_at, hop_of, mark};
use super::wire::{CALLEE_BYE_CSEQ, CALLER_BYE_CSEQ, INVITE_CSEQ, hex, read_hex};
use ahash::RandomState;
use ringway::sip::{HeaderName, Message, Method};
use std::net::SocketAddr;

/// What is wrong.
pub type Verdict<T = ()> = Result<T, &'static str>;

pub fn is(right: bool, wrong: &'static str) -> Verdict {
    if right { Ok(()) } else { Err(wrong) }
}

/// A message with the hash of its bytes.
pub struct Sent<'a> {
    pub message: Message<'a>,
    pub hash: u64,
    pub now_ms: u64,
}

pub fn hasher() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}

/// Which call and which peer of it a message is for.
pub fn addressee(message: &Message<'_>, destination: SocketAddr) -> Verdict<Parcel> {
    let kind = match message.status() {
        Some(status) => Kind::Response(status.code(), message.method()),
        None => Kind::Request(message.method()),
    };
    let (call, who) = if destination == CALLERS {
        (read_hex(message.call_id()), CALLER)
    } else {
        let hop = callee_at(destination);
        let tag = match message.is_request() {
            true => message.to_tag(),
            false => message.from_tag(),
        };
        // A callee's tag names the call; a request outside the dialog has the caller's URI.
        let from = message.header(HeaderName::From).unwrap_or_default();
        let id = if tag.is_empty() { from.strip_prefix(b"<sip:c") } else { tag.get(1..) };
        (id.and_then(read_hex), hop.ok_or("a message to nobody")?)
    };
    Ok(Parcel { call: call.ok_or("a message of no call")?, who, kind })
}

/// Checks a message of the server's and remembers it.
pub fn check(call: &mut Call, parcel: &Parcel, sent: &Sent<'_>) -> Verdict {
    let id = hex(call.index);
    is(parcel.who == CALLER || hop_of(parcel.who) < call.hops, "a message beyond the chain")?;
    is(parcel.who == CALLER || usize::from(parcel.who) < call.callees.len(), "a message beyond the phones")?;
    well_formed(&sent.message)?;
    match (parcel.who, parcel.kind) {
        (CALLER, Kind::Response(status, method)) => {
            let before = call.caller.final_status;
            response_to_caller(&mut call.caller, &id, sent, status, method)?;
            concluded(call, before, sent.now_ms)
        }
        (CALLER, Kind::Request(method)) => request_to_caller(&mut call.caller, &id, sent, method),
        (hop, Kind::Response(status, method)) => {
            is(method == Method::Bye, "a response to a callee that asked nothing")?;
            let message = &sent.message;
            let callee = &mut call.callees[usize::from(hop)];
            let cseq = message.cseq().map_or(0, |cseq| cseq.number);
            is(cseq == CALLEE_BYE_CSEQ, "CSeq of a response to a callee")?;
            is(message.from_tag().get(9) == Some(&mark(hop)), "From tag of a response to a callee")?;
            is(message.top_via().is_some_and(|via| via.branch.ends_with(&[b'k', mark(hop)])), "its branch")?;
            callee.bye_arrived |= status < 300;
            Ok(())
        }
        (hop, Kind::Request(method)) => {
            if method == Method::Invite && call.callees[usize::from(hop)].server.invite.sent == 0 {
                may_invite(call, hop, sent)?;
            }
            if method == Method::Cancel && call.callees[usize::from(hop)].server.cancel.sent == 0 {
                call.rounds.cancel(hop, sent.now_ms)?;
            }
            let refused = call.callees[usize::from(hop)].final_status >= 300;
            routed(call.rounds.has_path(hop), hop, (&sent.message, refused))?;
            match method {
                Method::Ack => call.rounds.acknowledge(hop),
                Method::Bye => call.rounds.hang_up(hop),
                _ => {}
            }
            request_to_callee(&mut call.callees[usize::from(hop)], sent, method)
        }
    }
}

/// RFC 3327 §5.2; RFC 3261 §9.1, §17.1.1.3: an INVITE follows the binding's path, and what is hop by hop with
/// it.
fn routed(has_path: bool, place: u8, (message, refused): (&Message<'_>, bool)) -> Verdict {
    let method = message.method();
    let follows =
        has_path && (matches!(method, Method::Invite | Method::Cancel) || method == Method::Ack && refused);
    let mut routes = message.values(HeaderName::Route);
    let wanted = follows.then(|| format!("<sip:{};lr>", callee_address(place)));
    is(
        routes.next() == wanted.as_ref().map(String::as_bytes) && routes.next().is_none(),
        "Route towards a path",
    )
}

/// What counts when several locations are tried: the caller's final response is the right one.
fn concluded(call: &mut Call, before: u16, now_ms: u64) -> Verdict {
    let rounds = &mut call.rounds;
    if call.caller.bye_arrived && before == 0 {
        rounds.caller_gone();
    }
    match call.caller.final_status {
        status if before == 0 && status != 0 => rounds.final_response(status, now_ms),
        _ => Ok(()),
    }
}

/// One of each header field that must be there, and the body's length. The scanner has seen to the rest.
fn well_formed(message: &Message<'_>) -> Verdict {
    let length = message.header(HeaderName::ContentLength).and_then(|text| std::str::from_utf8(text).ok());
    let length = length.and_then(|text| text.parse().ok());
    is(length == Some(message.body().len()), "Content-Length")?;
    is(message.has(HeaderName::ContentType) != message.body().is_empty(), "Content-Type")?;
    let mut vias = message.values(HeaderName::Via);
    is(vias.next().is_some() && vias.next().is_none(), "one Via")?;
    if message.is_request() {
        is(message.max_forwards().is_some(), "Max-Forwards")?;
        is(!message.from_tag().is_empty(), "From tag")?;
        let branch = message.top_via().map_or(&b""[..], |via| via.branch);
        is(branch.starts_with(b"z9hG4bK") && branch.len() > 7, "branch")?;
        let outside = matches!(message.method(), Method::Invite | Method::Cancel);
        is(outside || !message.to_tag().is_empty(), "To tag of a request in a dialog")?;
    }
    let status = message.status().map_or(0, |status| status.code());
    if message.method() == Method::Invite && status < 300 && status != 100 {
        is(message.values(HeaderName::Contact).count() == 1, "Contact")?;
    }
    Ok(())
}

fn response_to_caller(
    caller: &mut Caller,
    id: &[u8; 8],
    sent: &Sent<'_>,
    status: u16,
    method: Method,
) -> Verdict {
    let message = &sent.message;
    let (cseq, letter) = match method {
        Method::Bye => (CALLER_BYE_CSEQ, b'b'),
        Method::Invite | Method::Cancel => (INVITE_CSEQ, b'i'),
        _ => return Err("a response to what the caller never asked"),
    };
    is(message.cseq().is_some_and(|own| own.number == cseq), "CSeq of a response to the caller")?;
    is(message.from_tag().get(1..) == Some(id), "From tag of a response to the caller")?;
    let branch = message.top_via().map_or(&b""[..], |via| via.branch);
    is(branch.get(7..15) == Some(id) && branch.get(15..) == Some(&[letter]), "branch of a response")?;
    if method == Method::Invite && status > 100 || method == Method::Cancel && status < 300 {
        let tag = Text::new(message.to_tag()).ok_or("a To tag too long")?;
        is(!tag.is_empty(), "no To tag")?;
        let turned_away = status == 503 && tag.bytes().starts_with(b"s");
        is(!turned_away || caller.final_status == 0, "turned away after the final response")?;
        let same = caller.server.tag.is_empty() || caller.server.tag.bytes() == tag.bytes();
        is(same || caller.turned_away, "the To tag changed")?;
        caller.turned_away |= turned_away;
        caller.server.tag = tag;
    }
    if method == Method::Bye {
        caller.bye_arrived |= status < 300;
    }
    if method != Method::Invite {
        return Ok(());
    }
    is(caller.invite_arrived, "a response to an INVITE that never came")?;
    if status == 503 && message.to_tag().starts_with(b"s") {
        return Ok(());
    }
    if caller.final_status != 0 {
        return is(caller.final_hash == sent.hash, "something else behind the final response");
    }
    if status >= 200 {
        is(!caller.cancelled || status == 487, "a CANCEL came and the INVITE got something else than 487")?;
        (caller.final_status, caller.final_hash) = (status, sent.hash);
    }
    Ok(())
}

fn request_to_caller(caller: &mut Caller, id: &[u8; 8], sent: &Sent<'_>, method: Method) -> Verdict {
    let message = &sent.message;
    is(message.from_tag() == caller.server.tag.bytes(), "our tag towards the caller changed")?;
    is(message.to_tag().get(1..) == Some(id), "the caller's tag changed")?;
    is((200..300).contains(&caller.final_status), "a request to a caller without a dialog")?;
    let is_new = in_dialog(&mut caller.server, sent, method)?;
    is(!is_new || !caller.bye_arrived, "a request to a caller that has hung up")
}

/// A request in a dialog: the same as before, or a new one with a higher CSeq and no BYE before it.
fn in_dialog(server: &mut super::server::Server, sent: &Sent<'_>, method: Method) -> Verdict<bool> {
    let message = &sent.message;
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let branch = Text::new(message.top_via().map_or(&b""[..], |via| via.branch)).ok_or("a long branch")?;
    let highest = server.bye.cseq.max(server.other.cseq).max(server.invite.cseq);
    let ended = server.bye.sent > 0;
    let asked = server.request_mut(method);
    asked.sent += 1;
    if asked.hash == sent.hash {
        return Ok(false);
    }
    is(!ended, "a new request behind our BYE")?;
    is(cseq > highest, "CSeq does not rise")?;
    (asked.branch, asked.cseq, asked.hash) = (branch, cseq, sent.hash);
    Ok(true)
}

/// A leg may begin while the caller waits, where the call has to go on; it tells of each diversion.
fn may_invite(call: &mut Call, place: u8, sent: &Sent<'_>) -> Verdict {
    let invite = &sent.message;
    let caller = &call.caller;
    is(caller.final_status == 0, "an INVITE behind the final response")?;
    is(!caller.cancelled, "an INVITE behind the caller's CANCEL")?;
    is(invite.max_forwards() == Some(69), "Max-Forwards of a leg")?;
    let told = history::told(invite, (call.hops, place), &call.manner)?;
    call.rounds.invite(place, &told, sent.now_ms)
}

fn request_to_callee(callee: &mut Callee, sent: &Sent<'_>, method: Method) -> Verdict {
    let message = &sent.message;
    let server = &mut callee.server;
    let branch = message.top_via().map_or(&b""[..], |via| via.branch);
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    if method == Method::Invite && server.invite.sent == 0 {
        server.tag = Text::new(message.from_tag()).ok_or("a long tag")?;
        server.call_id = Text::new(message.call_id()).ok_or("a long Call-ID")?;
        callee.invited_ms = sent.now_ms;
    }
    is(message.call_id() == server.call_id.bytes(), "the leg's Call-ID changed")?;
    is(message.from_tag() == server.tag.bytes(), "our tag towards a callee changed")?;
    let of_invite = branch == server.invite.branch.bytes();
    match method {
        Method::Ack => {
            server.ack.sent += 1;
            let success = (200..300).contains(&callee.final_status);
            callee.acknowledged |= success;
            is(callee.final_ms.is_some(), "an ACK to nothing")?;
            is(of_invite != success, "the branch of an ACK")?;
            is(cseq == server.invite.cseq, "the CSeq of an ACK")
        }
        Method::Invite | Method::Cancel if message.to_tag().is_empty() => {
            let asked = server.request_mut(method);
            asked.sent += 1;
            if asked.sent > 1 {
                return is(asked.hash == sent.hash, "a repetition that differs");
            }
            asked.branch = Text::new(branch).ok_or("a long branch")?;
            (asked.cseq, asked.hash) = (cseq, sent.hash);
            if method == Method::Invite {
                return Ok(());
            }
            callee.cancelled_ms = sent.now_ms;
            is(of_invite && cseq == server.invite.cseq, "a CANCEL that is not its INVITE's")?;
            is(callee.heard_ms.is_some(), "a CANCEL before any response")?;
            is(callee.final_ms.is_none(), "a CANCEL behind the final response")
        }
        _ => {
            is(!of_invite, "a request in a dialog with the INVITE's branch")?;
            is(callee.acknowledged, "a request in a dialog that is not acknowledged")?;
            if callee.orphaned && method == Method::Bye {
                server.bye.sent += 1;
                return Ok(());
            }
            let is_new = in_dialog(server, sent, method)?;
            is(!is_new || !callee.bye_arrived, "a request to a callee that has hung up")
        }
    }
}

/// What a message that comes to the server changes. `true`: it must be acknowledged at once.
pub fn arrived(call: &mut Call, parcel: &Parcel, now_ms: u64) -> bool {
    let caller = &mut call.caller;
    match (parcel.who, parcel.kind) {
        (CALLER, Kind::Request(Method::Invite)) => caller.invite_arrived = true,
        (CALLER, Kind::Request(Method::Cancel)) => {
            let waits = caller.invite_arrived && caller.final_status == 0 && !caller.turned_away;
            caller.cancelled |= waits;
            if waits {
                call.rounds.caller_gone();
            }
        }
        (CALLER, _) => {}
        (hop, Kind::Response(status, Method::Invite)) => {
            let callee = &mut call.callees[usize::from(hop)];
            let is_outside = call.manner.ends_outside && hop_of(hop) + 1 == call.hops;
            let said = Said {
                rings: matches!(status, 180 | 183),
                no_answer_cause: status == 480 && callee.script.no_answer_cause,
                // Whom the server does not trust beyond its numbers sends no call on.
                contact: callee.script.contact.target().filter(|_| !is_outside),
            };
            call.rounds.response(hop, status, said, now_ms);
            callee.heard_ms.get_or_insert(now_ms);
            if matches!(status, 180 | 183) {
                callee.rang_ms.get_or_insert(now_ms);
            }
            if status >= 200 {
                let first_ms = *callee.final_ms.get_or_insert(now_ms);
                callee.final_status = status;
                let lives = now_ms < first_ms + 31_900 && !callee.is_given_up(now_ms);
                callee.orphaned |= !lives && status < 300;
                return lives && (status >= 300 || callee.acknowledged);
            }
        }
        _ => {}
    }
    false
}

/// Never two winners; what must be acknowledged was.
pub fn settled(call: &mut Call, now_ms: u64) -> Verdict {
    let winners = call.callees.iter().filter(|callee| callee.is_winner()).count();
    is(winners <= 1, "two callees have won")?;
    call.rounds.settled(now_ms)
}

/// At the end: nobody was left in a call that is over for the others.
pub fn ended(call: &Call) -> Verdict {
    let callees = call.callees.iter().map(Callee::complaint);
    let complaint = std::iter::once(call.caller.complaint()).chain(callees).flatten().next();
    complaint.map_or(Ok(()), Err)
}
