//! A group of phones: what went wrong once (RFC 3261 §16.5, §16.7, §17.1.1.3; RFC 3960).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::group::{self, B1, B2, B3, C1, C2, binding, binding_with_path};
use lab::party::{Party, sdp};
use lab::peer::{A, B, C, D};
use lab::scene::{refuse_and_finish, talk_and_finish};

#[test]
fn the_best_response_forwards_though_it_was_not_the_last() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    // No answer goes before what says less of the callee.
    b1.reject(&mut lab, "408 Request Timeout");
    lab.expect_nothing();
    b2.reject(&mut lab, "404 Not Found");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    assert!(c.invite.one("Diversion").contains(";reason=no-answer;"));
    assert_eq!(lab.metrics().forwarded_no_answer, 1);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_best_response_of_an_earlier_level_forwards() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond_with(&mut lab, "480 Temporarily Unavailable", &["Reason: Q.850;cause=19"], "");
    lab.expect(B1, "ACK");
    let [b2] = group::started(&mut lab, [B2]);
    b2.reject(&mut lab, "500 Server Internal Error");
    lab.expect(A, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_ack_to_a_refusal_has_the_invites_route() {
    let mut lab = Lab::with(|setup| {
        setup.only_registers(C);
        setup.bind_as(C1, binding_with_path(C1, 1_000, "<sip:127.0.0.151;lr>"));
    });
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c1 = Leg::expect(&mut lab, C1);
    // RFC 3261 §17.1.1.3.
    let ack = c1.reject(&mut lab, "486 Busy Here");
    assert_eq!(ack.all("Route"), ["<sip:127.0.0.151;lr>"]);
    caller.refused(&mut lab, 486);
    assert_eq!(c1.reject(&mut lab, "486 Busy Here").all("Route"), ["<sip:127.0.0.151;lr>"]);
    lab.finish();
}

#[test]
fn the_same_location_at_two_levels_rings_once() {
    // RFC 3261 §16.5: a URI stands in the target set once.
    let mut lab = Lab::with(|setup| {
        let mut registered = binding(C, 500);
        registered.uri = setup.subscriber(C).contact.as_ref().unwrap().uri.clone();
        setup.bind_as(C, registered);
    });
    let caller = Caller::call(&mut lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(&mut lab, C);
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn when_early_media_has_gone_with_its_leg_the_callers_hear_the_next_ringing() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b2.ring(&mut lab);
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    // Nobody's media is heard any more.
    b3.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &b3);
}

#[test]
fn early_media_of_the_group_before_does_not_silence_the_targets_phones() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        setup.settings.send_181 = false;
        setup.only_registers(C);
        setup.bind(C1, 1_000);
        setup.bind(C2, 1_000);
    });
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    c1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &c2);
}

#[test]
fn while_a_leg_that_has_gone_is_being_cancelled_requests_go_to_one_that_rings() {
    // Before the cancelled phone has sent its 487.
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.settings.trying_limit_ms = 5_000);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    let mut a = Party::caller(&caller, &ringing);
    b2.respond(&mut lab, "182 Queued");
    lab.expect(A, "182 INVITE");
    lab.advance(5_000);
    let cancel = lab.expect(B2, "CANCEL");
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(B1, "INFO");
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    b2.answer(&mut lab, &cancel, "200 OK");
    b2.reject(&mut lab, "487 Request Terminated");
    refuse_and_finish(lab, &caller, &b1);
}

#[test]
fn a_caller_who_requires_100rel_hears_one_180_of_a_group() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call_with(&mut lab, &["Require: 100rel"], [B1, B2]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    // Held back: the first is not confirmed yet.
    b2.ring(&mut lab);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect_nothing();
    b2.respond(&mut lab, "200 OK");
    b1.cancelled(&mut lab);
    caller.cseq = a.cseq;
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn what_is_held_back_is_early_media_rather_than_anothers_ringing() {
    let mut lab = group::lab(&[1_000; 3]);
    let (mut caller, [b1, b2, b3]) = group::call_with(&mut lab, &["Require: 100rel"], [B1, B2, B3]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    b2.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    b3.ring(&mut lab);
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &ringing);
    let prack = a.prack(&mut lab, &ringing, "");
    a.expect_response(&mut lab, &prack, 200);
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!(progress.body, sdp(1));
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect_nothing();
    b1.reject(&mut lab, "486 Busy Here");
    b3.reject(&mut lab, "486 Busy Here");
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    caller.cseq = a.cseq;
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn the_callers_requests_go_to_the_targets_phone_that_rings_though_an_earlier_answer_was_confirmed() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        setup.only_registers(C);
        setup.bind(C1, 1_000);
        setup.bind(C2, 1_000);
    });
    let (caller, [b1]) = group::call_with(&mut lab, &["Supported: 100rel"], [B1]);
    b1.reliable(&mut lab, "183 Session Progress", 1, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    let relayed = lab.expect(B1, "PRACK");
    b1.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &prack, 200);
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = lab.expect(C2, "INFO");
    c2.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    c1.reject(&mut lab, "486 Busy Here");
    refuse_and_finish(lab, &caller, &c2);
}

