//! Session timers (RFC 4028; SIP_RULES 19), one for each leg: a peer refreshes, or we do where it is left to
//! us; a session that nobody refreshes ends.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::{Caller, OFFER};
use lab::party::{Party, accepted, bye_and_finish, calling, hold, sdp, talk};
use lab::peer::{A, C};
use lab::scene::{hang_up_and_finish, refuse_and_finish, talking};
use lab::sip::Sip;

/// What an UPDATE of the callee's with these lines gets.
fn updated(lines: &[&str], status: &str) -> Sip {
    let mut lab = Lab::new();
    let (caller, mut c) = talking(&mut lab);
    c.in_dialog(&mut lab, "UPDATE", lines);
    let answer = lab.expect(C, &format!("{status} UPDATE"));
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
    answer
}

#[test]
fn a_refresh_is_granted_and_the_one_who_asked_stays_the_refresher() {
    let answer = updated(&["Supported: timer", "Session-Expires: 90;refresher=uac"], "200");
    assert_eq!(answer.one("Session-Expires"), "90;refresher=uac");
    assert_eq!(answer.one("Require"), "timer");
    assert!(answer.has("Contact"));
    let answer = updated(&["Supported: timer", "Session-Expires: 1800"], "200");
    assert_eq!(answer.one("Session-Expires"), "1800;refresher=uac");
}

#[test]
fn an_interval_below_90_seconds_is_refused_with_the_least_one() {
    assert_eq!(updated(&["Supported: timer", "Session-Expires: 89"], "422").one("Min-SE"), "90");
}

#[test]
fn an_update_without_a_session_timer_changes_nothing() {
    let answer = updated(&[], "200");
    assert!(!answer.has("Session-Expires") && !answer.has("Require"));
}

#[test]
fn the_caller_may_refresh_too() {
    let mut lab = Lab::new();
    let (mut caller, c) = talking(&mut lab);
    caller.in_dialog(&mut lab, "UPDATE", &["Supported: timer", "Session-Expires: 600;refresher=uac"]);
    assert_eq!(lab.expect(A, "200 UPDATE").one("Session-Expires"), "600;refresher=uac");
    hang_up_and_finish(lab, caller, &c);
}

/// A talks to C, whose 200 had these lines.
fn talking_with(lab: &mut Lab, lines: &[&str]) -> (Caller, Leg) {
    let mut caller = Caller::call(lab, A, C.number);
    lab.expect(A, "100 INVITE");
    let c = Leg::expect(lab, C);
    c.respond_with(lab, "200 OK", lines, ANSWER);
    caller.answered_and_acked(lab);
    lab.expect(C, "ACK");
    (caller, c)
}

const OURS: [&str; 2] = ["Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, UPDATE"];

#[test]
fn a_session_that_is_ours_to_refresh_is_refreshed_at_half_its_interval() {
    let mut lab = Lab::new();
    let (caller, mut c) = talking_with(&mut lab, &OURS);
    for _ in 0..3 {
        lab.advance(44_900);
        lab.expect_nothing();
        lab.advance(108);
        let update = lab.expect(C, "UPDATE");
        assert_eq!(update.one("Session-Expires"), "90;refresher=uac");
        assert!(update.body.is_empty() && update.has("Contact"));
        c.answer_with(&mut lab, &update, "200 OK", &["Session-Expires: 90;refresher=uac"]);
    }
    c.bye(&mut lab);
    lab.expect(C, "200 BYE");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    lab.advance(100_000);
    lab.expect_nothing();
    lab.finish();
}

#[test]
fn a_refreshs_2xx_without_an_interval_ends_the_timer_and_with_another_one_changes_it() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer_with(&mut lab, &update, "200 OK", &["Session-Expires: 600;refresher=uac"]);
    lab.advance(299_900);
    lab.expect_nothing();
    lab.advance(116);
    let update = lab.expect(C, "UPDATE");
    assert_eq!(update.one("Session-Expires"), "600;refresher=uac");
    // RFC 4028 §7.2: without the field there is no session expiration.
    c.answer(&mut lab, &update, "200 OK");
    lab.advance(2_000_000);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_refreshs_2xx_may_hand_the_refreshing_over_to_the_callee() {
    let mut lab = Lab::new();
    let (_, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer_with(&mut lab, &update, "200 OK", &["Session-Expires: 90;refresher=uas"]);
    expires_at(lab, 60_000);
}

#[test]
fn a_refresh_that_meets_a_422_comes_back_with_the_interval_that_it_asks_for() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer_with(&mut lab, &update, "422 Session Interval Too Small", &["Min-SE: 200"]);
    lab.advance(100);
    let again = lab.expect(C, "UPDATE");
    assert_eq!(again.one("Session-Expires"), "200;refresher=uac");
    // RFC 4028 §7.4: once a 422 was had in the dialog its Min-SE stands in every refresh.
    assert_eq!(again.one("Min-SE"), "200");
    c.answer_with(&mut lab, &again, "200 OK", &["Session-Expires: 200;refresher=uac"]);
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_callee_that_has_forgotten_the_dialog_ends_the_call_on_both_sides() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer(&mut lab, &update, "481 Call/Transaction Does Not Exist");
    let bye = lab.expect(A, "BYE");
    caller.respond(&mut lab, &bye, "200 OK");
    let bye = lab.expect(C, "BYE");
    c.answer(&mut lab, &bye, "481 Call/Transaction Does Not Exist");
    lab.finish();
}

