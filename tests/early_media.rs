//! What the caller hears before the answer: early media, ringback, and ringback after early media
//! (SIP_RULES 15, 16; RFC 3960).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::Leg;
use lab::caller::Caller;
use lab::party::{Early, Party, bye_and_finish, calling_to, sdp};
use lab::peer::{A, B, C, Setup};
use lab::scene::{refuse_and_finish, talk_and_finish};
use lab::sip::Sip;

fn without_181(setup: &mut Setup) {
    setup.settings.send_181 = false;
}

/// B sends early media and does not answer, C is called.
#[track_caller]
fn forwarded_after_early_media(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg) {
    let (caller, b) = calling_to(lab, B, lines);
    b.respond_with(lab, "183 Session Progress", &[], &sdp(1));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(1));
    lab.advance(20_000);
    let c = Leg::expect(lab, C);
    b.cancelled(lab);
    (caller, c)
}

#[test]
fn a_180_without_sdp_leaves_ringback_to_the_caller() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &[]);
    b.respond(&mut lab, "180 Ringing");
    let ringing = lab.expect(A, "180 INVITE");
    assert!(ringing.body.is_empty() && !ringing.has("Content-Type"));
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn a_180_with_sdp_passes_with_it() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &[]);
    b.respond_with(&mut lab, "180 Ringing", &[], &sdp(1));
    assert_eq!(lab.expect(A, "180 INVITE").body, sdp(1));
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn ringing_and_early_media_of_one_callee_pass_in_their_order() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &[]);
    b.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    b.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(1));
    b.respond(&mut lab, "180 Ringing");
    assert!(lab.expect(A, "180 INVITE").body.is_empty());
    refuse_and_finish(lab, &caller, &b);
}

#[test]
fn after_early_media_of_one_who_did_not_answer_the_targets_ringing_is_heard() {
    let mut lab = Lab::new();
    let (caller, c) = forwarded_after_early_media(&mut lab, &[]);
    lab.expect(A, "181 INVITE");
    c.ring(&mut lab);
    assert!(lab.expect(A, "180 INVITE").body.is_empty(), "ringback must be heard again");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn without_181_it_is_heard_as_well() {
    let mut lab = Lab::with(without_181);
    let (caller, c) = forwarded_after_early_media(&mut lab, &[]);
    c.ring(&mut lab);
    assert!(lab.expect(A, "180 INVITE").body.is_empty(), "ringback must be heard again");
    c.respond(&mut lab, "200 OK");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn after_early_media_the_targets_early_media_is_heard() {
    for change in [without_181 as fn(&mut Setup), |_| {}] {
        let mut lab = Lab::with(change);
        let (caller, c) = forwarded_after_early_media(&mut lab, &[]);
        lab.sent();
        c.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
        assert_eq!(lab.expect(A, "183 INVITE").body, sdp(2));
        c.respond(&mut lab, "200 OK");
        talk_and_finish(lab, caller, &c);
    }
}

#[test]
fn early_media_after_ringing_of_another_is_heard() {
    let mut lab = Lab::with(without_181);
    let (caller, b) = calling_to(&mut lab, B, &[]);
    b.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    b.reject(&mut lab, "408 Request Timeout");
    let c = Leg::expect(&mut lab, C);
    c.respond_with(&mut lab, "183 Session Progress", &[], &sdp(2));
    assert_eq!(lab.expect(A, "183 INVITE").body, sdp(2));
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn the_answer_is_the_winners_whatever_was_heard_before() {
    let mut lab = Lab::new();
    let (mut caller, c) = forwarded_after_early_media(&mut lab, &[]);
    lab.expect(A, "181 INVITE");
    c.respond_with(&mut lab, "200 OK", &[], &sdp(2));
    assert_eq!(caller.answered_and_acked(&mut lab).body, sdp(2));
    lab.expect(C, "ACK");
    lab::scene::hang_up_and_finish(lab, caller, &c);
}

#[test]
fn the_caller_sees_one_dialog_whatever_legs_come_and_go() {
    let mut lab = Lab::new();
    let (caller, c) = forwarded_after_early_media(&mut lab, &[]);
    c.ring(&mut lab);
    c.respond(&mut lab, "200 OK");
    let is_to_caller =
        |sip: &Sip| sip.method == "INVITE" && sip.status.is_some() && sip.call_id == caller.invite.call_id;
    let to_caller: Vec<Sip> =
        lab.trace.iter().filter_map(|entry| entry.sip.clone()).filter(is_to_caller).collect();
    assert_eq!(to_caller.len(), 5);
    assert!(to_caller.iter().all(|sip| sip.to_tag == to_caller[0].to_tag));
    assert!(to_caller.iter().all(|sip| sip.one("Contact") == to_caller[0].one("Contact")));
    lab.expect(A, "181 INVITE");
    lab.expect(A, "180 INVITE");
    talk_and_finish(lab, caller, &c);
}

#[test]
fn early_media_stays_with_the_caller_when_the_callee_is_refused_for_good() {
    let mut lab = Lab::new();
    let (caller, b) = calling_to(&mut lab, B, &[]);
    b.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b.reject(&mut lab, "603 Decline");
    caller.refused(&mut lab, 603);
    lab.finish();
}

#[test]
fn a_caller_who_requires_100rel_hears_early_media_and_then_ringing_reliably() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &["Require: 100rel"]);
    let confirm = |lab: &mut Lab, caller: &mut Caller, summary: &str| {
        let response = lab.expect(A, summary);
        let mut a = Party::caller(caller, &response);
        let prack = a.prack(lab, &response, "");
        caller.cseq = a.cseq;
        a.expect_response(lab, &prack, 200);
        response
    };
    b.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    assert_eq!(confirm(&mut lab, &mut caller, "183 INVITE").body, sdp(1));
    lab.advance(20_000);
    b.cancelled(&mut lab);
    confirm(&mut lab, &mut caller, "181 INVITE");
    let c = Leg::expect(&mut lab, C);
    c.respond(&mut lab, "180 Ringing");
    assert!(confirm(&mut lab, &mut caller, "180 INVITE").body.is_empty());
    refuse_and_finish(lab, &caller, &c);
}

#[test]
fn early_media_may_change_by_update_before_the_answer() {
    let mut early = Early::new();
    let lab = &mut early.lab;
    for port in [1, 3] {
        let update = early.c.update(lab, &sdp(port));
        let relayed = lab.expect(A, "UPDATE");
        assert_eq!(relayed.body, sdp(port));
        early.a.respond(lab, &relayed, "200 OK", &[], &sdp(port + 1));
        assert_eq!(early.c.expect_response(lab, &update, 200).body, sdp(port + 1));
    }
    early.finish();
}

#[test]
fn early_media_that_was_not_reliable_comes_again_in_the_answer() {
    let mut lab = Lab::new();
    let (mut caller, b) = calling_to(&mut lab, B, &[]);
    b.respond_with(&mut lab, "183 Session Progress", &[], &sdp(1));
    lab.expect(A, "183 INVITE");
    b.respond_with(&mut lab, "200 OK", &[], &sdp(1));
    let answer = caller.answered_and_acked(&mut lab);
    assert_eq!(answer.body, sdp(1));
    lab.expect(B, "ACK");
    bye_and_finish(lab, Party::caller(&caller, &answer), &Party::callee(&b));
}
