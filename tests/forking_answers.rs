//! Who answers first of a group wins; what happens to the others, to answers that cross, and when the
//! caller gives up (RFC 3261 §9, §13.2.2.4, §16.7 step 10).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::T1X64_MS;
use lab::group::{self, B1, B2, B3, C1, C2};
use lab::party::sdp;
use lab::peer::{A, C, Setup};
use lab::scene::{hang_up_and_finish, talk_and_finish};
use ringway::settings::{AckPolicy, LateAnswer};

#[test]
fn the_first_answer_wins_and_all_others_are_cancelled() {
    let mut lab = group::lab(&[1_000; 3]);
    let (mut caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    b3.ring(&mut lab);
    lab.expect_nothing();
    let before = lab.trace.len();
    b2.respond_with(&mut lab, "200 OK", &["X-Own: 2"], &sdp(2));
    let arrows: Vec<String> = lab.ladder().split_off(before);
    assert_eq!(arrows.len(), 4, "{arrows:?}");
    for leg in [&b1, &b3] {
        let cancel = lab.expect(leg.peer, "CANCEL");
        assert_eq!((&cancel.branch, &cancel.call_id), (&leg.invite.branch, &leg.invite.call_id));
        assert_eq!(cancel.one("CSeq"), "1 CANCEL");
        leg.answer(&mut lab, &cancel, "200 OK");
        leg.reject(&mut lab, "487 Request Terminated");
    }
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!((answer.body.as_str(), answer.one("X-Own")), (sdp(2).as_str(), "2"));
    assert_eq!(answer.to_tag, ringing.to_tag, "one dialog for the caller");
    assert_eq!(answer.one("Record-ID"), b1.invite.one("Record-ID"));
    let ack = lab.expect(B2, "ACK");
    assert_eq!((ack.to_tag.as_str(), ack.call_id.as_str()), (b2.tag.as_str(), b2.invite.call_id.as_str()));
    assert_eq!(ack.request_uri, "sip:1004@127.0.0.162:5060");
    assert_eq!(lab.metrics().calls_answered, 1);
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn a_loser_that_said_nothing_yet_is_cancelled_at_its_first_1xx() {
    for status in ["100 Trying", "180 Ringing", "183 Session Progress"] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.respond(&mut lab, "200 OK");
        caller.answered_and_acked(&mut lab);
        lab.expect(B1, "ACK");
        lab.expect_nothing();
        b2.respond(&mut lab, status);
        b2.cancelled(&mut lab);
        lab.expect_nothing();
        hang_up_and_finish(lab, caller, &b1);
    }
}

#[test]
fn a_loser_that_never_says_anything_is_given_up_after_timer_b() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, _]) = group::call(&mut lab, [B1, B2]);
    b1.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    lab.advance(T1X64_MS);
    assert!(lab.sent().iter().all(|sent| sent == "B2 INVITE"));
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn a_loser_that_never_sends_its_487_is_given_up_after_64_t1() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "200 OK");
    let cancel = lab.expect(B2, "CANCEL");
    b2.answer(&mut lab, &cancel, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    lab.advance(T1X64_MS);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acked_and_byed() {
    for held in [false, true] {
        let mut lab = group::lab(&[1_000, 1_000]);
        let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
        b1.ring(&mut lab);
        lab.expect(A, "180 INVITE");
        if !held {
            b2.respond(&mut lab, "100 Trying");
        }
        b1.respond_with(&mut lab, "200 OK", &[], &sdp(1));
        let cancel = (!held).then(|| lab.expect(B2, "CANCEL"));
        assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(1));
        lab.expect(B1, "ACK");
        b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
        let ack = lab.expect(B2, "ACK");
        assert_eq!((ack.to_tag.as_str(), ack.cseq), (b2.tag.as_str(), 1));
        let bye = b2.hung_up(&mut lab);
        assert_eq!((bye.to_tag.as_str(), bye.cseq), (b2.tag.as_str(), 2));
        assert_eq!(bye.call_id, b2.invite.call_id);
        if let Some(cancel) = cancel {
            b2.answer(&mut lab, &cancel, "200 OK");
        }
        lab.expect_nothing();
        assert_eq!(lab.metrics().late_answers, 1);
        hang_up_and_finish(lab, caller, &b1);
    }
}