#[test]
fn a_refresh_that_is_refused_leaves_the_call_alone() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer(&mut lab, &update, "500 Server Internal Error");
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_200_without_session_expires_leaves_the_leg_without_a_timer() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &["Allow: INVITE, ACK, UPDATE"]);
    lab.advance(200_000);
    lab.expect_nothing();
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn without_a_refresher_the_200_leaves_it_to_us() {
    let mut lab = Lab::new();
    let (caller, c) = talking_with(&mut lab, &["Session-Expires: 90", "Allow: INVITE, ACK, UPDATE"]);
    lab.advance(45_008);
    let update = lab.expect(C, "UPDATE");
    c.answer(&mut lab, &update, "200 OK");
    hang_up_and_finish(lab, caller, &c);
}

#[test]
fn a_leg_asks_for_the_interval_that_is_set_or_for_none() {
    for (seconds, expected) in [(90, vec!["90"]), (1_800, vec!["1800"]), (0, vec![])] {
        let mut lab = Lab::with(|setup| setup.settings.session_expires_s = seconds);
        let (caller, leg) = calling(&mut lab, &[]);
        assert_eq!(leg.invite.all("Session-Expires"), expected);
        refuse_and_finish(lab, &caller, &leg);
    }
}

const THEIRS: [&str; 2] = ["Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK, UPDATE"];

/// Both sides get BYE, with the reason that the session expired.
#[track_caller]
fn expired(mut lab: Lab) {
    for peer in [A, C] {
        let bye = lab.expect(peer, "BYE");
        let reason = bye.one("Reason");
        assert!(reason.starts_with("SIP") && reason.contains("cause=408"), "{reason}");
        assert!(reason.contains("text=\"Session Expired\""), "{reason}");
        lab.send(peer, &lab::caller::response(&bye, "200 OK", "", &[], ""));
    }
    lab.finish();
}

/// Nothing but what `ours` names is sent until the session expires, at `due_ms` from now.
#[track_caller]
fn expires_at(mut lab: Lab, due_ms: u64) {
    lab.advance(due_ms - 500);
    assert!(lab.sent().iter().all(|sent| sent.ends_with("UPDATE") || sent.ends_with("INVITE")));
    lab.advance(1_000);
    expired(lab);
}

#[test]
fn a_callee_that_does_not_refresh_ends_the_call_a_third_before_the_interval() {
    let mut lab = Lab::new();
    talking_with(&mut lab, &THEIRS);
    expires_at(lab, 60_000);
}

#[test]
fn of_a_long_interval_32_seconds_are_left() {
    let mut lab = Lab::new();
    talking_with(&mut lab, &["Session-Expires: 1800;refresher=uas"]);
    expires_at(lab, 1_768_000);
}

#[test]
fn a_callee_that_refreshes_keeps_the_call_alive() {
    let mut lab = Lab::new();
    let (_, mut c) = talking_with(&mut lab, &THEIRS);
    for _ in 0..4 {
        lab.advance(45_000);
        lab.expect_nothing();
        // Of its own UPDATE it is the UAC.
        c.in_dialog(&mut lab, "UPDATE", &["Session-Expires: 90;refresher=uac", "Supported: timer"]);
        assert_eq!(lab.expect(C, "200 UPDATE").one("Session-Expires"), "90;refresher=uac");
    }
    expires_at(lab, 60_000);
}

#[test]
fn a_refresh_of_ours_that_nobody_answers_ends_the_call() {
    let mut lab = Lab::new();
    talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    lab.expect(C, "UPDATE");
    expires_at(lab, 60_000 - 45_008);
}

