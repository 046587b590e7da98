//! What happens when a table is full, the server drains, or a message is huge: an answer, a count, and
//! nothing left behind (SIP_RULES 26, 28).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::peer::{A, B, C, Setup};
use lab::scene::{hang_up_and_finish, ringing, talking};
use ringway::limits::{DATAGRAM_BYTES_MAX, RESPONSE_HEAD_BYTES_MAX};
use ringway::shard::Shard;

/// A calls C and is refused for want of room, without a transaction.
#[track_caller]
fn refused_503(lab: &mut Lab) {
    let before = (lab.calls(), lab.transactions());
    let caller = Caller::call(lab, A, "1005");
    let refusal = caller.refused(lab, 503);
    assert_eq!(refusal.one("Retry-After"), "5");
    assert_eq!((lab.calls(), lab.transactions()), before);
    lab.expect_nothing();
}

#[test]
fn a_full_table_of_calls_refuses_with_503_and_has_room_again_later() {
    let mut lab = Lab::with(|setup| setup.settings.max_calls = 2);
    let (mut first, first_leg) = talking(&mut lab);
    let (second, second_leg) = talking(&mut lab);
    refused_503(&mut lab);
    assert_eq!(lab.metrics().refused_full, 1);
    first.bye(&mut lab);
    lab.expect(A, "200 BYE");
    first_leg.hung_up(&mut lab);
    let (mut third, third_leg) = talking(&mut lab);
    refused_503(&mut lab);
    third.bye(&mut lab);
    lab.expect(A, "200 BYE");
    third_leg.hung_up(&mut lab);
    hang_up_and_finish(lab, second, &second_leg);
}

