//! How a call ends: BYE from either side, from both, before the ACK, repeated, unanswered
//! (SIP_RULES 21).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, request};
use lab::peer::{A, B, C};
use lab::scene::{answered, hang_up_and_finish, talking};
use lab::{Lab, T1X64_MS};

#[test]
fn the_callers_bye_is_answered_at_once_and_ends_the_callees_dialog() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    lab.advance(60_000);
    caller.bye(&mut lab);
    let ok = lab.expect(A, "200 BYE");
    assert_eq!(ok.one("CSeq"), "40 BYE");
    let bye = c.hung_up(&mut lab);
    assert_eq!(bye.request_uri, "sip:1005@127.0.0.138:5060");
    assert_eq!(bye.one("CSeq"), "2 BYE");
    assert_eq!((&bye.from_tag, &bye.to_tag), (&c.invite.from_tag, &c.tag));
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn the_callees_bye_is_answered_at_once_and_ends_the_callers_dialog() {
    let mut lab = Lab::new();
    let (caller, mut c) = talking(&mut lab);
    c.bye(&mut lab);
    assert_eq!(lab.ladder().split_off(10), ["C → S BYE", "S → C 200 BYE", "S → A BYE"]);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    assert_eq!(bye.one("CSeq"), "1 BYE");
    assert_eq!(bye.request_uri, "sip:1003@127.0.0.137:5060");
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn both_sides_may_hang_up_at_once() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = talking(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    lab.expect_nothing();
    c.answer(&mut lab, &bye, "481 Call/Transaction Does Not Exist");
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn both_sides_may_hang_up_at_once_the_callee_first() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = talking(&mut lab);
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    lab.expect_nothing();
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn a_caller_may_hang_up_before_its_ack() {
    let mut lab = Lab::new();
    let (mut caller, c) = answered(&mut lab);
    caller.answered(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    assert_eq!(lab.sent_to(C), ["INVITE", "ACK", "BYE"], "the callee's dialog is confirmed, then ended");
    lab.expect(C, "ACK");
    // The ACK that the BYE has overtaken.
    caller.ack(&mut lab, "");
    c.hung_up(&mut lab);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn when_the_callee_hangs_up_before_the_callers_ack_the_callers_bye_waits_for_it() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = answered(&mut lab);
    caller.answered(&mut lab);
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    // RFC 3261 §13.2.2.4: its 200 gets an ACK all the same.
    lab.expect(C, "ACK");
    lab.expect_nothing();
    lab.advance(200);
    caller.ack(&mut lab, "");
    let bye = lab.expect(A, "BYE");
    lab.expect_nothing();
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn when_the_callee_hung_up_the_callers_200_is_repeated_until_its_ack() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = answered(&mut lab);
    caller.answered(&mut lab);
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    lab.expect(C, "ACK");
    lab.advance(1_600);
    assert_eq!(lab.sent_when(), ["504 A 200 INVITE", "1504 A 200 INVITE"]);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    assert_eq!(lab.calls(), 0);
    lab.advance(10_000);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn when_the_callee_hung_up_and_the_callers_ack_never_comes_the_caller_gets_its_bye() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = answered(&mut lab);
    caller.answered(&mut lab);
    c.bye(&mut lab);
    lab.advance(T1X64_MS - 1);
    lab.sent();
    lab.advance(1);
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    assert_eq!(lab.metrics().acks_missing, 1);
    lab.finish();
}

#[test]
fn a_repeated_bye_gets_the_same_200_and_goes_no_further() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    let bye = caller.bye(&mut lab);
    let ok = lab.expect(A, "200 BYE");
    let first = lab.expect(C, "BYE");
    lab.send(A, &bye);
    assert_eq!(lab.expect(A, "200 BYE"), ok);
    lab.expect_nothing();
    c.answer(&mut lab, &first, "200 OK");
    lab.advance(20_000);
    lab.send(A, &bye);
    assert_eq!(lab.expect(A, "200 BYE"), ok, "the call is over, the transaction is not");
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn a_second_bye_in_a_dialog_that_is_over_gets_481() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = talking(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    caller.bye(&mut lab);
    lab.expect(A, "481 BYE");
    c.hung_up(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "481 BYE");
    c.bye(&mut lab);
    lab.expect(C, "481 BYE");
    lab.finish();
}

#[test]
fn the_reason_of_a_bye_is_relayed() {
    let reason = "Q.850;cause=16;text=\"Normal, clearing\"";
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    caller.in_dialog(&mut lab, "BYE", &[&format!("Reason: {reason}"), "Reason: SIP;cause=200", "X-Own: 1"]);
    lab.expect(A, "200 BYE");
    let bye = c.hung_up(&mut lab);
    assert_eq!(bye.all("Reason"), [reason, "SIP;cause=200"]);
    lab.finish();

    let mut lab = Lab::new();
    let (caller, mut c) = talking(&mut lab);
    c.in_dialog(&mut lab, "BYE", &[&format!("Reason: {reason}")]);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    assert_eq!(bye.all("Reason"), [reason]);
    caller.respond(&mut lab, &bye, "200 OK");
    lab.finish();
}

#[test]
fn a_bye_for_an_unknown_dialog_gets_481() {
    let mut lab = Lab::new();
    for tag in ["", ";tag=unknown", ";tag=a0000000000000001deadbeef", ";tag=b00000000000000018d686406"] {
        let mut bye = request(&mut lab, A, "BYE", "1004");
        bye.to += tag;
        lab.send(A, &bye.text());
        lab.expect(A, "481 BYE");
    }
    lab.finish();
}

#[test]
fn a_bye_with_another_call_id_or_from_tag_gets_481_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    let bye = caller.dialog().text(&mut lab, "BYE", 40, &[], "");
    lab.send(A, &bye.replace("call1@", "call2@"));
    lab.expect(A, "481 BYE");
    lab.send(A, &bye.replace("tag=3873", "tag=3874"));
    lab.expect(A, "481 BYE");
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_bye_from_a_stranger_with_the_other_sides_tag_gets_481() {
    let mut lab = Lab::new();
    let (caller, c) = talking(&mut lab);
    // The callee's dialog, named with the caller's tags.
    let mut mixed = caller.dialog();
    mixed.remote = format!("<sip:x@x>;tag={}", c.invite.from_tag);
    let bye = mixed.text(&mut lab, "BYE", 40, &[], "");
    lab.send(A, &bye);
    lab.expect(A, "481 BYE");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_bye_out_of_order_gets_500_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (mut caller, mut c) = talking(&mut lab);
    caller.cseq = 37;
    caller.bye(&mut lab);
    lab.expect(A, "500 BYE");
    lab.expect_nothing();
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    let bye = lab.expect(C, "BYE");
    // The callee has counted nothing yet: any number will do.
    c.cseq = 0;
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    c.answer(&mut lab, &bye, "200 OK");
    lab.finish();
}

#[test]
fn a_bye_that_is_never_answered_is_given_up_after_timer_f() {
    let mut lab = Lab::new();
    let (mut caller, _) = talking(&mut lab);
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    lab.advance(T1X64_MS - 1);
    assert_eq!(lab.calls(), 1);
    assert_eq!(lab.sent(), ["C BYE"; 11]);
    lab.advance(1);
    assert_eq!(lab.calls(), 0);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn neither_sides_bye_answered_leaves_nothing_behind() {
    let mut lab = Lab::new();
    let (mut caller, _) = answered(&mut lab);
    caller.answered(&mut lab);
    lab.advance(2 * T1X64_MS + 8);
    let sent = lab.sent();
    let count = |what: &str| sent.iter().filter(|sent| *sent == what).count();
    assert_eq!((count("A BYE"), count("C BYE"), count("C ACK")), (11, 11, 1));
    assert_eq!(lab.calls(), 0);
    lab.finish();
}

#[test]
fn an_error_to_our_bye_ends_the_call_as_well() {
    for status in ["403 Forbidden", "408 Request Timeout", "481 Call Does Not Exist", "500 Oops"] {
        let mut lab = Lab::new();
        let (mut caller, c) = talking(&mut lab);
        caller.bye(&mut lab);
        lab.expect(A, "200 BYE");
        let bye = lab.expect(C, "BYE");
        c.answer(&mut lab, &bye, status);
        assert_eq!(lab.calls(), 0);
        lab.expect_nothing();
        lab.finish();
    }
}

#[test]
fn the_forwarded_call_ends_towards_the_target_only() {
    let mut lab = Lab::new();
    let (mut caller, b, c) = lab::scene::diverted(&mut lab);
    b.cancelled(&mut lab);
    c.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    let before = lab.sent_to(B).len();
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    assert_eq!(lab.sent_to(B).len(), before);
    lab.finish();
}

#[test]
fn a_callees_bye_before_its_answer_gets_481() {
    let mut lab = Lab::new();
    let caller = Caller::call(&mut lab, A, "1005");
    lab.expect(A, "100 INVITE");
    let mut c = Leg::expect(&mut lab, C);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c.bye(&mut lab);
    lab.expect(C, "481 BYE");
    lab::scene::refuse_and_finish(lab, &caller, &c);
}
