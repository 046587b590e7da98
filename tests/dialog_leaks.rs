//! What must not stay for ever: calls, legs, transactions and answers that a peer's timing or malice could
//! leave behind (RFC 3261 §13.2.2.4, RFC 3262 §3; SIP_RULES 5, 26, 28).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::Invite;
use lab::party::{Party, bye_and_finish, calling, calling_to, sdp, talk};
use lab::peer::{A, B, C};
use lab::{Lab, T1X64_MS};
use ringway::settings::{AckPolicy, LateAnswer};

const TAKES_UPDATE: &str = "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE";

/// A request as long as a datagram can be, nearly all of it a second Via, which every response has to repeat.
fn with_long_via(lab: &mut Lab, party: &Party, method: &str, body: &str) -> String {
    let via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK7;long=";
    let text = party.dialog.text(lab, method, party.cseq + 1, &[via], body);
    let text = text.replace("Max-Forwards: 30\r\n", "");
    text.replace("long=", &("long=".to_string() + &"x".repeat(65_507 - text.len())))
}

#[test]
fn an_answer_that_waits_for_a_prack_goes_out_though_a_181_waits_too() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &["Supported: 100rel", TAKES_UPDATE]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    lab.expect_nothing();
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    while lab.next_to(A) != "200 INVITE" {
        lab.expect_any(A);
    }
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    assert_eq!(offer.body, sdp(2));
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn an_answer_waits_for_no_181_that_would_have_to_be_acknowledged_too() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &["Require: 100rel", TAKES_UPDATE]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    lab.expect_nothing();
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn ringing_that_waits_for_a_prack_goes_out_though_a_181_waits_too() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &["Supported: 100rel"]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "180 Ringing");
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect(A, "181 INVITE");
    lab.expect(A, "180 INVITE");
    lab::scene::refuse_and_finish(lab, &caller, &c);
}

#[test]
fn a_request_whose_response_no_datagram_holds_leaves_nothing_behind() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &[], &[]);
    let info = with_long_via(&mut lab, &a, "INFO", "");
    a.send(&mut lab, &info);
    a.cseq += 1;
    if lab.sent_to(C).last().is_some_and(|last| last == "INFO") {
        let info = c.expect(&mut lab, "INFO");
        c.answer(&mut lab, &info, "200 OK");
    }
    lab.sent();
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_re_invite_whose_response_no_datagram_holds_is_sent_nothing_that_was_for_another() {
    let mut lab = Lab::with(|setup| setup.settings.ack = AckPolicy::Immediate);
    let (a, c) = talk_immediately(&mut lab);
    let invite = with_long_via(&mut lab, &a, "INVITE", "x");
    a.send(&mut lab, &invite);
    if lab.sent_to(C).last().is_some_and(|last| last == "INVITE") {
        let invite = c.expect(&mut lab, "INVITE");
        c.respond(&mut lab, &invite, "200 OK", &[], &sdp(2));
        lab.advance(5_000);
    }
    assert!(lab.sent_to(A).iter().all(|sent| sent != "ACK"), "{:?}", lab.sent_to(A));
    lab.abandon();
}

/// A and C in a call whose ACK did not wait for A's.
#[track_caller]
fn talk_immediately(lab: &mut Lab) -> (Party, Party) {
    let (mut caller, leg) = calling(lab, &[]);
    leg.respond(lab, "200 OK");
    lab.expect(C, "ACK");
    let answer = caller.answered_and_acked(lab);
    lab.expect_nothing();
    (Party::caller(&caller, &answer), Party::callee(&leg))
}

#[test]
fn a_500_for_an_answer_that_no_datagram_holds_is_not_repeated_after_its_ack() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &[], &[]);
    let via = format!("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK7;long={}", "x".repeat(15_000));
    let invite = a.request(&mut lab, "INVITE", &[&via], &sdp(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &[], &(sdp(2) + &"a=x\r\n".repeat(10_400)));
    let refusal = a.expect_response(&mut lab, &invite, 500);
    let ack = format!(
        "ACK {} SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\n\r\n",
        invite.request_uri,
        invite.all("Via")[0],
        invite.one("From"),
        refusal.one("To"),
        invite.call_id,
        invite.cseq
    );
    a.send(&mut lab, &ack);
    let before = lab.sent_to(A).len();
    lab.advance(4_000);
    let after = lab.sent_to(A)[before..].to_vec();
    assert!(!after.contains(&"500 INVITE".to_string()), "{after:?}");
    lab.abandon();
}