#[test]
fn a_level_that_cannot_be_tried_is_passed_over_at_once() {
    // An INVITE that became too long for a datagram.
    let path = format!("<sip:127.0.0.161;lr;x={}>", "x".repeat(40_000));
    let mut lab = Lab::with(|setup| {
        setup.only_registers(B);
        setup.bind_as(B1, binding_with_path(B1, 1_000, &path));
        setup.bind(B2, 500);
    });
    let mut invite = Invite::new(&mut lab, A, B.number);
    invite.lines.push(format!("X-Long: {}", "y".repeat(30_000)));
    let caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let b2 = Leg::expect(&mut lab, B2);
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn when_all_have_failed_the_timer_of_the_target_is_a_new_one() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.forward(C, D));
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(15_000);
    b1.reject(&mut lab, "408 Request Timeout");
    b2.reject(&mut lab, "408 Request Timeout");
    lab.expect(A, "181 INVITE");
    let [c] = group::started(&mut lab, [C]);
    c.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    lab.advance(19_992);
    lab.expect_nothing();
    lab.advance(8);
    c.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [d] = group::started(&mut lab, [D]);
    assert_eq!(d.invite.all("Diversion").len(), 2);
    refuse_and_finish(lab, &caller, &d);
}

#[test]
fn a_422_is_met_by_the_same_path() {
    let mut lab = group::lab_with(&[], |setup| {
        setup.bind_as(B1, binding_with_path(B1, 1_000, "<sip:127.0.0.161;lr>,<sip:127.0.0.99;lr>"));
        setup.bind(B2, 1_000);
    });
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 120"], "");
    lab.expect(B1, "ACK");
    let again = Leg::expect(&mut lab, B1);
    assert_eq!(again.invite.all("Route"), b1.invite.all("Route"));
    assert_eq!(again.invite.request_uri, b1.invite.request_uri);
    b2.respond(&mut lab, "200 OK");
    again.respond(&mut lab, "200 OK");
    lab.expect(B1, "ACK");
    again.hung_up(&mut lab);
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn ringback_comes_after_the_prack_of_early_media_that_has_gone() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call_with(&mut lab, &["Supported: 100rel"], [B1, B2]);
    b2.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    b1.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect(A, "180 INVITE");
    refuse_and_finish(lab, &caller, &b2);
}

#[test]
fn what_was_held_of_an_invite_that_a_422_has_replaced_is_not_passed_on() {
    let mut lab = group::lab(&[1_000]);
    let (caller, [b1]) = group::call_with(&mut lab, &["Supported: 100rel"], [B1]);
    b1.reliable(&mut lab, "183 Session Progress", 5, &sdp(1));
    let progress = lab.expect(A, "183 INVITE");
    // Held until the caller's PRACK.
    b1.respond(&mut lab, "180 Ringing");
    b1.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 300"], "");
    lab.expect(B1, "ACK");
    let [again] = group::started(&mut lab, [B1]);
    let mut a = Party::caller(&caller, &progress);
    let prack = a.prack(&mut lab, &progress, "");
    a.expect_response(&mut lab, &prack, 200);
    lab.expect_nothing();
    // The first INVITE's early dialog is no more.
    let info = a.request(&mut lab, "INFO", &[], "");
    a.expect_response(&mut lab, &info, 500);
    lab.expect_nothing();
    refuse_and_finish(lab, &caller, &again);
}

#[test]
fn the_dialog_with_a_phone_behind_a_nat_goes_where_its_invite_went() {
    // RFC 3581 §4: the binding names the address that the REGISTER came from; nothing reaches the
    // Contact's own.
    let mut lab = group::lab_with(&[], |setup| {
        let mut behind_nat = binding(B1, 1_000);
        behind_nat.uri = "sip:1004@10.0.0.5:5062".into();
        setup.bind_as(B1, behind_nat);
    });
    let (mut caller, [b1]) = group::call(&mut lab, [B1]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond_with(&mut lab, "200 OK", &["Contact: <sip:1004@10.0.0.5:5062>"], &sdp(1));
    caller.answered_and_acked(&mut lab);
    let ack = lab.expect(B1, "ACK");
    assert_eq!(ack.request_uri, "sip:1004@10.0.0.5:5062");
    lab::scene::hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn groups_leave_the_room_that_is_kept_for_calls_that_live() {
    let mut lab = Lab::with(|setup| {
        setup.settings.max_transactions = 64;
        (1..=group::PHONES).for_each(|number| setup.bind(group::phone(number), 1_000));
    });
    let (caller, c) = lab::scene::talking(&mut lab);
    lab.advance(40_000);
    lab.expect_nothing();
    let mut calls = Vec::new();
    loop {
        let call = Caller::call(&mut lab, D, B.number);
        if lab.sent() == ["D 503 INVITE"] {
            let refusal = lab.last_to(D);
            lab.send(D, &call.ack_refusal_text(&refusal));
            break;
        }
        calls.push(call);
    }
    for call in &calls {
        call.cancel(&mut lab);
        lab.expect(D, "200 CANCEL");
        call.refused(&mut lab, 487);
    }
    // The BYE and what is passed on of it have their transactions.
    let mut caller = caller;
    caller.bye(&mut lab);
    lab.expect(A, "200 BYE");
    c.hung_up(&mut lab);
    assert_eq!(lab.metrics().transactions_not_kept, 0);
    lab.advance(32_000);
    lab.sent();
    lab.finish();
}