#[test]
fn a_refresh_of_ours_that_is_refused_again_and_again_ends_the_call() {
    let mut lab = Lab::new();
    let (_, c) = talking_with(&mut lab, &OURS);
    lab.advance(45_008);
    while lab.now_ms() < 59_900 {
        let update = lab.last_to(C);
        if lab.sent().iter().any(|sent| sent == "C UPDATE") {
            c.answer(&mut lab, &update, "500 Server Internal Error");
        }
        lab.advance(100);
    }
    lab.advance(300);
    if lab.next_to(C) == "UPDATE" {
        lab.expect(C, "UPDATE");
    }
    expired(lab);
}

/// A called C, whose 200 takes no UPDATE; C has the refresh by re-INVITE.
#[track_caller]
fn refreshed_by_re_invite(lab: &mut Lab) -> (Party, Party, Sip) {
    let (a, c) = talk(lab, &[], &["Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE"]);
    lab.advance(44_900);
    lab.expect_nothing();
    lab.advance(108);
    let invite = c.expect(lab, "INVITE");
    (a, c, invite)
}

#[test]
fn a_callee_that_takes_no_update_is_refreshed_by_a_re_invite_with_the_last_sdp() {
    let mut lab = Lab::new();
    let (a, c, invite) = refreshed_by_re_invite(&mut lab);
    assert_eq!((invite.body.as_str(), invite.one("Content-Type")), (OFFER, "application/sdp"));
    assert_eq!(invite.one("Session-Expires"), "90;refresher=uac");
    c.respond(&mut lab, &invite, "200 OK", &["Session-Expires: 90;refresher=uac", "Require: timer"], ANSWER);
    assert!(c.expect(&mut lab, "ACK").body.is_empty());
    // The caller hears nothing of it.
    lab.expect_nothing();
    lab.advance(45_008);
    let again = c.expect(&mut lab, "INVITE");
    assert_eq!(again.body, OFFER);
    c.respond(&mut lab, &again, "200 OK", &["Session-Expires: 90;refresher=uac"], ANSWER);
    c.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &c);
}

#[test]
fn after_a_hold_that_sdp_is_the_holds() {
    let mut lab = Lab::new();
    let (mut a, c) = talk(&mut lab, &[], &["Session-Expires: 90;refresher=uac", "Allow: INVITE, ACK, BYE"]);
    let invite = a.invite(&mut lab, &hold(1));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    accepted(&mut lab, &a, &c, (&invite, &relayed));
    // A 2xx without Session-Expires ends the timer, with it restarts it; here C wants it no more.
    lab.advance(200_000);
    lab.expect_nothing();
    let invite = a.invite(&mut lab, &hold(3));
    a.expect_response(&mut lab, &invite, 100);
    let relayed = c.expect(&mut lab, "INVITE");
    c.respond(&mut lab, &relayed, "200 OK", &["Session-Expires: 90;refresher=uac"], &sdp(4));
    a.expect_response(&mut lab, &invite, 200);
    a.ack(&mut lab, &invite, "");
    c.expect(&mut lab, "ACK");
    lab.advance(45_008);
    let refresh = c.expect(&mut lab, "INVITE");
    assert_eq!(refresh.body, hold(3));
    c.respond(&mut lab, &refresh, "200 OK", &["Session-Expires: 90;refresher=uac"], &sdp(4));
    c.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &c);
}

/// When our re-INVITE goes out again after a 491.
#[track_caller]
fn comes_back_after(lab: &mut Lab, party: &Party, invite: &Sip, (from_ms, to_ms): (u64, u64)) {
    party.refuse(lab, invite, "491 Request Pending");
    let refused = lab.now_ms();
    lab.advance(to_ms + 8);
    let sent = lab.trace.iter().find(|entry| {
        entry.at_ms >= refused
            && entry.summary() == format!("{} INVITE", party.peer.name)
            && entry.sip.as_ref().is_some_and(|sip| sip.cseq > invite.cseq)
    });
    let waited = sent.expect("it comes back").at_ms - refused;
    assert!((from_ms..=to_ms + 8).contains(&waited), "after {waited} ms");
    let again = lab.last_to(party.peer);
    while lab.sent().len() > 1 {}
    assert_eq!(again.body, invite.body);
    party.respond(lab, &again, "200 OK", &["Session-Expires: 90;refresher=uac"], ANSWER);
    party.expect(lab, "ACK");
}

#[test]
fn a_refresh_towards_a_callee_that_meets_a_491_comes_back_after_2_to_4_seconds() {
    let mut lab = Lab::new();
    let (a, c, invite) = refreshed_by_re_invite(&mut lab);
    comes_back_after(&mut lab, &c, &invite, (2_100, 4_000));
    bye_and_finish(lab, a, &c);
}

