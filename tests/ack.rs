//! ACK in all its forms: relayed, immediate, with a late answer, missing, repeated, stray
//! (SIP_RULES 20, 22; reference flow, step 15).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, Invite, OFFER};
use lab::peer::{A, B, C, Setup};
use lab::scene::{answered, hang_up_and_finish, ringing, talking};
use lab::{Lab, T1X64_MS};
use ringway::settings::AckPolicy;

fn immediate(setup: &mut Setup) {
    setup.settings.ack = AckPolicy::Immediate;
}

#[test]
fn with_relay_the_callees_ack_waits_for_the_callers() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    assert_eq!(lab.sent_to(C), ["INVITE"]);
    lab.advance(300);
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect(C, "ACK");
    assert_eq!(ack.body, "");
    assert_eq!(ack.request_uri, "sip:1005@127.0.0.138:5060");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn with_immediate_the_callees_ack_leaves_before_the_callers_200_and_only_once() {
    let mut lab = Lab::with(immediate);
    let (mut caller, c) = answered(&mut lab);
    assert_eq!(lab.ladder().split_off(6), ["C → S 200 INVITE", "S → C ACK", "S → A 200 INVITE"]);
    lab.expect(C, "ACK");
    caller.answered_and_acked(&mut lab);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

/// A calls C without an offer; C's 200 has one; A's ACK brings the answer.
fn late_offer(change: impl FnOnce(&mut Setup)) {
    let mut lab = Lab::with(change);
    let mut caller = Invite::new(&mut lab, A, "1005").body("").send(&mut lab);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert!(!c.invite.has("Content-Type"));
    c.respond_with(&mut lab, "200 OK", &[], OFFER);
    assert_eq!(lab.sent_to(C), ["INVITE"], "the ACK must carry the answer: it waits");
    assert_eq!(caller.answered(&mut lab).body, OFFER);
    caller.ack(&mut lab, ANSWER);
    let ack = lab.expect(C, "ACK");
    assert_eq!(ack.body, ANSWER);
    assert_eq!(ack.one("Content-Type"), "application/sdp");
    lab.advance(500);
    c.respond_with(&mut lab, "200 OK", &[], OFFER);
    assert_eq!(lab.expect(C, "ACK"), ack, "the answer goes with the ACK each time");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn with_a_late_offer_the_callers_ack_brings_the_answer() {
    late_offer(|_| {});
}

#[test]
fn with_a_late_offer_the_ack_is_relayed_even_with_immediate() {
    late_offer(immediate);
}

#[test]
fn the_callers_200_is_repeated_at_t1_doubling_to_t2() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    let answer = caller.answered(&mut lab);
    lab.advance(T1X64_MS - 1);
    let expected = [504, 1504, 3504, 7504, 11504, 15504, 19504, 23504, 27504, 31504]
        .map(|at| format!("{at} A 200 INVITE"));
    assert_eq!(lab.sent_when(), expected);
    assert_eq!(lab.last_to(A), answer);
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    lab.advance(10_000);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn when_the_callers_ack_never_comes_both_sides_get_bye_after_64_t1() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.answered(&mut lab);
    lab.advance(T1X64_MS - 1);
    lab.sent();
    lab.advance(1);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.expect(C, "ACK");
    c.hung_up(&mut lab);
    assert_eq!(lab.metrics().acks_missing, 1);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn with_immediate_too_a_missing_ack_ends_both_sides() {
    let mut lab = Lab::with(immediate);
    let (mut caller, c) = answered(&mut lab);
    lab.expect(C, "ACK");
    caller.answered(&mut lab);
    lab.advance(T1X64_MS - 1);
    lab.sent();
    lab.advance(1);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    c.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn the_callees_repeated_200_gets_its_ack_again() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let ack = lab.last_to(C);
    for _ in 0..3 {
        lab.advance(2_000);
        c.respond(&mut lab, "200 OK");
        assert_eq!(lab.expect(C, "ACK"), ack, "byte for byte");
        lab.expect_nothing();
    }
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_callees_200_repeated_before_the_callers_ack_is_absorbed() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.answered(&mut lab);
    c.respond(&mut lab, "200 OK");
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_callers_repeated_ack_is_absorbed() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.answered(&mut lab);
    let ack = caller.ack(&mut lab, "");
    lab.expect(C, "ACK");
    lab.send(A, &ack);
    caller.ack(&mut lab, "");
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn an_ack_with_the_invites_own_branch_counts_as_well() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    let answer = caller.answered(&mut lab);
    lab.send(A, &caller.ack_refusal_text(&answer));
    lab.expect(C, "ACK");
    lab.advance(1_000);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_stray_ack_is_dropped() {
    let mut lab = Lab::new();
    let ack = lab::caller::request(&mut lab, A, "ACK", "1004");
    lab.send(A, &ack.text());
    for tag in ["unknown", "a0000000000000001deadbeef", "b00000000000000018d686406"] {
        let mut ack = lab::caller::request(&mut lab, A, "ACK", "1004");
        ack.to += &format!(";tag={tag}");
        lab.send(A, &ack.text());
    }
    lab.expect_nothing();
    assert_eq!(lab.metrics().stray_acks, 4);
    lab.finish();
}

#[test]
fn an_ack_with_another_cseq_or_from_tag_acknowledges_nothing() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.answered(&mut lab);
    let other = caller.dialog().text(&mut lab, "ACK", 40, &[], "");
    lab.send(A, &other);
    let right = caller.dialog().text(&mut lab, "ACK", 39, &[], "");
    lab.send(A, &right.replace("tag=3873", "tag=3874"));
    assert_eq!(lab.sent_to(C), ["INVITE"]);
    assert_eq!(lab.metrics().stray_acks, 2);
    lab.send(A, &right);
    lab.expect(C, "ACK");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_ack_to_a_refusal_is_absorbed_and_never_routed() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    let refusal = caller.refused(&mut lab, 486);
    for _ in 0..3 {
        lab.send(A, &caller.ack_refusal_text(&refusal));
    }
    lab.advance(20_000);
    lab.send(A, &caller.ack_refusal_text(&refusal));
    lab.expect_nothing();
    assert_eq!(lab.sent_to(B), ["INVITE", "ACK"]);
    assert_eq!(lab.sent_to(A).last().map(String::as_str), Some("486 INVITE"));
    assert_eq!(lab.metrics().stray_acks, 1, "the last came after Timer I");
    lab.finish();
}

#[test]
fn the_ack_to_a_refusal_without_a_transaction_is_dropped() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "9999");
    caller.refused(&mut lab, 404);
    lab.expect_nothing();
    assert_eq!(lab.metrics().stray_acks, 1);
    lab.finish();
}

#[test]
fn a_forking_proxys_second_answer_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let mut other = c.clone();
    other.tag = "another".into();
    let answer = other.text("200 OK").replace("sip:1005@127.0.0.138:5060", "sip:1006@127.0.0.139:5060");
    lab.send(C, &answer);
    let ack = lab.expect(lab::peer::D, "ACK");
    let bye = lab.expect(lab::peer::D, "BYE");
    assert_eq!((ack.to_tag.as_str(), bye.to_tag.as_str()), ("another", "another"));
    lab.send(lab::peer::D, &lab::caller::response(&bye, "200 OK", "", &[], ""));
    // It did not hear the ACK: that goes out again, the BYE does not.
    lab.send(C, &answer);
    assert_eq!(lab.expect(lab::peer::D, "ACK"), ack);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}