#[test]
fn answers_of_all_phones_at_once_leave_one_winner() {
    let mut lab = group::lab(&[1_000; 3]);
    let (mut caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b2.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    b1.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    b3.respond_with(&mut lab, "200 OK", &[], &sdp(3));
    assert_eq!(caller.answered(&mut lab).body, sdp(2));
    for leg in [&b1, &b3] {
        lab.expect(leg.peer, "ACK");
        leg.hung_up(&mut lab);
    }
    // The winner is not acknowledged before the caller's ACK.
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    lab.expect(B2, "ACK");
    hang_up_and_finish(lab, caller, &b2);
}

#[test]
fn with_an_immediate_ack_the_winner_alone_has_it_at_once() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| setup.settings.ack = AckPolicy::Immediate);
    let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "200 OK");
    lab.expect(B1, "ACK");
    b2.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn with_late_answer_keep_a_loser_that_answers_is_byed_all_the_same() {
    let keep = |setup: &mut Setup| setup.settings.late_answer = LateAnswer::Keep;
    let mut lab = group::lab_with(&[1_000, 1_000], keep);
    let (mut caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.respond(&mut lab, "200 OK");
    let cancel = lab.expect(B2, "CANCEL");
    b2.respond(&mut lab, "200 OK");
    lab.expect(B2, "ACK");
    b2.hung_up(&mut lab);
    b2.answer(&mut lab, &cancel, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn with_late_answer_keep_a_late_answer_of_the_group_wins_and_the_targets_phones_are_cancelled() {
    let mut lab = group::lab_with(&[1_000, 1_000], |setup| {
        setup.settings.late_answer = LateAnswer::Keep;
        setup.only_registers(C);
        setup.bind(C1, 1_000);
        setup.bind(C2, 1_000);
    });
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    lab.advance(20_000);
    let cancel = lab.expect(B1, "CANCEL");
    b2.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b1.respond(&mut lab, "200 OK");
    c1.cancelled(&mut lab);
    b1.answer(&mut lab, &cancel, "200 OK");
    c2.respond(&mut lab, "100 Trying");
    c2.cancelled(&mut lab);
    talk_and_finish(lab, caller, &b1);
}

#[test]
fn a_failure_after_the_answer_changes_nothing() {
    let mut lab = group::lab(&[1_000, 1_000, 500]);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond(&mut lab, "200 OK");
    caller.answered(&mut lab);
    // It had no 1xx, so it got no CANCEL; it fails by itself.
    b2.reject(&mut lab, "603 Decline");
    lab.expect_nothing();
    caller.ack(&mut lab, "");
    lab.expect(B1, "ACK");
    hang_up_and_finish(lab, caller, &b1);
}

#[test]
fn a_phone_that_failed_does_not_keep_another_from_answering() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    b1.reject(&mut lab, "486 Busy Here");
    lab.expect_nothing();
    b2.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &b2);
}

#[test]
fn the_winners_callee_may_hang_up() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, mut b2]) = group::two_ring(&mut lab);
    b2.respond(&mut lab, "200 OK");
    b1.cancelled(&mut lab);
    caller.answered_and_acked(&mut lab);
    lab.expect(B2, "ACK");
    b2.bye(&mut lab);
    lab.expect(B2, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.finish();
}