#[test]
fn a_refresh_towards_the_caller_that_meets_a_491_comes_back_within_2_seconds() {
    let mut lab = Lab::new();
    let lines = ["Supported: timer", "Session-Expires: 600;refresher=uas", "Allow: INVITE, ACK, BYE"];
    let (a, c) = talk(&mut lab, &lines, &[]);
    lab.advance(300_008);
    let invite = a.expect(&mut lab, "INVITE");
    assert_eq!(invite.body, ANSWER);
    comes_back_after(&mut lab, &a, &invite, (0, 2_000));
    bye_and_finish(lab, a, &c);
}

#[test]
fn while_the_refresh_is_under_way_a_re_invite_of_that_side_gets_491() {
    let mut lab = Lab::new();
    let (a, mut c, refresh) = refreshed_by_re_invite(&mut lab);
    let crossing = c.invite(&mut lab, &sdp(1));
    c.refused(&mut lab, &crossing, 491);
    c.respond(&mut lab, &refresh, "200 OK", &["Session-Expires: 90;refresher=uac"], ANSWER);
    c.expect(&mut lab, "ACK");
    bye_and_finish(lab, a, &c);
}

/// C refuses with 422 and these lines; the INVITE comes back with another interval.
#[track_caller]
fn retried(lab: &mut Lab, leg: &mut Leg, min_se: u32, cseq: u32) {
    leg.respond_with(lab, "422 Session Interval Too Small", &[&format!("Min-SE: {min_se}")], "");
    lab.expect(C, "ACK");
    let again = lab.expect(C, "INVITE");
    assert_eq!(again.one("Session-Expires"), min_se.to_string());
    assert_eq!(again.one("Min-SE"), min_se.to_string());
    assert_eq!((&again.call_id, &again.from_tag), (&leg.invite.call_id, &leg.invite.from_tag));
    assert_eq!((again.cseq, again.one("CSeq")), (cseq, format!("{cseq} INVITE").as_str()));
    assert_ne!(again.branch, leg.invite.branch);
    assert_eq!((&again.body, again.one("Record-ID")), (&leg.invite.body, leg.invite.one("Record-ID")));
    assert_eq!(again.one("Max-Forwards"), leg.invite.one("Max-Forwards"));
    lab.expect_nothing();
    leg.invite = again;
}

#[test]
fn a_422_is_met_with_the_interval_that_it_asks_for() {
    let mut lab = Lab::new();
    let (mut caller, mut leg) = calling(&mut lab, &[]);
    retried(&mut lab, &mut leg, 120, 2);
    leg.ring(&mut lab);
    lab.expect(A, "180 INVITE");
    leg.respond_with(&mut lab, "200 OK", &["Session-Expires: 120;refresher=uac", "Allow: UPDATE"], ANSWER);
    caller.answered_and_acked(&mut lab);
    assert_eq!(lab.expect(C, "ACK").cseq, 2);
    lab.advance(60_008);
    let update = lab.expect(C, "UPDATE");
    assert_eq!((update.one("Session-Expires"), update.cseq), ("120;refresher=uac", 3));
    leg.answer(&mut lab, &update, "200 OK");
    hang_up_and_finish(lab, caller, &leg);
}

#[test]
fn a_422_is_met_twice_at_most() {
    let mut lab = Lab::new();
    let (caller, mut leg) = calling(&mut lab, &[]);
    retried(&mut lab, &mut leg, 120, 2);
    retried(&mut lab, &mut leg, 180, 3);
    leg.respond_with(&mut lab, "422 Session Interval Too Small", &["Min-SE: 240"], "");
    lab.expect(C, "ACK");
    caller.refused(&mut lab, 500);
    lab.finish();
}

#[test]
fn a_422_without_an_interval_that_helps_is_a_500_for_the_interval_was_ours() {
    for lines in [&[][..], &["Min-SE: 90"], &["Min-SE: 60"], &["Min-SE: 172801"], &["Min-SE: x"]] {
        let mut lab = Lab::new();
        let (caller, leg) = calling(&mut lab, &[]);
        leg.respond_with(&mut lab, "422 Session Interval Too Small", lines, "");
        lab.expect(C, "ACK");
        caller.refused(&mut lab, 500);
        lab.finish();
    }
}

#[test]
fn a_callers_cancel_ends_the_retry_as_well() {
    let mut lab = Lab::new();
    let (caller, mut leg) = calling(&mut lab, &[]);
    retried(&mut lab, &mut leg, 120, 2);
    leg.respond(&mut lab, "180 Ringing");
    lab.expect(A, "180 INVITE");
    caller.cancel(&mut lab);
    lab.expect(A, "200 CANCEL");
    caller.refused(&mut lab, 487);
    leg.cancelled(&mut lab);
    lab.finish();
}
