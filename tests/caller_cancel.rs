//! The caller gives up: CANCEL at every stage of a call (SIP_RULES 4, 6).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, Dialog, request};
use lab::peer::{A, B, C};
use lab::scene::{answered, diverted, hang_up_and_finish, ringing, talk_and_finish};
use lab::{Lab, T1X64_MS};
use std::net::SocketAddr;

/// A cancels: 200 to the CANCEL and 487 to the INVITE leave at once, in this order.
#[track_caller]
fn cancel(lab: &mut Lab, caller: &Caller) {
    caller.cancel(lab);
    let ok = lab.expect(A, "200 CANCEL");
    let terminated = caller.refused(lab, 487);
    assert_eq!(ok.to_tag, terminated.to_tag);
    assert_eq!(terminated.reason, "Request Terminated");
}

#[test]
fn before_the_callee_said_anything_its_cancel_is_held_until_it_does() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    cancel(&mut lab, &caller);
    lab.advance(400);
    lab.expect_nothing();
    b.respond(&mut lab, "100 Trying");
    b.cancelled(&mut lab);
    assert_eq!(lab.metrics().calls_cancelled, 1);
    lab.finish();
}

#[test]
fn a_held_cancel_leaves_at_a_180_too_and_the_caller_does_not_hear_of_it() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    cancel(&mut lab, &caller);
    b.respond(&mut lab, "180 Ringing");
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_cancel_is_held_at_most_until_timer_b() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    lab.expect(B, "INVITE");
    cancel(&mut lab, &caller);
    lab.advance(T1X64_MS);
    assert_eq!(lab.sent(), ["B INVITE"; 6]);
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_callee_that_answers_before_its_held_cancel_is_acked_and_byed() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    cancel(&mut lab, &caller);
    b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    lab.finish();
}

#[test]
fn a_callee_that_refuses_before_its_held_cancel_is_acked() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    cancel(&mut lab, &caller);
    b.reject(&mut lab, "408 Request Timeout");
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn before_the_callee_rings() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1004");
    lab.expect(A, "100 INVITE");
    let b = Leg::expect(&mut lab, B);
    b.respond(&mut lab, "100 Trying");
    cancel(&mut lab, &caller);
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn while_the_callee_rings() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.advance(7_000);
    caller.cancel(&mut lab);
    assert_eq!(lab.sent(), ["A 200 CANCEL", "A 487 INVITE", "B CANCEL"]);
    lab.send(A, &caller.ack_refusal_text(&lab.last_to(A)));
    b.reject(&mut lab, "487 Request Terminated");
    lab.finish();
}

#[test]
fn a_callee_that_answers_while_its_cancel_is_under_way_is_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    cancel(&mut lab, &caller);
    let cancel = lab.expect(B, "CANCEL");
    b.respond(&mut lab, "200 OK");
    lab.expect(B, "ACK");
    b.hung_up(&mut lab);
    b.answer(&mut lab, &cancel, "200 OK");
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn while_the_callees_cancel_is_under_way_no_further_target_is_tried() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    cancel(&mut lab, &caller);
    let cancel = lab.expect(B, "CANCEL");
    b.respond(&mut lab, "180 Ringing");
    b.answer(&mut lab, &cancel, "200 OK");
    b.reject(&mut lab, "408 Request Timeout");
    lab.advance(40_000);
    lab.expect_nothing();
    assert_eq!(lab.sent_to(C), Vec::<String>::new());
    lab.finish();
}

#[test]
fn after_our_own_cancel_while_the_target_said_nothing_yet() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    cancel(&mut lab, &caller);
    b.cancelled(&mut lab);
    lab.advance(100);
    lab.expect_nothing();
    c.respond(&mut lab, "100 Trying");
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn while_the_target_rings() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    b.cancelled(&mut lab);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    cancel(&mut lab, &caller);
    c.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn both_legs_that_answer_after_the_callers_cancel_are_acked_and_byed() {
    let mut lab = Lab::new();
    let (caller, b, c) = diverted(&mut lab);
    lab.expect(B, "CANCEL");
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    cancel(&mut lab, &caller);
    lab.expect(C, "CANCEL");
    for leg in [&b, &c] {
        leg.respond(&mut lab, "200 OK");
        lab.expect(leg.peer, "ACK");
        leg.hung_up(&mut lab);
    }
    lab.finish();
}