#[test]
fn retry_after_is_settable() {
    let mut lab = Lab::with(|setup| {
        setup.settings.max_calls = 1;
        setup.settings.retry_after_s = 33;
    });
    let (caller, c) = talking(&mut lab);
    let refused = Caller::call(&mut lab, A, "1005");
    assert_eq!(refused.refused(&mut lab, 503).one("Retry-After"), "33");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_draining_server_refuses_new_calls_and_serves_those_that_live() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let ringing = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    lab.shards.iter_mut().for_each(Shard::drain);
    refused_503(&mut lab);
    assert_eq!(lab.metrics().refused_draining, 1);
    // The other call may still be forwarded, and its INVITE repeated.
    ringing.resend(&mut lab);
    lab.expect(A, "100 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let target = Leg::expect(&mut lab, C);
    target.reject(&mut lab, "486 Busy Here");
    ringing.refused(&mut lab, 486);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_draining_server_still_says_what_is_wrong_with_a_request() {
    let mut lab = Lab::new();
    lab.shards.iter_mut().for_each(Shard::drain);
    Caller::call(&mut lab, A, "1999").refused(&mut lab, 404);
    lab.finish();
}

fn few_transactions(setup: &mut Setup) {
    setup.settings.max_transactions = 64;
}

#[test]
fn an_eighth_of_the_transactions_is_kept_for_calls_that_live() {
    let mut lab = Lab::with(few_transactions);
    let mut calls: Vec<(Caller, Leg)> = Vec::new();
    while lab.transactions() < 56 {
        calls.push(talking(&mut lab));
    }
    refused_503(&mut lab);
    assert_eq!(lab.metrics().refused_full, 1);
    let (mut caller, c) = calls.remove(0);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    assert_eq!(lab.metrics().transactions_not_kept, 0);
    lab.advance(40_000);
    for (mut caller, c) in calls {
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        c.hung_up(&mut lab);
        lab.advance(5_000);
    }
    lab.finish();
}

/// All calls hang up at once while the table still holds their INVITEs: it overflows, and yet every BYE is
/// answered and relayed, and no call is left behind.
#[track_caller]
fn hang_up_with_a_full_table(answers: bool) {
    let mut lab = Lab::with(few_transactions);
    let mut calls: Vec<(Caller, Leg)> = Vec::new();
    while lab.transactions() < 56 {
        calls.push(talking(&mut lab));
    }
    for (caller, c) in &mut calls {
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        let bye = lab.expect(C, "BYE");
        if answers {
            c.answer(&mut lab, &bye, "200 OK");
        }
    }
    assert!(lab.metrics().transactions_not_kept > 0, "the table overflowed");
    lab.advance(64_000);
    lab.sent();
    assert_eq!((lab.calls(), lab.transactions()), (0, 0));
    lab.finish();
}

#[test]
fn calls_that_hang_up_while_the_table_is_full_end_all_the_same() {
    hang_up_with_a_full_table(true);
}

#[test]
fn calls_that_hang_up_unanswered_while_the_table_is_full_end_all_the_same() {
    hang_up_with_a_full_table(false);
}

#[test]
fn a_call_that_cannot_be_forwarded_for_want_of_a_transaction_gets_503() {
    let mut lab = Lab::with(few_transactions);
    let ringing = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    let mut calls: Vec<(Caller, Leg)> = Vec::new();
    while lab.transactions() < 56 {
        calls.push(talking(&mut lab));
    }
    for (caller, c) in &mut calls {
        if lab.transactions() < 64 {
            caller.bye(&mut lab);
            lab.expect(A, "200 BYE");
            c.hung_up(&mut lab);
        }
    }
    assert_eq!(lab.transactions(), 64);
    let retained = calls.split_off(4);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    ringing.refused(&mut lab, 503);
    lab.advance(40_000);
    for (mut caller, c) in retained {
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        c.hung_up(&mut lab);
        lab.advance(40_000);
    }
    lab.finish();
}

/// A's INVITE to C, filled up to this many bytes with `X: yyy…` lines.
fn huge(lab: &mut Lab, bytes: usize) -> Invite {
    let invite = Invite::new(lab, A, "1005");
    let room = bytes - invite.text().len();
    invite.line(format!("X-Own: {}", "y".repeat(room - "X-Own: \r\n".len())))
}

#[test]
fn an_invite_of_60_kb_passes() {
    let mut lab = Lab::new();
    let invite = huge(&mut lab, 60_000);
    assert_eq!(invite.text().len(), 60_000);
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert!(c.invite.one("X-Own").len() > 59_000);
    lab.advance(600);
    assert_eq!(lab.expect(C, "INVITE"), c.invite, "repeated in full");
    c.respond(&mut lab, "100 Trying");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn an_invite_that_grows_beyond_a_datagram_gets_513() {
    let mut lab = Lab::new();
    let caller = huge(&mut lab, DATAGRAM_BYTES_MAX).send(&mut lab);
    lab.expect(A, "100 INVITE");
    caller.refused(&mut lab, 513);
    assert_eq!(lab.sent_to(C), Vec::<String>::new());
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

/// By how many bytes B's INVITE is longer than A's.
fn growth() -> usize {
    let mut lab = Lab::new();
    let (caller, b) = lab::scene::ringing(&mut lab);
    let growth = b.invite.bytes.len() - caller.text.len();
    lab::scene::refuse_and_finish(lab, &caller, &b);
    growth
}

#[test]
fn a_forwarded_invite_tells_nothing_of_it_rather_than_outgrow_a_datagram() {
    let growth = growth();
    let mut lab = Lab::new();
    let mut invite = huge(&mut lab, DATAGRAM_BYTES_MAX - growth);
    invite.request_uri = "sip:1004@127.0.0.60:5060;transport=udp".into();
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    assert_eq!(b.invite.bytes.len(), DATAGRAM_BYTES_MAX, "the longest that goes out");
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert_eq!(c.invite.bytes.len(), DATAGRAM_BYTES_MAX);
    assert!(!c.invite.has("Diversion") && !c.invite.has("History-Info"));
    lab::scene::refuse_and_finish(lab, &caller, &c);
}

#[test]
fn an_invite_whose_responses_could_outgrow_a_datagram_gets_513() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, "1005");
    invite.from = invite.from.replace("\"1003\"", &format!("\"{}\"", "y".repeat(RESPONSE_HEAD_BYTES_MAX)));
    invite.send(&mut lab).refused(&mut lab, 513);
    assert_eq!(lab.sent_to(C), Vec::<String>::new());
    lab.finish();
}

#[test]
fn an_answer_that_grows_beyond_a_datagram_ends_the_call_with_500() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    let filler = "y".repeat(DATAGRAM_BYTES_MAX - c.text("200 OK").len() - "X-Own: \r\n".len());
    c.respond_with(&mut lab, "200 OK", &[&format!("X-Own: {filler}")], lab::callee::ANSWER);
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    caller.refused(&mut lab, 500);
    lab.finish();
}

#[test]
fn a_refusal_that_grows_beyond_a_datagram_comes_without_the_callees_lines() {
    let mut lab = Lab::new();
    let mut invite = Invite::new(&mut lab, A, "1005");
    // Responses to the caller bear the Vias of its proxies, the callee's do not.
    for host in 1..9 {
        invite.via += &format!("\r\nVia: SIP/2.0/UDP proxy{host}.example.com;branch=z9hG4bKproxy{host}");
    }
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    let filler = "y".repeat(DATAGRAM_BYTES_MAX - c.text("486 Busy Here").len() - "X-Own: \r\n".len());
    c.respond_with(&mut lab, "486 Busy Here", &[&format!("X-Own: {filler}")], "");
    lab.expect(C, "ACK");
    assert!(!caller.refused(&mut lab, 486).has("X-Own"));
    lab.finish();
}

#[test]
fn a_bye_whose_200_outgrows_a_datagram_ends_the_call_and_leaves_nothing() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let bye = caller.dialog().text(&mut lab, "BYE", 40, &[], "");
    // Vias by their compact name: ours, written out, are longer.
    let room = DATAGRAM_BYTES_MAX - bye.len() - 100 * "\r\nv: SIP/2.0/UDP p;branch=".len();
    let via = format!("\r\nv: SIP/2.0/UDP p;branch={}", "y".repeat(room / 100));
    let bye = bye.replace("\r\nFrom", &format!("{}\r\nFrom", via.repeat(100)));
    assert!(bye.len() <= DATAGRAM_BYTES_MAX && bye.len() + 200 > DATAGRAM_BYTES_MAX);
    lab.send(A, &bye);
    c.hung_up(&mut lab);
    lab.expect_nothing();
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn huge_invites_that_fill_the_memory_are_refused_and_those_taken_are_served() {
    let mut lab = Lab::with(|setup| setup.settings.max_transactions = 256);
    let mut calls: Vec<(Caller, Leg)> = Vec::new();
    let mut refused = 0;
    for _ in 0..60 {
        let caller = huge(&mut lab, 60_000).send(&mut lab);
        let first = lab.expect_any(A);
        if first == "100 INVITE" && lab.last_to(A).summary() == "100 INVITE" {
            let c = Leg::expect(&mut lab, C);
            c.respond(&mut lab, "100 Trying");
            calls.push((caller, c));
            continue;
        }
        refused += 1;
        let refusal = lab.last_to(A);
        assert_eq!(refusal.status, Some(503));
        assert_eq!(refusal.one("Retry-After"), "5");
        lab.sent();
        lab.send(A, &caller.ack_refusal_text(&refusal));
    }
    assert!(refused > 0 && calls.len() > 10, "{refused} refused, {} taken", calls.len());
    for (caller, c) in calls {
        caller.cancel(&mut lab);
        lab.expect(A, "200 CANCEL");
        caller.refused(&mut lab, 487);
        c.cancelled(&mut lab);
    }
    lab.finish();
}

/// Calls with INVITEs of 60 kB until one is refused for want of memory. One block of the largest size is
/// taken by a call of its own first if `odd`.
fn fill_memory(lab: &mut Lab, odd: bool) -> Vec<(Caller, Leg)> {
    let mut calls = Vec::new();
    if odd {
        // The INVITE fits a smaller block, the leg's INVITE does not.
        let caller = huge(lab, 24_570).send(lab);
        lab.expect(A, "100 INVITE");
        let c = Leg::expect(lab, C);
        assert!(c.invite.bytes.len() > 24_576);
        c.respond(lab, "100 Trying");
        calls.push((caller, c));
    }
    loop {
        let caller = huge(lab, 60_000).send(lab);
        if lab.last_to(A).status == Some(503) {
            lab.sent();
            lab.send(A, &caller.ack_refusal_text(&lab.last_to(A)));
            return calls;
        }
        lab.expect(A, "100 INVITE");
        let c = Leg::expect(lab, C);
        c.respond(lab, "100 Trying");
        calls.push((caller, c));
    }
}

#[track_caller]
fn cancel_all(lab: &mut Lab, calls: Vec<(Caller, Leg)>) {
    for (caller, c) in calls {
        caller.cancel(lab);
        lab.expect(A, "200 CANCEL");
        caller.refused(lab, 487);
        c.cancelled(lab);
    }
}

#[test]
fn an_invite_that_could_not_be_cancelled_for_want_of_memory_is_not_sent() {
    let mut lab = Lab::with(|setup| setup.settings.max_transactions = 256);
    let calls = fill_memory(&mut lab, true);
    let invites = lab.sent_to(C).iter().filter(|sent| *sent == "INVITE").count();
    assert_eq!(invites, calls.len(), "the INVITE of the refused call was not sent");
    assert_eq!(lab.sent_to(A).iter().filter(|sent| *sent == "503 INVITE").count(), 1);
    cancel_all(&mut lab, calls);
    lab.finish();
}

#[test]
fn an_answer_that_cannot_be_kept_is_sent_once() {
    let mut lab = Lab::with(|setup| setup.settings.max_transactions = 256);
    // Small messages have their place before the memory is full.
    let (mut first, first_leg) = talking(&mut lab);
    first.bye(&mut lab);
    lab.expect(A, "200 BYE");
    first_leg.hung_up(&mut lab);
    let calls = fill_memory(&mut lab, false);
    let mut caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &[&format!("X-Own: {}", "y".repeat(50_000))], lab::callee::ANSWER);
    caller.answered(&mut lab);
    lab.advance(1_600);
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    cancel_all(&mut lab, calls);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_stop_waits_for_the_ack_to_a_refusal_and_the_200_to_a_bye() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    assert_eq!((lab.calls(), lab.unfinished()), (0, 1), "the caller's ACK is on its way");
    caller.refused(&mut lab, 486);
    assert_eq!(lab.unfinished(), 0);
    let (mut caller, c) = talking(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    assert_eq!((lab.calls(), lab.unfinished()), (1, 2));
    c.answer(&mut lab, &bye, "200 OK");
    assert_eq!(lab.unfinished(), 0);
    lab.finish();
}