#[test]
fn a_late_answer_takes_no_call_that_another_answer_has_won() {
    let mut lab = Lab::with(|setup| setup.settings.late_answer = LateAnswer::Keep);
    let (mut caller, b) = calling_to(&mut lab, B, &["Require: 100rel"]);
    b.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.advance(20_000);
    let forwarded = lab.expect(A, "181 INVITE");
    lab.expect(B, "CANCEL");
    let c = Leg::expect(&mut lab, C);
    // C has won and waits for the caller's PRACK; then B's answer crosses the CANCEL.
    c.respond(&mut lab, "200 OK");
    b.respond(&mut lab, "200 OK");
    let prack = a.prack(&mut lab, &forwarded, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(40_000);
    lab.sent();
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn a_callee_that_was_given_up_ends_no_call_by_not_answering_an_update() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &["Supported: 100rel", TAKES_UPDATE]);
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B, "PRACK");
    b.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    lab.advance(19_000);
    // B vanishes from the network.
    let update = a.update(&mut lab, &sdp(4));
    lab.expect(B, "UPDATE");
    lab.advance(1_008);
    // Nobody else will answer it.
    a.expect_response(&mut lab, &update, 500);
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let offer = a.expect(&mut lab, "UPDATE");
    a.respond(&mut lab, &offer, "200 OK", &[], &sdp(3));
    lab.advance(35_000);
    assert!(!lab.sent_to(C).contains(&"BYE".to_string()), "the call with C goes on");
    lab.sent();
    bye_and_finish(lab, a, &Party::callee(&c));
}

#[test]
fn a_leg_whose_interval_was_raised_cannot_hang_on_an_rseq_of_the_invite_before() {
    let mut lab = Lab::new();
    let (caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    for tag in ["one", "two"] {
        leg.fork(tag).reliable(&mut lab, "180 Ringing", 1, "");
        let prack = lab.expect(C, "PRACK");
        leg.answer(&mut lab, &prack, "200 OK");
    }
    leg.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 120"], "");
    lab.expect(C, "ACK");
    let again = Leg::expect(&mut lab, C).fork("one");
    again.reliable(&mut lab, "180 Ringing", 1, "");
    lab.advance(400_000);
    lab.sent();
    assert_eq!(lab.calls(), 0, "nobody answers: the call ends by itself");
    drop(caller);
    lab.finish();
}

#[test]
fn a_200_to_a_re_invite_that_was_given_up_is_acknowledged_all_the_same() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &[], &[]);
    let invite = a.invite(&mut lab, &sdp(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.answer(&mut lab, &relayed, "180 Ringing");
    a.expect_response(&mut lab, &invite, 180);
    a.cancel(&mut lab, &invite);
    lab.expect(A, "200 CANCEL");
    let cancel = c.expect(&mut lab, "CANCEL");
    c.answer(&mut lab, &cancel, "200 OK");
    lab.advance(32_008);
    a.refused(&mut lab, &invite, 487);
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &c);
}

/// A and C talk, and have said as much to each other as there is room for.
#[track_caller]
fn full_of_bytes(lab: &mut Lab) {
    let (mut a, c) = talk(lab, &[], &[]);
    let long = "x".repeat(60_000);
    for round in 0.. {
        let info = a.request(lab, "INFO", &["Content-Type: text/plain"], &long);
        if lab.sent_to(A).last().is_some_and(|last| last == "503 INFO") {
            assert!(round > 10, "there is room for much");
            a.expect_response(lab, &info, 503);
            return;
        }
        let relayed = c.expect(lab, "INFO");
        c.respond(lab, &relayed, "200 OK", &["Content-Type: text/plain"], &long);
        a.expect_response(lab, &info, 200);
    }
}

#[test]
fn however_much_one_call_says_there_is_room_for_the_next_one_to_be_held_back() {
    let mut lab = Lab::new();
    full_of_bytes(&mut lab);
    let (mut caller, leg) = calling(&mut lab, &["Supported: 100rel"]);
    leg.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    leg.respond_with(&mut lab, "200 OK", &[&format!("X-Long: {}", "x".repeat(10_000))], "");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let ours = lab.expect(C, "PRACK");
    leg.answer(&mut lab, &ours, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    caller.cseq = a.cseq;
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.abandon();
}

#[test]
fn the_requests_of_one_call_leave_room_for_another_calls() {
    let mut lab = Lab::new();
    let (mut hostile, _) = talk(&mut lab, &[], &[]);
    for _ in 0..70 {
        hostile.request(&mut lab, "INFO", &[], "");
    }
    lab.sent();
    let (mut a, c) = talk(&mut lab, &[], &[]);
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = c.expect(&mut lab, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    lab.abandon();
}

#[test]
fn a_late_answer_whose_offer_nobody_could_answer_wins_no_call() {
    let mut lab = Lab::with(|setup| setup.settings.late_answer = LateAnswer::Keep);
    let invite = Invite::new(&mut lab, A, B.number).body("").line("Supported: 100rel");
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(20_008);
    let cancel = lab.expect(B, "CANCEL");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    // Both cross the CANCEL; the caller hears nothing of the offer.
    b.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let prack = lab.expect(B, "PRACK");
    b.answer(&mut lab, &prack, "200 OK");
    b.answer(&mut lab, &cancel, "200 OK");
    b.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    c.reject(&mut lab, "486 Busy Here");
    caller.refused(&mut lab, 486);
    lab.advance(T1X64_MS);
    assert_eq!(lab.calls(), 0);
    lab.abandon();
}