#[test]
fn after_our_200_the_cancel_gets_200_and_has_no_effect() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.cancel(&mut lab);
    let answer = caller.answered_and_acked(&mut lab);
    let ok = lab.expect(A, "200 CANCEL");
    assert_eq!(ok.to_tag, answer.to_tag);
    lab.expect(C, "ACK");
    assert_eq!(lab.metrics().calls_cancelled, 0);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn after_a_refusal_the_cancel_gets_200_and_has_no_effect() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    b.reject(&mut lab, "486 Busy Here");
    caller.cancel(&mut lab);
    caller.refused(&mut lab, 486);
    lab.expect(A, "200 CANCEL");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    lab.finish();
}

#[test]
fn a_repeated_cancel_gets_the_same_200_and_nothing_else() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    caller.cancel(&mut lab);
    let first = lab.expect(A, "200 CANCEL");
    caller.cancel(&mut lab);
    caller.refused(&mut lab, 487);
    assert_eq!(lab.expect(A, "200 CANCEL"), first);
    caller.cancel(&mut lab);
    assert_eq!(lab.expect(A, "200 CANCEL"), first);
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn behind_a_nat_that_changed_the_port_the_cancel_still_finds_its_invite() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let other_port = SocketAddr::new(A.address.ip(), 40_000);
    lab.send_from(other_port, &caller.cancel_text());
    let ok = lab.expect_at(other_port, "200 CANCEL");
    let via = "SIP/2.0/UDP 127.0.0.137:5060;rport=40000;branch=z9hG4bK10751;received=127.0.0.137";
    assert_eq!(ok.one("Via"), via);
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn behind_a_nat_that_taught_the_phone_another_sent_by_the_cancel_still_finds_its_invite() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let cancel = caller.cancel_text().replace("UDP 127.0.0.137:5060", "UDP 203.0.113.9:40000");
    lab.send(A, &cancel);
    let via = "SIP/2.0/UDP 203.0.113.9:40000;rport=5060;branch=z9hG4bK10751;received=127.0.0.137";
    assert_eq!(lab.expect(A, "200 CANCEL").one("Via"), via);
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_cancel_of_nothing_gets_481() {
    let mut lab = Lab::new();
    let never_sent = request(&mut lab, A, "CANCEL", "1004");
    lab.send(A, &never_sent.text());
    lab.expect(A, "481 CANCEL");
    assert_eq!(lab.metrics().stray_cancels, 1);
    lab.finish();
}

#[test]
fn a_cancel_of_another_branch_gets_481_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    lab.send(A, &caller.cancel_text().replace("z9hG4bK1075", "z9hG4bK9999"));
    lab.expect(A, "481 CANCEL");
    lab.expect_nothing();
    b.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b);
}

#[test]
fn a_bye_on_the_early_dialog_ends_the_call_as_a_cancel_does() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let early = Dialog::of_caller(A, &lab.last_to(A));
    let bye = early.text(&mut lab, "BYE", 40, &[], "");
    lab.send(A, &bye);
    lab.expect(A, "200 BYE");
    caller.refused(&mut lab, 487);
    b.cancelled(&mut lab);
    lab.send(A, &bye);
    lab.expect(A, "200 BYE");
    lab.finish();
}

#[test]
fn a_bye_on_an_early_dialog_that_is_over_gets_481() {
    let mut lab = Lab::new();
    let (caller, b) = ringing(&mut lab);
    let early = Dialog::of_caller(A, &lab.last_to(A));
    cancel(&mut lab, &caller);
    let bye = early.text(&mut lab, "BYE", 40, &[], "");
    lab.send(A, &bye);
    lab.expect(A, "481 BYE");
    b.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_callee_that_ignores_its_cancel_is_given_up_after_64_t1() {
    let mut lab = Lab::new();
    let (caller, _) = ringing(&mut lab);
    cancel(&mut lab, &caller);
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.calls(), 1);
    assert!(lab.sent().iter().all(|sent| sent == "B CANCEL"));
    lab.advance(1);
    assert_eq!(lab.calls(), 0);
    lab.expect_nothing();
    lab.finish();
}
