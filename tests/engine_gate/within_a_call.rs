//! Offers and answers within a call, each of which waits for the engine.

use super::{answered, bye_and_finish, lab, talking};
use crate::lab::callee::{ANSWER, Leg};
use crate::lab::caller::Invite;
use crate::lab::engine::{Mood, anchored};
use crate::lab::party::{Party, sdp};
use crate::lab::peer::{A, C};
use ringway::mail::{EngineFailed, Party as Of};

#[test]
fn re_invites_and_their_answers_wait_on_both_sides() {
    for caller_asks in [true, false] {
        let mut lab = lab();
        let (a, c) = talking(&mut lab);
        let ((mut asker, other), asks) = match caller_asks {
            true => ((a, c), (Of::Caller, Of::Callee)),
            false => ((c, a), (Of::Callee, Of::Caller)),
        };
        lab.engine.mood = Mood::Holds;
        let invite = asker.request(&mut lab, "INVITE", &[], &sdp(4));
        lab.expect_nothing();
        asker.resend(&mut lab, &invite);
        lab.expect_nothing();
        assert_eq!(lab.engine.held.len(), 1, "asked once");
        lab.release_engine(1);
        asker.expect_response(&mut lab, &invite, 100);
        let relayed = other.expect(&mut lab, "INVITE");
        assert_eq!(relayed.body, anchored(asks.0, sdp(4).as_bytes()));
        other.respond(&mut lab, &relayed, "200 OK", &[], &sdp(5));
        lab.expect_nothing();
        lab.release_engine(1);
        let answer = asker.expect_response(&mut lab, &invite, 200);
        assert_eq!(answer.body, anchored(asks.1, sdp(5).as_bytes()));
        asker.ack(&mut lab, &invite, "");
        other.expect(&mut lab, "ACK");
        bye_and_finish(lab, asker, &other);
    }
}

#[test]
fn a_re_invite_that_the_engine_does_not_take_is_refused_and_the_call_goes_on() {
    for (failed, status) in [(EngineFailed::Unavailable, 503), (EngineFailed::Refused, 488)] {
        let mut lab = lab();
        let (mut a, c) = talking(&mut lab);
        lab.engine.mood = Mood::Fails(failed);
        let invite = a.request(&mut lab, "INVITE", &[], &sdp(4));
        a.refused(&mut lab, &invite, status);
        let update = a.request(&mut lab, "UPDATE", &[], &sdp(4));
        a.expect_response(&mut lab, &update, status);
        lab.expect_nothing();
        bye_and_finish(lab, a, &c);
    }
}

#[test]
fn an_answer_to_a_re_invite_that_the_engine_does_not_take_is_acked_and_the_asker_refused() {
    let mut lab = lab();
    let (mut a, c) = talking(&mut lab);
    let invite = a.request(&mut lab, "INVITE", &[], &sdp(4));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    lab.engine.mood = Mood::Fails(EngineFailed::Unavailable);
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(5));
    c.expect(&mut lab, "ACK");
    a.refused(&mut lab, &invite, 503);
    let update = a.request(&mut lab, "UPDATE", &[], "");
    a.expect_response(&mut lab, &update, 200);
    bye_and_finish(lab, a, &c);
}