#[test]
fn the_callers_cancel_reaches_every_phone() {
    let mut lab = group::lab(&[1_000; 3]);
    let (caller, [b1, b2, b3]) = group::call(&mut lab, [B1, B2, B3]);
    b1.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b2.respond(&mut lab, "100 Trying");
    let with_reason = caller
        .cancel_text()
        .replace("Content-Length", "Reason: SIP;cause=487;text=\"gave up\"\r\nContent-Length");
    lab.send(A, &with_reason);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    for leg in [&b1, &b2] {
        let cancel = lab.expect(leg.peer, "CANCEL");
        assert_eq!(cancel.one("Reason"), "SIP;cause=487;text=\"gave up\"");
        leg.answer(&mut lab, &cancel, "200 OK");
        leg.reject(&mut lab, "487 Request Terminated");
    }
    lab.expect_nothing();
    lab.advance(200);
    b3.respond(&mut lab, "180 Ringing");
    let cancel = lab.expect(B3, "CANCEL");
    assert_eq!(cancel.one("Reason"), "SIP;cause=487;text=\"gave up\"");
    b3.answer(&mut lab, &cancel, "200 OK");
    b3.reject(&mut lab, "487 Request Terminated");
    assert_eq!(lab.metrics().calls_cancelled, 1);
    lab.finish();
}

#[test]
fn after_the_callers_cancel_no_level_below_is_tried() {
    let mut lab = group::lab(&[1_000, 1_000, 500]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn the_callers_cancel_between_two_levels_reaches_the_second() {
    let mut lab = group::lab(&[1_000, 500]);
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    b1.reject(&mut lab, "486 Busy Here");
    let [b2] = group::started(&mut lab, [B2]);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    lab.expect_nothing();
    b2.respond(&mut lab, "100 Trying");
    b2.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn the_callers_cancel_after_a_forwarding_reaches_the_targets_phones_only() {
    let mut lab = group::lab_with(&[1_000], |setup| {
        setup.only_registers(C);
        setup.bind(C1, 1_000);
        setup.bind(C2, 1_000);
    });
    let (caller, [b1]) = group::call(&mut lab, [B1]);
    group::all_ring(&mut lab, std::slice::from_ref(&b1));
    lab.advance(20_000);
    b1.cancelled(&mut lab);
    lab.expect(A, "181 INVITE");
    let [c1, c2] = group::started(&mut lab, [C1, C2]);
    c1.respond(&mut lab, "100 Trying");
    c2.respond(&mut lab, "100 Trying");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    c1.cancelled(&mut lab);
    c2.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn every_phone_that_answers_after_the_callers_cancel_is_acked_and_byed() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::two_ring(&mut lab);
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    for leg in [&b1, &b2] {
        let cancel = lab.expect(leg.peer, "CANCEL");
        leg.respond(&mut lab, "200 OK");
        lab.expect(leg.peer, "ACK");
        leg.hung_up(&mut lab);
        leg.answer(&mut lab, &cancel, "200 OK");
    }
    assert_eq!(lab.metrics().late_answers, 2);
    lab.finish();
}

#[test]
fn the_callers_bye_in_its_early_dialog_cancels_every_phone() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.ring(&mut lab);
    let ringing = lab.expect(A, "180 INVITE");
    b2.respond(&mut lab, "100 Trying");
    let mut a = lab::party::Party::caller(&caller, &ringing);
    let bye = a.request(&mut lab, "BYE", &[], "");
    a.expect_response(&mut lab, &bye, 200);
    caller.refused(&mut lab, 487);
    b1.cancelled(&mut lab);
    b2.cancelled(&mut lab);
    lab.finish();
}

#[test]
fn a_repeated_answer_of_a_loser_is_acked_again_and_byed_once() {
    let mut lab = group::lab(&[1_000, 1_000]);
    let (mut caller, [b1, b2]) = group::call(&mut lab, [B1, B2]);
    b1.respond(&mut lab, "200 OK");
    caller.answered_and_acked(&mut lab);
    lab.expect(B1, "ACK");
    let text = b2.respond(&mut lab, "200 OK");
    let ack = lab.expect(B2, "ACK");
    b2.hung_up(&mut lab);
    lab.send(B2, &text);
    assert_eq!(lab.expect(B2, "ACK").to_tag, ack.to_tag);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &b1);
}
