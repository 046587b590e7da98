//! A peer refreshes its session timer by an UPDATE without a body (RFC 4028 §9, RFC 3311 §5.2).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
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