#[test]
fn offers_that_cross_while_one_waits_are_refused() {
    let mut lab = lab();
    let (mut a, mut c) = talking(&mut lab);
    lab.engine.mood = Mood::Holds;
    let first = a.request(&mut lab, "INVITE", &[], &sdp(4));
    let crossing = c.request(&mut lab, "INVITE", &[], &sdp(5));
    c.refused(&mut lab, &crossing, 491);
    let own = a.request(&mut lab, "UPDATE", &[], &sdp(6));
    a.expect_response(&mut lab, &own, 500);
    // What describes nothing passes by, and does not make the offer come out of order.
    let info = a.request(&mut lab, "INFO", &[], "");
    let relayed = c.expect(&mut lab, "INFO");
    c.answer(&mut lab, &relayed, "200 OK");
    a.expect_response(&mut lab, &info, 200);
    lab.engine.mood = Mood::Works;
    lab.release_engine(1);
    a.expect_response(&mut lab, &first, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(2));
    a.expect_response(&mut lab, &first, 200);
    a.ack(&mut lab, &first, "");
    c.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_re_invite_that_waits_can_be_cancelled() {
    let mut lab = lab();
    let (mut a, c) = talking(&mut lab);
    lab.engine.mood = Mood::Holds;
    let invite = a.request(&mut lab, "INVITE", &[], &sdp(4));
    a.cancel(&mut lab, &invite);
    lab.expect(A, "200 CANCEL");
    a.refused(&mut lab, &invite, 487);
    lab.release_engine(1);
    lab.expect_nothing();
    assert_eq!(lab.metrics().late_mail, 1);
    lab.engine.mood = Mood::Works;
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_re_invite_without_an_offer_gets_the_other_side_s() {
    let mut lab = lab();
    let (mut a, c) = talking(&mut lab);
    let invite = a.request(&mut lab, "INVITE", &[], "");
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(5));
    let offer = a.expect_response(&mut lab, &invite, 200);
    assert_eq!(offer.body, anchored(Of::Callee, sdp(5).as_bytes()));
    a.ack(&mut lab, &invite, &sdp(6));
    assert_eq!(c.expect(&mut lab, "ACK").body, anchored(Of::Caller, sdp(6).as_bytes()));
    assert_eq!(lab.engine.asked[2..], ["offer of callee", "answer of caller"]);
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_hang_up_does_not_wait_for_what_waits() {
    let mut lab = lab();
    let (mut a, mut c) = talking(&mut lab);
    lab.engine.mood = Mood::Holds;
    let invite = a.request(&mut lab, "INVITE", &[], &sdp(4));
    let bye = c.request(&mut lab, "BYE", &[], "");
    c.expect_response(&mut lab, &bye, 200);
    a.hung_up(&mut lab);
    lab.release_engine(1);
    a.refused(&mut lab, &invite, 481);
    lab.finish();
}

#[test]
fn a_reliable_answer_and_a_prack_s_offer_wait_too() {
    let mut lab = lab();
    let lines = ["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"];
    let mut invite = Invite::new(&mut lab, A, C.number);
    invite.lines = lines.iter().map(ToString::to_string).collect();
    let mut caller = invite.send(&mut lab);
    lab.expect(A, "100 INVITE");
    let leg = Leg::expect(&mut lab, C);
    lab.engine.mood = Mood::Holds;
    let again = leg.reliable(&mut lab, "183 Session Progress", 1, ANSWER);
    lab.send(C, &again);
    lab.expect_nothing();
    lab.release_engine(1);
    let progress = lab.expect(A, "183 INVITE");
    assert_eq!(progress.body, answered());
    let mut a = Party::caller(&caller, &progress);
    let c = Party::callee(&leg);
    let prack = a.prack(&mut lab, &progress, &sdp(5));
    a.resend(&mut lab, &prack);
    lab.expect_nothing();
    lab.release_engine(1);
    let relayed = c.expect(&mut lab, "PRACK");
    assert_eq!(relayed.body, anchored(Of::Caller, sdp(5).as_bytes()));
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(6));
    lab.expect_nothing();
    lab.release_engine(1);
    assert_eq!(a.expect_response(&mut lab, &prack, 200).body, anchored(Of::Callee, sdp(6).as_bytes()));
    let update = a.update(&mut lab, &sdp(7));
    lab.release_engine(1);
    let relayed = c.expect(&mut lab, "UPDATE");
    assert_eq!(relayed.body, anchored(Of::Caller, sdp(7).as_bytes()));
    c.respond(&mut lab, &relayed, "200 OK", &[], &sdp(8));
    lab.release_engine(1);
    assert_eq!(a.expect_response(&mut lab, &update, 200).body, anchored(Of::Callee, sdp(8).as_bytes()));
    assert_eq!(
        lab.engine.asked,
        [
            "offer of caller",
            "answer of callee",
            "offer of caller",
            "answer of callee",
            "offer of caller",
            "answer of callee",
        ]
    );
    lab.engine.mood = Mood::Works;
    leg.respond_with(&mut lab, "200 OK", &[], "");
    caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    bye_and_finish(lab, a, &c);
}
