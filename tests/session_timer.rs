//! Session timers (RFC 4028): a peer refreshes by an UPDATE without a body (RFC 3311 §5.2), and we do where
//! the callee leaves it to us.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::callee::{ANSWER, Leg};
use lab::caller::Caller;
use lab::peer::{A, C};
use lab::scene::{hang_up_and_finish, talking};
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
    let answer = updated(&["Session-Expires: 1800"], "200");
    assert_eq!(answer.one("Session-Expires"), "1800;refresher=uac");
}

#[test]
fn an_interval_below_90_seconds_is_refused_with_the_least_one() {
    assert_eq!(updated(&["Session-Expires: 89"], "422").one("Min-SE"), "90");
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
    caller.in_dialog(&mut lab, "UPDATE", &["Session-Expires: 600;refresher=uac"]);
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
        c.answer(&mut lab, &update, "200 OK");
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
